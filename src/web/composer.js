// The composer: where one writes.
//
// Owns: the form under the log, its keys, drafts, what is being edited or answered, and whether a
// text may be sent. It never talks to the server: what is said goes to `actions`. Tested by
// tests/web/page.test.mjs and composer.test.mjs.

import { isCommand } from './commands.js';
import { Suggestions, asked, offered } from './complete.js';
import { button, element, excerpt } from './row.js';
import { named, t } from './strings.js';
import { TEXT_BYTES_MAX, textBytes } from './store.js';

/** A paste of more characters or lines than these asks first. */
const PASTE_CHARS_MAX = 2_000;
const PASTE_LINES_MAX = 25;
/** Others are told that somebody types, at most this often: milliseconds. */
const TYPING_PAUSE = 3_000;

const byId = (id) => document.getElementById(id);

/**
 * `actions`: `say(text, replyTo)`; `edit(item, text)`; `command(text)`, which promises the text of a
 * problem or an empty one; `typing(on)`; `lastOwn()`: the item that ArrowUp edits; `names()`: who is
 * here; `page(pages)` scrolls the log; `save(text)` keeps the draft.
 */
export class Composer {
  #actions;
  #text = byId('text');
  #suggestions = new Suggestions(byId('suggestions'), this.#text, (entry) => this.#complete(entry));
  #composing = false;
  #mode = null; // {edit: item, draft} or {reply: item}
  #cycle = null; // {from, list, index, value}: what Tab offered last
  #typedAt = 0;

  constructor(actions) {
    this.#actions = actions;
    this.#events();
    this.#changed();
  }

  /** Puts the cursor where one writes. */
  focus() {
    this.#text.focus({ preventScroll: true });
  }

  /** Another room, with what was begun to be written there. */
  show(draft) {
    this.#typedAt = 0;
    this.#mode = null;
    this.#bar();
    this.#set(draft);
  }

  /** What is sent next answers `item`. */
  reply(item) {
    this.#leaveMode();
    this.#mode = { reply: item };
    this.#bar(t('replying', { name: named(item.nick), text: excerpt(item) }), this.#cancel());
    this.focus();
  }

  /** Changes an own message. */
  edit(item) {
    this.#leaveMode();
    this.#mode = { edit: item, draft: this.#text.value };
    this.#bar(t('editing'), this.#cancel());
    this.#set(item.text);
    this.focus();
  }

  /** Says what is wrong. */
  problem(text) {
    const node = byId('composer-problem');
    if (node.textContent !== text) node.textContent = text;
  }

  // --- keys ----------------------------------------------------------------------------------

  #events() {
    const text = this.#text;
    text.addEventListener('compositionstart', () => (this.#composing = true));
    text.addEventListener('compositionend', () => (this.#composing = false));
    text.addEventListener('input', () => this.#typed());
    text.addEventListener('blur', () => this.#suggestions.hide());
    text.addEventListener('paste', (event) => this.#pasted(event));
    text.addEventListener('keydown', (event) => {
      // 229: an input method has the key, also where `isComposing` comes too late.
      if (this.#composing || event.isComposing || event.keyCode === 229) return;
      if (this.#key(event)) event.preventDefault();
    });
    byId('composer').addEventListener('submit', (event) => {
      event.preventDefault();
      this.#send();
      this.focus();
    });
    byId('composer-bar').addEventListener('keydown', (event) => event.key === 'Escape' && this.#leaveMode());
    // Who begins to type while reading means the composer.
    byId('log').addEventListener('keydown', (event) => {
      const plain = !event.ctrlKey && !event.metaKey && !event.altKey;
      const inButton = event.target.closest('a, button');
      if (event.key === 'Escape' || (plain && !inButton && event.key.length === 1 && event.key !== ' ')) {
        this.focus();
      }
    });
  }

  /** Returns whether the key was ours. */
  #key(event) {
    const { key } = event;
    if (event.ctrlKey || event.metaKey || event.altKey) return false;
    if (this.#suggestions.key(event)) return true;
    if (key === 'Enter' && !event.shiftKey) this.#send();
    else if (key === 'Tab' && !event.shiftKey) return this.#tab();
    else if (key === 'Escape') return this.#leaveMode();
    else if (key === 'ArrowUp' && !event.shiftKey) return this.#editLast();
    else if (key === 'PageUp' || key === 'PageDown') this.#actions.page(key === 'PageUp' ? -1 : 1);
    else return false;
    return true;
  }

  #editLast() {
    const item = this.#text.value === '' && !this.#mode && this.#actions.lastOwn();
    if (item) this.edit(item);
    return Boolean(item);
  }

  // --- completion ----------------------------------------------------------------------------

  get #before() {
    const { value, selectionStart, selectionEnd } = this.#text;
    return selectionStart === selectionEnd ? value.slice(0, selectionStart) : '';
  }

  /** Completes the word at the cursor; pressed again, with the next that fits. */
  #tab() {
    let cycle = this.#cycle;
    if (cycle?.list[1] && cycle.value === this.#text.value) {
      cycle.index = (cycle.index + 1) % cycle.list.length;
    } else {
      cycle = asked(this.#before, this.#actions.names);
      if (!cycle) return false;
      Object.assign(cycle, { index: 0, end: this.#text.selectionStart });
    }
    const { insert } = cycle.list[cycle.index];
    this.#write(insert, cycle.from, cycle.end);
    this.#cycle = { ...cycle, end: cycle.from + insert.length, value: this.#text.value };
    return true;
  }

  #complete({ insert, from }) {
    this.#write(insert, from, this.#text.selectionStart);
    this.#suggestions.hide();
  }

  #write(insert, from, to) {
    this.#text.setRangeText(insert, from, to, 'end');
    this.#changed();
    this.#save();
  }

  // --- what is written -----------------------------------------------------------------------

  #typed() {
    this.#cycle = null;
    this.#changed();
    this.#save();
    const { value } = this.#text;
    this.#suggestions.show(offered(this.#before, this.#actions.names));
    if (value === '') this.#stoppedTyping();
    if (value.trim() === '' || isCommand(value) || this.#mode?.edit) return;
    if (Date.now() - this.#typedAt < TYPING_PAUSE) return;
    this.#typedAt = Date.now();
    this.#actions.typing(true);
  }

  #stoppedTyping() {
    if (this.#typedAt) this.#actions.typing(false);
    this.#typedAt = 0;
  }

  #set(text) {
    this.#text.value = text;
    this.#suggestions.hide();
    this.#changed();
  }

  #save() {
    if (!this.#mode?.edit) this.#actions.save(this.#text.value);
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
    this.problem(bytes > TEXT_BYTES_MAX ? t('tooLong', size) : '');
  }

  #send() {
    const field = this.#text;
    // Half a character (a lone surrogate) has no place in JSON: it becomes a replacement sign.
    const text = (field.value.toWellFormed?.() ?? field.value).replace(/^\s*\n|\s+$/gu, '');
    if (text === '') {
      if (!this.#mode?.edit) this.#set('');
      return;
    }
    const bytes = textBytes(text);
    this.#tooLong(bytes);
    if (bytes > TEXT_BYTES_MAX) return;
    const mode = this.#mode;
    if (mode?.edit) {
      this.#leaveMode();
      this.#actions.edit(mode.edit, text);
      return;
    }
    this.#set('');
    this.#save();
    this.#stoppedTyping();
    if (isCommand(text)) {
      this.#command(text);
      return;
    }
    this.#leaveMode();
    this.#actions.say(text, mode?.reply);
  }

  /** What could not be done stands in the field again. */
  async #command(text) {
    const problem = await this.#actions.command(text);
    if (!problem) return;
    if (this.#text.value === '') this.#set(text);
    this.problem(problem);
  }

  // --- what stands above the field -----------------------------------------------------------

  /** Shows a line with buttons above the field; without a text: none. */
  #bar(text = '', ...buttons) {
    const bar = byId('composer-bar');
    bar.hidden = text === '';
    bar.replaceChildren(element('p', '', text), ...buttons);
  }

  #cancel() {
    return this.#choice('cancel', () => this.#leaveMode());
  }

  #choice(word, chosen) {
    const made = button(word, t(word));
    made.addEventListener('click', chosen);
    return made;
  }

  /** Ends an edit, a reply, a question. Returns whether there was one. */
  #leaveMode() {
    const mode = this.#mode;
    const open = !byId('composer-bar').hidden;
    this.#mode = null;
    this.#bar();
    if (mode?.edit) this.#set(mode.draft);
    if (open) this.focus();
    return open;
  }

  #pasted(event) {
    const text = event.clipboardData?.getData('text/plain') ?? '';
    const lines = text.split('\n').length;
    if (text.length <= PASTE_CHARS_MAX && lines <= PASTE_LINES_MAX) return;
    event.preventDefault();
    const bar = byId('composer-bar');
    const before = [...bar.childNodes];
    const hidden = bar.hidden;
    const close = () => {
      bar.replaceChildren(...before);
      bar.hidden = hidden;
      this.focus();
    };
    const paste = (what) => {
      close();
      this.#write(what, this.#text.selectionStart, this.#text.selectionEnd);
    };
    const yes = this.#choice('paste', () => paste(text));
    const code = this.#choice('pasteCode', () => paste(`\`\`\`\n${text.trimEnd()}\n\`\`\`\n`));
    const no = this.#choice('cancel', close);
    this.#bar(t('pasteLong', { n: text.length, lines }), yes, code, no);
    yes.focus();
  }
}
