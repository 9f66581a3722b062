// What the SDK tests share: the server as a process, both builds of the SDK, clients whose
// connections can be cut, and events that are waited for with a deadline.
// Environment: RINGCHAT_BIN (default target/release/ringchat).

import { Centrifuge as JsonCentrifuge } from 'centrifuge';
import { Centrifuge as ProtobufCentrifuge } from 'centrifuge/build/protobuf';
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { after, before, describe } from 'node:test';
import { fileURLToPath } from 'node:url';
import WebSocket from 'ws';

const root = new URL('../../', import.meta.url);
const binary = process.env.RINGCHAT_BIN ?? fileURLToPath(new URL('target/release/ringchat', root));

/** Within this time everything that a test waits for has happened, or the test fails. */
const DEADLINE_MS = 20_000;

/** Key of the server API, where a test switches it on with [`API`]. */
export const API_KEY = 'the-key-of-the-server-api-in-tests';
/** Flags that switch the server API on. */
export const API = ['--set', `http_api.key=${API_KEY}`];

/** Rejects when `promise` takes too long; `what` says what did not come. */
export async function soon(promise, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not within ${DEADLINE_MS} ms: ${what}`)), DEADLINE_MS);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Asks again and again until `holds` says yes: for what is true soon after a round trip. */
export async function until(holds, what) {
  const end = Date.now() + DEADLINE_MS;
  while (!(await holds())) {
    if (Date.now() > end) throw new Error(`not within ${DEADLINE_MS} ms: ${what}`);
  }
}

/** The next event of this name, which must not be missed: call this before what causes it. */
export function next(emitter, event) {
  return soon(new Promise((resolve) => emitter.once(event, resolve)), event);
}

/** Everything that an emitter says under one name, to be taken in order. */
export class Events {
  #waiting = [];
  #came = [];

  /** `read` turns what the emitter hands out into what `next` gives. */
  constructor(emitter, event, read = (context) => context) {
    this.event = event;
    emitter.on(event, (context) => {
      const resolve = this.#waiting.shift();
      if (resolve) resolve(read(context));
      else this.#came.push(read(context));
    });
  }

  /** The next one. */
  async next() {
    if (this.#came.length > 0) return this.#came.shift();
    return soon(new Promise((resolve) => this.#waiting.push(resolve)), this.event);
  }

  /** The next `count`. */
  async take(count) {
    const taken = [];
    while (taken.length < count) taken.push(await this.next());
    return taken;
  }

  /** How many came that nobody has taken. */
  get left() {
    return this.#came.length;
  }
}

/** Starts the server with `args`; resolves when it says that it listens. */
export async function startServer(args = [], listen = '127.0.0.1:0') {
  const all = ['--listen', listen, '--workers', '2', ...args];
  // Settings of whoever runs the tests are not the server's.
  const env = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !name.startsWith('RINGCHAT_')),
  );
  const child = spawn(binary, all, { env, stdio: ['ignore', 'pipe', 'pipe'] });
  const ended = once(child, 'exit');
  const said = [];
  const found = new Promise((resolve, reject) => {
    const read = (line) => {
      said.push(line);
      const match = /http:\/\/(127\.0\.0\.1:\d+)\//.exec(line);
      if (match) resolve(match[1]);
    };
    for (const stream of [child.stdout, child.stderr]) createInterface(stream).on('line', read);
    child.on('error', reject);
    ended.then(([code]) => reject(new Error(`the server ended with ${code}:\n${said.join('\n')}`)));
  });
  found.catch(() => {});
  const address = await soon(found, 'the address of the server');
  return {
    address,
    /** Asks it to stop and returns its exit code. */
    async stop() {
      child.kill('SIGTERM');
      const [code] = await soon(ended, 'the end of the server');
      return code;
    },
    async kill() {
      child.kill('SIGKILL');
      await ended;
    },
    /** Calls the server API (start it with [`API`]) and returns the result. */
    async api(method, body) {
      const request = fetch(`http://${address}/api/${method}`, {
        method: 'POST',
        headers: { 'X-API-Key': API_KEY, 'Content-Type': 'application/json' },
        body: JSON.stringify(body),
      });
      const answer = await soon(request, `/api/${method}`);
      assert.equal(answer.status, 200, `/api/${method}`);
      const { result, error } = await answer.json();
      assert.equal(error, undefined, `/api/${method}`);
      return result;
    },
    /** The sum of one metric over all workers; `label` such as `reason="slow"`. */
    async metric(name, label = '') {
      const answer = await soon(fetch(`http://${address}/metrics`), '/metrics');
      const ours = (line) => line.startsWith(`${name}{`) && line.includes(label);
      const lines = (await answer.text()).split('\n').filter(ours);
      return lines.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
    },
  };
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** The builds of the SDK. In the protobuf one data are bytes; the tests put JSON into them. */
const BUILDS = [
  { form: 'JSON', Centrifuge: JsonCentrifuge, encode: (value) => value, decode: (data) => data },
  {
    form: 'protobuf',
    Centrifuge: ProtobufCentrifuge,
    encode: (value) => encoder.encode(JSON.stringify(value)),
    decode: (data) => (data?.length > 0 ? JSON.parse(decoder.decode(data)) : undefined),
  },
];

/** Defines the same tests for each build of the SDK, with a server of their own (`sdk.server`). */
export function inBothForms(title, args, define) {
  for (const build of BUILDS) {
    describe(`${title}, ${build.form}`, () => {
      const sdk = new Sdk(build);
      before(async () => {
        sdk.server = await sdk.start(args);
      });
      after(() => sdk.end());
      define(sdk);
    });
  }
}

/** One build of the SDK, and the clients and servers of its tests. Values go in and come out as
 * JSON values in either form. */
class Sdk {
  #build;
  #clients = [];
  #servers = [];

  constructor(build) {
    this.#build = build;
  }

  async start(args, listen) {
    const server = await startServer(args, listen);
    this.#servers.push(server);
    return server;
  }

  async end() {
    for (const client of this.#clients) client.disconnect();
    for (const server of this.#servers) await server.kill();
  }

  /** A client, not yet connected, that comes back quickly. `cut()` ends its connection. */
  newClient({ data, ...options } = {}, server = this.server) {
    const sockets = [];
    class Cuttable extends WebSocket {
      constructor(...args) {
        super(...args);
        sockets.push(this);
      }
    }
    const client = new this.#build.Centrifuge(`ws://${server.address}/connection/websocket`, {
      websocket: Cuttable,
      minReconnectDelay: 10,
      maxReconnectDelay: 200,
      ...(data === undefined ? {} : { data: this.#build.encode(data) }),
      ...options,
    });
    client.socket = () => sockets.at(-1);
    client.cut = () => client.socket().terminate();
    this.#clients.push(client);
    return client;
  }

  /** A connected client; `hello` is what the server said, and it collects the events of
   * server-side subscriptions. */
  async connect(options, server) {
    const client = this.newClient(options, server);
    client.joined = this.events(client, 'subscribed');
    client.left = this.events(client, 'unsubscribed');
    client.publications = this.events(client, 'publication');
    const connected = next(client, 'connected');
    client.connect();
    client.hello = this.read(await connected);
    return client;
  }

  /** A subscription that is there; it collects what happens in the room. */
  async subscribe(client, room, options) {
    const subscription = client.newSubscription(room, options);
    subscription.client = client;
    subscription.publications = this.events(subscription, 'publication');
    subscription.joins = this.events(subscription, 'join');
    subscription.leaves = this.events(subscription, 'leave');
    const subscribed = next(subscription, 'subscribed');
    subscription.subscribe();
    subscription.hello = this.read(await subscribed);
    return subscription;
  }

  /** A client of its own, connected and subscribed. */
  async member(room, options, server) {
    return this.subscribe(await this.connect(options, server), room);
  }

  /** Why a subscription was refused for good. */
  async refusal(client, room, options) {
    const subscription = client.newSubscription(room, options);
    const refused = next(subscription, 'unsubscribed');
    subscription.subscribe();
    return refused;
  }

  async publish(subscription, value) {
    await soon(subscription.publish(this.#build.encode(value)), 'the answer to a publish');
  }

  /** Publishes without a subscription. */
  async publishTo(client, room, value) {
    await soon(client.publish(room, this.#build.encode(value)), 'the answer to a publish');
  }

  async rpc(client, method, value) {
    const { data } = await client.rpc(method, this.#build.encode(value));
    return this.#build.decode(data);
  }

  async history(subscription, options) {
    const history = await subscription.history(options);
    return { ...history, publications: history.publications.map((p) => this.read(p)) };
  }

  /** Who is in the room, by client id. */
  async presence(subscription) {
    const { clients } = await subscription.presence();
    const entries = Object.entries(clients);
    return Object.fromEntries(entries.map(([client, info]) => [client, this.#info(info)]));
  }

  events(emitter, event) {
    return new Events(emitter, event, (context) => this.read(context));
  }

  /** What the SDK hands out, its data as JSON values. */
  read(context) {
    const { data, info, tags, ...rest } = context;
    const read = { ...rest };
    const value = this.#build.decode(data);
    if (value !== undefined) read.data = value;
    if (info) read.info = this.#info(info);
    if (tags && Object.keys(tags).length > 0) read.tags = { ...tags };
    return read;
  }

  #info({ client, user, connInfo, chanInfo }) {
    const info = { client, user };
    const [conn, chan] = [connInfo, chanInfo].map((data) => this.#build.decode(data));
    if (conn !== undefined) info.connInfo = conn;
    if (chan !== undefined) info.chanInfo = chan;
    return info;
  }
}

/** A plain-text client; `lines` are what it hears. */
export async function plain(address, path) {
  const socket = new WebSocket(`ws://${address}${path}`);
  const heard = new Events(socket, 'message');
  await soon(once(socket, 'open'), 'the plain connection');
  return {
    say: (line) => socket.send(line),
    line: async () => (await heard.next()).toString(),
    close: () => socket.close(),
  };
}

/** A chat payload. */
export const message = (text) => ({ type: 'message', text });
