// The log: the part of a room's items that is on the page, and where the reader stands in it.
//
// Owns: a window of some hundred rows over the store, the sticking to the end, the loading of
// older rows as the reader nears the top. It never holds messages of its own and never asks the
// server: it calls `onOlder`. Tested by tests/web/log.test.mjs.

import { rowContent, sameGroup } from './row.js';
import { dayName } from './strings.js';

/** Rows added at a time, and rows kept on the page at most. */
const PAGE = 100;
const ROWS_MAX = 400;
/** Pixels: nearer to an edge than this, more rows are put there. */
const NEAR = 800;
/** Pixels from the end within which the reader counts as being there. */
const END = 48;

/**
 * `log`: the scrolling element; `rows`: its child that takes the rows. `hooks`:
 * - `onOlder()`: the reader nears the top of what is in memory;
 * - `onMoved()`: whether the reader is at the end may have changed;
 * - `onAction(action, item)`: a button in a row was pressed (`expand` is done here).
 */
export class Log {
  #log;
  #rows;
  #hooks;
  #room = null;
  #context = { online: false, expanded: new Set(), original: () => undefined };
  #shown = new Map(); // item id -> {item, node, body, version, online, day, time}
  #first = null; // the item at the top of the window; null: as many as fit
  #count = 0;
  #pinned = true; // the window reaches to the end of the room
  #atEnd = true;
  #scheduled = false;

  constructor(log, rows, hooks) {
    this.#log = log;
    this.#rows = rows;
    this.#hooks = hooks;
    log.addEventListener('scroll', () => this.#scrolled(), { passive: true });
    rows.addEventListener('click', (event) => this.#clicked(event));
    const keepEnd = new ResizeObserver(() => this.#atEnd && this.#scrollToEnd());
    keepEnd.observe(log);
    keepEnd.observe(rows);
  }

  /** The reader is at the end, and sees what comes. */
  get atEnd() {
    return this.#atEnd;
  }

  /** Shows another room, from its end. */
  show(room) {
    this.#room = room;
    this.#context.expanded.clear();
    this.#context.original = (item) => room.original(item, item.replyTo);
    this.#shown.clear();
    this.#rows.replaceChildren();
    this.toEnd();
  }

  /** Tells whether there is a connection: pending messages say what they wait for. */
  setOnline(online) {
    this.#context.online = online;
    this.schedule();
  }

  /** Goes to the latest messages. */
  toEnd() {
    this.#first = null;
    this.#pinned = true;
    this.#atEnd = true;
    this.#render();
  }

  /** Scrolls by pages (negative: up). */
  page(pages) {
    this.#log.scrollBy({ top: pages * this.#log.clientHeight * 0.9 });
  }

  /** Brings the page up to date with the room, at the next frame. */
  schedule() {
    if (this.#scheduled) return;
    this.#scheduled = true;
    const run = () => {
      this.#scheduled = false;
      this.#render();
    };
    if (document.hidden) setTimeout(run, 100); // frames stand still in a hidden page
    else requestAnimationFrame(run);
  }

  // --- the window ----------------------------------------------------------------------------

  #render() {
    const room = this.#room;
    if (!room) return;
    const total = room.length;
    let start = room.indexOf(this.#first);
    if (start < 0) start = Math.max(0, total - PAGE);
    let end = this.#pinned ? total : Math.min(total, start + this.#count);
    if (end - start > ROWS_MAX) {
      if (this.#atEnd) start = end - 2 * PAGE;
      else end = start + ROWS_MAX;
    }
    this.#window(start, end);
  }

  /** Puts exactly the items from `start` to `end` on the page, and keeps the reader's place. */
  #window(start, end) {
    const room = this.#room;
    const anchor = this.#atEnd ? null : this.#anchor();
    this.#first = start < end ? room.at(start) : null;
    this.#count = end - start;
    this.#pinned = end >= room.length;
    this.#fill(start, end);
    if (this.#atEnd) this.#scrollToEnd();
    else if (anchor?.node.isConnected) this.#log.scrollTop = anchor.node.offsetTop - anchor.top;
    this.#look();
    this.#hooks.onMoved();
  }

  /** The topmost row in sight, and how far it is from the upper edge. */
  #anchor() {
    const { scrollTop } = this.#log;
    for (const node of this.#rows.children) {
      const top = node.offsetTop - scrollTop;
      if (top + node.offsetHeight > 0) return { node, top };
    }
    return null;
  }

  #fill(start, end) {
    const room = this.#room;
    const wanted = [];
    for (let index = start; index < end; index += 1) wanted.push(room.at(index));
    const ids = new Set(wanted.map((item) => item.id));
    for (const [id, row] of this.#shown) {
      if (ids.has(id)) continue;
      row.node.remove();
      this.#shown.delete(id);
    }
    let next = this.#rows.firstChild;
    let previous = null;
    let day = null;
    for (const item of wanted) {
      const row = this.#shown.get(item.id) ?? this.#newRow(item);
      this.#update(row);
      if (row.node === next) next = next.nextSibling;
      else this.#rows.insertBefore(row.node, next);
      this.#group(row, previous, row.day && row.day !== day);
      day = row.day ?? day;
      previous = item;
    }
  }

  #newRow(item) {
    const node = document.createElement('div');
    const body = document.createElement('div');
    node.dataset.id = item.id;
    node.append(body);
    const row = { item, node, body, version: -1 };
    this.#shown.set(item.id, row);
    return row;
  }

  /** Draws a row anew if its item has changed. */
  #update(row) {
    const { item } = row;
    const { online } = this.#context;
    const stale = row.version !== item.version || (item.state === 'pending' && row.online !== online);
    if (!stale) return;
    row.version = item.version;
    row.online = online;
    if (row.time !== item.time) {
      row.time = item.time;
      row.day = item.time === undefined ? null : new Date(item.time).toDateString();
    }
    row.body.replaceChildren(...rowContent(item, this.#context));
  }

  /** Head and day line depend on what stands before. */
  #group(row, previous, newDay) {
    const { item, node } = row;
    const first = newDay || !sameGroup(previous, item);
    const state = item.state ? ` ${item.state}` : '';
    const name = `row ${item.kind}${item.mine ? ' mine' : ''}${first ? ' first' : ''}${state}`;
    if (node.className !== name) node.className = name;
    if (newDay) {
      const label = dayName(item.time);
      if (row.separator?.textContent === label) return;
      row.separator?.remove();
      row.separator = document.createElement('p');
      row.separator.className = 'day';
      row.separator.append(label);
      node.prepend(row.separator);
    } else if (row.separator) {
      row.separator.remove();
      row.separator = null;
    }
  }

  // --- moving --------------------------------------------------------------------------------

  #scrollToEnd() {
    this.#log.scrollTop = this.#log.scrollHeight;
  }

  #scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.#log;
    const atEnd = this.#pinned && scrollHeight - scrollTop - clientHeight < END;
    if (atEnd !== this.#atEnd) {
      this.#atEnd = atEnd;
      this.#hooks.onMoved();
    }
    this.#look();
  }

  /** Near an edge of the window: moves it, or asks for older messages. */
  #look() {
    const room = this.#room;
    if (!room || !this.#log.clientHeight) return;
    const { scrollTop, scrollHeight, clientHeight } = this.#log;
    const start = Math.max(0, room.indexOf(this.#first));
    const end = start + this.#count;
    if (scrollTop < NEAR) {
      if (start > 0) {
        const from = Math.max(0, start - PAGE);
        this.#window(from, this.#atEnd ? end : Math.min(end, from + ROWS_MAX));
      } else if (room.hasOlder) {
        this.#hooks.onOlder();
      }
    } else if (!this.#pinned && scrollHeight - scrollTop - clientHeight < NEAR) {
      const to = Math.min(room.length, end + PAGE);
      this.#window(Math.max(start, to - ROWS_MAX), to);
    }
  }

  #clicked(event) {
    const pressed = event.target.closest('button[data-action]');
    const row = this.#shown.get(Number(pressed?.closest('.row')?.dataset.id));
    if (!row) return;
    if (pressed.dataset.action === 'expand') {
      this.#context.expanded.add(row.item);
      row.version = -1;
      this.schedule();
    } else {
      this.#hooks.onAction(pressed.dataset.action, row.item);
    }
  }
}
