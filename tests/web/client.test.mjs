// The protocol client against a scripted socket and a clock that stands still until told.

import assert from 'node:assert/strict';
import { beforeEach, afterEach, mock, test } from 'node:test';
import { Client, Disconnected, ServerError, backoff, mayReconnect } from '../../src/web/client.js';

/** A socket whose other end is the test. */
class FakeSocket {
  static all = [];
  static get last() {
    return FakeSocket.all.at(-1);
  }
  readyState = 0;
  sent = [];
  delay = 0;
  constructor(url) {
    this.url = url;
    FakeSocket.all.push(this);
  }
  /** Keeps what is sent; commands that only measure the round trip are answered, `delay` later. */
  send(frame) {
    const { id, ping } = JSON.parse(frame);
    if (!ping) this.sent.push(frame);
    else if (this.delay) setTimeout(() => this.say({ id, ping: {} }), this.delay);
    else this.say({ id, ping: {} });
  }
  close() {
    this.readyState = 3;
  }
  /** The commands sent since the last call. */
  take() {
    return this.sent.splice(0).map((frame) => JSON.parse(frame));
  }
  open() {
    this.readyState = 1;
    this.onopen();
  }
  say(...replies) {
    this.onmessage({ data: replies.map((reply) => JSON.stringify(reply)).join('\n') });
  }
  end(code, reason = '') {
    this.readyState = 3;
    this.onclose({ code, reason });
  }
}

let states;
let client;

beforeEach(() => {
  mock.timers.enable({ apis: ['setTimeout', 'Date'] });
  FakeSocket.all = [];
  states = [];
  client = new Client('ws://test/connection/websocket', {
    WebSocket: FakeSocket,
    name: 'test',
    data: () => ({ nick: 'ada' }),
    onState: (state, detail) => states.push({ state, ...detail }),
  });
});

afterEach(() => {
  client.stop();
  mock.timers.reset();
});

const lastState = () => states.at(-1).state;

/** Opens the present socket and has the server accept. */
function accept(result = { client: 'c1', ping: 25, pong: true }) {
  const socket = FakeSocket.last;
  socket.open();
  const [{ id, connect }] = socket.take();
  assert.deepEqual(connect, { name: 'test', data: { nick: 'ada' } });
  socket.say({ id, connect: result });
  return socket;
}

/** Ticks until there is another socket. */
function nextSocket() {
  const before = FakeSocket.all.length;
  mock.timers.tick(20_001);
  assert.equal(FakeSocket.all.length, before + 1);
  return FakeSocket.last;
}

test('a connection that is given up before it is open is closed once it is', () => {
  client.start();
  const socket = FakeSocket.last;
  client.stop();
  assert.equal(lastState(), 'closed');
  assert.equal(socket.readyState, 0);
  socket.open();
  assert.equal(socket.readyState, 3);
  assert.deepEqual(socket.sent, []);
});

test('connects, answers pings, numbers commands', async () => {
  client.start();
  assert.equal(lastState(), 'connecting');
  const socket = accept();
  assert.equal(lastState(), 'online');
  socket.say({});
  assert.deepEqual(socket.take(), [{}]);
  const first = client.request({ publish: { channel: 'x', data: 1 } });
  const second = client.request({ publish: { channel: 'x', data: 2 } });
  const [a, b] = socket.take();
  assert.ok(b.id > a.id);
  socket.say({ id: b.id, publish: {} }, { id: a.id, error: { code: 107, message: 'bad request' } });
  assert.deepEqual(await second, {});
  await assert.rejects(first, (error) => error instanceof ServerError && error.code === 107 && !error.temporary);
});

test('the round trip is measured with every ping of the server, and forgotten with the connection', () => {
  const told = [];
  client = new Client('ws://test/', { WebSocket: FakeSocket, data: () => ({ nick: 'ada' }), name: 'test', onRoundTrip: (ms) => told.push(ms) });
  client.start();
  assert.equal(client.roundTrip, null);
  FakeSocket.last.delay = 40;
  const socket = accept();
  mock.timers.tick(40);
  assert.deepEqual(told, [40]);
  socket.delay = 140;
  socket.say({});
  mock.timers.tick(140);
  assert.equal(Math.round(told[1]), 70);
  assert.equal(client.roundTrip, told[1]);
  socket.end(1006);
  assert.equal(client.roundTrip, null);
});

test('methods of the server, who is there, what was said', async () => {
  client.start();
  const socket = accept();
  const answers = async (promise, expected, result) => {
    const [{ id, ...command }] = socket.take();
    assert.deepEqual(command, expected);
    socket.say({ id, [Object.keys(expected)[0]]: result });
    return promise;
  };
  const rooms = client.rpc('rooms');
  assert.deepEqual(await answers(rooms, { rpc: { method: 'rooms' } }, { data: { rooms: [] } }), { rooms: [] });
  const nick = client.rpc('nick', { nick: 'bob' });
  assert.deepEqual(await answers(nick, { rpc: { method: 'nick', data: { nick: 'bob' } } }, { data: { nick: 'bob-2' } }), { nick: 'bob-2' });
  const here = await answers(client.presence('x'), { presence: { channel: 'x' } }, { presence: { c1: { user: '~a' } } });
  assert.deepEqual([...here], [['c1', { user: '~a' }]]);
  const stats = client.presenceStats('x');
  assert.deepEqual(await answers(stats, { presence_stats: { channel: 'x' } }, { num_clients: 3, num_users: 2 }), { clients: 3, users: 2 });
  const history = client.history('x', { limit: 2, reverse: true });
  const said = await answers(history, { history: { channel: 'x', limit: 2, reverse: true } }, { epoch: 'e' });
  assert.deepEqual(said, { publications: [], epoch: 'e', offset: 0 });
});

test('a token goes along with every attempt', () => {
  const tokens = ['one', 'two'];
  client = new Client('ws://test/', { WebSocket: FakeSocket, token: () => tokens.shift() });
  client.start();
  FakeSocket.last.open();
  assert.deepEqual(FakeSocket.last.take()[0].connect, { token: 'one' });
  FakeSocket.last.end(1006);
  nextSocket().open();
  assert.deepEqual(FakeSocket.last.take()[0].connect, { token: 'two' });
});

test('a channel that the server has joined us to: told, and taken over from our own position', () => {
  const joinedTo = [];
  client = new Client('ws://test/', { WebSocket: FakeSocket, data: () => ({ nick: 'ada' }), name: 'test', onServerJoin: (channel) => joinedTo.push(channel) });
  const { heard } = subscribe();
  client.start();
  const socket = accept();
  socket.say({ push: { channel: 'y', subscribe: {} } }, { push: { channel: 'x', subscribe: {} } });
  assert.deepEqual(joinedTo, ['y']);
  let [command] = socket.take();
  // What is pushed before our own subscribe would be out of order: it comes again with it.
  socket.say({ push: { channel: 'x', pub: { offset: 9, data: {} } } });
  socket.say({ id: command.id, error: { code: 105, message: 'already subscribed' } });
  [command] = socket.take();
  assert.deepEqual(command.unsubscribe, { channel: 'x' });
  socket.say({ id: command.id, unsubscribe: {} });
  [command] = socket.take();
  assert.deepEqual(command.subscribe, { channel: 'x' });
  socket.say({ id: command.id, subscribe: { epoch: 'e', offset: 9 } });
  assert.deepEqual(heard, [['joined', true, false, 9]]);
});

test('rooms of the connect result are joined already, and are recovered with the connection', async () => {
  const joinedTo = [];
  client = new Client('ws://test/', { WebSocket: FakeSocket, data: () => ({ nick: 'ada' }), name: 'test', onServerJoin: (channel) => joinedTo.push(channel) });
  const { heard } = subscribe();
  client.start();
  const socket = accept({ client: 'c1', ping: 25, pong: true, subs: { x: { epoch: 'e', offset: 3 }, y: {} } });
  await Promise.resolve();
  assert.deepEqual(joinedTo, ['y']);
  assert.deepEqual(socket.take().filter((command) => command.subscribe), []);
  assert.deepEqual(heard, [['joined', true, false, 3]]);
  client.reconnect();
  const again = FakeSocket.last;
  again.open();
  const [{ id, connect }] = again.take();
  assert.deepEqual(connect.subs, { x: { recover: true, epoch: 'e', offset: 3 } });
  const publications = [{ offset: 4, data: {} }, { offset: 5, data: {} }];
  again.say({ id, connect: { client: 'c2', subs: { x: { epoch: 'e', offset: 5, recovered: true, publications } } } });
  await Promise.resolve();
  assert.deepEqual(heard.slice(-3, -1), [['missed', 4], ['missed', 5]]);
  assert.deepEqual(heard.at(-1), ['joined', false, true, 5]);
});

test('reconnect() opens another connection at once, and subscriptions recover', () => {
  const { heard } = subscribe();
  client.start();
  const [command] = accept().take();
  FakeSocket.last.say({ id: command.id, subscribe: { epoch: 'e', offset: 4 } });
  client.reconnect();
  assert.equal(FakeSocket.all.length, 2);
  const [again] = accept().take();
  assert.deepEqual(again.subscribe, { channel: 'x', recover: true, epoch: 'e', offset: 4 });
  assert.deepEqual(heard.at(-1), ['lost']);
});

test('no ping for the interval and ten seconds: reconnects', () => {
  client.start();
  const socket = accept();
  mock.timers.tick(34_000);
  socket.say({});
  mock.timers.tick(34_000);
  assert.equal(lastState(), 'online');
  mock.timers.tick(2_000);
  assert.equal(lastState(), 'offline');
  assert.equal(socket.readyState, 3);
  nextSocket();
});

test('a socket that does not open, a reply that does not come: reconnects', async () => {
  client.start();
  mock.timers.tick(10_001);
  assert.equal(lastState(), 'offline');
  nextSocket();
  accept({ client: 'c', ping: 0 });
  const lost = client.request({ publish: {} });
  mock.timers.tick(10_001);
  await assert.rejects(lost, Disconnected);
  assert.equal(lastState(), 'offline');
});

test('close codes: some end it, with their reason; start() begins anew', () => {
  for (const code of [1000, 1001, 1006, 1009, 3000, 3499, 4000, 4499, 5000]) {
    assert.equal(mayReconnect(code), true, String(code));
  }
  for (const code of [3500, 3999, 4500, 4999]) assert.equal(mayReconnect(code), false, String(code));
  client.start();
  accept().end(3501, 'bad request');
  assert.deepEqual(states.at(-1), { state: 'closed', code: 3501, reason: 'bad request' });
  mock.timers.tick(60_000);
  assert.equal(FakeSocket.all.length, 1);
  client.start();
  accept();
  assert.equal(lastState(), 'online');
});

test('a refused connect: for good, or until later', () => {
  client.start();
  FakeSocket.last.open();
  FakeSocket.last.say({ id: 1, error: { code: 100, message: 'internal', temporary: true } });
  assert.equal(lastState(), 'offline');
  nextSocket().open();
  const [{ id }] = FakeSocket.last.take();
  FakeSocket.last.say({ id, error: { code: 101, message: 'unauthorized' } });
  assert.deepEqual(states.at(-1), { state: 'closed', code: 101, reason: 'unauthorized' });
});

test('the backoff grows to a bound, is fully jittered, and begins anew after a good connection', () => {
  assert.equal(backoff(0, () => 0.5), 250);
  assert.equal(backoff(3, () => 0.5), 2_000);
  assert.equal(backoff(99, () => 0.99999999) < 20_000, true);
  assert.equal(backoff(7, () => 0), 0);
  mock.method(Math, 'random', () => 0.999);
  const wait = () => {
    const before = Date.now();
    return states.at(-1).retryAt - before;
  };
  client.start();
  const waits = [];
  for (let i = 0; i < 4; i += 1) {
    FakeSocket.last.end(1006);
    waits.push(wait());
    mock.timers.tick(20_001);
  }
  assert.ok(waits[0] < 500 && waits[3] > 3_000, waits.join());
  accept();
  mock.timers.tick(6_000);
  FakeSocket.last.end(1006);
  assert.ok(wait() < 500);
  client.retryNow();
  assert.equal(lastState(), 'connecting');
  mock.restoreAll();
});

test('after a long sleep, retryNow() finds a dead connection out', () => {
  client.start();
  accept();
  client.retryNow();
  assert.equal(lastState(), 'online');
  mock.timers.setTime(Date.now() + 60_000);
  client.retryNow();
  assert.notEqual(lastState(), 'online');
});

/** Subscribes to `x`; `heard` collects what the handlers were told, in order. */
function subscribe() {
  const heard = [];
  const subscription = client.subscribe('x', {
    onSubscribed: (joined) => heard.push(['joined', joined.fresh, joined.recovered, joined.offset]),
    onPublication: (pub, { live }) => heard.push([live ? 'live' : 'missed', pub.offset]),
    onJoin: (info) => heard.push(['join', info.client]),
    onLeave: (info) => heard.push(['leave', info.client]),
    onLost: () => heard.push(['lost']),
    onRefused: (error) => heard.push(['refused', error.code]),
  });
  return { subscription, heard };
}

test('a subscription recovers from where it was', () => {
  const { heard, subscription } = subscribe();
  client.start();
  let socket = accept();
  let [command] = socket.take();
  assert.deepEqual(command.subscribe, { channel: 'x' });
  const pub = (offset) => ({ push: { channel: 'x', pub: { offset, data: {} } } });
  // The reply and what follows it in the same frame keep their order.
  socket.say(
    { id: command.id, subscribe: { epoch: 'e', offset: 4, recoverable: true } },
    pub(5),
    { push: { channel: 'x', join: { info: { client: 'b' } } } },
    pub(6),
    pub(6),
    { push: { channel: 'other', pub: { offset: 1, data: {} } } },
    { push: { channel: 'x', leave: { info: { client: 'b' } } } },
  );
  assert.deepEqual(heard.splice(0), [['joined', true, false, 4], ['live', 5], ['join', 'b'], ['live', 6], ['leave', 'b']]);
  assert.equal(subscription.active, true);
  socket.end(3001, 'shutdown');
  assert.deepEqual(heard.splice(0), [['lost']]);
  assert.equal(subscription.active, false);
  nextSocket();
  socket = accept();
  [command] = socket.take();
  assert.deepEqual(command.subscribe, { channel: 'x', recover: true, epoch: 'e', offset: 6 });
  const publications = [{ offset: 7, data: {} }, { offset: 8, data: {} }];
  socket.say({ id: command.id, subscribe: { epoch: 'e', offset: 8, recovered: true, was_recovering: true, publications } });
  assert.deepEqual(heard.splice(0), [['missed', 7], ['missed', 8], ['joined', false, true, 8]]);
});

test('a position that is gone: joins without it, and says that it was not recovered', () => {
  const { heard } = subscribe();
  client.start();
  let socket = accept();
  let [command] = socket.take();
  socket.say({ id: command.id, subscribe: { epoch: 'e', offset: 4 } });
  socket.end(1006);
  nextSocket();
  socket = accept();
  [command] = socket.take();
  heard.length = 0;
  socket.say({ id: command.id, error: { code: 112, message: 'unrecoverable position' } });
  [command] = socket.take();
  assert.deepEqual(command.subscribe, { channel: 'x' });
  socket.say({ id: command.id, subscribe: { epoch: 'f', offset: 2 } });
  assert.deepEqual(heard, [['joined', false, false, 2]]);
});

test('a publication is missing between two: reconnects and recovers', () => {
  subscribe();
  client.start();
  const socket = accept();
  const [command] = socket.take();
  socket.say({ id: command.id, subscribe: { epoch: 'e', offset: 4 } });
  socket.say({ push: { channel: 'x', pub: { offset: 6, data: {} } } });
  assert.equal(lastState(), 'offline');
  nextSocket();
  const [again] = accept().take();
  assert.deepEqual(again.subscribe, { channel: 'x', recover: true, epoch: 'e', offset: 4 });
});

test('a refused subscribe: told, or tried again', () => {
  const { heard, subscription } = subscribe();
  client.start();
  const socket = accept();
  let [command] = socket.take();
  socket.say({ id: command.id, error: { code: 111, message: 'too many requests', temporary: true } });
  mock.timers.tick(600);
  [command] = socket.take();
  socket.say({ id: command.id, subscribe: { epoch: 'e', offset: 0 } });
  assert.equal(subscription.active, true);
  socket.say({ push: { channel: 'x', unsubscribe: { code: 2500, reason: 'insufficient' } } });
  mock.timers.tick(600);
  [command] = socket.take();
  assert.equal(command.subscribe.recover, true);
  socket.say({ id: command.id, error: { code: 103, message: 'permission denied' } });
  assert.deepEqual(heard.at(-1), ['refused', 103]);
  socket.say({ push: { channel: 'x', unsubscribe: { code: 2000, reason: 'moderator' } } });
  assert.deepEqual(heard.at(-1), ['refused', 2000]);
  client.unsubscribe('x');
  assert.deepEqual(socket.take()[0].unsubscribe, { channel: 'x' });
});

test('a frame that is not JSON ends the connection, not the page', () => {
  client.start();
  const socket = accept();
  socket.onmessage({ data: '{"push":' });
  assert.equal(lastState(), 'offline');
});
