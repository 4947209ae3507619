// What the tests share: a folder, and disks.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { Engine, Source, Target } from 'libmigrate';

export const MIB = 1 << 20;

/** A folder that goes when the test ends. */
export function folder(t) {
  const path = mkdtempSync(join(tmpdir(), 'libmigrate-'));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return (name) => join(path, name);
}

/** Bytes that differ from place to place. */
export function sample(size) {
  const bytes = Buffer.alloc(size);
  for (let at = 0; at < size; at += 1) bytes[at] = at % 251;
  return bytes;
}

/** An engine and a folder, both gone when the test ends. */
export function world(t, settings = {}) {
  const at = folder(t);
  const engine = new Engine({ state_dir: at('state'), ...settings });
  t.after(() => engine.close());
  return {
    at,
    engine,
    target: (name = 'web01.vhd') => Target.open({ local: at(name) }),
    image(bytes) {
      writeFileSync(at('web01.raw'), bytes);
      return engine.openSource({ path: at('web01.raw'), format: 'raw' });
    },
    replicaBytes: (length, name = 'web01.vhd') => readFileSync(at(name)).subarray(0, length),
  };
}

/** A disk to push. */
export const pushed = (size, point = 'snapshot 1') => Source.pushed({ size_bytes: size, point });

/** An error's code, of a promise that must fail. */
export async function codeOf(promise) {
  const error = await promise.then(
    (value) => {
      throw new Error(`it did not fail, but gave ${JSON.stringify(value)}`);
    },
    (error) => error,
  );
  if (typeof error.code !== 'string') throw error;
  return error.code;
}
