// Where one writes: completion, drafts, long pastes, what failed and is tried again.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertNoProblems, browser, freshRoom, hears, joined, person, say, screenshot, server, stage, texts } from './helpers.mjs';

stage();

test('Tab completes names, one after another, and leaves the field when there is nothing to complete', async () => {
  const url = freshRoom(server);
  const ada = await person(browser, url, 'ada');
  for (const name of ['ben', 'bea lee', 'carl']) await person(browser, url, name);
  await ada.waitForFunction(() => document.querySelectorAll('#people li').length === 4);
  const { keyboard } = ada;
  const value = () => ada.inputValue('#text');
  await ada.focus('#text');
  await keyboard.type('be');
  await keyboard.press('Tab');
  assert.equal(await value(), 'bea lee: ');
  await keyboard.press('Tab');
  assert.equal(await value(), 'ben: ');
  await keyboard.press('Tab');
  assert.equal(await value(), 'bea lee: ');
  await keyboard.type('hi c');
  await keyboard.press('Tab');
  assert.equal(await value(), 'bea lee: hi carl ');
  await keyboard.press('Tab');
  assert.equal(await ada.evaluate(() => document.activeElement.id), 'send');
  await ada.fill('#text', '');
  await ada.focus('#text');
  await keyboard.press('Tab');
  assert.equal(await ada.evaluate(() => document.activeElement.id), 'send');
  // With "@" they are offered unasked; the arrows choose, Enter takes.
  await ada.focus('#text');
  await keyboard.type('@');
  await ada.waitForSelector('#suggestions li >> nth=2');
  await keyboard.press('ArrowDown');
  assert.equal(await ada.getAttribute('#suggestion-1', 'aria-selected'), 'true');
  await keyboard.press('Enter');
  assert.equal(await value(), '@ben ');
  assert.equal((await texts(ada)).length, 0);
  assertNoProblems(ada);
});

test('emoji are offered by name; a click takes one; Escape takes none; Enter sends what stands there', async () => {
  const page = await person(browser, freshRoom(server), 'dora');
  const { keyboard } = page;
  await page.focus('#text');
  await keyboard.type('off we go :roc');
  await page.click('#suggestions li');
  assert.equal(await page.inputValue('#text'), 'off we go 🚀 ');
  await keyboard.type(':hea');
  await page.waitForSelector('#suggestions li');
  await screenshot(page, 'suggestions');
  await keyboard.press('Escape');
  assert.equal(await page.locator('#suggestions').isVisible(), false);
  await keyboard.press('Tab');
  assert.equal(await page.inputValue('#text'), 'off we go 🚀 ❤️ ');
  await keyboard.type(':tad');
  await page.waitForSelector('#suggestions li');
  await keyboard.press('Enter');
  await hears(page, 'off we go 🚀 ❤️ :tad');
  assertNoProblems(page);
});

test('a draft of each room survives a reload, and is gone when it is sent', async () => {
  const page = await person(browser, `${server.url}#draft-a`, 'emil');
  await page.fill('#text', 'begun in a\nsecond line');
  await page.goto(`${server.url}#draft-b`);
  await page.waitForFunction(() => document.getElementById('room-title').textContent === 'draft-b');
  assert.equal(await page.inputValue('#text'), '');
  await page.fill('#text', 'begun in b');
  await page.reload();
  await joined(page);
  assert.equal(await page.inputValue('#text'), 'begun in b');
  await page.click('#rooms a[href="#draft-a"]');
  await page.waitForFunction(() => document.getElementById('text').value === 'begun in a\nsecond line');
  await page.press('#text', 'Enter');
  await hears(page, 'begun in a\nsecond line');
  await page.reload();
  await joined(page);
  assert.equal(await page.inputValue('#text'), '');
  await page.click('#rooms a[href="#draft-b"]');
  await page.waitForFunction(() => document.getElementById('text').value === 'begun in b');
  assertNoProblems(page);
});

test('an edit that is left gives the draft back', async () => {
  const page = await person(browser, freshRoom(server), 'fred');
  await say(page, 'said');
  await hears(page, 'said');
  await page.fill('#text', 'a draft');
  await page.press('#text', 'ArrowUp');
  assert.equal(await page.inputValue('#text'), 'a draft'); // the arrow moves in a text that is there
  await page.hover('.row.message .text');
  await page.click('.tools [data-action=edit]');
  assert.equal(await page.inputValue('#text'), 'said');
  await page.fill('#text', 'said better');
  await page.reload();
  await joined(page);
  assert.equal(await page.inputValue('#text'), 'a draft');
  await hears(page, 'said');
  await page.hover('.row.message .text');
  await page.click('.tools [data-action=edit]');
  await page.press('#text', 'Escape');
  assert.equal(await page.inputValue('#text'), 'a draft');
  assertNoProblems(page);
});

/** Pastes a text where the cursor is. */
const paste = (page, text) =>
  page.evaluate((what) => {
    const clipboardData = new DataTransfer();
    clipboardData.setData('text/plain', what);
    const event = new ClipboardEvent('paste', { clipboardData, bubbles: true, cancelable: true });
    return !document.getElementById('text').dispatchEvent(event);
  }, text);

test('a long paste asks first: as it is, as code, or not at all', async () => {
  const page = await person(browser, freshRoom(server), 'gina');
  const { keyboard } = page;
  const long = Array.from({ length: 40 }, (_, i) => `line ${i} <b>`).join('\n');
  await page.focus('#text');
  assert.equal(await paste(page, 'short'), false);
  await keyboard.type('see: ');
  assert.equal(await paste(page, long), true);
  assert.match(await page.textContent('#composer-bar'), /Paste 469 characters in 40 lines\?/);
  await screenshot(page, 'paste');
  assert.equal(await page.inputValue('#text'), 'see: ');
  await keyboard.press('Escape');
  assert.equal(await page.locator('#composer-bar').isVisible(), false);
  assert.equal(await page.evaluate(() => document.activeElement.id), 'text');
  await paste(page, 'x'.repeat(2_001));
  await page.click('#composer-bar [data-action=cancel]');
  assert.equal(await page.inputValue('#text'), 'see: ');
  await paste(page, long);
  await keyboard.press('Enter'); // the first answer has the focus: paste
  assert.equal(await page.inputValue('#text'), `see: ${long}`);
  await page.fill('#text', '');
  await paste(page, long);
  await page.click('#composer-bar [data-action=pasteCode]');
  assert.equal(await page.inputValue('#text'), `\`\`\`\n${long}\n\`\`\`\n`);
  await page.press('#text', 'Enter');
  await page.click('.row.sent [data-action=expand]');
  await page.waitForFunction((text) => document.querySelector('pre code')?.textContent === text, long);
  assertNoProblems(page);
});

test('what the server refuses is tried again by hand, and published once', async () => {
  const url = freshRoom(server);
  const [hugo, iris] = [await person(browser, url, 'hugo'), await person(browser, url, 'iris')];
  // The next publication leaves the page in a form that the server does not take.
  const spoil = () => hugo.evaluate(() => {
    const socket = window.sockets.at(-1);
    const { send } = socket;
    socket.send = (frame) => {
      if (frame.includes('"type":"message"')) delete socket.send;
      send.call(socket, frame.replace('"type":"message"', '"type":"no such"'));
    };
  });
  await spoil();
  await say(hugo, 'stubborn');
  await hugo.waitForSelector('.row.failed .failure');
  assert.match(await hugo.textContent('.failure'), /Not sent: the server refused it.*Try again.*Discard/);
  await say(hugo, 'in between');
  await hears(iris, 'in between');
  assert.deepEqual(await texts(iris), ['in between']);
  await hugo.click('.failure [data-action=retry]');
  await hears(iris, 'stubborn');
  await hears(hugo, 'stubborn');
  // Sent a second time, with the nonce that it had: nothing happens.
  await hugo.evaluate(() => {
    const socket = window.sockets.at(-1);
    const { send } = socket;
    socket.send = (frame) => {
      if (frame.includes('"type":"message"')) {
        delete socket.send;
        for (const id of [900_001, 900_002]) send.call(socket, JSON.stringify({ ...JSON.parse(frame), id }));
      }
      send.call(socket, frame);
    };
  });
  await say(hugo, 'thrice');
  await say(hugo, 'done');
  for (const page of [hugo, iris]) {
    await hears(page, 'done');
    assert.deepEqual(await texts(page), ['in between', 'stubborn', 'thrice', 'done']);
  }
  await spoil();
  await say(hugo, 'given up');
  await hugo.click('.failure [data-action=discard]');
  await hugo.waitForFunction(() => !document.querySelector('.row.failed'));
  await hugo.reload();
  await joined(hugo);
  await hears(hugo, 'done');
  assert.deepEqual(await texts(hugo), ['in between', 'stubborn', 'thrice', 'done']);
  assertNoProblems(hugo);
});
