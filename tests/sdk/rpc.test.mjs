// The JavaScript SDK, unchanged: calls of the server's own methods.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inBothForms, message } from './helpers.mjs';

inBothForms('rpc', [], (sdk) => {
  test('whoami says who one is', async () => {
    const guest = await sdk.connect({ data: { nick: 'whoever' } });
    const { client } = guest.hello;
    assert.deepEqual(await sdk.rpc(guest, 'whoami', {}), { user: '~whoever', client, nick: 'whoever' });
    const anonymous = await sdk.connect();
    assert.equal((await sdk.rpc(anonymous, 'whoami', {})).user, '');
  });

  test('nick changes a guest\'s nick', async () => {
    const room = await sdk.member('chat:names', { data: { nick: 'before' } });
    const changed = await sdk.rpc(room.client, 'nick', { nick: 'after' });
    assert.equal(changed.nick, 'after');
    assert.equal(typeof changed.resume, 'string');
    await sdk.publish(room, message('it is me'));
    const { info } = await room.publications.next();
    assert.deepEqual([info.user, info.connInfo], ['~after', { nick: 'after' }]);
    await assert.rejects(sdk.rpc(room.client, 'nick', { nick: 'a:b' }), { code: 107 });
  });

  test('rooms lists public rooms, with members and topics', async () => {
    const ann = await sdk.member('chat:listed');
    await sdk.member('chat:listed');
    await sdk.member('dm:#~lister,~other', { data: { nick: 'lister' } });
    await sdk.publish(ann, { type: 'topic', text: 'tea' });
    const { rooms } = await sdk.rpc(ann.client, 'rooms', {});
    const listed = rooms.find((room) => room.channel === 'chat:listed');
    assert.equal(listed.members, 2);
    assert.equal(listed.topic, 'tea');
    assert.ok(rooms.every((room) => !/[#$]/.test(room.channel)));
  });

  test('104: there is no such method', async () => {
    const client = await sdk.connect();
    await assert.rejects(sdk.rpc(client, 'nothing', {}), { code: 104 });
  });
});
