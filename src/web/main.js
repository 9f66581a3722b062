// Puts the page together: who we are, which rooms are open, which one is shown.
//
// Owns: the way from an event to the next drawing, and from what the reader does to whoever does it;
// which rooms are open (kept for this tab, and for the next). Tested by tests/web/page.test.mjs,
// entry.test.mjs, kept.test.mjs and direct.test.mjs.

import { Attention, away } from './attention.js';
import { Client, Disconnected } from './client.js';
import { Finder } from './finder.js';
import { Identity } from './identity.js';
import { Bell, Typing, allHere, othersHere } from './people.js';
import {
  LOBBY, addressOf, between, channelOf, isDirect, isUser, nameOfUser, nameProblem, partner, roomOfAddress, roomProblem, tidyRoom, tokenOfAddress,
} from './rooms.js';
import { Session } from './session.js';
import { Settings } from './settings.js';
import { coarse } from './sidebar.js';
import { local, outbox, tab } from './storage.js';
import { newNonce, nickOf, userKey } from './store.js';
import { named, t } from './strings.js';
import { View } from './view.js';

/** Conversations that others have opened by ringing, at most. */
const RUNG_MAX = 50;
/** People whose names are remembered, at most. */
const KNOWN_MAX = 2_000;
/** Errors of the server: unauthorized, permission denied, token expired, invalid token. */
const UNAUTHORIZED = 101;
const DENIED = 103;
const TOKEN_OLD = 109;
const TOKEN_BAD = 3500;

const self = new Identity();
const attention = new Attention();
const sessions = new Map(); // name -> Session, in the order in which they were opened
const nicks = new Map(); // user -> the name last seen, for conversations with one person
let client = null;
let typing = null;
let bell = null;
let current = null;
let connection = { state: 'connecting' };
let everOnline = false;

// --- names of rooms ----------------------------------------------------------------------------

/** What is kept of a room under this key outlives another name of ours. */
const keyOf = (name) => (isDirect(name) ? `@${partner(name, self.user)}` : name);

/** A room as people write it ("tea", "@bob") -> its name; null: it cannot be. */
function nameOf(room) {
  if (!room.startsWith('@')) return room;
  const user = userCalled(room.slice(1));
  return user === self.user || self.user === '' ? null : between(self.user, user);
}

/** The user that somebody means by a name, or by the user's id. */
function userCalled(name) {
  if (nicks.has(name)) return name;
  const known = [...nicks].find(([, nick]) => nick.toLocaleLowerCase() === name.toLocaleLowerCase());
  if (known) return known[0];
  return self.token || name.startsWith('~') ? name : `~${name}`;
}

/** Remembers what a user is called; of very many, the latest. */
function know(user, nick) {
  if (user.startsWith('client:')) return; // nobody that one could write to
  nicks.delete(user);
  nicks.set(user, nick);
  if (nicks.size > KNOWN_MAX) nicks.delete(nicks.keys().next().value);
}

/** What to call a room. */
function titleOf(session) {
  const { name } = session.room;
  if (!isDirect(name)) return name;
  const user = partner(name, self.user);
  const last = lastOf(session);
  return nicks.get(user) ?? (last && !last.mine ? last.nick : nameOfUser(user));
}

const addressed = () => nameOf(roomOfAddress(location.hash)) ?? LOBBY;
const go = (name) => (location.hash = addressOf(name, self.user));

// --- the connection ----------------------------------------------------------------------------

const url = `${location.protocol === 'https:' ? 'wss:' : 'ws:'}//${location.host}/connection/websocket`;

function makeClient() {
  const made = new Client(url, {
    name: 'ringchat-web',
    data: () => self.connectData,
    token: () => self.token,
    onConnected: (result) => greeted(result),
    onState: (state, detail) => made === client && stateChanged(state, detail),
    onServerJoin: (channel) => channel.startsWith('chat:') && openSession(channel.slice('chat:'.length)),
    onRoundTrip: () => drawFrame(),
  });
  return made;
}

/** The server has accepted us, under a name that may differ from the one asked for. */
function greeted(result) {
  const before = self.user;
  const asked = self.greeted(result);
  if (asked !== null) renamed(before, asked);
}

/** We are somebody else now: conversations that name us move along. `asked`: the name we wanted. */
function renamed(before, asked) {
  for (const [name, session] of [...sessions]) {
    session.keep();
    if (!isDirect(name)) continue;
    const other = partner(name, before);
    client.unsubscribe(channelOf(name));
    sessions.delete(name);
    const moved = other === self.user ? null : openSession(between(self.user, other));
    if (session === current) show(moved ? moved.room.name : LOBBY);
  }
  keepRooms();
  bell.listen(self.user, rung);
  if (self.nick !== asked) current?.room.notice('nickGiven', { wanted: named(asked), nick: named(self.nick) });
  draw();
}

function stateChanged(state, detail) {
  connection = { state, ...detail };
  if (state === 'online') everOnline = true;
  if (state === 'closed' && !everOnline) {
    refusedAtDoor(detail);
    return;
  }
  view.log.setOnline(state === 'online');
  draw();
}

/** The server did not let us in: back to the gate, with the reason. */
function refusedAtDoor(detail) {
  const bearer = self.token !== null;
  stop();
  if (bearer) {
    self.forget();
    view.gate.askToken(t(detail.code === TOKEN_OLD ? 'tokenOld' : 'tokenRefused'));
  } else if (detail.code === UNAUTHORIZED) {
    view.gate.askToken();
  } else {
    askName(t('closed', { reason: reasonOf(detail) }));
  }
}

function reasonOf({ code, reason, message }) {
  if (self.token && [TOKEN_OLD, TOKEN_BAD].includes(code)) return t('tokenOld');
  return reason || message || t('noReason', { code });
}

const askName = (reason) => view.gate.askName(local.get('nick') ?? '', roomOfAddress(location.hash), reason);

/** Asks the server, by one visit without a name, whether it takes guests; says so if it does not. */
function probe() {
  const visitor = new Client(url, {
    data: () => ({ nick: `visitor ${newNonce().slice(0, 12)}` }),
    onConnected: () => visitor.stop(),
    onState(state, { code }) {
      if (state === 'offline') visitor.stop();
      if (state === 'closed' && code === UNAUTHORIZED && !client) view.gate.askToken();
    },
  });
  visitor.start();
}

/** Goes in, as `self` is by now. */
function start() {
  everOnline = false;
  connection = { state: 'connecting' };
  client = makeClient();
  typing = new Typing(client, { self, onChange: drawFrame });
  bell = new Bell(client);
  bell.listen(self.user, rung);
  const open = tab.get('rooms') ?? local.get(`rooms.${self.owner}`);
  for (const room of [...(Array.isArray(open) ? open : []), ...unsentRooms()]) {
    const name = nameOf(String(room));
    if (name) openSession(name);
  }
  show(addressed());
  view.showChat();
  client.start();
}

function stop() {
  const old = client;
  client = null;
  old?.stop();
  sessions.clear();
  current = null;
}

// --- rooms -------------------------------------------------------------------------------------

/** Where unsent messages are kept; no name has a line break. */
const unsentOf = (room = '') => `unsent.${self.owner}\n${room}`;
const unsentRooms = () => local.keys(unsentOf()).map((key) => key.split('\n')[0]);

/** A draft is this tab's, and the next one's. */
const draftOf = (key) => `draft.${self.owner}\n${key}`;
const draft = (key) => tab.get(draftOf(key)) ?? local.get(draftOf(key)) ?? '';
const keepDraft = (key, text) => [tab, local].forEach((kept) => kept.set(draftOf(key), text || null));

const readsOf = (key) => ({
  load: () => local.get(`read.${key}`),
  save: (mark) => local.set(`read.${key}`, mark),
});

function openSession(name) {
  if (sessions.has(name)) return sessions.get(name);
  const key = keyOf(name); // once: it is to be the same when we have another name
  const session = new Session(client, name, {
    self,
    outbox: outbox(() => unsentOf(`${key}\n`)),
    reads: readsOf(key),
    onChange: draw,
    onArrival: (item) => arrived(session, item),
    onSent: () => ringIfAway(session),
    onJoin: (info) => came(info),
  });
  sessions.set(name, session);
  keepRooms();
  return session;
}

function keepRooms() {
  const open = [...sessions.keys()].map(keyOf);
  tab.set('rooms', open);
  local.set(`rooms.${self.owner}`, open);
}

function show(name) {
  const session = openSession(name);
  session.rung = false;
  if (session === current) return;
  current = session;
  view.talk.show(session);
  typing.watch(session);
  moved();
  draw();
}

/** Leaves a room. Returns the key of why it cannot be left, or null. */
function leave(name) {
  const session = sessions.get(name);
  const last = sessions.size === 1 && name === LOBBY;
  if (!session || last || session.room.unsent.length > 0) return 'cannotLeave';
  session.leave();
  sessions.delete(name);
  keepRooms();
  if (session === current) go([...sessions.keys()].at(-1) ?? LOBBY);
  draw();
  return null;
}

function arrived(session, item) {
  if (item.kind !== 'message' && item.kind !== 'me') return;
  const direct = isDirect(session.room.name);
  const calls = direct || Boolean(item.mentionsMe);
  const seen = session === current && view.log.atEnd && !document.hidden;
  if (session === current) {
    typing.done(item.user);
    view.announce(`${item.nick || t('someone')}: ${item.text}`);
  }
  if (!seen) {
    session.unread += 1;
    if (item.mentionsMe) session.room.mentions += 1;
  }
  if (calls && (!seen || away())) call(session, item);
}

/** Asks for the reader's attention. */
function call(session, { nick, text }) {
  const { name } = session.room;
  const title = isDirect(name) ? nick : t('calledIn', { name: nick, room: name });
  attention.call({ title, text, room: name, onOpen: () => go(name) });
}

/** The reader scrolled, or came back to the page: what is in sight has been read. */
function moved() {
  if (current && view.log.atEnd && !document.hidden) current.seen();
  drawFrame();
}

// --- conversations with one person -------------------------------------------------------------

/** Somebody has written to us alone, or says so: their room is listed once there is something in it. */
function rung(info) {
  know(info.user, nickOf(info));
  const name = between(self.user, info.user);
  const open = [...sessions.values()].filter((session) => session.rung).length;
  if (self.isMine(info) || !isUser(info.user) || sessions.has(name) || open >= RUNG_MAX) return;
  openSession(name).rung = true;
}

/** Something was sent: rings for who is not there to see it. */
function ringIfAway({ room }) {
  if (!isDirect(room.name)) return;
  const other = partner(room.name, self.user);
  if (![...room.present.values()].some(({ user }) => user === other)) bell.ring(other);
}

/** Somebody came into one of our rooms: rings if our last word to them was said while they were away. */
function came({ user }) {
  const session = user && sessions.get(between(self.user, user));
  if (session && lastOf(session)?.mine) ringIfAway(session);
}

/** The last thing said in a room, or null. */
function lastOf({ room }) {
  for (let index = room.length - 1; index >= 0; index -= 1) {
    const item = room.at(index);
    if (item.text && (item.kind === 'message' || item.kind === 'me')) return item;
  }
  return null;
}

/** The sessions to list: all but those opened by ringing in which nothing has been said. */
function listed() {
  return [...sessions.values()].filter((session) => {
    if (!session.rung) return true;
    const last = lastOf(session);
    if (last && !last.mine && session.unread === 0) {
      session.unread = 1;
      call(session, last);
    }
    return last !== null;
  });
}

// --- drawing -----------------------------------------------------------------------------------

/** Milliseconds within which many changes are drawn as one. */
const DRAW_PAUSE = 16;
let drawing = false;

/** Brings the page up to date, soon. */
function draw() {
  view.log.schedule();
  drawFrame();
}

/** The same for all but the log. (A timer, not a frame: the title also counts in the background.) */
function drawFrame() {
  if (drawing) return;
  drawing = true;
  setTimeout(() => {
    drawing = false;
    if (current) drawNow();
  }, DRAW_PAUSE);
}

function drawNow() {
  const { room, unread, refused } = current;
  const online = connection.state === 'online';
  for (const { user, nick } of room.present.values()) know(user, nick);
  const rooms = roomsToList();
  const sum = (what) => rooms.reduce((total, entry) => total + entry[what], 0);
  attention.show({ unread: sum('unread'), calls: sum('calls'), title: titleOf(current) });
  // Of the room that is shown, the button at the end of the log tells.
  view.sidebar.setRooms(rooms.map((entry) => (entry.name === room.name ? { ...entry, unread: 0, calls: 0 } : entry)), room.name);
  view.sidebar.setPeople(allHere(current, self, online));
  view.sidebar.setSelf(self.nick, userKey({ user: self.user, client: self.client }));
  view.setRoom({ title: titleOf(current), direct: isDirect(room.name), topic: room.topic, top: topOf(current) });
  view.setUnread({ atEnd: view.log.atEnd, unread });
  view.setTyping(typing.names);
  view.setState({
    ...connection,
    state: online && refused ? 'refused' : connection.state,
    reason: reasonOf(online && refused ? refused : connection),
    again: everOnline,
    waiting: room.waiting,
    roundTrip: client.roundTrip,
  });
}

/** Everybody in one of our rooms, once. */
function othersAnywhere() {
  const all = [...sessions.values()].flatMap((session) => othersHere(session, self));
  return [...new Map(all.map((one) => [one.user, one])).values()];
}

function roomsToList() {
  const shown = listed();
  const here = new Set(othersAnywhere().map(({ user }) => user));
  return shown.map((session) => {
    const { room, unread } = session;
    const direct = isDirect(room.name);
    const user = direct ? partner(room.name, self.user) : null;
    return {
      name: room.name,
      title: titleOf(session),
      href: addressOf(room.name, self.user),
      direct,
      user,
      online: here.has(user),
      unread,
      calls: direct ? unread : room.mentions,
      current: session === current,
      leavable: shown.length > 1 && room.unsent.length === 0,
    };
  });
}

/** What stands above the oldest message shown. */
function topOf(session) {
  if (session.loading) return 'loading';
  if (session.loadFailed) return 'loadFailed';
  if (!session.active || session.room.hasOlder) return '';
  return session.room.length ? 'beginning' : 'empty';
}

// --- what the reader does ----------------------------------------------------------------------

/** Goes to a room as people write it. Returns the key of what is wrong with it, or null. */
function open(room) {
  const wanted = tidyRoom(room);
  const problem = roomProblem(wanted);
  if (problem) return problem;
  const name = nameOf(wanted);
  if (!name) return 'directSelf';
  go(name);
  return null;
}

/** The same, for who has chosen it in a list: the next thing is to write there. */
function visit(room) {
  const problem = open(room);
  if (!problem && !coarse()) view.focusComposer();
  return problem;
}

/** Wants another name; drafts go along. */
function want(name) {
  const begun = [...sessions.keys()].map(keyOf).map((key) => [key, draft(key)]);
  for (const [key] of begun) keepDraft(key, '');
  self.want(name);
  for (const [key, text] of begun) if (text) keepDraft(key, text);
}

/** Takes another name. Resolves with the key of what is wrong with it, or null. */
async function nick(wanted) {
  const name = wanted.trim().normalize();
  const problem = self.token ? 'nameFixed' : nameProblem(name);
  if (problem || name === self.nick) return problem;
  const before = self.user;
  try {
    const granted = await client.rpc('nick', { nick: name });
    want(name);
    self.granted(granted);
  } catch (error) {
    // In a conversation between two the server lets nobody change: we come back as somebody else.
    if (!(error instanceof Disconnected) && error.code !== DENIED) return 'nameRefused';
    want(name);
    client.reconnect();
  }
  renamed(before, name);
  return null;
}

/** What slash commands do: see commands.js. */
const app = {
  nick,
  join: open,
  leave: (room) => leave(room ? (nameOf(tidyRoom(room)) ?? '') : current.room.name),
  message(user, text) {
    const problem = open(`@${user}`);
    if (!problem && text) openSession(nameOf(`@${user}`)).say('message', text);
    return problem;
  },
  topic: (text) => current.topic(text),
};

function bring(link) {
  const found = tokenOfAddress(link.slice(Math.max(0, link.indexOf('#token='))));
  if (!self.beBearer(found?.token ?? link)) return 'tokenBad';
  if (found?.room && !roomProblem(found.room)) history.replaceState(null, '', `#${encodeURIComponent(found.room)}`);
  stop();
  start();
  return null;
}

const view = new View({
  enter(name, room) {
    const nick = name.trim().normalize();
    const wanted = tidyRoom(room);
    const problem = nameProblem(nick) ?? roomProblem(wanted);
    if (problem) return problem;
    self.beGuest(nick);
    if (wanted !== roomOfAddress(location.hash)) history.pushState(null, '', `#${encodeURIComponent(wanted)}`);
    start();
    return null;
  },
  bring,
  open,
  leave,
  write: (user) => visit(`@${user}`),
  browse: () => finder.browse(),
  switch: () => finder.switch(),
  settings: () => settings.show({ nick: self.nick, fixed: self.token !== null }),
  topic: app.topic,
  retryNow: () => client?.retryNow(),
  connectAgain: () => client?.start(),
  moved,
  drafts: {
    load: (name) => draft(keyOf(name)),
    save: (name, text) => keepDraft(keyOf(name), text),
  },
  app,
});

const settings = new Settings(attention, {
  nick,
  goOut() {
    stop();
    if (!self.token) return askName();
    self.forget();
    return view.gate.askToken();
  },
});
const finder = new Finder(
  {
    open: visit,
    rooms: roomsToList,
    people: () => othersAnywhere().filter(({ user }) => isUser(user)),
    publicRooms: () => client.rpc('rooms'),
  },
  { switcher: document.getElementById('switcher'), browser: document.getElementById('browser') },
);

/** The address is another: a token is taken from it at once, a room is shown. */
function addressChanged() {
  const found = tokenOfAddress(location.hash);
  if (found) {
    history.replaceState(null, '', `#${encodeURIComponent(found.room || LOBBY)}`);
    if (bring(found.token ?? '')) view.gate.askToken(t('tokenBad'));
  } else if (client) {
    show(addressed());
  }
}

addEventListener('hashchange', addressChanged);
addEventListener('beforeunload', (event) => {
  if ([...sessions.values()].some(({ kept }) => !kept)) event.preventDefault();
});
addEventListener('online', () => client?.retryNow());
addEventListener('pageshow', () => client?.retryNow());
document.addEventListener('visibilitychange', () => {
  if (document.hidden) return;
  client?.retryNow();
  moved();
});
document.addEventListener('keydown', (event) => {
  if (!client || event.defaultPrevented) return;
  if ((event.ctrlKey || event.metaKey) && !event.altKey && event.key.toLowerCase() === 'k') {
    event.preventDefault();
    if (!document.querySelector('dialog[open]')) finder.switch();
  }
});

const remembered = local.get('nick');
if (tokenOfAddress(location.hash)) {
  addressChanged();
} else if (self.beBearer(tab.get('token') ?? '')) {
  start();
} else if (typeof remembered === 'string' && !nameProblem(remembered)) {
  self.beGuest(remembered);
  start();
} else {
  askName();
  probe();
}
