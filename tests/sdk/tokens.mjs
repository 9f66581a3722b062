// JSON Web Tokens as an application's backend makes them.

import { createHmac } from 'node:crypto';

/** The key that server and backend share. */
export const SECRET = 'a secret of thirty-two bytes or more';

/** Flags that make the server take tokens signed with [`SECRET`]. */
export const TOKENS = ['--set', `client.token.hmac_secret_key=${SECRET}`];

/** A token with these claims (HS256). */
export function sign(claims, secret = SECRET) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const signed = `${part({ alg: 'HS256', typ: 'JWT' })}.${part(claims)}`;
  return `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`;
}

/** Unix time, in whole seconds, at least so many seconds from now, for `exp`. */
export const inSeconds = (seconds) => Math.ceil(Date.now() / 1000) + seconds;
