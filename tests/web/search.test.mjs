// Searching a room: what is loaded, and what its history still has.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { REFUSED, assertNoProblems, browser, burst, cutConnection, freshRoom, hears, joined, person, say, screenshot, server, stage } from './helpers.mjs';

stage();

const found = (page) => page.$$eval('#search-found .text', (all) => all.map((one) => one.textContent));

test('the search finds what is not loaded yet, and goes there', async () => {
  const url = freshRoom(server);
  const amy = await person(browser, url, 'amy');
  await say(amy, 'A Needle, <i>sharp</i>');
  await hears(amy, 'A Needle, <i>sharp</i>');
  await amy.evaluate(burst, { url, name: 'filler', prefix: 'hay ', each: 320 });
  await say(amy, 'one more needle');
  await hears(amy, 'one more needle');
  await amy.reload();
  await joined(amy);
  await hears(amy, 'one more needle');
  assert.equal(await amy.getByText('A Needle').count(), 0);
  const { keyboard } = amy;
  await keyboard.press('Control+f');
  assert.equal(await amy.evaluate(() => document.activeElement.id), 'search-text');
  await keyboard.type('NEEDLE');
  await amy.waitForFunction(() => document.getElementById('search-state').textContent.trim() === '2 messages found.');
  assert.deepEqual(await found(amy), ['one more needle', 'A Needle, <i>sharp</i>']);
  assert.deepEqual(await amy.$$eval('#search-found mark', (all) => all.map((one) => one.textContent)), ['needle', 'Needle']);
  assert.equal(await amy.locator('#search-found i').count(), 0);
  await screenshot(amy, 'search');
  await keyboard.press('ArrowDown');
  await keyboard.press('ArrowDown');
  await keyboard.press('Enter');
  await amy.waitForFunction(() => /^A Needle/.test(document.querySelector('.row.found .text')?.textContent));
  assert.equal(await amy.locator('#search').isVisible(), false);
  await amy.waitForSelector('#to-end:not([hidden])');
  assert.ok((await amy.locator('#rows > div').count()) <= 400);
  await amy.click('#to-end');
  await hears(amy, 'one more needle');
  assertNoProblems(amy);
});

test('what was edited is found as it is now, what was deleted is not; another room is not searched', async () => {
  const url = freshRoom(server);
  const bo = await person(browser, url, 'bo');
  for (const text of ['first apple', 'second pear', 'third apple']) await say(bo, text);
  await hears(bo, 'third apple');
  await bo.press('#text', 'ArrowUp');
  await bo.fill('#text', 'third plum');
  await bo.press('#text', 'Enter');
  await say(bo, '/search apple');
  await bo.waitForFunction(() => document.getElementById('search-state').textContent.trim() === '1 message found.');
  assert.deepEqual(await found(bo), ['first apple']);
  await bo.fill('#search-text', 'nothing like it');
  await bo.waitForFunction(() => document.getElementById('search-state').textContent.trim() === '0 messages found.');
  await bo.press('#search-text', 'Escape');
  assert.equal(await bo.evaluate(() => document.activeElement.id), 'text');
  await say(bo, '/join next-door');
  await bo.waitForFunction(() => document.getElementById('room-title').textContent === 'next-door');
  await bo.click('#search-open');
  await bo.fill('#search-text', 'apple');
  await bo.waitForFunction(() => document.getElementById('search-state').textContent.trim() === '0 messages found.');
  assertNoProblems(bo);
});

test('without a connection what is loaded is searched, and it is said that this is not all', async () => {
  const url = freshRoom(server);
  const cy = await person(browser, url, 'cy');
  await cy.evaluate(burst, { url, name: 'filler', prefix: 'hay ', each: 150 });
  // The page loads back to what has been read: here, no more than a page of the history.
  await hears(cy, 'hay 149');
  await cy.reload();
  await joined(cy);
  await hears(cy, 'hay 149');
  const cut = await cutConnection(cy);
  await say(cy, '/search hay 1');
  const state = (text) => cy.waitForFunction((wanted) => document.getElementById('search-state').textContent.trim() === wanted, text);
  await state('50 messages found. Older messages could not be searched.');
  await cut.restore();
  await cy.fill('#search-text', 'hay 1');
  await cy.fill('#search-text', 'hay 14');
  await state('11 messages found.');
  assertNoProblems(cy, [REFUSED]);
});
