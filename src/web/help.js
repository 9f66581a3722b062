// What one can do by keys and commands.
//
// Owns: the elements in #help. Tested by tests/web/finder.test.mjs.

import { element } from './row.js';
import { t } from './strings.js';

/** Key or command, and the key of its explanation. */
const LINES = [
  ['Ctrl K · ⌘ K', 'helpSwitch'],
  ['Tab', 'helpTab'],
  ['↑', 'helpUp'],
  ['Esc', 'helpEscape'],
  ['/me', 'helpMe'],
  ['/msg', 'helpMsg'],
  ['/join /leave', 'helpJoin'],
  ['/topic', 'helpTopic'],
  ['/nick', 'helpNick'],
  ['/help', 'help'],
];

export class Help {
  #dialog = document.getElementById('help');

  constructor() {
    const lines = LINES.flatMap(([keys, word]) => [element('dt', '', element('kbd', '', keys)), element('dd', '', t(word))]);
    document.getElementById('help-list').replaceChildren(...lines);
  }

  show() {
    if (!this.#dialog.open) this.#dialog.showModal();
  }
}
