// Who is in a room, and the list of them for the reader.
//
// Owns: asking for the list when we come in, keeping it by joins and leaves, and knowing when a room
// is too large to be listed: then only how many there are is known; one entry for each person out of
// their connections, and those who wrote and went. It never touches the page.
// Tested by tests/web/people.test.mjs.

import { ServerError } from './client.js';
import { nickOf, userKey } from './store.js';

/** Above so many connections the server announces nobody, so that a list could not be kept. */
const LISTED_MAX = 100;
/** A room that may have outgrown its list, or has, is asked again after so long: milliseconds. */
const AGAIN = 30_000;
const LARGE = LISTED_MAX / 2;
/** A list that may be wrong is asked for again after so long: milliseconds. */
const DOUBT = 1_000;
/** Of those who wrote and are not here, so many are listed, found among so many messages. */
const AWAY_MAX = 10;
const LOOKED_AT_MAX = 200;

/** `present`: the room's map from client ids to `{user, nick}`, kept here. `onChange()`: it changed. */
export class Presence {
  /** How many users there are, if they are too many to list; else null. */
  count = null;
  /** The list, or the count, is known. */
  known = false;

  #client;
  #channel;
  #present;
  #onChange;
  #timer = 0;

  constructor(client, channel, { present, onChange }) {
    this.#client = client;
    this.#channel = channel;
    this.#present = present;
    this.#onChange = onChange;
  }

  /** Asks who is there. */
  async load() {
    clearTimeout(this.#timer);
    try {
      const { clients, users } = await this.#client.presenceStats(this.#channel);
      const listed = clients <= LISTED_MAX ? await this.#client.presence(this.#channel) : new Map();
      this.count = clients <= LISTED_MAX ? null : users;
      this.#present.clear();
      for (const [id, info] of listed) this.#present.set(id, { user: userKey(info), nick: nickOf(info) });
      this.known = true;
      if (clients > LARGE) this.#again(AGAIN);
    } catch (error) {
      if (!(error instanceof ServerError)) return; // gone: the next subscribe asks again
      if (error.temporary) this.#again(AGAIN);
    }
    this.#onChange();
  }

  /** Somebody came. */
  join(info) {
    this.#present.set(info.client, { user: userKey(info), nick: nickOf(info) });
    if (this.#present.size > LARGE) this.#again(AGAIN);
  }

  /** Somebody went. A leave may carry the id of a connection that another has taken the place of. */
  leave(info) {
    const user = userKey(info);
    this.#present.delete(info.client);
    if ([...this.#present.values()].some((other) => other.user === user)) this.#again(DOUBT);
  }

  /** The connection is gone. */
  lost() {
    clearTimeout(this.#timer);
    this.known = false;
    this.count = null;
    this.#present.clear();
  }

  #again(milliseconds) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.load(), milliseconds);
  }
}

/** Everybody in the room of `session` but us: `[{user, nick}]`. */
export function othersHere({ room, presence }, self) {
  const known = new Map();
  if (!presence.known) return [];
  for (const [id, { user, nick }] of room.present) {
    if (id !== self.client && user !== self.user) known.set(user, { user, nick });
  }
  return [...known.values()];
}

/** The list of people: `{people, count, hint}`, see `Sidebar.setPeople`. */
export function allHere(session, self, online) {
  if (!online || !session.active) return { people: null, count: null, hint: online ? '' : 'peopleOffline' };
  const { presence } = session;
  const own = { user: self.user, nick: self.nick, self: true };
  if (presence.count !== null) return { people: [own], count: presence.count, hint: 'peopleMany' };
  const order = (a, b) => a.nick.localeCompare(b.nick);
  const here = [own, ...othersHere(session, self).sort(order)];
  return { people: [...here, ...authorsAway(session.room, here)], count: here.length, hint: '' };
}

/** Who wrote lately and is not among `here`. */
function authorsAway(room, here) {
  const seen = new Set(here.map(({ user }) => user));
  const away = [];
  const end = Math.max(0, room.length - LOOKED_AT_MAX);
  for (let index = room.length - 1; index >= end && away.length < AWAY_MAX; index -= 1) {
    const { kind, mine, user, nick } = room.at(index);
    if ((kind !== 'message' && kind !== 'me') || mine || user.startsWith('client:') || seen.has(user)) continue;
    seen.add(user);
    away.push({ user, nick, away: true });
  }
  return away;
}
