// The tools of a message: react, reply, edit, delete, and its exact time.
//
// Owns: one small bar that stands at the message under the pointer, or that has the focus. It
// decides nothing: the log tells what was pressed. Tested by tests/web/talk.test.mjs.

import { emoji } from './emoji.js';
import { button, element } from './row.js';
import { exactTime, t } from './strings.js';

/** Emoji offered at once, and after a click on "more". */
const QUICK = 3;
const MORE = 24;

/**
 * `rows`: the element with the rows. `itemOf(node)`: the item of a row; `reachable(item)`: can it be
 * replied to? Buttons carry `data-action`: `react` (with `data-emoji`), `reply`, `edit`, `remove`.
 */
export class Tools {
  #rows;
  #options;
  #bar = element('div', 'tools');
  #place = element('div', 'tools-place', this.#bar); // takes no room, above the message
  #item = null;

  constructor(rows, options) {
    this.#rows = rows;
    this.#options = options;
    this.#bar.role = 'group';
    this.#bar.ariaLabel = t('tools');
    rows.addEventListener('pointerover', (event) => {
      if (event.pointerType === 'mouse') this.#show(event.target.closest('.row'));
    });
    rows.addEventListener('pointerleave', (event) => {
      if (event.pointerType === 'mouse' && !rows.contains(document.activeElement)) this.hide();
    });
    // The bar of another row, under the pointer, stays.
    rows.addEventListener('focusout', ({ target, relatedTarget }) => {
      if (!rows.contains(relatedTarget) && target.closest('.row')?.contains(this.#place)) this.hide();
    });
    rows.addEventListener('focusin', (event) => this.#show(event.target.closest('.row')));
    // Before the log takes the click: some are questions.
    rows.addEventListener('click', (event) => this.#clicked(event), { capture: true });
    rows.addEventListener('keydown', (event) => {
      if (event.key !== 'Enter' || !event.target.matches('.row')) return;
      event.preventDefault();
      this.#bar.querySelector('button')?.focus();
    });
  }

  /** Takes the bar away. */
  hide() {
    this.#place.remove();
    this.#item = null;
  }

  #show(row) {
    const item = row && this.#options.itemOf(row);
    if (item && item === this.#item && this.#bar.isConnected) return;
    if (!item || !this.#options.reachable(item)) {
      this.hide();
      return;
    }
    this.#item = item;
    const picker = element('div', 'emoji', ...this.#reacts(0, QUICK), tool('more', '☺+', t('moreEmoji')));
    const words = [tool('reply', t('reply'))];
    if (item.mine) words.push(tool('edit', t('edit')), tool('remove', t('remove')));
    this.#bar.replaceChildren(picker, ...words, element('span', 'when', exactTime(item.time)));
    row.querySelector(':scope > :not(.day)').before(this.#place);
  }

  #reacts(from, to) {
    return [...emoji].slice(from, to).map(([name, sign]) => {
      const made = tool('react', sign, `:${name}:`);
      made.dataset.emoji = sign;
      made.ariaPressed = String(this.#item.reactions.some((one) => one.emoji === sign && one.mine === true));
      return made;
    });
  }

  #clicked(event) {
    const pressed = event.target.closest('.tools button');
    if (!pressed) return;
    if (pressed.ariaPressed) pressed.ariaPressed = String(pressed.ariaPressed !== 'true');
    if (pressed.dataset.action === 'more') {
      const rest = this.#reacts(QUICK, MORE);
      pressed.before(...rest);
      rest[0].focus();
      pressed.remove();
    } else if (pressed.dataset.action === 'remove' && !pressed.classList.contains('sure')) {
      pressed.classList.add('sure');
      pressed.textContent = t('removeSure');
    } else {
      return; // for the log
    }
    event.stopPropagation();
  }
}

function tool(action, label, title = '') {
  const made = button(action, label);
  made.className = 'tool';
  if (title) made.ariaLabel = made.title = title;
  return made;
}
