// Who is typing in the room that is shown, and saying that we are.
//
// Owns: the room's channel of notices, how often we say it, and when somebody's word has run out. It
// never touches the page. Tested by tests/web/people.test.mjs.

import { typingChannelOf } from './rooms.js';
import { nickOf, userKey } from './store.js';

/** Somebody's word holds so long; ours is repeated at most this often: milliseconds. */
const HOLDS = 6_000;
const PAUSE = 3_000;

/** `self`: who we are; `onChange()`: somebody began or stopped. */
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
