// The official JavaScript SDK, unchanged, against the real server.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, test } from 'node:test';
import WebSocket from 'ws';
import { connect, Events, newClient, next, plain, soon, startServer, subscribe } from './helpers.mjs';

let server;
const clients = [];

before(async () => {
  server = await startServer();
});

after(async () => {
  for (const client of clients) client.disconnect();
  await server?.kill();
});

async function member(room, options) {
  const client = await connect(server.address, options);
  clients.push(client);
  return subscribe(client, room);
}

const message = (text) => ({ type: 'message', text });

test('connects and learns who it is', async () => {
  const anonymous = await connect(server.address);
  clients.push(anonymous);
  assert.match(anonymous.hello.client, /^[0-9a-f-]{36}$/);
  assert.equal(anonymous.hello.data, undefined);
  const guest = await connect(server.address, { data: { nick: 'sdk-guest' } });
  clients.push(guest);
  assert.equal(guest.hello.data.nick, 'sdk-guest');
  assert.equal(typeof guest.hello.data.resume, 'string');
});

test('a guest takes its nick back with the proof it was given', async () => {
  const first = await connect(server.address, { data: { nick: 'keeper' } });
  const { resume } = first.hello.data;
  first.disconnect();
  const stranger = await connect(server.address, { data: { nick: 'keeper' } });
  assert.equal(stranger.hello.data.nick, 'keeper-2');
  stranger.disconnect();
  const again = await connect(server.address, { data: { nick: 'keeper', resume } });
  assert.equal(again.hello.data.nick, 'keeper');
  again.disconnect();
});

test('members of a room hear each other, and themselves', async () => {
  const ann = await member('chat:hear', { data: { nick: 'ann' } });
  const joins = new Events(ann, 'join');
  const leaves = new Events(ann, 'leave');
  const ben = await member('chat:hear', { data: { nick: 'ben' } });
  let join = await joins.next();
  if (join.info.user === '~ann') join = await joins.next();
  assert.deepEqual(join.info.connInfo, { nick: 'ben' });

  await ben.publish(message('hello'));
  for (const listener of [ann, ben]) {
    const { data, info, offset } = await listener.publications.next();
    assert.deepEqual(data, message('hello'));
    assert.deepEqual([info.user, info.connInfo.nick, offset], ['~ben', 'ben', 1]);
  }
  ben.unsubscribe();
  const leave = await leaves.next();
  assert.equal(leave.info.user, '~ben');
});

test('subscribes to many rooms at once', async () => {
  const client = newClient(server.address);
  clients.push(client);
  const rooms = Array.from({ length: 50 }, (_, n) => client.newSubscription(`many-${n}`));
  const subscribed = rooms.map((room) => next(room, 'subscribed'));
  for (const room of rooms) room.subscribe();
  client.connect(); // connect and all subscribes leave together
  await Promise.all(subscribed);
  const heard = rooms.map((room) => next(room, 'publication'));
  await Promise.all(rooms.map((room, n) => room.publish(n)));
  const publications = await Promise.all(heard);
  assert.deepEqual(publications.map((p) => p.data), rooms.map((_, n) => n));
});

test('publishes without a subscription, where that is allowed', async () => {
  const listener = await member('news');
  const client = await connect(server.address);
  clients.push(client);
  await client.publish('news', { headline: 'x' });
  const { data, offset } = await listener.publications.next();
  assert.deepEqual([data, offset], [{ headline: 'x' }, undefined]);
});

test('reads the history', async () => {
  const ann = await member('chat:history');
  for (const text of ['a', 'b', 'c']) await ann.publish(message(text));
  const all = await ann.history({ limit: 10 });
  assert.deepEqual(all.publications.map((p) => [p.data.text, p.offset]), [['a', 1], ['b', 2], ['c', 3]]);
  assert.equal(all.offset, 3);
  assert.equal(all.epoch, ann.hello.streamPosition.epoch);
  const since = await ann.history({ limit: 10, since: { offset: 2, epoch: all.epoch } });
  assert.deepEqual(since.publications.map((p) => p.data.text), ['c']);
  const newest = await ann.history({ limit: 1, reverse: true });
  assert.deepEqual(newest.publications.map((p) => p.data.text), ['c']);
  await assert.rejects(ann.history({ limit: 1, since: { offset: 1, epoch: 'gone' } }), { code: 112 });
});

test('recovers what it missed while its connection was cut', async () => {
  const ann = await member('chat:cut');
  const ben = await member('chat:cut');
  await ben.publish(message('0'));
  await ann.publications.next();
  const client = clients.at(-2); // ann's
  const connecting = next(client, 'connecting');
  const subscribed = next(ann, 'subscribed');
  // Nothing is read any more; what is published now is missed for sure.
  client.cut();
  await connecting;
  for (let n = 1; n <= 30; n += 1) await ben.publish(message(String(n)));
  const back = await subscribed;
  assert.equal(back.wasRecovering, true);
  assert.equal(back.recovered, true);
  const heard = await ann.publications.take(30);
  assert.deepEqual(heard.map((p) => p.offset), Array.from({ length: 30 }, (_, n) => n + 2));
  assert.deepEqual(heard.map((p) => p.data.text), Array.from({ length: 30 }, (_, n) => String(n + 1)));
  assert.equal(ann.publications.left, 0);
});

test('comes back after a restart, and is told that the history is gone', async () => {
  const first = await startServer();
  const client = await connect(first.address);
  clients.push(client);
  const room = await subscribe(client, 'chat:restart');
  await room.publish(message('before'));
  await room.publications.next();
  const connecting = next(client, 'connecting');
  const subscribed = next(room, 'subscribed');
  assert.equal(await first.stop(), 0);
  assert.equal((await connecting).code, 3001);
  const second = await startServer([], first.address);
  const back = await subscribed;
  assert.equal(back.wasRecovering, true);
  assert.equal(back.recovered, false);
  await room.publish(message('after'));
  assert.deepEqual((await room.publications.next()).data, message('after'));
  client.disconnect();
  assert.equal(await second.stop(), 0);
});

test('errors have their codes', async () => {
  const ann = await member('chat:errors', { data: { nick: 'erin' } });
  const client = clients.at(-1);
  await assert.rejects(ann.publish({ type: 'nonsense' }), { code: 107 });
  await assert.rejects(client.publish('chat:elsewhere', message('x')), { code: 103 });
  await assert.rejects(client.publish('nowhere:x', 1), { code: 102 });
  await assert.rejects(client.rpc('nothing', {}), { code: 108 });
  for (const [room, code] of [['nowhere:x', 102], ['dm:#a,b', 103]]) {
    const subscription = client.newSubscription(room);
    const refused = next(subscription, 'unsubscribed');
    subscription.subscribe();
    assert.equal((await refused).code, code, room);
  }
  // The connection has survived all of that.
  await ann.publish(message('still here'));
  assert.deepEqual((await ann.publications.next()).data, message('still here'));
});

test('stays connected by answering pings', async () => {
  const own = await startServer(['--set', 'client.ping_interval=1s', '--set', 'client.pong_timeout=500ms']);
  const client = await connect(own.address);
  let ended;
  client.on('disconnected', (context) => (ended = context));
  client.on('connecting', (context) => (ended = context));
  // A raw connection that answers nothing measures the time: when it is let go, the SDK's
  // connection has been pinged as well.
  for (let round = 0; round < 3; round += 1) {
    const deaf = new WebSocket(`ws://${own.address}/connection/websocket`);
    await soon(once(deaf, 'open'), 'a connection');
    deaf.send('{"id":1,"connect":{}}');
    const [code] = await soon(once(deaf, 'close'), 'the end of who does not answer');
    assert.equal(code, 3012);
  }
  assert.equal(ended, undefined);
  assert.equal(client.state, 'connected');
  client.disconnect();
  await own.kill();
});

test('plain clients and SDK clients share a room', async () => {
  const sdk = await member('chat:shared', { data: { nick: 'sue' } });
  const other = await plain(server.address, '/plain?room=shared&name=pat');
  assert.equal(await other.line(), '* pat joined');
  other.say('hello');
  const { data, info } = await sdk.publications.next();
  assert.deepEqual(data, message('hello'));
  assert.equal(info.connInfo.nick, 'pat');
  assert.equal(await other.line(), 'from pat: hello');
  await sdk.publish(message('hello, pat'));
  assert.equal(await other.line(), 'from sue: hello, pat');
  other.close();
});
