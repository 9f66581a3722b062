// The page's modules that need no page: the room's store, addresses in texts, the strings.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { linkParts } from '../../src/web/format.js';
import { hue, initials } from '../../src/web/row.js';
import { Room, newNonce, nickOf, textBytes } from '../../src/web/store.js';
import { chooseLanguage, tables } from '../../src/web/strings.js';

const ada = { user: '~ada', client: 'c-ada', conn_info: { nick: 'ada' } };
const bob = { user: '~bob', client: 'c-bob', conn_info: { nick: 'bob' } };

const pub = (offset, data, info = ada) => ({ data, info, offset, time: 1_700_000_000_000 + offset });
const message = (offset, text, info = ada, more = {}) =>
  pub(offset, { type: 'message', text, nonce: `${text}-${offset}`, ...more }, info);

function shown(room) {
  return Array.from({ length: room.length }, (_, index) => {
    const item = room.at(index);
    return item.text ?? item.kind;
  });
}

function joinedRoom(offset = 0, epoch = 'one') {
  const room = new Room('lobby', (info) => info.client === 'c-me');
  room.subscribed({ fresh: true, recovered: false, epoch, offset });
  return room;
}

test('publications stand in order of offset, each once, in whatever order they come', () => {
  const room = joinedRoom(3);
  for (const offset of [4, 2, 5, 1, 3, 2, 4]) room.publication(message(offset, `m${offset}`));
  assert.deepEqual(shown(room), ['m1', 'm2', 'm3', 'm4', 'm5']);
});

test('an outgoing message is pending, then takes the place of its publication', () => {
  const room = joinedRoom();
  const own = room.send({ type: 'message', text: 'mine', nonce: 'n1' }, { nick: 'me', now: 1 });
  assert.equal(own.state, 'pending');
  room.publication(message(1, 'theirs', bob));
  assert.deepEqual(shown(room), ['theirs', 'mine']);
  room.publication(pub(2, { type: 'message', text: 'mine', nonce: 'n1' }, { client: 'c-me' }));
  room.publication(message(3, 'after', bob));
  assert.deepEqual(shown(room), ['theirs', 'mine', 'after']);
  assert.equal(room.at(1), own);
  assert.equal(own.state, 'sent');
  assert.deepEqual(room.unsent, []);
});

test('what failed waits for the reader and keeps its nonce', () => {
  const room = joinedRoom();
  const first = room.send({ type: 'message', text: 'a', nonce: 'n1' }, { nick: 'me' });
  const second = room.send({ type: 'message', text: 'b', nonce: 'n2' }, { nick: 'me' });
  room.failed(first, { code: 107 });
  assert.equal(room.nextPending(), second);
  assert.equal(room.waiting, 1);
  room.retry(first);
  assert.deepEqual(shown(room), ['b', 'a']);
  assert.equal(first.data.nonce, 'n1');
  assert.deepEqual(room.unsent.map(({ data }) => data.nonce), ['n2', 'n1']);
  room.failed(second, { code: 107 });
  room.discard(second);
  assert.deepEqual(shown(room), ['a']);
});

test('a message that was sent again after a restart is shown once', () => {
  const room = joinedRoom();
  const said = { type: 'message', text: 'hello', nonce: 'n1' };
  room.publication(pub(1, said, bob));
  room.subscribed({ fresh: false, recovered: false, epoch: 'two', offset: 0 });
  room.publication(pub(1, said, bob));
  room.publication(pub(2, { type: 'edit', of: 1, text: 'hello!' }, bob));
  assert.deepEqual(shown(room).filter((text) => text !== 'gap'), ['hello!']);
});

test('what was accepted but never came back keeps its place, and is not doubled later', () => {
  const room = joinedRoom();
  const own = room.send({ type: 'message', text: 'mine', nonce: 'n1' }, { nick: 'me' });
  room.accepted(own);
  room.settle();
  room.publication(message(1, 'later', bob));
  assert.deepEqual(shown(room), ['mine', 'later']);
  room.publication(pub(2, { type: 'message', text: 'mine', nonce: 'n1' }, { client: 'c-me' }));
  assert.deepEqual(shown(room), ['mine', 'later']);
});

test('changes apply whether they come before or after what they change', () => {
  const room = joinedRoom(6);
  room.publication(pub(6, { type: 'react', of: 1, emoji: '👍', on: false }, bob));
  room.publication(pub(5, { type: 'react', of: 1, emoji: '👍', on: true }, bob));
  room.publication(pub(4, { type: 'react', of: 1, emoji: '👍', on: true }, ada));
  room.publication(pub(3, { type: 'edit', of: 1, text: 'second' }));
  room.publication(message(1, 'first'));
  room.publication(pub(2, { type: 'edit', of: 1, text: 'too early to count' }));
  const item = room.at(0);
  assert.equal(item.text, 'second');
  assert.equal(item.edited, true);
  assert.deepEqual(item.reactions, [{ emoji: '👍', nicks: ['ada'] }]);
  room.publication(pub(7, { type: 'delete', of: 1 }));
  assert.equal(item.deleted, true);
  assert.equal(item.text, '');
  assert.deepEqual(item.reactions, []);
});

test('a gap within a life has a size, and goes when the history fills it', () => {
  const room = joinedRoom();
  room.paged(0);
  room.publication(message(1, 'm1'));
  room.publication(message(2, 'm2'));
  const gap = room.subscribed({ fresh: false, recovered: false, epoch: 'one', offset: 6 });
  assert.equal(gap.missing, 4);
  assert.deepEqual(shown(room), ['m1', 'm2', 'gap']);
  assert.equal(room.openGap, gap);
  assert.equal(room.since, null);
  room.publication(message(6, 'm6'));
  room.publication(message(5, 'm5'));
  room.paged(5, gap);
  assert.deepEqual(shown(room), ['m1', 'm2', 'gap', 'm5', 'm6']);
  assert.equal(gap.missing, 2);
  assert.deepEqual(room.since, { offset: 5, epoch: 'one' });
  room.publication(message(4, 'm4'));
  room.publication(message(3, 'm3'));
  room.paged(3, gap);
  assert.deepEqual(shown(room), ['m1', 'm2', 'm3', 'm4', 'm5', 'm6']);
  assert.equal(room.hasOlder, false);
});

test('what the history no longer has stays missing, and is said to be', () => {
  const room = joinedRoom();
  room.publication(message(1, 'm1'));
  const gap = room.subscribed({ fresh: false, recovered: false, epoch: 'one', offset: 9 });
  room.publication(message(8, 'm8'));
  room.publication(message(9, 'm9'));
  room.paged(8, gap);
  room.paged(0, gap);
  assert.deepEqual(shown(room), ['m1', 'gap', 'm8', 'm9']);
  assert.equal(gap.missing, 6);
  assert.equal(gap.more, false);
  assert.equal(room.openGap, undefined);
});

test('a new life of the room begins with a gap of unknown size', () => {
  const room = joinedRoom();
  room.publication(message(1, 'old'));
  const gap = room.subscribed({ fresh: false, recovered: false, epoch: 'two', offset: 2 });
  assert.equal(gap.missing, null);
  room.publication(message(3, 'new three'));
  room.publication(message(1, 'new one'));
  room.publication(message(2, 'new two'));
  room.paged(1, gap);
  assert.deepEqual(shown(room), ['old', 'gap', 'new one', 'new two', 'new three']);
  assert.equal(gap.more, false);
});

test('recovery leaves no trace', () => {
  const room = joinedRoom();
  room.publication(message(1, 'm1'));
  room.publication(message(2, 'm2'));
  assert.equal(room.subscribed({ fresh: false, recovered: true, epoch: 'one', offset: 2 }), null);
  assert.deepEqual(shown(room), ['m1', 'm2']);
});

test('who comes and goes in a row shares a line; who is here is known by client', () => {
  const room = joinedRoom();
  room.join(ada);
  room.join(bob);
  room.leave(ada);
  assert.equal(room.length, 1);
  assert.deepEqual(room.at(0).joined, ['bob']);
  assert.deepEqual(room.at(0).left, ['ada']);
  assert.deepEqual([...room.present.keys()], ['c-bob']);
  room.publication(message(1, 'between'));
  room.leave(bob);
  assert.deepEqual(shown(room), ['presence', 'between', 'presence']);
  room.join(bob);
  room.lost();
  assert.equal(room.present.size, 0);
});

test('the topic is the latest, and only a live one is a line of the log', () => {
  const room = joinedRoom(2);
  room.publication(pub(2, { type: 'topic', text: 'newer' }));
  room.publication(pub(1, { type: 'topic', text: 'older' }));
  assert.equal(room.topic, 'newer');
  assert.equal(room.length, 0);
  room.publication(pub(3, { type: 'topic', text: 'now' }), { live: true });
  assert.equal(room.topic, 'now');
  assert.equal(room.length, 1);
});

test('memory is bounded, and what was dropped can be asked for again', () => {
  const room = joinedRoom();
  for (let offset = 1; offset <= 20_001; offset += 1) room.publication(message(offset, `m${offset}`));
  assert.ok(room.length <= 20_000, String(room.length));
  assert.equal(room.at(room.length - 1).text, 'm20001');
  assert.equal(room.hasOlder, true);
  assert.deepEqual(room.since, { offset: room.at(0).offset, epoch: 'one' });
});

test('strange payloads are taken as they are, or not at all', () => {
  const room = joinedRoom();
  for (const data of [null, 7, 'text', [], {}, { type: 'from the future' }, { type: 'edit' }]) {
    assert.equal(room.publication(pub(1, data)), null);
  }
  room.publication({ data: { type: 'message', text: { a: 1 } }, info: {}, offset: 2 });
  room.publication({ data: { type: 'message', text: 'no info' }, offset: 3 });
  assert.deepEqual(shown(room), ['', 'no info']);
  assert.equal(nickOf({ conn_info: { nick: { a: 1 } } }), '');
  assert.equal(nickOf({ user: '', conn_info: { nick: 3 } }), '3');
});

test('a nonce is 128 bits, and never the same', () => {
  const nonces = new Set(Array.from({ length: 1000 }, newNonce));
  assert.equal(nonces.size, 1000);
  for (const nonce of nonces) assert.match(nonce, /^[0-9a-f]{32}$/);
});

test('bytes are counted as they travel', () => {
  assert.equal(textBytes('abc'), 3);
  assert.equal(textBytes('é€😀'), 2 + 3 + 4);
  assert.equal(textBytes('"\n'), 4);
});

const links = (text) => linkParts(text).filter(({ href }) => href).map(({ text: shown }) => shown);

test('addresses end where the sentence goes on', () => {
  const check = (text, ...expected) => assert.deepEqual(links(text), expected, text);
  check('see https://a.example/b?c=d#e, and http://f.example.', 'https://a.example/b?c=d#e', 'http://f.example');
  check('(https://a.example/b_(c))', 'https://a.example/b_(c)');
  check('„https://a.example/“', 'https://a.example/');
  check('HTTPS://A.EXAMPLE', 'HTTPS://A.EXAMPLE');
  check('javascript:alert(1) data:text/html,x ftp://a.example //a.example www.a.example');
  check('https:// http://. http://[');
  check('https://a.example/\u202egnp.exe', 'https://a.example/');
  check('https://a.example/"onclick="x', 'https://a.example/');
  for (const text of ['plain', 'a https://b.example/ c', '', 'https://x.example']) {
    assert.equal(linkParts(text).map((part) => part.text).join(''), text);
  }
});

test('initials', () => {
  const check = (nick, expected) => assert.equal(initials(nick), expected, nick);
  check('alice', 'A');
  check('ada lovelace', 'AL');
  check('alice-2', 'A2');
  check('', '?');
  check('👩‍🚀 x', '👩‍🚀X');
});

test('every author has one of the colours, and they are spread', () => {
  const counts = new Map();
  for (let i = 0; i < 2_400; i += 1) {
    const name = hue(`~user ${i.toString(36)}`);
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  assert.deepEqual([...counts.keys()].sort(), Array.from({ length: 12 }, (_, i) => `hue-${i}`).sort());
  assert.ok(Math.min(...counts.values()) > 100, [...counts.values()].join());
  assert.equal(hue(''), 'hue-0');
});

test('every language has every word, with the same places to fill', () => {
  const places = (entry) => {
    const text = typeof entry === 'string' ? entry : `${entry.one}${entry.other}`;
    return [...new Set(text.match(/\{\w+\}/g) ?? [])].sort();
  };
  for (const [name, table] of Object.entries(tables)) {
    assert.deepEqual(Object.keys(table), Object.keys(tables.en), name);
    for (const [key, entry] of Object.entries(table)) {
      assert.equal(typeof entry, typeof tables.en[key], `${name} ${key}`);
      assert.deepEqual(places(entry), places(tables.en[key]), `${name} ${key}`);
    }
  }
  assert.equal(chooseLanguage(['fr-FR', 'de-AT', 'en']), 'de');
  assert.equal(chooseLanguage(['fr', 'xx']), 'en');
});

const me = { user: '~me', client: 'c-me', conn_info: { nick: 'me' } };

test('an own change shows at once, and is told apart from what the server told', () => {
  const room = joinedRoom();
  room.publication(message(1, 'mine', me));
  room.publication(pub(2, { type: 'react', of: 1, emoji: '👍', on: true }, bob));
  const item = room.at(0);
  const react = room.change({ type: 'react', emoji: '👍', on: true, nonce: 'r1' }, item, { nick: 'me' });
  assert.deepEqual(item.reactions, [{ emoji: '👍', nicks: ['bob', 'me'], mine: true }]);
  const edit = room.change({ type: 'edit', text: 'better', nonce: 'e1' }, item, { nick: 'me' });
  assert.deepEqual([item.text, item.edited, item.change], ['better', true, 'pending']);
  assert.deepEqual(room.unsent.map(({ data, epoch }) => [data.type, data.of, epoch]), [['react', 1, 'one'], ['edit', 1, 'one']]);
  assert.equal(room.nextPending(), react);
  room.accepted(react);
  room.publication(pub(3, { type: 'react', of: 1, emoji: '👍', on: true, nonce: 'r1' }, me));
  assert.deepEqual(item.reactions, [{ emoji: '👍', nicks: ['bob', 'me'], mine: true }]);
  room.failed(edit, { code: 107 });
  assert.deepEqual([item.text, item.change, item.changeProblem.code], ['better', 'failed', 107]);
  room.retry(item);
  assert.equal(room.nextPending(), edit);
  room.failed(edit, { code: 107 });
  room.discard(item);
  assert.deepEqual([item.text, item.edited, item.change], ['mine', false, undefined]);
  assert.equal(item.reactions.length, 1);
  assert.deepEqual(room.unsent, []);
});

test('a reaction that is refused is taken back, with a word; an accepted one holds', () => {
  const room = joinedRoom();
  room.publication(message(1, 'theirs', bob));
  const item = room.at(0);
  const like = (on) => room.change({ type: 'react', emoji: '👍', on, nonce: `r${on}` }, item, { nick: 'me' });
  room.failed(like(true), { code: 103, message: 'no' });
  assert.deepEqual(item.reactions, []);
  assert.equal(room.at(1).word, 'changeRefused');
  room.accepted(like(true));
  room.settle();
  assert.deepEqual(item.reactions, [{ emoji: '👍', nicks: ['me'], mine: true }]);
  assert.equal(item.change, undefined);
  like(false);
  assert.deepEqual(item.reactions, []);
});

test('one message has so many different reactions, and no more', () => {
  const room = joinedRoom();
  room.publication(message(1, 'popular', bob));
  for (let i = 0; i < 300; i += 1) {
    room.publication(pub(2 + i, { type: 'react', of: 1, emoji: `e${i}`, on: true }, ada));
  }
  assert.equal(room.at(0).reactions.length, 200);
});

test('a change cannot reach a message of an earlier life, and that is said', () => {
  const room = joinedRoom();
  room.publication(message(1, 'mine', me));
  const item = room.at(0);
  room.change({ type: 'edit', text: 'better', nonce: 'e1' }, item, { nick: 'me' });
  room.send({ type: 'message', text: 'an answer', nonce: 'n1', reply_to: 1 }, { nick: 'me' });
  assert.equal(room.reachable(item), true);
  room.subscribed({ fresh: false, recovered: false, epoch: 'two', offset: 0 });
  assert.equal(room.reachable(item), false);
  assert.equal(item.text, 'mine');
  assert.deepEqual(shown(room), ['mine', 'gap', 'notice', 'an answer']);
  assert.deepEqual(room.unsent.map(({ data }) => data), [{ type: 'message', text: 'an answer', nonce: 'n1' }]);
});

test('changes of an earlier page wait for the epoch, and go only to the same one', () => {
  const kept = [
    { data: { type: 'edit', of: 1, text: 'better', nonce: 'e1' }, time: 1, epoch: 'one' },
    { data: { type: 'react', of: 1, emoji: '👍', on: true, nonce: 'r1' }, time: 1, epoch: 'zero' },
    { data: { type: 'topic', text: 'tea', nonce: 't1' }, time: 1, epoch: 'zero' },
  ];
  const room = new Room('lobby', (info) => info.client === 'c-me');
  room.restore(kept, { nick: 'me' });
  assert.equal(room.unsent.length, 3);
  assert.equal(room.nextPending(), undefined);
  room.subscribed({ fresh: true, recovered: false, epoch: 'one', offset: 1 });
  room.publication(message(1, 'mine', me));
  assert.deepEqual(room.unsent.map(({ data }) => data.type), ['edit', 'topic']);
  assert.equal(room.at(room.length - 1).text ?? room.at(0).text, 'better');
});

test('what was sent again in a new life stands where all windows have it', () => {
  const room = joinedRoom();
  room.publication(message(1, 'old', bob));
  const own = { type: 'message', text: 'twice', nonce: 'n1' };
  room.publication(pub(2, own, bob));
  room.subscribed({ fresh: false, recovered: false, epoch: 'two', offset: 0 });
  room.publication(message(1, 'new', ada));
  room.publication(pub(2, own, bob));
  assert.deepEqual(shown(room), ['old', 'gap', 'new', 'twice']);
  assert.equal(room.reachable(room.at(3)), true);
});

test('the line stands where the reader left off, over a reload and over a restart', () => {
  const load = (room, offsets, text = 'm') => offsets.forEach((offset) => room.publication(message(offset, `${text}${offset}`, bob)));
  let room = joinedRoom(3);
  load(room, [1, 2, 3]);
  room.caughtUp(null);
  assert.equal(room.firstNew, undefined);
  assert.deepEqual(room.read(), { epoch: 'one', offset: 3 });
  assert.equal(room.read(), null);
  room = joinedRoom(6);
  load(room, [5, 6]);
  room.paged(5);
  assert.equal(room.isBelow({ epoch: 'one', offset: 3 }), true);
  assert.equal(room.isBelow({ epoch: 'two', offset: 3 }), false);
  load(room, [2, 3, 4]);
  room.paged(2);
  assert.equal(room.isBelow({ epoch: 'one', offset: 3 }), false);
  room.caughtUp({ epoch: 'one', offset: 3 });
  assert.equal(room.firstNew.text, 'm4');
  assert.equal(room.countNew(), 3);
  room.read();
  assert.equal(room.firstNew.text, 'm4'); // it stays until there is a newer one, or we speak
  load(room, [7, 8]);
  room.missed();
  assert.equal(room.firstNew.text, 'm7');
  room.subscribed({ fresh: false, recovered: false, epoch: 'two', offset: 0 });
  load(room, [1], 'n');
  assert.equal(room.countNew(), 3);
  room.send({ type: 'message', text: 'hi', nonce: 'x' }, { nick: 'me' });
  assert.equal(room.firstNew, undefined);
  room = joinedRoom(2, 'two');
  load(room, [1, 2]);
  room.paged(1);
  room.caughtUp({ epoch: 'one', offset: 8 });
  assert.equal(room.firstNew.text, 'm1');
});

test('own messages are never new, mentions are counted', () => {
  const room = new Room('lobby', (info) => info.client === 'c-me', (text) => (/\bme\b/.test(text) ? 'me' : ''));
  room.subscribed({ fresh: true, recovered: false, epoch: 'one', offset: 4 });
  room.publication(message(1, 'hello', me));
  room.publication(message(2, 'me said', me));
  room.publication(message(3, 'hello me', bob));
  room.publication(message(4, 'hello', bob));
  room.paged(1);
  room.caughtUp({ epoch: 'one', offset: 0 });
  assert.equal(room.countNew(), 2);
  assert.equal(room.mentions, 1);
  assert.equal(room.firstNew.text, 'hello me');
  assert.equal(room.at(1).mentionsMe, '');
  room.read();
  assert.equal(room.mentions, 0);
});

test('names that tokens give are short, plain, and to be seen', () => {
  const check = (nick, expected) => assert.equal(nickOf({ user: 'u', conn_info: { nick } }), expected, JSON.stringify(nick));
  check('\u202egnp.exe', 'gnp.exe');
  check('\u2069\u202e evil ', 'evil');
  check('a\nb', 'ab');
  check('\u200b \u2060\u0301', '');
  check('x'.repeat(5_000), 'x'.repeat(64));
  check('😀'.repeat(100), '😀'.repeat(64));
  check('👩‍🚀 مرحبا', '👩‍🚀 مرحبا');
});
