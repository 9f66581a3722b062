// Finding a room or a person: the quick switcher and the browser of public rooms.
//
// Owns: which entries the two dialogs show, and the list of public rooms from the server. It opens
// nothing itself: `app` does. Tested by tests/web/finder.test.mjs.

import { Picker } from './picker.js';
import { roomProblem, tidyRoom } from './rooms.js';
import { t } from './strings.js';

const CHANNEL = 'chat:';
/** While a dialog is open, the list is asked for again after so long: milliseconds. */
const AGAIN = 3_000;

/**
 * `app`: `open(room)`, a room as people write it; `rooms()`: the open ones,
 * `[{name, title, direct, unread, calls, current}]`; `people()`: `[{user, nick}]`, others that are here;
 * `publicRooms()`: resolves with the server's answer to `rooms`.
 */
export class Finder {
  #app;
  #public = null; // [{name, members, topic}], or null: not known
  #switcher;
  #browser;
  #timer = 0;

  constructor(app, { switcher, browser }) {
    this.#app = app;
    this.#switcher = new Picker(switcher, { entries: (query) => this.#switches(query), empty: 'findNothing' });
    this.#browser = new Picker(browser, { entries: (query) => this.#browses(query), empty: 'browseEmpty' });
  }

  switch() {
    this.#browser.open || this.#switcher.show();
    this.#load();
  }

  browse() {
    this.#browser.show();
    this.#load();
  }

  async #load() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => (this.#switcher.open || this.#browser.open) && this.#load(), AGAIN);
    try {
      const { rooms } = await this.#app.publicRooms();
      const ours = rooms.filter(({ channel }) => channel.startsWith(CHANNEL) && !/^chat:[@#$]/.test(channel));
      this.#public = ours.map(({ channel, members, topic }) => ({ name: channel.slice(CHANNEL.length), members, topic }));
    } catch {
      this.#public ??= []; // offline: what was known is shown
    }
    this.#switcher.refresh();
    this.#browser.refresh();
  }

  // --- entries -------------------------------------------------------------------------------

  #switches(query) {
    const open = this.#app.rooms();
    const weight = ({ current, calls, unread }) => (current ? -1 : calls * 1e6 + unread);
    const rooms = open.toSorted((a, b) => weight(b) - weight(a)).map((room) => this.#openRoom(room));
    const people = this.#app.people().map(({ user, nick }) => this.#person(user, nick));
    const known = new Set(open.map(({ name }) => name));
    const others = (this.#public ?? []).filter(({ name }) => !known.has(name)).map((room) => this.#publicRoom(room));
    const seen = new Set(rooms.map(({ id }) => id));
    const found = [...rooms, ...people.filter(({ id }) => !seen.has(id)), ...others];
    return this.#matching(query, found);
  }

  #browses(query) {
    const open = new Set(this.#app.rooms().map(({ name }) => name));
    return this.#matching(query, (this.#public ?? []).map((room) => this.#publicRoom(room, open.has(room.name))));
  }

  /** Those that match: names that begin with the query first; at last, what it would open itself. */
  #matching(query, entries) {
    const wanted = query.replace(/^[#@]/, '').toLocaleLowerCase();
    const place = ({ name }) => name.toLocaleLowerCase().indexOf(wanted);
    const found = entries.filter((entry) => place(entry) >= 0);
    if (wanted) found.sort((a, b) => Math.min(1, place(a)) - Math.min(1, place(b)));
    const room = tidyRoom(query);
    const exact = entries.some(({ name, direct }) => name === room.replace(/^@/, '') && !direct === !room.startsWith('@'));
    return exact || roomProblem(room) ? found : [...found, this.#fresh(room)];
  }

  #openRoom({ title, direct, user, unread, calls, name }) {
    const badge = unread ? String(unread) : '';
    const run = () => this.#app.open(direct ? `@${user}` : name);
    return { id: direct ? `@${user}` : name, sign: direct ? '@' : '#', name: title, direct, badge: calls ? `@${badge}` : badge, run };
  }

  #person(user, nick) {
    return { id: `@${user}`, sign: '@', name: nick, direct: true, note: t('writeTo'), run: () => this.#app.open(`@${user}`) };
  }

  #publicRoom({ name, members, topic }, open = false) {
    const note = [t('members', { n: members }), ...(open ? [t('joinedRoom')] : [])].join(' · ');
    return { id: name, sign: '#', name, detail: topic, note, run: () => this.#app.open(name) };
  }

  #fresh(room) {
    const direct = room.startsWith('@');
    const note = t(direct ? 'writeTo' : 'openNew');
    return { id: `new ${room}`, sign: direct ? '@' : '#', name: room.replace(/^@/, ''), note, run: () => this.#app.open(room) };
  }
}
