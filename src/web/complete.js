// Completing the word at the cursor: a command, an emoji, a name.
//
// Owns: what is offered, what would be written, the list above the field and the keys that choose
// from it. Tested by tests/web/format.test.mjs (what is offered) and composer.test.mjs.

import { commands } from './commands.js';
import { emojiLike } from './emoji.js';
import { element } from './row.js';
import { t } from './strings.js';

/** Suggestions offered at most. */
const MOST = 8;

/**
 * What is offered unasked for `before`, the text before the cursor: `{from, list}`, where `list` is
 * `[{insert, label, hint}]` and `insert` replaces what stands behind `from`; null: nothing.
 * `names()`: who is here.
 */
export function offered(before, names) {
  const command = /^\/(\p{L}*)$/u.exec(before);
  if (command) return some(0, commandsLike(command[1].toLowerCase()));
  const sign = /(?:^|\s):([a-z0-9_+-]{2,})$/iu.exec(before);
  if (sign) return some(before.length - sign[1].length - 1, emojiEntries(sign[1]));
  const at = /(?:^|\s)@(\S*)$/u.exec(before);
  if (at) return some(before.length - at[1].length - 1, nameEntries(at[1], names(), '@', ' '));
  return null;
}

/** The same for who asks by Tab: also for names without "@", and for emoji from the first letter. */
export function asked(before, names) {
  const [word] = /\S*$/u.exec(before);
  if (word === '') return null;
  const from = before.length - word.length;
  if (word.startsWith(':')) return some(from, emojiEntries(word.slice(1)));
  return offered(before, names) ?? some(from, nameEntries(word, names(), '', from === 0 ? ': ' : ' '));
}

function some(from, list) {
  return list.length ? { from, list: list.slice(0, MOST) } : null;
}

function commandsLike(start) {
  return commands
    .filter(({ name }) => name.startsWith(start))
    .map(({ name, usage, help }) => ({ insert: `/${name} `, label: usage, hint: t(help) }));
}

function emojiEntries(start) {
  return emojiLike(start.toLowerCase(), MOST).map(([name, sign]) => ({ insert: `${sign} `, label: sign, hint: `:${name}:` }));
}

function nameEntries(start, names, before, after) {
  const wanted = start.toLowerCase();
  return names
    .filter((name) => name.toLowerCase().startsWith(wanted))
    .map((name) => ({ insert: `${before}${name}${after}`, label: name, hint: '' }));
}

/** `list`: the list's element; `field`: the text field, which keeps the focus; `onChosen({insert,
 *  from})`: an entry was taken. */
export class Suggestions {
  #list;
  #field;
  #onChosen;
  #offer = null; // {from, list}
  #index = 0;
  #moved = false;

  constructor(list, field, onChosen) {
    this.#list = list;
    this.#field = field;
    this.#onChosen = onChosen;
    list.addEventListener('pointerdown', (event) => event.preventDefault()); // the field keeps the focus
    list.addEventListener('click', (event) => {
      const index = [...list.children].indexOf(event.target.closest('li'));
      if (index >= 0) this.#choose(index);
    });
  }

  /** Shows what `offered` returned; null: nothing. */
  show(offer) {
    if (!offer) {
      this.hide();
      return;
    }
    this.#offer = offer;
    this.#moved = false;
    this.#list.replaceChildren(
      ...offer.list.map(({ label, hint }, index) => {
        const entry = element('li', '', element('bdi', '', label), ' ', element('small', '', hint));
        entry.role = 'option';
        entry.id = `suggestion-${index}`;
        return entry;
      }),
    );
    this.#list.hidden = false;
    this.#select(0);
  }

  hide() {
    if (!this.#offer) return;
    this.#offer = null;
    this.#list.hidden = true;
    this.#field.removeAttribute('aria-activedescendant');
  }

  /** Takes a key. Returns whether it was ours. */
  key({ key, shiftKey }) {
    if (!this.#offer || shiftKey) return false;
    const step = { ArrowUp: -1, ArrowDown: 1 }[key];
    if (step) {
      const { length } = this.#offer.list;
      this.#moved = true;
      this.#select((this.#index + step + length) % length);
    } else if (key === 'Tab' || (key === 'Enter' && this.#takesEnter())) {
      this.#choose(this.#index);
    } else if (key === 'Escape') {
      this.hide();
    } else {
      return false;
    }
    return true;
  }

  /** Enter sends, unless the reader has moved in the list or half a command stands there. */
  #takesEnter() {
    const { insert } = this.#offer.list[this.#index];
    return this.#moved || (insert.startsWith('/') && insert.trim() !== this.#field.value.trim());
  }

  #select(index) {
    this.#index = index;
    [...this.#list.children].forEach((entry, at) => (entry.ariaSelected = String(at === index)));
    this.#list.children[index].scrollIntoView({ block: 'nearest' });
    this.#field.setAttribute('aria-activedescendant', `suggestion-${index}`);
  }

  #choose(index) {
    const { from, list } = this.#offer;
    this.#onChosen({ ...list[index], from });
  }
}
