'use strict';

const native = require('./native.js');
const { kindOf, optionsOf, toJson } = require('./arguments.js');
const { Asked } = require('./asked.js');
const { call, refused } = require('./error.js');

/** Where a replica goes. */
class Target {
  #native;
  #asked;

  constructor(opened, asked) {
    if (!(opened instanceof native.Target)) throw new TypeError('use Target.open');
    this.#native = opened;
    this.#asked = asked;
  }

  static open(settings, options) {
    const json = toJson('target', settings);
    const { credential } = optionsOf(options, ['credential']);
    if (credential === undefined) return new Target(call(() => native.Target.open(json)));
    const asked = tokensOf(credential);
    return new Target(call(() => asked.requests.openTarget(json)), asked);
  }

  get location() {
    return this.#native.location;
  }

  /** What native code and jobs need of a target. */
  static insideOf(target) {
    if (target === null || typeof target !== 'object' || !(#native in target)) {
      throw refused('target', `it is ${kindOf(target)}, and no Target`);
    }
    return { target: target.#native, asked: target.#asked };
  }
}

/** What asks a credential of the program for tokens. */
function tokensOf(credential) {
  if (typeof credential?.getToken !== 'function') {
    throw refused('options.credential', `it is ${kindOf(credential)}, and has no getToken()`);
  }
  return new Asked(
    (look) => call(() => new native.Tokens(look)),
    async ({ scopes }, abortSignal) => tokenOf(await credential.getToken(scopes, { abortSignal })),
    { onlyForJobs: false },
  );
}

/** The token and the second at which it expires, of an `AccessToken` of @azure/core-auth. */
function tokenOf(given) {
  if (typeof given?.token !== 'string' || given.token === '') throw new TypeError('getToken() gave no token');
  const expires = Math.floor(Number(given.expiresOnTimestamp) / 1000);
  if (!Number.isSafeInteger(expires)) throw new TypeError('getToken() gave a token without expiresOnTimestamp');
  return [given.token, expires];
}

const { insideOf } = Target;
delete Target.insideOf;

module.exports = { Target, insideOf, tokensOf };
