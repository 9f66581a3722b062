// The log of the chat page: where the reader stands in it, and many messages.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertNoProblems, browser, burst, freshRoom, hears, joined, person, say, screenshot, server, stage, texts } from './helpers.mjs';

stage();

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
    document.getElementById('log').hidden = true;
    document.querySelector('.stage').append(log);
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
    const { textContent: last } = rows.lastChild;
    // All the way up, as fast as a wheel turns.
    const frame = () => new Promise((resolve) => requestAnimationFrame(resolve));
    let most = 0;
    let steps = 0;
    for (; steps < 2_000 && !rows.firstChild.textContent.endsWith('message 1'); steps += 1) {
      const step = performance.now();
      log.scrollTop -= 1_500;
      log.dispatchEvent(new Event('scroll'));
      most = Math.max(most, rows.childElementCount);
      longest = Math.max(longest, performance.now() - step);
      await frame();
    }
    return { took, longest, steps, rows: most, last, first: rows.firstChild.textContent, total: room.length };
  });
  assert.equal(result.total, 10_000);
  assert.ok(result.rows <= 400, `${result.rows} rows`);
  assert.match(result.last, /message 10000/);
  assert.match(result.first, /message 1$/);
  console.log(`10,000 messages, drawn 100 times: ${Math.round(result.took)} ms, then scrolled through in ${result.steps} steps, longest ${Math.round(result.longest)} ms`);
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

test('history comes in above without a jump, page after page', async () => {
  const url = freshRoom(server);
  const sue = await person(browser, url, 'sue');
  await sue.evaluate(burst, { url, name: 'earlier', prefix: 'e', each: 400 });
  await hears(sue, 'e399'); // all is read: else the line of what is new would be gone to, far above
  await sue.reload();
  await joined(sue);
  await hears(sue, 'e399');
  // Whatever is in sight stays where it is, but for the scrolling, whenever rows come in above it.
  const worst = await sue.evaluate(async () => {
    const log = document.getElementById('log');
    const rows = document.getElementById('rows');
    const frame = () => new Promise((resolve) => requestAnimationFrame(resolve));
    const place = (node) => node.getBoundingClientRect().top;
    let jump = 0;
    let grew = 0;
    for (let step = 0; step < 600 && rows.textContent.includes('e0') === false; step += 1) {
      log.scrollTop -= 150;
      await frame();
      const top = log.getBoundingClientRect().top;
      const seen = [...rows.children].find((node) => node.getBoundingClientRect().bottom > top + 60);
      const before = { at: place(seen), first: rows.firstChild };
      await frame();
      await frame();
      if (rows.firstChild === before.first || !seen.isConnected) continue;
      grew += 1;
      jump = Math.max(jump, Math.abs(place(seen) - before.at));
    }
    return { jump, grew, all: [...rows.querySelectorAll('.text')].some((node) => node.textContent === 'e0') };
  });
  assert.equal(worst.all, true);
  assert.ok(worst.grew >= 1, JSON.stringify(worst));
  assert.ok(worst.jump < 2, JSON.stringify(worst));
  assertNoProblems(sue);
});

test('the line stands where one left off, over a reload, and a long way up is gone to', async () => {
  const url = freshRoom(server);
  const [tia, uma] = [await person(browser, url, 'tia'), await person(browser, url, 'uma')];
  await say(uma, 'seen one');
  await say(uma, 'seen two');
  await hears(tia, 'seen two');
  await tia.waitForFunction(() => /"offset":\d/.test(localStorage.getItem(`ringchat.read.${location.hash.slice(1)}`)));
  assert.equal(await tia.locator('.day.new').count(), 0);
  await tia.goto('about:blank');
  for (let i = 0; i < 3; i += 1) await say(uma, `missed ${i}`);
  await hears(uma, 'missed 2');
  await tia.goto(url);
  await joined(tia);
  await hears(tia, 'missed 2');
  const line = (page) => page.evaluate(() => document.querySelector('.day.new')?.closest('.row').querySelector('.text').textContent);
  assert.equal(await line(tia), 'missed 0');
  assert.equal(await tia.textContent('.day.new'), 'New');
  assert.equal(await tia.locator('#to-end').isVisible(), false);
  await screenshot(tia, 'new-line');
  await tia.reload();
  await joined(tia);
  await hears(tia, 'missed 2');
  assert.equal(await line(tia), undefined);
  // More than fits: one begins at the line, and the button counts what is below.
  await tia.goto('about:blank');
  await uma.evaluate(burst, { url, name: 'many', prefix: 'many ', each: 230 });
  await tia.goto(url);
  await joined(tia);
  await tia.waitForSelector('.day.new');
  assert.equal(await line(tia), 'many 0');
  await tia.waitForFunction(() => document.getElementById('to-end').textContent === '230 new messages');
  const top = await tia.evaluate(() => document.querySelector('.day.new').getBoundingClientRect().top - document.getElementById('log').getBoundingClientRect().top);
  assert.ok(top >= 0 && top < 200, `${top}`);
  await tia.click('#to-end');
  await tia.waitForSelector('#to-end', { state: 'hidden' });
  // Who speaks has read.
  await say(tia, 'hello again');
  await hears(uma, 'hello again');
  await tia.waitForFunction(() => !document.querySelector('.day.new'));
  // In another room: the line is where one left this one.
  await say(tia, '/join line-elsewhere');
  await tia.waitForFunction(() => document.getElementById('room-title').textContent === 'line-elsewhere');
  await say(uma, 'while away');
  await tia.waitForSelector('#rooms .badge');
  await tia.goBack();
  await hears(tia, 'while away');
  assert.equal(await line(tia), 'while away');
  assert.equal((await texts(tia)).at(-1), 'while away');
  assertNoProblems(tia);
});

test('two hundred messages a second: the page stays quick', async () => {
  const url = freshRoom(server);
  const [vic, wes] = [await person(browser, url, 'vic'), await person(browser, url, 'wes')];
  await vic.evaluate(() => {
    window.longTasks = [];
    new PerformanceObserver((list) => window.longTasks.push(...list.getEntries().map(({ duration }) => duration))).observe({ type: 'longtask' });
    // How often the log was drawn, and how often it could have been seen.
    window.drawings = 0;
    window.framesSeen = 0;
    new MutationObserver(() => (window.drawings += 1)).observe(document.getElementById('rows'), { childList: true });
    const count = () => {
      window.framesSeen += 1;
      requestAnimationFrame(count);
    };
    count();
  });
  // Who reads what was said before is not disturbed.
  await wes.evaluate(burst, { url, name: 'before', prefix: 'b', each: 100 });
  const xen = await person(browser, url, 'xen');
  await hears(xen, 'b99');
  const place = () => xen.evaluate(() => {
    const node = [...document.querySelectorAll('#rows .text')].find((one) => one.textContent === 'b50');
    return node?.getBoundingClientRect().top;
  });
  await xen.evaluate(() => {
    [...document.querySelectorAll('#rows .text')].find((one) => one.textContent === 'b50').scrollIntoView();
  });
  await xen.waitForSelector('#to-end:not([hidden])');
  const stood = await place();
  const seconds = 5;
  await wes.evaluate(stream, { url, rate: 200, seconds });
  await hears(vic, `s${200 * seconds - 1}`);
  await say(vic, 'still here');
  await hears(wes, 'still here');
  await xen.waitForFunction(() => document.getElementById('to-end').textContent === '1,001 new messages');
  assert.ok(Math.abs((await place()) - stood) < 2, `${stood} ${await place()}`);
  const tasks = await vic.evaluate(() => window.longTasks);
  const total = tasks.reduce((sum, one) => sum + one, 0);
  const longest = Math.max(0, ...tasks);
  console.log(`200 messages a second for ${seconds} s: ${tasks.length} long tasks, ${Math.round(total)} ms in all, the longest ${Math.round(longest)} ms`);
  // What came between two frames is drawn as one, however busy the machine is.
  const { drawings, framesSeen } = await vic.evaluate(() => ({ drawings, framesSeen }));
  assert.ok(drawings > 0 && drawings <= framesSeen + 1, `${drawings} drawings in ${framesSeen} frames`);
  assert.ok((await vic.locator('#rows > div').count()) <= 400);
  assertNoProblems(vic);
});

/** Runs in the page: `rate` messages a second, `s0` and on, for so many seconds. */
async function stream({ url, rate, seconds }) {
  const { Client } = await import('/client.js');
  const channel = `chat:${decodeURIComponent(new URL(url).hash.slice(1))}`;
  const address = `${location.origin.replace('http', 'ws')}/connection/websocket`;
  const client = new Client(address, { data: () => ({ nick: 'stream' }), WebSocket: window.RealWebSocket });
  await new Promise((resolve) => {
    client.subscribe(channel, { onSubscribed: resolve });
    client.start();
  });
  const begin = performance.now();
  let sent = 0;
  let last;
  while (sent < rate * seconds) {
    const due = Math.min(rate * seconds, Math.ceil(((performance.now() - begin) * rate) / 1_000));
    for (; sent < due; sent += 1) {
      last = client.request({ publish: { channel, data: { type: 'message', text: `s${sent}`, nonce: `s ${sent}` } } });
    }
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  await last;
  client.stop();
}
