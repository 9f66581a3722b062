// Names, rooms and addresses; no page, no server.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  addressOf, bearerOf, between, channelOf, isDirect, nameProblem, partner, roomOfAddress, roomProblem, tidyRoom, tokenOfAddress, typingChannelOf,
} from '../../src/web/rooms.js';

test('a conversation between two has one name, whoever opens it', () => {
  assert.equal(between('~bob', '~ada'), '#~ada,~bob');
  assert.equal(between('~ada', '~bob'), between('~bob', '~ada'));
  assert.equal(between('42', '~ada'), '#42,~ada');
  assert.equal(partner('#~ada,~bob', '~ada'), '~bob');
  assert.equal(partner('#~ada,~bob', '~bob'), '~ada');
  assert.equal(channelOf('#~ada,~bob'), 'dm:#~ada,~bob');
  assert.equal(channelOf('tea'), 'chat:tea');
  assert.equal(typingChannelOf('tea'), 'typing:tea');
  assert.equal(typingChannelOf('#~ada,~bob'), 'typing:#~ada,~bob');
  assert.equal(isDirect('tea'), false);
});

test('an address leads to the room that it was made for', () => {
  for (const room of ['tea', 'a b', '100%', 'ü/?&=', '日本', 'a:b,c']) {
    assert.equal(roomOfAddress(addressOf(room, '~ada')), room);
  }
  assert.equal(addressOf('#~ada,~bob', '~ada'), '#@~bob');
  assert.equal(roomOfAddress('#@~bob'), '@~bob');
  for (const nothing of ['', '#', '##', '#%00', `#${'x'.repeat(300)}`, '#@', '#@a,b']) {
    assert.equal(roomOfAddress(nothing), 'lobby', nothing);
  }
  assert.equal(roomOfAddress('#%E0%A4%A'), '%E0%A4%A');
  assert.equal(tidyRoom(' ##tea '), 'tea');
});

test('names that cannot be have a reason', () => {
  const check = (name, expected) => assert.equal(nameProblem(name), expected, JSON.stringify(name));
  check('ada', null);
  check('Ada Lovelace 👩‍🚀'.replace('\u200d', ''), null);
  check('', 'nameEmpty');
  check('x'.repeat(33), 'nameLong');
  check('~ada', 'nameTilde');
  for (const name of ['a:b', 'a,b', 'a#b', 'a\nb', 'a\u202eb', 'a\u200bb', 'a\u2066b', '\ufeffa']) check(name, 'nameChars');
  assert.equal(roomProblem('tea'), null);
  assert.equal(roomProblem(''), 'roomEmpty');
  assert.equal(roomProblem('é'.repeat(125)), 'roomLong');
  assert.equal(roomProblem('a\u0007'), 'roomChars');
  assert.equal(roomProblem('@~bob'), null);
  assert.equal(roomProblem('@auth0|5f7c8ec7c33c6c004bbafe82:work'), null);
  for (const nobody of ['@', '@~', '@bob,eve', '@a\nb', '@client:6e2b']) assert.equal(roomProblem(nobody), 'nameChars', nobody);
});

test('a token is read out of an address, and who it names out of the token', () => {
  assert.equal(tokenOfAddress('#tea'), null);
  assert.deepEqual(tokenOfAddress('#token=a.b.c'), { token: 'a.b.c', room: '' });
  assert.deepEqual(tokenOfAddress('#token=a.b.c&room=t%C3%A9'), { token: 'a.b.c', room: 'té' });
  const token = (claims) => `h.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.s`;
  assert.deepEqual(bearerOf(token({ sub: '42', info: { name: 'Kím ✓' } })), { user: '42', nick: 'Kím ✓' });
  assert.deepEqual(bearerOf(token({ sub: '42' })), { user: '42', nick: '42' });
  assert.deepEqual(bearerOf(token({})), { user: '', nick: '' });
  for (const nothing of ['', 'x', 'a.b.c', 'a.%%.c', `a.${Buffer.from('null').toString('base64')}.c`]) {
    assert.equal(bearerOf(nothing), null, nothing);
  }
});
