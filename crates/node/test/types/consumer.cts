// A strict TypeScript program over the CommonJS module. Never run.

import libmigrate = require('libmigrate');

export async function all(): Promise<number> {
  const engine = new libmigrate.Engine();
  const source: libmigrate.Source = libmigrate.Source.served({ size_bytes: 5, read: (offset, length) => Buffer.alloc(length, offset) });
  const replica = await engine.openReplica(libmigrate.Target.open({ local: 'x' }), source);
  await replica.close();
  await engine.close({ limitMs: 5 });
  return source.sizeBytes;
}

// @ts-expect-error there is none
libmigrate.nothing();
