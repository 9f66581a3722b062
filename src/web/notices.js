// Notices: who is typing in the room that is shown, and who wants to talk to us alone.
//
// Owns: the channels `typing:ROOM` and `typing:@USER`, how often we say something there, and when
// somebody's word has run out. It never touches the page. Tested by tests/web/people.test.mjs and
// direct.test.mjs.
//
// The bell. A notice in the channel `typing:@USER` means "I am in our conversation: come". Who rings is
// told by the server, not by the notice. It carries no text, is not kept, and may be lost, so whoever
// writes rings again while the other has not come. The channel is open: who listens in it sees who
// rings, never what is said.

import { typingChannelOf } from './rooms.js';
import { nickOf, userKey } from './store.js';

/** Somebody's word that they type holds so long; ours is repeated, and somebody is rung, at most this
 *  often: milliseconds. */
const HOLDS = 6_000;
const PAUSE = 3_000;

/** In which `user` hears the bell. */
const bellOf = (user) => `typing:@${user}`;

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
    if (!this.#channel) return;
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
