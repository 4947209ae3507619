'use strict';

const native = require('./native.js');
const { optionsOf, toJson } = require('./arguments.js');
const { promise } = require('./job.js');

/** The control plane of one migration: what is wanted, and the service to ask. */
class Project {
  #native;
  #credential;

  constructor(opened, credential) {
    if (!(opened instanceof native.Project)) throw new TypeError('use engine.openProject');
    this.#native = opened;
    this.#credential = credential;
  }

  async preflight(settings, options) {
    const json = toJson('preflight', settings);
    return this.#run(options, () => this.#native.preflight(json));
  }

  async plan(aim, options) {
    const json = toJson('plan', aim);
    return this.#run(options, () => this.#native.plan(json));
  }

  async ask(verb, options) {
    const json = toJson('ask', { verb });
    return this.#run(options, () => this.#native.ask(json));
  }

  async template(plan, options) {
    const json = toJson('template', { plan });
    return this.#run(options, () => this.#native.template(json));
  }

  async hostsLines(options) {
    return this.#run(options, () => this.#native.hostsLines());
  }

  async apply(plan, settings, options) {
    const json = toJson('apply', { ...settings, plan });
    return this.#run(options, () => this.#native.apply(json));
  }

  async cutover(step, settings, options) {
    const json = toJson('cutover', { ...settings, do: step });
    return this.#run(options, () => this.#native.cutover(json));
  }

  told() {
    const told = this.#native.nextTold();
    return told === null ? undefined : JSON.parse(told);
  }

  #run(options, start) {
    const { signal } = optionsOf(options, ['signal']);
    return promise(start, { signal, finish: JSON.parse, asked: [this.#credential] });
  }
}

module.exports = { Project };
