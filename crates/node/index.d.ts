/// <reference types="node" />
/// <reference lib="esnext.disposable" />

// Written by hand; a test holds it against what the package exports.
//
// Methods and options are in camelCase. Settings and results are plain JSON, spelt as in every other language of this
// library (snake_case), so that they can come from a file and go into a database as they are. Sizes and offsets are
// numbers: no disk reaches 2^53 bytes. What you pass may be bigint as well.

/** A number, or a bigint of at most 2^53 - 1. */
export type Whole = number | bigint;

/** What every call that waits takes. */
export interface Waiting {
  /**
   * Cancels the call: it is rejected with the signal's reason as soon as it has ended, which takes less than a second.
   */
  readonly signal?: AbortSignal | undefined;
}

/** Whose turn it is after an error. */
export type ErrorKind =
  /** The same call may succeed later. */
  | 'retryable'
  /** Something outside must be put right first. */
  | 'fatal'
  /** The call itself must change. */
  | 'caller';

/** An error as JSON. */
export interface Failure {
  /** Stable: `area.what`. The guide's catalogue has a section on each. */
  code: string;
  kind: ErrorKind;
  retryable: boolean;
  /** What failed, on what, and why. Never a secret. */
  message: string;
  /** What to do. */
  remedy: string;
  /** What it came from, nearest first. */
  causes: string[];
}

/** An error of this library. `cause` is what your own source or credential threw, if that was why. */
export class LibmigrateError extends Error implements Failure {
  constructor(failure: Failure, options?: { cause?: unknown });
  readonly code: string;
  readonly kind: ErrorKind;
  readonly retryable: boolean;
  readonly remedy: string;
  readonly causes: string[];
  toJSON(): Failure;
}

/** A stretch of a disk, in bytes. */
export interface Extent {
  offset: number;
  len: number;
}

/** The same, as it is passed. */
export interface ExtentSettings {
  offset: Whole;
  len: Whole;
}

export type Weekday = 'mon' | 'tue' | 'wed' | 'thu' | 'fri' | 'sat' | 'sun';

/** Times at which another limit holds: the guide's page on rate and schedule. */
export interface Schedule {
  /** Of the IANA time zone database: `Europe/Berlin`. */
  zone: string;
  windows: {
    /** The days on which it begins. */
    days: Weekday[];
    /** `08:00` */
    from: string;
    to: string;
    rule: 'blackout' | { bytes_per_second: Whole };
  }[];
}

/** Of an engine. All may be left out. */
export interface EngineSettings {
  /** Folder for checkpoints; without one, an interrupted cycle is rebuilt from the target. */
  state_dir?: string | undefined;
  /** Hard limit on all buffers, in bytes: 256 MiB. */
  memory_limit?: Whole | undefined;
  /** The most requests in flight per replica: 16. */
  requests_in_flight?: Whole | undefined;
  /** The most over all replicas: 64. */
  requests_in_flight_in_all?: Whole | undefined;
  concurrency?: 'adaptive' | 'fixed' | undefined;
  /** Threads that read and hash, per cycle: one a processor, at most 4. */
  readers?: Whole | undefined;
  /** Longest read and put: a power of two from 64 KiB to 4 MiB; 1 MiB. */
  run_bytes?: Whole | undefined;
  /** Unit of diffing of new replicas: a power of two from 4 KiB to 1 MiB; by disk size. */
  block_size?: Whole | undefined;
  /** Limit on what is sent, over all replicas. */
  bytes_per_second?: Whole | undefined;
  schedule?: Schedule | undefined;
  /** Send small gaps of unchanged data along where that saves requests. */
  bridge_gaps?: boolean | undefined;
  retry?: { first_wait_ms?: Whole; longest_wait_ms?: Whole; budget_seconds?: Whole } | undefined;
  /** Term of the lease, 15 to 60. */
  lease_seconds?: Whole | undefined;
  /** Threads for everything but reading and hashing, 1 to 64: 2. */
  threads?: Whole | undefined;
}

export type ImageFormat = 'detect' | 'raw' | 'vhd' | 'vhdx' | 'vmdk' | 'ova' | 'qcow2';

/** An image file or a device. */
export interface ImageSettings {
  path: string;
  /** By content. */
  format?: ImageFormat | undefined;
  /** Paths that the image may name besides its own folder. */
  allow?: string[] | undefined;
  /** Which disk of an OVA. */
  member?: string | undefined;
  /** Which snapshot of a qcow2 image. */
  snapshot?: string | undefined;
  /** Which dirty bitmap of a qcow2 image. */
  bitmap?: string | undefined;
  /** The name of its moment, if it does not change. */
  frozen_as?: string | undefined;
  /** It may change. */
  may_change?: boolean | undefined;
}

/** A disk behind an NBD server. */
export interface NbdSettings {
  /** The URI. */
  nbd: string;
  /** Demands TLS. */
  ca_file?: string | undefined;
  bitmap?: string | undefined;
  identity?: string | undefined;
  max_read_bytes?: Whole | undefined;
  frozen_as?: string | undefined;
}

/** A disk whose bytes are pushed. */
export interface PushedSettings {
  size_bytes: Whole;
  /** Which disk, if that is known. */
  identity?: string | undefined;
  /** Which moment of it: an interrupted cycle goes on only at the same one. */
  point?: string | undefined;
  /** What is known to read as zero. */
  zero?: ExtentSettings[] | undefined;
}

/** A disk that your own code reads. */
export interface Disk {
  readonly size_bytes: Whole;
  readonly identity?: string | undefined;
  readonly point?: string | undefined;
  readonly zero?: ExtentSettings[] | undefined;
  /** How many reads it takes at once: 4. */
  readonly max_in_flight?: Whole | undefined;
  /**
   * Gives exactly the bytes asked for, which are copied when it is done. `signal` aborts when nobody waits for them any
   * more. What it throws fails the run, and is the `cause` of its error.
   */
  read(offset: number, length: number, signal: AbortSignal): Uint8Array | PromiseLike<Uint8Array>;
}

/** A disk to replicate: opened by `engine.openSource`, pushed, or read by your own code. */
export class Source {
  private constructor();
  static pushed(settings: PushedSettings): Source;
  static served(disk: Disk): Source;
  readonly sizeBytes: number;
  readonly identity: string | undefined;
  /** Which moment of the disk it is; undefined if it may change underneath. */
  readonly point: string | undefined;
  /** What its reader worked around, a sentence each. */
  readonly notes: string[];
}

/** The embedded target: a file. */
export interface LocalTargetSettings {
  local: string;
}

/** A page blob. */
export interface BlobTargetSettings {
  /** Of the blob; may hold its SAS. */
  url: string;
  credential?: { sas: string } | { connection_string: string } | { account: string; key: string } | undefined;
  private_link?:
    | { required?: boolean; only?: string[]; also_private?: string[]; name_servers?: string[] }
    | undefined;
  /** `none` (if left out), `environment` or a URL. */
  proxy?: string | undefined;
  ca_file?: string | undefined;
  max_in_flight?: Whole | undefined;
}

/** A credential of `@azure/identity`, or any object with such a `getToken`. */
export interface TokenCredential {
  getToken(
    scopes: string[],
    options?: { abortSignal?: AbortSignal },
  ): PromiseLike<{ token: string; expiresOnTimestamp: number } | null>;
}

/** Where a replica goes. Opening it sends nothing. */
export class Target {
  private constructor();
  static open(settings: LocalTargetSettings | BlobTargetSettings, options?: { readonly credential?: TokenCredential }): Target;
  /** Where it is, without secrets. */
  readonly location: string;
}

export type CycleKind = 'initial' | 'delta' | 'final' | 'resync' | 'roll_back';

/** Bytes of a cycle: `read + hole + unlisted` is the disk, `sent + cleared + skipped` is `read`. */
export interface Counts {
  read: number;
  /** Not read, because the source says that it reads as zero. */
  hole: number;
  /** Not read, because the change list says that it did not change. */
  unlisted: number;
  sent: number;
  /** Zeros cleared at the target. */
  cleared: number;
  /** The target held it already. */
  skipped: number;
  /** Of the holes: cleared at the target. */
  hole_cleared: number;
  /** Put requests. */
  puts: number;
  /** Clear requests. */
  clears: number;
}

/** A sealed cycle: what replica and source had in common at one moment. */
export interface RecoveryPoint {
  format: number;
  replication: string;
  generation: number;
  cycle: number;
  kind: CycleKind;
  /** RFC 3339. */
  sealed_at: string;
  /** Root of the digest tree. */
  root: string;
  change_id: string | null;
  crash_consistent: boolean;
  disk_bytes: number;
  source_bytes: number;
  counts: Counts;
  /** Why a change list that was given was not used. */
  change_list_ignored: string | null;
}

/** What changed, in whichever form it comes. */
export type ChangeList =
  | { base: string; end: string; extents: ExtentSettings[]; covered_to?: Whole; reset?: string }
  | { format: 'vmware' | 'hyper_v' | 'qemu_bitmap' | 'csv'; base: string; end: string; text: string }
  /** Of a source that was opened with a bitmap. */
  | { format: 'bitmap'; base: string; end: string };

/** Of a cycle. All may be left out. */
export interface CycleSettings {
  /** `delta`, which the first time is everything. */
  kind?: 'delta' | 'final' | 'resync' | undefined;
  changes?: ChangeList | undefined;
  /** The hypervisor's name of this moment. */
  change_id?: string | undefined;
  /** The source may change while it is read. */
  moving?: boolean | undefined;
}

/** Which bytes are looked at. */
export type Subject = 'newest' | 'live' | { cycle: number };

/** Of a verification. All may be left out. */
export interface VerifySettings {
  /** `newest` */
  subject?: Subject | undefined;
  /** Compares a sample, and not everything. */
  sample?: { damaged_share: number; may_miss: number; seed?: Whole } | undefined;
}

/** What verification found. A difference is no error. */
export interface VerifyReport {
  equal: boolean;
  subject: Subject;
  cycle: number;
  root: string;
  block_bytes: number;
  blocks: number;
  compared: number;
  sample_seed: number | null;
  may_miss: number;
  /** How many blocks differ. */
  mismatched: number;
  /** Where, neighbours joined: the first 1000 stretches. */
  mismatches: Extent[];
}

/** Which recovery points are kept. */
export interface KeepRule {
  newest: Whole;
  younger_than_seconds?: Whole | undefined;
}

/** Something at the target that nothing needs any more. */
export type Garbage = { type: 'snapshot'; id: string; cycle: number } | { type: 'object'; name: string };

/** The replica of one disk, open for writing by this engine alone. */
export class Replica {
  private constructor();
  /** Where it is, without secrets. */
  readonly location: string;
  /** Its size: the source's, rounded up to whole MiB. */
  diskBytes(options?: Waiting): Promise<number>;
  /**
   * Brings it in step with the source and seals a recovery point. Safe to repeat: an interrupted cycle goes on, a
   * sealed one is followed by a delta.
   */
  replicate(source: Source | Disk, settings?: CycleSettings, options?: Waiting): Promise<RecoveryPoint>;
  /** Begins a cycle whose bytes you push, or goes on with the interrupted one at the same moment of the source. */
  begin(source: Source | Disk, settings?: CycleSettings, options?: Waiting): Promise<Cycle>;
  /** Compares it with `source`, or without one with its own sealed digest map. */
  verify(settings?: VerifySettings, options?: Waiting & { readonly source?: Source | Disk }): Promise<VerifyReport>;
  /** Oldest first. */
  recoveryPoints(options?: Waiting): Promise<RecoveryPoint[]>;
  /** Every cycle that was sealed, oldest first: also of recovery points that are deleted. */
  history(options?: Waiting): Promise<RecoveryPoint[]>;
  /** Deletes the recovery points that the rule does not keep, then the garbage. Gives the cycles deleted. */
  prune(rule: KeepRule, options?: Waiting): Promise<number[]>;
  /** Takes it back to the recovery point of a cycle, which becomes a new one. */
  rollBack(cycle: Whole, options?: Waiting): Promise<RecoveryPoint>;
  /** Writes the proof of a recovery point to a file, whole or not at all. */
  exportProof(path: string, settings?: VerifySettings, options?: Waiting): Promise<RecoveryPoint>;
  /** Lists what lies at the target and nothing needs any more. */
  garbage(options?: Waiting): Promise<Garbage[]>;
  /** Deletes that, and lists it. */
  collectGarbage(options?: Waiting): Promise<Garbage[]>;
  /** Cancels what is under way, and gives the lease up. What was settled stays. Safe to repeat. */
  close(options?: Waiting): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** What events, wanted extents and log lines come from. Leaving a `for await` loop ends it. */
export interface Reader<T> extends AsyncIterableIterator<T> {
  next(): Promise<IteratorResult<T, undefined>>;
  return(): Promise<IteratorResult<T, undefined>>;
  [Symbol.asyncIterator](): Reader<T>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** One pass of replication, whose bytes you push. Collected as garbage, it stops. */
export class Cycle {
  private constructor();
  /** The next extent to push; undefined when everything was handed out. */
  next(options?: Waiting): Promise<Extent | undefined>;
  /** The same, to be iterated. Leaving the loop does not stop the cycle. */
  wanted(options?: Waiting): Reader<Extent>;
  /** Pushes a copy of the bytes of an extent that was wanted, in any order; done when there was room for them. */
  push(offset: Whole, bytes: Uint8Array, options?: Waiting): Promise<void>;
  /** Reads everything that is wanted from the source that the cycle was begun with. */
  copyFrom(source: Source | Disk, options?: Waiting): Promise<void>;
  /** Makes it a recovery point. Nothing counts before. The cycle is closed by it, whatever comes of it. */
  seal(options?: Waiting): Promise<RecoveryPoint>;
  /** Stops it without sealing it. What has settled stays. Never waits; safe to repeat. */
  stop(): void;
  [Symbol.asyncDispose](): Promise<void>;
}

interface EventBase {
  /** Grows by one with every event of the engine; a jump says that older ones are no longer kept. */
  seq: number;
  /** RFC 3339. */
  time: string;
  /** Which replica: its target without secrets. */
  replica: string;
}

/** Something that happened. Later versions may add types. */
export type Event = EventBase &
  (
    | { type: 'opened'; generation: number; sealed_cycle: number | null }
    | { type: 'public_route_allowed' }
    | { type: 'taken_over_by_force'; generation: number }
    | { type: 'map_rebuilt'; reason: string; read_back: number }
    | { type: 'cycle_started'; cycle: number; kind: CycleKind; disk: number; resumed: number }
    | { type: 'change_list_ignored'; reason: string }
    | {
        type: 'progress';
        cycle: number;
        counts: Counts;
        disk: number;
        bytes_per_second: number;
        seconds_left: number | null;
      }
    | { type: 'retrying'; error: string; failures: number; wait_ms: number }
    | { type: 'blackout'; until: string | null }
    | { type: 'requests_in_flight'; limit: number; most: number }
    | { type: 'sealed'; cycle: number; kind: CycleKind; counts: Counts; root: string; seconds: number }
    | { type: 'stopped'; cycle: number; code: string; error: string }
    | { type: 'verified'; cycle: number; blocks: number; mismatches: number }
    | { type: 'recovery_point_deleted'; cycle: number }
  );

/** Of a network preflight. */
export interface NetworkSettings {
  targets: { host: string; port?: Whole; expect?: string[] }[];
  time_limit_seconds?: Whole | undefined;
  name_servers?: string[] | undefined;
  also_private?: string[] | undefined;
  ca_file?: string | undefined;
}

/** What a check says of one subject. */
export interface Finding {
  code: string;
  severity: 'info' | 'warning' | 'error';
  subject: string;
  message: string;
  evidence: Evidence[];
  remedy: string;
  fixes: { kind: 'hosts_file' | 'dns_record' | 'azure_cli'; lines: string[] }[];
  rule: { document: string; date: string };
}

/** Something that a check has seen. Later versions may add types. */
export type Evidence =
  | { type: 'cname'; name: string; target: string; ttl_seconds: number }
  | { type: 'address'; address: string; class: string; origin: 'dns' | 'hosts_file' }
  | { type: 'expected'; address: string }
  | { type: 'compared'; found: string; wanted: string }
  | { type: 'name_server'; server: string }
  | {
      type: 'certificate';
      subject: string;
      issuer: string;
      names: string[];
      not_before: string;
      not_after: string;
    }
  | { type: 'answer'; status: number; code: string }
  | { type: 'took'; step: string; milliseconds: number }
  | { type: 'said'; by: string; words: string };

export interface NetworkReport {
  targets: { host: string; findings: Finding[] }[];
  milliseconds: number;
}

/** Of a migration. */
export interface ProjectSettings {
  /** The guide's page on plans describes them. */
  settings: object;
  connection?: { proxy?: string; ca_file?: string } | undefined;
  /** Another server, on this machine only: for tests. */
  endpoint?: string | undefined;
  poll_ms?: Whole | undefined;
}

/** Where a plan leads. */
export interface Aim {
  goal: 'prepared' | 'replicating' | 'paused' | 'tested' | 'test_cleaned_up' | 'migrated' | 'completed' | 'removed';
  shut_down_source?: boolean | undefined;
}

/** What leads from what is there to what is wanted. `control('markdown', { plan })` is it as text. */
export interface Plan {
  scenario: string;
  steps: Record<string, unknown>[];
  [field: string]: unknown;
}

/** How a plan is applied. */
export interface ApplySettings {
  /** A file: the same plan is given the same one again, and goes on from it. */
  journal: string;
  /** What somebody has agreed to. */
  approvals?: { kinds?: string[]; steps?: string[] } | undefined;
  /** How long a step is tried again while a grant is not known everywhere: 600. */
  effect_seconds?: Whole | undefined;
}

/** What came of it: whether all is done, or what it waits for. */
export interface Outcome {
  done: boolean;
  waits: Record<string, unknown>[];
  findings: Finding[];
  [field: string]: unknown;
}

/** What a cutover without the service does: only `steps` sends nothing. */
export type CutoverStep =
  | 'steps'
  | 'run'
  | 'clean_up'
  | { roll_back: 'keep' | 'delete' }
  | { complete: string[] };

/** The machine that one server becomes. The guide's page on cutovers without the service describes it. */
export interface CutoverSettings {
  server: string;
  purpose: 'production' | 'test';
  guest: 'windows' | { linux: 'red_hat' | 'suse' | 'other' };
  firmware: 'BIOS' | 'UEFI';
  replicas: object[];
  /** A file: what was made is in it. The next call for the same machine is given the same one; `steps` needs none. */
  record?: string | undefined;
}

/** The control plane of one migration: what is wanted, and the service to ask. */
export class Project {
  private constructor();
  /** Reads what is there and says what is wrong. Changes nothing. */
  preflight(settings?: { network?: boolean; name_servers?: string[] }, options?: Waiting): Promise<Finding[]>;
  /** The plan that leads from what is there to the aim. Changes nothing. */
  plan(aim: Aim, options?: Waiting): Promise<Plan>;
  /** The plan that asks one thing of each server. */
  ask(verb: string, options?: Waiting): Promise<Plan>;
  /** What of a plan a template can make, as an ARM template. */
  template(plan: Plan, options?: Waiting): Promise<Record<string, unknown>>;
  /** Lines of a hosts file with the addresses of the private endpoints: for tests. */
  hostsLines(options?: Waiting): Promise<string>;
  /** Does what can be done now of a plan, and says what it waits for. */
  apply(plan: Plan, settings: ApplySettings, options?: Waiting): Promise<Outcome>;
  /** Makes a machine in Azure of a server's sealed replicas, without the service, or takes it away again. */
  cutover(step: CutoverStep, settings: CutoverSettings, options?: Waiting): Promise<unknown>;
  /** The next thing that `apply` told of, if there is one already; the newest thousand are kept. */
  told(): Record<string, unknown> | undefined;
}

/** An engine with threads of its own, on which everything runs that is opened with it. */
export class Engine {
  constructor(settings?: EngineSettings);
  /** The same as `new Engine`. */
  static open(settings?: EngineSettings): Engine;
  openSource(settings: ImageSettings | NbdSettings, options?: Waiting): Promise<Source>;
  /**
   * Opens the replica at `target`, or makes it for the disk `source`. When another writer holds it, this waits for the
   * term of its lease, then fails with `target.lease_held`.
   */
  openReplica(target: Target, source: Source | Disk, options?: Waiting): Promise<Replica>;
  /** The same, but breaks the lease of another writer: for an owner that hangs. */
  takeOver(target: Target, source: Source | Disk, options?: Waiting): Promise<Replica>;
  /** Opens the control plane of a migration. Sends nothing. */
  openProject(settings: ProjectSettings, options: { readonly credential: TokenCredential }): Project;
  /**
   * The events of all replicas that came after the one numbered `after` (0: from the oldest that is kept). Ends when the
   * engine is closed. Waiting for one does not keep the process alive.
   */
  events(options?: Waiting & { readonly after?: Whole }): Reader<Event>;
  preflightNetwork(settings: NetworkSettings, options?: Waiting): Promise<NetworkReport>;
  /** Changes the limit on what is sent, while running; null lifts it. */
  setBytesPerSecond(limit: Whole | null): void;
  /** Changes the schedule, while running; null is none. */
  setSchedule(schedule: Schedule | null): void;
  readonly closed: boolean;
  /**
   * Cancels everything that is under way and ends the engine's threads. A thread that hangs longer than `limitMs` (5000)
   * in a read is left behind. Safe to repeat.
   */
  close(options?: { readonly limitMs?: Whole }): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

export type LogLevel = 'error' | 'warn' | 'info' | 'debug' | 'trace';

/** A line of the log. */
export interface LogLine {
  time: string;
  level: LogLevel;
  /** Which part of the library. */
  target: string;
  message: string;
  /** Lines that were dropped before this one, because nobody read them in time. */
  dropped: number;
}

/** What the library says of itself, for operators. There is one log in a process; leaving the loop closes it. */
export function logs(options?: Waiting & { readonly level?: LogLevel }): Reader<LogLine>;

/**
 * Asks the control plane's model one thing; nothing is sent. `lifecycle` tells the state machine, `markdown` a plan
 * (`{ plan }`) as text for a change request.
 */
export function control(name: 'lifecycle'): Record<string, unknown>;
export function control(name: 'markdown', input: { plan: unknown }): string;
export function control(name: string, input?: object): unknown;

/** The version of this library. */
export const version: string;
