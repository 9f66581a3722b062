// The list of suggestions above the field where one writes.
//
// Owns: the list, which entry is chosen, and the keys that choose. What is suggested it is told.
// Tested by tests/web/composer.test.mjs.

import { element } from './row.js';

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
