// What the SDK tests share: the server as a process, SDK clients whose connections can be cut, and
// events that are waited for with a deadline.
// Environment: RINGCHAT_BIN (default target/release/ringchat).

import { Centrifuge } from 'centrifuge';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import WebSocket from 'ws';

const root = new URL('../../', import.meta.url);
const binary = process.env.RINGCHAT_BIN ?? fileURLToPath(new URL('target/release/ringchat', root));

/** Within this time everything that a test waits for has happened, or the test fails. */
const DEADLINE_MS = 20_000;

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

/** The next event of this name, which must not be missed: call this before what causes it. */
export function next(emitter, event) {
  return soon(new Promise((resolve) => emitter.once(event, resolve)), event);
}

/** Everything that an emitter says under one name, to be taken in order. */
export class Events {
  #waiting = [];
  #came = [];

  constructor(emitter, event) {
    this.event = event;
    emitter.on(event, (context) => {
      const resolve = this.#waiting.shift();
      if (resolve) resolve(context);
      else this.#came.push(context);
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
  const address = new Promise((resolve, reject) => {
    const read = (line) => {
      said.push(line);
      const found = /http:\/\/(127\.0\.0\.1:\d+)\//.exec(line);
      if (found) resolve(found[1]);
    };
    for (const stream of [child.stdout, child.stderr]) createInterface(stream).on('line', read);
    child.on('error', reject);
    ended.then(([code]) => reject(new Error(`the server ended with ${code}:\n${said.join('\n')}`)));
  });
  address.catch(() => {});
  return {
    address: await soon(address, 'the address of the server'),
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
  };
}

/**
 * An SDK client, not yet connected, that comes back quickly. `cut()` ends its connection. `Client` is
 * the SDK's class: that of its JSON build or of its protobuf build.
 */
export function newClient(address, options = {}, Client = Centrifuge) {
  const sockets = [];
  class Cuttable extends WebSocket {
    constructor(...args) {
      super(...args);
      sockets.push(this);
    }
  }
  const client = new Client(`ws://${address}/connection/websocket`, {
    websocket: Cuttable,
    minReconnectDelay: 10,
    maxReconnectDelay: 200,
    ...options,
  });
  client.cut = () => sockets.at(-1).terminate();
  return client;
}

/** A connected client. */
export async function connect(address, options, Client) {
  const client = newClient(address, options, Client);
  const connected = next(client, 'connected');
  client.connect();
  client.hello = await connected;
  return client;
}

/** A subscription that is there. */
export async function subscribe(client, room, options) {
  const subscription = client.newSubscription(room, options);
  subscription.publications = new Events(subscription, 'publication');
  const subscribed = next(subscription, 'subscribed');
  subscription.subscribe();
  subscription.hello = await subscribed;
  return subscription;
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
