// One row of the log: a message, or a line about the room.
//
// Owns: how an item of the store becomes elements. Names and texts are set as text, never as
// HTML. It knows no room and no scrolling. Tested by tests/web/page.test.mjs and talk.test.mjs;
// colours and initials by tests/web/store.test.mjs.

import { textParts } from './format.js';
import { clockTime, fullTime, nameList, named, t } from './strings.js';

/** Colours of authors: classes `hue-0` .. in style.css. */
const HUES = 12;
/** A longer text is shown in part until somebody asks for all of it. */
const TEXT_SHOWN_MAX = 1_800;
const LINES_SHOWN_MAX = 24;
/** Different reactions shown under a message. */
const REACTIONS_MAX = 24;

/** An element with a class, and content: texts or elements. */
export function element(tag, className = '', ...content) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...content);
  return made;
}

/** The colour class for an author. */
export function hue(user) {
  let hash = 0;
  for (const character of user) hash = (hash * 31 + character.codePointAt(0)) >>> 0;
  return `hue-${(hash % 7919) % HUES}`; // the prime lets all bits count
}

const graphemes = Intl.Segmenter && new Intl.Segmenter(undefined, { granularity: 'grapheme' });

/** One or two letters for an author: "ada lovelace" is AL, "bob" is B. */
export function initials(nick) {
  const words = nick.split(/[\s._-]+/u).filter(Boolean);
  const first = (word) => (graphemes ? [...graphemes.segment(word)][0].segment : [...word][0]);
  const letters = words.slice(0, 2).map(first).join('');
  return (letters || '?').toLocaleUpperCase();
}

/** Puts `text` into `parent`, with its links, code and emoji; `nick` is marked where it is named. */
export function appendText(parent, text, nick = '') {
  parent.append(...textParts(text, nick).map(shownPart));
}

function shownPart({ text, href, code, block, mention }) {
  if (block) {
    const made = element('pre', '', element('code', '', text));
    made.tabIndex = 0; // wide code scrolls, by keyboard too
    return made;
  }
  if (code) return element('code', '', text);
  if (mention) return element('mark', '', text);
  if (!href) return text;
  const link = element('a', '', text);
  link.href = href;
  link.target = '_blank';
  link.rel = 'noopener noreferrer';
  return link;
}

/** Do two items stand under one head: same author, same minute? */
export function sameGroup(previous, item) {
  return (
    previous?.kind === 'message' &&
    item.kind === 'message' &&
    previous.mine === item.mine &&
    (item.mine || previous.user === item.user) &&
    Math.floor(previous.time / 60_000) === Math.floor(item.time / 60_000)
  );
}

/**
 * The elements of an item. `context`: `online`; `expanded`, a set of items shown in full;
 * `original(item)`, what it replies to. Buttons carry `data-action`: `retry`, `discard`,
 * `expand`, `fill`, `jump` (to what it replies to), `react` (with `data-emoji`).
 */
export function rowContent(item, context) {
  switch (item.kind) {
    case 'message':
      return [post(item, context)];
    case 'me':
      return [deed(item, context)];
    case 'presence':
      return [element('p', 'line', presence(item))];
    case 'topic': {
      const key = item.text ? 'topicSet' : 'topicCleared';
      return [element('p', 'line', t(key, { name: named(item.nick), text: named(item.text) }))];
    }
    case 'gap':
      return [gap(item)];
    default:
      return [element('p', 'line', t(item.word, item.vars))];
  }
}

function post(item, context) {
  const avatar = element('span', `avatar ${hue(item.user)}`, initials(item.nick));
  avatar.ariaHidden = 'true';
  const body = element('div', 'body', head(item));
  if (item.replyTo && !item.deleted) body.append(quote(item, context));
  const bubble = element('div', 'bubble', text(item, context));
  const line = element('div', 'bubble-line', bubble);
  if (item.mine) line.append(mark(item, context));
  body.append(line, ...below(item));
  return element('div', 'post', avatar, body);
}

function head(item) {
  const nick = element('bdi', `nick ${hue(item.user)}`, item.nick || t('someone'));
  return element('p', 'head', nick, ' ', timeOf(item));
}

function timeOf(item) {
  const time = element('time', '', clockTime(item.time));
  time.dateTime = new Date(item.time).toISOString();
  time.title = fullTime(item.time);
  return time;
}

function text(item, context) {
  const shown = element('div', 'text');
  shown.dir = 'auto';
  if (item.deleted) {
    shown.classList.add('gone');
    shown.append(t('deleted'));
    return shown;
  }
  const short = context.expanded.has(item) ? item.text : shorten(item.text);
  appendText(shown, short, item.mentionsMe);
  if (short.length < item.text.length) shown.append('… ', button('expand', t('showAll')));
  if (item.edited) shown.append(' ', element('small', 'edited', `(${t(item.change === 'pending' ? 'changing' : 'edited')})`));
  return shown;
}

function shorten(text) {
  let end = -1;
  for (let lines = 0; lines < LINES_SHOWN_MAX; lines += 1) {
    end = text.indexOf('\n', end + 1);
    if (end < 0) break;
  }
  const cut = Math.min(end < 0 ? text.length : end, TEXT_SHOWN_MAX);
  if (text.length - cut < 200) return text; // not worth a button
  // Never between the two halves of one character.
  return text.slice(0, /[\ud800-\udbff]/.test(text[cut - 1]) ? cut - 1 : cut);
}

/** How far an own message has come. */
function mark(item, { online }) {
  const word = { pending: online ? 'sending' : 'queued', sent: 'sent', failed: 'discard' };
  const still = item.state === 'pending' && !online ? ' still' : '';
  const made = element('span', `mark ${item.state}${still}`);
  if (item.state === 'failed') {
    made.append('!');
    made.ariaHidden = 'true';
  } else {
    made.role = 'img';
    made.ariaLabel = t(word[item.state]);
    made.title = t(word[item.state]);
  }
  return made;
}

/** What stands under a message: reactions, or why it failed. */
function below(item) {
  const lines = [];
  if (item.reactions.length) {
    const list = element('ul', 'reactions');
    for (const reaction of item.reactions.slice(0, REACTIONS_MAX)) list.append(element('li', '', chip(reaction)));
    lines.push(list);
  }
  if (item.state === 'failed') lines.push(failure('notSent', item.problem));
  else if (item.change === 'failed') lines.push(failure('notChanged', item.changeProblem));
  return lines;
}

function chip({ emoji, nicks, mine }) {
  const made = button('react', element('span', '', emoji), ' ', String(nicks.length));
  made.className = 'chip';
  made.dataset.emoji = emoji;
  made.title = nameList(nicks, 20);
  made.ariaPressed = String(mine === true);
  return made;
}

function failure(key, why) {
  const said = `${t(key, { reason: problem(why) })} `;
  return element('p', 'failure', said, button('retry', t('retry')), ' ', button('discard', t('discard')));
}

function problem({ code, message }) {
  if (code === 1009) return t('problemTooLong');
  if (code === 103) return t('problemRefused');
  if (code === 100 || code === 111) return t('problemBusy');
  return t('problemServer', { reason: message || code });
}

function quote(item, { original }) {
  const source = original(item);
  const made = button('jump');
  made.className = 'quote';
  made.dir = 'auto';
  if (source?.nick === undefined) made.append(t('replyGone'));
  else made.append(element('b', '', t('replyTo', { name: named(source.nick) })), ' ', excerpt(source));
  return made;
}

/** The beginning of what an item says, in one line. */
export function excerpt(item) {
  return item.deleted ? t('deleted') : item.text.slice(0, 120).replace(/\s+/g, ' ');
}

function deed(item, context) {
  const nick = element('bdi', `nick ${hue(item.user)}`, item.nick || t('someone'));
  const done = text(item, context);
  done.prepend(nick, ' ');
  done.append(' ', timeOf(item));
  const line = element('div', 'bubble-line', done);
  if (item.mine) line.append(mark(item, context));
  return element('div', 'deed', line, ...below(item));
}

function presence({ joined, left }) {
  const say = (key, names) => (names.length ? [t(key, { n: names.length, names: nameList(names) })] : []);
  return [...say('joined', joined), ...say('left', left)].join(' · ');
}

function gap({ missing, more }) {
  const said = missing === null ? t('gapUnknown') : t('gapCount', { n: missing });
  const line = element('p', 'gap-line', element('span', '', said));
  if (more) line.append(button('fill', t('gapLoad')));
  return line;
}

/** A button that does `action`. */
export function button(action, ...label) {
  const made = element('button', 'link', ...label);
  made.type = 'button';
  made.dataset.action = action;
  return made;
}
