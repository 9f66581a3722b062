// The log: the part of a room's items that is on the page, and where the reader stands in it.
//
// Owns: a window of some hundred rows over the store, the sticking to the end, the line above what
// is new, the loading of older rows as the reader nears the top, the way from row to row by key. It
// never holds messages of its own and never asks the server: it calls `onOlder`. Tested by
// tests/web/log.test.mjs.

import { element, rowContent, sameGroup } from './row.js';
import { dayName, t } from './strings.js';

/** Rows added at a time, and rows kept on the page at most. */
const PAGE = 100;
const ROWS_MAX = 400;
/** Rows shown before the line at which a reader goes on. */
const ROWS_BEFORE = 20;
/** Pixels: nearer to an edge than this, more rows are put there. */
const NEAR = 800;
/** Pixels from the end within which the reader counts as being there. */
const END = 48;
/** Pixels left above the line at which a reader goes on. */
const LINE_ABOVE = 72;

/**
 * `log`: the scrolling element; `rows`: its child that takes the rows. `hooks`:
 * - `onOlder()`: the reader nears the top of what is in memory;
 * - `onMoved()`: whether the reader is at the end may have changed;
 * - `onAction(action, item, button)`: a button in a row was pressed (`expand` is done here).
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
  #seeking = false; // the room was just opened: its reader wants to be where they left off
  #scheduled = false;

  constructor(log, rows, hooks) {
    this.#log = log;
    this.#rows = rows;
    this.#hooks = hooks;
    log.addEventListener('scroll', () => this.#scrolled(), { passive: true });
    rows.addEventListener('click', (event) => this.#clicked(event));
    log.addEventListener('keydown', (event) => this.#key(event));
    const keepEnd = new ResizeObserver(() => this.#atEnd && this.#scrollToEnd());
    keepEnd.observe(log);
    keepEnd.observe(rows);
  }

  /** The reader is at the end, and sees what comes. */
  get atEnd() {
    return this.#atEnd;
  }

  /** The item whose row `node` is in; undefined: none. */
  itemOf(node) {
    return this.#shown.get(Number(node.closest('.row')?.dataset.id))?.item;
  }

  /** Shows another room, from where its reader left off, if that is known, else from its end. */
  show(room) {
    this.#room = room;
    this.#context.expanded.clear();
    this.#context.original = (item) => room.original(item, item.replyTo);
    this.#shown.clear();
    this.#rows.replaceChildren();
    this.toEnd();
    this.#seeking = true;
    this.#render();
  }

  /** Tells whether there is a connection: pending messages say what they wait for. */
  setOnline(online) {
    this.#context.online = online;
    this.schedule();
  }

  /** Goes to the latest messages. */
  toEnd() {
    this.#seeking = false;
    this.#first = null;
    this.#pinned = true;
    this.#atEnd = true;
    this.#render();
  }

  /** Goes to an item of the room. `block`: where to in sight, as for `scrollIntoView`. */
  reveal(item, block = 'center') {
    const index = this.#room.indexOf(item);
    if (index < 0) return;
    this.#seeking = false;
    this.#atEnd = false;
    const start = Math.max(0, index - PAGE);
    this.#window(start, Math.min(this.#room.length, start + 2 * PAGE));
    const { node } = this.#shown.get(item.id);
    node.scrollIntoView({ block });
    this.#scrolled();
    node.focus({ preventScroll: true });
    node.classList.remove('found');
    void node.offsetWidth; // the animation begins anew
    node.classList.add('found');
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
    const left = this.#seeking ? room.indexOf(room.firstNew) : -1; // where the reader left off
    if (left >= 0) start = Math.min(start, Math.max(0, left - ROWS_BEFORE));
    let end = this.#pinned ? total : Math.min(total, start + this.#count);
    if (end - start > ROWS_MAX) {
      if (this.#atEnd && left < 0) start = end - 2 * PAGE;
      else end = start + ROWS_MAX;
    }
    this.#window(start, end);
  }

  /** Goes up to where the reader left off, unless that is in sight. */
  #seek() {
    this.#seeking = false;
    const row = this.#shown.get(this.#room.firstNew?.id);
    if (!row || row.node.offsetTop >= this.#log.scrollTop) return;
    this.#atEnd = false;
    this.#log.scrollTop = row.node.offsetTop - LINE_ABOVE;
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
    if (this.#seeking && room.line !== undefined) this.#seek();
    else if (anchor?.body.isConnected) this.#log.scrollTop += topOf(anchor.body) - anchor.top;
    this.#look();
    this.#hooks.onMoved();
  }

  /** The topmost message in sight, without the lines above it, and where it is. */
  #anchor() {
    const edge = topOf(this.#log);
    for (const node of this.#rows.children) {
      if (node.getBoundingClientRect().bottom <= edge) continue;
      const { body } = this.#shown.get(Number(node.dataset.id));
      return { body, top: topOf(body) };
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
    const { firstNew } = room;
    let next = this.#rows.firstChild;
    let previous = null;
    let day = null;
    for (const item of wanted) {
      const row = this.#shown.get(item.id) ?? this.#newRow(item);
      this.#update(row);
      if (row.node === next) next = next.nextSibling;
      else this.#rows.insertBefore(row.node, next);
      this.#group(row, previous, row.day && row.day !== day, item === firstNew);
      day = row.day ?? day;
      previous = item;
    }
  }

  #newRow(item) {
    const node = document.createElement('div');
    const body = document.createElement('div');
    node.dataset.id = item.id;
    if (item.state) node.tabIndex = -1; // it takes the focus from the arrow keys
    node.append(body);
    const row = { item, node, body, version: -1 };
    this.#shown.set(item.id, row);
    return row;
  }

  /** Draws a row anew if its item has changed, or what it quotes. */
  #update(row) {
    const { item } = row;
    const { online } = this.#context;
    const source = item.replyTo && this.#context.original(item)?.version;
    const waits = item.state === 'pending' && row.online !== online;
    if (row.version === item.version && row.source === source && !waits) return;
    Object.assign(row, { version: item.version, source, online });
    if (row.time !== item.time) {
      row.time = item.time;
      row.day = item.time === undefined ? null : new Date(item.time).toDateString();
    }
    const focused = row.body.contains(document.activeElement) ? document.activeElement.dataset : null;
    row.body.replaceChildren(...rowContent(item, this.#context));
    if (focused) this.#refocus(row, focused);
  }

  /** The focus stays at the button that had it, or at the message. */
  #refocus({ node, body }, { action, emoji }) {
    const buttons = [...body.querySelectorAll('button')];
    const same = buttons.find(({ dataset }) => dataset.action === action && dataset.emoji === emoji);
    (same ?? node).focus({ preventScroll: true });
  }

  /** Head and lines above depend on what stands before. */
  #group(row, previous, newDay, isNew) {
    const { item, node } = row;
    const first = newDay || isNew || !sameGroup(previous, item);
    const name = ['row', item.kind, item.mine && 'mine', first && 'first', item.mentionsMe && 'mentions', item.state];
    const found = node.classList.contains('found') && 'found';
    const wanted = [...name, found].filter(Boolean).join(' ');
    if (node.className !== wanted) node.className = wanted;
    const lines = [newDay && element('p', 'day', dayName(item.time)), isNew && element('p', 'day new', t('newLine'))];
    const above = lines.filter(Boolean);
    const key = above.map((line) => line.textContent).join('\n');
    if (key === (row.above ?? '')) return;
    row.above = key;
    while (node.firstChild !== row.body) node.firstChild.remove();
    node.prepend(...above);
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

  /** From message to message with the arrows; the way in is from the end. */
  #key(event) {
    const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (!step || event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
    if (event.target.closest('pre')) return; // it scrolls by itself
    event.preventDefault();
    const rows = [...this.#rows.querySelectorAll(':scope > [tabindex]')];
    const from = rows.indexOf(event.target.closest('.row'));
    const next = from < 0 ? this.#lastInSight(rows) : rows[from + step];
    next?.focus({ preventScroll: true });
    next?.scrollIntoView({ block: 'nearest' });
  }

  #lastInSight(rows) {
    const bottom = this.#log.scrollTop + this.#log.clientHeight;
    return rows.findLast((node) => node.offsetTop < bottom - 20);
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
      this.#hooks.onAction(pressed.dataset.action, row.item, pressed);
    }
  }
}

const topOf = (node) => node.getBoundingClientRect().top;
