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

  next() {
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

  async #next() {
    try {
      for (;;) {
        if (this.#stop.signal.aborted) return { done: true, value: undefined };
        this.#signal?.throwIfAborted();
        const value = this.#take();
        if (value !== undefined && value !== null) return { done: false, value };
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
