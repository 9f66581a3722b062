// What was changed about a room's messages: edits, deletions, reactions. Both those that the
// server told of and our own that are still on their way, which show at once.
//
// Owns: which change counts, in whatever order they come. It never touches the page, the network
// or a timer. Tested by tests/web/store.test.mjs.
//
// A message is named by its position, "life:offset" (see store.js).

/** Messages whose changes are known, and different reactions to one, at most. */
const TOLD_MAX = 50_000;
const EMOJI_MAX = 200;

/** Whose an own change is, until the server has told of it. */
const OWN = { user: 'own', mine: true };

/** An own change: `{kind: 'change', data, position, state, problem}`, with `state` of `pending`,
 *  `sent` (the server has it, its publication is to come) or `failed`. */
export class Changes {
  #told = new Map(); // position -> {editedAt, text, deleted, reactions: emoji -> user -> vote}
  #own = [];

  /** Own changes that are not known to have reached the server. */
  get unsent() {
    return this.#own.filter(({ state }) => state !== 'sent');
  }

  /** The next own change that waits to be sent. */
  get next() {
    return this.#own.find(({ state }) => state === 'pending');
  }

  /** Queues an own change of the message at `position` (null: of the room). */
  add(data, position) {
    // Of two words about the same thing only the later is worth sending.
    const same = (entry) =>
      entry.state !== 'sent' && !entry.tries && entry.position === position &&
      entry.data.type === data.type && entry.data.emoji === data.emoji;
    this.#own = this.#own.filter((entry) => !same(entry));
    const entry = { kind: 'change', data, position, state: 'pending' };
    this.#own.push(entry);
    return entry;
  }

  /** Forgets an own change, on its way or failed. */
  remove(entry) {
    this.#own = this.#own.filter((one) => one !== entry);
  }

  /** The failed own changes of the message at `position`. */
  failedAt(position) {
    return this.#own.filter((entry) => entry.state === 'failed' && entry.position === position);
  }

  /** Accepted changes whose publication will not come any more hold from now on. Returns the
   *  positions that they were of. */
  settle() {
    const settled = this.#own.filter(({ state }) => state === 'sent');
    this.#own = this.#own.filter(({ state }) => state !== 'sent');
    for (const { data, position, nick } of settled) this.#tell(data, position, { ...OWN, nick, offset: 0 });
    return settled.map(({ position }) => position);
  }

  /** A new life: what was on its way to messages of the old one cannot arrive. Returns it. */
  strand() {
    const lost = this.#own.filter(({ position }) => position !== null);
    this.#own = this.#own.filter(({ position }) => position === null);
    return lost;
  }

  /** The server told of a change at `position`, by `by`: `{user, nick, mine, offset}`, the offset
   *  being the change's. */
  tell(data, position, by) {
    const own = by.mine && data.nonce ? this.#own.find((entry) => entry.data.nonce === data.nonce) : null;
    if (own) this.remove(own);
    this.#tell(data, position, by);
  }

  #tell(data, position, by) {
    if (position === null) return;
    let told = this.#told.get(position);
    if (!told) {
      told = { editedAt: -1, text: null, deleted: false, reactions: new Map() };
      this.#told.set(position, told);
      if (this.#told.size > TOLD_MAX) this.#told.delete(this.#told.keys().next().value);
    }
    if (data.type === 'delete') told.deleted = true;
    else if (data.type === 'react') vote(told.reactions, data, by);
    else if (by.offset >= told.editedAt) {
      told.editedAt = by.offset;
      told.text = String(data.text ?? '');
    }
  }

  /** How a message that was first said as `said` looks now; null: as it was. */
  look(position, said) {
    const told = this.#told.get(position);
    const own = this.#own.filter((entry) => entry.position === position);
    if (!told && !own.length) return null;
    let { text = null, deleted = false } = told ?? {};
    let reactions = told?.reactions ?? new Map();
    for (const { data, state, nick } of own) {
      if (data.type === 'delete') deleted ||= state !== 'failed';
      else if (data.type === 'edit') text = data.text;
      else {
        reactions = new Map([...reactions].map(([emoji, users]) => [emoji, new Map(users)]));
        vote(reactions, data, { ...OWN, nick, offset: Infinity });
      }
    }
    const failed = own.find(({ state }) => state === 'failed');
    return {
      text: deleted ? '' : (text ?? said),
      edited: text !== null,
      deleted,
      reactions: deleted ? [] : shown(reactions),
      change: failed ? 'failed' : own.length ? 'pending' : undefined,
      changeProblem: failed?.problem,
    };
  }
}

/** The latest word of each user about each emoji counts. */
function vote(reactions, { emoji, on }, { user, nick, mine, offset }) {
  if (typeof emoji !== 'string' || emoji === '') return;
  const users = reactions.get(emoji) ?? new Map();
  if (users.size === 0 && reactions.size >= EMOJI_MAX) return;
  reactions.set(emoji, users);
  if (offset < (users.get(user)?.offset ?? 0)) return;
  for (const [key, one] of users) if (mine && one.mine && one.offset <= offset) users.delete(key);
  users.set(user, { offset, on: on !== false, nick, mine });
}

/** `[{emoji, nicks, mine}]`: who is for what, in order of the first such reaction. */
function shown(reactions) {
  const list = [];
  for (const [emoji, users] of reactions) {
    const on = [...users.values()].filter((one) => one.on);
    if (!on.length) continue;
    const reaction = { emoji, nicks: on.map(({ nick }) => nick) };
    if (on.some(({ mine }) => mine)) reaction.mine = true;
    list.push(reaction);
  }
  return list;
}
