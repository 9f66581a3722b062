// Who is here, who went, who is typing; rooms that are too large for a list.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { REFUSED, assertNoProblems, browser, cutConnection, freshRoom, hears, joined, person, say, server, stage } from './helpers.mjs';

stage({ args: ['--set', 'presence.grace=200ms'] });

/** Waits until the list says exactly this. */
const lists = (page, names, rest = ':not(.away)') =>
  page.waitForFunction(
    ([wanted, extra]) => [...document.querySelectorAll(`#people li${extra} bdi`)].map((one) => one.textContent).join() === wanted,
    [names.join(), rest],
  );

test('who comes into a room sees who is there already, with a count', async () => {
  const url = freshRoom(server);
  const ann = await person(browser, url, 'ann');
  const ben = await person(browser, url, 'ben');
  const cem = await person(browser, url, 'cem');
  await lists(cem, ['cem', 'ann', 'ben']);
  await lists(ann, ['ann', 'ben', 'cem']);
  assert.equal(await cem.textContent('#people-count'), '3');
  await say(ben, 'off I go');
  await hears(ann, 'off I go');
  await ben.context().close();
  await lists(ann, ['ann', 'cem']);
  await lists(ann, ['ben'], '.away');
  assert.equal(await ann.textContent('#people-count'), '2');
  // Two windows of one person are one person, and stay so when one of them closes.
  const second = await cem.context().newPage();
  await second.goto(url);
  await joined(second);
  await lists(second, ['cem', 'ann']);
  await second.close();
  await say(ann, 'still here?');
  await hears(cem, 'still here?');
  await lists(ann, ['ann', 'cem']);
  const cut = await cutConnection(cem);
  assert.equal(await cem.textContent('#people-hint'), 'Not known while offline.');
  await lists(ann, ['ann']);
  await cut.restore();
  await lists(cem, ['cem', 'ann']);
  await lists(ann, ['ann', 'cem']);
  assertNoProblems(ann);
  assertNoProblems(cem, [REFUSED]);
});

test('the list can be walked with the arrows, and leads to a conversation', async () => {
  const url = freshRoom(server);
  const dan = await person(browser, url, 'dan');
  for (const name of ['eli', 'fay', 'gus']) await person(browser, url, name);
  await lists(dan, ['dan', 'eli', 'fay', 'gus']);
  await dan.focus('#people button');
  const focused = () => dan.evaluate(() => document.activeElement.textContent);
  assert.match(await focused(), /eli/);
  await dan.keyboard.press('ArrowDown');
  assert.match(await focused(), /fay/);
  await dan.keyboard.press('End');
  assert.match(await focused(), /gus/);
  assert.equal(await dan.locator('#people button[tabindex="0"]').count(), 1);
  await dan.keyboard.press('Enter');
  await dan.waitForFunction(() => document.getElementById('room-title').textContent === 'gus');
  assertNoProblems(dan);
});

test('who is typing shows, stops when something is said, and runs out', async () => {
  const url = freshRoom(server);
  const hal = await person(browser, url, 'hal');
  const ida = await person(browser, url, 'ida');
  const jan = await person(browser, url, 'jan');
  const types = (page) => page.type('#text', 'w');
  const says = (page, pattern, options) =>
    page.waitForFunction((source) => new RegExp(source, 'u').test(document.getElementById('typing').textContent), pattern.source, options);
  await types(ida);
  await says(hal, /^.ida. is typing$/);
  await types(jan);
  await says(hal, /^.ida. and .jan. are typing$/);
  await says(ida, /^.jan. is typing$/);
  await ida.press('#text', 'Enter');
  await says(hal, /^.jan. is typing$/);
  // Who thinks better of it is not typing any more.
  await jan.fill('#text', '');
  await says(hal, /^$/, { timeout: 5_000 }); // sooner than it runs out
  const begin = Date.now();
  await types(jan);
  await says(hal, /^.jan. is typing$/);
  await says(hal, /^$/);
  const held = Date.now() - begin;
  assert.ok(held > 5_000, `${held} ms`);
  for (const page of [hal, ida, jan]) assertNoProblems(page);
});

test('a room that is too large for a list shows how many there are', async () => {
  const url = freshRoom(server);
  const page = await person(browser, url, 'kim');
  await page.evaluate(crowd, { url, many: 120 });
  const late = await person(browser, url, 'lea');
  await late.waitForFunction(() => document.getElementById('people-hint').textContent === 'Too many to list.');
  assert.equal(await late.textContent('#people-count'), '122');
  await lists(late, ['lea']);
  await page.evaluate(() => window.crowd.forEach((client) => client.stop()));
  await page.reload();
  await page.waitForFunction(() => document.getElementById('people-count').textContent === '2');
  assertNoProblems(late);
});

/** Runs in the page: so many others in the room, each over a connection of its own. */
async function crowd({ url, many }) {
  const { Client } = await import('/client.js');
  const channel = `chat:${decodeURIComponent(new URL(url).hash.slice(1))}`;
  const address = `${location.origin.replace('http', 'ws')}/connection/websocket`;
  window.crowd = [];
  const one = (n) =>
    new Promise((resolve) => {
      const client = new Client(address, { data: () => ({ nick: `guest ${n}` }), WebSocket: window.RealWebSocket });
      client.subscribe(channel, { onSubscribed: resolve });
      client.start();
      window.crowd.push(client);
    });
  await Promise.all(Array.from({ length: many }, (_, n) => one(n)));
}
