// Plays the conformance suite: tests/conformance/README.md says how.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import test from 'node:test';
import { setTimeout } from 'node:timers/promises';

import { Engine, LibmigrateError, Source, Target, control } from 'libmigrate';

import { folder } from './world.mjs';

const suite = join(process.env.LIBMIGRATE_REPOSITORY ?? join(import.meta.dirname, '../../..'), 'tests/conformance');
const files = readdirSync(suite).filter((name) => name.endsWith('.json')).sort();

const FIELDS = {
  case: ['name', 'disk', 'service', 'engine', 'steps', 'events'],
  step: ['do', 'settings', 'expect', 'error', 'offset', 'len', 'seed', 'size', 'cycle', 'cut', 'moving', 'stop', 'source', 'finish', 'what', 'function', 'input'],
};
const UNCOUNTED = ['progress', 'retrying', 'requests_in_flight', 'verified'];

function fill(bytes, { offset, len, seed }) {
  for (let at = offset; at < offset + len; at += 1) bytes[at] = seed === 0 ? 0 : (at + 37 * seed) % 251;
}

function known(what, fields) {
  const unknown = Object.keys(fields).find((name) => !FIELDS[what].includes(name));
  assert.equal(unknown, undefined, `this runner does not know the ${what}'s field ${unknown}`);
}

/** Where `found` does not hold what is expected, in words. */
function difference(expected, found) {
  if (Array.isArray(expected) && Array.isArray(found)) {
    if (expected.length !== found.length) return `expected ${expected.length} elements, found ${found.length}`;
    return expected.map((value, at) => difference(value, found[at])).find(Boolean);
  }
  if (expected !== null && found !== null && typeof expected === 'object' && typeof found === 'object') {
    const words = ([name, value]) => {
      const differs = difference(value, found[name] ?? null);
      return differs && `${name}: ${differs}`;
    };
    return Object.entries(expected).map(words).find(Boolean);
  }
  return expected === found ? undefined : `expected ${JSON.stringify(expected)}, found ${JSON.stringify(found)}`;
}

class World {
  changes = 0;
  seen = [];

  constructor(at, { disk = { size: 0, fill: [] }, engine = {} }, service) {
    this.at = at;
    this.service = service;
    this.plans = 0;
    this.settings = { ...engine, state_dir: at('state') };
    this.disk = Buffer.alloc(disk.size);
    disk.fill.forEach((part) => fill(this.disk, part));
    this.writeDisk();
    this.openEngine();
  }

  openEngine() {
    this.engine = new Engine(this.settings);
    this.reading = (async (events) => {
      for await (const event of events) if (!UNCOUNTED.includes(event.type)) this.seen.push(event.type);
    })(this.engine.events());
  }

  async closeEngine() {
    await this.engine.close();
    // It ends when all was read.
    await this.reading;
  }

  writeDisk() {
    writeFileSync(this.at('disk.raw'), this.disk);
  }

  image() {
    return this.engine.openSource({ path: this.at('disk.raw'), format: 'raw' });
  }

  diskSettings(moving) {
    return { size_bytes: this.disk.length, ...(moving ? {} : { point: `w${this.changes}` }) };
  }

  async replica(source) {
    this.open ??= await this.engine.openReplica(Target.open({ local: this.at('replica.vhd') }), source);
    return this.open;
  }

  async ofImage() {
    const source = await this.image();
    return { source, replica: await this.replica(source) };
  }

  async closeReplica() {
    const replica = this.open;
    this.open = undefined;
    await replica?.close();
  }

  steps = {
    write: (step) => {
      fill(this.disk, step);
      this.changes += 1;
      this.writeDisk();
    },
    resize: ({ size }) => {
      this.disk = Buffer.concat([this.disk, Buffer.alloc(size)]).subarray(0, size);
      this.changes += 1;
      this.writeDisk();
    },
    replicate: async ({ settings }) => {
      const { source, replica } = await this.ofImage();
      return replica.replicate(source, settings);
    },
    push: async ({ settings, cut = 0, moving, stop = false }) => {
      const source = Source.pushed(this.diskSettings(moving));
      const cycle = await (await this.replica(source)).begin(source, settings);
      try {
        for await (const { offset, len } of cycle.wanted()) {
          if (stop) cycle.stop();
          await cycle.push(offset, this.disk.subarray(offset, offset + len - cut));
          cut = 0;
        }
        return await cycle.seal();
      } finally {
        cycle.stop();
      }
    },
    serve: async ({ settings, moving }) => {
      const source = Source.served({
        ...this.diskSettings(moving),
        read: async (offset, length) => this.disk.subarray(offset, offset + length),
      });
      return (await this.replica(source)).replicate(source, settings);
    },
    verify: async ({ settings, source: against }) => {
      const { source, replica } = await this.ofImage();
      return replica.verify(settings, against ? { source } : {});
    },
    recovery_points: async () => (await this.ofImage()).replica.recoveryPoints(),
    history: async () => (await this.ofImage()).replica.history(),
    prune: async ({ settings }) => (await this.ofImage()).replica.prune(settings),
    roll_back: async ({ cycle }) => (await this.ofImage()).replica.rollBack(cycle),
    garbage: async () => (await this.ofImage()).replica.garbage(),
    collect_garbage: async () => (await this.ofImage()).replica.collectGarbage(),
    damage: (step) => {
      const bytes = readFileSync(this.at('replica.vhd'));
      fill(bytes, step);
      writeFileSync(this.at('replica.vhd'), bytes);
    },
    equal: () => {
      const bytes = readFileSync(this.at('replica.vhd')).subarray(0, this.disk.length);
      assert.ok(bytes.equals(this.disk), 'the replica differs from the disk');
    },
    reopen: () => this.closeReplica(),
    new_engine: async () => {
      await this.closeReplica();
      await this.closeEngine();
      this.openEngine();
    },
    open_engine: async ({ settings }) => new Engine(settings).close(),
    open_source: async ({ settings }) => void (await this.engine.openSource(settings)),
    open_target: ({ settings }) => void Target.open(settings),
    close_engine: () => this.closeEngine(),
    preflight_network: ({ settings }) => this.engine.preflightNetwork(settings),
    control: (step) => control(step.function, step.input),
    project: () => {
      const credential = { getToken: async () => ({ token: 'token', expiresOnTimestamp: Date.now() + 3_600_000 }) };
      this.project = this.engine.openProject({ ...this.service, poll_ms: 1 }, { credential });
    },
    project_preflight: ({ settings }) => this.project.preflight(settings),
    plan: async ({ settings }) => this.planned(await this.project.plan(settings)),
    ask: async ({ settings: { verb } }) => this.planned(await this.project.ask(verb)),
    template: () => this.project.template(this.plan),
    hosts_lines: () => this.project.hostsLines(),
    apply: async ({ settings, finish = false }) => {
      for (const began = Date.now(); ; await setTimeout(10)) {
        const outcome = await this.project.apply(this.plan, { ...settings, journal: this.at(`journal-${this.plans}`) });
        if (outcome.done || !finish || Date.now() - began > 30_000) return outcome;
      }
    },
    cutover: ({ what, settings }) => this.project.cutover(what, { ...settings, record: this.at(`record-${settings.purpose}`) }),
    told: () => {
      const events = new Set();
      for (let told = this.project.told(); told; told = this.project.told()) events.add(told.event);
      return [...events].filter((event) => !UNCOUNTED.includes(event)).sort();
    },
  };

  planned(plan) {
    this.plan = plan;
    this.plans += 1;
    return plan;
  }

  async play(step) {
    assert.ok(step.do in this.steps, `this runner does not know the step ${step.do}`);
    return this.steps[step.do](step);
  }
}

/** The fake of Azure Resource Manager, until the test ends. */
async function serviceOf(t, service) {
  const program = process.env.LIBMIGRATE_FAKE_ARM;
  assert.ok(program, 'LIBMIGRATE_FAKE_ARM does not name the fake: tests/conformance/README.md');
  const options = Object.entries(service).map(([name, value]) => `--${name}=${value}`);
  const fake = spawn(program, options, { stdio: ['pipe', 'pipe', 'inherit'] });
  t.after(() => fake.stdin.end());
  const [line] = await once(createInterface(fake.stdout), 'line');
  return JSON.parse(line);
}

test('the suite has cases', () => assert.ok(files.length > 0, suite));

for (const file of files) {
  const described = JSON.parse(readFileSync(join(suite, file)));
  test(`${file}: ${described.name}`, async (t) => {
    known('case', described);
    const service = described.service && (await serviceOf(t, described.service));
    const world = new World(folder(t), described, service);
    for (const [at, step] of described.steps.entries()) {
      known('step', step);
      const place = `step ${at}, ${step.do}`;
      let found;
      let error;
      try {
        found = await world.play(step);
      } catch (thrown) {
        if (!(thrown instanceof LibmigrateError)) throw thrown;
        error = thrown;
      }
      if (step.error) {
        assert.ok(error, `${place}: it did not fail, but gave ${JSON.stringify(found)}`);
        assert.equal(difference(step.error, error.toJSON()), undefined, place);
      } else {
        assert.equal(error, undefined, place);
        if (step.expect !== undefined) assert.equal(difference(step.expect, found ?? null), undefined, place);
      }
    }
    await world.closeEngine();
    if (described.events) assert.deepEqual(world.seen, described.events);
  });
}
