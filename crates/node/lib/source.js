'use strict';

const native = require('./native.js');
const { bytesOf, kindOf, toJson } = require('./arguments.js');
const { Asked } = require('./asked.js');
const { call, refused } = require('./error.js');

/** The fields of a disk that the program reads, besides `read`. */
const FIELDS = ['size_bytes', 'identity', 'point', 'zero', 'max_in_flight'];

/** A disk to replicate: opened by `engine.openSource`, pushed, or read by your own code. */
class Source {
  #native;
  #asked;

  constructor(opened, asked) {
    if (!(opened instanceof native.Source)) throw new TypeError('use engine.openSource, Source.pushed or Source.served');
    this.#native = opened;
    this.#asked = asked;
  }

  static pushed(settings) {
    const json = toJson('source', settings);
    return new Source(call(() => native.Source.pushed(json)));
  }

  static served(disk) {
    if (typeof disk?.read !== 'function') throw refused('source', 'it is neither a Source nor an object with read()');
    const json = toJson('source', fieldsOf(disk));
    const asked = new Asked(
      (look) => call(() => new native.Reads(json, look)),
      async ({ offset, len }, signal) => [bytesOf('what read() gave', await disk.read(offset, len, signal))],
      { onlyForJobs: true },
    );
    return new Source(asked.requests.source(), asked);
  }

  get sizeBytes() {
    return this.#native.sizeBytes;
  }

  get identity() {
    return this.#native.identity ?? undefined;
  }

  get point() {
    return this.#native.point ?? undefined;
  }

  get notes() {
    return this.#native.notes;
  }

  /** What native code and jobs need of a source, or of an object with `read()`. */
  static insideOf(source) {
    if (source === null || typeof source !== 'object') {
      throw refused('source', `it is ${kindOf(source)}, and neither a Source nor an object with read()`);
    }
    const of = #native in source ? source : Source.served(source);
    return { source: of.#native, asked: of.#asked };
  }
}

/**
 * The settings of a disk that is read by `disk.read`. A plain object may have no others, so that a misspelt one is
 * noticed; an object of a class may keep what it likes.
 */
function fieldsOf(disk) {
  const plain = [Object.prototype, null].includes(Object.getPrototypeOf(disk));
  const names = plain ? Object.keys(disk).filter((name) => name !== 'read') : FIELDS;
  return Object.fromEntries(names.map((name) => [name, disk[name]]));
}

const { insideOf } = Source;
delete Source.insideOf;

module.exports = { Source, insideOf };
