// The chat page while the connection or the server is gone: nothing is lost, nothing doubled.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { REFUSED, assertNoProblems, browser, burst, cutConnection, freshRoom, hears, joined, person, say, screenshot, server, stage, startServer, texts } from './helpers.mjs';

stage();

test('nothing is lost and nothing doubled when the server is restarted in mid-conversation', async () => {
  let own = await startServer();
  try {
    const listen = own.address;
    const ivan = await person(browser, own.url, 'ivan');
    const judy = await person(browser, own.url, 'judy');
    const said = { ivan: [], judy: [] };
    const speak = async (page, name, count) => {
      for (let i = 0; i < count; i += 1) {
        const text = `${name} ${said[name].length}`;
        said[name].push(text);
        await say(page, text);
      }
    };
    await speak(ivan, 'ivan', 5);
    await speak(judy, 'judy', 5);
    // Both go on talking while the server goes.
    await Promise.all([own.stop(), speak(ivan, 'ivan', 30), speak(judy, 'judy', 30)]);
    await ivan.waitForSelector('#outage:not([hidden])');
    await ivan.waitForFunction(() => document.getElementById('state').textContent === 'Offline');
    await speak(ivan, 'ivan', 5);
    await speak(judy, 'judy', 5);
    await ivan.waitForFunction(() => /wait/.test(document.getElementById('outage-waiting').textContent));
    await screenshot(ivan, 'offline');
    own = await startServer({ listen });
    // "Try now", unless the page's own next try was quicker: then the button is gone already.
    await ivan.evaluate(() => document.getElementById('outage-button').click());
    for (const page of [ivan, judy]) {
      await page.waitForSelector('#outage', { state: 'hidden' });
      for (const name of ['ivan', 'judy']) await hears(page, said[name].at(-1));
      await page.waitForFunction(() => !document.querySelector('.row.pending'));
      const heard = await texts(page);
      for (const name of ['ivan', 'judy']) {
        assert.deepEqual(heard.filter((text) => text.startsWith(name)), said[name]);
      }
      assert.equal(await page.textContent('#self-nick'), page === ivan ? 'ivan' : 'judy');
      assertNoProblems(page, [REFUSED]);
    }
    assert.deepEqual(await texts(judy), await texts(ivan));
    await speak(judy, 'judy', 1);
    await hears(ivan, said.judy.at(-1));
    await screenshot(ivan, 'after-restart');
  } finally {
    await own.kill();
  }
});

test('the server dies: what it never acknowledged is sent again, repeats are dropped, the gap is shown', async () => {
  let own = await startServer();
  try {
    const listen = own.address;
    const [ada, ben, cid] = [await person(browser, own.url, 'ada'), await person(browser, own.url, 'ben'), await person(browser, own.url, 'cid')];
    const all = [ada, ben, cid];
    for (const [index, page] of all.entries()) await say(page, `before ${index}`);
    for (const page of all) for (const index of [0, 1, 2]) await hears(page, `before ${index}`);
    // The server has it, and the others do; its author never hears of it.
    await ada.evaluate(() => (window.sockets.at(-1).onmessage = () => {}));
    await say(ada, 'heard by others');
    for (const page of [ben, cid]) await hears(page, 'heard by others');
    assert.equal(await ada.locator('.row.pending').count(), 1);
    // It stands still, takes no more, and is gone.
    process.kill(own.pid, 'SIGSTOP');
    for (let i = 0; i < 3; i += 1) for (const [index, page] of all.entries()) await say(page, `unheard ${index} ${i}`);
    for (const page of [ben, cid]) await page.waitForFunction(() => document.querySelectorAll('.row.pending').length === 3);
    await own.kill();
    for (const page of all) await page.waitForSelector('#outage:not([hidden])');
    for (const [index, page] of all.entries()) await say(page, `offline ${index}`);
    own = await startServer({ listen });
    for (const page of all) await page.evaluate(() => document.getElementById('outage-button').click());
    const expected = ['before 0', 'before 1', 'before 2', 'heard by others'];
    for (const index of [0, 1, 2]) expected.push(...[0, 1, 2].map((i) => `unheard ${index} ${i}`), `offline ${index}`);
    for (const page of all) {
      await page.waitForSelector('#outage', { state: 'hidden' });
      for (const text of expected) await hears(page, text);
      await page.waitForFunction(() => !document.querySelector('.row.pending'));
    }
    const orders = [];
    for (const page of all) {
      const heard = await texts(page);
      orders.push(heard);
      assert.deepEqual([...heard].sort(), [...expected].sort());
      assert.equal(await page.textContent('.row.gap .gap-line'), 'The server started anew: messages may be missing here');
      for (const index of [0, 1, 2]) {
        const one = heard.filter((text) => text.startsWith(`unheard ${index}`));
        assert.deepEqual(one, [0, 1, 2].map((i) => `unheard ${index} ${i}`));
      }
      assertNoProblems(page, [REFUSED]);
    }
    assert.deepEqual(orders[1], orders[0]);
    assert.deepEqual(orders[2], orders[0]);
    await screenshot(ben, 'after-kill');
  } finally {
    await own.kill();
  }
});

test('offline, as the browser says it: what was typed goes out when the network is back', async () => {
  const url = freshRoom(server);
  const [dot, eli] = [await person(browser, url, 'dot'), await person(browser, url, 'eli')];
  await say(dot, 'before');
  await hears(eli, 'before');
  await dot.context().setOffline(true);
  await dot.evaluate(() => window.sockets.at(-1).close());
  await dot.waitForSelector('#outage:not([hidden])');
  for (const text of ['first', 'second', 'third']) await say(dot, text);
  await say(eli, 'meanwhile');
  await hears(eli, 'meanwhile');
  assert.equal(await dot.locator('.row.pending').count(), 3);
  assert.deepEqual(await texts(eli), ['before', 'meanwhile']);
  await dot.context().setOffline(false); // the page hears of it and tries at once
  for (const page of [dot, eli]) {
    await hears(page, 'third');
    assert.deepEqual(await texts(page), ['before', 'meanwhile', 'first', 'second', 'third']);
  }
  assertNoProblems(dot, [REFUSED]);
});

test('what was said while a window was away comes when it is back', async () => {
  const url = freshRoom(server);
  const kim = await person(browser, url, 'kim');
  const lee = await person(browser, url, 'lee');
  await say(lee, 'before');
  await hears(kim, 'before');
  const cut = await cutConnection(kim);
  for (let i = 0; i < 20; i += 1) await say(lee, `missed ${i}`);
  await hears(lee, 'missed 19');
  await say(kim, 'typed while away');
  await cut.restore();
  await hears(kim, 'missed 19');
  await hears(lee, 'typed while away');
  const expected = ['before', ...Array.from({ length: 20 }, (_, i) => `missed ${i}`), 'typed while away'];
  assert.deepEqual(await texts(lee), expected);
  await hears(kim, 'typed while away');
  assert.deepEqual(await texts(kim), expected);
  assert.equal(await kim.locator('.row.gap').count(), 0);
  assertNoProblems(kim, [REFUSED]);
});

test('more missed than recovery gives: the history fills it; what is gone is a gap that says so', async () => {
  const url = freshRoom(server);
  const olaf = await person(browser, url, 'olaf');
  await say(olaf, 'first');
  await hears(olaf, 'first');
  let cut = await cutConnection(olaf);
  await olaf.evaluate(burst, { url, name: 'first burst', prefix: 'a', each: 420 });
  await cut.restore();
  await hears(olaf, 'a419');
  await scrollTo(olaf, 'first');
  await olaf.waitForFunction(() => !document.querySelector('.row.gap')); // page by page
  await scrollTo(olaf, 'first');
  for (const text of ['first', 'a0', 'a1']) await hears(olaf, text);
  cut = await cutConnection(olaf);
  await olaf.evaluate(burst, { url, name: 'second burst', prefix: 'b', each: 640 });
  await olaf.evaluate(() => document.getElementById('to-end').click());
  await cut.restore();
  await hears(olaf, 'b639');
  // 500 are kept: 421 are known, 640 were missed, 140 of them are gone for good.
  await scrollTo(olaf, 'a419');
  assert.equal(await olaf.textContent('.row.gap .gap-line'), '140 messages are missing here');
  assert.equal(await olaf.locator('.row.gap button').count(), 0);
  const around = (await texts(olaf)).filter((text) => ['a418', 'a419', 'b140', 'b141'].includes(text));
  assert.deepEqual(around, ['a418', 'a419', 'b140', 'b141']);
  await scrollTo(olaf, 'first');
  assertNoProblems(olaf, [REFUSED]);
});

/** Scrolls up until a message is on the page. */
async function scrollTo(page, text) {
  await page.waitForFunction(
    (wanted) => {
      document.getElementById('log').scrollTop -= 2_000;
      return [...document.querySelectorAll('#rows .text')].some((node) => node.textContent === wanted);
    },
    text,
    { polling: 30 },
  );
}

test('what was not sent survives a reload', async () => {
  const url = freshRoom(server);
  const page = await person(browser, url, 'paul');
  await cutConnection(page);
  for (const text of ['one', 'two', 'three']) await say(page, text);
  await page.waitForFunction(() => document.querySelectorAll('.row.pending').length === 3);
  await page.reload();
  await joined(page);
  await hears(page, 'three');
  assert.deepEqual(await texts(page), ['one', 'two', 'three']);
  await page.reload();
  await joined(page);
  await hears(page, 'three');
  assert.deepEqual(await texts(page), ['one', 'two', 'three']);
  assertNoProblems(page);
});

test('an end that is final says why, and waits for the reader', async () => {
  const page = await person(browser, freshRoom(server), 'quincy');
  await page.evaluate(() => window.sockets.at(-1).send('not a command'));
  await page.waitForFunction(() => /ended the connection: bad request/.test(document.getElementById('outage-text').textContent));
  await say(page, 'later');
  await page.waitForSelector('.row.pending');
  await page.click('#outage-button');
  await joined(page);
  await hears(page, 'later');
  assertNoProblems(page);
});

test('two windows of the same person share the name', async () => {
  const url = freshRoom(server);
  const one = await person(browser, url, 'rosa');
  const two = await one.context().newPage();
  await two.goto(url);
  await joined(two);
  assert.equal(await two.textContent('#self-nick'), 'rosa');
  await say(two, 'from the second');
  await hears(one, 'from the second', '.mine');
  await say(one, 'from the first');
  await hears(two, 'from the first', '.mine');
  assert.deepEqual(await texts(one), await texts(two));
});

test('over a connection that breaks again and again: all, once, in order', async () => {
  const url = freshRoom(server);
  const tina = await person(browser, url, 'tina');
  const uwe = await person(browser, url, 'uwe');
  await tina.evaluate(() => {
    setInterval(() => {
      window.sockets.at(-1).close();
      document.getElementById('outage-button').click();
    }, 150);
  });
  const said = Array.from({ length: 60 }, (_, i) => `line ${i}`);
  for (const text of said) await say(tina, text);
  for (let i = 0; i < 10; i += 1) await say(uwe, `aside ${i}`);
  await hears(uwe, 'line 59');
  await hears(tina, 'line 59');
  await hears(tina, 'aside 9');
  for (const page of [tina, uwe]) {
    const heard = await texts(page);
    assert.deepEqual(heard.filter((text) => text.startsWith('line')), said);
    assert.equal(heard.filter((text) => text.startsWith('aside')).length, 10);
    assert.equal(await page.locator('.row.gap').count(), 0);
    assertNoProblems(page, [REFUSED]);
  }
  assert.deepEqual(await texts(tina), await texts(uwe));
});
