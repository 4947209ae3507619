// The programs that take part in take-overs and benches across the languages.

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import test from 'node:test';

import { MIB, folder, sample } from './world.mjs';

const repository = process.env.LIBMIGRATE_REPOSITORY ?? join(import.meta.dirname, '../../..');
// They use the package as it lies in the repository.
const env = { ...process.env, LIBMIGRATE_NATIVE: createRequire(import.meta.url).resolve('libmigrate-linux-x64-gnu') };
const lines = (text) => text.trim().split('\n').map((line) => JSON.parse(line));
const run = (program, ...words) =>
  spawnSync(process.execPath, [join(repository, program), ...words], { env, encoding: 'utf8' });

test('a run that is killed is gone on with', async (t) => {
  const at = folder(t);
  const disk = sample(8 * MIB);
  writeFileSync(at('disk.raw'), disk);
  const program = join(repository, 'tests/take_over/take_over.mjs');
  const child = spawn(process.execPath, [program, at('.'), String(4 * MIB)], { env, stdio: ['ignore', 'pipe', 'inherit'] });
  for await (const line of createInterface(child.stdout)) {
    const { type, counts } = JSON.parse(line);
    if (type === 'progress' && counts.sent >= 2 * MIB) break;
  }
  const closed = once(child, 'close');
  child.kill('SIGKILL');
  await closed;

  const { status, stdout, stderr } = run('tests/take_over/take_over.mjs', at('.'), '0');
  assert.equal(status, 0, stderr);
  const told = lines(stdout);
  assert.equal(told.at(-1).type, 'done');
  // What the first had sent is not sent again.
  assert.ok(told.at(-1).point.counts.sent <= 6 * MIB, stdout);
  assert.ok(readFileSync(at('replica.vhd')).subarray(0, disk.length).equals(disk));
});

test('a run that cannot be is told as an error', (t) => {
  const { status, stdout } = run('tests/take_over/take_over.mjs', folder(t)('nothing'), '0');
  const [{ type, error }] = lines(stdout);
  assert.deepEqual([status, type, error.code], [1, 'error', 'source.open']);
});

test('the bench pushes and serves the same disk', (t) => {
  const at = folder(t);
  const { status, stdout, stderr } = run('benches/faces/node.mjs', at('.'), '6');
  assert.equal(status, 0, stderr);
  assert.deepEqual(lines(stdout).map(({ way }) => way), ['push', 'serve', 'event']);
  const [pushed, served] = ['push', 'serve'].map((way) => readFileSync(at(`${way}.vhd`)).subarray(0, 6 * MIB));
  assert.ok(pushed.equals(served));
  // Byte i of each MiB is (i * 2654435761 >> 13) & 0xff, and the first eight are its number.
  const byte = (i) => Number((BigInt(i) * 2654435761n >> 13n) & 0xffn);
  for (const i of [8, 9, 255, 4096, 65537, MIB - 1]) assert.equal(pushed[5 * MIB + i], byte(i), `byte ${i}`);
  assert.equal(pushed.readBigUInt64LE(5 * MIB), 5n);
});
