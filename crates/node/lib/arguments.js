'use strict';

// What comes in. JavaScript's numbers are exact up to 2^53 - 1, which no size or offset of a disk reaches (8 TiB is
// 2^43): a number beyond was rounded on its way, so it is refused and not used. bigints are taken wherever numbers are.

const { LibmigrateError, refused } = require('./error.js');

/** A whole number of at least 0. */
function whole(name, value) {
  const number = typeof value === 'bigint' ? Number(value) : value;
  if (typeof number !== 'number') throw refused(name, `it is ${kindOf(value)}, and no number`);
  if (!Number.isInteger(number)) throw refused(name, 'it is no whole number');
  if (number < 0) throw refused(name, 'it is negative');
  if (!Number.isSafeInteger(number)) throw refused(name, 'it is beyond 2^53 - 1');
  return number;
}

/** Settings as JSON text. Nothing of them is dropped silently, except what is undefined. */
function toJson(what, settings) {
  if (settings === undefined) return '';
  const named = (key) => (key === '' ? what : `${what}.${key}`);
  function checked(key, value) {
    // As it is in the settings: a patched BigInt.prototype.toJSON may have made a text of it.
    const raw = this[key];
    if (typeof raw === 'bigint') {
      if (!Number.isSafeInteger(Number(raw))) throw refused(named(key), 'it is beyond 2^53 - 1');
      return Number(raw);
    }
    if (typeof value === 'number') {
      if (!Number.isFinite(value)) throw refused(named(key), 'it is no finite number');
      if (Number.isInteger(value) && !Number.isSafeInteger(value)) throw refused(named(key), 'it is beyond 2^53 - 1');
    }
    if (typeof value === 'function' || typeof value === 'symbol') throw refused(named(key), `it is ${kindOf(value)}`);
    return value;
  }
  try {
    return JSON.stringify(settings, checked);
  } catch (cause) {
    if (cause instanceof LibmigrateError) throw cause;
    throw refused(what, 'it cannot be written as JSON', { cause });
  }
}

/** A function or an option that must be a text. */
function text(name, value) {
  if (typeof value !== 'string') throw refused(name, `it is ${kindOf(value)}, and no string`);
  return value;
}

/** Options: what cannot be JSON. */
function optionsOf(options, known) {
  if (options === undefined) return {};
  if (options === null || typeof options !== 'object') throw refused('options', `it is ${kindOf(options)}, and no object`);
  const unknown = Object.keys(options).find((key) => !known.includes(key));
  if (unknown !== undefined) throw refused(`options.${unknown}`, `there is only ${known.join(', ')}`);
  const { signal } = options;
  if (signal !== undefined && typeof signal?.addEventListener !== 'function') {
    throw refused('options.signal', `it is ${kindOf(signal)}, and no AbortSignal`);
  }
  return options;
}

/**
 * Bytes to be copied into the engine. Memory that is shared with other threads may change while it is copied, so it is
 * copied once more, by JavaScript, for which that is no harm.
 */
function bytesOf(name, bytes) {
  if (!(bytes instanceof Uint8Array)) throw refused(name, `it is ${kindOf(bytes)}, and no Uint8Array`);
  return bytes.buffer instanceof SharedArrayBuffer ? new Uint8Array(bytes) : bytes;
}

function kindOf(value) {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'an array';
  const type = typeof value;
  return type === 'undefined' ? type : `${type === 'object' ? 'an' : 'a'} ${type}`;
}

module.exports = { bytesOf, kindOf, optionsOf, text, toJson, whole };
