// A dialog in which one types and picks from a list: the quick switcher, the browser of rooms.
//
// Owns: the field, the list, the keys. What is in the list comes from `entries`.
// Tested by tests/web/finder.test.mjs.

import { element } from './row.js';
import { t } from './strings.js';

/** Entries shown at most; typing narrows them. */
const SHOWN_MAX = 100;

/**
 * `dialog`: holds an input, a list (`ul`) and a line for what there is to say (`.hint`).
 * `entries(query)`: `[{sign, name, detail, note, badge, run}]`, best first; `run()` is called for the
 * one that is picked. `empty`: the key of what to say when there is none.
 */
export class Picker {
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
