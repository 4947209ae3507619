// Whole cycles, as a program sees them.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import test from 'node:test';
import { setTimeout as later } from 'node:timers/promises';

import { Engine, LibmigrateError, Source, Target, logs, version } from 'libmigrate';

import { MIB, codeOf, pushed, sample, world } from './world.mjs';

test('an image is replicated, verified, listed, rolled back and pruned', async (t) => {
  const { engine, image, target, at, replicaBytes } = world(t);
  const disk = sample(3 * MIB);
  const source = await image(disk);
  assert.equal(source.sizeBytes, 3 * MIB);
  assert.match(source.point, /^file:/);
  const replica = await engine.openReplica(target(), source);
  assert.equal(await replica.diskBytes(), 3 * MIB);
  const point = await replica.replicate(source);
  assert.equal(point.kind, 'initial');
  assert.equal(point.counts.sent, 3 * MIB);
  const report = await replica.verify({ subject: 'live' }, { source });
  assert.equal(report.equal, true);
  assert.equal(report.root, point.root);
  assert.equal((await replica.verify()).equal, true);
  await replica.replicate(source);
  assert.equal((await replica.rollBack(1)).kind, 'roll_back');
  assert.deepEqual(await replica.prune({ newest: 1 }), [1, 2]);
  assert.equal((await replica.recoveryPoints()).length, 1);
  assert.equal((await replica.history()).length, 3);
  assert.deepEqual([await replica.garbage(), await replica.collectGarbage()], [[], []]);
  assert.equal((await replica.exportProof(at('proof.tar'))).cycle, 3);
  await replica.close();
  await replica.close();
  assert.equal(await codeOf(replica.history()), 'call.closed');
  assert.ok(replicaBytes(disk.length).equals(disk));
});

test('a disk is pushed, and its buffer may be used again at once', async (t) => {
  const { engine, target, replicaBytes } = world(t, { memory_limit: 4 * MIB });
  const disk = sample(20 * MIB + 4096);
  const source = pushed(disk.length);
  const replica = await engine.openReplica(target(), source);
  const cycle = await replica.begin(source, { change_id: '7' });
  const buffer = Buffer.alloc(MIB);
  for await (const { offset, len } of cycle.wanted()) {
    disk.copy(buffer, 0, offset, offset + len);
    await cycle.push(BigInt(offset), buffer.subarray(0, len));
    buffer.fill(0xee);
  }
  const point = await cycle.seal();
  assert.equal(point.change_id, '7');
  assert.equal(await codeOf(cycle.next()), 'call.closed');
  assert.ok(replicaBytes(disk.length).equals(disk));
});

test('what was not wanted is refused, and the cycle goes on', async (t) => {
  const { engine, target, replicaBytes } = world(t);
  const disk = sample(2 * MIB);
  const source = pushed(disk.length);
  const replica = await engine.openReplica(target(), source);
  const cycle = await replica.begin(source);
  for (let wanted; (wanted = await cycle.next()); ) {
    const { offset, len } = wanted;
    const bytes = disk.subarray(offset, offset + len);
    assert.equal(await codeOf(cycle.push(offset, bytes.subarray(1))), 'cycle.not_wanted');
    assert.equal(await codeOf(cycle.push(offset, Buffer.alloc(0))), 'cycle.not_wanted');
    await cycle.push(offset, bytes);
  }
  await cycle.seal();
  assert.ok(replicaBytes(disk.length).equals(disk));
});

test('a cycle copies from the source that it was begun with', async (t) => {
  const { engine, image, target } = world(t);
  const source = await image(sample(2 * MIB));
  const replica = await engine.openReplica(target(), source);
  const cycle = await replica.begin(source);
  await cycle.copyFrom(source);
  assert.equal((await cycle.seal()).counts.sent, 2 * MIB);

  const own = Source.served({ size_bytes: 2 * MIB, point: '2', read: async (offset, length) => Buffer.alloc(length, 3) });
  const second = await replica.begin(own);
  await second.copyFrom(own);
  assert.equal((await second.seal()).counts.sent, 2 * MIB);
});

test('a stopped cycle is over, and another can begin', async (t) => {
  const { engine, target } = world(t);
  const source = pushed(2 * MIB);
  const replica = await engine.openReplica(target(), source);
  const cycle = await replica.begin(source);
  await cycle.next();
  cycle.stop();
  cycle.stop();
  await cycle[Symbol.asyncDispose]();
  const again = await replica.begin(source);
  assert.equal(await codeOf(cycle.next()), 'cycle.cancelled');
  assert.equal((await again.next()).offset, 0);
});

test('an object with read() is a source, and reads side by side', async (t) => {
  const { engine, target, replicaBytes } = world(t);
  const bytes = sample(8 * MIB);
  let now = 0;
  let most = 0;
  const disk = {
    size_bytes: BigInt(bytes.length),
    point: '1',
    zero: [{ offset: 0, len: MIB }],
    max_in_flight: 3,
    async read(offset, length, signal) {
      assert.ok(this === disk && signal instanceof AbortSignal);
      now += 1;
      most = Math.max(most, now);
      await later(1);
      now -= 1;
      return bytes.subarray(offset, offset + length);
    },
  };
  const replica = await engine.openReplica(target(), disk);
  const point = await replica.replicate(disk);
  assert.equal(point.counts.hole, MIB);
  assert.equal((await replica.verify({ subject: 'live' }, { source: { ...disk, zero: undefined, read: async (o, l) => Buffer.alloc(l, o < MIB ? 0 : 1) } })).equal, false);
  assert.ok(most > 1 && most <= 3, `${most} at once`);
  assert.ok(replicaBytes(bytes.length).subarray(MIB).equals(bytes.subarray(MIB)));
});

test('an object of a class is a source, and so are bytes of shared memory and without a promise', async (t) => {
  const { engine, target, replicaBytes } = world(t);
  const bytes = new Uint8Array(new SharedArrayBuffer(2 * MIB)).fill(9);
  class Snapshot {
    handle = 3;
    get size_bytes() {
      return bytes.length;
    }
    get point() {
      return 'snapshot 4';
    }
    read(offset, length) {
      return bytes.subarray(offset, offset + length);
    }
  }
  const source = Source.served(new Snapshot());
  assert.deepEqual([source.sizeBytes, source.point, source.identity], [2 * MIB, 'snapshot 4', undefined]);
  const replica = await engine.openReplica(target(), source);
  await replica.replicate(source);
  assert.ok(replicaBytes(2 * MIB).equals(Buffer.from(bytes)));
});

test('what a source throws is the cause of the error', async (t) => {
  const { engine, target } = world(t);
  const of = (read) => ({ size_bytes: 4 * MIB, point: 'p', read });
  const replica = await engine.openReplica(target(), of(() => {}));
  const failure = (read) => replica.replicate(of(read)).then(assert.fail, (error) => error);

  const gone = Object.assign(new Error('the snapshot is gone'), { code: 'EGONE' });
  const rejected = await failure(async () => Promise.reject(gone));
  assert.ok(rejected instanceof LibmigrateError && rejected instanceof Error);
  assert.equal(rejected.code, 'source.custom');
  assert.match(rejected.message, /the snapshot is gone/);
  assert.equal(rejected.cause, gone);

  const thrown = new RangeError('not on this disk');
  assert.equal((await failure(() => { throw thrown; })).cause, thrown);
  const nothing = await failure(() => { throw null; });
  assert.deepEqual([nothing.code, nothing.cause], ['source.custom', null]);
  assert.match((await failure(() => { throw Object.create(null); })).message, /threw an object/);
  assert.match((await failure(() => 'text')).cause.message, /a string, and no Uint8Array/);
  assert.match((await failure(async (offset, length) => Buffer.alloc(length - 1))).message, /it gave \d+ bytes/);
  assert.equal((await failure(async (offset, length) => new Uint8Array(length * 2))).code, 'source.custom');
});

test('a read that nobody waits for any more is told', async (t) => {
  const { engine, target } = world(t);
  const asked = [];
  const disk = {
    size_bytes: 4 * MIB,
    point: 'p',
    read: (offset, length, signal) => {
      asked.push(once(signal, 'abort'));
      return new Promise(() => {});
    },
  };
  const replica = await engine.openReplica(target(), disk);
  const stop = new AbortController();
  const run = replica.replicate(disk, {}, { signal: stop.signal });
  while (asked.length === 0) await later(5);
  stop.abort();
  await assert.rejects(run, { name: 'AbortError' });
  await Promise.all(asked);
});

test('an aborted call is rejected with the reason within a second, and the next run goes on', async (t) => {
  const { engine, image, target } = world(t, { bytes_per_second: MIB });
  const source = await image(sample(20 * MIB));
  const replica = await engine.openReplica(target(), source);
  const reason = new Error('enough');
  const stop = new AbortController();
  const run = replica.replicate(source, {}, { signal: stop.signal });
  for await (const event of engine.events()) if (event.type === 'cycle_started') break;
  const asked = performance.now();
  stop.abort(reason);
  await assert.rejects(run, (error) => error === reason);
  assert.ok(performance.now() - asked < 1000);
  await assert.rejects(replica.replicate(source, {}, { signal: stop.signal }), (error) => error === reason);
  await assert.rejects(replica.replicate(source, {}, { signal: AbortSignal.timeout(50) }), { name: 'TimeoutError' });
  engine.setBytesPerSecond(null);
  const point = await replica.replicate(source, {}, { signal: new AbortController().signal });
  assert.deepEqual([point.cycle, point.kind], [1, 'initial']);
});

test('every call that waits takes a signal', async (t) => {
  const { engine, image, target } = world(t);
  const source = await image(sample(MIB));
  const replica = await engine.openReplica(target(), source);
  await replica.replicate(source);
  const cycle = await replica.begin(pushed(MIB));
  const signal = AbortSignal.abort(new Error('no'));
  const calls = {
    openSource: () => engine.openSource({ path: 'x' }, { signal }),
    openReplica: () => engine.openReplica(target('other.vhd'), source, { signal }),
    takeOver: () => engine.takeOver(target('other.vhd'), source, { signal }),
    preflightNetwork: () => engine.preflightNetwork({ targets: [] }, { signal }),
    events: () => engine.events({ signal }).next(),
    diskBytes: () => replica.diskBytes({ signal }),
    replicate: () => replica.replicate(source, {}, { signal }),
    begin: () => replica.begin(source, {}, { signal }),
    verify: () => replica.verify({}, { signal }),
    recoveryPoints: () => replica.recoveryPoints({ signal }),
    history: () => replica.history({ signal }),
    prune: () => replica.prune({ newest: 1 }, { signal }),
    rollBack: () => replica.rollBack(1, { signal }),
    exportProof: () => replica.exportProof('x', {}, { signal }),
    garbage: () => replica.garbage({ signal }),
    collectGarbage: () => replica.collectGarbage({ signal }),
    close: () => replica.close({ signal }),
    next: () => cycle.next({ signal }),
    wanted: () => cycle.wanted({ signal }).next(),
    push: () => cycle.push(0, Buffer.alloc(1), { signal }),
    copyFrom: () => cycle.copyFrom(source, { signal }),
    seal: () => cycle.seal({ signal }),
  };
  for (const [name, call] of Object.entries(calls)) await assert.rejects(call(), (error) => error === signal.reason, name);
});

test('events are read from any number on, and end with the engine', async (t) => {
  const { engine, image, target } = world(t);
  const source = await image(sample(MIB));
  const replica = await engine.openReplica(target(), source);
  await replica.replicate(source);
  const seen = [];
  for await (const event of engine.events()) {
    seen.push(event);
    if (event.type === 'sealed') break;
  }
  assert.deepEqual([seen[0].type, seen[1].type, seen.at(-1).type], ['opened', 'cycle_started', 'sealed']);
  assert.deepEqual(seen.map((event) => event.seq), seen.map((_, at) => at + 1));
  const later = engine.events({ after: BigInt(seen[0].seq) });
  assert.deepEqual((await later.next()).value, seen[1]);

  const waiting = engine.events({ after: seen.at(-1).seq });
  const [first, second] = [waiting.next(), waiting.next()];
  await engine.close();
  assert.deepEqual([await first, await second], Array(2).fill({ done: true, value: undefined }));
  // What is kept can be read to its end.
  const rest = [];
  for await (const event of later) rest.push(event);
  assert.equal(rest.at(-1).type, 'sealed');
});

test('an iteration that waits ends by return(), and by its signal with the reason', async (t) => {
  const { engine } = world(t);
  const events = engine.events();
  const next = events.next();
  assert.deepEqual(await events.return(), { done: true, value: undefined });
  assert.deepEqual(await next, { done: true, value: undefined });

  const stop = new AbortController();
  const aborted = engine.events({ signal: stop.signal });
  const waits = aborted.next();
  setImmediate(() => stop.abort());
  await assert.rejects(waits, (error) => error === stop.signal.reason);
  assert.deepEqual(await aborted.next(), { done: true, value: undefined });
});

test('engine, replica and cycle are disposed of', async (t) => {
  const { engine, image, target } = world(t);
  const source = await image(sample(MIB));
  const replica = await engine.openReplica(target(), source);
  await replica[Symbol.asyncDispose]();
  assert.equal(await codeOf(replica.history()), 'call.closed');
  const left = await engine.openReplica(target(), source);
  await engine[Symbol.asyncDispose]();
  assert.equal(engine.closed, true);
  // In whichever order.
  await left[Symbol.asyncDispose]();
});

test('a closed engine refuses everything, and ends what was under way', async (t) => {
  const { engine, image, target } = world(t, { bytes_per_second: MIB });
  const source = await image(sample(20 * MIB));
  const replica = await engine.openReplica(target(), source);
  const run = codeOf(replica.replicate(source));
  for await (const event of engine.events()) if (event.type === 'cycle_started') break;
  await Promise.all([engine.close(), engine.close({ limitMs: 10 })]);
  assert.ok(['cycle.cancelled', 'call.closed'].includes(await run));
  assert.equal(await codeOf(replica.verify()), 'call.closed');
  assert.equal(await codeOf(replica.close()), 'call.closed');
  assert.equal(await codeOf(engine.openSource({ path: 'x' })), 'call.closed');
  assert.equal(await codeOf(engine.openReplica(target(), source)), 'call.closed');
  assert.throws(() => engine.events(), { code: 'call.closed' });
  assert.throws(() => engine.setBytesPerSecond(1), { code: 'call.closed' });
});

test('an engine closes within its limit while a source of ours hangs', async (t) => {
  const { engine, target } = world(t);
  const disk = { size_bytes: MIB, point: 'p', read: () => new Promise(() => {}) };
  const replica = await engine.openReplica(target(), disk);
  const run = codeOf(replica.replicate(disk));
  for await (const event of engine.events()) if (event.type === 'cycle_started') break;
  const asked = performance.now();
  await engine.close({ limitMs: 200 });
  assert.ok(performance.now() - asked < 3000);
  assert.ok(['cycle.cancelled', 'call.closed'].includes(await run));
});

test('several engines work side by side', async (t) => {
  const worlds = [1, 2, 3].map(() => world(t, { threads: 1 }));
  const points = worlds.map(async ({ engine, image, target }, at) => {
    const source = await image(Buffer.alloc(2 * MIB, at + 1));
    const replica = await engine.openReplica(target(), source);
    return replica.replicate(source);
  });
  assert.equal(new Set((await Promise.all(points)).map(({ root }) => root)).size, 3);
});

test('the limit and the schedule change while running', async (t) => {
  const { engine } = world(t);
  engine.setBytesPerSecond(5n);
  engine.setBytesPerSecond(null);
  engine.setSchedule({ zone: 'Europe/Berlin', windows: [{ days: ['mon'], from: '08:00', to: '18:00', rule: 'blackout' }] });
  engine.setSchedule(null);
  assert.throws(() => engine.setSchedule({ zone: 'Mars/Base', windows: [] }), ({ code }) => code.startsWith('schedule.'));
});

test('the network is checked', async (t) => {
  const { engine } = world(t);
  const report = await engine.preflightNetwork({ targets: [{ host: 'not a name' }], time_limit_seconds: 5 });
  assert.equal(report.targets[0].findings[0].code, 'name.invalid');
});

test('the log is read, and there is one', async (t) => {
  const lines = logs({ level: 'trace' });
  assert.throws(() => logs(), { code: 'call.log_open' });
  const { engine, image, target } = world(t);
  const source = await image(sample(MIB));
  const next = lines.next();
  const replica = await engine.openReplica(target(), source);
  await replica.replicate(source);
  const { value } = await next;
  assert.deepEqual(Object.keys(value).sort(), ['dropped', 'level', 'message', 'target', 'time']);
  await lines.return();
  await logs({ level: 'error' }).return();
});

test('a credential of the program is asked, and what it throws is the cause of the error', async (t) => {
  const { engine, image } = world(t, { retry: { first_wait_ms: 1, longest_wait_ms: 1, budget_seconds: 1 } });
  const source = await image(sample(MIB));
  const asked = [];
  const none = new Error('AZURE_CLIENT_ID is not set');
  const credential = {
    async getToken(scopes, { abortSignal }) {
      asked.push(scopes);
      assert.ok(this === credential && abortSignal instanceof AbortSignal);
      throw none;
    },
  };
  const settings = { url: 'https://127.0.0.1:9/account/disks/web01.vhd', private_link: { required: false } };
  const target = Target.open(settings, { credential });
  assert.match(target.location, /web01\.vhd/);
  const error = await engine.openReplica(target, source).then(assert.fail, (error) => error);
  assert.equal(error.cause, none, error.stack);
  assert.match([error.message, ...error.causes].join(), /AZURE_CLIENT_ID is not set/);
  assert.ok(asked.length > 0 && asked[0][0].startsWith('https://storage.azure.com/'));
});

test('a token never appears in an error', async (t) => {
  const { engine, image } = world(t, { retry: { first_wait_ms: 1, longest_wait_ms: 1, budget_seconds: 1 } });
  const source = await image(sample(MIB));
  const settings = { url: 'https://127.0.0.1:9/account/disks/web01.vhd', private_link: { required: false } };
  for (const given of [
    { token: 'canary-1', expiresOnTimestamp: Date.now() + 3_600_000 },
    { token: 'canary-2' },
    { token: '', expiresOnTimestamp: 1 },
    null,
    'canary-3',
  ]) {
    const target = Target.open(settings, { credential: { getToken: async () => given } });
    const error = await engine.openReplica(target, source).then(assert.fail, (error) => error);
    assert.ok(error instanceof LibmigrateError);
    assert.doesNotMatch(`${JSON.stringify(error)} ${error.stack} ${error.cause?.stack}`, /canary/);
  }
});

test('an error is an Error with a code, says what to do, and becomes the JSON of every language', async (t) => {
  const { engine } = world(t);
  async function ofTheProgram() {
    return await engine.openSource({ path: '/nowhere/web01.raw' });
  }
  const error = await ofTheProgram().then(assert.fail, (error) => error);
  assert.ok(error instanceof LibmigrateError && error instanceof Error);
  assert.deepEqual([error.name, error.code, error.kind, error.retryable], ['LibmigrateError', 'source.open', 'caller', false]);
  assert.deepEqual(Object.keys(JSON.parse(JSON.stringify(error))), ['code', 'kind', 'retryable', 'message', 'remedy', 'causes']);
  assert.ok(error.remedy && error.causes.length === 1);
  assert.match(error.stack, /ofTheProgram/, 'the stack leads to who called');
});

test('the version is the package\'s', () => assert.match(version, /^\d+\.\d+\.\d+$/));

test('Engine.open is new Engine', async (t) => {
  const engine = Engine.open();
  t.after(() => engine.close());
  assert.ok(engine instanceof Engine);
});
