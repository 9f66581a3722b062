// The JavaScript SDK, unchanged, with tokens: for the connection, for single rooms, and with
// subscriptions that the server makes.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { API, Events, inBothForms, message, next } from './helpers.mjs';
import { inSeconds, sign, TOKENS } from './tokens.mjs';

inBothForms('tokens', [...TOKENS, ...API], (sdk) => {
  const user = (sub, claims = {}) => ({ token: sign({ sub, exp: inSeconds(3600), ...claims }) });

  /** Everything that would say that a client lost its connection. */
  const losses = (client) => {
    const heard = [];
    for (const event of ['connecting', 'disconnected']) {
      client.on(event, (context) => heard.push(context));
    }
    return heard;
  };

  test('others see who a token says that one is', async () => {
    const ann = await sdk.member('chat:who', user('42', { info: { name: 'Ann' } }));
    const ben = await sdk.member('chat:who', user('43'));
    await sdk.publish(ann, message('hello'));
    const { info } = await ben.publications.next();
    assert.deepEqual([info.user, info.connInfo], ['42', { name: 'Ann' }]);
    assert.equal(info.client, ann.client.hello.client);
    const { info: own } = await sdk.publish(ben, message('hi')).then(async () => {
      await ben.publications.next();
      return (await ann.publications.take(2))[1];
    });
    assert.deepEqual([own.user, own.connInfo], ['43', undefined]);
  });

  test('without a token one stays outside', async () => {
    const client = sdk.newClient();
    const disconnected = next(client, 'disconnected');
    client.connect();
    const { code, reason } = await disconnected;
    assert.deepEqual([code, reason], [101, 'unauthorized']);
  });

  test('3500: a token that is not ours ends it', async () => {
    const strangers = [
      sign({ sub: '42' }, 'a key that this server does not have'),
      sign({ sub: '~guest' }),
      'no.token.atall',
    ];
    for (const token of strangers) {
      const client = sdk.newClient({ token });
      const disconnected = next(client, 'disconnected');
      client.connect();
      assert.equal((await disconnected).code, 3500, token);
    }
  });

  test('an expired token is replaced before the connection begins', async () => {
    const asked = [];
    const getToken = async () => {
      asked.push('token');
      return user('42').token;
    };
    const client = sdk.newClient({ token: sign({ sub: '42', exp: inSeconds(-10) }), getToken });
    const errors = new Events(client, 'error');
    const connected = next(client, 'connected');
    client.connect();
    assert.equal((await errors.next()).error.code, 109);
    await connected;
    assert.equal(asked.length, 1);
  });

  test('an expiring token is refreshed, and the connection stays', async () => {
    const asked = new EventTarget();
    let count = 0;
    const enough = new Promise((resolve) => asked.addEventListener('enough', resolve));
    const getToken = async () => {
      count += 1;
      if (count === 3) asked.dispatchEvent(new Event('enough'));
      // Two that are soon over, then one that lasts.
      return sign({ sub: '44', exp: inSeconds(count < 3 ? 2 : 3600) });
    };
    const client = await sdk.connect({ getToken });
    const lost = losses(client);
    const room = await sdk.subscribe(client, 'chat:refresh');
    await enough;
    await sdk.publish(room, message('still the same'));
    assert.equal((await room.publications.next()).info.client, client.hello.client);
    assert.deepEqual(lost, []);
  });

  test('a private room asks for a token of its own', async () => {
    const client = await sdk.connect(user('45'));
    const room = '$private';
    const forRoom = (claims) => sign({ sub: '45', channel: room, exp: inSeconds(3600), ...claims });
    for (const [token, code] of [
      ['', 103],
      [forRoom({ channel: '$other' }), 103],
      [forRoom({ sub: '46' }), 103],
    ]) {
      assert.equal((await sdk.refusal(client, room, { token })).code, code, token);
      client.removeSubscription(client.getSubscription(room));
    }
    const asked = [];
    const getToken = async ({ channel }) => {
      asked.push(channel);
      return forRoom({ data: { welcome: true } });
    };
    const subscription = await sdk.subscribe(client, room, { getToken });
    assert.deepEqual(subscription.hello.data, { welcome: true });
    assert.deepEqual(asked, [room]);
    await sdk.publish(subscription, 'secret');
    assert.equal((await subscription.publications.next()).data, 'secret');
  });

  test('an expiring subscription token is refreshed, and the subscription stays', async () => {
    const client = await sdk.connect(user('47'));
    const room = '$short-lived';
    let count = 0;
    let enough;
    const asked = new Promise((resolve) => (enough = resolve));
    const getToken = async () => {
      count += 1;
      if (count === 3) enough();
      return sign({ sub: '47', channel: room, exp: inSeconds(count < 3 ? 2 : 3600) });
    };
    const subscription = await sdk.subscribe(client, room, { getToken });
    const lost = [];
    for (const event of ['subscribing', 'unsubscribed']) {
      subscription.on(event, (context) => lost.push(context));
    }
    await asked;
    await sdk.publish(subscription, 'still here');
    assert.equal((await subscription.publications.next()).data, 'still here');
    assert.deepEqual(lost, []);
  });

  test('the rooms that a token names are joined by the server', async () => {
    const claims = { channels: ['news'], subs: { 'chat:team': { data: { hi: 1 } } } };
    const client = await sdk.connect(user('48', claims));
    const joined = await client.joined.take(2);
    joined.sort((a, b) => a.channel.localeCompare(b.channel));
    assert.deepEqual(joined.map((s) => s.channel), ['chat:team', 'news']);
    const [team, news] = joined;
    assert.deepEqual([team.recoverable, team.data], [true, { hi: 1 }]);
    assert.equal(news.recoverable, false);

    const other = await sdk.member('chat:team', user('49'));
    await sdk.publish(other, message('welcome'));
    const heard = await client.publications.next();
    assert.deepEqual([heard.channel, heard.data, heard.offset], ['chat:team', message('welcome'), 1]);
    await sdk.publishTo(client, 'news', 'extra');
    assert.equal((await client.publications.next()).data, 'extra');
  });

  test('what was missed in rooms joined by the server comes once and in order', async () => {
    const client = await sdk.connect(user('50', { channels: ['chat:kept'] }));
    const first = await client.joined.next();
    assert.deepEqual([first.recoverable, first.wasRecovering], [true, false]);
    const other = await sdk.member('chat:kept', user('51'));
    await sdk.publish(other, message('0'));
    await client.publications.next();
    const connecting = next(client, 'connecting');
    client.cut();
    await connecting;
    for (let n = 1; n <= 20; n += 1) await sdk.publish(other, message(String(n)));
    const back = await client.joined.next();
    assert.deepEqual([back.wasRecovering, back.recovered], [true, true]);
    const heard = await client.publications.take(20);
    assert.deepEqual(heard.map((p) => p.offset), Array.from({ length: 20 }, (_, n) => n + 2));
    assert.equal(client.publications.left, 0);
  });

  test('a token says who a client is in a room', async () => {
    const room = '$chat:roles';
    const forRoom = (sub, info) => ({ token: sign({ sub, channel: room, info }) });
    const witness = await sdk.subscribe(await sdk.connect(user('60')), room, forRoom('60'));
    await witness.joins.next();
    const claims = { info: { name: 'Ann' }, subs: { [room]: { info: { role: 'owner' } } } };
    const ann = await sdk.connect(user('61', claims));
    await ann.joined.next();
    const both = ({ info }) => [info.user, info.connInfo, info.chanInfo];
    const expected = ['61', { name: 'Ann' }, { role: 'owner' }];
    assert.deepEqual(both(await witness.joins.next()), expected);
    await sdk.publishTo(ann, room, message('mine'));
    assert.deepEqual(both(await witness.publications.next()), expected);
    const present = Object.values(await sdk.presence(witness));
    assert.deepEqual(present.find((info) => info.user === '61').chanInfo, { role: 'owner' });
    const ben = await sdk.connect(user('62'));
    await sdk.subscribe(ben, room, forRoom('62', { role: 'guest' }));
    assert.deepEqual(both(await witness.joins.next()), ['62', undefined, { role: 'guest' }]);
  });

  test('the server API joins a user to a room and takes it out again', async () => {
    const client = await sdk.connect(user('52'));
    await sdk.server.api('subscribe', { user: '52', channel: 'chat:made', data: { why: 'api' } });
    const joined = await client.joined.next();
    assert.deepEqual([joined.channel, joined.data], ['chat:made', { why: 'api' }]);
    await sdk.server.api('publish', { channel: 'chat:made', data: message('from the backend') });
    const { data, info } = await client.publications.next();
    assert.deepEqual([data, info], [message('from the backend'), undefined]);
    await sdk.server.api('unsubscribe', { user: '52', channel: 'chat:made' });
    assert.equal((await client.left.next()).channel, 'chat:made');
  });

  test('the server API ends a subscription of the client', async () => {
    const room = await sdk.member('chat:ended', user('53'));
    const unsubscribed = next(room, 'unsubscribed');
    await sdk.server.api('unsubscribe', { user: '53', channel: 'chat:ended' });
    assert.equal((await unsubscribed).code, 2000);
  });
});
