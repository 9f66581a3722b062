// What could complete the word at the cursor: a command, an emoji, a name.
//
// Owns: what is offered, and what would be written. It never touches the page. Tested by
// tests/web/format.test.mjs.

import { commands } from './commands.js';
import { emojiLike } from './emoji.js';
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
