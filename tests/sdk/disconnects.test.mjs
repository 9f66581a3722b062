// The JavaScript SDK, unchanged, when the server closes its connection: which codes it comes back
// from, and which end it.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import WebSocket from 'ws';
import { API, inBothForms, next, soon } from './helpers.mjs';

inBothForms('disconnects', API, (sdk) => {
  test('stays connected by answering pings', async () => {
    const times = ['--set', 'client.ping_interval=1s', '--set', 'client.pong_timeout=500ms'];
    const own = await sdk.start(times);
    const client = await sdk.connect({}, own);
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
  });

  test('3503 by the server API ends it', async () => {
    const client = await sdk.connect({ data: { nick: 'banned' } });
    const disconnected = next(client, 'disconnected');
    await sdk.server.api('disconnect', { user: '~banned' });
    const { code, reason } = await disconnected;
    assert.deepEqual([code, reason], [3503, 'force disconnect']);
    assert.equal(client.state, 'disconnected');
  });

  test('3005 lets it come back', async () => {
    const client = await sdk.connect({ data: { nick: 'expired' } });
    const connecting = next(client, 'connecting');
    const connected = next(client, 'connected');
    await sdk.server.api('refresh', { user: '~expired', expired: true });
    assert.equal((await connecting).code, 3005);
    await connected;
  });

  test('3008, for who reads too slowly, lets it come back', async () => {
    const sizes = ['--set', 'client.queue_max_size=262144', '--set', 'client.command_rate_limit=0'];
    const own = await sdk.start(sizes);
    const slow = await sdk.member('flood', {}, own);
    const speaker = await sdk.connect({}, own);
    const connecting = next(slow.client, 'connecting');
    const subscribed = next(slow, 'subscribed');
    slow.client.socket().pause();
    const text = 'x'.repeat(48 * 1024);
    let sent = 0;
    while ((await own.metric('ringchat_disconnects_total', 'reason="slow"')) === 0) {
      assert.ok(sent < 2_000, 'the slow one was never let go');
      for (let n = 0; n < 20; n += 1) await sdk.publishTo(speaker, 'flood', text);
      sent += 20;
    }
    slow.client.socket().resume();
    assert.equal((await connecting).code, 3008);
    await subscribed;
  });
});
