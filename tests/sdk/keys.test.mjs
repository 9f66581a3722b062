// The JavaScript SDK, unchanged, when the backend changes the key with which it signs tokens: the
// server fetches the new one because a token names it, and the SDK comes back meanwhile.

import assert from 'node:assert/strict';
import { generateKeyPairSync, sign } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { test } from 'node:test';
import { inBothForms, next } from './helpers.mjs';

/** The backend's key of this name (ES256). */
const newKey = (kid) => ({ kid, ...generateKeyPairSync('ec', { namedCurve: 'P-256' }) });

/** A token of this key. */
function signed({ kid, privateKey }, claims) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const token = `${part({ alg: 'ES256', kid })}.${part(claims)}`;
  const key = { key: privateKey, dsaEncoding: 'ieee-p1363' };
  return `${token}.${sign('sha256', Buffer.from(token), key).toString('base64url')}`;
}

// The key endpoint shows one key, the latest.
let latest = newKey('first');
const endpoint = createServer((_, response) => {
  const { kid, publicKey } = latest;
  response.end(JSON.stringify({ keys: [{ ...publicKey.export({ format: 'jwk' }), kid }] }));
});
endpoint.listen(0, '127.0.0.1').unref();
await once(endpoint, 'listening');

const JWKS = [
  '--set', `client.token.jwks_public_endpoint=http://127.0.0.1:${endpoint.address().port}/`,
  '--set', 'client.token.jwks_refresh=1h',
  '--set', 'client.token.jwks_refresh_min_interval=1s',
];

inBothForms('keys', JWKS, (sdk) => {
  test('a token of a new key is taken as soon as the key is there', async () => {
    latest = newKey(crypto.randomUUID());
    const client = sdk.newClient({ token: signed(latest, { sub: '70' }) });
    const errors = [];
    client.on('error', ({ type, error }) => errors.push([type, error.code, error.temporary]));
    const connected = next(client, 'connected');
    client.connect();
    await connected;
    assert.deepEqual(errors[0], ['connect', 100, true]);

    // The same for a room.
    latest = newKey(crypto.randomUUID());
    const token = signed(latest, { sub: '70', channel: '$room' });
    const room = client.newSubscription('$room', { token });
    const refusals = [];
    room.on('error', ({ error }) => refusals.push(error.code));
    const subscribed = next(room, 'subscribed');
    room.subscribe();
    await subscribed;
    assert.equal(refusals[0], 100);
    assert.equal(client.state, 'connected');
  });

  test('3500 once the server has looked for a key in vain', async () => {
    const client = sdk.newClient({ token: signed(newKey('nobody knows it'), { sub: '71' }) });
    const disconnected = next(client, 'disconnected');
    client.connect();
    assert.equal((await disconnected).code, 3500);
  });
});
