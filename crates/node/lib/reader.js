'use strict';

/**
 * An async iterator over what native code keeps. Nothing is buffered here: each turn takes one, and whoever is slow
 * finds what is still kept.
 */
class Reader {
  #take;
  #wait;
  #signal;
  #stop = new AbortController();
  #turn = Promise.resolve();
  #waiting = 0;
  #release;

  /**
   * @param take takes the next, if there is one
   * @param wait a promise that there may be another: false when there will be none
   * @param release what is to be done at the end
   */
  constructor({ take, wait, signal, release = () => {} }) {
    this.#take = take;
    this.#wait = wait;
    this.#signal = signal;
    this.#release = release;
  }

  async next() {
    // While nobody waits, what is there already costs no turn.
    if (this.#waiting === 0) {
      const there = this.#there();
      if (there) return there;
    }
    this.#waiting += 1;
    try {
      return await this.#inTurn();
    } finally {
      this.#waiting -= 1;
    }
  }

  #inTurn() {
    const turn = this.#turn.then(() => this.#next());
    // The next turn comes after this one, whatever comes of it.
    this.#turn = turn.catch(() => {});
    return turn;
  }

  async return() {
    this.#end();
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator]() {
    return this;
  }

  async [Symbol.asyncDispose]() {
    this.#end();
  }

  /** The next, or the end, if that is known already. */
  #there() {
    if (this.#stop.signal.aborted) return { done: true, value: undefined };
    if (this.#signal?.aborted) {
      this.#end();
      throw this.#signal.reason;
    }
    const value = this.#take();
    return value === undefined ? undefined : { done: false, value };
  }

  async #next() {
    try {
      for (;;) {
        const there = this.#there();
        if (there) return there;
        if (!(await this.#more())) {
          this.#end();
          return { done: true, value: undefined };
        }
      }
    } catch (error) {
      this.#end();
      throw error;
    }
  }

  /** Waits for another, or for the end of the iteration: at once, since waiting keeps no process alive. */
  async #more() {
    const stop = new AbortController();
    const signals = [this.#stop.signal, this.#signal].filter((signal) => signal !== undefined);
    let abort;
    const aborted = new Promise((resolve) => {
      abort = () => {
        stop.abort();
        resolve(true);
      };
    });
    signals.forEach((signal) => signal.addEventListener('abort', abort, { once: true }));
    try {
      return await Promise.race([aborted, this.#wait(stop.signal)]);
    } finally {
      signals.forEach((signal) => signal.removeEventListener('abort', abort));
    }
  }

  #end() {
    if (this.#stop.signal.aborted) return;
    this.#stop.abort();
    this.#release();
  }
}

module.exports = { Reader };
