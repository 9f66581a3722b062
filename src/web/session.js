// A room that is open: its store, kept in step with the server.
//
// Owns: joining and rejoining, loading the history, filling gaps, sending what waits, in order;
// what the reader has not seen.
// It never touches the page's elements. Tested by tests/web/outage.test.mjs.

import { Disconnected, ServerError, backoff } from './client.js';
import { mentioned } from './format.js';
import { Presence } from './people.js';
import { channelOf } from './rooms.js';
import { Room, newNonce } from './store.js';

/** Publications asked for at a time. */
const PAGE = 100;
/** Pages loaded unasked to fill a gap; for more the reader has to ask. */
const GAP_PAGES = 10;
/** A message that the server is too busy for is tried this often. */
const TRIES_MAX = 6;
/** After a failed load, the next scrolling tries again: milliseconds. */
const LOAD_PAUSE = 3_000;

/**
 * `client`: the connection; `name`: the room's. `self`: who we are, with `nick`, `client` (our
 * id in the present connection) and `isMine(info)`. `outbox`: `{load(), save(list)}`, which keeps
 * what is unsent when the page goes, and `reads`: `{load(), save(mark)}`, which keeps how far the reader has
 * read. Hooks: `onChange()`: something to draw; `onArrival(item)`: an item came that was said just
 * now or while we were away, by somebody else; `onSent()`: the server has a message of ours;
 * `onJoin(info)`: somebody came.
 */
export class Session {
  /** Messages of others that the reader has not seen. Counted by whoever knows. */
  unread = 0;
  /** Why the server does not let us in, `{code, message}`, or null. */
  refused = null;
  /** A page of the history is on its way. */
  loading = false;
  /** The last attempt to load failed. */
  loadFailed = false;
  /** What is unsent will be there when the page comes again. */
  kept = true;

  #client;
  #self;
  #outbox;
  #reads;
  #hooks;
  #subscription;
  #pumping = false;
  #failedAt = 0;
  #caughtUp = false; // the newest messages have been loaded

  constructor(client, name, { self, outbox, reads, onChange, onArrival, onSent, onJoin }) {
    this.#client = client;
    this.#self = self;
    this.#outbox = outbox;
    this.#reads = reads;
    this.#hooks = { onChange, onArrival, onSent };
    this.room = new Room(name, self.isMine, (text) => mentioned(text, self.nick));
    this.room.restore(outbox.load(), self);
    /** Who is in the room. */
    this.presence = new Presence(client, channelOf(name), { present: this.room.present, onChange });
    this.#subscription = client.subscribe(channelOf(name), {
      onSubscribed: (joined) => this.#subscribed(joined),
      onPublication: (pub, how) => this.#publication(pub, how),
      onJoin: (info) => {
        this.#changed(this.room.join(info, info.client === self.client), this.presence.join(info));
        onJoin?.(info);
      },
      onLeave: (info) => this.#changed(this.room.leave(info), this.presence.leave(info)),
      onLost: () => this.#changed(this.room.lost(), this.presence.lost()),
      onRefused: (error) => this.#changed((this.refused = error)),
    });
  }

  /** Our name in the room. */
  get nick() {
    return this.#self.nick;
  }

  /** In the room now. */
  get active() {
    return this.#subscription.active;
  }

  /** Says something: shown at once, sent when there is a connection. `type`: message or me;
   *  `replyTo`: the item that it answers. */
  say(type, text, { replyTo } = {}) {
    const data = { type, text, nonce: newNonce() };
    if (replyTo && this.room.reachable(replyTo)) data.reply_to = replyTo.offset;
    this.room.send(data, { nick: this.#self.nick });
    this.#go();
  }

  /** Changes an own message's text. */
  edit(item, text) {
    if (text !== item.text) this.#change({ type: 'edit', text }, item);
  }

  /** Deletes an own message. */
  remove(item) {
    this.#change({ type: 'delete' }, item);
  }

  /** Reacts to a message with an emoji, or takes that back. */
  react(item, emoji, on) {
    this.#change({ type: 'react', emoji, on }, item);
  }

  /** Sets the room's topic; an empty one removes it. */
  topic(text) {
    this.#change({ type: 'topic', text });
  }

  /** Sends a failed message, or a failed change of one, again. */
  retry(item) {
    item.tries = 0;
    this.room.retry(item);
    this.#go();
  }

  /** Forgets a failed message, or a failed change of one. */
  discard(item) {
    this.room.discard(item);
    this.#outboxChanged();
  }

  /** The reader has seen all that there is. */
  seen() {
    if (!this.#caughtUp) return;
    this.unread = 0;
    const mark = this.room.read();
    if (mark) this.#reads.save(mark);
  }

  /** Loads one older page of the history, if there is one. */
  async older() {
    const pause = Date.now() - this.#failedAt < LOAD_PAUSE;
    if (this.loading || pause || !this.active || !this.room.hasOlder) return;
    await this.#page(this.room.openGap);
  }

  /** Loads older pages until the message at `offset`, of the same life as `item`, is there; all, if
   *  `item` is null. `goOn()`: is more wanted? Returns that message, if there is one. */
  async reach(item, offset, goOn = () => true) {
    const found = () => item && this.room.original(item, offset);
    while (!found() && this.active && this.room.hasOlder && goOn()) {
      if (this.loading) await new Promise((resolve) => setTimeout(resolve, 50));
      else if (!(await this.#page(this.room.openGap))) break;
    }
    return found() || null;
  }

  /** Keeps what is unsent. */
  keep() {
    this.kept = this.#outbox.save(this.room.unsent);
  }

  /** Leaves the room. */
  leave() {
    this.#client.unsubscribe(channelOf(this.room.name));
    this.#outbox.save([]);
    this.#reads.save(null);
  }

  // --- inside --------------------------------------------------------------------------------

  #change(data, item = null) {
    if (item && !this.room.reachable(item)) return;
    this.room.change({ ...data, nonce: newNonce() }, item, { nick: this.#self.nick });
    this.#go();
  }

  /** There is something to send. */
  #go() {
    this.#outboxChanged();
    this.#pump();
  }

  #changed() {
    this.#hooks.onChange();
  }

  #outboxChanged() {
    this.keep();
    this.#hooks.onChange();
  }

  #subscribed(joined) {
    this.refused = null;
    this.#failedAt = 0;
    this.room.subscribed(joined);
    const { client, user, nick } = this.#self;
    this.room.join({ client, user, conn_info: { nick } }, true);
    this.presence.load();
    // What was sent by an earlier page, or in another tab, may be in the history.
    this.#catchUp(joined.fresh).finally(() => this.#pump());
    this.#changed();
  }

  /** Loads what a new reader wants to see, or what lies in a gap. */
  async #catchUp(fresh) {
    if (fresh && this.room.hasOlder && !(await this.#page(null)) && !this.active) return;
    const mark = this.#caughtUp ? null : this.#reads.load();
    let came = true;
    for (let pages = 0; came && pages < GAP_PAGES && (this.room.openGap || this.room.isBelow(mark)); pages += 1) {
      came = await this.#page(this.room.openGap);
    }
    if (came) this.room.settle();
    else if (!this.active) return;
    if (!this.#caughtUp) this.room.caughtUp(mark);
    this.#caughtUp = true;
    if (!this.room.topic && this.room.hasOlder) this.#askTopic();
    this.unread = Math.max(this.unread, this.room.countNew());
    this.#changed();
  }

  /** The topic may have been set before what has been loaded: the list of rooms has it. */
  async #askTopic() {
    const channel = channelOf(this.room.name);
    try {
      const { rooms } = await this.#client.rpc('rooms');
      this.room.toldTopic(rooms.find((room) => room.channel === channel)?.topic ?? '');
      this.#changed();
    } catch {
      // Offline, or no such list: the topic shows when its message is loaded.
    }
  }

  /** Asks for one page of the history. Returns whether it came. */
  async #page(gap) {
    const { room } = this;
    const { epoch, since } = room;
    this.loading = true;
    this.#changed();
    try {
      const query = { limit: PAGE, reverse: true, since: since ?? undefined };
      const result = await this.#client.history(channelOf(room.name), query);
      if (room.epoch !== epoch || result.epoch !== epoch) return false;
      const page = result.publications.toReversed();
      for (const pub of page) room.publication(pub);
      room.paged(page[0]?.offset ?? 0, gap ?? null);
      this.loadFailed = false;
      return true;
    } catch (error) {
      this.#loadError(error, gap);
      return false;
    } finally {
      this.loading = false;
      this.#changed();
    }
  }

  #loadError(error, gap) {
    if (error instanceof Disconnected) return; // the next subscribe goes on
    if (!(error instanceof ServerError)) throw error;
    if (error.temporary) {
      this.loadFailed = true;
      this.#failedAt = Date.now();
    } else {
      this.room.paged(0, gap ?? null); // there is no history, or not for us
    }
  }

  #publication(pub, { live }) {
    const waiting = this.room.nextPending();
    const item = this.room.publication(pub, { live });
    if (waiting) this.keep();
    if (item && !item.mine) this.#arrived(item);
    this.#changed();
  }

  /** Where the reader has not seen something, the first of it begins what is new. */
  #arrived(item) {
    const { unread } = this;
    this.#hooks.onArrival(item);
    if (this.#caughtUp && unread === 0 && this.unread > 0) this.room.missed();
  }

  /** Sends what waits, one after another, so that the order in which it was written holds. */
  async #pump() {
    if (this.#pumping) return;
    this.#pumping = true;
    try {
      while (this.active && this.room.nextPending()) {
        const goOn = await this.#publish(this.room.nextPending());
        this.#outboxChanged();
        if (!goOn) break;
      }
    } finally {
      this.#pumping = false;
    }
  }

  /** Sends one message. Returns false when the connection was lost over it. */
  async #publish(item) {
    const publish = { channel: channelOf(this.room.name), data: item.data };
    try {
      await this.#client.request({ publish });
      this.room.accepted(item);
      this.#hooks.onSent?.();
    } catch (error) {
      if (error instanceof Disconnected) {
        // Too big a frame is refused by closing: do not send it for ever.
        if (error.code === 1009) this.room.failed(item, { code: 1009 });
        return false;
      }
      if (!(error instanceof ServerError)) throw error;
      item.tries = (item.tries ?? 0) + 1;
      if (error.code === 107 && item.data.reply_to) {
        this.room.withoutReply(item); // the history no longer has what it answers
      } else if (error.temporary && item.tries < TRIES_MAX) {
        await new Promise((resolve) => setTimeout(resolve, backoff(item.tries)));
      } else {
        this.room.failed(item, { code: error.code, message: error.message });
      }
    }
    return true;
  }
}
