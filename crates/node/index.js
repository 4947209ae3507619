'use strict';

const native = require('./lib/native.js');
const { text, toJson } = require('./lib/arguments.js');
const { Cycle } = require('./lib/cycle.js');
const { Engine } = require('./lib/engine.js');
const { LibmigrateError, call } = require('./lib/error.js');
const { logs } = require('./lib/logs.js');
const { Project } = require('./lib/project.js');
const { Replica } = require('./lib/replica.js');
const { Source } = require('./lib/source.js');
const { Target } = require('./lib/target.js');

/** Asks the control plane's model: pure, nothing is sent. */
function control(name, input) {
  const function_ = text('function', name);
  const json = toJson(name, input);
  return JSON.parse(call(() => native.control(function_, json)));
}

/** The version of this library. */
const version = native.version();

module.exports = { Cycle, Engine, LibmigrateError, Project, Replica, Source, Target, control, logs, version };
