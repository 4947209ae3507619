'use strict';

const native = require('./native.js');
const { bytesOf, optionsOf, whole } = require('./arguments.js');
const { call } = require('./error.js');
const { promise } = require('./job.js');
const { Reader } = require('./reader.js');
const { insideOf } = require('./source.js');

/** One pass of replication, whose bytes are pushed. Collected as garbage, it stops. */
class Cycle {
  #native;
  #credential;
  /** Extents that were handed out to an iteration that had ended by then: another gets them. */
  #left = [];

  constructor(begun, credential) {
    if (!(begun instanceof native.Cycle)) throw new TypeError('use replica.begin');
    this.#native = begun;
    this.#credential = credential;
  }

  async next(options) {
    return this.#left.shift() ?? this.#run(options, () => this.#native.next());
  }

  wanted(options) {
    const { signal } = optionsOf(options, ['signal']);
    return new Reader({
      signal,
      take: () => this.#left.shift(),
      wait: async (stop) => {
        const extent = await this.next({ signal: stop });
        if (extent !== undefined) this.#left.push(extent);
        return extent !== undefined;
      },
    });
  }

  async push(offset, bytes, options) {
    const { signal } = optionsOf(options, ['signal']);
    signal?.throwIfAborted();
    const at = whole('offset', offset);
    const given = bytesOf('bytes', bytes);
    const waits = call(() => this.#native.push(at, given));
    if (waits) await promise(() => waits, { signal, asked: [this.#credential] });
  }

  async copyFrom(source, options) {
    const from = insideOf(source);
    return this.#run(options, () => this.#native.copyFrom(from.source), undefined, from.asked);
  }

  async seal(options) {
    return this.#run(options, () => this.#native.seal(), JSON.parse);
  }

  stop() {
    this.#left = [];
    call(() => this.#native.stop());
  }

  async [Symbol.asyncDispose]() {
    this.stop();
  }

  #run(options, start, finish, asked) {
    const { signal } = optionsOf(options, ['signal']);
    return promise(start, { signal, finish, asked: [asked, this.#credential] });
  }
}

module.exports = { Cycle };
