'use strict';

const native = require('./native.js');
const { optionsOf, text, toJson, whole } = require('./arguments.js');
const { Cycle } = require('./cycle.js');
const { LibmigrateError } = require('./error.js');
const { promise } = require('./job.js');
const { insideOf } = require('./source.js');

/** The replica of one disk, open for writing by this engine alone. */
class Replica {
  #native;
  /** The credential of its target, if that is the program's own. */
  #credential;

  constructor(opened, credential) {
    if (!(opened instanceof native.Replica)) throw new TypeError('use engine.openReplica');
    this.#native = opened;
    this.#credential = credential;
  }

  get location() {
    return this.#native.location;
  }

  async diskBytes(options) {
    return this.#run(options, () => this.#native.diskBytes(), {});
  }

  async replicate(source, settings, options) {
    const json = toJson('cycle', settings);
    const from = insideOf(source);
    return this.#run(options, () => this.#native.replicate(from.source, json), { asked: from.asked, finish: JSON.parse });
  }

  async begin(source, settings, options) {
    const json = toJson('cycle', settings);
    const from = insideOf(source);
    return this.#run(options, () => this.#native.begin(from.source, json), {
      asked: from.asked,
      finish: (cycle) => new Cycle(cycle, this.#credential),
    });
  }

  async verify(settings, options) {
    const { source, ...others } = optionsOf(options, ['source', 'signal']);
    const json = toJson('verify', settings);
    const from = source === undefined ? {} : insideOf(source);
    return this.#run(others, () => this.#native.verify(from.source, json), { asked: from.asked, finish: JSON.parse });
  }

  async recoveryPoints(options) {
    return this.#run(options, () => this.#native.recoveryPoints(), { finish: JSON.parse });
  }

  async history(options) {
    return this.#run(options, () => this.#native.history(), { finish: JSON.parse });
  }

  async prune(rule, options) {
    const json = toJson('keep', rule);
    return this.#run(options, () => this.#native.prune(json), { finish: JSON.parse });
  }

  async rollBack(cycle, options) {
    const number = whole('cycle', cycle);
    return this.#run(options, () => this.#native.rollBack(number), { finish: JSON.parse });
  }

  async exportProof(path, settings, options) {
    const file = text('path', path);
    const json = toJson('proof', settings);
    return this.#run(options, () => this.#native.exportProof(file, json), { finish: JSON.parse });
  }

  async garbage(options) {
    return this.#run(options, () => this.#native.garbage(), { finish: JSON.parse });
  }

  async collectGarbage(options) {
    return this.#run(options, () => this.#native.collectGarbage(), { finish: JSON.parse });
  }

  async close(options) {
    return this.#run(options, () => this.#native.close(), {});
  }

  async [Symbol.asyncDispose]() {
    try {
      await this.close();
    } catch (error) {
      // With its engine everything of it is closed.
      if (!(error instanceof LibmigrateError && error.code === 'call.closed')) throw error;
    }
  }

  #run(options, start, { asked, finish }) {
    const { signal } = optionsOf(options, ['signal']);
    return promise(start, { signal, finish, asked: [asked, this.#credential] });
  }
}

module.exports = { Replica };
