// The JavaScript SDK, unchanged, in rooms: who is there, what is said, what was said.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inBothForms, message, next, plain } from './helpers.mjs';

inBothForms('rooms', [], (sdk) => {
  test('connects and learns who it is', async () => {
    const anonymous = await sdk.connect();
    assert.match(anonymous.hello.client, /^[0-9a-f-]{36}$/);
    assert.equal(anonymous.hello.data, undefined);
    const guest = await sdk.connect({ data: { nick: 'sdk-guest' } });
    assert.equal(guest.hello.data.nick, 'sdk-guest');
    assert.equal(typeof guest.hello.data.resume, 'string');
  });

  test('a guest takes its nick back with the proof it was given', async () => {
    const first = await sdk.connect({ data: { nick: 'keeper' } });
    const { resume } = first.hello.data;
    first.disconnect();
    const stranger = await sdk.connect({ data: { nick: 'keeper' } });
    assert.equal(stranger.hello.data.nick, 'keeper-2');
    const again = await sdk.connect({ data: { nick: 'keeper', resume } });
    assert.equal(again.hello.data.nick, 'keeper');
  });

  test('members of a room hear each other, and themselves', async () => {
    const ann = await sdk.member('chat:hear', { data: { nick: 'ann' } });
    const ben = await sdk.member('chat:hear', { data: { nick: 'ben' } });
    let join = await ann.joins.next();
    if (join.info.user === '~ann') join = await ann.joins.next();
    assert.deepEqual(join.info.connInfo, { nick: 'ben' });

    await sdk.publish(ben, message('hello'));
    for (const listener of [ann, ben]) {
      const { data, info, offset } = await listener.publications.next();
      assert.deepEqual(data, message('hello'));
      assert.deepEqual([info.user, info.connInfo.nick, offset], ['~ben', 'ben', 1]);
    }
    ben.unsubscribe();
    const leave = await ann.leaves.next();
    assert.equal(leave.info.user, '~ben');
  });

  test('subscribes to many rooms at once', async () => {
    const client = sdk.newClient();
    const rooms = Array.from({ length: 50 }, (_, n) => client.newSubscription(`many-${n}`));
    const subscribed = rooms.map((room) => next(room, 'subscribed'));
    for (const room of rooms) room.subscribe();
    client.connect(); // connect and all subscribes leave together
    await Promise.all(subscribed);
    const heard = rooms.map((room) => next(room, 'publication'));
    await Promise.all(rooms.map((room, n) => sdk.publish(room, n)));
    const publications = await Promise.all(heard);
    assert.deepEqual(publications.map((p) => sdk.read(p).data), rooms.map((_, n) => n));
  });

  test('publishes without a subscription, where that is allowed', async () => {
    const listener = await sdk.member('news');
    const client = await sdk.connect();
    await sdk.publishTo(client, 'news', { headline: 'x' });
    const { data, offset } = await listener.publications.next();
    assert.deepEqual([data, offset], [{ headline: 'x' }, undefined]);
  });

  test('leaves a room, comes back and hears it again', async () => {
    const room = await sdk.member('back');
    room.unsubscribe();
    await assert.rejects(room.publish(1));
    const subscribed = next(room, 'subscribed');
    room.subscribe();
    await subscribed;
    await sdk.publish(room, 'again');
    assert.equal((await room.publications.next()).data, 'again');
  });

  test('reads the history, both ways', async () => {
    const ann = await sdk.member('chat:history');
    for (const text of ['a', 'b', 'c']) await sdk.publish(ann, message(text));
    const texts = async (options) => {
      const { publications } = await sdk.history(ann, options);
      return publications.map((p) => `${p.offset} ${p.data.text}`);
    };
    const position = await sdk.history(ann, { limit: 0 });
    assert.deepEqual([position.publications, position.offset], [[], 3]);
    const { epoch } = position;
    assert.equal(epoch, ann.hello.streamPosition.epoch);
    assert.deepEqual(await texts({ limit: 10 }), ['1 a', '2 b', '3 c']);
    assert.deepEqual(await texts({ limit: 2 }), ['1 a', '2 b']);
    assert.deepEqual(await texts({ limit: -1 }), ['1 a', '2 b', '3 c']);
    assert.deepEqual(await texts({ limit: 10, since: { offset: 2, epoch } }), ['3 c']);
    assert.deepEqual(await texts({ limit: 2, reverse: true }), ['3 c', '2 b']);
    const before = { offset: 3, epoch };
    assert.deepEqual(await texts({ limit: 10, since: before, reverse: true }), ['2 b', '1 a']);
    await assert.rejects(ann.history({ limit: 1, since: { offset: 1, epoch: 'gone' } }), { code: 112 });
  });

  test('errors have their codes', async () => {
    const ann = await sdk.member('chat:errors', { data: { nick: 'erin' } });
    const { client } = ann;
    await assert.rejects(sdk.publish(ann, { type: 'nonsense' }), { code: 107 });
    await assert.rejects(sdk.publishTo(client, 'chat:elsewhere', message('x')), { code: 103 });
    await assert.rejects(sdk.publishTo(client, 'nowhere:x', 1), { code: 102 });
    await assert.rejects(client.history('news', { limit: 1 }), { code: 103 });
    const refused = [
      ['nowhere:x', 102],
      ['dm:#a,b', 103],
      ['$secret', 103],
      ['x'.repeat(256), 106],
    ];
    for (const [room, code] of refused) {
      assert.equal((await sdk.refusal(client, room)).code, code, room);
    }
    // The connection has survived all of that.
    await sdk.publish(ann, message('still here'));
    assert.deepEqual((await ann.publications.next()).data, message('still here'));
  });

  test('plain clients and SDK clients share a room', async () => {
    const member = await sdk.member('chat:shared', { data: { nick: 'sue' } });
    const other = await plain(sdk.server.address, '/plain?room=shared&name=pat');
    assert.equal(await other.line(), '* pat joined');
    other.say('hello');
    const { data, info } = await member.publications.next();
    assert.deepEqual(data, message('hello'));
    assert.equal(info.connInfo.nick, 'pat');
    assert.equal(await other.line(), 'from pat: hello');
    await sdk.publish(member, message('hello, pat'));
    assert.equal(await other.line(), 'from sue: hello, pat');
    other.close();
  });
});
