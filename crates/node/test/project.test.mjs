// The control plane of a migration, against a service that has nothing.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import test from 'node:test';

import { control } from 'libmigrate';

import { codeOf, world } from './world.mjs';

const GROUP = '/subscriptions/11111111-2222-3333-4444-555555555555/resourceGroups/migrate-rg';
const NETWORK = `${GROUP}/providers/Microsoft.Network/virtualNetworks/migrate-vnet`;
const WANTED = {
  scenario: 'hyper_v',
  cloud: 'public',
  project: `${GROUP}/providers/Microsoft.Migrate/migrateProjects/erp`,
  vault: `${GROUP}/providers/Microsoft.RecoveryServices/vaults/erp-vault`,
  region: 'centralus',
  private_network: { subnet: `${NETWORK}/subnets/endpoints`, endpoint_group: GROUP, may_approve: true, zone_group: GROUP },
  replication_account: `${GROUP}/providers/Microsoft.Storage/storageAccounts/erpreplicas`,
  container: 'replicas',
  appliance: {},
  target: { resource_group: GROUP.replace('migrate-rg', 'target-rg'), network: NETWORK, subnet: 'endpoints' },
  servers: [],
};

/** A service without any resource. */
async function service(t) {
  const asked = [];
  const server = createServer((request, response) => {
    asked.push(request.headers.authorization);
    response.writeHead(404, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ error: { code: 'ResourceNotFound', message: 'there is none' } }));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  return { asked, settings: { settings: WANTED, endpoint: `http://127.0.0.1:${server.address().port}`, poll_ms: 1 } };
}

const credential = { getToken: async () => ({ token: 'canary', expiresOnTimestamp: Date.now() + 3_600_000 }) };

test('a plan is made, shown, and applied as far as the service goes along', async (t) => {
  const { engine, at } = world(t);
  const { asked, settings } = await service(t);
  const project = engine.openProject(settings, { credential });
  const findings = await project.preflight({ network: false });
  assert.ok(findings.length > 0 && findings.every(({ code, severity }) => code && severity));
  const plan = await project.plan({ goal: 'prepared' });
  assert.ok(plan.steps.length > 0);
  assert.match(control('markdown', { plan }), /^#/);
  assert.ok(Array.isArray((await project.template(plan)).resources));
  assert.equal(typeof (await project.hostsLines()), 'string');
  assert.equal(asked[0], 'Bearer canary');
  // The service makes nothing, and says so at the first step.
  assert.equal(await codeOf(project.apply(plan, { journal: at('journal') })), 'arm.not_found');
  assert.equal(project.told().event, 'begun');
});

test('a project is refused without a credential, and what that throws is the cause', async (t) => {
  const { engine } = world(t);
  const { settings } = await service(t);
  assert.throws(() => engine.openProject(settings), { code: 'call.argument' });
  assert.throws(() => engine.openProject({ settings: {} }, { credential }), { code: 'call.argument' });
  const none = new Error('nobody is signed in');
  const project = engine.openProject(settings, { credential: { getToken: async () => { throw none; } } });
  const error = await project.plan({ goal: 'prepared' }).then(assert.fail, (error) => error);
  assert.equal(error.cause, none, error.stack);
  assert.equal(await codeOf(project.plan({ goal: 'nowhere' })), 'call.argument');
  assert.equal(await codeOf(project.ask('nothing')), 'call.argument');
});
