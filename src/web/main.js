// Puts the page together: who we are, which rooms are open, which one is shown.
//
// Owns: what is kept in the browser (name, proof of the name, open rooms, what is unsent) and the
// way from an event to the next drawing. Tested by tests/web/page.test.mjs.

import { Client } from './client.js';
import { Session } from './session.js';
import { nickOf, userKey } from './store.js';
import { named, t } from './strings.js';
import { View } from './view.js';

const LOBBY = 'lobby';
const NICK_CHARS_MAX = 32;
const ROOM_BYTES_MAX = 255 - 'chat:'.length;

/** What the browser keeps: over its end (`local`), or for this tab (`tab`). Either may be off. */
function storage(kind) {
  const prefix = 'ringchat.';
  return {
    get(key) {
      try {
        return JSON.parse(globalThis[kind].getItem(prefix + key));
      } catch {
        return null;
      }
    },
    set(key, value) {
      try {
        if (value === null) globalThis[kind].removeItem(prefix + key);
        else globalThis[kind].setItem(prefix + key, JSON.stringify(value));
      } catch {
        // full, or switched off: the page works without
      }
    },
  };
}

const local = storage('localStorage');
const tab = storage('sessionStorage');

// --- names -------------------------------------------------------------------------------------

/** The key of what is wrong with a name, or null. The server has the last word. */
function nameProblem(name) {
  if (name === '') return 'nameEmpty';
  if ([...name].length > NICK_CHARS_MAX) return 'nameLong';
  if (name.startsWith('~')) return 'nameTilde';
  return /[:,#\p{Cc}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/u.test(name) ? 'nameChars' : null;
}

/** The same for a room. */
function roomProblem(room) {
  if (room === '') return 'roomEmpty';
  if (new TextEncoder().encode(room).length > ROOM_BYTES_MAX) return 'roomLong';
  return /\p{Cc}/u.test(room) ? 'roomChars' : null;
}

/** A room as people write it, with or without the # that they put before it. */
const tidyRoom = (room) => room.trim().replace(/^#+/, '');

/** The room that the address names; the lobby if it names none. */
function roomOfAddress() {
  let room = location.hash.slice(1);
  try {
    room = decodeURIComponent(room);
  } catch {
    // not encoded: take it as it stands
  }
  room = tidyRoom(room);
  return roomProblem(room) ? LOBBY : room;
}

const addressOf = (room) => `#${encodeURIComponent(room)}`;

// --- who we are --------------------------------------------------------------------------------

/** Every client id that was ours: our publications come back under it. */
const ourIds = new Set();

const self = {
  nick: '',
  client: '',
  /** The name asked for, and the server's proof that it is ours: `{nick, resume}`. */
  proof: null,
  isMine: (info) => ourIds.has(info?.client) || (info?.user ?? '') === `~${self.nick}`,
};

// --- rooms and connection ----------------------------------------------------------------------

const sessions = new Map(); // room -> Session, in the order in which they were opened
let client = null;
let current = null;
let connection = { state: 'connecting' };
let everOnline = false;

const outboxOf = (room) => ({
  load() {
    const kept = tab.get(`unsent.${room}`);
    return Array.isArray(kept) ? kept.filter((entry) => entry?.data?.nonce) : [];
  },
  save: (list) => tab.set(`unsent.${room}`, list.length ? list : null),
});

const readsOf = (room) => ({
  load: () => local.get(`read.${room}`),
  save: (mark) => local.set(`read.${room}`, mark),
});

function makeClient() {
  const scheme = location.protocol === 'https:' ? 'wss:' : 'ws:';
  const made = new Client(`${scheme}//${location.host}/connection/websocket`, {
    name: 'ringchat-web',
    data: () => self.proof ?? { nick: self.nick },
    onConnected: (result) => greeted(result),
    onState: (state, detail) => made === client && stateChanged(state, detail),
  });
  return made;
}

/** The server has accepted us, under a name that may differ from the one asked for. */
function greeted({ client: id, data }) {
  self.client = id;
  ourIds.add(id);
  const asked = self.nick;
  if (data?.nick) self.nick = data.nick;
  self.proof = data?.resume ? { nick: self.nick, resume: data.resume } : null;
  tab.set('proof', self.proof);
  // The other tabs' name is not ours to change: a "-2" is for this tab alone.
  if (self.nick === local.get('nick')) local.set('proof', self.proof);
  if (self.nick !== asked) current?.room.notice('nickGiven', { wanted: named(asked), nick: named(self.nick) });
}

function stateChanged(state, detail) {
  connection = { state, ...detail };
  if (state === 'online') everOnline = true;
  if (state === 'closed' && !everOnline) {
    const reason = t('closed', { reason: reasonOf(detail) });
    stop();
    view.showGate(local.get('nick') ?? '', roomOfAddress(), reason);
    return;
  }
  view.log.setOnline(state === 'online');
  draw();
}

const reasonOf = ({ code, reason, message }) => reason || message || t('noReason', { code });

function start(nick) {
  // A tab that was given "ada-2" for the name "ada" comes back as "ada-2".
  const own = tab.get('wanted') === nick ? tab.get('proof') : null;
  const shared = local.get('proof');
  self.proof = own ?? (shared?.nick === nick ? shared : null);
  self.nick = self.proof?.nick ?? nick;
  tab.set('wanted', nick);
  everOnline = false;
  client = makeClient();
  const open = tab.get('rooms');
  for (const room of Array.isArray(open) ? open : []) openSession(String(room));
  show(roomOfAddress());
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

function openSession(room) {
  if (sessions.has(room)) return sessions.get(room);
  const session = new Session(client, room, {
    self,
    outbox: outboxOf(room),
    reads: readsOf(room),
    onChange: draw,
    onArrival: (item) => arrived(session, item),
  });
  sessions.set(room, session);
  tab.set('rooms', [...sessions.keys()]);
  return session;
}

function show(room) {
  const session = openSession(room);
  if (session === current) return;
  current = session;
  view.talk.show(session);
  moved();
  draw();
}

function leave(room) {
  sessions.get(room)?.leave();
  sessions.delete(room);
  tab.set('rooms', [...sessions.keys()]);
  if (current?.room.name === room) location.hash = addressOf([...sessions.keys()].at(-1));
  draw();
}

function arrived(session, item) {
  if (item.kind !== 'message' && item.kind !== 'me') return;
  const seen = session === current && view.log.atEnd && !document.hidden;
  if (!seen) session.unread += 1;
  if (session === current) view.announce(`${item.nick || t('someone')}: ${item.text}`);
}

/** The reader scrolled, or came back to the page: what is in sight has been read. */
function moved() {
  if (current && view.log.atEnd && !document.hidden) current.seen();
  drawFrame();
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
  let total = 0;
  const rooms = [...sessions.values()].map((session) => {
    total += session.unread;
    const { name } = session.room;
    const leavable = sessions.size > 1 && session.room.unsent.length === 0;
    const seen = session === current ? 0 : session.unread;
    return { name, href: addressOf(name), unread: seen, leavable };
  });
  view.setRooms(rooms, room.name);
  const known = online && current.active;
  view.setPeople(known ? people(room) : null, known ? 'peopleHint' : online ? '' : 'peopleOffline');
  view.setSelf(self.nick, userKey({ user: `~${self.nick}` }));
  view.setRoom({ name: room.name, topic: room.topic, top: topOf(current) });
  view.setUnread({ atEnd: view.log.atEnd, unread, total, name: room.name });
  view.setState({
    ...connection,
    state: online && refused ? 'refused' : connection.state,
    reason: reasonOf(online && refused ? refused : connection),
    again: everOnline,
    waiting: room.waiting,
  });
}

/** What stands above the oldest message shown. */
function topOf(session) {
  if (session.loading) return 'loading';
  if (session.loadFailed) return 'loadFailed';
  if (!session.active || session.room.hasOlder) return '';
  return session.room.length ? 'beginning' : 'empty';
}

/** Everybody known to be here once, we first. */
function people(room) {
  const known = new Map();
  for (const [id, { user, nick }] of room.present) {
    const mine = id === self.client;
    const key = mine ? `~${self.nick}` : user;
    known.set(key, { user: key, nick, self: mine || known.get(key)?.self === true });
  }
  const order = (a, b) => Number(b.self) - Number(a.self) || a.nick.localeCompare(b.nick);
  return [...known.values()].sort(order);
}

// --- what the reader does ----------------------------------------------------------------------

const view = new View({
  enter(name, room) {
    const nick = name.trim().normalize();
    const wanted = tidyRoom(room);
    const problem = nameProblem(nick) ?? roomProblem(wanted);
    if (problem) return problem;
    local.set('nick', nick);
    if (wanted !== roomOfAddress()) history.pushState(null, '', addressOf(wanted));
    start(nick);
    return null;
  },
  open(room) {
    const wanted = tidyRoom(room);
    const problem = roomProblem(wanted);
    if (!problem) location.hash = addressOf(wanted);
    return problem;
  },
  leave,
  changeName() {
    stop();
    view.showGate(local.get('nick') ?? '', roomOfAddress());
  },
  retryNow: () => client?.retryNow(),
  connectAgain: () => client?.start(),
  moved,
  drafts: {
    load: (room) => tab.get(`draft.${room}`) ?? '',
    save: (room, text) => tab.set(`draft.${room}`, text || null),
  },
  app: {
    join(room) {
      const problem = roomProblem(tidyRoom(room));
      if (!problem) location.hash = addressOf(tidyRoom(room));
      return problem;
    },
    topic: (text) => current.topic(text),
  },
});

addEventListener('hashchange', () => client && show(roomOfAddress()));
addEventListener('online', () => client?.retryNow());
addEventListener('pageshow', () => client?.retryNow());
document.addEventListener('visibilitychange', () => {
  if (document.hidden) return;
  client?.retryNow();
  moved();
});

const remembered = local.get('nick');
if (typeof remembered === 'string' && !nameProblem(remembered)) start(remembered);
else view.showGate('', roomOfAddress());
