// The log of the chat page: where the reader stands in it, and many messages.

import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { assertNoProblems, burst, freshRoom, hears, launch, person, say, startServer } from './helpers.mjs';

let browser;
let server;

before(async () => {
  browser = await launch();
  server = await startServer();
});

after(async () => {
  await browser?.close();
  await server?.kill();
});

afterEach(async () => {
  for (const context of browser.contexts()) await context.close();
});

test('the log keeps to the end only for who is there, and counts what is new', async () => {
  const url = freshRoom(server);
  const mia = await person(browser, url, 'mia');
  const ned = await person(browser, url, 'ned');
  for (let i = 0; i < 40; i += 1) await say(ned, `line ${i}`);
  await hears(mia, 'line 39');
  const fromEnd = () => mia.evaluate(() => {
    const { scrollHeight, scrollTop, clientHeight } = document.getElementById('log');
    return scrollHeight - scrollTop - clientHeight;
  });
  assert.ok((await fromEnd()) < 2);
  await mia.evaluate(() => (document.getElementById('log').scrollTop = 200));
  await mia.waitForSelector('#to-end:not([hidden])');
  await say(ned, 'new one');
  await say(ned, 'new two');
  await mia.waitForFunction(() => document.getElementById('to-end').textContent === '2 new messages');
  assert.equal(await mia.evaluate(() => document.getElementById('log').scrollTop), 200);
  await mia.waitForFunction(() => document.title.startsWith('(2) '));
  await mia.click('#to-end');
  assert.ok((await fromEnd()) < 2);
  await mia.waitForSelector('#to-end', { state: 'hidden' });
  await mia.waitForFunction(() => !document.title.startsWith('('));
  assert.equal(await mia.getAttribute('#log', 'role'), 'log');
  await mia.waitForFunction(() => /new two|new messages/.test(document.getElementById('announcer').textContent));
  assertNoProblems(mia);
});

test('two thousand live messages: few rows, all there to be scrolled to', async () => {
  const url = freshRoom(server);
  const reader = await person(browser, url, 'olga');
  const writers = 4;
  const each = 500;
  for (let i = 0; i < writers; i += 1) {
    const page = await person(browser, url, `writer ${i}`);
    await page.evaluate(burst, { url, name: `burst ${i}`, prefix: `${i}/`, each });
    await page.context().close();
  }
  await hears(reader, `${writers - 1}/${each - 1}`);
  assert.ok((await reader.locator('#rows > div').count()) <= 400);
  // Up to the first, then back down to the last, as fast as it goes.
  await reader.waitForFunction(() => {
    document.getElementById('log').scrollTop -= 3_000;
    return [...document.querySelectorAll('#rows .text')].some((node) => node.textContent === '0/0');
  }, null, { polling: 16 });
  assert.ok((await reader.locator('#rows > div').count()) <= 400);
  await reader.waitForFunction((last) => {
    document.getElementById('log').scrollTop += 3_000;
    return [...document.querySelectorAll('#rows .text')].at(-1)?.textContent === last;
  }, `${writers - 1}/${each - 1}`, { polling: 16 });
  assert.ok((await reader.locator('#rows > div').count()) <= 400);
  assertNoProblems(reader);
});

test('ten thousand messages in memory: drawing stays quick', async () => {
  const page = await person(browser, freshRoom(server), 'pat');
  const result = await page.evaluate(async () => {
    const { Room } = await import('/store.js');
    const { Log } = await import('/log.js');
    const log = document.createElement('div');
    const rows = document.createElement('div');
    log.className = 'log';
    rows.className = 'rows';
    log.append(rows);
    document.querySelector('.stage').replaceChildren(log);
    const view = new Log(log, rows, { onOlder() {}, onMoved() {}, onAction() {} });
    const room = new Room('x');
    room.subscribed({ fresh: true, recovered: false, epoch: 'e', offset: 0 });
    view.show(room);
    const begin = performance.now();
    let longest = 0;
    for (let n = 1; n <= 10_000; n += 1) {
      const info = { user: `~user ${n % 7}`, client: 'x', conn_info: { nick: `user ${n % 7}` } };
      room.publication({ data: { type: 'message', text: `message ${n}`, nonce: `${n}` }, info, offset: n, time: n * 9_000 });
      if (n % 100) continue;
      const frame = performance.now();
      view.toEnd();
      longest = Math.max(longest, performance.now() - frame);
    }
    const took = performance.now() - begin;
    return { took, longest, rows: rows.childElementCount, last: rows.lastChild.textContent, total: room.length };
  });
  assert.equal(result.total, 10_000);
  assert.ok(result.rows <= 400, `${result.rows} rows`);
  assert.match(result.last, /message 10000/);
  console.log(`10,000 messages, drawn 100 times: ${Math.round(result.took)} ms, longest ${Math.round(result.longest)} ms`);
  assertNoProblems(page);
});

test('a page at rest draws nothing', async () => {
  const page = await person(browser, freshRoom(server), 'ruth');
  await say(page, 'hello');
  await hears(page, 'hello');
  const frames = await page.evaluate(async () => {
    await new Promise((resolve) => setTimeout(resolve, 100));
    const real = window.requestAnimationFrame;
    let asked = 0;
    window.requestAnimationFrame = (run) => {
      asked += 1;
      return real(run);
    };
    await new Promise((resolve) => setTimeout(resolve, 500));
    return asked;
  });
  assert.equal(frames, 0);
});
