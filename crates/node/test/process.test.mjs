// What becomes of the process: its end, its workers, its unhandled rejections.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import test from 'node:test';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';

import { MIB, folder, sample } from './world.mjs';

const program = fileURLToPath(new URL('programs/run.mjs', import.meta.url));

async function run(t, way, { times = 1 } = {}) {
  const at = folder(t);
  writeFileSync(at('web01.raw'), sample(8 * MIB));
  const runs = [];
  for (let time = 0; time < times; time += 1) {
    const child = spawn(process.execPath, ['--expose-gc', program, at('.'), way], { stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    child.stdout.on('data', (text) => { output += text; });
    child.stderr.on('data', (text) => { output += text; });
    const started = performance.now();
    const [code, signal] = await once(child, 'close');
    runs.push({ code, signal, output, milliseconds: performance.now() - started });
  }
  return runs;
}

test('a process exits in the middle of a run', async (t) => {
  for (const { code, signal, output, milliseconds } of await run(t, 'exit', { times: 8 })) {
    assert.deepEqual({ code, signal, output }, { code: 7, signal: null, output: 'started\n' });
    assert.ok(milliseconds < 5000, `${milliseconds} ms`);
  }
});

test('a process exits in the middle of a read of its own', async (t) => {
  for (const { code, signal, output } of await run(t, 'exit in a read', { times: 4 })) {
    assert.deepEqual({ code, signal, output }, { code: 7, signal: null, output: 'reading\n' });
  }
});

test('a process that only listens to events, to a source and to the log ends by itself', async (t) => {
  const [{ code, output }] = await run(t, 'listen');
  assert.deepEqual({ code, output }, { code: 0, output: 'listening\n' });
});

test('a process stays alive for what it awaits', async (t) => {
  const [{ code, output }] = await run(t, 'await');
  assert.deepEqual({ code, output }, { code: 0, output: 'initial\n' });
});

test('a rejection that nobody handles is one, and what is handled is none', async (t) => {
  const [{ code, output }] = await run(t, 'rejections');
  assert.deepEqual({ code, output }, { code: 0, output: 'unhandled: source.open\n' });
});

test('what is collected as garbage is let go of', async (t) => {
  const [{ code, output }] = await run(t, 'garbage');
  assert.deepEqual({ code, output }, { code: 0, output: 'collected\nsealed\n' });
});

test('a panic is an error, and the process goes on', async (t) => {
  const [{ code, output }] = await run(t, 'panic');
  assert.equal(code, 0, output);
  assert.match(output, /engine\.internal.*on purpose/);
  assert.match(output, /still here\n$/);
});

test('a worker is terminated in the middle of a run, five times', async (t) => {
  const at = folder(t);
  writeFileSync(at('web01.raw'), sample(8 * MIB));
  for (let time = 0; time < 5; time += 1) {
    const worker = new Worker(program, { argv: [at('.'), 'run in a worker', String(time)] });
    assert.deepEqual(await once(worker, 'message'), ['started']);
    assert.equal(await worker.terminate(), 1);
  }
});

test('a worker is terminated in the middle of a read of its own, five times', async (t) => {
  const at = folder(t);
  for (let time = 0; time < 5; time += 1) {
    const worker = new Worker(program, { argv: [at('.'), 'read in a worker', String(time)] });
    assert.deepEqual(await once(worker, 'message'), ['reading']);
    assert.equal(await worker.terminate(), 1);
  }
});

test('two workers replicate side by side, and end by themselves', async (t) => {
  const at = folder(t);
  writeFileSync(at('web01.raw'), sample(8 * MIB));
  const workers = [1, 2].map((number) => new Worker(program, { argv: [at('.'), 'whole run in a worker', String(number)] }));
  const exits = workers.map((worker) => once(worker, 'exit'));
  const messages = await Promise.all(workers.map((worker) => once(worker, 'message')));
  assert.deepEqual(messages, [['initial'], ['initial']]);
  assert.deepEqual(await Promise.all(exits), [[0], [0]]);
});
