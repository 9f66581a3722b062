// Finding a room or a person: the quick switcher and the browser of public rooms, two dialogs in which
// one types and picks from a list.
//
// Owns: the fields, the lists, their keys and entries, and the list of public rooms from the server. It
// opens nothing itself: `app` does. Tested by tests/web/finder.test.mjs.

import { roomProblem, tidyRoom } from './rooms.js';
import { element } from './row.js';
import { t } from './strings.js';

const CHANNEL = 'chat:';
/** While a dialog is open, the list is asked for again after so long: milliseconds. */
const AGAIN = 3_000;
/** Entries shown at most; typing narrows them. */
const SHOWN_MAX = 100;

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

/**
 * `dialog`: holds an input, a list (`ul`) and a line for what there is to say (`.hint`).
 * `entries(query)`: `[{sign, name, detail, note, badge, run}]`, best first; `run()` is called for the
 * one that is picked. `empty`: the key of what to say when there is none.
 */
class Picker {
  #dialog;
  #input;
  #list;
  #entries;
  #empty;
  #shown = [];
  #active = 0;

  constructor(dialog, { entries, empty }) {
    this.#dialog = dialog;
    this.#input = dialog.querySelector('input');
    this.#list = dialog.querySelector('ul');
    this.#entries = entries;
    this.#empty = empty;
    this.#input.addEventListener('input', () => this.#query());
    this.#input.addEventListener('keydown', (event) => this.#key(event));
    this.#list.addEventListener('click', (event) => this.#pick(this.#indexOf(event.target)));
    // The field keeps the focus, so that the keys go on working.
    this.#list.addEventListener('mousedown', (event) => event.preventDefault());
  }

  get open() {
    return this.#dialog.open;
  }

  show() {
    this.#input.value = '';
    if (!this.#dialog.open) this.#dialog.showModal();
    this.#input.focus();
    this.#query();
  }

  /** The entries have changed: shows them, and keeps what is chosen. */
  refresh() {
    if (this.#dialog.open) this.#draw();
  }

  #query() {
    this.#active = 0;
    this.#draw();
    this.#list.scrollTop = 0;
  }

  #draw() {
    const chosen = this.#active > 0 ? this.#shown[this.#active]?.id : undefined;
    this.#shown = this.#entries(this.#input.value.trim()).slice(0, SHOWN_MAX);
    const kept = this.#shown.findIndex(({ id }) => id === chosen);
    this.#active = Math.max(0, chosen === undefined ? 0 : kept);
    this.#list.replaceChildren(...this.#shown.map((entry, index) => this.#option(entry, index)));
    this.#dialog.querySelector('.hint').textContent = this.#shown.length ? '' : t(this.#empty);
    this.#mark();
  }

  #option({ sign, name, detail, note, badge }, index) {
    const option = element('li', 'option', element('span', 'sign', sign), element('bdi', 'name', name));
    option.id = `${this.#list.id}-${index}`;
    option.role = 'option';
    option.firstChild.ariaHidden = 'true';
    if (badge) option.append(element('span', 'badge', badge));
    if (detail) option.append(element('bdi', 'detail', detail));
    if (note) option.append(element('span', 'note', note));
    return option;
  }

  #mark() {
    for (const [index, option] of [...this.#list.children].entries()) {
      option.ariaSelected = String(index === this.#active);
    }
    const active = this.#list.children[this.#active];
    if (active) this.#input.setAttribute('aria-activedescendant', active.id);
    else this.#input.removeAttribute('aria-activedescendant');
    active?.scrollIntoView({ block: 'nearest' });
  }

  #key(event) {
    const last = this.#shown.length - 1;
    const to = { ArrowDown: this.#active + 1, ArrowUp: this.#active - 1, PageDown: this.#active + 8, PageUp: this.#active - 8 };
    if (event.key === 'Enter' && !event.isComposing) {
      event.preventDefault();
      this.#pick(this.#active);
    } else if (event.key in to && last >= 0) {
      event.preventDefault();
      this.#active = Math.min(last, Math.max(0, to[event.key]));
      this.#mark();
    }
  }

  #indexOf(node) {
    return [...this.#list.children].indexOf(node.closest('li'));
  }

  #pick(index) {
    const entry = this.#shown[index];
    if (!entry) return;
    this.#dialog.close();
    entry.run();
  }
}
