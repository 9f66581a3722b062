// A message's text as the parts it is shown in: plain, addresses, code, emoji by name, our name.
//
// Owns: what counts as what. It never touches the page and never makes HTML: row.js sets each part
// as text. Tested by tests/web/format.test.mjs and store.test.mjs.

import { emoji } from './emoji.js';

/** Invisible characters that could make an address look like another end it. */
const ADDRESS = /https?:\/\/[^\s<>"`\u0000-\u001f\u007f\u200b-\u200f\u2028-\u202e\u2066-\u2069]+/giu;
/** Three backticks around; a word behind the first three names the language. */
const BLOCK = /```(?:[\w+#-]*\n)?([^]+?)\n?```/g;
const CODE = /`([^`\n]+)`/g;
const EMOJI = /:([a-z0-9_+-]+):/g;

/**
 * Splits `text`: `[{text}, ...]`, where a part that is not plain is also one of `{href}` (its
 * address), `{code: true}`, `{block: true}` or `{mention: true}` (it names `nick`).
 */
export function textParts(text, nick = '') {
  let parts = split([{ text }], BLOCK, ([, code]) => ({ text: code, block: true }));
  parts = split(parts, CODE, ([, code]) => ({ text: code, code: true }));
  parts = parts.flatMap((part) => (plain(part) ? linkParts(part.text) : [part]));
  parts = split(parts, EMOJI, ([, name]) => (emoji.has(name) ? { text: emoji.get(name), named: true } : null));
  return nick ? split(parts, mentionOf(nick), ([found]) => ({ text: found, mention: true })) : parts;
}

const plain = (part) => Object.keys(part).length === 1;

/** Splits the plain ones of `parts` where `pattern` matches and `make(match)` returns a part. */
function split(parts, pattern, make) {
  return parts.flatMap((part) => (plain(part) ? pieces(part.text, pattern, make) : [part]));
}

function pieces(text, pattern, make) {
  const found = [];
  let from = 0;
  for (const match of text.matchAll(pattern)) {
    const part = make(match);
    if (!part) continue;
    if (match.index > from) found.push({ text: text.slice(from, match.index) });
    found.push(part);
    from = match.index + (part.href ? part.text : match[0]).length; // addresses lose their full stop
  }
  if (from < text.length) found.push({ text: text.slice(from) });
  return found;
}

/** Splits a text into plain parts and addresses: `[{text}, {text, href}, ...]`. */
export function linkParts(text) {
  return pieces(text, ADDRESS, ([found]) => {
    const address = trimAddress(found);
    const href = safeAddress(address);
    return href && { text: address, href };
  });
}

/** Without the punctuation that ends the sentence, not the address. */
function trimAddress(address) {
  let end = address.length;
  for (;;) {
    const last = address[end - 1];
    if (`.,;:!?'*_~“”’»…`.includes(last)) end -= 1;
    else if (last === ')' && count(address, '(', end) < count(address, ')', end)) end -= 1;
    else if (last === ']' && count(address, '[', end) < count(address, ']', end)) end -= 1;
    else return address.slice(0, end);
  }
}

function count(text, character, end) {
  let found = 0;
  for (let i = 0; i < end; i += 1) if (text[i] === character) found += 1;
  return found;
}

/** The address in full if it is a valid http or https one, else null. */
function safeAddress(address) {
  try {
    const url = new URL(address);
    return url.protocol === 'http:' || url.protocol === 'https:' ? url.href : null;
  } catch {
    return null;
  }
}

let pattern = { nick: null };

/** Finds `nick` as a word of its own: "alice" is not in "malice", nor in "alice-2". */
function mentionOf(nick) {
  if (pattern.nick !== nick) {
    const escaped = nick.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&');
    const word = '[\\p{L}\\p{N}_]';
    pattern = { nick, mention: new RegExp(`(?<!${word}|${word}-)@?${escaped}(?!-?${word})`, 'giu') };
  }
  return pattern.mention;
}

/** `nick` if `text` names it, else empty. */
export function mentioned(text, nick) {
  return nick && text.search(mentionOf(nick)) >= 0 ? nick : '';
}
