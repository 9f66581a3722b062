// Who we are: a guest with a name and the server's proof that it is ours, or the bearer of a token.
//
// Owns: what is kept of that in the browser, and which publications are our own. It never talks to
// the server. Tested by tests/web/page.test.mjs and entry.test.mjs.

import { bearerOf, nameOfUser } from './rooms.js';
import { local, tab } from './storage.js';

export class Identity {
  /** The name that others see. */
  nick = '';
  /** The user as the server names it: "~ada" for a guest, a token's subject. */
  user = '';
  /** Our id in the present connection. */
  client = '';
  token = null;
  /** What we keep is kept under this: the user, or the name that a guest has asked for. */
  owner = '';

  #proof = null; // {nick, resume}: the name, and the server's word that it is ours
  #ids = new Set(); // every client id that was ours: our publications come back under it

  /** Is this `info` ours? */
  isMine = (info) => this.#ids.has(info?.client) || (this.user !== '' && info?.user === this.user);

  /** What `connect` carries. */
  get connectData() {
    return this.token ? undefined : (this.#proof ?? { nick: this.nick });
  }

  /** We come as a guest. */
  beGuest(nick) {
    // A tab that was given "ada-2" for the name "ada" comes back as "ada-2".
    const own = tab.get('wanted') === nick ? tab.get('proof') : null;
    const shared = local.get('proof');
    this.#proof = own ?? (shared?.nick === nick ? shared : null);
    this.token = null;
    this.#beCalled(this.#proof?.nick ?? nick);
    this.#remember(nick);
  }

  /** We come with a token, which is kept for this tab. Returns false if it is none. */
  beBearer(token) {
    const bearer = bearerOf(token);
    if (!bearer) return false;
    this.#proof = null;
    this.token = token;
    this.user = this.owner = bearer.user;
    this.nick = bearer.nick || nameOfUser(bearer.user);
    tab.set('token', token);
    return true;
  }

  /** The server has accepted us. Returns the name that we asked for if it gave us another. */
  greeted({ client, data }) {
    this.client = client;
    this.#ids.add(client);
    if (this.token || !data?.nick) return null;
    const asked = this.nick;
    this.granted(data);
    return this.nick === asked ? null : asked;
  }

  /** The server gave us, a guest, this name and the proof of it. */
  granted({ nick, resume }) {
    this.#beCalled(nick);
    this.#proof = resume ? { nick, resume } : null;
    tab.set('proof', this.#proof);
    // The other tabs' name is not ours to change: a "-2" is for this tab alone.
    if (nick === local.get('nick')) local.set('proof', this.#proof);
  }

  /** From now on we want to be called `nick`; the next `connect` asks for it. */
  want(nick) {
    this.#proof = null;
    this.#beCalled(nick);
    this.#remember(nick);
  }

  /** Forgets the token. */
  forget() {
    this.token = null;
    tab.set('token', null);
  }

  #remember(nick) {
    this.owner = `~${nick}`;
    local.set('nick', nick);
    tab.set('wanted', nick);
  }

  #beCalled(nick) {
    this.nick = nick;
    this.user = `~${nick}`;
  }
}
