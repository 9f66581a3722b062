// Can everybody use it? An audit by axe-core of every state of the page, 320 pixels to 4K, targets for
// fingers.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { WITH_TOKENS, assertNoProblems, browser, cutConnection, enter, freshRoom, hears, openWindow, person, say, server, stage, startServer } from './helpers.mjs';

stage();
let closed;
let axe;

before(async () => {
  axe = await readFile(new URL(import.meta.resolve('axe-core/axe.min.js')), 'utf8');
  closed = await startServer({ args: WITH_TOKENS });
});

after(() => closed?.kill());

/** Fails for every serious finding; says the others. */
async function audit(page, what) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() =>
    window.axe.run(document, { resultTypes: ['violations'], runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] }),
  );
  const found = violations.map(({ id, impact, nodes }) => `${impact} ${id}: ${nodes.map(({ html, failureSummary }) => `${html.slice(0, 120)} (${failureSummary.split('\n')[1]?.trim()})`).join('; ')}`);
  const serious = found.filter((text) => /^(serious|critical)/.test(text));
  assert.deepEqual(serious, [], what);
  for (const text of found) console.log(`${what}: ${text}`);
}

for (const colorScheme of ['light', 'dark']) {
  test(`no serious findings in any state, ${colorScheme}`, async () => {
    const url = freshRoom(server);
    const page = await openWindow(browser, url, { colorScheme, reducedMotion: 'reduce' });
    await audit(page, 'gate');
    await page.press('#gate-name', 'Enter');
    await audit(page, 'gate with a problem');
    await enter(page, 'ann');
    await audit(page, 'empty room');
    const ben = await person(browser, url, 'ben');
    for (const text of ['hello ann', 'see https://e.example/ and `code`', '```\nblock\n```', '/me waves']) await say(ben, text);
    await say(ben, '/topic All about it');
    await say(ben, 'last');
    await hears(page, 'last');
    await say(page, 'own');
    await hears(page, 'own');
    await page.click('#people button');
    await page.waitForSelector('#directs a');
    await page.goBack();
    await page.waitForSelector('#rows .row.message');
    await audit(page, 'room');
    await page.hover('.row.message:not(.mine)');
    await audit(page, 'tools of a message');
    await page.keyboard.press('Control+k');
    await page.waitForSelector('#switcher .option');
    await audit(page, 'switcher');
    await page.keyboard.press('Escape');
    await page.click('#browse');
    await page.waitForSelector('#browser .option');
    await audit(page, 'browser of rooms');
    await page.keyboard.press('Escape');
    await page.click('#topic-edit');
    await audit(page, 'topic');
    await page.keyboard.press('Escape');
    await page.click('#change-name');
    await audit(page, 'settings');
    await page.keyboard.press('Escape');
    await page.setViewportSize({ width: 390, height: 844 });
    await audit(page, 'phone');
    await page.click('#panel-open');
    await audit(page, 'panel on a phone');
    await page.keyboard.press('Escape');
    await cutConnection(page);
    await say(page, 'waits');
    await page.waitForSelector('.row.pending');
    await audit(page, 'offline');
    const invited = await openWindow(browser, closed.url, { colorScheme });
    await invited.waitForSelector('#token-form:not([hidden])');
    await audit(invited, 'only tokens');
    assertNoProblems(ben);
  });
}

test('from 320 pixels to 4K nothing is cut off, in German as well', async () => {
  const url = freshRoom(server);
  const page = await person(browser, url, 'a name of thirty-two characters!', { locale: 'de-DE', reducedMotion: 'reduce' });
  await say(page, `${'Donaudampfschifffahrt'.repeat(12)} ${'wort '.repeat(40)}`);
  await page.waitForSelector('.row.sent');
  for (const [width, height] of [[320, 568], [360, 640], [768, 1024], [1280, 800], [1920, 1080], [3840, 2160]]) {
    await page.setViewportSize({ width, height });
    const beyond = () =>
      page.evaluate(() =>
        [...document.querySelectorAll('#app *, dialog[open], dialog[open] *')]
          .filter((node) => node.checkVisibility({ visibilityProperty: true, opacityProperty: true }) && !node.closest('.unseen'))
          .filter((node) => {
            const { left, right, width: wide } = node.getBoundingClientRect();
            return wide > 0 && (left < -1 || right > innerWidth + 1);
          })
          .map((node) => `${node.tagName} ${node.id || node.className}`),
      );
    assert.deepEqual(await beyond(), [], `room, ${width}`);
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${width}`);
    for (const [button, dialog] of [['change-name', 'settings'], ['browse', 'browser'], ['switch', 'switcher']]) {
      await page.evaluate((id) => document.getElementById(id).click(), button);
      await page.waitForSelector(`#${dialog}[open]`);
      assert.deepEqual(await beyond(), [], `${dialog}, ${width}`);
      const fits = await page.evaluate((id) => {
        const { top, bottom } = document.getElementById(id).getBoundingClientRect();
        return top >= 0 && bottom <= innerHeight;
      }, dialog);
      assert.equal(fits, true, `${dialog}, ${width}`);
      await page.keyboard.press('Escape');
    }
  }
  assertNoProblems(page);
});

test('what a finger touches is large enough', async () => {
  const page = await person(browser, freshRoom(server), 'cem', { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true });
  await page.click('#panel-open');
  const small = await page.$$eval('button, a, input, textarea', (all) =>
    all
      .filter((node) => node.checkVisibility({ visibilityProperty: true, opacityProperty: true }))
      .map((node) => ({ node, box: node.getBoundingClientRect() }))
      .filter(({ box }) => box.width < 24 || box.height < 24)
      .map(({ node }) => node.id || node.className || node.tagName),
  );
  assert.deepEqual(small, []);
});
