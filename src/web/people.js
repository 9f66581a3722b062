// People: who is in a room, who is typing there, and who wants to talk to us alone.
//
// Owns: asking for the list when we come in, keeping it by joins and leaves, and knowing when a room
// is too large to be listed: then only how many there are is known. The channels `typing:ROOM` and
// `typing:@USER`, how often we say something there, and when somebody's word has run out. It never
// touches the page. Tested by tests/web/people.test.mjs and direct.test.mjs.
//
// The bell. A notice in the channel `typing:@USER` means "I am in our conversation: come". Who rings is
// told by the server, not by the notice. It carries no text, is not kept, and may be lost, so whoever
// writes rings again while the other has not come. The channel is open: who listens in it sees who
// rings, never what is said.

import { ServerError } from './client.js';
import { typingChannelOf } from './rooms.js';
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
/** Somebody's word that they type holds so long; ours is repeated, and somebody is rung, at most this
 *  often: milliseconds. */
const HOLDS = 6_000;
const PAUSE = 3_000;

/** In which `user` hears the bell. */
const bellOf = (user) => `typing:@${user}`;

/** Who is in a room. `present`: the room's map from client ids to `{user, nick}`, kept here.
 *  `onChange()`: it changed. */
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

// --- typing and ringing ------------------------------------------------------------------------

/** Who is typing in the room that is shown, and saying that we are. `self`: who we are; `onChange()`:
 *  somebody began or stopped. */
export class Typing {
  #client;
  #self;
  #onChange;
  #session = null;
  #channel = null;
  #typing = new Map(); // user -> {nick, timer}
  #saidAt = 0;

  constructor(client, { self, onChange }) {
    this.#client = client;
    this.#self = self;
    this.#onChange = onChange;
  }

  /** The names of those who are typing. */
  get names() {
    return [...this.#typing.values()].map(({ nick }) => nick);
  }

  /** Listens in the room of `session`, instead of the last one. */
  watch(session) {
    if (this.#channel) this.#client.unsubscribe(this.#channel);
    if (this.#session) delete this.#session.typing;
    this.#clear();
    this.#session = session;
    this.#channel = typingChannelOf(session.room.name);
    session.typing = (on) => this.#say(on);
    this.#client.subscribe(this.#channel, {
      onPublication: ({ data, info }) => this.#heard(data, info),
      onLost: () => this.#clear(),
    });
  }

  /** Somebody has said something, and so is done with typing it. */
  done(user) {
    const known = this.#typing.get(user);
    if (!known) return;
    clearTimeout(known.timer);
    this.#typing.delete(user);
    this.#onChange();
  }

  #say(on) {
    if (!this.#client.online || !this.#session.active) return;
    if (on && Date.now() - this.#saidAt < PAUSE) return;
    if (!on && this.#saidAt === 0) return;
    this.#saidAt = on ? Date.now() : 0;
    const publish = { channel: this.#channel, data: { type: 'typing', on } };
    this.#client.send({ publish }, () => {}); // a notice that is lost is no loss
  }

  #heard(data, info) {
    if (data?.type !== 'typing' || this.#self.isMine(info)) return;
    const user = userKey(info);
    if (data.on === false) {
      this.done(user);
      return;
    }
    clearTimeout(this.#typing.get(user)?.timer);
    const timer = setTimeout(() => this.done(user), HOLDS);
    this.#typing.set(user, { nick: nickOf(info), timer });
    this.#onChange();
  }

  #clear() {
    for (const { timer } of this.#typing.values()) clearTimeout(timer);
    this.#typing.clear();
    this.#saidAt = 0;
    this.#onChange();
  }
}

/** The bell: how somebody learns that another wants to talk to them alone. */
export class Bell {
  #client;
  #rungAt = new Map(); // user -> when
  #later = new Set(); // users to be rung again when their pause is over
  #own = null;

  constructor(client) {
    this.#client = client;
  }

  /** Listens for those who ring for `user`; `onRing(info)`: who. */
  listen(user, onRing) {
    if (this.#own) this.#client.unsubscribe(this.#own);
    this.#own = user ? bellOf(user) : null;
    if (!user) return;
    this.#client.subscribe(this.#own, { onPublication: ({ info }) => info?.user && onRing(info) });
  }

  /** Rings for `user`, now or when the pause since the last time is over. */
  ring(user) {
    const channel = bellOf(user);
    if (channel === this.#own || this.#later.has(user)) return;
    const pause = (this.#rungAt.get(user) ?? 0) + PAUSE - Date.now();
    if (pause > 0) {
      this.#later.add(user);
      setTimeout(() => this.#later.delete(user) && this.ring(user), pause);
      return;
    }
    this.#rungAt.set(user, Date.now());
    this.#client.subscribe(channel, {
      onSubscribed: () => {
        const publish = { channel, data: { type: 'typing', on: true } };
        this.#client.send({ publish }, () => this.#client.unsubscribe(channel));
      },
      onRefused: () => this.#client.unsubscribe(channel),
    });
  }
}
