// The JavaScript SDK, unchanged, when tokens really run out: what the server ends, and how the SDK
// comes back.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inBothForms, message, next, soon } from './helpers.mjs';
import { inSeconds, sign, TOKENS } from './tokens.mjs';

// Longer than a second, in which Unix time and the SDK's timer may differ.
const DELAYS = ['client.expired_close_delay=2s', 'client.expired_sub_close_delay=2s'];

inBothForms('expiry', [...TOKENS, ...DELAYS.flatMap((delay) => ['--set', delay])], (sdk) => {
  /** A backend that gives tokens while it is `up`, and counts how often it is asked. */
  const backend = (give) => {
    const state = {
      up: false,
      asked: 0,
      getToken: async (context) => {
        state.asked += 1;
        if (!state.up) throw new Error('the backend is down');
        return give(context, state.asked);
      },
    };
    return state;
  };

  /** Everything that an emitter says under these names, as it comes. */
  const heard = (emitter, names) => {
    const all = [];
    for (const name of names) {
      emitter.on(name, (context) => all.push({ name, code: context.code, type: context.type }));
    }
    return all;
  };
  const CLIENT = ['state', 'connecting', 'connected', 'disconnected', 'error'];
  const ROOM = ['state', 'subscribing', 'subscribed', 'unsubscribed', 'error'];

  test('3005 when a token runs out while the backend is down, and back with a new one', async () => {
    const app = backend(() => sign({ sub: '60', exp: inSeconds(3600) }));
    const token = sign({ sub: '60', exp: inSeconds(2) });
    const room = await sdk.member('chat:back', { token, getToken: app.getToken });
    const { client } = room;
    const other = await sdk.member('chat:back', { token: sign({ sub: '61' }) });
    const error = next(client, 'error');
    const connecting = next(client, 'connecting');
    const connected = next(client, 'connected');
    assert.equal((await error).type, 'refreshToken');
    const { code, reason } = await connecting;
    assert.deepEqual([code, reason], [3005, 'connection expired']);
    await sdk.publish(other, message('while it is away'));
    const before = app.asked;
    app.up = true;
    await connected;
    assert.equal(app.asked, before + 1);
    const { data, offset } = await room.publications.next();
    assert.deepEqual([data, offset], [message('while it is away'), 1]);
  });

  test('2501 when a room\'s token runs out while the backend is down, and back in', async () => {
    const client = await sdk.connect({ token: sign({ sub: '62' }) });
    const lost = heard(client, ['connecting', 'disconnected']);
    const name = '$chat:closing';
    const forRoom = (seconds) => sign({ sub: '62', channel: name, exp: inSeconds(seconds) });
    const app = backend(() => forRoom(3600));
    const room = await sdk.subscribe(client, name, { token: forRoom(2), getToken: app.getToken });
    const error = next(room, 'error');
    const subscribing = next(room, 'subscribing');
    const subscribed = next(room, 'subscribed');
    assert.equal((await error).type, 'refreshToken');
    const { code, reason } = await subscribing;
    assert.deepEqual([code, reason], [2501, 'subscription expired']);
    app.up = true;
    await subscribed;
    await sdk.publish(room, message('in again'));
    assert.deepEqual((await room.publications.next()).data, message('in again'));
    assert.deepEqual(lost, []);
  });

  test('nobody notices that tokens run out while the backend gives new ones in time', async () => {
    const name = '$chat:all-the-time';
    let enough;
    const often = new Promise((resolve) => (enough = resolve));
    const apps = [{}, { channel: name }].map((claims) => {
      const app = backend((_, asked) => {
        // By the third time, the first token was over for longer than the server would wait.
        if (asked >= 4 && apps.every((other) => other.asked >= 4)) enough();
        return sign({ sub: '63', ...claims, exp: inSeconds(asked < 4 ? 2 : 3600) });
      });
      app.up = true;
      return app;
    });
    const client = await sdk.connect({ getToken: apps[0].getToken });
    const room = await sdk.subscribe(client, name, { getToken: apps[1].getToken });
    const said = [heard(client, CLIENT), heard(room, ROOM)];
    await soon(often, 'the last refresh');
    await sdk.publish(room, message('still here'));
    assert.equal((await room.publications.next()).info.client, client.hello.client);
    assert.deepEqual(said, [[], []]);
  });

  test('a connection that breaks after its token ran out comes back with a new one', async () => {
    const app = backend(() => sign({ sub: '64', exp: inSeconds(3600) }));
    const token = sign({ sub: '64', exp: inSeconds(1) });
    const client = await sdk.connect({ token, getToken: app.getToken });
    // The SDK asks when the time is over.
    assert.equal((await next(client, 'error')).type, 'refreshToken');
    app.up = true;
    const errors = [];
    client.on('error', ({ type, error }) => errors.push([type, error.code]));
    const connected = next(client, 'connected');
    client.cut();
    await connected;
    assert.deepEqual(errors, [['connect', 109]]);
    assert.equal(app.asked, 2);
  });
});
