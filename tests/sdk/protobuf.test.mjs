// The official JavaScript SDK's protobuf build, unchanged, against the real server.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Centrifuge as Protobuf } from 'centrifuge/build/protobuf';
import { connect, Events, next, plain, startServer, subscribe } from './helpers.mjs';

let server;
const clients = [];

before(async () => {
  server = await startServer();
});

after(async () => {
  for (const client of clients) client.disconnect();
  await server?.kill();
});

const bytes = (value) => new TextEncoder().encode(JSON.stringify(value));
const value = (data) => JSON.parse(new TextDecoder().decode(data));
const message = (text) => ({ type: 'message', text });

async function client(nick, Client = Protobuf) {
  const data = Client === Protobuf ? bytes({ nick }) : { nick };
  const connected = await connect(server.address, { data }, Client);
  clients.push(connected);
  return connected;
}

test('connects and learns who it is', async () => {
  const ann = await client('pb-ann');
  assert.match(ann.hello.client, /^[0-9a-f-]{36}$/);
  assert.equal(value(ann.hello.data).nick, 'pb-ann');
});

test('both builds of the SDK and plain clients share a room', async () => {
  const ann = await subscribe(await client('ann'), 'chat:forms');
  const joins = new Events(ann, 'join');
  const json = await connect(server.address, { data: { nick: 'ben' } });
  clients.push(json);
  const ben = await subscribe(json, 'chat:forms');
  let join = await joins.next();
  if (join.info.user === '~ann') join = await joins.next();
  assert.equal(join.info.user, '~ben');
  assert.deepEqual(value(join.info.connInfo), { nick: 'ben' });
  const pat = await plain(server.address, '/plain?room=forms&name=pat');
  assert.equal(await pat.line(), '* pat joined');
  await ann.publish(bytes(message('from ann')));
  const own = await ann.publications.next();
  assert.deepEqual(value(own.data), message('from ann'));
  assert.equal(Number(own.offset), 1);
  assert.deepEqual((await ben.publications.next()).data, message('from ann'));
  assert.equal(await pat.line(), 'from ann: from ann');
  await ben.publish(message('from ben'));
  assert.deepEqual(value((await ann.publications.next()).data), message('from ben'));
  pat.close();
});

test('reads the history', async () => {
  const ann = await subscribe(await client('hal'), 'chat:pbhistory');
  for (const text of ['a', 'b', 'c']) await ann.publish(bytes(message(text)));
  const page = await ann.history({ limit: 2, reverse: true });
  assert.deepEqual(page.publications.map((p) => value(p.data).text), ['c', 'b']);
  assert.equal(Number(page.offset), 3);
});

test('recovers what it missed while its connection was cut', async () => {
  const ann = await client('rae');
  const room = await subscribe(ann, 'chat:pbcut');
  const writer = await subscribe(await client('sam'), 'chat:pbcut');
  await writer.publish(bytes(message('before')));
  await room.publications.next();
  const connecting = next(ann, 'connecting');
  const subscribed = next(room, 'subscribed');
  ann.cut();
  await connecting;
  for (const text of ['1', '2', '3']) await writer.publish(bytes(message(text)));
  const back = await subscribed;
  assert.equal(back.wasRecovering, true);
  assert.equal(back.recovered, true);
  const texts = (await room.publications.take(3)).map((p) => value(p.data).text);
  assert.deepEqual(texts, ['1', '2', '3']);
});

test('bytes that are no JSON stay bytes', async () => {
  const ann = await subscribe(await client('tom'), 'pbraw');
  await ann.publish(new Uint8Array([255, 0, 1, 2]));
  assert.deepEqual([...(await ann.publications.next()).data], [255, 0, 1, 2]);
});

test('errors have their codes', async () => {
  const ann = await client('una');
  await assert.rejects(ann.publish('nowhere:x', bytes(1)), { code: 102 });
  await assert.rejects(ann.rpc('nothing', bytes({})), { code: 108 });
  const subscription = ann.newSubscription('dm:#a,b');
  const refused = next(subscription, 'unsubscribed');
  subscription.subscribe();
  assert.equal((await refused).code, 103);
});
