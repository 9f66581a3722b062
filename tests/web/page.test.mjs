// The chat page in a browser, against the real server: talking, names, rooms, the keyboard.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertNoProblems, browser, freshRoom, hears, joined, openWindow, person, say, server, stage, texts } from './helpers.mjs';

stage();

test('two windows chat: pending, sent, joins, leaves', async () => {
  const url = freshRoom(server);
  const alice = await person(browser, url, 'alice');
  const bob = await person(browser, url, 'bob');
  await alice.waitForFunction(() => /bob.* joined/u.test(document.querySelector('.row.presence')?.textContent));
  await say(alice, 'hello bob');
  await hears(alice, 'hello bob', '.mine');
  await hears(bob, 'hello bob', ':not(.mine)');
  assert.equal(await bob.textContent('.row.message .nick'), 'alice');
  await say(bob, 'hello alice');
  await hears(alice, 'hello alice', ':not(.mine)');
  await say(bob, '/me waves');
  await alice.waitForFunction(() => document.querySelector('.row.me .text')?.textContent.startsWith('bob waves '));
  assert.deepEqual(await texts(alice), ['hello bob', 'hello alice']);
  assert.deepEqual(await texts(bob), ['hello bob', 'hello alice']);
  assert.deepEqual(await alice.$$eval('#people bdi', (all) => all.map((one) => one.textContent)), ['alice', 'bob']);
  await bob.close();
  await alice.waitForFunction(() => document.querySelectorAll('#people li:not(.away)').length === 1);
  assert.deepEqual(await alice.$$eval('#people .away bdi', (all) => all.map((one) => one.textContent)), ['bob']);
  assert.match(await alice.textContent('.row.presence:last-child'), /bob.* left/u);
  assertNoProblems(alice);
  assertNoProblems(bob);
});

test('a name is remembered, and history is there after a reload', async () => {
  const url = freshRoom(server);
  const carol = await person(browser, url, 'carol');
  const dave = await person(browser, url, 'dave');
  for (const text of ['one', 'two', 'three']) {
    await say(carol, text);
    await hears(dave, text);
    await say(dave, `${text} too`);
    await hears(carol, `${text} too`);
  }
  await carol.reload();
  await joined(carol);
  await hears(carol, 'three too');
  assert.deepEqual(await texts(carol), ['one', 'one too', 'two', 'two too', 'three', 'three too']);
  assert.equal(await carol.textContent('#self-nick'), 'carol');
  assert.equal(await carol.locator('.row.mine').count(), 3);
  assertNoProblems(carol);
});

test('a taken name becomes another, and the page says so', async () => {
  const url = freshRoom(server);
  await person(browser, url, 'erin');
  const second = await person(browser, url, 'erin');
  await second.waitForFunction(() => document.getElementById('self-nick').textContent === 'erin-2');
  assert.match(await second.textContent('.row.notice'), /erin.* is taken.*erin-2/u);
  await second.reload();
  await joined(second);
  assert.equal(await second.textContent('#self-nick'), 'erin-2');
  assertNoProblems(second);
});

test('names that cannot be are refused at the gate, with a word', async () => {
  const page = await openWindow(browser, freshRoom(server));
  for (const name of ['', '   ', 'a:b', 'a,b', 'a#b', '~root', 'x'.repeat(33), 'a\u202eb']) {
    await page.fill('#gate-name', name);
    await page.press('#gate-name', 'Enter');
    assert.notEqual(await page.textContent('#gate-problem'), '', JSON.stringify(name));
    assert.equal(await page.locator('#app').isVisible(), false);
  }
  await page.fill('#gate-name', 'ok');
  await page.fill('#gate-room', '');
  await page.press('#gate-room', 'Enter');
  assert.notEqual(await page.textContent('#gate-problem'), '');
  assertNoProblems(page);
});

test('nothing can be injected through a name, a text or a room', async () => {
  const nasty = [
    '<img src=x onerror=window.pwned=1>',
    '<script>window.pwned=1</script>',
    '</p></div><svg onload=window.pwned=1>',
    'javascript:window.pwned=1',
    'https://e.example/"onmouseover="window.pwned=1',
    "https://e.example/'><b>x</b>",
    '{{constructor.constructor("window.pwned=1")()}}',
    '\u202egnp.exe https://e.example/\u202egnp.exe',
    '&lt;b&gt; &amp; &#x3c;i&#x3e;',
    '__proto__',
    'line one\nline two\r\nfrom mallory: forged',
  ];
  const room = '<img src=x onerror=pwned=1>';
  const url = `${server.url}#${encodeURIComponent(room)}`;
  const mallory = await person(browser, url, '<img src=x onerror=pwned=1>');
  const victim = await person(browser, url, '__proto__');
  for (const text of nasty) {
    await say(mallory, text);
    await say(mallory, `/me ${text}`);
  }
  await say(victim, 'done');
  await hears(mallory, 'done');
  await hears(victim, 'done');
  const lines = (text) => text.replace(/\r\n?/g, '\n');
  assert.deepEqual((await texts(victim)).map(lines), [...nasty.map(lines), 'done']);
  for (const page of [mallory, victim]) {
    assert.equal(await page.textContent('#room-title'), room);
    assert.equal(await page.locator('#rows :is(img, script, svg, b:not(.quote b), iframe)').count(), 0);
    assert.equal(await page.locator('[onerror], [onload], [onmouseover]').count(), 0);
    assert.equal(await page.evaluate(() => 'pwned' in window), false);
    const links = await page.$$eval('#rows a', (all) => all.map(({ href, rel, target }) => ({ href, rel, target })));
    assert.ok(links.length > 0);
    for (const { href, rel, target } of links) {
      assert.match(href, /^https:\/\/e\.example\//);
      assert.equal(rel, 'noopener noreferrer');
      assert.equal(target, '_blank');
    }
    assertNoProblems(page);
  }
});

test('everything can be done with the keyboard, and the focus is seen', async () => {
  const page = await openWindow(browser, freshRoom(server));
  const { keyboard } = page;
  const focused = () => page.evaluate(() => document.activeElement.id);
  const focusSeen = () =>
    page.evaluate(() => {
      const { outlineStyle, outlineWidth } = getComputedStyle(document.activeElement);
      const field = document.activeElement.closest('.field');
      return (outlineStyle !== 'none' && outlineWidth !== '0px') || getComputedStyle(field).boxShadow !== 'none';
    });
  assert.equal(await focused(), 'gate-name');
  await keyboard.type('frank');
  await keyboard.press('Enter');
  await joined(page);
  assert.equal(await focused(), 'text');
  await keyboard.type('first line');
  await keyboard.press('Shift+Enter');
  await keyboard.type('second line');
  await keyboard.press('Enter');
  await hears(page, 'first line\nsecond line');
  await keyboard.press('Enter');
  await keyboard.type('   ');
  await keyboard.press('Enter');
  assert.equal((await texts(page)).length, 1);
  // Backwards through the page: each stop is seen, and the log is one of them.
  const stops = [];
  for (let i = 0; i < 6; i += 1) {
    await keyboard.press('Shift+Tab');
    stops.push(await focused());
    assert.equal(await focusSeen(), true, stops.at(-1));
  }
  const first = ['log', 'search-open', 'topic-edit', 'change-name'];
  assert.deepEqual(stops.slice(0, 4), first, stops.join());
  assert.ok(stops.includes('room-name'), stops.join());
  await page.focus('#room-name');
  await keyboard.type('#other room');
  await keyboard.press('Enter');
  await page.waitForFunction(() => document.getElementById('room-title').textContent === 'other room');
  await joined(page);
  await page.focus('#log');
  await keyboard.type('typed while reading');
  await keyboard.press('Enter');
  await hears(page, 'typed while reading');
  // On a narrow page: the panel opens, holds the focus, and goes with Escape.
  await page.setViewportSize({ width: 390, height: 844 });
  await page.focus('#panel-open');
  await keyboard.press('Enter');
  assert.equal(await focused(), 'panel-close');
  await keyboard.press('Escape');
  assert.equal(await focused(), 'text');
  assertNoProblems(page);
});

test('Enter while an input method composes sends nothing', async () => {
  const page = await person(browser, freshRoom(server), 'grace');
  await page.fill('#text', 'にほん');
  const prevented = await page.evaluate(() => {
    const press = (init, keyCode = 13) => {
      const event = new KeyboardEvent('keydown', { key: 'Enter', bubbles: true, cancelable: true, ...init });
      Object.defineProperty(event, 'keyCode', { value: keyCode });
      return !document.getElementById('text').dispatchEvent(event);
    };
    return [press({ isComposing: true }), press({}, 229)];
  });
  assert.deepEqual(prevented, [false, false]);
  assert.equal(await page.inputValue('#text'), 'にほん');
  await page.press('#text', 'Enter');
  await hears(page, 'にほん');
});

test('a text that is too long is refused with a word; the longest is carried', async () => {
  const page = await person(browser, freshRoom(server), 'heidi');
  await say(page, 'é'.repeat(30_001));
  assert.match(await page.textContent('#composer-problem'), /Too long.*60/);
  assert.equal((await page.inputValue('#text')).length, 30_001);
  const longest = `${'long '.repeat(11_999)}text.`;
  await say(page, longest);
  await page.click('.row.sent button[data-action=expand]');
  await hears(page, longest);
  assert.equal(await page.textContent('#composer-problem'), '');
  assertNoProblems(page);
});

test('rooms: another by its address, unread counts, leaving', async () => {
  const page = await person(browser, `${server.url}#rooms-a`, 'quinn');
  const other = await person(browser, `${server.url}#rooms-b`, 'rita');
  await page.goto(`${server.url}#rooms-b`);
  await page.waitForFunction(() => document.getElementById('room-title').textContent === 'rooms-b');
  await joined(page);
  await page.click('#rooms a[href="#rooms-a"]');
  await page.waitForFunction(() => document.getElementById('room-title').textContent === 'rooms-a');
  await say(other, 'anybody here?');
  await page.waitForSelector('#rooms .badge');
  assert.equal(await page.textContent('#rooms .badge'), '1');
  await page.reload();
  await joined(page);
  assert.equal(await page.locator('#rooms li').count(), 2);
  await page.click('#rooms button[data-room="rooms-a"]');
  await hears(page, 'anybody here?');
  assert.equal(await page.locator('#rooms li').count(), 1);
  assertNoProblems(page);
});

test('the state line: round trip, then a countdown and a button for who will not wait', async () => {
  const page = await person(browser, freshRoom(server), 'uma');
  await page.waitForFunction(() => /^\d+ ms$/.test(document.getElementById('round-trip').textContent));
  assert.equal(await page.textContent('#state'), 'Online');
  assert.equal(await page.locator('#outage').isVisible(), false);
  // Read out is the state, not every new figure.
  assert.equal(await page.evaluate(() => Boolean(document.getElementById('round-trip').closest('[role=status]'))), false);
  await page.evaluate(() => {
    Math.random = () => 0.999; // the longest pauses that there are
    window.socketsCut = true;
    window.sockets.forEach((socket) => socket.close());
  });
  await page.waitForFunction(() => document.getElementById('state').textContent === 'Offline');
  assert.equal(await page.textContent('#round-trip'), '');
  const seconds = (least) =>
    page.waitForFunction((from) => Number(/Next try in (\d+) second/.exec(document.getElementById('outage-next').textContent)?.[1]) >= from, least);
  await seconds(4);
  const shown = Number(/(\d+) second/.exec(await page.textContent('#outage-next'))[1]);
  await page.waitForFunction((before) => Number(/(\d+) second/.exec(document.getElementById('outage-next').textContent)?.[1]) < before, shown);
  await page.evaluate(() => (window.socketsCut = false));
  await page.click('#outage-button');
  await page.waitForFunction(() => document.getElementById('state').textContent === 'Online');
  assert.equal(await page.locator('#outage').isVisible(), false);
  assertNoProblems(page);
});

test('edits, deletes and reactions of others show', async () => {
  const url = freshRoom(server);
  const sam = await person(browser, url, 'sam');
  const tess = await person(browser, url, 'tess');
  const channel = `chat:${new URL(url).hash.slice(1)}`;
  for (const text of ['teh first', 'second', 'third']) await say(tess, text);
  await hears(sam, 'third');
  await tess.evaluate(change, { channel, proof: await tess.evaluate(() => sessionStorage.getItem('ringchat.proof')) });
  await sam.waitForFunction(() => document.querySelector('.reactions'));
  assert.deepEqual(await texts(sam), ['the first (edited)', 'Message deleted', 'third']);
  assert.equal(await sam.textContent('.reactions li'), '👍 1');
  await sam.reload();
  await joined(sam);
  await sam.waitForFunction(() => document.querySelector('.reactions'));
  assert.deepEqual(await texts(sam), ['the first (edited)', 'Message deleted', 'third']);
  assertNoProblems(sam);
});

/** Runs in the page: speaks the protocol as another window of the same person would. */
async function change({ channel }) {
  const send = window.sockets.at(-1);
  const publish = (id, data) => send.send(JSON.stringify({ id, publish: { channel, data } }));
  publish(900_001, { type: 'edit', of: 1, text: 'the first' });
  publish(900_002, { type: 'delete', of: 2 });
  publish(900_003, { type: 'react', of: 3, emoji: '👍', on: true });
}
