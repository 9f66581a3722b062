// The JavaScript SDK, unchanged: who is in a room, who comes, and who goes.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { API, inBothForms, message, until } from './helpers.mjs';

const SETTINGS = [
  ...API,
  ...['--set', 'presence.grace=3s'],
  ...['--set', 'channel.without_namespace.join_leave=true'],
  ...['--set', 'channel.without_namespace.allow_presence_for_subscriber=true'],
  ...['--set', 'channel.without_namespace.allow_presence_for_anonymous=true'],
];

inBothForms('presence', SETTINGS, (sdk) => {
  const guest = (nick) => ({ data: { nick } });

  test('tells who is in a room, and how many', async () => {
    const ann = await sdk.member('chat:present', guest('ann'));
    const ben = await sdk.member('chat:present', guest('ben'));
    const nobody = await sdk.member('chat:present');
    const clients = [ann, ben, nobody].map((member) => member.client.hello.client);

    const present = await sdk.presence(ann);
    assert.deepEqual(Object.keys(present).sort(), [...clients].sort());
    assert.deepEqual(present[clients[1]], {
      client: clients[1],
      user: '~ben',
      connInfo: { nick: 'ben' },
    });
    assert.equal(present[clients[2]].user, '');
    assert.deepEqual(await ann.presenceStats(), { numClients: 3, numUsers: 3 });

    ben.unsubscribe();
    assert.equal((await ann.leaves.next()).info.client, clients[1]);
    assert.equal((await sdk.presence(nobody))[clients[1]], undefined);
    assert.deepEqual(await ann.presenceStats(), { numClients: 2, numUsers: 2 });
  });

  test('joins and leaves are announced', async () => {
    const witness = await sdk.member('chat:announced', guest('witness'));
    const own = await witness.joins.next();
    assert.equal(own.info.user, '~witness');
    const guests = [];
    for (const nick of ['dan', 'eve']) guests.push(await sdk.member('chat:announced', guest(nick)));
    const joins = await witness.joins.take(2);
    assert.deepEqual(joins.map((j) => j.info.connInfo.nick), ['dan', 'eve']);
    assert.deepEqual(joins.map((j) => j.info.client), guests.map((g) => g.client.hello.client));
    guests[0].client.disconnect();
    const { info } = await witness.leaves.next();
    assert.deepEqual([info.user, info.client], ['~dan', joins[0].info.client]);
  });

  test('who comes back at once is not announced', async () => {
    const witness = await sdk.member('chat:flapping', guest('watcher'));
    const flapping = await sdk.member('chat:flapping', guest('flapper'));
    await witness.joins.take(2);
    const { resume } = flapping.client.hello.data;
    flapping.client.disconnect();
    const { client } = flapping.client.hello;
    const connections = async () => {
      const { presence } = await sdk.server.api('presence', { channel: 'chat:flapping' });
      return Object.keys(presence);
    };
    await until(async () => !(await connections()).includes(client), 'the flapping one is gone');
    assert.ok((await sdk.presence(witness))[client], 'nobody was told');
    const back = await sdk.member('chat:flapping', { data: { nick: 'flapper', resume } });
    assert.equal(back.client.hello.data.nick, 'flapper');
    // What is announced next is somebody else, although the grace period is over by then.
    const late = await sdk.member('chat:flapping', guest('late'));
    assert.equal((await witness.joins.next()).info.user, '~late');
    late.client.disconnect();
    assert.equal((await witness.leaves.next()).info.user, '~late');
    assert.deepEqual([witness.joins.left, witness.leaves.left], [0, 0]);
  });

  test('joins are told to who asks for them', async () => {
    const quiet = await sdk.member('announced-if-asked');
    const asking = { joinLeave: true, recoverable: true };
    const told = await sdk.subscribe(await sdk.connect(), 'announced-if-asked', asking);
    assert.deepEqual([told.hello.recoverable, told.hello.positioned], [false, false], 'no history');
    assert.equal((await told.joins.next()).info.client, told.client.hello.client);
    const third = await sdk.member('announced-if-asked');
    assert.equal((await told.joins.next()).info.client, third.client.hello.client);
    third.unsubscribe();
    assert.equal((await told.leaves.next()).info.client, third.client.hello.client);
    await sdk.publish(told, 'for all');
    assert.equal((await quiet.publications.next()).data, 'for all');
    assert.deepEqual([quiet.joins.left, quiet.leaves.left], [0, 0]);
  });

  test('there is none where it is off', async () => {
    const room = await sdk.member('without-presence');
    await assert.rejects(room.presence(), { code: 108 });
    await assert.rejects(room.presenceStats(), { code: 108 });
    const client = await sdk.connect();
    await assert.rejects(client.presence('nowhere:x'), { code: 102 });
  });
});

inBothForms('presence of many', ['--set', 'presence.max_members=3'], (sdk) => {
  test('above the limit there are only counts', async () => {
    const members = [];
    for (let n = 0; n < 3; n += 1) members.push(await sdk.member('chat:crowd'));
    assert.equal(Object.keys(await sdk.presence(members[0])).length, 3);
    members.push(await sdk.member('chat:crowd'));
    await assert.rejects(members[0].presence(), { code: 106 });
    assert.equal((await members[0].presenceStats()).numClients, 4);
    await sdk.publish(members[0], message('a room all the same'));
  });
});
