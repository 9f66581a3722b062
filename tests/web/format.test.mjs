// How texts are read: code, addresses, emoji, mentions; commands; what completes a word. No page.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { commands, isCommand, run, unescaped } from '../../src/web/commands.js';
import { asked, offered } from '../../src/web/complete.js';
import { emoji, emojiLike } from '../../src/web/emoji.js';
import { mentioned, textParts } from '../../src/web/format.js';

/** Parts as one line: `code`, [[block]], <address>, *mention*. */
const read = (text, nick) =>
  textParts(text, nick)
    .map((part) => {
      if (part.block) return `[[${part.text}]]`;
      if (part.code) return `\`${part.text}\``;
      if (part.href) return `<${part.text}>`;
      return part.mention ? `*${part.text}*` : part.text;
    })
    .join('');

test('code is taken as it is, inline and in blocks', () => {
  const check = (text, expected) => assert.equal(read(text, 'bob'), expected, JSON.stringify(text));
  check('a `b` c', 'a `b` c');
  check('`https://a.example :tada: bob`', '`https://a.example :tada: bob`');
  check('```\nlet a;\nlet b;\n```', '[[let a;\nlet b;]]');
  check('see ```rust\nfn main() {}\n``` there', 'see [[fn main() {}]] there');
  check('```one line```', '[[one line]]');
  check('```not closed', '```not closed');
  check('a ` b', 'a ` b');
  check('`not\nover lines`', '`not\nover lines`');
  check('``` `x` ```', '[[ `x` ]]');
});

test('emoji by name, but only names that there are', () => {
  assert.equal(read('ship it :rocket::tada:'), 'ship it 🚀🎉');
  assert.equal(read('at 12:30:45 or :no_such_name: or ::'), 'at 12:30:45 or :no_such_name: or ::');
  assert.equal(read('https://a.example/:heart:/x'), '<https://a.example/:heart:/x>');
  assert.ok(emoji.size > 120);
  for (const [name, sign] of emoji) {
    assert.match(name, /^[a-z0-9_+-]+$/);
    assert.match(sign, /\p{Extended_Pictographic}/u, name);
  }
  assert.deepEqual(emojiLike('hear', 2).map(([name]) => name), ['heart', 'heart_eyes']);
});

test('a mention is the name as a word of its own', () => {
  const check = (text, nick, yes) => assert.equal(mentioned(text, nick), yes ? nick : '', `${text} / ${nick}`);
  check('hi bob', 'bob', true);
  check('BOB: hi', 'bob', true);
  check('(@bob)', 'bob', true);
  check('bobby', 'bob', false);
  check('kebob', 'bob', false);
  check('bob-2: hi', 'bob', false);
  check('bob-2: hi', 'bob-2', true);
  check('a.b', 'a.b', true);
  check('axb', 'a.b', false);
  check('c++ (really)', 'c++', true);
  check('ada lovelace was', 'ada lovelace', true);
  check('Grüße, Jürgen!', 'jürgen', true);
  check('日本', '日本', true);
  check('anything', '', false);
  assert.equal(read('hi @bob and bob', 'bob'), 'hi *@bob* and *bob*');
});

test('texts come through whole, however they are split, and quickly', () => {
  const pieces = ['`', '```', ':', ':tada:', 'https://a.example', '\n', ' ', 'bob', '(', ')', '*', '\u202e', '😀', '\ud800'];
  let seed = 7;
  const random = (n) => (seed = (seed * 48_271) % 2_147_483_647) % n;
  for (let round = 0; round < 500; round += 1) {
    const text = Array.from({ length: random(40) }, () => pieces[random(pieces.length)]).join('');
    const shown = textParts(text, 'bob').map((part) => part.text).join('');
    const strip = (one) => one.replace(/:tada:|🎉|`|\n|bob/g, '');
    assert.equal(strip(shown), strip(text), JSON.stringify(text));
  }
  for (const piece of [...pieces, '```a', '`a\n', 'https://', 'https://a.example/))))', ':a', '-bob']) {
    const text = piece.repeat(Math.floor(60_000 / piece.length));
    const begin = performance.now();
    textParts(text, 'bob');
    const took = performance.now() - begin;
    assert.ok(took < 1_000, `${JSON.stringify(piece)}: ${took} ms`);
  }
});

test('what is a command, and what only begins with a slash', () => {
  for (const text of ['/me waves', '/help', '/Nick x', '/x']) assert.equal(isCommand(text), true, text);
  for (const text of ['/', '//me', '/usr/bin', ' /me', 'a /me', '/1', '/me/you']) assert.equal(isCommand(text), false, text);
  assert.equal(unescaped('//me waves'), '/me waves');
  assert.equal(unescaped('no / slash'), 'no / slash');
});

test('commands reach the page with what belongs to them', async () => {
  const calls = [];
  const methods = ['me', 'nick', 'join', 'leave', 'message', 'topic', 'search', 'help'];
  const app = Object.fromEntries(methods.map((name) => [name, (...args) => void calls.push([name, ...args])]));
  const texts = [
    '/me  waves\nand goes ', '/nick ada lovelace', '/join #tea', '/leave', '/LEAVE tea', '/msg @bob hi there',
    '/msg "ada lovelace" hello', '/msg bob', '/topic', '/topic new one', '/search', '/help',
  ];
  for (const text of texts) assert.equal(await run(text, app), null, text);
  assert.deepEqual(calls, [
    ['me', 'waves\nand goes'], ['nick', 'ada lovelace'], ['join', '#tea'], ['leave', ''], ['leave', 'tea'],
    ['message', 'bob', 'hi there'], ['message', 'ada lovelace', 'hello'], ['message', 'bob', ''],
    ['topic', ''], ['topic', 'new one'], ['search', ''], ['help', ''],
  ]);
  assert.deepEqual(await run('/dance', app), { key: 'commandUnknown', vars: { name: 'dance' } });
  assert.deepEqual(await run('/me', app), { key: 'commandUsage', vars: { usage: '/me <text>' } });
  assert.deepEqual(await run('/nick x', { nick: async () => 'nameLong' }), { key: 'nameLong', vars: {} });
  assert.deepEqual(await run('/nick x', {}), { key: 'commandUnknown', vars: { name: 'nick' } });
});

test('what is offered while one types, and what Tab asks for', () => {
  const names = () => ['ada lovelace', 'alice', 'Bob'];
  const inserts = (found) => found && [found.from, ...found.list.map(({ insert }) => insert)];
  assert.deepEqual(inserts(offered('/', names)), [0, ...commands.map(({ name }) => `/${name} `)].slice(0, 9));
  assert.deepEqual(inserts(offered('/to', names)), [0, '/topic ']);
  assert.equal(offered('/topic x', names), null);
  assert.equal(offered('say /to', names), null);
  assert.deepEqual(inserts(offered('see :roc', names)), [4, '🚀 ']);
  assert.equal(offered('see :r', names), null);
  assert.equal(offered('at 12:30', names), null);
  assert.deepEqual(inserts(offered('hi @a', names)), [3, '@ada lovelace ', '@alice ']);
  assert.equal(offered('hi al', names), null);
  assert.deepEqual(inserts(asked('al', names)), [0, 'alice: ']);
  assert.deepEqual(inserts(asked('hi bo', names)), [3, 'Bob ']);
  assert.deepEqual(asked('hi :r', names).from, 3);
  assert.equal(asked('', names), null);
  assert.equal(asked('hi ', names), null);
  assert.equal(asked('nobody', names), null);
});
