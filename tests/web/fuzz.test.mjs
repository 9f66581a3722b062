// Nasty names and texts from peers, such as a token's claims and a program of one's own may hold:
// nothing is injected, nothing breaks out of its place, the page goes on.

import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { test } from 'node:test';
import { assertNoProblems, browser, freshRoom, hears, person, say, screenshot, server, stage } from './helpers.mjs';

const KEY = 'a key for tests, of no use anywhere else';
stage({ args: ['--set', `client.token.hmac_secret_key=${KEY}`, '--set', 'client.allow_guests=true'] });

/** A token for a user of whom others see `info`. */
function token(sub, info) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const body = `${part({ alg: 'HS256', typ: 'JWT' })}.${part({ sub, info, exp: Math.floor(Date.now() / 1000) + 600 })}`;
  return `${body}.${createHmac('sha256', KEY).update(body).digest('base64url')}`;
}

/** Runs in the page: as the user of `token`, publishes what is given; resolves with the refusals. */
async function publishAs({ url, token: proof, payloads }) {
  const channel = `chat:${decodeURIComponent(new URL(url).hash.slice(1))}`;
  const address = `${location.origin.replace('http', 'ws')}/connection/websocket`;
  const socket = new window.RealWebSocket(address);
  await new Promise((resolve) => (socket.onopen = resolve));
  const refused = [];
  await new Promise((resolve, reject) => {
    const open = new Set([1, 2]);
    const send = (command) => socket.send(JSON.stringify(command));
    socket.onclose = ({ code, reason }) => reject(new Error(`${code} ${reason}`));
    socket.onmessage = ({ data }) => {
      for (const line of data.split('\n')) {
        const reply = JSON.parse(line);
        if (reply.error) refused.push([reply.id, reply.error.code]);
        open.delete(reply.id);
      }
      if (open.size === 0) resolve();
    };
    send({ id: 1, connect: { token: proof } });
    send({ id: 2, subscribe: { channel } });
    payloads.forEach((data, index) => {
      open.add(index + 3);
      send({ id: index + 3, publish: { channel, data } });
    });
  });
  socket.onclose = null;
  socket.close();
  return refused;
}

const NAMES = [
  '<img src=x onerror=window.pwned=1>',
  '\u202egnp.exe', // turned around
  '\u2069\u202e evil', // out of its isolation, then turned around
  '\u200b\u200b\u200b', // nothing to be seen
  'a\u0300\u0301\u0302\u0303'.repeat(40), // a tower
  '👩‍👩‍👧‍👦🏳️‍🌈👍🏿',
  'x'.repeat(5_000),
  'line\nbreak\r\nalice: forged',
  '',
  '   ',
  '"><script>window.pwned=1</script>',
  'مرحبا بالعالم',
  '__proto__',
  'constructor',
];

const TEXTS = [
  '<img src=x onerror=window.pwned=1>',
  '<svg><script>window.pwned=1</script></svg>',
  '`<img src=x onerror=window.pwned=1>`',
  '```html\n<iframe srcdoc="<script>parent.pwned=1</script>"></iframe>\n```',
  '[x](javascript:window.pwned=1) javascript:window.pwned=1',
  'https://e.example/"onmouseover="window.pwned=1',
  'https://user:pass@e.example/%0d%0a?<script>',
  '\u202eтекст turned \u2067around\u2069 and not closed \u2066',
  'zero\u200bwidth\u200c\u200d\ufeff\u2060joined',
  '👩‍👩‍👧‍👦👨🏿‍🚀🇩🇪🏴󠁧󠁢󠁥󠁮󠁧󠁿'.repeat(50),
  `Z${'\u0334\u0335\u0336\u0337'.repeat(500)}`,
  'w'.repeat(10_000),
  'word '.repeat(12_000),
  '\n'.repeat(3_000) + 'the end',
  '`'.repeat(5_000),
  ':tada:'.repeat(2_000),
  'victim '.repeat(3_000),
  '\u0000\u0001\u001b[31mred\u0007',
  '{{7*7}} ${7*7} <%= 7*7 %>',
  '__proto__',
  'https://e.example/'.repeat(500),
  '/me is not a command from afar',
];

test('names and texts that mean harm do none', async () => {
  const url = freshRoom(server);
  const victim = await person(browser, url, 'victim');
  await say(victim, 'the first word');
  await hears(victim, 'the first word');
  for (const [index, nick] of NAMES.entries()) {
    const payloads = [
      { type: 'message', text: `named ${index}`, reply_to: 1 },
      { type: 'me', text: `acts ${index}` },
      { type: 'topic', text: TEXTS[index % TEXTS.length].slice(0, 60) },
      { type: 'react', of: 1, emoji: '👍🏿', on: true },
    ];
    await victim.evaluate(publishAs, { url, token: token(`user ${index}`, { nick }), payloads });
    await hears(victim, `named ${index}`);
  }
  for (const shape of [{ nick: { a: 1 } }, { nick: ['x'] }, { nick: null }, { nick: true }, 'text', 7, [], { toString: 1 }]) {
    await victim.evaluate(publishAs, { url, token: token('shape', shape), payloads: [{ type: 'message', text: 'shaped' }] });
  }
  const payloads = TEXTS.map((text, index) => ({ type: 'message', text, reply_to: index ? 1 : undefined, nonce: `t${index}` }));
  const refused = await victim.evaluate(publishAs, { url, token: token('writer', { nick: 'writer' }), payloads });
  assert.deepEqual(refused, []);
  await say(victim, 'the last word');
  await hears(victim, 'the last word');
  await harmless(victim);
  await screenshot(victim, 'fuzz');
  await victim.setViewportSize({ width: 320, height: 640 });
  await harmless(victim);
  // All of the longest, quoted, searched and answered.
  for (const expand of await victim.$$('[data-action=expand]')) await expand.evaluate((node) => node.click());
  await harmless(victim);
  await victim.evaluate(() => document.querySelector('.quote').click());
  await say(victim, '/search <img');
  await victim.waitForSelector('#search-found li');
  assert.equal(await victim.locator('#search-found img').count(), 0);
  await harmless(victim);
});

test('payloads at random: whatever the server lets through, the page takes', async () => {
  const url = freshRoom(server);
  const victim = await person(browser, url, 'victim');
  let seed = 20_261;
  const random = (n) => (seed = (seed * 48_271) % 2_147_483_647) % n;
  const bits = ['<b>', '</div>', '&amp;', '"', "'", '`', '```', ':tada:', 'https://e.example/', '\u202e', '\u2066', '\u200d', '😀', '\n', ' ', 'victim', '@', '//', '\\', '\u0007', 'é', '漢'];
  const text = () => Array.from({ length: 1 + random(60) }, () => bits[random(bits.length)]).join('');
  const values = [() => text(), () => random(50), () => null, () => [text()], () => ({ text: text() }), () => true, () => -1, () => 1e308];
  const any = () => values[random(values.length)]();
  const types = ['message', 'message', 'message', 'me', 'edit', 'delete', 'react', 'topic', 'typing', 'unknown'];
  const payload = () => {
    const data = { type: types[random(types.length)], text: random(4) ? text() : any(), nonce: `n${random(1e9)}` };
    if (random(3) === 0) data.reply_to = random(2) ? random(40) : any();
    if (random(2) === 0) data.of = random(2) ? random(40) : any();
    if (random(3) === 0) data.emoji = random(2) ? '🎉' : any();
    if (random(8) === 0) data[text()] = any();
    return data;
  };
  const payloads = Array.from({ length: 400 }, payload);
  const refused = await victim.evaluate(publishAs, { url, token: token('random', { nick: 'random' }), payloads });
  assert.ok(refused.length < payloads.length, 'some have to come through');
  await say(victim, 'the last word');
  await hears(victim, 'the last word');
  await harmless(victim);
  await victim.evaluate(() => document.getElementById('log').scrollTo(0, 0));
  await harmless(victim);
  console.log(`${payloads.length - refused.length} of ${payloads.length} came through`);
});

/** Nothing of a peer's became an element or an attribute, and nothing is wider than its place. */
async function harmless(page) {
  assert.equal(await page.evaluate(() => 'pwned' in window), false);
  const found = await page.evaluate(() => {
    const allowed = new Set('DIV P SPAN BDI TIME A CODE PRE MARK B SMALL BUTTON UL LI OL'.split(' '));
    const wrong = [];
    const log = document.getElementById('log');
    const { left, right } = log.getBoundingClientRect();
    for (const node of document.querySelectorAll('#rows *, #search-found *, #people *, #rooms *, #topic *')) {
      if (!allowed.has(node.tagName)) wrong.push(`element ${node.tagName}`);
      for (const { name } of node.attributes) if (/^on|^style$|^srcdoc$/.test(name)) wrong.push(`attribute ${name}`);
      if (node.tagName === 'A' && node.closest('#rows') && !/^https?:/.test(node.href)) wrong.push(`link ${node.href}`);
    }
    for (const node of document.querySelectorAll('.row .body, .row .deed, .row .line')) {
      const box = node.getBoundingClientRect();
      if (box.left < left - 1 || box.right > right + 1) wrong.push(`wide: ${node.textContent.slice(0, 40)} ${box.left}..${box.right}`);
    }
    for (const nick of document.querySelectorAll('.nick')) {
      if ([...nick.textContent].length > 64 || /[\u202a-\u202e\u2066-\u2069\n]/.test(nick.textContent)) wrong.push(`name ${nick.textContent}`);
    }
    if (document.documentElement.scrollWidth > innerWidth) wrong.push(`the page is ${document.documentElement.scrollWidth} wide`);
    return wrong;
  });
  assert.deepEqual(found, []);
  assertNoProblems(page);
}
