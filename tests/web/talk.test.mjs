// What one does with messages, in two and three windows: reply, edit, delete, react, by pointer and
// by key; mentions, code, emoji; slash commands.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { REFUSED, assertNoProblems, browser, cutConnection, freshRoom, hears, joined, lowContrast, person, say, screenshot, server, stage, texts } from './helpers.mjs';

stage();

const row = (page, text) => page.locator('#rows .row', { has: page.locator('.text', { hasText: text }) }).last();

/** Presses a button of a message's tools, found with the mouse. */
async function use(page, text, action) {
  const found = row(page, text);
  const tool = found.locator(`.tools ${action}`);
  // What is drawn meanwhile may move the message away from under the pointer: once more, then.
  for (let tries = 3; tries > 0 && !(await tool.isVisible()); tries -= 1) {
    await page.mouse.move(0, 0);
    await found.locator('.text').hover();
    await tool.waitFor({ timeout: 3_000 }).catch(() => {});
  }
  await tool.click();
}

test('reply, edit, delete and react with the mouse: three windows show the same', async () => {
  const url = freshRoom(server);
  const [ann, ben, cat] = [await person(browser, url, 'ann'), await person(browser, url, 'ben'), await person(browser, url, 'cat')];
  await say(ann, 'teh plan');
  await say(ann, 'a secret');
  for (const page of [ann, ben, cat]) await hears(page, 'a secret');
  await use(ben, 'teh plan', '[data-action=reply]');
  await row(ben, 'teh plan').locator('.text').hover();
  assert.match(await ben.textContent('.tools .when'), /\b20\d\d\b.*\d:\d\d:\d\d/); // to the second
  assert.match(await ben.textContent('#composer-bar'), /Reply to .*ann.*teh plan/u);
  await say(ben, 'I like it');
  await hears(cat, 'I like it');
  assert.equal(await ben.locator('#composer-bar').isVisible(), false);
  await use(ann, 'teh plan', '[data-action=edit]');
  assert.equal(await ann.inputValue('#text'), 'teh plan');
  await ann.fill('#text', 'the plan');
  await ann.press('#text', 'Enter');
  await use(ann, 'a secret', '[data-action=remove]');
  assert.equal(await ann.textContent('.tools [data-action=remove]'), 'Really delete?');
  await ann.click('.tools [data-action=remove]');
  await use(cat, 'I like it', '[data-emoji="👍"]');
  await use(ann, 'I like it', '[data-emoji="👍"]');
  await use(ben, 'I like it', '[data-action=more]');
  await ben.click('.tools [data-emoji="🚀"]');
  for (const page of [ann, ben, cat]) {
    await page.waitForFunction(() => document.querySelectorAll('.chip').length === 2);
    await page.waitForFunction(() => document.querySelector('.chip').textContent === '👍 2');
    assert.deepEqual(await texts(page), ['the plan (edited)', 'Message deleted', 'I like it']);
    assert.match(await page.textContent('.quote'), /ann.*the plan/u);
    assert.deepEqual(await page.$$eval('.chip', (all) => all.map((one) => one.textContent)), ['👍 2', '🚀 1']);
    assert.equal(await page.getAttribute('.chip', 'aria-pressed'), String(page !== ben));
  }
  // The same chip takes it back.
  await cat.click('.chip >> nth=0');
  await ann.waitForFunction(() => document.querySelector('.chip').textContent === '👍 1');
  // What is not ours offers no edit; what is deleted offers nothing.
  await row(ben, 'the plan').locator('.text').hover();
  assert.equal(await ben.locator('.tools [data-action=edit]').count(), 0);
  assert.equal(await ben.locator('.tools [data-action=reply]').count(), 1);
  await row(ben, 'Message deleted').locator('.text').hover();
  assert.equal(await ben.locator('.tools').count(), 0);
  await ann.reload();
  await joined(ann);
  await ann.waitForFunction(() => document.querySelectorAll('.chip').length === 2);
  assert.deepEqual(await texts(ann), ['the plan (edited)', 'Message deleted', 'I like it']);
  for (const page of [ann, ben, cat]) assertNoProblems(page);
});

test('the same by the keyboard alone', async () => {
  const url = freshRoom(server);
  const [dan, eve] = [await person(browser, url, 'dan'), await person(browser, url, 'eve')];
  for (const text of ['one', 'two', 'three']) await say(dan, text);
  await hears(eve, 'three');
  const { keyboard } = eve;
  const focused = () => eve.evaluate(() => document.activeElement.closest('.row')?.querySelector('.text').textContent);
  await eve.focus('#log');
  await keyboard.press('ArrowUp');
  assert.equal(await focused(), 'three');
  await keyboard.press('ArrowUp');
  assert.equal(await focused(), 'two');
  assert.notEqual(await eve.evaluate(() => getComputedStyle(document.activeElement).outlineStyle), 'none');
  await keyboard.press('Enter');
  assert.equal(await eve.evaluate(() => document.activeElement.dataset.emoji), '👍');
  await keyboard.press('Enter');
  await dan.waitForFunction(() => document.querySelector('.chip')?.textContent === '👍 1');
  // Again takes it back, and again gives it; the chip does the same, and the focus is not lost.
  const reactions = (count) => dan.waitForFunction((n) => document.querySelectorAll('.chip').length === n, count);
  await keyboard.press('Enter');
  await reactions(0);
  assert.equal(await eve.evaluate(() => document.activeElement.dataset.emoji), '👍');
  await keyboard.press('Enter');
  await reactions(1);
  await eve.focus('.chip');
  await keyboard.press('Enter');
  await reactions(0);
  await eve.waitForFunction(() => document.activeElement.matches('.row'));
  assert.equal(await focused(), 'two');
  await keyboard.press('Enter');
  await keyboard.press('Enter');
  await reactions(1);
  for (let i = 0; i < 10 && (await eve.evaluate(() => document.activeElement.dataset.action)) !== 'reply'; i += 1) {
    await keyboard.press('Tab');
  }
  await keyboard.press('Enter');
  assert.equal(await eve.evaluate(() => document.activeElement.id), 'text');
  await keyboard.type('to two');
  await keyboard.press('Enter');
  await hears(dan, 'to two');
  assert.match(await dan.textContent('.quote'), /two/);
  // ArrowUp edits the last own message that is sent, Escape leaves it as it was.
  await hears(eve, 'to two');
  await keyboard.press('ArrowUp');
  assert.equal(await eve.inputValue('#text'), 'to two');
  await keyboard.type(', changed');
  await keyboard.press('Escape');
  assert.equal(await eve.inputValue('#text'), '');
  await keyboard.press('ArrowUp');
  await keyboard.type('!');
  await keyboard.press('Enter');
  await dan.waitForFunction(() => [...document.querySelectorAll('.text')].at(-1).textContent === 'to two! (edited)');
  await eve.focus('#log');
  await keyboard.press('ArrowUp');
  await keyboard.type('typed at a message');
  assert.equal(await eve.inputValue('#text'), 'typed at a message');
  assertNoProblems(eve);
});

test('the same with a finger', async () => {
  const url = freshRoom(server);
  const phone = { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true };
  const [zoe, yan] = [await person(browser, url, 'zoe', phone), await person(browser, url, 'yan')];
  await say(yan, 'touch me');
  await hears(zoe, 'touch me');
  await zoe.tap('.row.message .text');
  await zoe.tap('.tools [data-emoji="👍"]');
  await yan.waitForFunction(() => document.querySelector('.chip')?.textContent === '👍 1');
  await zoe.tap('.row.message .text');
  await zoe.tap('.tools [data-action=reply]');
  assert.equal(await zoe.locator('#composer-bar').isVisible(), true);
  assert.equal(await zoe.locator('.tools').count(), 0);
  await screenshot(zoe, 'phone-reply');
  await say(zoe, 'touched');
  await yan.waitForFunction(() => /touch me/.test(document.querySelector('.quote')?.textContent));
  assertNoProblems(zoe);
});

test('changes made while offline show at once, and reach the others after the reconnect', async () => {
  const url = freshRoom(server);
  const [fay, gus] = [await person(browser, url, 'fay'), await person(browser, url, 'gus')];
  for (const text of ['keep', 'drop', 'like']) await say(fay, text);
  for (const page of [gus, fay]) await hears(page, 'like');
  const cut = await cutConnection(fay);
  await use(fay, 'keep', '[data-action=edit]');
  await fay.fill('#text', 'kept');
  await fay.press('#text', 'Enter');
  await use(fay, 'drop', '[data-action=remove]');
  await fay.click('.tools [data-action=remove]');
  await use(fay, 'like', '[data-emoji="❤️"]');
  await fay.waitForSelector('.chip');
  assert.deepEqual(await texts(fay), ['kept (being changed)', 'Message deleted', 'like']);
  assert.deepEqual(await texts(gus), ['keep', 'drop', 'like']);
  await cut.restore();
  for (const page of [gus, fay]) {
    await page.waitForFunction(() => document.querySelector('.chip')?.textContent === '❤️ 1');
    await page.waitForFunction(() => document.querySelector('.text').textContent === 'kept (edited)');
    assert.deepEqual(await texts(page), ['kept (edited)', 'Message deleted', 'like']);
  }
  assertNoProblems(fay, [REFUSED]);
});

test('a change that was not sent survives a reload', async () => {
  const url = freshRoom(server);
  const [hal, ina] = [await person(browser, url, 'hal'), await person(browser, url, 'ina')];
  await say(hal, 'before');
  for (const page of [ina, hal]) await hears(page, 'before');
  await cutConnection(hal);
  await hal.press('#text', 'ArrowUp');
  await hal.fill('#text', 'after');
  await hal.press('#text', 'Enter');
  await hal.reload();
  await joined(hal);
  for (const page of [ina, hal]) {
    await page.waitForFunction(() => document.querySelector('.text')?.textContent === 'after (edited)');
  }
  assertNoProblems(hal);
});

test('a quoted line jumps to what it quotes, loaded or not', async () => {
  const url = freshRoom(server);
  const jan = await person(browser, url, 'jan');
  await say(jan, 'the very first');
  await hears(jan, 'the very first');
  for (let i = 0; i < 150; i += 1) await say(jan, `filler ${i}`);
  await hears(jan, 'filler 149');
  await jan.evaluate(() => document.getElementById('log').scrollTo(0, 0));
  await use(jan, 'the very first', '[data-action=reply]');
  await say(jan, 'an answer');
  await hears(jan, 'an answer');
  await jan.reload();
  await joined(jan);
  await hears(jan, 'an answer');
  assert.equal(await row(jan, 'the very first').count(), 0);
  assert.equal(await jan.textContent('.quote'), 'In reply to an earlier message');
  await jan.click('.quote');
  await jan.waitForFunction(() => document.querySelector('.row.found .text')?.textContent === 'the very first');
  const seen = () => jan.evaluate(() => {
    const { top, bottom } = document.querySelector('.row.found').getBoundingClientRect();
    const log = document.getElementById('log').getBoundingClientRect();
    return top >= log.top && bottom <= log.bottom && document.activeElement.matches('.row.found');
  });
  assert.equal(await seen(), true);
  await jan.click('#to-end');
  await jan.waitForFunction(() => /first/.test(document.querySelector('.quote').textContent));
  await jan.click('.quote');
  await jan.waitForFunction(() => document.querySelector('.row.found .text')?.textContent === 'the very first');
  assert.equal(await seen(), true);
  assertNoProblems(jan);
});

test('a mention is marked for whom it names; code, blocks and emoji are shown as such', async () => {
  const url = freshRoom(server);
  const [kit, liv] = [await person(browser, url, 'kit'), await person(browser, url, 'liv')];
  await say(kit, 'hi @Liv: `<b>code</b>` :tada:');
  await kit.fill('#text', '```\nline one\n  <i>line two</i>\n```');
  await kit.press('#text', 'Enter');
  await hears(liv, 'hi @Liv: <b>code</b> 🎉');
  await hears(liv, 'line one\n  <i>line two</i>');
  assert.equal(await liv.textContent('.row.mentions mark'), '@Liv');
  assert.equal(await kit.locator('mark, .mentions').count(), 0);
  assert.equal(await liv.textContent('.text > code'), '<b>code</b>');
  assert.equal(await liv.textContent('pre code'), 'line one\n  <i>line two</i>');
  assert.equal(await liv.locator('#rows :is(b, i)').count(), 0);
  await screenshot(liv, 'talk');
  assertNoProblems(liv);
});

test('slash commands: completed, done, or said to be none', async () => {
  const url = freshRoom(server);
  const [mo, nia] = [await person(browser, url, 'mo'), await person(browser, url, 'nia')];
  const { keyboard } = mo;
  await mo.focus('#text');
  await keyboard.type('/to');
  await mo.waitForSelector('#suggestions li');
  assert.equal(await mo.getAttribute('#text', 'aria-activedescendant'), 'suggestion-0');
  await keyboard.press('Enter');
  assert.equal(await mo.inputValue('#text'), '/topic ');
  assert.equal(await mo.locator('#suggestions').isVisible(), false);
  await keyboard.type('Tea and <b>cake</b>');
  await keyboard.press('Enter');
  for (const page of [mo, nia]) {
    await page.waitForFunction(() => document.getElementById('topic').textContent === 'Tea and <b>cake</b>');
  }
  await say(mo, '/me bows');
  await nia.waitForFunction(() => document.querySelector('.row.me .text')?.textContent.startsWith('mo bows '));
  await say(mo, '//me is how it is written');
  await hears(nia, '/me is how it is written');
  await say(mo, '/usr/bin is a path');
  await hears(nia, '/usr/bin is a path');
  await say(mo, '/dance now');
  await mo.waitForFunction(() => /no command .*dance/u.test(document.getElementById('composer-problem').textContent));
  assert.equal(await mo.inputValue('#text'), '/dance now');
  await say(mo, '/join');
  await mo.waitForFunction(() => /Write: \/join <room>/.test(document.getElementById('composer-problem').textContent));
  await say(mo, '/join #elsewhere');
  await mo.waitForFunction(() => document.getElementById('room-title').textContent === 'elsewhere');
  assert.deepEqual(await texts(nia), ['/me is how it is written', '/usr/bin is a path']);
  assertNoProblems(mo);
  assertNoProblems(nia);
});

test('slash commands: names, rooms, one person, help', async () => {
  const url = freshRoom(server);
  const [pia, rob] = [await person(browser, url, 'pia'), await person(browser, url, 'rob')];
  const room = (page) => page.textContent('#room-title');
  await say(pia, '/nick pia b');
  await pia.waitForFunction(() => document.getElementById('self-nick').textContent === 'pia b');
  await say(pia, 'renamed');
  await hears(rob, 'renamed');
  assert.equal(await rob.textContent('.row.message .nick'), 'pia b');
  assert.equal(await pia.locator('.row.message.mine').count(), 1);
  await say(pia, '/nick a:b');
  await pia.waitForFunction(() => document.getElementById('composer-problem').textContent !== '');
  assert.equal(await pia.inputValue('#text'), '/nick a:b');
  const before = await room(pia);
  await say(pia, '/join commands-aside');
  await pia.waitForFunction(() => document.getElementById('room-title').textContent === 'commands-aside');
  await joined(pia);
  await say(pia, '/leave');
  await pia.waitForFunction((title) => document.getElementById('room-title').textContent === title, before);
  assert.equal(await pia.locator('#rooms a[href="#commands-aside"]').count(), 0);
  await say(pia, '/msg rob just between us');
  await pia.waitForFunction(() => document.getElementById('room-title').textContent === 'rob');
  await hears(pia, 'just between us');
  assert.deepEqual(await texts(rob), ['renamed']);
  await say(pia, '/help');
  await pia.waitForFunction(() => /\/topic/.test(document.body.innerText));
  assertNoProblems(pia);
  assertNoProblems(rob);
});

test('what is shown about messages can be read, in light and in dark, at 320 pixels, in German', async () => {
  const url = freshRoom(server);
  const writer = await person(browser, url, 'otto');
  for (const colorScheme of ['light', 'dark']) {
    const options = { colorScheme, locale: 'de-DE', viewport: { width: 320, height: 640 } };
    const page = await person(browser, url, `paula ${colorScheme}`, options);
    const { keyboard } = page;
    await say(writer, `hallo paula ${colorScheme}: \`code\` https://e.example/`);
    await page.waitForSelector('.row.mentions');
    await say(page, 'eine Antwort');
    await hears(writer, 'eine Antwort');
    await hears(page, 'eine Antwort');
    const check = async (what) => {
      assert.deepEqual(await page.evaluate(lowContrast), [], `${what}, ${colorScheme}`);
      assert.ok((await page.evaluate(() => document.documentElement.scrollWidth)) <= 320, what);
    };
    await page.focus('#log');
    await keyboard.press('ArrowUp');
    await keyboard.press('Enter');
    await keyboard.press('Enter'); // a reaction of our own
    await page.waitForSelector('.chip');
    await check('tools');
    await use(page, 'eine Antwort', '[data-action=remove]');
    assert.equal(await page.textContent('.tools .sure'), 'Wirklich löschen?');
    await check('delete');
    await use(page, 'eine Antwort', '[data-action=edit]');
    assert.match(await page.textContent('#composer-bar'), /Du bearbeitest.*Abbrechen/);
    await keyboard.press('Escape');
    await keyboard.type('/');
    await page.waitForSelector('#suggestions li');
    await screenshot(page, `talk-320-${colorScheme}`);
    await check('suggestions');
    await keyboard.type('x y');
    await keyboard.press('Enter');
    await page.waitForFunction(() => /keinen|gibt es nicht/.test(document.getElementById('composer-problem').textContent));
    await check('problem');
    await keyboard.press('Control+f');
    await keyboard.type('hallo');
    await page.waitForSelector('#search-found li');
    await check('search');
    await page.reload();
    await joined(page);
    assertNoProblems(page);
    await page.context().close();
  }
});
