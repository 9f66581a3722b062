// The JavaScript SDK, unchanged, when a connection breaks: what was missed comes, or the client is
// told that it cannot.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { API, inBothForms, message, next } from './helpers.mjs';

const OPEN = {
  history_size: 5,
  history_ttl: '1h',
  allow_subscribe_for_client: true,
  allow_subscribe_for_anonymous: true,
  allow_publish_for_client: true,
  allow_publish_for_subscriber: true,
  allow_publish_for_anonymous: true,
  allow_history_for_subscriber: true,
  allow_history_for_anonymous: true,
};

const ROOMS = [
  ...API,
  // A room whose history is short, and one where recovery is for those who ask.
  ...['--set', `channel.namespaces=${JSON.stringify([
    { ...OPEN, name: 'short', force_recovery: true },
    { ...OPEN, name: 'asked' },
  ])}`],
];

const numbers = (from, to) => Array.from({ length: to - from + 1 }, (_, n) => n + from);

inBothForms('recovery', ROOMS, (sdk) => {
  test('recovers what it missed while its connection was cut', async () => {
    const ann = await sdk.member('chat:cut');
    const ben = await sdk.member('chat:cut');
    await sdk.publish(ben, message('0'));
    await ann.publications.next();
    const connecting = next(ann.client, 'connecting');
    const subscribed = next(ann, 'subscribed');
    // Nothing is read any more; what is published now is missed for sure.
    ann.client.cut();
    await connecting;
    for (const n of numbers(1, 30)) await sdk.publish(ben, message(String(n)));
    const back = await subscribed;
    assert.equal(back.wasRecovering, true);
    assert.equal(back.recovered, true);
    const heard = await ann.publications.take(30);
    assert.deepEqual(heard.map((p) => p.offset), numbers(2, 31));
    assert.deepEqual(heard.map((p) => p.data.text), numbers(1, 30).map(String));
    assert.equal(ann.publications.left, 0);
  });

  test('recovers what it missed while the server had cut it', async () => {
    const ann = await sdk.member('chat:server-cut', { data: { nick: 'cut' } });
    const ben = await sdk.member('chat:server-cut');
    const connecting = next(ann.client, 'connecting');
    const subscribed = next(ann, 'subscribed');
    const first = numbers(1, 10).map((n) => sdk.publish(ben, message(String(n))));
    await sdk.server.api('disconnect', { user: '~cut', disconnect: { code: 3000, reason: 'cut' } });
    const { code, reason } = await connecting;
    assert.deepEqual([code, reason], [3000, 'cut']);
    for (const n of numbers(11, 30)) await sdk.publish(ben, message(String(n)));
    await Promise.all(first);
    const back = await subscribed;
    assert.deepEqual([back.wasRecovering, back.recovered], [true, true]);
    const heard = await ann.publications.take(30);
    assert.deepEqual(heard.map((p) => p.offset), numbers(1, 30));
    await sdk.publish(ben, message('live'));
    assert.deepEqual((await ann.publications.next()).offset, 31);
  });

  test('recovers where it asks for it', async () => {
    const ben = await sdk.member('asked:a');
    assert.deepEqual([ben.hello.recoverable, ben.hello.positioned], [false, false]);
    const ann = await sdk.subscribe(await sdk.connect(), 'asked:a', { recoverable: true });
    assert.deepEqual([ann.hello.recoverable, ann.hello.positioned], [true, true]);
    const connecting = next(ann.client, 'connecting');
    const subscribed = next(ann, 'subscribed');
    ann.client.cut();
    await connecting;
    for (const n of numbers(1, 3)) await sdk.publish(ben, n);
    assert.equal((await subscribed).recovered, true);
    assert.deepEqual((await ann.publications.take(3)).map((p) => p.data), [1, 2, 3]);
  });

  test('is told when the history is too short', async () => {
    const ann = await sdk.member('short:room');
    const ben = await sdk.member('short:room');
    await sdk.publish(ben, 0);
    await ann.publications.next();

    ann.client.disconnect();
    for (const n of numbers(1, 5)) await sdk.publish(ben, n);
    let subscribed = next(ann, 'subscribed');
    ann.client.connect();
    let back = await subscribed;
    assert.deepEqual([back.wasRecovering, back.recovered], [true, true], 'just long enough');
    const recovered = await ann.publications.take(5);
    assert.deepEqual(recovered.map((p) => p.data), numbers(1, 5));

    ann.client.disconnect();
    for (const n of numbers(6, 11)) await sdk.publish(ben, n);
    subscribed = next(ann, 'subscribed');
    ann.client.connect();
    back = await subscribed;
    assert.deepEqual([back.wasRecovering, back.recovered], [true, false]);
    // None of it came as a part; the history says what there is, and life goes on.
    const { publications, offset } = await sdk.history(ann, { limit: 10 });
    assert.deepEqual(publications.map((p) => p.data), numbers(7, 11));
    assert.equal(offset, 12);
    await sdk.publish(ben, 'live');
    assert.equal((await ann.publications.next()).data, 'live');
    assert.equal(ann.publications.left, 0);
  });

  test('comes back after a restart, and is told that the history is gone', async () => {
    const first = await sdk.start();
    const room = await sdk.member('chat:restart', {}, first);
    await sdk.publish(room, message('before'));
    await room.publications.next();
    const connecting = next(room.client, 'connecting');
    const subscribed = next(room, 'subscribed');
    assert.equal(await first.stop(), 0);
    assert.equal((await connecting).code, 3001);
    await sdk.start([], first.address);
    const back = await subscribed;
    assert.equal(back.wasRecovering, true);
    assert.equal(back.recovered, false);
    await sdk.publish(room, message('after'));
    assert.deepEqual((await room.publications.next()).data, message('after'));
  });

  test('a subscription that begins at a known position gets what came since', async () => {
    const ann = await sdk.member('chat:since');
    for (const text of ['a', 'b', 'c']) await sdk.publish(ann, message(text));
    const { epoch } = ann.hello.streamPosition;
    const client = await sdk.connect();
    const room = await sdk.subscribe(client, 'chat:since', { since: { offset: 1, epoch } });
    assert.deepEqual([room.hello.wasRecovering, room.hello.recovered], [true, true]);
    const heard = await room.publications.take(2);
    assert.deepEqual(heard.map((p) => `${p.offset} ${p.data.text}`), ['2 b', '3 c']);
  });
});
