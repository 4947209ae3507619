'use strict';

const { kindOf } = require('./arguments.js');

/**
 * Something of the program's own that the engine asks: its requests are taken on this thread, as many at once as there
 * are, and answered when the program's function is done.
 */
class Asked {
  #requests;
  #answer;
  #running = new Map();
  #onlyForJobs;
  #users = 0;

  /** What was thrown last, for the `cause` of the error that it leads to. */
  thrown;

  /**
   * @param make makes the native queue, given what is to be called when there may be a request
   * @param answer answers one: gets the request and a signal, returns (a promise of) the queue's arguments
   * @param onlyForJobs whether nobody else asks: without a job, nobody waits for the answers that are still due. Tokens
   * are asked for by what keeps a lease, too.
   */
  constructor(make, answer, { onlyForJobs }) {
    this.#answer = answer;
    this.#onlyForJobs = onlyForJobs;
    this.#requests = make(() => this.#look());
  }

  get requests() {
    return this.#requests;
  }

  /** A job begins that may ask. */
  begin() {
    if (this.#users === 0) this.thrown = undefined;
    this.#users += 1;
  }

  /** It has ended. */
  end() {
    this.#users -= 1;
    if (this.#users === 0 && this.#onlyForJobs) this.#abandon();
  }

  #abandon() {
    for (const [id, stop] of this.#running) {
      // A thread of the engine may still wait.
      this.#requests.fail(id, 'nobody waits for it any more');
      stop.abort();
    }
  }

  #look() {
    for (;;) {
      let request;
      try {
        request = this.#requests.take();
      } catch {
        // Nobody will ask any more.
        this.#abandon();
        this.#requests.close();
        return;
      }
      if (!request) return;
      this.#serve(request);
    }
  }

  async #serve(request) {
    const stop = new AbortController();
    this.#running.set(request.id, stop);
    try {
      const answer = await this.#answer(request, stop.signal);
      this.#requests.answer(request.id, ...answer);
    } catch (error) {
      this.thrown = { error, words: wordsOf(error) };
      this.#requests.fail(request.id, this.thrown.words);
    } finally {
      this.#running.delete(request.id);
    }
  }
}

/** What something that was thrown says. Anything can be thrown, also what throws when it is looked at. */
function wordsOf(error) {
  try {
    const words = error instanceof Error ? error.message || error.name : error;
    return typeof words === 'string' && words !== '' ? words : `it threw ${kindOf(error)}`;
  } catch {
    return 'it threw something unreadable';
  }
}

module.exports = { Asked };
