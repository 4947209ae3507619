// The example portal, in a real browser.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, writeFileSync } from 'node:fs';
import test from 'node:test';

import puppeteer from 'puppeteer-core';

import { portal } from '../examples/portal/portal.mjs';
import { MIB, folder, sample } from './world.mjs';

// The guide's picture, if one is asked for, is of a larger disk.
const PICTURE = process.env.LIBMIGRATE_SCREENSHOT;
const CHROMIUM = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find((path) => existsSync(path));

/** A portal of one disk, which is sent slowly enough to be watched. */
async function open(t, { mib = 24, mibPerSecond = 12 } = {}) {
  const at = folder(t);
  writeFileSync(at('web01.raw'), sample(mib * MIB));
  const { app, engine } = await portal(at('.'), { bytes_per_second: mibPerSecond * MIB, memory_limit: 4 * MIB });
  const server = app.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(async () => {
    await engine.close();
    server.closeAllConnections();
    server.close();
  });
  return { at, engine, server, url: `http://127.0.0.1:${server.address().port}` };
}

async function browse(t, url) {
  assert.ok(CHROMIUM, 'there is no Chromium; on Debian: apt-get install chromium');
  const browser = await puppeteer.launch({ executablePath: CHROMIUM, args: ['--no-sandbox', '--disable-dev-shm-usage'] });
  t.after(() => browser.close());
  const page = await browser.newPage();
  await page.setViewport({ width: 980, height: 400 });
  const problems = [];
  page.on('pageerror', (error) => problems.push(error.message));
  await page.goto(url);
  await page.waitForSelector('#web01 tbody');
  return { page, problems };
}

const read = (page) => page.$$eval('#web01 .map i.read', (cells) => cells.length);
const state = (page) => page.$eval('#web01 .state', (element) => element.textContent);
const stateIs = (page, words) =>
  page.waitForFunction((expected) => document.querySelector('#web01 .state').textContent.includes(expected), { timeout: 30_000 }, words);

test('a cycle is started and watched in a browser: block map, chart, history', async (t) => {
  const mib = PICTURE ? 240 : 24;
  const { url } = await open(t, { mib, mibPerSecond: mib / 2 });
  const { page, problems } = await browse(t, url);
  assert.equal(await state(page), 'not started');
  assert.equal(await read(page), 0);
  await page.click('#web01 .start');

  // While it runs, a part is read.
  await page.waitForFunction(() => {
    const [all, done] = ['#web01 .map i', '#web01 .map i.read'].map((cells) => document.querySelectorAll(cells).length);
    const drawn = document.querySelector('#web01 polyline').getAttribute('points').split(' ').length;
    return done > all / 3 && done < all && drawn > 4;
  }, { timeout: 30_000, polling: 20 });
  assert.match(await state(page), /cycle 1: \d+ %, [\d.]+ MiB\/s/);
  if (PICTURE) await page.screenshot({ path: PICTURE });

  await stateIs(page, 'cycle 1 is sealed');
  await page.waitForSelector('#web01 tbody tr');
  assert.equal(await read(page), mib);
  const row = await page.$$eval('#web01 tbody td', (cells) => cells.map((cell) => cell.textContent));
  assert.deepEqual([row[0], row[1], row[3], row[4]], ['1', 'initial', `${mib}.0 MiB`, `${mib}.0 MiB`]);
  assert.deepEqual(problems, []);
});

test('a browser whose connection breaks gets what it missed, and nothing twice', async (t) => {
  const { url, server } = await open(t);
  const { page, problems } = await browse(t, url);
  await page.click('#web01 .start');
  await stateIs(page, 'cycle 1: ');
  for (let time = 0; time < 2; time += 1) {
    const before = await page.evaluate(() => window.seen.length);
    server.closeAllConnections();
    await page.waitForFunction((had) => window.seen.length > had, { timeout: 30_000 }, before);
  }
  await stateIs(page, 'is sealed');
  const seen = await page.evaluate(() => window.seen);
  assert.deepEqual(seen, seen.map((_, at) => at + 1));
  assert.deepEqual(problems, []);
});

test('a run is stopped by hand, and the next goes on', async (t) => {
  const { url } = await open(t, { mib: 32, mibPerSecond: 8 });
  const { page } = await browse(t, url);
  await page.click('#web01 .start');
  await page.waitForFunction(() => document.querySelectorAll('#web01 .map i.read').length > 8);
  await page.click('#web01 .stop');
  await stateIs(page, 'cancelled');
  await page.click('#web01 .start');
  await stateIs(page, 'cycle 1 is sealed');
});

/** Reads a stream of events until one is of a type. */
async function eventsUntil(url, type, headers = {}) {
  const gone = new AbortController();
  const response = await fetch(`${url}/events`, { headers, signal: gone.signal });
  const found = [];
  let text = '';
  for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
    text += chunk;
    const whole = text.split('\n\n');
    text = whole.pop();
    for (const message of whole.filter((one) => one.startsWith('id: '))) {
      const [, id, data] = /^id: (.*)\ndata: (.*)$/.exec(message);
      found.push({ id, ...JSON.parse(data) });
    }
    if (found.some((event) => event.type === type)) break;
  }
  gone.abort();
  return found;
}

test('a start that is asked for twice is one, and each stream begins where it is asked to', async (t) => {
  const { url } = await open(t, { mib: 4, mibPerSecond: 100 });
  const post = () => fetch(`${url}/servers/web01/cycles`, { method: 'POST' });
  const answers = await Promise.all([post(), post(), post()]);
  assert.deepEqual(answers.map(({ status }) => status), [202, 202, 202]);
  const jobs = await Promise.all(answers.map((answer) => answer.json()));
  assert.equal(new Set(jobs.map(({ id }) => id)).size, 1);
  const all = await eventsUntil(url, 'sealed');
  assert.equal(all[0].seq, 1);
  const after = await eventsUntil(url, 'sealed', { 'last-event-id': all[1].id });
  assert.deepEqual(after.map(({ seq }) => seq), all.slice(2).map(({ seq }) => seq));
  // Of another process, or nonsense: from the oldest.
  for (const id of ['00000000-3', 'x', '-', `${all[0].id}9999999999999999`]) {
    assert.equal((await eventsUntil(url, 'sealed', { 'last-event-id': id }))[0].seq, 1, id);
  }
  const history = await (await fetch(`${url}/servers/web01/history`)).json();
  assert.deepEqual(history.map(({ cycle }) => cycle), [1]);
});

test('an error is told as JSON with a status', async (t) => {
  const { url, engine } = await open(t, { mib: 1 });
  assert.equal((await fetch(`${url}/servers/nobody/history`)).status, 404);
  await engine.close();
  const answer = await fetch(`${url}/servers/web01/history`);
  assert.equal(answer.status, 400);
  assert.equal((await answer.json()).code, 'call.closed');
});
