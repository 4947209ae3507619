// What the guide shows works.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { createRequire } from 'node:module';
import test from 'node:test';

import { MIB, folder, sample } from './world.mjs';

const repository = process.env.LIBMIGRATE_REPOSITORY ?? join(import.meta.dirname, '../../..');
const installed = dirname(dirname(createRequire(import.meta.url).resolve('libmigrate/package.json')));
const blocks = (page) => [...readFileSync(join(repository, 'docs', page), 'utf8').matchAll(/^```js\n([^]*?)^```$/gm)].map(([, code]) => code);

function run(t, code) {
  const at = folder(t);
  writeFileSync(at('web01.raw'), sample(3 * MIB));
  writeFileSync(at('program.mjs'), code);
  symlinkSync(installed, at('node_modules'));
  const { status, stdout, stderr } = spawnSync(process.execPath, ['program.mjs'], { cwd: at('.'), encoding: 'utf8' });
  assert.equal(status, 0, stderr);
  return stdout;
}

test('the quickstart of the page on Node runs as it is', (t) => {
  assert.match(run(t, blocks('node.md')[0]), /^cycle 1: 3145728 bytes sent, root [0-9a-f]{64}\nequal\n$/);
});

test('every other block of the page on Node runs after the quickstart has opened its replica', (t) => {
  const [quickstart, ...others] = blocks('node.md');
  assert.ok(others.length >= 7, `${others.length} blocks`);
  const imports = [];
  // Imports come first in a program, and each block may have its own.
  const body = (code) => code.replace(/^import .*\n+/gm, (line) => { imports.push(line.trim()); return ''; });
  const opened = body(quickstart).split('\n\n')[0];
  const program = [opened, ...others.map((code) => `{\n${body(code)}}`), 'await engine.close();'].join('\n');
  const output = run(t, `${[...new Set(imports)].join('\n')}\n${program}`);
  assert.match(output, /the window is over/);
  assert.match(output, /source\.custom the snapshot is gone/);
  assert.match(output, /source\.open false check the path/);
});

test('what the page on the portal shows is in the portal', () => {
  const portal = readFileSync(new URL('../examples/portal/portal.mjs', import.meta.url), 'utf8');
  const shown = blocks('how-to/portal.md');
  assert.ok(shown.length >= 5);
  for (const code of shown) assert.ok(portal.includes(code), code);
});
