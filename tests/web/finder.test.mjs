// Rooms: the side bar, mention badges, the browser of public rooms, the quick switcher, topics.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertNoProblems, browser, burst, hears, joined, person, say, server, stage } from './helpers.mjs';

stage();

const inRoom = async (page, title) => {
  await page.waitForFunction((wanted) => document.getElementById('room-title').textContent === wanted, title);
  await joined(page);
};
const options = (page, list) =>
  page.$$eval(`#${list} .option`, (all) => all.map((one) => [...one.children].map((part) => part.textContent).join(' ')));
const offered = (page, list, pattern) =>
  page.waitForFunction(
    ([id, source]) => [...document.querySelectorAll(`#${id} .option`)].some((one) => new RegExp(source).test(one.textContent)),
    [list, pattern.source],
  );

test('the browser of rooms shows how many are where, and what about; one picks, finds or names one', async () => {
  const one = await person(browser, `${server.url}#browse-a`, 'ann');
  const two = await person(browser, `${server.url}#browse-a`, 'ben');
  const three = await person(browser, `${server.url}#browse-b`, 'cem');
  await three.click('#topic-edit');
  await three.fill('#topic-text', 'All about <b>b</b>');
  await three.press('#topic-text', 'Enter');
  await three.waitForFunction(() => document.getElementById('topic').textContent === 'All about <b>b</b>');
  // The server's list is a second old at most, and asked for again while one looks.
  await two.click('#browse');
  await offered(two, 'browser-list', /browse-b.*All about.*1 here/);
  await offered(two, 'browser-list', /browse-a2 here · you are in/);
  assert.ok((await options(two, 'browser-list')).includes('# browse-b All about <b>b</b> 1 here'));
  await two.keyboard.type('BROWSE-B');
  assert.deepEqual((await options(two, 'browser-list')).slice(0, 1), ['# browse-b All about <b>b</b> 1 here']);
  await two.keyboard.press('Enter');
  await inRoom(two, 'browse-b');
  await two.waitForFunction(() => document.getElementById('topic').textContent === 'All about <b>b</b>');
  await one.click('#browse');
  await one.keyboard.type('#brand new');
  await offered(one, 'browser-list', /brand newopen this room/);
  await one.keyboard.press('Enter');
  await inRoom(one, 'brand new');
  await one.click('#browse');
  await one.keyboard.press('Escape');
  assert.equal(await one.locator('#browser').isVisible(), false);
  for (const page of [one, two, three]) assertNoProblems(page);
});

test('the quick switcher: unread rooms first, people, arrows and Enter', async () => {
  const page = await person(browser, `${server.url}#switch-a`, 'dora');
  const eve = await person(browser, `${server.url}#switch-b`, 'eve');
  for (const room of ['switch-b', 'switch-c', 'switch-a']) {
    await page.fill('#room-name', room);
    await page.press('#room-name', 'Enter');
    await inRoom(page, room);
  }
  await eve.fill('#room-name', 'switch-a');
  await eve.press('#room-name', 'Enter');
  await inRoom(eve, 'switch-a');
  await eve.goBack();
  await inRoom(eve, 'switch-b');
  await say(eve, 'news');
  await page.waitForSelector('#rooms .badge');
  await page.keyboard.press('Control+k');
  assert.equal(await page.evaluate(() => document.activeElement.id), 'switcher-text');
  assert.deepEqual((await options(page, 'switcher-list')).slice(0, 3), ['# switch-b 1', '# switch-c', '# switch-a']);
  await offered(page, 'switcher-list', /@eve/);
  assert.equal((await options(page, 'switcher-list')).filter((text) => /eve/.test(text)).length, 1, 'in two rooms, once in the list');
  const active = () => page.evaluate(() => document.getElementById(document.getElementById('switcher-text').getAttribute('aria-activedescendant')).textContent);
  assert.match(await active(), /switch-b/);
  await page.keyboard.press('ArrowDown');
  assert.match(await active(), /switch-c/);
  await page.keyboard.press('ArrowUp');
  await page.keyboard.press('Enter');
  await inRoom(page, 'switch-b');
  assert.equal(await page.evaluate(() => document.activeElement.id), 'text');
  await page.keyboard.press('Control+k');
  await page.keyboard.type('ch-c');
  await page.keyboard.press('Enter');
  await inRoom(page, 'switch-c');
  await page.keyboard.press('Meta+k');
  await page.keyboard.type('@eve');
  await page.keyboard.press('Enter');
  await inRoom(page, 'eve');
  assert.equal(new URL(page.url()).hash, '#@~eve');
  assertNoProblems(page);
});

test('a mention in another room has a badge of its own; leaving a room takes it off the side bar', async () => {
  const page = await person(browser, `${server.url}#mention-a`, 'finn');
  const gil = await person(browser, `${server.url}#mention-b`, 'gil');
  await page.fill('#room-name', 'mention-b');
  await page.press('#room-name', 'Enter');
  await inRoom(page, 'mention-b');
  await page.click('#rooms a[href="#mention-a"]');
  await inRoom(page, 'mention-a');
  await say(gil, 'finnish is a language');
  await page.waitForFunction(() => document.querySelector('#rooms .badge')?.textContent === '1');
  await say(gil, 'hello @finn, are you there?');
  await page.waitForFunction(() => document.querySelector('#rooms .badge.call')?.textContent === '@2');
  assert.match(await page.getAttribute('#rooms .badge', 'aria-label'), /2 unread messages, some for you/);
  await page.click('#rooms a[href="#mention-b"]');
  await inRoom(page, 'mention-b');
  await page.waitForSelector('#rooms .badge', { state: 'detached' });
  await page.click('#rooms button[data-room="mention-b"]');
  await inRoom(page, 'mention-a');
  assert.deepEqual(await page.$$eval('#rooms bdi', (all) => all.map((one) => one.textContent)), ['mention-a']);
  assertNoProblems(page);
});

test('the topic: everybody sees the new one, who comes later as well', async () => {
  const hal = await person(browser, `${server.url}#topics`, 'hal');
  const ida = await person(browser, `${server.url}#topics`, 'ida');
  await hal.focus('#topic-edit');
  await hal.keyboard.press('Enter');
  await hal.keyboard.type('Release on Friday');
  await hal.keyboard.press('Enter');
  await ida.waitForFunction(() => document.getElementById('topic').textContent === 'Release on Friday');
  await ida.waitForFunction(() => /hal.* set the topic/u.test(document.getElementById('rows').textContent));
  const jan = await person(browser, `${server.url}#topics`, 'jan');
  await jan.waitForFunction(() => document.getElementById('topic').textContent === 'Release on Friday');
  await jan.click('#topic-edit');
  await jan.fill('#topic-text', 'never mind');
  await jan.keyboard.press('Escape');
  assert.equal(await ida.textContent('#topic'), 'Release on Friday');
  await say(jan, 'seen');
  await hears(ida, 'seen');
  // Who comes when it is long ago has it, too.
  await hal.evaluate(burst, { url: `${server.url}#topics`, name: 'many', prefix: 'm', each: 150 });
  const kim = await person(browser, `${server.url}#topics`, 'kim');
  await hears(kim, 'm149');
  await kim.waitForFunction(() => document.getElementById('topic').textContent === 'Release on Friday');
  for (const page of [hal, ida, jan, kim]) assertNoProblems(page);
});
