// The side bar: the rooms that are open, the conversations with one person, who is here, and we.
//
// Owns: the elements in #panel. On narrow pages it lies over the room. It never decides anything: it
// shows what it is given and tells `actions`. Tested by tests/web/page.test.mjs and finder.test.mjs.

import { isUser } from './rooms.js';
import { element, hue, initials } from './row.js';
import { t } from './strings.js';

/** People listed at most. */
const PEOPLE_MAX = 200;

const byId = (id) => document.getElementById(id);

/** Is this a device for fingers? Then a focus that nobody asked for opens a keyboard. */
export const coarse = () => matchMedia('(pointer: coarse)').matches;

/** Sets a text only if it differs: what is selected or read out stays undisturbed. */
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/**
 * `actions`: `open(room)` returns the key of a problem, or null; `leave(name)`; `write(user)`: to this
 * person; `browse()`, `switch()`, `settings()`; `focus()`: puts the focus where one writes.
 */
export class Sidebar {
  #actions;
  #drawn = {};

  constructor(actions) {
    this.#actions = actions;
    byId('panel-open').addEventListener('click', () => this.#panel(true));
    byId('people-open').addEventListener('click', () => this.#panel(true));
    byId('panel-close').addEventListener('click', () => this.#panel(false));
    byId('backdrop').addEventListener('click', () => this.#panel(false));
    byId('panel').addEventListener('keydown', (event) => event.key === 'Escape' && this.#panel(false));
    byId('change-name').addEventListener('click', () => this.#leaving(actions.settings));
    byId('browse').addEventListener('click', () => this.#leaving(actions.browse));
    byId('switch').addEventListener('click', () => this.#leaving(actions.switch));
    this.#roomForm();
    for (const id of ['rooms', 'directs']) byId(id).addEventListener('click', (event) => this.#roomClicked(event));
    const people = byId('people');
    people.addEventListener('keydown', (event) => this.#peopleKey(event));
    people.addEventListener('click', (event) => {
      const user = event.target.closest('button')?.dataset.user;
      if (user) this.#leaving(() => actions.write(user));
    });
  }

  /** The open rooms, `[{name, title, href, direct, online, unread, calls, leavable}]`; `current`: the
   *  name of the one shown. */
  setRooms(rooms, current) {
    if (!this.#changed('rooms', [rooms, current])) return;
    const entries = (direct) => rooms.filter((room) => room.direct === direct).map((room) => entryOf(room, current));
    byId('rooms').replaceChildren(...entries(false));
    const directs = entries(true);
    byId('directs').replaceChildren(...directs);
    byId('directs-title').hidden = directs.length === 0;
  }

  /** Who is here: `people`, `[{user, nick, self, away}]`, or null: not known; `count`: how many there
   *  are; `hint`: the key of what there is to say about it. */
  setPeople({ people, count, hint }) {
    if (!this.#changed('people', [people, count, hint])) return;
    const list = byId('people');
    const focused = document.activeElement?.closest('#people button')?.dataset.user;
    const shown = (people ?? []).slice(0, PEOPLE_MAX);
    list.replaceChildren(...shown.map(personOf));
    const buttons = [...list.querySelectorAll('button')];
    const stop = buttons.find(({ dataset }) => dataset.user === focused) ?? buttons[0];
    if (stop) stop.tabIndex = 0;
    if (focused && stop) stop.focus();
    say(byId('people-count'), count === null ? '' : String(count));
    byId('people-open').ariaLabel = count === null ? t('people') : t('peopleHere', { n: count });
    say(byId('people-open-count'), count === null ? '' : String(count));
    byId('people-open').hidden = count === null;
    const more = (people ?? []).length - shown.length;
    say(byId('people-hint'), hint ? t(hint) : more > 0 ? t('others', { n: more }) : '');
  }

  /** Who we are. */
  setSelf(nick, user) {
    say(byId('self-nick'), nick || t('someone'));
    const avatar = byId('self-avatar');
    avatar.className = `avatar ${hue(user)}`;
    say(avatar, initials(nick));
  }

  // --- inside --------------------------------------------------------------------------------

  #changed(what, value) {
    const drawn = JSON.stringify(value);
    if (this.#drawn[what] === drawn) return false;
    this.#drawn[what] = drawn;
    return true;
  }

  #roomForm() {
    const field = byId('room-name');
    byId('room-form').addEventListener('submit', (event) => {
      event.preventDefault();
      const problem = this.#actions.open(field.value);
      field.setCustomValidity(problem ? t(problem) : '');
      if (problem) {
        field.reportValidity();
        return;
      }
      field.value = '';
      this.#roomChosen();
    });
    field.addEventListener('input', () => field.setCustomValidity(''));
  }

  #roomClicked(event) {
    const leave = event.target.closest('button[data-room]');
    if (leave) this.#actions.leave(leave.dataset.room);
    else if (event.target.closest('a')) this.#roomChosen();
  }

  /** In the list of people the arrows move, so that it is one stop for the tabulator. */
  #peopleKey(event) {
    const buttons = [...byId('people').querySelectorAll('button')];
    const at = buttons.indexOf(document.activeElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: buttons.length - 1 }[event.key];
    const next = at < 0 ? undefined : buttons[to];
    if (!next) return;
    event.preventDefault();
    buttons[at].tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  }

  #roomChosen() {
    this.#panel(false);
    if (!coarse()) this.#actions.focus();
  }

  /** Closes the panel, then does something that brings the focus elsewhere. */
  #leaving(then) {
    this.#panel(false);
    then();
  }

  /** On a narrow page the panel lies over the room; on a wide one this changes nothing. */
  #panel(open) {
    if (byId('app').classList.contains('panel-open') === open) return;
    byId('app').classList.toggle('panel-open', open);
    byId('room').inert = open;
    byId('panel-open').setAttribute('aria-expanded', String(open));
    if (open) byId('panel-close').focus();
    else if (coarse()) byId('panel-open').focus();
    else this.#actions.focus();
  }
}

function entryOf({ name, title, href, direct, online, unread, calls, leavable }, current) {
  const link = element('a', direct ? 'direct' : '', element('bdi', '', title));
  link.href = href;
  if (name === current) link.ariaCurrent = 'page';
  if (direct) {
    const dot = element('span', online ? 'dot online' : 'dot');
    dot.role = 'img';
    dot.ariaLabel = t(online ? 'isHere' : 'isAway');
    link.prepend(dot);
  }
  if (unread) {
    const badge = element('span', calls ? 'badge call' : 'badge', `${calls ? '@' : ''}${unread > 99 ? '99+' : unread}`);
    badge.role = 'img';
    badge.ariaLabel = t(calls ? 'unreadCalls' : 'unread', { n: unread });
    link.append(badge);
  }
  const entry = element('li', unread ? 'news' : '', link);
  if (leavable) {
    const leave = element('button', 'icon', '×');
    leave.type = 'button';
    leave.ariaLabel = leave.title = t('leaveRoom', { room: title });
    leave.dataset.room = name;
    entry.append(leave);
  }
  return entry;
}

function personOf({ user, nick, self, away }) {
  const avatar = element('span', `avatar small ${hue(user)}`, initials(nick));
  avatar.ariaHidden = 'true';
  const name = element('bdi', '', nick || t('someone'));
  const state = element('span', 'unseen', t(away ? 'isAway' : 'isHere'));
  const writable = !self && isUser(user);
  if (!writable) {
    const you = self ? [' ', element('span', 'you', `(${t('you')})`)] : [];
    return element('li', away ? 'away' : '', avatar, name, ...you, state);
  }
  const button = element('button', '', avatar, name, state);
  button.type = 'button';
  button.tabIndex = -1;
  button.dataset.user = user;
  button.title = t('writeToPerson', { name: nick });
  return element('li', away ? 'away' : '', button);
}
