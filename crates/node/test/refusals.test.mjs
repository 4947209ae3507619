// What cannot be used is refused with a code, and nothing of it is taken for something else.

import assert from 'node:assert/strict';
import test from 'node:test';

import { Cycle, Engine, LibmigrateError, Project, Replica, Source, Target, control, logs } from 'libmigrate';

import { MIB, codeOf, pushed, sample, world } from './world.mjs';

/** The error of something that must fail, now or later. */
async function errorOf(work) {
  try {
    const value = await work();
    assert.fail(`it did not fail, but gave ${JSON.stringify(value)}`);
  } catch (error) {
    if (!(error instanceof LibmigrateError)) throw error;
    return error;
  }
}

/** It is the caller's argument, and its value is not repeated. */
async function refuses(work, words) {
  const error = await errorOf(work);
  assert.equal(error.code, 'call.argument', error.stack);
  assert.equal(error.kind, 'caller');
  if (words) assert.match(error.message, words);
  assert.doesNotMatch(`${error.stack} ${error.cause?.stack}`, /canary/);
}

const WRONG_NUMBERS = [-1, 1.5, NaN, Infinity, -Infinity, 2 ** 53, 1e300, -1n, 2n ** 53n, 2n ** 64n, 2n ** 200n, '4096', true, {}, []];

test('a number that is negative, broken, or beyond 2^53 is refused in every setting', async () => {
  for (const size_bytes of WRONG_NUMBERS) await refuses(() => Source.pushed({ size_bytes }), /size_bytes/);
  for (const memory_limit of WRONG_NUMBERS) await refuses(() => new Engine({ memory_limit }), /memory_limit/);
  for (const offset of WRONG_NUMBERS) await refuses(() => Source.pushed({ size_bytes: 4096, zero: [{ offset, len: 1 }] }));
  assert.equal(Source.pushed({ size_bytes: 2n ** 40n }).sizeBytes, 2 ** 40);
});

test('a bigint stays a number where a program has patched its JSON', async (t) => {
  BigInt.prototype.toJSON = function toJSON() { return String(this); };
  t.after(() => delete BigInt.prototype.toJSON);
  assert.equal(Source.pushed({ size_bytes: 4096n }).sizeBytes, 4096);
  await refuses(() => Source.pushed({ size_bytes: 2n ** 60n }));
});

test('and in every argument', async (t) => {
  const { engine, image, target } = world(t);
  const source = await image(sample(MIB));
  const replica = await engine.openReplica(target(), source);
  const cycle = await replica.begin(pushed(MIB));
  for (const wrong of [...WRONG_NUMBERS, undefined, null, Symbol('x'), () => 1]) {
    await refuses(() => cycle.push(wrong, Buffer.alloc(1)), /offset/);
    await refuses(() => replica.rollBack(wrong), /cycle/);
    if (wrong !== null) await refuses(() => engine.setBytesPerSecond(wrong), /limit/);
    if (wrong !== undefined) {
      await refuses(() => engine.events({ after: wrong }), /after/);
      await refuses(() => engine.close({ limitMs: wrong }), /limitMs/);
    }
  }
  await refuses(() => replica.rollBack(2 ** 32), /cycle/);
  assert.equal(engine.closed, false);
});

test('settings that are no object, or not JSON, are refused', async () => {
  const circular = {};
  circular.state_dir = circular;
  const throws = { get state_dir() { throw new Error('no'); } };
  for (const settings of [null, 'canary', 5, true, [], [{}], () => 1, Symbol('s'), 5n, circular, throws]) {
    await refuses(() => new Engine(settings));
    await refuses(() => Source.pushed(settings));
    await refuses(() => Target.open(settings));
  }
  await refuses(() => new Engine({ state_dir: () => 'x' }), /state_dir: |state_dir cannot/);
  await refuses(() => new Engine({ state_dir: Symbol('x') }), /state_dir/);
  await refuses(() => new Engine({ memory_limt: 1 }), /memory_limt/);
  await refuses(() => Source.pushed(), /size_bytes/);
  assert.equal((await errorOf(() => new Engine(throws))).cause.message, 'no');
});

test('a setting that is undefined is left out', async () => {
  assert.equal(Source.pushed({ size_bytes: 4096, point: undefined }).point, undefined);
});

test('a secret in the wrong place is not repeated', async () => {
  const url = 'https://web01.blob.core.windows.net/disks/web01.vhd';
  await refuses(() => Target.open({ url, credential: { sass: 'canary' } }));
  await refuses(() => Target.open({ url, credential: 'canary' }));
  await refuses(() => Target.open({ url, credential: { sas: 5, canary: 'canary' } }));
  await refuses(() => Target.open('https://a?sig=canary'));
  await refuses(() => Target.open({ url }, { credential: 'canary' }));
  const target = Target.open({ url: `${url}?sv=1&sig=canary` });
  assert.doesNotMatch(target.location, /canary/);
  const { inspect } = await import('node:util');
  assert.doesNotMatch(inspect(target, { showHidden: true, depth: 9 }), /canary/);
  assert.doesNotMatch(JSON.stringify(target), /canary/);
});

test('bytes that are none are refused', async (t) => {
  const { engine, target } = world(t);
  const source = pushed(MIB);
  const cycle = await (await engine.openReplica(target(), source)).begin(source);
  const { offset, len } = await cycle.next();
  const wrong = [undefined, null, 'text', 5, {}, [1, 2], new ArrayBuffer(len), new Uint16Array(len / 2), new DataView(new ArrayBuffer(len))];
  for (const bytes of wrong) await refuses(() => cycle.push(offset, bytes), /bytes/);
  const detached = new Uint8Array(len);
  structuredClone(detached.buffer, { transfer: [detached.buffer] });
  assert.equal(await codeOf(cycle.push(offset, detached)), 'cycle.not_wanted');
  await cycle.push(offset, new Uint8ClampedArray(0).length === 0 ? new Uint8Array(len) : undefined);
  assert.equal((await cycle.seal()).cycle, 1);
});

test('an object of another kind is refused', async (t) => {
  const { engine, image, target } = world(t);
  const source = await image(sample(MIB));
  const replica = await engine.openReplica(target(), source);
  for (const wrong of [undefined, null, 5, 'x', {}, [], target(), replica, { size_bytes: 5 }, { size_bytes: 4096, read: 5 }]) {
    await refuses(() => replica.replicate(wrong), /source/);
    await refuses(() => engine.openReplica(target(), wrong), /source/);
    if (wrong !== undefined) await refuses(() => replica.verify({}, { source: wrong }), /source/);
  }
  for (const wrong of [undefined, null, 5, {}, source, Object.create(Target.prototype)]) {
    await refuses(() => engine.openReplica(wrong, source), /target/);
  }
  await refuses(() => replica.replicate({ size_bytes: 4096, sise: 5, read() {} }), /sise/);
  await refuses(() => replica.exportProof(5), /path/);
  await refuses(() => control(5), /function/);
  await refuses(() => control('nothing'));
  await refuses(() => logs({ level: 'loud' }), /level/);
  await refuses(() => logs({ level: 5 }), /level/);
});

test('options that are unknown, or no signal, are refused', async (t) => {
  const { engine, image, target } = world(t);
  const source = await image(sample(MIB));
  const replica = await engine.openReplica(target(), source);
  for (const options of [null, 5, 'x', { sygnal: 1 }, { signal: 5 }, { signal: {} }, { signal: null }, { kind: 'final' }]) {
    await refuses(() => replica.replicate(source, {}, options), /options/);
    await refuses(() => engine.events(options), /options/);
    await refuses(() => Target.open({ local: 'x' }, options), /options/);
  }
});

test('classes without a constructor say what to use', () => {
  for (const made of [Source, Target, Replica, Cycle, Project]) assert.throws(() => new made({}), { name: 'TypeError', message: /^use / });
});

test('a method on an object of another class is an error of JavaScript, and no crash', async (t) => {
  const { engine } = world(t);
  for (const name of ['openSource', 'events', 'setBytesPerSecond']) {
    await assert.rejects(async () => engine[name].call({}, 1), (error) => error instanceof TypeError || error instanceof LibmigrateError);
  }
});
