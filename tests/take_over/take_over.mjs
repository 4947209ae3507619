// A program that is killed in the middle: node take_over.mjs FOLDER BYTES_PER_SECOND
//
// LIBMIGRATE_NATIVE names the native half (`target/debug/liblibmigrate_node.so`).

import { writeSync } from 'node:fs';
import { join } from 'node:path';

import { Engine, Target } from '../../crates/node/index.mjs';

const [folder, limit] = process.argv.slice(2);
// Written before anything else goes on.
const say = (line) => writeSync(1, `${JSON.stringify(line)}\n`);

try {
  const bytesPerSecond = Number(limit);
  const settings = bytesPerSecond === 0 ? {} : { bytes_per_second: bytesPerSecond };
  const engine = new Engine({ state_dir: join(folder, 'state'), ...settings });
  const told = (async () => {
    for await (const event of engine.events()) say(event);
  })();
  const source = await engine.openSource({ path: join(folder, 'disk.raw'), format: 'raw' });
  const replica = await engine.openReplica(Target.open({ local: join(folder, 'replica.vhd') }), source);
  const point = await replica.replicate(source);
  await replica.close();
  await engine.close();
  await told;
  say({ type: 'done', point });
} catch (error) {
  say({ type: 'error', error });
  process.exit(1);
}
