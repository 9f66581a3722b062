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
  #item = null;

  constructor(rows, options) {
    this.#rows = rows;
    this.#options = options;
    this.#bar.role = 'group';
    this.#bar.ariaLabel = t('tools');
    rows.addEventListener('pointerover', (event) => {
      if (event.pointerType === 'mouse') this.#show(event.target.closest('.row'));
    });
    rows.addEventListener('pointerleave', () => this.#bar.contains(document.activeElement) || this.hide());
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
    this.#bar.remove();
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
    this.#fill(QUICK);
    row.append(this.#bar);
  }

  #fill(count) {
    const { time, mine, reactions } = this.#item;
    const names = [...emoji].slice(0, count);
    const reacts = names.map(([name, sign]) => {
      const made = tool('react', sign, `:${name}:`);
      made.dataset.emoji = sign;
      made.ariaPressed = String(reactions.some((one) => one.emoji === sign && one.mine === true));
      return made;
    });
    const more = count < MORE ? [tool('more', '☺+', t('moreEmoji'))] : [];
    const words = [tool('reply', t('reply'))];
    if (mine) words.push(tool('edit', t('edit')), tool('remove', t('remove')));
    const picker = element('div', 'emoji', ...reacts, ...more);
    this.#bar.replaceChildren(picker, ...words, element('span', 'when', exactTime(time)));
  }

  #clicked(event) {
    const pressed = event.target.closest('.tools button');
    if (!pressed) return;
    if (pressed.dataset.action === 'more') {
      this.#fill(MORE);
      this.#bar.querySelector(`button:nth-child(${QUICK + 1})`).focus();
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
