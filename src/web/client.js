// A small client for the chat server: Centrifugo's client protocol, version 2, JSON form.
//
// Owns: the WebSocket, its heartbeat, reconnecting, the numbering of commands, and each
// subscription's position in its channel. It never touches the page, never knows what a chat
// message is, and never decides what a gap means: it reports.
// Tested by tests/web/client.test.mjs (against a scripted socket) and tests/web/outage.test.mjs.
//
// How the protocol works, in short:
//
//   * A text frame carries one or more JSON objects, separated by "\n".
//   * A command has an `id` that we choose, and one key that names it: {"id":1,"connect":{...}}.
//     Its reply repeats the id: {"id":1,"connect":{...}} or {"id":1,"error":{code,message}}.
//   * What the server says unasked is a push, without id: {"push":{"channel":...,"pub":{...}}}.
//   * {} is the server's ping; we answer with {}. No ping for too long: the connection is dead.
//   * The first command is `connect`. Then `subscribe` joins a channel, `publish` speaks in it,
//     `history` reads what was said, `presence` says who is there, `rpc` asks the server itself.
//   * Every publication has an `offset`, counted up by one, within an `epoch` (the life of the
//     channel). Whoever comes back with the last offset and epoch it knows, and `recover: true`,
//     is given what it missed, or is told that this is not possible (`recovered: false`).

/** Waiting for the socket to open, and for the reply to a command: milliseconds. */
const OPEN_TIMEOUT = 10_000;
const REPLY_TIMEOUT = 10_000;
/** Without a ping for this long over the announced interval, the connection is dead. */
const PING_GRACE = 10_000;
/** Reconnecting: a random time below `BASE * 2^attempt`, at most `CAP` ("full jitter"). */
const BACKOFF_BASE = 500;
const BACKOFF_CAP = 20_000;
/** Of a round trip, the newest sample counts this much, the average of those before it the rest. */
const ROUND_TRIP_WEIGHT = 0.3;
/** A connection that held for this long was a good one: the backoff begins anew. */
const GOOD_AFTER = 5_000;

/** The error of a subscribe to a channel that the server has joined us to already. */
const ALREADY_SUBSCRIBED = 105;

/** The server answered a command with an error. */
export class ServerError extends Error {
  constructor({ code, message, temporary }) {
    super(message);
    this.name = 'ServerError';
    this.code = code;
    // Worth trying again as it is: internal error (100), too many requests (111), or said so.
    this.temporary = temporary === true || code === 100 || code === 111;
  }
}

/** The connection ended (or was not there) before a command was answered: nobody knows whether
 *  it was carried out. `code`: the close code, 0 when there was none. */
export class Disconnected extends Error {
  constructor(code = 0, reason = '') {
    super(reason || 'disconnected');
    this.name = 'Disconnected';
    this.code = code;
  }
}

/** A random number of milliseconds to wait before attempt number `attempt` (from 0). */
export function backoff(attempt, random = Math.random) {
  return random() * Math.min(BACKOFF_CAP, BACKOFF_BASE * 2 ** Math.min(attempt, 16));
}

/** May we reconnect after this close code? */
export function mayReconnect(code) {
  return !((code >= 3500 && code <= 3999) || (code >= 4500 && code <= 4999));
}

/**
 * One connection to the server that is kept alive until `stop()`.
 *
 * `url`: ws:// or wss:// address. Options:
 * - `name`: what this program calls itself;
 * - `data()`, `token()`: the `connect` command's data and token, asked anew for each attempt;
 * - `onConnected(result)`: the server's `connect` result, before anything else is sent;
 * - `onState(state, detail)`: `connecting`; `online`; `offline` with `{retryAt, reason}`
 *   (the time, in milliseconds, of the next attempt); `closed` with `{code, reason}`, after which
 *   only `start()` begins anew;
 * - `onServerJoin(channel)`: the server has joined us to a channel that we did not ask for;
 * - `onRoundTrip(milliseconds)`: how long a command takes there and back, as an average;
 * - `WebSocket`: for tests.
 */
export class Client {
  #url;
  #options;
  #Socket;
  #socket = null;
  #wanted = false;
  #online = false;
  #onlineSince = 0;
  #attempt = 0;
  #nextId = 1;
  #commands = new Map(); // id -> {kind, done, timer, sent}
  #subscriptions = new Map(); // channel -> Subscription
  #given = new Map(); // channel -> what the connect result says of it, until it is subscribed to
  #timer = 0; // the one timer of the connection: open, ping watch or retry
  #patience = 0; // milliseconds without a ping after which the connection counts as dead
  #heardAt = 0;
  #roundTrip = null;

  constructor(url, options = {}) {
    this.#url = url;
    this.#options = options;
    this.#Socket = options.WebSocket ?? globalThis.WebSocket;
  }

  /** Connected, and the server has accepted us. */
  get online() {
    return this.#online;
  }

  /** Milliseconds that a command takes there and back, as an average; null: not known. */
  get roundTrip() {
    return this.#roundTrip;
  }

  /** Connects, and from now on reconnects whenever the connection is lost. */
  start() {
    if (this.#wanted) return;
    this.#wanted = true;
    this.#attempt = 0;
    this.#open();
  }

  /** Disconnects and stays so. */
  stop() {
    this.#wanted = false;
    const socket = this.#socket;
    if (socket?.readyState === 0) {
      // Closed before it is open, it would be reported as an error: it is closed once it is.
      this.#socket = null;
      socket.onopen = () => socket.close(1000);
    }
    this.#lost(1000, '');
  }

  /** While waiting for the next attempt: tries at once. Connected: checks that the server was
   *  heard lately (a phone that slept has stopped timers and, often, a dead connection). */
  retryNow() {
    if (!this.#wanted) return;
    if (!this.#socket) this.#open();
    else if (this.#online && Date.now() - this.#heardAt > this.#patience) this.#lost(0, 'no ping');
  }

  /** Ends this connection and opens another at once, as after a loss: every subscription recovers. */
  reconnect() {
    if (!this.#wanted) return;
    this.#lost(1000, '');
    this.retryNow();
  }

  /** Calls a method of the server. Resolves with its data. */
  async rpc(method, data) {
    return (await this.request({ rpc: { method, data } })).data;
  }

  /** Who is in `channel`: resolves with a map from client ids to their infos. */
  async presence(channel) {
    return new Map(Object.entries((await this.request({ presence: { channel } })).presence ?? {}));
  }

  /** How many are in `channel`: resolves with `{clients, users}`. */
  async presenceStats(channel) {
    const stats = await this.request({ presence_stats: { channel } });
    return { clients: stats.num_clients ?? 0, users: stats.num_users ?? 0 };
  }

  /** What was said in `channel`: resolves with `{publications, epoch, offset}`. `query`: `limit`,
   *  `reverse` (the newest first), `since` (a position, `{offset, epoch}`, to begin behind). */
  async history(channel, query) {
    const { publications = [], epoch, offset = 0 } = await this.request({ history: { channel, ...query } });
    return { publications, epoch, offset };
  }

  /**
   * Sends one command, `{publish: {...}}` say, and resolves with its result.
   * Rejects with `ServerError`, or with `Disconnected` when the connection is lost first.
   */
  request(command) {
    return new Promise((resolve, reject) => {
      this.send(command, (error, result) => (error ? reject(error) : resolve(result)));
    });
  }

  /** The same with a callback, `done(error, result)`. It is called before whatever follows the
   *  reply on the wire, which a promise does not promise. */
  send(command, done) {
    if (!this.#online && !command.connect) {
      done(new Disconnected());
      return;
    }
    const id = this.#nextId++;
    const timer = setTimeout(() => this.#lost(0, 'no reply'), REPLY_TIMEOUT);
    this.#commands.set(id, { kind: Object.keys(command)[0], done, timer, sent: Date.now() });
    this.#write(JSON.stringify({ id, ...command }));
  }

  /** A socket that is closing takes nothing more; its end will tell whoever waits for a reply. */
  #write(frame) {
    if (this.#socket.readyState === 1) this.#socket.send(frame);
  }

  /** Joins `channel` and stays in it over every reconnect; see `Subscription`. */
  subscribe(channel, handlers) {
    const subscription = new Subscription(this, channel, handlers);
    this.#subscriptions.set(channel, subscription);
    if (this.#online) this.#enter(subscription);
    return subscription;
  }

  /** Leaves `channel`. */
  unsubscribe(channel) {
    const subscription = this.#subscriptions.get(channel);
    if (!subscription) return;
    this.#subscriptions.delete(channel);
    subscription.end();
    if (this.#online) this.send({ unsubscribe: { channel } }, () => {});
  }

  // --- the connection's life -----------------------------------------------------------------

  #state(state, detail = {}) {
    this.#options.onState?.(state, detail);
  }

  #after(milliseconds, what) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(what, milliseconds);
  }

  #open() {
    this.#state('connecting');
    const socket = new this.#Socket(this.#url);
    this.#socket = socket;
    this.#after(OPEN_TIMEOUT, () => this.#lost(0, 'no answer'));
    // A socket that we have given up may still call: only the present one counts.
    socket.onopen = () => socket === this.#socket && this.#greet();
    socket.onmessage = (event) => socket === this.#socket && this.#receive(event.data);
    socket.onclose = (event) => socket === this.#socket && this.#lost(event.code, event.reason);
  }

  #greet() {
    const { name, token, data } = this.#options;
    // What the server joined us to, and where we stand there.
    const known = [...this.#subscriptions.values()].filter(({ place }) => place);
    const subs = Object.fromEntries(known.map(({ channel, place }) => [channel, { recover: true, ...place }]));
    const connect = { token: token?.() || undefined, name, data: data?.(), subs: known.length ? subs : undefined };
    this.send({ connect }, (error, result) => {
      if (error instanceof ServerError) {
        this.#lost(error.temporary ? 0 : error.code, error.message, !error.temporary);
      } else if (!error) {
        this.#accepted(result);
      }
    });
  }

  #accepted(result) {
    this.#online = true;
    this.#onlineSince = Date.now();
    this.#patience = result.ping ? result.ping * 1000 + PING_GRACE : 0;
    this.#heard();
    // What is subscribed to from here on joins at once.
    const before = [...this.#subscriptions.values()];
    this.#given = new Map(Object.entries(result.subs ?? {}));
    this.#options.onConnected?.(result);
    this.#state('online');
    for (const subscription of before) if (this.#subscriptions.get(subscription.channel) === subscription) this.#enter(subscription);
    for (const channel of this.#given.keys()) if (!this.#subscriptions.has(channel)) this.#options.onServerJoin?.(channel);
    this.#measure();
  }

  /** Joins a channel, unless the server has done so in the connect result. */
  #enter(subscription) {
    const given = this.#given.get(subscription.channel);
    this.#given.delete(subscription.channel);
    if (given) queueMicrotask(() => subscription.given(given));
    else subscription.join();
  }

  /** Sends a command that does nothing, to see how long its reply takes. */
  #measure() {
    this.send({ ping: {} }, () => {});
  }

  /** A reply came to a command that was sent at `sent`. */
  #timed(sent) {
    const sample = Math.max(0, Date.now() - sent);
    const before = this.#roundTrip ?? sample;
    this.#roundTrip = before + (sample - before) * ROUND_TRIP_WEIGHT;
    this.#options.onRoundTrip?.(this.#roundTrip);
  }

  /** Something came: the watch for the next ping begins anew. */
  #heard() {
    this.#heardAt = Date.now();
    if (this.#patience) this.#after(this.#patience, () => this.#lost(0, 'no ping'));
    else clearTimeout(this.#timer);
  }

  /** The connection is over: said by the server, by the network, or by us. */
  #lost(code, reason, terminal = !mayReconnect(code)) {
    clearTimeout(this.#timer);
    const socket = this.#socket;
    this.#socket = null;
    if (socket && socket.readyState < 2) socket.close(1000);
    if (this.#online && Date.now() - this.#onlineSince >= GOOD_AFTER) this.#attempt = 0;
    this.#online = false;
    this.#roundTrip = null;
    const commands = [...this.#commands.values()];
    this.#commands.clear();
    for (const { done, timer } of commands) {
      clearTimeout(timer);
      done(new Disconnected(code, reason));
    }
    for (const subscription of this.#subscriptions.values()) subscription.lost();
    if (!this.#wanted || terminal) {
      this.#wanted = false;
      this.#state('closed', { code, reason });
      return;
    }
    const wait = backoff(this.#attempt++);
    this.#after(wait, () => this.#open());
    this.#state('offline', { retryAt: Date.now() + wait, reason });
  }

  // --- what comes in -------------------------------------------------------------------------

  #receive(frame) {
    if (this.#online) this.#heard();
    const socket = this.#socket;
    for (const line of frame.split('\n')) {
      if (line === '') continue;
      let reply;
      try {
        reply = JSON.parse(line);
      } catch {
        this.#lost(0, 'bad frame');
        return;
      }
      this.#handle(reply);
      if (this.#socket !== socket) return; // a handler ended the connection
    }
  }

  #handle(reply) {
    if (reply.push) {
      this.#push(reply.push);
    } else if (reply.id) {
      const command = this.#commands.get(reply.id);
      if (!command) return;
      this.#commands.delete(reply.id);
      clearTimeout(command.timer);
      if (command.kind === 'ping') this.#timed(command.sent);
      if (reply.error) command.done(new ServerError(reply.error));
      else command.done(null, reply[command.kind] ?? {});
    } else {
      this.#write('{}'); // a ping
      if (this.#online) this.#measure();
    }
  }

  #push(push) {
    const subscription = this.#subscriptions.get(push.channel);
    if (!subscription) {
      if (push.subscribe) this.#options.onServerJoin?.(push.channel);
      return;
    }
    if (push.pub) subscription.publication(push.pub);
    else if (push.join) subscription.handlers.onJoin?.(push.join.info);
    else if (push.leave) subscription.handlers.onLeave?.(push.leave.info);
    else if (push.unsubscribe) subscription.unsubscribed(push.unsubscribe);
  }

  /** A publication is missing between two that came: only a fresh subscribe can bring it. */
  resync() {
    this.#lost(0, 'out of order');
  }
}

/**
 * Membership in one channel. Handlers, all optional:
 * - `onSubscribed({fresh, recovered, epoch, offset})`: joined. `fresh`: for the first time.
 *   Otherwise `recovered` says whether everything missed has just been handed over through
 *   `onPublication`; if not, there is a gap before `offset`.
 * - `onPublication(pub, {live, epoch})`: in order of offset, each once. `live`: it came as it was
 *   said, not by recovery.
 * - `onJoin(info)`, `onLeave(info)`: somebody came or went.
 * - `onLost()`: the connection is gone; the client will be back.
 * - `onRefused({code, message})`: the server does not let us in (or has put us out) for good.
 */
export class Subscription {
  #client;
  #position = null; // {epoch, offset} of the last publication we know
  #joined = false; // for the first time at least once
  #active = false;
  #given = false; // the server joined us, by what our token says
  #attempt = 0;
  #timer = 0;

  constructor(client, channel, handlers) {
    this.#client = client;
    this.channel = channel;
    this.handlers = handlers;
  }

  /** In the channel now. */
  get active() {
    return this.#active;
  }

  /** Where we stand, if the server joins us again by itself; else null. Called by the client. */
  get place() {
    return this.#given ? this.#position : null;
  }

  /** The server has joined us already. Called by the client. */
  given(result) {
    this.#given = true;
    this.#accepted(result);
  }

  /** Sends `subscribe`, with our position if we have one. Called by the client. */
  join() {
    this.#given = false;
    const subscribe = { channel: this.channel };
    if (this.#position) Object.assign(subscribe, { recover: true, ...this.#position });
    this.#client.send({ subscribe }, (error, result) => {
      if (!error) this.#accepted(result);
      else if (error instanceof ServerError) this.#failed(error);
    });
  }

  #accepted(result) {
    this.#active = true;
    this.#attempt = 0;
    const fresh = !this.#joined;
    this.#joined = true;
    const recovered = Boolean(this.#position && result.recovered);
    if (recovered) {
      for (const pub of result.publications ?? []) {
        this.handlers.onPublication?.(pub, { live: false, epoch: result.epoch });
      }
    }
    // A channel without history has no positions, and nothing to recover by.
    this.#position =
      result.epoch === undefined ? null : { epoch: result.epoch, offset: result.offset ?? 0 };
    const offset = this.#position?.offset ?? 0;
    this.handlers.onSubscribed?.({ fresh, recovered, epoch: result.epoch, offset });
  }

  #failed(error) {
    if (error.code === 112 && this.#position) {
      this.#position = null; // what we missed is gone: join without asking for it
      this.join();
    } else if (error.code === ALREADY_SUBSCRIBED) {
      // The server was first, by what our token says: again, from the position that is ours.
      this.#client.send({ unsubscribe: { channel: this.channel } }, (failed) => failed || this.join());
    } else if (error.temporary) {
      this.#again();
    } else {
      this.handlers.onRefused?.(error);
    }
  }

  #again() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#client.online && this.join(), backoff(this.#attempt++));
  }

  /** A publication was pushed. Called by the client. */
  publication(pub) {
    // The server has joined us, our own subscribe is under way: it brings this again.
    if (!this.#active) return;
    const position = this.#position;
    if (position && pub.offset) {
      if (pub.offset <= position.offset) return; // known already
      if (pub.offset > position.offset + 1) {
        this.#client.resync();
        return;
      }
      position.offset = pub.offset;
    }
    this.handlers.onPublication?.(pub, { live: true, epoch: position?.epoch });
  }

  /** The server put us out: from code 2500 on we may come back. Called by the client. */
  unsubscribed({ code, reason }) {
    this.#active = false;
    if (code >= 2500) {
      this.handlers.onLost?.();
      this.#again();
    } else {
      this.handlers.onRefused?.({ code, message: reason });
    }
  }

  /** The connection is gone. Called by the client. */
  lost() {
    clearTimeout(this.#timer);
    if (!this.#active) return;
    this.#active = false;
    this.handlers.onLost?.();
  }

  /** We left. Called by the client. */
  end() {
    clearTimeout(this.#timer);
    this.#active = false;
    this.handlers = {};
  }
}
