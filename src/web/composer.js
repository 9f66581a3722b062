// The composer: where one writes.
//
// Owns: the form under the log, its keys, and whether a text may be sent. It never talks to the
// server: what is said goes to `actions`. Tested by tests/web/page.test.mjs and composer.test.mjs.

import { t } from './strings.js';
import { TEXT_BYTES_MAX, textBytes } from './store.js';

const byId = (id) => document.getElementById(id);

/** `actions.say(text)` says something in the room; `log`: the log above. */
export class Composer {
  #actions;
  #log;
  #text = byId('text');
  #composing = false;

  constructor(actions, log) {
    this.#actions = actions;
    this.#log = log;
    this.#events();
    this.#changed();
  }

  /** Puts the cursor where one writes. */
  focus() {
    this.#text.focus({ preventScroll: true });
  }

  #events() {
    const text = this.#text;
    text.addEventListener('compositionstart', () => (this.#composing = true));
    text.addEventListener('compositionend', () => (this.#composing = false));
    text.addEventListener('input', () => this.#changed());
    text.addEventListener('keydown', (event) => {
      // 229: an input method has the key, also where `isComposing` comes too late.
      if (!this.#composing && !event.isComposing && event.keyCode !== 229) this.#key(event);
    });
    byId('composer').addEventListener('submit', (event) => {
      event.preventDefault();
      this.#send();
      this.focus();
    });
    // Who begins to type while reading means the composer.
    byId('log').addEventListener('keydown', (event) => {
      const plain = !event.ctrlKey && !event.metaKey && !event.altKey;
      const inButton = event.target.closest('a, button');
      if (event.key === 'Escape' || (plain && !inButton && event.key.length === 1 && event.key !== ' ')) {
        this.focus();
      }
    });
  }

  #key(event) {
    if (event.key === 'Enter' && !event.shiftKey) {
      event.preventDefault();
      this.#send();
    } else if (event.key === 'PageUp' || event.key === 'PageDown') {
      event.preventDefault();
      this.#log.page(event.key === 'PageUp' ? -1 : 1);
    }
  }

  #changed() {
    const text = this.#text;
    text.style.height = 'auto';
    if (text.scrollHeight) text.style.height = `${text.scrollHeight}px`;
    byId('send').classList.toggle('idle', text.value.trim() === '');
    this.#tooLong(text.value.length * 3 > TEXT_BYTES_MAX ? textBytes(text.value) : 0);
  }

  /** Says so if `bytes` are too many. */
  #tooLong(bytes) {
    const size = { size: Math.ceil(bytes / 100) / 10, max: TEXT_BYTES_MAX / 1000 };
    this.#problem(bytes > TEXT_BYTES_MAX ? t('tooLong', size) : '');
  }

  #problem(text) {
    const node = byId('composer-problem');
    if (node.textContent !== text) node.textContent = text;
  }

  #send() {
    const field = this.#text;
    // Half a character (a lone surrogate) has no place in JSON: it becomes a replacement sign.
    const text = (field.value.toWellFormed?.() ?? field.value).replace(/^\s*\n|\s+$/gu, '');
    if (text === '') {
      field.value = '';
      this.#changed();
      return;
    }
    const bytes = textBytes(text);
    this.#tooLong(bytes);
    if (bytes > TEXT_BYTES_MAX) return;
    field.value = '';
    this.#changed();
    this.#actions.say(text);
    this.#log.toEnd();
  }
}
