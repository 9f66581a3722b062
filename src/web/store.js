// What is known of one room: its messages in order, what was changed about them, what is still
// on its way out, who came and went.
//
// Owns: order, deduplication, the outbox, gaps, how far the reader has read. It never touches the
// page, the network, a timer or the language. Tested by tests/web/store.test.mjs.
//
// Order. A confirmed item stands at (life, offset): `life` counts the room's epochs as we met
// them, `offset` is the server's. What has no offset of its own (a join, a gap) stands behind the
// last confirmed item of its moment, told apart by `step`. Outgoing messages stand after all.

import { Changes } from './changes.js';

/** Items kept in memory; above it the oldest go, down to three quarters. */
const ITEMS_MAX = 20_000;
/** Characters of message text kept in memory, likewise. */
const CHARS_MAX = 32_000_000;
/** Bytes of one message's text as JSON: below the server's 64 KiB for the whole frame. */
export const TEXT_BYTES_MAX = 60_000;

/** Characters of a name that are shown. */
const NICK_SHOWN_MAX = 64;
/** Control characters, and those that turn the writing direction. */
const TURNING = /[\p{Cc}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu;
/** Nothing of it is to be seen. */
const UNSEEN = /^[\s\p{Cf}\p{M}]*$/u;

/** Bytes that `text` takes inside a JSON frame. */
export const textBytes = (text) => new TextEncoder().encode(JSON.stringify(text)).length - 2;

/** 128 random bits as hex: what makes one message of one author unmistakable. */
export function newNonce() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** Who is behind an `info`: the key by which authors are told apart and coloured. */
export function userKey(info) {
  return info?.user || `client:${info?.client ?? ''}`;
}

/** The name to show for an `info`, whatever a token may call itself: short, and without what turns
 *  the writing direction of others around; empty if it has none. */
export function nickOf(info) {
  const nick = info?.conn_info?.nick ?? info?.conn_info?.name ?? info?.user ?? '';
  if (typeof nick !== 'string' && typeof nick !== 'number') return '';
  const plain = [...String(nick).slice(0, 200).replace(TURNING, '')].slice(0, NICK_SHOWN_MAX).join('').trim();
  return UNSEEN.test(plain) ? '' : plain;
}

/** Was it said by somebody, rather than by the page about the room? */
function said({ kind }) {
  return kind === 'message' || kind === 'me';
}

const positionOf = ({ life, offset }) => `${life}:${offset}`;

function before(a, b) {
  return a.life - b.life || a.offset - b.offset || a.step - b.step;
}

/**
 * One room. `isMine(info)` tells our own publications, `isMention(text)` returns our name if a text has it.
 * An item is one of
 * - `{kind: 'message' | 'me', text, user, nick, mine, mentionsMe, time, state, edited, deleted,
 *   reactions, replyTo}` with `state` of `pending`, `sent` or `failed` (then `problem`: a code or a
 *   word), and with `change` of `pending` or `failed` (`changeProblem`) while a change of our own is
 *   on its way;
 * - `{kind: 'presence', joined, left}` (names);
 * - `{kind: 'topic', nick, text, time}`;
 * - `{kind: 'notice', word, vars}`: something the page itself has to say;
 * - `{kind: 'gap', missing, more}`: `missing` is a count, or null if nobody can know it; `more`:
 *   the history holds more than was loaded.
 * Every item has a unique `id`, and a `version` that grows when it changes.
 */
export class Room {
  /** The room's name, as people see it. */
  name;
  topic = '';
  /** clientId -> {user, nick}: who is here as far as joins and leaves have told. */
  present = new Map();
  /** The history may hold older publications than those loaded. */
  hasOlder = false;
  /** Everything from this offset on has been loaded, in the present epoch. */
  loadedFrom = 0;
  epoch;
  /** Mentions of our name that the reader has not seen. */
  mentions = 0;
  /** What stands behind this place, `{life, offset}`, is new to the reader; null: nothing is;
   *  undefined: not known yet. */
  line;

  #items = [];
  #outbox = [];
  #isMine;
  #isMention;
  #readTo = null; // {life, offset}: the reader has seen what is up to there
  #mark = null; // the same as {epoch, offset}, as it was kept last
  #life = 0;
  #ids = 0;
  #steps = 0;
  #chars = 0;
  #topicAt = null;
  #paged = false; // some of the history has been loaded since we joined it last
  #known = 0; // the highest offset of the present epoch that we know of
  #byPosition = new Map(); // "life:offset" -> item
  #byNonce = new Map(); // "user nonce" -> item
  #changes = new Changes();
  #restored = []; // own changes of an earlier page, until the epoch is known

  constructor(name, isMine = () => false, isMention = () => '') {
    this.name = name;
    this.#isMine = isMine;
    this.#isMention = isMention;
  }

  // --- reading -------------------------------------------------------------------------------

  get length() {
    return this.#items.length + this.#outbox.length;
  }

  at(index) {
    const confirmed = this.#items.length;
    return index < confirmed ? this.#items[index] : this.#outbox[index - confirmed];
  }

  indexOf(item) {
    if (!item) return -1;
    const index = this.#items.lastIndexOf(item);
    if (index >= 0) return index;
    const queued = this.#outbox.indexOf(item);
    return queued < 0 ? -1 : this.#items.length + queued;
  }

  /** The message at `offset` of the same life as `item`, if it is loaded. */
  original(item, offset) {
    return this.#byPosition.get(`${item.life}:${offset}`);
  }

  /** Can `item` be replied to, edited, reacted to? Only what the server's history may still have. */
  reachable(item) {
    return item.life === this.#life && item.step === 0 && item.state === 'sent' && !item.deleted;
  }

  /** Our own latest message that can be edited. */
  get lastOwn() {
    return this.#items.findLast((item) => item.mine && said(item) && this.reachable(item));
  }

  /** From where the next older page of the history is to be asked; null: from the newest. */
  get since() {
    return this.#paged ? { offset: this.loadedFrom, epoch: this.epoch } : null;
  }

  /** The latest gap of this life that the history may fill. */
  get openGap() {
    return this.#items.findLast(({ kind, more, life }) => kind === 'gap' && more && life === this.#life);
  }

  // --- what the server tells -----------------------------------------------------------------

  /**
   * Joined, anew or again. Without a gap call `recovered: true`. Returns the gap item if messages
   * may be missing between what we have and `offset`, else null.
   */
  subscribed({ fresh, recovered, epoch, offset }) {
    const sameLife = this.epoch === epoch && epoch !== undefined;
    const below = { loadedFrom: this.loadedFrom, hasOlder: this.hasOlder };
    const until = sameLife ? this.#known : 0;
    if (!sameLife && this.epoch !== undefined) this.#begin();
    this.epoch = epoch;
    this.#adopt();
    if (recovered || (sameLife && until >= offset)) return null;
    this.#paged = false;
    this.loadedFrom = offset + 1;
    this.hasOlder = offset > 0;
    const missing = sameLife ? offset - until : null;
    const gap = { kind: 'gap', missing, more: this.hasOlder, until, below };
    // In a new life it stands before everything, for nobody knows how the old one ended.
    if (!fresh) this.#insert(gap, sameLife ? until : -1);
    this.#known = offset;
    return fresh ? null : gap;
  }

  /**
   * A publication, from a push, a recovery or the history, in any order, known or not.
   * `live`: it was pushed as it was said. Returns the item that it added, else null.
   */
  publication(pub, { live = false, now = Date.now() } = {}) {
    const { data, info = {}, offset = this.#known } = pub;
    const time = pub.time ?? now;
    this.#known = Math.max(this.#known, offset);
    if (typeof data !== 'object' || data === null) return null;
    switch (data.type) {
      case 'message':
      case 'me':
        return this.#message(data, info, { offset, time, placed: Boolean(pub.offset) });
      case 'edit':
      case 'delete':
      case 'react':
        if (typeof data.of === 'number') this.#told(data, `${this.#life}:${data.of}`, info, offset);
        return null;
      case 'topic':
        this.#told(data, null, info, offset);
        return this.#topic(String(data.text ?? ''), info, offset, time, live);
      default:
        return null; // from a newer client: not for us
    }
  }

  /** A page of the history has been handed over: `oldest` is its lowest offset (0: it was
   *  empty). Fills `gap`, if that is what it was for. */
  paged(oldest, gap = null) {
    this.#paged = true;
    if (oldest) this.loadedFrom = Math.min(this.loadedFrom, oldest);
    this.hasOlder = oldest > 1;
    if (!gap) return;
    const reached = this.loadedFrom <= gap.until + 1;
    if (gap.missing !== null && reached) {
      this.#remove(gap);
      Object.assign(this, gap.below);
      return;
    }
    if (gap.missing !== null) gap.missing = this.loadedFrom - 1 - gap.until;
    this.#update(gap, { more: this.hasOlder && !reached });
  }

  /** Somebody came. Names that come and go in a row share one line. */
  join(info, quiet = false) {
    this.present.set(info.client, { user: userKey(info), nick: nickOf(info) });
    if (!quiet) this.#presence(nickOf(info), 'joined', 'left');
  }

  /** Somebody went. */
  leave(info) {
    this.present.delete(info.client);
    this.#presence(nickOf(info), 'left', 'joined');
  }

  /** The connection is gone: who is here is no longer known. */
  lost() {
    this.present.clear();
  }

  /** The page says something of its own; `word` and `vars` are for the strings. */
  notice(word, vars = {}) {
    return this.#insert({ kind: 'notice', word, vars }, this.#known);
  }

  // --- the outbox ----------------------------------------------------------------------------

  /** What is to be sent, and was not: `{data, time, epoch}` for each, to be kept over a reload. */
  get unsent() {
    const messages = this.#outbox.filter((item) => item.state !== 'sent');
    const changes = [...this.#changes.unsent, ...this.#restored];
    return [...messages, ...changes].map(({ data, time, epoch }) => ({ data, time, epoch }));
  }

  /** Takes up what an earlier page could not send. */
  restore(unsent, { nick }) {
    for (const { data, time, epoch } of unsent) {
      if (data.type === 'message' || data.type === 'me') this.send(data, { nick, now: time, epoch });
      else this.#restored.push({ data, time, epoch, nick });
    }
  }

  /** How many messages wait to be sent; those that failed wait for the reader instead. */
  get waiting() {
    return this.#outbox.reduce((sum, { state }) => sum + Number(state === 'pending'), 0);
  }

  /** Queues a message: it is shown at once, as pending. `data`: the payload with its nonce. */
  send(data, { nick, now = Date.now(), epoch = this.epoch }) {
    const item = this.#fresh({
      kind: data.type,
      data,
      epoch,
      life: this.#life,
      replyTo: data.reply_to,
      text: data.text,
      nick,
      user: '',
      mine: true,
      time: now,
      state: 'pending',
      reactions: [],
    });
    this.#outbox.push(item);
    this.line &&= null; // who speaks has read
    return item;
  }

  /** Queues a change: of `item`, or of the room (the topic). It shows at once. */
  change(data, item, { nick }) {
    const of = item ? { ...data, of: item.offset } : data;
    const entry = this.#changes.add(of, item && `${item.life}:${item.offset}`);
    Object.assign(entry, { nick, epoch: this.epoch, time: Date.now() });
    if (item) this.#look(item);
    return entry;
  }

  /** The next message, or else change, that waits to be sent. */
  nextPending() {
    return this.#outbox.find((item) => item.state === 'pending') ?? this.#changes.next;
  }

  /** The server has it. Its place among the others comes with the publication. */
  accepted(item) {
    if (item.state !== 'pending') return;
    item.state = 'sent';
    if (item.kind !== 'change') this.#update(item);
  }

  /** The server refused it, for the reason named. */
  failed(item, problem) {
    if (item.state !== 'pending') return;
    if (item.kind !== 'change') {
      this.#update(item, { state: 'failed', problem });
      return;
    }
    Object.assign(item, { state: 'failed', problem });
    // A reaction or a topic is not worth a question, but a word.
    if (item.data.type === 'edit') this.#look(this.#byPosition.get(item.position));
    else this.#dropChange(item);
  }

  /** What replies to a message that the history no longer has goes without saying so. */
  withoutReply(item) {
    delete item.data.reply_to;
    this.#update(item, { replyTo: undefined });
  }

  /** Queues a failed message (or what failed to be changed about one) again, with the nonce that
   *  it has, behind what waits already. */
  retry(item) {
    for (const entry of this.#changes.failedAt(positionOf(item))) {
      Object.assign(entry, { state: 'pending', tries: 0 });
      this.#look(item);
    }
    if (item.state !== 'failed') return;
    this.#outbox.splice(this.#outbox.indexOf(item), 1);
    this.#outbox.push(item);
    this.#update(item, { state: 'pending', problem: undefined });
  }

  /** Everything missed has been loaded: what was accepted, but never came back as a
   *  publication, keeps the place that it has now. */
  settle() {
    for (const position of this.#changes.settle()) this.#look(this.#byPosition.get(position));
    const settled = this.#outbox.filter((item) => item.state === 'sent');
    if (!settled.length) return;
    this.#outbox = this.#outbox.filter((item) => item.state !== 'sent');
    for (const item of settled) {
      this.#byNonce.set(`own ${item.data.nonce}`, item);
      this.#insert(item, this.#known);
    }
  }

  /** Forgets a message that was not sent, or what failed to be changed about one. */
  discard(item) {
    for (const entry of this.#changes.failedAt(positionOf(item))) this.#dropChange(entry);
    const index = this.#outbox.indexOf(item);
    if (index >= 0) this.#outbox.splice(index, 1);
  }

  // --- how far the reader has read -----------------------------------------------------------

  /** All that there is has been seen. Returns what to keep over a reload, `{epoch, offset}`, if it
   *  has changed. */
  read() {
    this.mentions = 0;
    const { epoch } = this;
    const offset = this.#known;
    if (this.#mark?.epoch === epoch && this.#mark.offset === offset) return null;
    this.#readTo = { life: this.#life, offset };
    this.#mark = { epoch, offset };
    return this.#mark;
  }

  /** Something came that the reader does not see: unless there is one, the line stands here. */
  missed() {
    this.line = this.#readTo;
  }

  /** Does what is loaded begin behind `mark`, a place that the history may still have? */
  isBelow(mark) {
    return mark?.epoch === this.epoch && this.hasOlder && this.loadedFrom > mark.offset + 1;
  }

  /** The newest messages are loaded for the first time. `mark`: what `read` returned last, in an
   *  earlier page; null: the reader has never been here. */
  caughtUp(mark) {
    this.#mark = mark;
    const offset = mark?.epoch === this.epoch ? mark.offset : mark ? 0 : this.#known;
    this.#readTo = { life: this.#life, offset };
    this.line = this.countNew() ? this.#readTo : null;
  }

  /** How many messages of others the reader has not seen. */
  countNew() {
    let count = 0;
    this.mentions = 0;
    for (let index = this.#items.length - 1; index >= 0; index -= 1) {
      const item = this.#items[index];
      if (!this.#readTo || before(item, { ...this.#readTo, step: Infinity }) < 0) break;
      if (item.mine || !said(item)) continue;
      count += 1;
      this.mentions += Number(Boolean(item.mentionsMe));
    }
    return count;
  }

  /** The first message behind the line: above it the line is drawn, if its place is loaded. */
  get firstNew() {
    if (!this.line || (this.line.life === this.#life && this.isBelow({ ...this.line, epoch: this.epoch }))) return undefined;
    const items = this.#items;
    for (let index = this.#place({ ...this.line, step: Infinity }); index < items.length; index += 1) {
      if (said(items[index]) && !items[index].mine) return items[index];
    }
    return undefined;
  }

  // --- inside --------------------------------------------------------------------------------

  #fresh(item) {
    return Object.assign(item, { id: ++this.#ids, version: 0 });
  }

  /** A new life of the room: what was meant for messages of the old one cannot reach them. */
  #begin() {
    const lost = this.#changes.strand();
    for (const { position } of lost) this.#look(this.#byPosition.get(position));
    this.#life += 1;
    this.#known = 0;
    this.#lost(lost.filter(({ state }) => state !== 'sent').length);
  }

  /** The epoch is known: what was meant for messages of this one can go. */
  #adopt() {
    const here = this.#restored.filter(({ data, epoch }) => data.of === undefined || epoch === this.epoch);
    this.#lost(this.#restored.length - here.length);
    this.#restored = [];
    for (const { data, ...rest } of here) {
      const position = data.of === undefined ? null : `${this.#life}:${data.of}`;
      Object.assign(this.#changes.add(data, position), rest);
      this.#look(this.#byPosition.get(position));
    }
    for (const item of this.#outbox) {
      if (item.replyTo && item.epoch !== this.epoch) this.withoutReply(item);
    }
  }

  #lost(n) {
    if (n) this.notice('changesLost', { n });
  }

  #update(item, fields) {
    Object.assign(item, fields);
    item.version += 1;
  }

  /** Puts an item behind what has offset `offset` (and, with a step of 0, exactly there). */
  #insert(item, offset, step = ++this.#steps) {
    if (item.id === undefined) this.#fresh(item);
    Object.assign(item, { life: this.#life, offset, step });
    const items = this.#items;
    items.splice(this.#place(item), 0, item);
    this.#chars += item.text?.length ?? 0;
    if (items.length > ITEMS_MAX || this.#chars > CHARS_MAX) this.#prune();
    return item;
  }

  /** The index at which what stands at `place` belongs. */
  #place(place) {
    const items = this.#items;
    let low = 0;
    let high = items.length;
    if (high && before(items[high - 1], place) < 0) low = high; // by far the commonest case
    while (low < high) {
      const middle = (low + high) >> 1;
      if (before(items[middle], place) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #remove(item) {
    const index = this.#items.indexOf(item);
    if (index >= 0) this.#items.splice(index, 1);
  }

  #message(data, info, { offset, time, placed }) {
    const position = `${this.#life}:${offset}`;
    if (placed && this.#byPosition.has(position)) return null;
    const mine = this.#isMine(info);
    const nonce = data.nonce ? `${userKey(info)} ${data.nonce}` : null;
    const twin =
      this.#byNonce.get(nonce) ?? (mine ? this.#byNonce.get(`own ${data.nonce}`) : undefined);
    if (twin) {
      // Sent again after a restart that had forgotten it: shown once, known by both offsets, and
      // standing where all windows have it.
      this.#byPosition.set(position, twin);
      if (placed && twin.life < this.#life) {
        this.#remove(twin);
        this.#chars -= twin.text.length;
        this.#insert(twin, offset, 0);
        this.#update(twin);
      }
      return null;
    }
    const queued = data.nonce ? this.#outbox.findIndex((o) => o.data.nonce === data.nonce) : -1;
    const own = queued >= 0 ? this.#outbox.splice(queued, 1)[0] : null;
    const item = own ?? this.#fresh({ kind: data.type, reactions: [] });
    const text = typeof data.text === 'string' ? data.text : '';
    this.#update(item, {
      text,
      said: text,
      mentionsMe: own || mine ? '' : this.#isMention(text),
      deleted: !data.text, // the server blanks what was deleted; empty messages do not exist
      user: userKey(info),
      nick: nickOf(info),
      mine: own !== null || mine,
      replyTo: data.reply_to,
      state: 'sent',
      time,
    });
    if (nonce) this.#byNonce.set(nonce, item);
    if (placed) this.#byPosition.set(position, item);
    this.#insert(item, offset, placed ? 0 : undefined);
    this.#look(item);
    return item;
  }

  #told(data, position, info, offset) {
    const by = { user: userKey(info), nick: nickOf(info), mine: this.#isMine(info), offset };
    this.#changes.tell(data, position, by);
    this.#look(this.#byPosition.get(position));
  }

  #dropChange(entry) {
    this.#changes.remove(entry);
    this.#look(this.#byPosition.get(entry.position));
    if (entry.data.type !== 'edit') this.notice('changeRefused', { reason: entry.problem?.message ?? '' });
  }

  /** Brings an item up to date with what was changed about it. */
  #look(item) {
    if (!item || !said(item)) return;
    const look = this.#changes.look(positionOf(item), item.said);
    if (look) {
      const mentionsMe = item.mine ? '' : this.#isMention(look.text);
      this.#update(item, { ...look, mentionsMe, deleted: look.deleted || !item.said });
    }
    // The only change was our own, and is withdrawn.
    else if (item.change) {
      this.#update(item, { text: item.said, edited: false, deleted: false, reactions: [], change: undefined });
    }
  }

  /** The topic as the server names it, for who has not loaded the message that set it. */
  toldTopic(text) {
    if (!this.#topicAt) this.topic = text;
  }

  #topic(text, info, offset, time, live) {
    const place = { life: this.#life, offset, step: 0 };
    if (this.#topicAt && before(place, this.#topicAt) <= 0) return null;
    this.#topicAt = place;
    this.topic = text;
    return live ? this.#insert({ kind: 'topic', text, nick: nickOf(info), time }, offset, 0) : null;
  }

  #presence(nick, word, opposite) {
    const last = this.#items.at(-1);
    if (last?.kind !== 'presence') {
      this.#insert({ kind: 'presence', joined: [], left: [], [word]: [nick] }, this.#known);
      return;
    }
    last[opposite] = last[opposite].filter((name) => name !== nick);
    if (!last[word].includes(nick)) last[word] = [...last[word], nick];
    last.version += 1;
  }

  /** Forgets the oldest quarter. The history may bring it back. */
  #prune() {
    const keep = Math.floor(this.#items.length * 0.75);
    const gone = this.#items.splice(0, this.#items.length - keep);
    const dropped = new Set(gone);
    this.#chars = this.#items.reduce((sum, item) => sum + (item.text?.length ?? 0), 0);
    for (const map of [this.#byNonce, this.#byPosition]) {
      for (const [key, item] of map) if (dropped.has(item)) map.delete(key);
    }
    const first = this.#items.find((item) => item.life === this.#life && item.step === 0);
    if (first && gone.at(-1).life === this.#life) {
      this.loadedFrom = first.offset;
      this.#paged = true;
      this.hasOlder = true;
    }
  }
}
