// A strict TypeScript program over the ES module. Never run.

import type { TokenCredential as AzureCredential } from '@azure/core-auth';
import {
  Cycle,
  Engine,
  LibmigrateError,
  Replica,
  Source,
  Target,
  control,
  logs,
  version,
  type Counts,
  type Disk,
  type Event,
  type Finding,
  type RecoveryPoint,
  type VerifyReport,
} from 'libmigrate';

declare const azure: AzureCredential;
declare const signal: AbortSignal;
declare const maybe: AbortSignal | undefined;

class Snapshot implements Disk {
  readonly size_bytes = 1n << 40n;
  async read(offset: number, length: number, stop: AbortSignal): Promise<Uint8Array> {
    stop.throwIfAborted();
    return Buffer.alloc(length, offset);
  }
}

export async function all(): Promise<void> {
  await using engine = Engine.open({ state_dir: '/var/lib/x', memory_limit: 1n << 28n, bytes_per_second: 5 });
  const source = await engine.openSource({ path: 'web01.vhdx', format: 'vhdx' }, { signal });
  const target = Target.open({ url: 'https://a/b/c' }, { credential: azure });
  await using replica = await engine.openReplica(target, source, { signal: maybe });
  const point: RecoveryPoint = await replica.replicate(new Snapshot(), { kind: 'final' }, { signal });
  const counts: Counts = point.counts;
  const sent: number = counts.sent;
  await using cycle: Cycle = await replica.begin(Source.pushed({ size_bytes: 5n }));
  for await (const { offset, len } of cycle.wanted({ signal })) await cycle.push(offset, new Uint8Array(len));
  const report: VerifyReport = await replica.verify({ subject: { cycle: 3 } }, { source });
  const cycles: number[] = await replica.prune({ newest: 3, younger_than_seconds: 60n });
  for await (const event of engine.events({ after: 5n })) told(event);
  const found: Finding[] = (await engine.preflightNetwork({ targets: [{ host: 'x' }] })).targets.flatMap((t) => t.findings);
  for await (const line of logs({ level: 'warn' })) console.log(line.message.length);
  const text: string = control('markdown', { plan: {} }) + version;
  console.log(sent, report.equal, cycles.length, found.length, text, source.point?.length);
}

function told(event: Event): number | string {
  switch (event.type) {
    case 'progress':
      return event.counts.read + event.bytes_per_second + (event.seconds_left ?? 0);
    case 'stopped':
      return event.code;
    default:
      return event.seq;
  }
}

export function caught(error: unknown): string {
  if (!(error instanceof LibmigrateError)) throw error;
  const kind: 'retryable' | 'fatal' | 'caller' = error.kind;
  return error.toJSON().code + kind + error.causes.join();
}

export async function wrong(engine: Engine, replica: Replica, source: Source, cycle: Cycle): Promise<void> {
  // @ts-expect-error misspelt
  Engine.open({ memory_limt: 5 });
  // @ts-expect-error no text
  Engine.open({ memory_limit: '5' });
  // @ts-expect-error neither path nor nbd
  await engine.openSource({});
  // @ts-expect-error no such kind
  await replica.replicate(source, { kind: 'backwards' });
  // @ts-expect-error a disk has a size
  await replica.replicate({ read: () => new Uint8Array() });
  // @ts-expect-error read gives bytes
  Source.served({ size_bytes: 5, read: () => 'text' });
  // @ts-expect-error no signal
  await replica.replicate(source, {}, { signal: 5 });
  // @ts-expect-error bytes
  await cycle.push(0, 'text');
  // @ts-expect-error not to be made
  new Replica();
  // @ts-expect-error where?
  Target.open({});
  // @ts-expect-error no credential
  Target.open({ local: 'x' }, { credential: {} });
  // @ts-expect-error it has an extent or nothing
  (await cycle.next()).offset;
  // @ts-expect-error null lifts it
  engine.setBytesPerSecond(undefined);
  // @ts-expect-error read only
  new LibmigrateError({ code: '', kind: 'fatal', retryable: false, message: '', remedy: '', causes: [] }).code = 'x';
}
