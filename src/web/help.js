// What one can do by keys and commands.
//
// Owns: the elements in #help. Tested by tests/web/finder.test.mjs.

import { commands } from './commands.js';
import { element } from './row.js';
import { t } from './strings.js';

/** Keys, and the key of their explanation. */
const KEYS = [
  ['Ctrl K · ⌘ K', 'helpSwitch'],
  ['Tab', 'helpTab'],
  ['↑', 'helpUp'],
  ['Esc', 'helpEscape'],
];

export class Help {
  #dialog = document.getElementById('help');

  constructor() {
    const all = [...KEYS, ...commands.map(({ usage, help }) => [usage, help])];
    const lines = all.flatMap(([keys, word]) => [element('dt', '', element('kbd', '', keys)), element('dd', '', t(word))]);
    document.getElementById('help-list').replaceChildren(...lines);
  }

  show() {
    if (!this.#dialog.open) this.#dialog.showModal();
  }
}
