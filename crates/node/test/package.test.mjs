// The package as it is installed: both module systems, its types, its loader, its listing.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import test from 'node:test';
import { fileURLToPath } from 'node:url';

import * as esm from 'libmigrate';
import ts from 'typescript';

import { folder } from './world.mjs';

const require = createRequire(import.meta.url);
const cjs = require('libmigrate');
const installed = dirname(require.resolve('libmigrate/package.json'));
const here = fileURLToPath(new URL('.', import.meta.url));

test('both module systems get the same things', () => {
  assert.deepEqual(Object.keys(esm).sort(), Object.keys(cjs).sort());
  for (const name of Object.keys(cjs)) assert.equal(esm[name], cjs[name], name);
});

/** What the declarations say there is: names of the package, and of what each class has. */
function declared() {
  const file = join(installed, 'index.d.ts');
  const parsed = ts.createSourceFile(file, readFileSync(file, 'utf8'), ts.ScriptTarget.Latest, true);
  const names = new Map();
  for (const statement of parsed.statements) {
    const of = statement.name?.text;
    if (ts.isFunctionDeclaration(statement)) names.set(of, []);
    if (ts.isVariableStatement(statement)) names.set(statement.declarationList.declarations[0].name.text, []);
    if (ts.isClassDeclaration(statement)) {
      const fields = statement.members.filter((member) => member.name).map((member) => {
        const isStatic = member.modifiers?.some(({ kind }) => kind === ts.SyntaxKind.StaticKeyword);
        return `${isStatic ? 'static ' : ''}${member.name.getText(parsed)}`;
      });
      names.set(of, [...new Set(fields)].sort());
    }
  }
  return names;
}

/** What there is. */
function exported() {
  const names = new Map();
  for (const [name, value] of Object.entries(cjs)) {
    const isClass = typeof value === 'function' && /^class/.test(Function.prototype.toString.call(value));
    if (!isClass) {
      names.set(name, []);
      continue;
    }
    const key = (one) => (one === Symbol.asyncDispose ? '[Symbol.asyncDispose]' : one);
    const own = Reflect.ownKeys(value).filter((one) => !['length', 'name', 'prototype'].includes(one));
    const of = Reflect.ownKeys(value.prototype).filter((one) => !['constructor', 'name'].includes(one));
    names.set(name, [...own.map((one) => `static ${key(one)}`), ...of.map(key)].sort());
  }
  // Fields of each error, which are not on the prototype.
  const fields = Object.keys(new cjs.LibmigrateError({ code: '', message: '' }));
  names.set('LibmigrateError', [...names.get('LibmigrateError'), ...fields].sort());
  return names;
}

test('what is declared is what there is', () => {
  const sorted = (names) => [...names].sort(([a], [b]) => (a < b ? -1 : 1));
  assert.deepEqual(sorted(exported()), sorted(declared()));
});

test('the listing is the one that was reviewed', () => {
  const listing = [...declared()].flatMap(([name, fields]) => [name, ...fields.map((field) => `  ${field}`)]);
  const reviewed = readFileSync(join(here, 'api.txt'), 'utf8').trim().split('\n');
  assert.deepEqual(listing, reviewed);
});

test('strict TypeScript programs compile in both module systems, and wrong ones do not', () => {
  const tsc = require.resolve('typescript/bin/tsc');
  const { status, stdout } = spawnSync(process.execPath, [tsc, '--project', join(here, 'types')], { encoding: 'utf8' });
  assert.equal(status, 0, stdout);
  // `@ts-expect-error` fails where there is no error; without it each must fail.
  const files = readdirSync(join(here, 'types')).filter((name) => /\.(mts|cts)$/.test(name));
  const expected = files.map((name) => readFileSync(join(here, 'types', name), 'utf8').split('@ts-expect-error').length - 1);
  assert.ok(expected.every((count) => count > 0), `${expected}`);
});

function load(from, env = {}) {
  const code = 'require("libmigrate")';
  return spawnSync(process.execPath, ['-e', code], { cwd: from, encoding: 'utf8', env: { ...process.env, ...env } });
}

/** A copy of the package without its native half. */
function alone(t) {
  const at = folder(t);
  mkdirSync(at('node_modules'));
  cpSync(installed, at('node_modules/libmigrate'), { recursive: true });
  return at;
}

test('without the native half, the loader says what it tried, why, and what to do', (t) => {
  const { status, stderr } = load(alone(t)('.'));
  assert.notEqual(status, 0);
  assert.match(stderr, /cannot load libmigrate's native half for linux-x64-gnu \(node v\d+/);
  assert.match(stderr, /the package libmigrate-linux-x64-gnu: Cannot find module/);
  assert.match(stderr, /npm install --include=optional libmigrate-linux-x64-gnu@/);
});

test('a native half of another version is refused', (t) => {
  const at = alone(t);
  const native = at('node_modules/libmigrate-linux-x64-gnu');
  mkdirSync(native);
  writeFileSync(join(native, 'index.js'), 'exports.version = () => "9.9.9";');
  assert.match(load(at('.')).stderr, /found libmigrate-linux-x64-gnu 9\.9\.9: install/);
});

test('LIBMIGRATE_NATIVE names another file', (t) => {
  const at = alone(t);
  const binary = require.resolve('libmigrate-linux-x64-gnu');
  assert.equal(load(at('.'), { LIBMIGRATE_NATIVE: binary }).status, 0);
  writeFileSync(at('broken.node'), 'no library');
  const { stderr } = load(at('.'), { LIBMIGRATE_NATIVE: at('broken.node') });
  assert.match(stderr, /from LIBMIGRATE_NATIVE=.*broken\.node: /);
});

test('nothing runs when it is installed, and its versions agree', () => {
  const main = require('libmigrate/package.json');
  assert.equal(main.scripts, undefined);
  assert.equal(main.version, cjs.version);
  for (const [name, version] of Object.entries(main.optionalDependencies)) {
    assert.equal(version, main.version);
    const half = JSON.parse(readFileSync(join(dirname(require.resolve(name)), 'package.json'), 'utf8'));
    assert.deepEqual([half.name, half.version, half.scripts], [name, main.version, undefined]);
  }
});
