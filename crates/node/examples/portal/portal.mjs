// A portal: an HTTP API and one page, over the disks of a folder.

import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, open, readdir, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import express from 'express';
import { Engine, LibmigrateError, Target } from 'libmigrate';

const MIB = 1 << 20;
const STATUS = { caller: 400, fatal: 500, retryable: 503 };

/** A disk of the folder, its replica, and what is going on with it. */
class Server {
  #engine;
  #path;
  #replica;
  #job;
  #stop;
  /** One character a piece of the disk: `.` not looked at yet in this cycle, `#` read. */
  map = '';

  constructor(engine, path, replicas) {
    this.#engine = engine;
    this.#path = path;
    this.name = basename(path, '.raw');
    this.target = Target.open({ local: join(replicas, `${this.name}.vhd`) });
  }

  /** The file as a source: our own reads, so that we know which pieces were read. */
  async #disk() {
    const file = await open(this.#path);
    const { size, mtimeMs } = await file.stat();
    const pieces = Math.min(256, Math.ceil(size / MIB));
    const piece = (offset) => Math.floor((offset / size) * pieces);
    if (this.map.length !== pieces) this.map = '.'.repeat(pieces);
    return {
      size_bytes: size,
      // While nobody writes to the file, this names its moment, and an interrupted cycle goes on.
      point: `${mtimeMs}`,
      read: async (offset, length) => {
        const { buffer, bytesRead } = await file.read(Buffer.allocUnsafe(length), 0, length, offset);
        if (bytesRead !== length) throw new Error(`${this.#path} became shorter`);
        const [from, to] = [piece(offset), piece(offset + length - 1) + 1];
        this.map = this.map.slice(0, from) + '#'.repeat(to - from) + this.map.slice(to);
        return buffer;
      },
      close: () => file.close(),
    };
  }

  async replica(disk) {
    // One at a time: a second caller waits for the same.
    this.#replica ??= this.#engine.openReplica(this.target, disk).catch((error) => {
      this.#replica = undefined;
      throw error;
    });
    return this.#replica;
  }

  /** Starts a cycle. While one is running, that is what is given: asking twice does no harm. */
  start() {
    if (this.#job?.state === 'running') return this.#job;
    const job = { id: randomUUID(), server: this.name, state: 'running', started: new Date().toISOString() };
    this.#job = job;
    this.#stop = new AbortController();
    this.#run(this.#stop.signal).then(
      (point) => Object.assign(job, { state: 'sealed', point }),
      (error) => Object.assign(job, { state: 'stopped', error: error instanceof LibmigrateError ? error : { message: error.message } }),
    );
    return job;
  }

  async #run(signal) {
    const { close, ...disk } = await this.#disk();
    this.map = this.map.replaceAll('#', '.');
    try {
      return await (await this.replica(disk)).replicate(disk, {}, { signal });
    } finally {
      await close();
    }
  }

  /** Stops what is running; the next start goes on from there. */
  stop() {
    this.#stop?.abort(new Error('stopped by hand'));
  }

  async history() {
    if (this.#replica) return (await this.#replica).history();
    const { close, ...disk } = await this.#disk();
    await close();
    return (await this.replica(disk)).history();
  }

  toJSON() {
    return { name: this.name, replica: this.target.location, map: this.map, job: this.#job };
  }
}

/** The portal of a folder with `*.raw` images; replicas go to its folder `replicas`. */
export async function portal(folder, settings = {}) {
  const replicas = join(folder, 'replicas');
  await mkdir(replicas, { recursive: true });
  const engine = new Engine({ state_dir: join(folder, 'state'), ...settings });
  const images = (await readdir(folder)).filter((name) => name.endsWith('.raw')).sort();
  const servers = new Map(images.map((name) => [basename(name, '.raw'), new Server(engine, join(folder, name), replicas)]));
  // Events are numbered from 1 in each process: a number of another process is none of ours.
  const boot = randomUUID().slice(0, 8);

  const app = express();
  const here = fileURLToPath(new URL('.', import.meta.url));
  app.get('/', (_request, response) => response.sendFile('page.html', { root: here }));
  app.get('/servers', (_request, response) => response.json([...servers.values()]));
  app.param('name', (request, response, next, name) => {
    request.server = servers.get(name);
    if (request.server) next();
    else response.status(404).json({ message: `there is no server ${name}` });
  });
  app.post('/servers/:name/cycles', (request, response) => response.status(202).json(request.server.start()));
  app.delete('/servers/:name/cycles', (request, response) => {
    request.server.stop();
    response.status(202).json(request.server);
  });
  app.get('/servers/:name/history', async (request, response) => response.json(await request.server.history()));

  app.get('/events', async (request, response) => {
    const gone = new AbortController();
    response.on('close', () => gone.abort());
    response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
    response.write('retry: 300\n\n');

    let told;
    const maps = setInterval(() => {
      const now = JSON.stringify(Object.fromEntries([...servers].map(([name, { map }]) => [name, map])));
      if (now === told || response.writableNeedDrain) return;
      told = now;
      response.write(`event: maps\ndata: ${now}\n\n`);
    }, 100);
    gone.signal.addEventListener('abort', () => clearInterval(maps));

    // The browser says which event it saw last, and gets those that came after it.
    const [of, seen] = (request.get('last-event-id') ?? '').split('-');
    const after = of === boot && /^\d{1,15}$/.test(seen) ? Number(seen) : 0;
    try {
      for await (const event of engine.events({ after, signal: gone.signal })) {
        const sent = response.write(`id: ${boot}-${event.seq}\ndata: ${JSON.stringify(event)}\n\n`);
        // Nothing piles up for a slow browser: the engine keeps its newest events, and this waits.
        if (!sent) await once(response, 'drain', { signal: gone.signal });
      }
    } catch (error) {
      if (!gone.signal.aborted) throw error;
    }
    clearInterval(maps);
    response.end();
  });

  app.use((error, _request, response, next) => {
    if (response.headersSent || !(error instanceof LibmigrateError)) return next(error);
    response.status(STATUS[error.kind]).json(error);
  });
  return { app, engine, servers };
}

if (process.argv[1] && (await stat(process.argv[1])).isFile() && process.argv[1] === fileURLToPath(import.meta.url)) {
  const [folder = '.', port = '8080'] = process.argv.slice(2);
  const { app, engine, servers } = await portal(folder);
  const listening = app.listen(Number(port), '127.0.0.1', () => {
    console.log(`http://127.0.0.1:${listening.address().port} shows ${servers.size} servers`);
  });
  process.once('SIGTERM', async () => {
    // Whatever runs is stopped, and goes on at the next start.
    await engine.close();
    listening.close();
    listening.closeAllConnections();
  });
}
