'use strict';

const native = require('./native.js');

/** An error of this library. `cause` is what your own source or credential threw, if that was why. */
class LibmigrateError extends Error {
  constructor({ code, kind, retryable, message, remedy, causes }, options) {
    super(message, options);
    this.code = code;
    this.kind = kind;
    this.retryable = retryable;
    this.remedy = remedy;
    this.causes = causes;
  }

  /** The error as every language of this library writes it. */
  toJSON() {
    const { code, kind, retryable, message, remedy, causes } = this;
    return { code, kind, retryable, message, remedy, causes };
  }
}

// Not an own property of each, so that it is not printed twice.
Object.defineProperty(LibmigrateError.prototype, 'name', { value: 'LibmigrateError' });

/** The failure that native code threw, whose message is its JSON; anything else it throws is a defect of ours. */
function failureOf(thrown) {
  try {
    const failure = JSON.parse(thrown.message);
    if (typeof failure.code === 'string') return failure;
  } catch {
    // Not ours: below.
  }
  return JSON.parse(native.internal(thrown.message));
}

/** Calls native code, and throws its failures as errors. */
function call(work) {
  try {
    return work();
  } catch (thrown) {
    throw new LibmigrateError(failureOf(thrown));
  }
}

/** The error of an argument that cannot be used. `problem` must not repeat its value, which may be a secret. */
function refused(argument, problem, options) {
  return new LibmigrateError(JSON.parse(native.refused(argument, problem)), options);
}

module.exports = { LibmigrateError, call, failureOf, refused };
