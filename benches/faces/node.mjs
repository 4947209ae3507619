// What Node's face costs: a disk of MIB MiB, pushed and served, to fresh local targets in FOLDER.
//
//     node node.mjs FOLDER MIB
//
// LIBMIGRATE_NATIVE names the native half, a release build of it.

import { join } from 'node:path';

import { Engine, Source, Target } from '../../crates/node/index.mjs';

const LEN = 1 << 20;
// 2^52 at most, so exact as a number; `>>` would cut it to 32 bits.
const PATTERN = Buffer.from(Array.from({ length: LEN }, (_, i) => Math.floor((i * 2654435761) / 8192) & 0xff));

/** Every MiB is the same but for its number in the first eight bytes. */
function fill(buffer, offset, length) {
  for (let at = offset; at < offset + length; ) {
    const number = Math.floor(at / LEN);
    const within = at % LEN;
    const part = Math.min(LEN - within, offset + length - at);
    const whole = Buffer.from(PATTERN);
    whole.writeBigUInt64LE(BigInt(number));
    whole.copy(buffer, at - offset, within, within + part);
    at += part;
  }
}

/** A buffer of one MiB at a time, of which only the number is written anew. */
function piece(buffer, offset, length) {
  if (length === LEN && offset % LEN === 0) {
    buffer.writeBigUInt64LE(BigInt(offset / LEN));
    return buffer;
  }
  const other = Buffer.alloc(length);
  fill(other, offset, length);
  return other;
}

async function timed(folder, way, mib) {
  const size_bytes = mib * LEN;
  // As many as are read at once: each is copied before it is used again.
  const buffers = Array.from({ length: 4 }, () => Buffer.from(PATTERN));
  let turn = 0;
  const next = () => buffers[(turn = (turn + 1) % buffers.length)];
  const engine = new Engine({ state_dir: join(folder, `state-${way}`) });
  const target = Target.open({ local: join(folder, `${way}.vhd`) });

  const start = performance.now();
  if (way === 'push') {
    const source = Source.pushed({ size_bytes, point: '1' });
    const replica = await engine.openReplica(target, source);
    const cycle = await replica.begin(source);
    for await (const { offset, len } of cycle.wanted()) await cycle.push(offset, piece(next(), offset, len));
    await cycle.seal();
    await replica.close();
  } else {
    const disk = { size_bytes, point: '1', read: (offset, length) => piece(next(), offset, length) };
    const replica = await engine.openReplica(target, disk);
    await replica.replicate(disk);
    await replica.close();
  }
  console.log(JSON.stringify({ way, mib, seconds: (performance.now() - start) / 1000 }));
  if (way === 'serve') await timeEvents(engine);
  await engine.close();
}

async function timeEvents(engine) {
  let last = 0;
  for await (const { seq, type } of engine.events()) {
    last = seq;
    if (type === 'sealed') break;
  }
  let count = 0;
  const start = performance.now();
  // A run has few of them: they are read until there are enough to be timed.
  while (count < 2000) {
    for await (const { seq } of engine.events()) {
      count += 1;
      if (seq === last) break;
    }
  }
  console.log(JSON.stringify({ way: 'event', count, microseconds_each: ((performance.now() - start) * 1000) / count }));
}

const [folder, mib] = process.argv.slice(2);
for (const way of ['push', 'serve']) await timed(folder, way, Number(mib));
