// Conversations between two people: they reach who is there, who comes later, and nobody else.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WITH_TOKENS, assertNoProblems, browser, freshRoom, hears, joined, openWindow, person, say, server, stage, startServer, texts, tokenFor } from './helpers.mjs';

stage({ args: ['--set', 'presence.grace=200ms', '--set', 'client.nick_grace=1s'] });

const inRoom = async (page, title) => {
  await page.waitForFunction((wanted) => document.getElementById('room-title').textContent === wanted, title);
  await joined(page);
};
const directs = (page) => page.$$eval('#directs bdi', (all) => all.map((one) => one.textContent));

test('two talk alone, and a third learns nothing of it', async () => {
  const url = freshRoom(server);
  const ann = await person(browser, url, 'ann');
  const ben = await person(browser, url, 'ben');
  const eve = await person(browser, url, 'eve');
  await ann.click('#people button[data-user="~ben"]');
  await inRoom(ann, 'ben');
  assert.equal(await ann.locator('#topic-edit').isVisible(), false);
  assert.equal(await ann.evaluate(() => document.activeElement.id), 'text');
  // An empty conversation is not told of.
  assert.deepEqual(await directs(ben), []);
  await say(ann, 'between us');
  await ben.waitForFunction(() => document.querySelector('#directs .badge.call')?.textContent === '@1');
  assert.deepEqual(await directs(ben), ['ann']);
  await ben.waitForFunction(() => document.title.startsWith('(1) '));
  await ben.click('#directs a');
  await inRoom(ben, 'ann');
  await hears(ben, 'between us', ':not(.mine)');
  await say(ben, 'nobody else hears it');
  await hears(ann, 'nobody else hears it', ':not(.mine)');
  await ann.waitForSelector('#directs .dot.online');
  // That one types is told to the other alone.
  const typing = (page) => page.textContent('#typing');
  await ben.type('#text', 'w');
  await ann.waitForFunction(() => /ben.* is typing/u.test(document.getElementById('typing').textContent));
  assert.equal(await typing(eve), '');
  await ben.fill('#text', '');
  // Back in the room: the next one counts.
  await ben.goBack();
  await inRoom(ben, decodeURIComponent(new URL(url).hash.slice(1)));
  await say(ann, 'and again');
  await ben.waitForFunction(() => document.querySelector('#directs .badge.call')?.textContent === '@1');
  await say(ann, 'and again!');
  await ben.waitForFunction(() => document.querySelector('#directs .badge.call')?.textContent === '@2');
  assert.deepEqual(await directs(eve), []);
  assert.deepEqual(await texts(eve), []);
  // The server lets nobody else in, not by the page's address and not by the protocol.
  await eve.evaluate(() => {
    window.said = [];
    const socket = window.sockets.at(-1);
    socket.addEventListener('message', ({ data }) => window.said.push(data));
    socket.send(JSON.stringify({ id: 700_001, subscribe: { channel: 'dm:#~ann,~ben' } }));
  });
  await eve.waitForFunction(() => window.said.some((line) => /"id":700001.*"code":103/.test(line)));
  for (const page of [ann, ben, eve]) assertNoProblems(page);
});

test('who was away when it was said gets it after coming back', async () => {
  const url = freshRoom(server);
  const fay = await person(browser, url, 'fay');
  const gus = await person(browser, url, 'gus');
  await fay.click('#people button[data-user="~gus"]');
  await inRoom(fay, 'gus');
  const context = gus.context();
  await gus.close();
  await fay.waitForFunction(() => document.querySelector('#directs .dot') && !document.querySelector('#directs .dot.online'));
  await say(fay, 'call me when you are back');
  await hears(fay, 'call me when you are back');
  const back = await context.newPage();
  await back.goto(url);
  await joined(back);
  await back.waitForSelector('#directs .badge.call');
  await back.click('#directs a');
  await inRoom(back, 'fay');
  await hears(back, 'call me when you are back');
  // It is open in this tab from now on; leaving it closes it.
  await back.reload();
  await inRoom(back, 'fay');
  await back.click('#directs button[data-room]');
  await inRoom(back, decodeURIComponent(new URL(url).hash.slice(1)));
  assert.deepEqual(await directs(back), []);
  assertNoProblems(fay);
});

test('by name: @somebody in the field for rooms, and as an address', async () => {
  const url = freshRoom(server);
  const hal = await person(browser, url, 'hal');
  const ida = await person(browser, url, 'Ida B');
  await hal.waitForSelector('#people button');
  await hal.fill('#room-name', '@ida b');
  await hal.press('#room-name', 'Enter');
  await inRoom(hal, 'Ida B');
  assert.equal(new URL(hal.url()).hash, '#@~Ida%20B');
  await say(hal, 'hello');
  await ida.waitForSelector('#directs .badge.call');
  await ida.goto(`${server.url}#@hal`);
  await inRoom(ida, 'hal');
  await hears(ida, 'hello');
  await hal.fill('#room-name', '@hal');
  await hal.press('#room-name', 'Enter');
  assert.equal(await hal.evaluate(() => document.getElementById('room-name').validationMessage), 'There is nobody to talk to here.');
  for (const page of [hal, ida]) assertNoProblems(page);
});

test('users of tokens: by their ids, shown by their names', async () => {
  const closed = await startServer({ args: WITH_TOKENS });
  try {
    const come = async (sub, name) => {
      const page = await openWindow(browser, `${closed.url}#token=${tokenFor({ sub, info: { name } })}&room=tea`);
      await joined(page);
      return page;
    };
    const kim = await come('auth0|5f7c8ec7c33c6c004bbafe82', 'Kim');
    const lee = await come('user:7', 'Lee');
    await kim.click('#people button');
    await inRoom(kim, 'Lee');
    await say(kim, 'hello Lee');
    await lee.waitForSelector('#directs .badge.call');
    assert.deepEqual(await directs(lee), ['Kim']);
    await lee.click('#directs a');
    await inRoom(lee, 'Kim');
    await hears(lee, 'hello Lee');
    await lee.reload();
    await inRoom(lee, 'Kim');
    await hears(lee, 'hello Lee');
    for (const page of [kim, lee]) assertNoProblems(page);
  } finally {
    await closed.kill();
  }
});

test('slash commands: /msg, /leave, /nick, /join', async () => {
  const url = freshRoom(server);
  const room = decodeURIComponent(new URL(url).hash.slice(1));
  const jan = await person(browser, url, 'jan');
  const kim = await person(browser, url, 'kim');
  await jan.waitForSelector('#people button[data-user="~kim"]');
  await say(jan, '/msg kim hello there');
  await inRoom(jan, 'kim');
  await kim.waitForSelector('#directs .badge.call');
  await kim.click('#directs a');
  await inRoom(kim, 'jan');
  await hears(kim, 'hello there');
  await say(jan, '/leave');
  await inRoom(jan, room);
  assert.deepEqual(await directs(jan), []);
  await say(jan, '/nick a:b');
  await jan.waitForFunction(() => /no “:”/.test(document.getElementById('composer-problem').textContent));
  await say(jan, '/nick jan the second');
  await jan.waitForFunction(() => document.getElementById('self-nick').textContent === 'jan the second');
  await say(jan, '/join side room');
  await inRoom(jan, 'side room');
  await say(jan, `/leave ${room}`);
  await jan.waitForFunction(() => document.querySelectorAll('#rooms li').length === 1);
  assert.equal(await jan.textContent('#room-title'), 'side room');
  await say(jan, '/leave nowhere');
  await jan.waitForFunction(() => /not in this room/.test(document.getElementById('composer-problem').textContent));
  // The last one leads to the lobby, which stays.
  await say(jan, '/leave');
  await inRoom(jan, 'lobby');
  await say(jan, '/leave');
  await jan.waitForFunction(() => /cannot be left/.test(document.getElementById('composer-problem').textContent));
  await say(jan, 'still talking');
  await hears(jan, 'still talking');
  await say(jan, '/msg "jan the second" hm');
  await jan.waitForFunction(() => /nobody to talk to/.test(document.getElementById('composer-problem').textContent));
  for (const page of [jan, kim]) assertNoProblems(page);
});
