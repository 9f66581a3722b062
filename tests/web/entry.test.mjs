// Coming in: a remembered name, another one, a token in the link, a server that takes only tokens.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { WITH_TOKENS, assertNoProblems, browser, enter, freshRoom, hears, joined, openWindow, person, say, server, stage, startServer, tokenFor } from './helpers.mjs';

stage();
let closed;

before(async () => {
  closed = await startServer({ args: WITH_TOKENS });
});

after(() => closed?.kill());

const inAnHour = () => Math.floor(Date.now() / 1000) + 3600;

test('the shortest way to the conversation: the link, a name, Enter; the next time not even that', async () => {
  const begin = Date.now();
  const page = await openWindow(browser, freshRoom(server));
  await page.keyboard.type('ada');
  await page.keyboard.press('Enter');
  await joined(page);
  console.log(`in the conversation after ${Date.now() - begin} ms`);
  assert.equal(await page.textContent('#room-title'), decodeURIComponent(new URL(page.url()).hash.slice(1)));
  const again = await page.context().newPage();
  await again.goto(`${server.url}#another-room`);
  await joined(again);
  assert.equal(await again.textContent('#self-nick'), 'ada');
  assert.equal(await again.textContent('#room-title'), 'another-room');
  assertNoProblems(page);
});

test('a server that takes only tokens says so on the first screen', async () => {
  const page = await openWindow(browser, closed.url);
  await page.waitForSelector('#token-form:not([hidden])');
  assert.equal(await page.locator('#gate-form').isVisible(), false);
  assert.match(await page.textContent('#token-form'), /lets in who comes with a link/);
  assert.equal(await page.evaluate(() => document.activeElement.id), 'gate-token');
  await page.keyboard.type('nonsense');
  await page.keyboard.press('Enter');
  assert.match(await page.textContent('#token-problem'), /not a link/);
  // A name from before does not help either.
  await page.evaluate(() => localStorage.setItem('ringchat.nick', '"ada"'));
  await page.reload();
  await page.waitForSelector('#token-form:not([hidden])');
  // A link that is pasted does.
  const token = tokenFor({ sub: '42', exp: inAnHour(), info: { name: 'Kim' } });
  await page.fill('#gate-token', `${closed.url}#token=${token}&room=tea`);
  await page.keyboard.press('Enter');
  await joined(page);
  assert.equal(await page.textContent('#room-title'), 'tea');
  assertNoProblems(page);
});

test('a token in the link: gone from the address at once, kept for the tab, and nothing else', async () => {
  const kim = tokenFor({ sub: '42', exp: inAnHour(), info: { name: 'Kim' } });
  const lee = tokenFor({ sub: '7', exp: inAnHour() });
  const page = await openWindow(browser, `${closed.url}#token=${kim}&room=tea`);
  assert.equal(new URL(page.url()).hash, '#tea');
  await joined(page);
  assert.equal(await page.textContent('#self-nick'), 'Kim');
  const other = await openWindow(browser, `${closed.url}#token=${lee}&room=tea`);
  await joined(other);
  await say(page, 'hello');
  await hears(other, 'hello');
  assert.equal(await other.textContent('.row.message .nick'), 'Kim');
  await page.reload();
  await joined(page);
  assert.equal(await page.textContent('#self-nick'), 'Kim');
  assert.equal(await page.locator('.row.mine').count(), 1);
  // Another tab of the same browser knows nothing of it.
  const fresh = await page.context().newPage();
  await fresh.goto(closed.url);
  await fresh.waitForSelector('#token-form:not([hidden])');
  assert.equal(await page.evaluate((token) => JSON.stringify([localStorage, history.length]).includes(token), kim), false);
  // Another link in the same tab: another person.
  await page.goto(`${closed.url}#token=${lee}&room=tea`);
  await page.waitForFunction(() => document.getElementById('self-nick').textContent === '7');
  assert.equal(new URL(page.url()).hash, '#tea');
  await joined(page);
  // The name is the token's; the way out forgets it.
  await page.click('#change-name');
  assert.equal(await page.locator('#name-form').isVisible(), false);
  await page.click('#go-out');
  await page.waitForSelector('#token-form:not([hidden])');
  await page.reload();
  await page.waitForSelector('#token-form:not([hidden])');
  assertNoProblems(page);
});

test('a token that has run out, or is not one of theirs: said so', async () => {
  const old = tokenFor({ sub: '42', exp: Math.floor(Date.now() / 1000) - 10 });
  const page = await openWindow(browser, `${closed.url}#token=${old}`);
  await page.waitForFunction(() => /run out/.test(document.getElementById('token-reason').textContent));
  const forged = tokenFor({ sub: '42', exp: inAnHour() }, 'f'.repeat(32));
  const other = await openWindow(browser, `${closed.url}#token=${forged}`);
  await other.waitForFunction(() => /does not accept/.test(document.getElementById('token-reason').textContent));
  assertNoProblems(page);
});

test('rooms that the token names are open, and stay so over a lost connection', async () => {
  const token = tokenFor({ sub: '42', exp: inAnHour(), channels: ['chat:team', 'chat:tea'] });
  const page = await openWindow(browser, `${closed.url}#token=${token}&room=tea`);
  await page.waitForSelector('#rooms a[href="#team"]');
  await joined(page);
  const lee = await openWindow(browser, `${closed.url}#token=${tokenFor({ sub: '7', exp: inAnHour() })}&room=tea`);
  await joined(lee);
  for (const text of ['one', 'two']) await say(lee, text);
  await hears(page, 'two');
  await page.evaluate(() => window.sockets.at(-1).close());
  await say(lee, 'three');
  await page.waitForFunction(() => window.sockets.filter(({ readyState }) => readyState === 1).length === 1);
  await hears(page, 'three');
  await say(lee, 'four');
  await hears(page, 'four');
  assert.equal(await page.locator('.row.gap').count(), 0);
  assertNoProblems(page);
});

test('another name, while talking: others see it, in conversations between two as well', async () => {
  const url = freshRoom(server);
  const ada = await person(browser, url, 'ada one');
  const bob = await person(browser, url, 'bob one');
  const rename = async (name) => {
    await ada.click('#change-name');
    await ada.fill('#own-name', name);
    await ada.press('#own-name', 'Enter');
    await ada.waitForFunction((wanted) => document.getElementById('self-nick').textContent === wanted, name);
    await ada.waitForSelector('#settings', { state: 'hidden' });
  };
  await ada.click('#change-name');
  await ada.fill('#own-name', 'a:b');
  await ada.press('#own-name', 'Enter');
  assert.match(await ada.textContent('#name-problem'), /no “:”/);
  await ada.keyboard.press('Escape');
  await rename('ada two');
  await say(ada, 'it is me');
  await hears(bob, 'it is me');
  assert.equal(await bob.textContent('.row.message .nick'), 'ada two');
  await bob.waitForFunction(() => [...document.querySelectorAll('#people li:not(.away) bdi')].map((one) => one.textContent).join() === 'bob one,ada two');
  // With a conversation between two open, the server wants us to come back as somebody else.
  await ada.click('#people button');
  await ada.waitForFunction(() => document.getElementById('room-title').textContent === 'bob one');
  await joined(ada);
  await rename('ada three');
  await joined(ada);
  await say(ada, 'me again');
  await bob.waitForSelector('#directs .badge');
  assert.equal(await bob.textContent('#directs bdi'), 'ada three');
  await ada.reload();
  await joined(ada);
  assert.equal(await ada.textContent('#self-nick'), 'ada three');
  assertNoProblems(ada);
  assertNoProblems(bob);
});

test('the way out leads back to the gate', async () => {
  const page = await person(browser, freshRoom(server), 'zoe');
  await page.click('#change-name');
  await page.click('#go-out');
  await page.waitForSelector('#gate-form:not([hidden])');
  await enter(page, 'zoe two');
  assert.equal(await page.textContent('#self-nick'), 'zoe two');
});
