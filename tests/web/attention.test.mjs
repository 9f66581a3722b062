// Asking for attention: title, favicon, desktop notifications, the sound.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertNoProblems, browser, enter, freshRoom, hears, joined, openWindow, person, say, server, stage } from './helpers.mjs';

stage();

/** Runs in the page, before it: a browser that lets us notify, and a loudspeaker; both only count. */
function instruments(permission) {
  window.notified = [];
  window.tones = 0;
  window.Notification = class {
    static permission = permission;
    static requestPermission() {
      window.Notification.permission = permission === 'denied' ? 'denied' : 'granted';
      return Promise.resolve(window.Notification.permission);
    }
    constructor(title, options) {
      window.notified.push({ title, ...options });
      window.lastNotification = this;
    }
    close() {}
  };
  const node = { connect: (to) => to, frequency: {}, gain: { setValueAtTime() {}, exponentialRampToValueAtTime() {} }, start: () => (window.tones += 1), stop() {} };
  window.AudioContext = class {
    currentTime = 0;
    destination = {};
    createOscillator = () => ({ ...node });
    createGain = () => ({ ...node });
  };
}

/** Somebody with these instruments. */
async function listener(url, name, permission = 'default') {
  const page = await openWindow(browser, url);
  await page.addInitScript(instruments, permission);
  await page.reload();
  await enter(page, name);
  return page;
}

/** The reader looks elsewhere, or comes back. */
const look = (page, elsewhere) =>
  page.evaluate((hidden) => {
    Object.defineProperty(document, 'hidden', { value: hidden, configurable: true });
    document.dispatchEvent(new Event('visibilitychange'));
  }, elsewhere);

test('the title counts, and the favicon has a dot while somebody means the reader', async () => {
  const url = freshRoom(server);
  const ann = await person(browser, url, 'ann');
  const ben = await person(browser, url, 'ben');
  const icon = () => ann.getAttribute('link[rel="icon"]', 'href');
  const plain = await icon();
  await look(ann, true);
  await say(ben, 'one');
  await ann.waitForFunction(() => document.title.startsWith('(1) '));
  assert.match(await icon(), /^data:image\/svg/);
  await say(ben, 'ann?');
  await ann.waitForFunction(() => document.title.startsWith('(2) '));
  await look(ann, false);
  await ann.waitForFunction(() => !document.title.startsWith('('));
  assert.equal(await icon(), plain);
  assertNoProblems(ann);
});

test('notifications: off at first; then for mentions and direct messages, only while looking elsewhere', async () => {
  const url = freshRoom(server);
  const cem = await listener(url, 'cem');
  const dan = await person(browser, url, 'dan');
  const notified = () => cem.evaluate(() => window.notified);
  await look(cem, true);
  await say(dan, 'cem, too early');
  await hears(cem, 'cem, too early');
  assert.deepEqual(await notified(), []);
  await look(cem, false);
  await cem.click('#change-name');
  assert.equal(await cem.isChecked('#notify'), false);
  await cem.check('#notify');
  await cem.click('#settings [data-close]');
  await say(dan, 'cem, I see you reading');
  await hears(cem, 'cem, I see you reading');
  await cem.evaluate(() => (location.hash = '#elsewhere'));
  await cem.waitForFunction(() => document.getElementById('room-title').textContent === 'elsewhere');
  await say(dan, 'cem, in the other room');
  await cem.waitForSelector('#rooms .badge.call');
  assert.deepEqual(await notified(), []);
  await cem.goBack();
  await hears(cem, 'cem, in the other room');
  await look(cem, true);
  await say(dan, 'nobody in particular');
  await hears(cem, 'nobody in particular');
  assert.deepEqual(await notified(), []);
  await say(dan, 'now, cem!');
  await cem.waitForFunction(() => window.notified.length === 1);
  const room = decodeURIComponent(new URL(url).hash.slice(1));
  const [{ title, body, tag }] = await notified();
  assert.deepEqual({ title, body, tag }, { title: `dan in ${room}`, body: 'now, cem!', tag: room });
  await dan.click('#people button[data-user="~cem"]');
  await dan.waitForFunction(() => document.getElementById('room-title').textContent === 'cem');
  await joined(dan);
  await say(dan, 'psst');
  await cem.waitForFunction(() => window.notified.some(({ title, body }) => title === 'dan' && body === 'psst'));
  await look(cem, false);
  await cem.evaluate(() => window.lastNotification.onclick());
  await cem.waitForFunction(() => document.getElementById('room-title').textContent === 'dan');
  // It is remembered.
  await cem.reload();
  await joined(cem);
  await cem.evaluate(() => (window.Notification.permission = 'granted'));
  await cem.click('#change-name');
  assert.equal(await cem.isChecked('#notify'), true);
  assertNoProblems(cem);
});

test('a browser that forbids notifications: said so', async () => {
  const eve = await listener(freshRoom(server), 'eve', 'denied');
  await eve.click('#change-name');
  await eve.click('#notify');
  await eve.waitForFunction(() => /does not allow/.test(document.getElementById('notify-problem').textContent));
  assert.equal(await eve.isChecked('#notify'), false);
  assertNoProblems(eve);
});

test('the sound is off until it is switched on, and then is for mentions', async () => {
  const url = freshRoom(server);
  const fay = await listener(url, 'fay');
  const gus = await person(browser, url, 'gus');
  const tones = () => fay.evaluate(() => window.tones);
  await look(fay, true);
  await say(gus, 'fay?');
  await hears(fay, 'fay?');
  assert.equal(await tones(), 0);
  await look(fay, false);
  await fay.click('#change-name');
  assert.equal(await fay.isChecked('#sound'), false);
  await fay.check('#sound');
  assert.equal(await tones(), 1);
  await fay.click('#settings [data-close]');
  await look(fay, true);
  await say(gus, 'nobody');
  await hears(fay, 'nobody');
  assert.equal(await tones(), 1);
  await say(gus, 'fay!');
  await fay.waitForFunction(() => window.tones === 2);
  assertNoProblems(fay);
});
