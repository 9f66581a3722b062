// Searching a room: what is loaded at once, then page by page what its history still has.
//
// Owns: the search's field and list of what was found. It asks the session for older messages and
// tells `reveal` where the reader wants to go. Tested by tests/web/search.test.mjs.

import { element, hue } from './row.js';
import { exactTime, t } from './strings.js';

/** Messages listed at most. */
const FOUND_MAX = 100;
/** Characters shown before and behind what was found. */
const AROUND = 60;
/** Nothing is searched while one types: milliseconds. */
const PAUSE = 150;

const byId = (id) => document.getElementById(id);

/** `reveal(item)`: goes to a message; `closed()`: the search is over. */
export class Search {
  #options;
  #session = null;
  #query = '';
  #timer = 0;
  #turn = 0; // grows with every search: an older one stops
  #shown = new Map(); // item -> its entry

  constructor(options) {
    this.#options = options;
    byId('search-open').addEventListener('click', () => this.open());
    byId('search-close').addEventListener('click', () => this.close());
    byId('search-text').addEventListener('input', () => {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.#start(), PAUSE);
    });
    byId('search').addEventListener('keydown', (event) => this.#key(event));
    byId('search-found').addEventListener('click', (event) => this.#chosen(event));
    document.addEventListener('keydown', (event) => {
      // Pressed again in our field, the browser's own search opens.
      const wanted = event.key === 'f' && (event.ctrlKey || event.metaKey) && !event.shiftKey && !event.altKey;
      if (!wanted || !this.#session || document.activeElement === byId('search-text')) return;
      event.preventDefault();
      this.open();
    });
  }

  /** Another room is shown. */
  show(session) {
    this.#session = session;
    this.#end();
  }

  /** Opens the search; with `text` it begins at once. */
  open(text = '') {
    byId('search').hidden = false;
    byId('search-open').hidden = true;
    const field = byId('search-text');
    if (text) field.value = text;
    field.focus();
    field.select();
    this.#start();
  }

  close() {
    this.#end();
    this.#options.closed();
  }

  #end() {
    clearTimeout(this.#timer);
    this.#turn += 1;
    byId('search').hidden = true;
    byId('search-open').hidden = false;
  }

  #key(event) {
    const entries = [...byId('search-found').querySelectorAll('button')];
    const at = entries.indexOf(document.activeElement);
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (event.key === 'Escape') this.close();
    else if (event.key === 'Enter' && at < 0) entries[0]?.click();
    else if (step && at + step < 0) byId('search-text').focus();
    else if (step) entries[at + step]?.focus();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  /** Searches what is loaded, then loads more and searches that. */
  async #start() {
    const turn = (this.#turn += 1);
    const session = this.#session;
    this.#query = byId('search-text').value.trim().toLocaleLowerCase();
    this.#shown.clear();
    byId('search-found').replaceChildren();
    byId('search-state').textContent = '';
    if (this.#query === '') return;
    const goOn = () => {
      if (turn === this.#turn) this.#draw(true);
      return turn === this.#turn && this.#shown.size < FOUND_MAX;
    };
    await session.reach(null, 0, goOn);
    if (turn === this.#turn) this.#draw(false, session.room.hasOlder);
  }

  #draw(searching, failed = false) {
    const found = this.#find();
    const list = byId('search-found');
    found.forEach((item, index) => {
      let entry = this.#shown.get(item);
      if (!entry) this.#shown.set(item, (entry = this.#entry(item)));
      if (list.children[index] !== entry) list.insertBefore(entry, list.children[index] ?? null);
    });
    const key = found.length < FOUND_MAX ? 'found' : 'foundMost';
    const rest = searching ? t('searching') : failed ? t('searchFailed') : '';
    byId('search-state').textContent = `${t(key, { n: found.length })} ${key === 'found' ? rest : ''}`;
  }

  /** What fits, the latest first. */
  #find() {
    const { room } = this.#session;
    const found = [];
    for (let index = room.length - 1; index >= 0 && found.length < FOUND_MAX; index -= 1) {
      const item = room.at(index);
      if (item.state && !item.deleted && item.text.toLocaleLowerCase().includes(this.#query)) found.push(item);
    }
    return found;
  }

  #entry(item) {
    const nick = element('bdi', `nick ${hue(item.user)}`, item.nick || t('someone'));
    const time = element('time', '', exactTime(item.time));
    const text = element('span', 'text', ...this.#around(item.text));
    text.dir = 'auto';
    const made = element('button', '', nick, ' ', time, text);
    made.type = 'button';
    return element('li', '', made);
  }

  /** The text around what was found, which is marked. */
  #around(text) {
    const at = text.toLocaleLowerCase().indexOf(this.#query);
    const end = at + this.#query.length;
    const before = text.slice(Math.max(0, at - AROUND), at);
    const behind = text.slice(end, end + AROUND);
    return [at > AROUND ? '…' : '', before, element('mark', '', text.slice(at, end)), behind, end + AROUND < text.length ? '…' : ''];
  }

  #chosen(event) {
    const entry = event.target.closest('li');
    const item = [...this.#shown].find(([, node]) => node === entry)?.[0];
    if (!item) return;
    this.#end();
    this.#options.reveal(item);
  }
}
