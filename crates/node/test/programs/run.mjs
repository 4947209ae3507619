// A program that is looked at from outside: FOLDER WAY [NUMBER].

import { join } from 'node:path';
import { createRequire } from 'node:module';
import { parentPort } from 'node:worker_threads';

import { Engine, LibmigrateError, Source, Target, logs } from 'libmigrate';

const MIB = 1 << 20;
const [folder, way, number = '0'] = process.argv.slice(2);
const at = (name) => join(folder, name);
const slow = () => new Engine({ state_dir: at(`state${number}`), bytes_per_second: MIB });
const target = () => Target.open({ local: at(`replica${number}.vhd`) });
const say = (word) => (parentPort ? parentPort.postMessage(word) : console.log(word));

async function begun(engine) {
  for await (const event of engine.events()) if (event.type === 'cycle_started') return;
}

async function run(engine) {
  const source = await engine.openSource({ path: at('web01.raw'), format: 'raw' });
  const replica = await engine.openReplica(target(), source);
  return replica.replicate(source);
}

async function readForEver(engine) {
  let reading;
  const begins = new Promise((resolve) => { reading = resolve; });
  const disk = { size_bytes: 8 * MIB, point: 'p', read() { reading(); return new Promise(() => {}); } };
  const replica = await engine.openReplica(target(), disk);
  replica.replicate(disk).catch(() => {});
  await begins;
}

const ways = {
  async exit() {
    const engine = slow();
    run(engine).catch(() => {});
    await begun(engine);
    say('started');
    process.exit(7);
  },
  async 'exit in a read'() {
    await readForEver(slow());
    say('reading');
    process.exit(7);
  },
  async listen() {
    const engine = new Engine();
    engine.events().next();
    logs().next();
    Source.served({ size_bytes: MIB, read() {} });
    say('listening');
  },
  async await() {
    const { kind } = await run(new Engine({ state_dir: at('state') }));
    say(kind);
  },
  async rejections() {
    process.on('unhandledRejection', (error) => say(`unhandled: ${error.code}`));
    const engine = slow();
    engine.openSource({ path: '/nowhere' });
    await engine.openSource({ path: '/nowhere' }).catch(() => {});
    const stop = new AbortController();
    const events = engine.events({ signal: stop.signal });
    const next = events.next().catch(() => {});
    stop.abort();
    await next;
    const cancelled = run(engine).catch(() => {});
    await begun(engine);
    await engine.close();
    await cancelled;
  },
  async garbage() {
    const engine = new Engine({ state_dir: at('state') });
    let collected = 0;
    const registry = new FinalizationRegistry(() => { collected += 1; });
    for (let time = 0; time < 10; time += 1) {
      const source = Source.served({ size_bytes: MIB, read() {} });
      registry.register(source, time);
      registry.register(engine.events(), time);
    }
    const replica = await engine.openReplica(target(), Source.pushed({ size_bytes: MIB, point: 'p' }));
    // A cycle that nobody holds any more stops, so that another can begin.
    const hold = async () => void (await replica.begin(Source.pushed({ size_bytes: MIB, point: 'p' })));
    await hold();
    const collecting = setInterval(globalThis.gc, 5);
    while (collected < 15) await new Promise((resolve) => { setTimeout(resolve, 5); });
    say('collected');
    const cycle = await replica.begin(Source.pushed({ size_bytes: MIB, point: 'p' }));
    for await (const { offset, len } of cycle.wanted()) await cycle.push(offset, new Uint8Array(len).fill(1));
    await cycle.seal();
    clearInterval(collecting);
    say('sealed');
  },
  async panic() {
    // Only a build for tests has it.
    const require = createRequire(createRequire(import.meta.url).resolve('libmigrate'));
    const native = require('./lib/native.js');
    const { call } = require('./lib/error.js');
    try {
      call(() => native.panicOnPurpose());
    } catch (error) {
      say(`${error instanceof LibmigrateError} ${error.code} ${error.message}`);
    }
    await new Engine().close();
    say('still here');
  },
  async 'run in a worker'() {
    const engine = slow();
    run(engine).catch(() => {});
    await begun(engine);
    say('started');
    setInterval(() => {}, 1000);
  },
  async 'read in a worker'() {
    await readForEver(slow());
    say('reading');
    setInterval(() => {}, 1000);
  },
  async 'whole run in a worker'() {
    const { kind } = await run(new Engine({ state_dir: at(`state${number}`) }));
    say(kind);
  },
};

await ways[way]();
