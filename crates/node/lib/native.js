'use strict';

// Finds the native half. It comes as a package of its own for each platform (optionalDependencies), so nothing is
// compiled or fetched when libmigrate is installed. LIBMIGRATE_NATIVE names another file to load instead.

const ours = require('../package.json');

function libc() {
  if (process.platform !== 'linux') return '';
  const { report } = process;
  if (!report) return 'gnu';
  const before = report.excludeNetwork;
  report.excludeNetwork = true; // it would look up the name of every open connection
  const { glibcVersionRuntime } = report.getReport().header;
  report.excludeNetwork = before;
  return glibcVersionRuntime ? 'gnu' : 'musl';
}

function load() {
  const named = process.env.LIBMIGRATE_NATIVE;
  if (named) {
    const module = { exports: {} };
    try {
      process.dlopen(module, require('node:path').resolve(named));
    } catch (cause) {
      throw new Error(`cannot load libmigrate's native half from LIBMIGRATE_NATIVE=${named}: ${cause.message}`, { cause });
    }
    return module.exports;
  }
  const platform = [process.platform, process.arch, libc()].filter(Boolean).join('-');
  const name = `libmigrate-${platform}`;
  let found;
  try {
    found = require(name);
  } catch (cause) {
    const prebuilt = Object.keys(ours.optionalDependencies);
    const advice = prebuilt.includes(name)
      ? `install it: npm install --include=optional ${name}@${ours.version}`
      : `it is prebuilt for ${prebuilt.join(', ')}; build crates/node for this platform and name the file in LIBMIGRATE_NATIVE`;
    const why = `cannot load libmigrate's native half for ${platform} (node ${process.version}), the package ${name}`;
    throw new Error(`${why}: ${cause.message.split('\n')[0]}; ${advice}`, { cause });
  }
  const theirs = found.version();
  if (theirs !== ours.version) {
    throw new Error(`libmigrate ${ours.version} found ${name} ${theirs}: install ${name}@${ours.version}`);
  }
  return found;
}

module.exports = load();
