// How the chat page looks and is read: contrast, motion, language, screenshots.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertNoProblems, browser, burst, cutConnection, enter, freshRoom, hears, joined, lowContrast, openWindow, person, say, screenshot, server, stage } from './helpers.mjs';

stage();

test('every text has contrast, in light and in dark', async () => {
  for (const colorScheme of ['light', 'dark']) {
    const url = freshRoom(server);
    const page = await openWindow(browser, url, { colorScheme });
    assert.deepEqual(await page.evaluate(lowContrast), [], `gate, ${colorScheme}`);
    await enter(page, 'uma');
    for (let i = 0; i < 16; i += 1) {
      await page.evaluate(burst, { url, name: `person ${i}`, prefix: 'message https://e.example/', each: 1 });
    }
    await page.waitForFunction(() => document.querySelectorAll('.row.message').length === 16);
    await say(page, 'own https://e.example/');
    await say(page, '/me waves');
    await page.waitForFunction(() => document.querySelector('.row.me.sent'));
    assert.deepEqual(await page.evaluate(lowContrast), [], `room, ${colorScheme}`);
    await cutConnection(page);
    await say(page, 'pending');
    await page.waitForSelector('.row.pending');
    assert.deepEqual(await page.evaluate(lowContrast), [], `offline, ${colorScheme}`);
  }
});

test('who wants less motion has none', async () => {
  const page = await person(browser, freshRoom(server), 'vera', { reducedMotion: 'reduce' });
  await cutConnection(page);
  await say(page, 'waiting');
  await page.waitForSelector('.row.pending .mark');
  await page.setViewportSize({ width: 390, height: 844 });
  const moving = await page.evaluate(() => {
    document.getElementById('panel-open').click();
    return document.getAnimations().length;
  });
  assert.equal(moving, 0);
});

test('dark and light by the system, and by the switch, which wins and is remembered', async () => {
  const page = await person(browser, freshRoom(server), 'theo', { colorScheme: 'light' });
  const paper = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const light = await paper();
  await page.emulateMedia({ colorScheme: 'dark' });
  // The page hears of it a moment later.
  await page.waitForFunction((was) => getComputedStyle(document.body).backgroundColor !== was, light);
  const dark = await paper();
  await page.click('#change-name');
  assert.equal(await page.isChecked('[name=theme][value=system]'), true);
  await page.check('[name=theme][value=light]');
  assert.equal(await paper(), light);
  assert.equal(await page.getAttribute('meta[name="theme-color"]', 'content'), '#f5f4f0');
  // Other tabs follow; it is there before anything is drawn.
  const other = await page.context().newPage();
  await other.emulateMedia({ colorScheme: 'dark' });
  await other.goto(server.url);
  assert.equal(await other.evaluate(() => getComputedStyle(document.body).backgroundColor), light);
  await page.check('[name=theme][value=dark]');
  await other.waitForFunction(() => document.documentElement.dataset.theme === 'dark');
  await page.emulateMedia({ colorScheme: 'light' });
  await page.reload();
  await joined(page);
  assert.equal(await paper(), dark);
  await page.click('#change-name');
  await page.check('[name=theme][value=system]');
  assert.equal(await paper(), light);
  assertNoProblems(page);
});

test('the page speaks German where the reader does', async () => {
  const page = await person(browser, freshRoom(server), 'wim', { locale: 'de-DE' });
  assert.equal(await page.getAttribute('html', 'lang'), 'de');
  assert.match(await page.getAttribute('#text', 'placeholder'), /^Nachricht an/);
  assertNoProblems(page);
});

const DIALOGUE = [
  ['Ada', 'Good morning! The new build is on the test machine.'],
  ['Ada', 'Notes are here: https://wiki.example/notes/build-214 (two pages).'],
  ['Grace', 'Thanks, reading them now.'],
  ['Linus', 'Does it survive a restart in the middle of a conversation?'],
  ['Ada', 'It should. Try it:\n  1. write something\n  2. stop the server\n  3. write more\n  4. start it again'],
  ['Grace', '/me fetches coffee and the big red switch'],
  ['Linus', 'Done, and nothing is missing. What was typed meanwhile came through in order, once, as it should be.'],
  ['Grace', 'Hooray!'],
  ['Linus', 'Merging after lunch then.'],
];

test('screenshots', async () => {
  const url = `${server.url}#engine-room`;
  const speakers = new Map();
  for (const name of ['Linus', 'Grace', 'Ada']) speakers.set(name, await person(browser, url, name));
  const ada = speakers.get('Ada');
  for (const [name, text] of DIALOGUE) {
    await say(speakers.get(name), text);
    if (text.startsWith('/me')) await ada.waitForSelector('.row.me.sent');
    else await hears(ada, text);
  }
  const publish = (name, data) =>
    speakers.get(name).evaluate((payload) => {
      const command = { id: 900_000 + Math.floor(Math.random() * 1e5), publish: { channel: 'chat:engine-room', data: payload } };
      window.sockets.at(-1).send(JSON.stringify(command));
    }, data);
  await publish('Grace', { type: 'topic', text: 'Build 214: restarts, recovery, release on Friday' });
  await publish('Linus', { type: 'edit', of: 9, text: 'Merging right after lunch then.' });
  await publish('Ada', { type: 'react', of: 7, emoji: '👍', on: true });
  await ada.waitForSelector('.reactions');
  const proof = await ada.evaluate(() => JSON.stringify([localStorage, sessionStorage]));
  await ada.context().close();
  const sizes = { laptop: { width: 1280, height: 800 }, phone: { width: 390, height: 844 } };
  for (const [size, viewport] of Object.entries(sizes)) {
    for (const colorScheme of ['light', 'dark']) {
      const phone = size === 'phone' && { isMobile: true, hasTouch: true, deviceScaleFactor: 2 };
      const page = await openWindow(browser, url, { viewport, colorScheme, ...phone });
      await screenshot(page, `gate-${size}-${colorScheme}`);
      await page.evaluate((kept) => {
        for (const [i, entries] of JSON.parse(kept).entries()) Object.assign([localStorage, sessionStorage][i], entries);
      }, proof);
      await page.reload();
      await joined(page);
      await hears(page, 'Merging right after lunch then. (edited)');
      await page.waitForSelector('.reactions');
      await screenshot(page, `room-${size}-${colorScheme}`);
      if (size === 'phone') {
        await page.click('#panel-open');
        await page.waitForFunction(() => document.getAnimations().length === 0);
        await screenshot(page, `panel-${size}-${colorScheme}`);
      }
      for (const [button, dialog] of [['switch', 'switcher'], ['change-name', 'settings']]) {
        await page.evaluate((id) => document.getElementById(id).click(), button);
        await page.waitForSelector(`#${dialog}[open]`);
        await page.waitForFunction(() => document.getAnimations().length === 0);
        await screenshot(page, `${dialog}-${size}-${colorScheme}`);
        await page.keyboard.press('Escape');
      }
      const [across, wide] = await page.evaluate(() => [document.body.scrollWidth, innerWidth]);
      assert.ok(across <= wide, `${size}: ${across} pixels in ${wide}`);
      assertNoProblems(page);
      await page.context().close();
    }
  }
});
