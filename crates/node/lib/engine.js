'use strict';

const native = require('./native.js');
const { kindOf, optionsOf, toJson, whole } = require('./arguments.js');
const { LibmigrateError, call, refused } = require('./error.js');
const { promise } = require('./job.js');
const { Project } = require('./project.js');
const { Reader } = require('./reader.js');
const { Replica } = require('./replica.js');
const { Source, insideOf: insideOfSource } = require('./source.js');
const { insideOf: insideOfTarget, tokensOf } = require('./target.js');

/** How long `close` waits for threads that hang in a read, unless told otherwise. */
const CLOSE_LIMIT_MS = 5000;

/** An engine with threads of its own, on which everything runs that is opened with it. */
class Engine {
  #native;
  #closing;

  constructor(settings) {
    const json = toJson('engine', settings);
    this.#native = call(() => new native.Engine(json));
  }

  static open(settings) {
    return new Engine(settings);
  }

  async openSource(settings, options) {
    const { signal } = optionsOf(options, ['signal']);
    const json = toJson('source', settings);
    return promise(() => this.#native.openSource(json), { signal, finish: (source) => new Source(source) });
  }

  async openReplica(target, source, options) {
    return this.#open(target, source, options, false);
  }

  async takeOver(target, source, options) {
    return this.#open(target, source, options, true);
  }

  #open(target, source, options, takeOver) {
    const { signal } = optionsOf(options, ['signal']);
    const to = insideOfTarget(target);
    const from = insideOfSource(source);
    return promise(() => this.#native.openReplica(to.target, from.source, takeOver), {
      signal,
      asked: [to.asked],
      finish: (replica) => new Replica(replica, to.asked),
    });
  }

  openProject(settings, options) {
    const json = toJson('project', settings);
    const { credential } = optionsOf(options, ['credential']);
    const asked = tokensOf(credential);
    return new Project(call(() => asked.requests.openProject(this.#native, json)), asked);
  }

  events(options) {
    const { after = 0, signal } = optionsOf(options, ['after', 'signal']);
    const seen = whole('after', after);
    const events = call(() => this.#native.events(seen));
    return new Reader({
      signal,
      take: () => {
        const event = events.tryNext();
        return event === null ? undefined : JSON.parse(event);
      },
      wait: async (stop) => {
        try {
          await promise(() => events.wait(), { signal: stop, weak: true });
          return true;
        } catch (error) {
          // What is kept was read to its end before.
          if (error instanceof LibmigrateError && error.code === 'call.closed') return false;
          throw error;
        }
      },
    });
  }

  async preflightNetwork(settings, options) {
    const { signal } = optionsOf(options, ['signal']);
    const json = toJson('preflight', settings);
    return promise(() => this.#native.preflightNetwork(json), { signal, finish: JSON.parse });
  }

  setBytesPerSecond(limit) {
    const bytes = limit === null ? null : whole('limit', limit);
    call(() => this.#native.setBytesPerSecond(bytes));
  }

  setSchedule(schedule) {
    if (schedule === undefined) throw refused('schedule', `it is ${kindOf(schedule)}: null is none`);
    const json = schedule === null ? null : toJson('schedule', schedule);
    call(() => this.#native.setSchedule(json));
  }

  get closed() {
    return this.#native.closed;
  }

  async close(options) {
    const { limitMs = CLOSE_LIMIT_MS } = optionsOf(options, ['limitMs']);
    const limit = whole('limitMs', limitMs);
    this.#closing ??= new Promise((resolve) => call(() => this.#native.close(limit, resolve)));
    return this.#closing;
  }

  async [Symbol.asyncDispose]() {
    await this.close();
  }
}

module.exports = { Engine };
