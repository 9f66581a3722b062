// The bell: how somebody learns that another wants to talk to them alone.
//
// Owns: each user's channel `typing:@USER`, in which a notice means "I am in our conversation: come".
// Who rings is told by the server, not by the notice. The notice carries no text, is not kept, and
// may be lost, so whoever writes rings again while the other has not come. The channel is open: who
// listens in it sees who rings, never what is said. Tested by tests/web/direct.test.mjs.

const channelOf = (user) => `typing:@${user}`;

/** The same user is rung at most this often: milliseconds. */
const PAUSE = 3_000;

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
    this.#own = user ? channelOf(user) : null;
    if (!user) return;
    this.#client.subscribe(this.#own, { onPublication: ({ info }) => info?.user && onRing(info) });
  }

  /** Rings for `user`, now or when the pause since the last time is over. */
  ring(user) {
    const channel = channelOf(user);
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
