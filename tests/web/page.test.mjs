// The chat page in a browser, against the real server.

import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import {
  REFUSED,
  assertNoProblems,
  enter,
  hears,
  joined,
  launch,
  openWindow,
  person,
  say,
  screenshot,
  startServer,
  texts,
} from './helpers.mjs';

let browser;
let server;

before(async () => {
  browser = await launch();
  server = await startServer();
});

after(async () => {
  await browser?.close();
  await server?.kill();
});

afterEach(async () => {
  for (const context of browser.contexts()) await context.close();
});

let rooms = 0;
/** A room that no other test is in. */
const freshRoom = () => `${server.url}#room-${++rooms}`;

test('two windows chat: pending, sent, joins, leaves', async () => {
  const url = freshRoom();
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
  await alice.waitForFunction(() => document.querySelector('.row.me .text')?.textContent === 'bob waves');
  assert.deepEqual(await texts(alice), ['hello bob', 'hello alice']);
  assert.deepEqual(await texts(bob), ['hello bob', 'hello alice']);
  assert.deepEqual(await alice.$$eval('#people bdi', (all) => all.map((one) => one.textContent)), ['alice', 'bob']);
  await bob.close();
  await alice.waitForFunction(() => document.querySelectorAll('#people li').length === 1);
  assert.match(await alice.textContent('.row.presence:last-child'), /bob.* left/u);
  assertNoProblems(alice);
  assertNoProblems(bob);
});

test('a name is remembered, and history is there after a reload', async () => {
  const url = freshRoom();
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
  const url = freshRoom();
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
  const page = await openWindow(browser, freshRoom());
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
  const page = await openWindow(browser, freshRoom());
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
  for (let i = 0; i < 5; i += 1) {
    await keyboard.press('Shift+Tab');
    stops.push(await focused());
    assert.equal(await focusSeen(), true, stops.at(-1));
  }
  assert.deepEqual(stops.slice(0, 2), ['log', 'change-name'], stops.join());
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
  const page = await person(browser, freshRoom(), 'grace');
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
  const page = await person(browser, freshRoom(), 'heidi');
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
    assert.equal(await ivan.textContent('#state'), 'Offline');
    await speak(ivan, 'ivan', 5);
    await speak(judy, 'judy', 5);
    await ivan.waitForFunction(() => /wait/.test(document.getElementById('outage-waiting').textContent));
    await screenshot(ivan, 'offline');
    own = await startServer({ listen });
    await ivan.click('#outage-button');
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
    await speak(judy, 'judy', 1);
    await hears(ivan, said.judy.at(-1));
    await screenshot(ivan, 'after-restart');
  } finally {
    await own.kill();
  }
});

test('what was said while a window was away comes when it is back', async () => {
  const url = freshRoom();
  const kim = await person(browser, url, 'kim');
  const lee = await person(browser, url, 'lee');
  await say(lee, 'before');
  await hears(kim, 'before');
  await kim.evaluate(() => window.dispatchEvent(new Event('offline')));
  await kim.context().setOffline(true);
  const cut = await cutConnection(kim);
  for (let i = 0; i < 20; i += 1) await say(lee, `missed ${i}`);
  await hears(lee, 'missed 19');
  await say(kim, 'typed while away');
  await kim.context().setOffline(false);
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

/** Ends the page's WebSocket and lets no new one open until `restore()`. */
async function cutConnection(page) {
  await page.evaluate(() => {
    const Real = window.WebSocket;
    window.WebSocket = class extends EventTarget {
      readyState = 0;
      constructor() {
        super();
        setTimeout(() => this.onclose?.({ code: 1006, reason: '' }), 10);
      }
      close() {}
    };
    window.restoreSocket = () => (window.WebSocket = Real);
    window.sockets.forEach((socket) => socket.close());
  });
  await page.waitForSelector('#outage:not([hidden])');
  return {
    restore: async () => {
      await page.evaluate(() => window.restoreSocket());
      await page.click('#outage-button').catch(() => {});
      await joined(page);
    },
  };
}

test('the log keeps to the end only for who is there, and counts what is new', async () => {
  const url = freshRoom();
  const mia = await person(browser, url, 'mia');
  const ned = await person(browser, url, 'ned');
  for (let i = 0; i < 40; i += 1) await say(ned, `line ${i}`);
  await hears(mia, 'line 39');
  const fromEnd = () => mia.evaluate(() => {
    const { scrollHeight, scrollTop, clientHeight } = document.getElementById('log');
    return scrollHeight - scrollTop - clientHeight;
  });
  assert.ok((await fromEnd()) < 2);
  await mia.evaluate(() => (document.getElementById('log').scrollTop = 200));
  await mia.waitForSelector('#to-end:not([hidden])');
  await say(ned, 'new one');
  await say(ned, 'new two');
  await mia.waitForFunction(() => document.getElementById('to-end').textContent === '2 new messages');
  assert.equal(await mia.evaluate(() => document.getElementById('log').scrollTop), 200);
  assert.match(await mia.title(), /^\(2\) /);
  await mia.click('#to-end');
  assert.ok((await fromEnd()) < 2);
  assert.equal(await mia.locator('#to-end').isVisible(), false);
  assert.doesNotMatch(await mia.title(), /^\(/);
  assert.equal(await mia.getAttribute('#log', 'role'), 'log');
  assert.match(await mia.textContent('#announcer'), /new two|new messages/);
  assertNoProblems(mia);
});

test('two thousand live messages: few rows, all there to be scrolled to', async () => {
  const url = freshRoom();
  const reader = await person(browser, url, 'olga');
  const writers = 4;
  const each = 500;
  for (let i = 0; i < writers; i += 1) {
    const page = await person(browser, url, `writer ${i}`);
    await page.evaluate(burst, { channel: `chat:${decodeURIComponent(new URL(url).hash.slice(1))}`, i, each });
    await page.context().close();
  }
  await hears(reader, `${writers - 1}/${each - 1}`);
  assert.ok((await reader.locator('#rows > div').count()) <= 400);
  // Up to the first, then back down to the last, as fast as it goes.
  await reader.waitForFunction(() => {
    document.getElementById('log').scrollTop -= 3_000;
    return [...document.querySelectorAll('#rows .text')].some((node) => node.textContent === '0/0');
  }, null, { polling: 16 });
  assert.ok((await reader.locator('#rows > div').count()) <= 400);
  await reader.waitForFunction((last) => {
    document.getElementById('log').scrollTop += 3_000;
    return [...document.querySelectorAll('#rows .text')].at(-1)?.textContent === last;
  }, `${writers - 1}/${each - 1}`, { polling: 16 });
  assert.ok((await reader.locator('#rows > div').count()) <= 400);
  assertNoProblems(reader);
});

/** Runs in the page: publishes `each` messages over a connection of its own. */
async function burst({ channel, i, each }) {
  const { Client } = await import('/client.js');
  const address = `${location.origin.replace('http', 'ws')}/connection/websocket`;
  await new Promise((resolve) => {
    const client = new Client(address, { data: () => ({ nick: `burst ${i}` }) });
    client.subscribe(channel, {
      onSubscribed: async () => {
        for (let n = 0; n < each; n += 1) {
          const data = { type: 'message', text: `${i}/${n}`, nonce: `burst-${i}-${n}` };
          await client.request({ publish: { channel, data } });
        }
        client.stop();
        resolve();
      },
    });
    client.start();
  });
}

test('ten thousand messages in memory: drawing stays quick', async () => {
  const page = await person(browser, freshRoom(), 'pat');
  const result = await page.evaluate(async () => {
    const { Room } = await import('/store.js');
    const { Log } = await import('/log.js');
    const log = document.createElement('div');
    const rows = document.createElement('div');
    log.className = 'log';
    rows.className = 'rows';
    log.append(rows);
    document.querySelector('.stage').replaceChildren(log);
    const view = new Log(log, rows, { onOlder() {}, onMoved() {}, onAction() {} });
    const room = new Room('x');
    room.subscribed({ fresh: true, recovered: false, epoch: 'e', offset: 0 });
    view.show(room);
    const begin = performance.now();
    let longest = 0;
    for (let n = 1; n <= 10_000; n += 1) {
      const info = { user: `~user ${n % 7}`, client: 'x', conn_info: { nick: `user ${n % 7}` } };
      room.publication({ data: { type: 'message', text: `message ${n}`, nonce: `${n}` }, info, offset: n, time: n * 9_000 });
      if (n % 100) continue;
      const frame = performance.now();
      view.toEnd();
      longest = Math.max(longest, performance.now() - frame);
    }
    const took = performance.now() - begin;
    return { took, longest, rows: rows.childElementCount, last: rows.lastChild.textContent, total: room.length };
  });
  assert.equal(result.total, 10_000);
  assert.ok(result.rows <= 400, `${result.rows} rows`);
  assert.match(result.last, /message 10000/);
  console.log(`10,000 messages, drawn 100 times: ${Math.round(result.took)} ms, longest ${Math.round(result.longest)} ms`);
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

test('edits, deletes and reactions of others show', async () => {
  const url = freshRoom();
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

test('every text has contrast, in light and in dark', async () => {
  for (const colorScheme of ['light', 'dark']) {
    const url = freshRoom();
    const page = await openWindow(browser, url, { colorScheme });
    assert.deepEqual(await page.evaluate(lowContrast), [], `gate, ${colorScheme}`);
    await enter(page, 'uma');
    for (let i = 0; i < 14; i += 1) {
      const other = await person(browser, url, `person ${i}`);
      await say(other, `message https://e.example/${i}`);
      await hears(page, `message https://e.example/${i}`);
      await other.context().close();
    }
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

/** Runs in the page: texts in sight whose contrast is below 4.5. */
function lowContrast() {
  const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const rgba = (color) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const luminance = (color) => {
    const [r, g, b] = color.map((part) => {
      const c = part / 255;
      return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const color = rgba(getComputedStyle(at).backgroundColor);
      if (color[3] === 255) return color;
    }
    return [255, 255, 255, 255];
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !node.checkVisibility({ visibilityProperty: true })) continue;
    const [light, dark] = [luminance(rgba(getComputedStyle(node).color)), luminance(behind(node))].sort((a, b) => b - a);
    const ratio = (light + 0.05) / (dark + 0.05);
    if (ratio < 4.5) found.push(`${node.className || node.tagName} "${walker.currentNode.data.slice(0, 20)}": ${ratio.toFixed(2)}`);
  }
  return found;
}

test('who wants less motion has none', async () => {
  const page = await person(browser, freshRoom(), 'vera', { reducedMotion: 'reduce' });
  await cutConnection(page);
  await say(page, 'waiting');
  await page.waitForSelector('.row.pending .mark');
  assert.equal(await page.evaluate(() => document.getAnimations().length), 0);
});

test('the page speaks German where the reader does', async () => {
  const page = await person(browser, freshRoom(), 'wim', { locale: 'de-DE' });
  assert.equal(await page.getAttribute('html', 'lang'), 'de');
  assert.match(await page.getAttribute('#text', 'placeholder'), /^Nachricht an/);
  assertNoProblems(page);
});
