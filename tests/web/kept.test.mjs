// What the page keeps when its tab is closed: what was not sent, drafts, the rooms that one is in.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { REFUSED, assertNoProblems, browser, burst, cutConnection, freshRoom, hears, joined, openTab, person, say, server, stage, startServer, texts } from './helpers.mjs';

stage();

const nameOf = (url) => decodeURIComponent(new URL(url).hash.slice(1));
const pending = (page, count) =>
  page.waitForFunction((wanted) => document.querySelectorAll('.row.pending').length === wanted, count);
const keptKeys = (page) => page.evaluate(() => Object.keys(localStorage).filter((key) => key.startsWith('ringchat.unsent.')));
const roomsListed = (page) => page.$$eval('#rooms a, #directs a', (links) => links.map((link) => link.getAttribute('href')));

test('what was written offline in several rooms is sent once, in order, when a new tab is opened', async () => {
  const [tea, jam] = [freshRoom(server), freshRoom(server)];
  const others = [await person(browser, tea, 'tess'), await person(browser, jam, 'jane')];
  const ann = await person(browser, tea, 'ann');
  await say(ann, 'to be changed');
  await hears(others[0], 'to be changed');
  await ann.goto(jam);
  await ann.waitForFunction((name) => document.getElementById('room-title').textContent === name, nameOf(jam));
  await cutConnection(ann);
  for (const text of ['one', 'two', 'three']) await say(ann, `jam ${text}`);
  await ann.click(`#rooms a[href="#${nameOf(tea)}"]`);
  await ann.waitForFunction(() => document.querySelector('#rows .row.message'));
  await ann.press('#text', 'ArrowUp');
  await ann.fill('#text', 'changed offline');
  await ann.press('#text', 'Enter');
  for (const text of ['one', 'two', 'three']) await say(ann, `tea ${text}`);
  await pending(ann, 3);
  await ann.waitForSelector('.edited');
  await ann.close();
  const again = await openTab(ann.context(), `${server.url}#elsewhere`);
  await joined(again);
  assert.equal(await again.textContent('#self-nick'), 'ann');
  for (const [page, name] of [[others[0], 'tea'], [others[1], 'jam']]) {
    await hears(page, `${name} three`);
    assert.deepEqual((await texts(page)).slice(-3), ['one', 'two', 'three'].map((text) => `${name} ${text}`));
  }
  await hears(others[0], 'changed offline (edited)');
  assert.deepEqual(await texts(others[0]), ['changed offline (edited)', 'tea one', 'tea two', 'tea three']);
  assert.deepEqual((await roomsListed(again)).sort(), [`#${nameOf(tea)}`, `#${nameOf(jam)}`, '#elsewhere'].sort());
  await again.waitForFunction(() => !Object.keys(localStorage).some((key) => key.startsWith('ringchat.unsent.')));
  await again.reload();
  await joined(again);
  await again.click(`#rooms a[href="#${nameOf(tea)}"]`);
  await hears(again, 'tea three');
  assert.deepEqual(await texts(again), ['changed offline (edited)', 'tea one', 'tea two', 'tea three']);
  assertNoProblems(again);
});

test('the server dies with the tab: what it never acknowledged is sent by the next tab, and shown once', async () => {
  let own = await startServer();
  try {
    const listen = own.address;
    const url = `${own.url}#dies`;
    const [ben, una] = [await person(browser, url, 'ben'), await person(browser, url, 'una')];
    // The server has it, and una has; its author never hears of it.
    await ben.evaluate(() => (window.sockets.at(-1).onmessage = () => {}));
    await say(ben, 'not acknowledged');
    await hears(una, 'not acknowledged');
    process.kill(own.pid, 'SIGSTOP');
    await say(ben, 'not received');
    await pending(ben, 2);
    await ben.close();
    await own.kill();
    own = await startServer({ listen });
    const again = await openTab(ben.context(), url);
    await joined(again);
    await una.evaluate(() => document.getElementById('outage-button').click());
    for (const page of [again, una]) {
      await hears(page, 'not received');
      assert.deepEqual(await texts(page), ['not acknowledged', 'not received']);
    }
    assertNoProblems(una, [REFUSED]);
    assertNoProblems(again);
  } finally {
    await own.kill();
  }
});

test('a second tab sends what waits in the first; nothing is doubled when the first is back', async () => {
  const url = freshRoom(server);
  const una = await person(browser, url, 'una');
  const first = await person(browser, url, 'carl');
  const cut = await cutConnection(first);
  for (const text of ['one', 'two']) await say(first, text);
  await pending(first, 2);
  const second = await openTab(first.context(), url);
  await joined(second);
  await hears(una, 'two');
  await say(second, 'three');
  await hears(una, 'three');
  await cut.restore();
  await say(first, 'four');
  for (const page of [una, first, second]) {
    await hears(page, 'four');
    await pending(page, 0);
    assert.deepEqual(await texts(page), ['one', 'two', 'three', 'four']);
  }
  assert.deepEqual(await keptKeys(second), []);
  for (const page of [una, second]) assertNoProblems(page);
  assertNoProblems(first, [REFUSED]);
});

/** Runs in the page: how often a text was published among a room's first and last 20. */
async function published({ url, text }) {
  const { Client } = await import('/client.js');
  const channel = `chat:${decodeURIComponent(new URL(url).hash.slice(1))}`;
  const address = `${location.origin.replace('http', 'ws')}/connection/websocket`;
  return new Promise((resolve, reject) => {
    const options = { data: () => ({ nick: 'counter' }), WebSocket: window.RealWebSocket };
    const client = new Client(address, options);
    const some = (reverse) => client.history(channel, { limit: 20, reverse });
    const count = (results) => {
      client.stop();
      const found = results.flatMap(({ publications }) => publications).filter(({ data }) => data.text === text);
      return new Set(found.map(({ offset }) => offset)).size;
    };
    const onSubscribed = () => Promise.all([some(false), some(true)]).then(count).then(resolve, reject);
    client.subscribe(channel, { onSubscribed });
    client.start();
  });
}

test('a tab that slept longer than the server remembers reads what another has sent before it sends', async () => {
  const own = await startServer({ args: ['--set', 'channel.nonces_max=2'] });
  try {
    const url = `${own.url}#asleep`;
    const first = await person(browser, url, 'gus');
    await say(first, 'before');
    await hears(first, 'before');
    const cut = await cutConnection(first);
    await say(first, 'once');
    await pending(first, 1);
    const second = await openTab(first.context(), url);
    await joined(second);
    await hears(second, 'once');
    await second.evaluate(burst, { url, name: 'many', prefix: 'm', each: 420 });
    await cut.restore();
    await say(first, 'after');
    await hears(second, 'after');
    await pending(first, 0);
    assert.equal(await second.evaluate(published, { url, text: 'once' }), 1);
    assert.equal(await second.evaluate(published, { url, text: 'after' }), 1);
    assertNoProblems(first, [REFUSED]);
  } finally {
    await own.kill();
  }
});

test('what waits follows its writer to another name, and goes out under no other', async () => {
  const url = freshRoom(server);
  const una = await person(browser, url, 'una');
  const page = await person(browser, url, 'dora');
  await cutConnection(page);
  await say(page, 'by dorothy');
  await pending(page, 1);
  await say(page, '/nick dorothy');
  await page.waitForFunction(() => document.getElementById('self-nick').textContent === 'dorothy');
  await page.close();
  const context = page.context();
  const other = await openTab(context, 'about:blank');
  await other.goto(`${server.url}favicon.svg`);
  await other.evaluate(() => localStorage.setItem('ringchat.nick', '"zoe"'));
  await other.goto(url);
  await joined(other);
  await say(other, 'by zoe');
  await hears(una, 'by zoe');
  assert.equal((await keptKeys(other)).length, 1);
  await other.evaluate(() => localStorage.setItem('ringchat.nick', '"dorothy"'));
  await other.close();
  const again = await openTab(context, url);
  await joined(again);
  await hears(una, 'by dorothy');
  assert.deepEqual(await texts(una), ['by zoe', 'by dorothy']);
  const authors = await una.$$eval('#rows .row.message .nick', (nodes) => nodes.map((node) => node.textContent));
  assert.deepEqual(authors, ['zoe', 'dorothy']);
});

test('a conversation of two, its unsent message, drafts and rooms follow their writer to another name', async () => {
  const url = freshRoom(server);
  const bob = await person(browser, url, 'bob');
  const page = await person(browser, url, 'abe');
  await page.fill('#text', 'begun by abe');
  await page.goto(`${server.url}#@~bob`);
  await page.waitForFunction(() => document.getElementById('room-title').textContent === 'bob');
  await cutConnection(page);
  await say(page, 'for bob alone');
  await pending(page, 1);
  await say(page, '/nick carla');
  await page.waitForFunction(() => document.getElementById('self-nick').textContent === 'carla');
  await pending(page, 1);
  await page.close();
  const again = await openTab(page.context(), url);
  await joined(again);
  assert.equal(await again.inputValue('#text'), 'begun by abe');
  await bob.click('#directs a[href="#@~carla"]');
  await hears(bob, 'for bob alone');
  assert.equal(await bob.textContent('#room-title'), 'carla');
  assert.deepEqual((await roomsListed(again)).sort(), [`#${nameOf(url)}`, '#@~bob'].sort());
  await again.waitForFunction(() => !Object.keys(localStorage).some((key) => key.startsWith('ringchat.unsent.')));
  assert.deepEqual(await again.evaluate(() => Object.keys(localStorage).filter((key) => key.includes('draft.~abe'))), []);
  assertNoProblems(again);
});

test('a draft and the rooms that one is in are there in the next tab', async () => {
  const page = await person(browser, freshRoom(server), 'emil');
  const second = freshRoom(server);
  await page.goto(second);
  await page.waitForFunction((name) => document.getElementById('room-title').textContent === name, nameOf(second));
  await page.fill('#text', 'begun and\nleft');
  const rooms = await roomsListed(page);
  assert.equal(rooms.length, 2);
  await page.close();
  const again = await openTab(page.context(), second);
  await joined(again);
  assert.equal(await again.inputValue('#text'), 'begun and\nleft');
  assert.deepEqual((await roomsListed(again)).sort(), rooms.sort());
  await again.press('#text', 'Enter');
  await hears(again, 'begun and\nleft');
  await again.close();
  const last = await openTab(page.context(), second);
  await joined(last);
  assert.equal(await last.inputValue('#text'), '');
  assertNoProblems(again);
});

test('a browser that keeps nothing asks before the page goes with something unsent', async () => {
  const page = await person(browser, freshRoom(server), 'fay');
  await page.evaluate(() => {
    Storage.prototype.setItem = () => {
      throw new DOMException('full', 'QuotaExceededError');
    };
  });
  await cutConnection(page);
  await say(page, 'nowhere else');
  await pending(page, 1);
  const asked = page.waitForEvent('dialog');
  await page.close({ runBeforeUnload: true });
  assert.equal((await asked).type(), 'beforeunload');
  // The answer was to stay: it is still here, and goes out.
  await page.evaluate(() => {
    window.socketsCut = false;
    document.getElementById('outage-button').click();
  });
  await hears(page, 'nowhere else');
  await page.close({ runBeforeUnload: true });
  if (!page.isClosed()) await page.waitForEvent('close');
  assert.equal(page.problems.filter((problem) => problem.startsWith('dialog')).length, 1);
});
