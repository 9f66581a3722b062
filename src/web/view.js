// The page around the log: the gate where a name is picked, the panel with rooms and people, the
// line that tells the connection's state.
//
// Owns: every element of index.html except the log's rows and the composer. It never talks to the
// server and never decides anything: it shows what it is given and tells `actions` what the reader
// did.
// Tested by tests/web/page.test.mjs and look.test.mjs.

import { Composer } from './composer.js';
import { Log } from './log.js';
import { element, hue, initials } from './row.js';
import { language, named, t } from './strings.js';

/** People listed at most. */
const PEOPLE_MAX = 200;
/** Messages read out one by one; of more only the number is said. */
const SPOKEN_MAX = 3;

const byId = (id) => document.getElementById(id);

/** Sets a text only if it differs: what is selected or read out stays undisturbed. */
function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Puts the words of the reader's language where index.html has room for them. */
function translate() {
  document.documentElement.lang = language;
  for (const node of document.querySelectorAll('[data-t]')) node.textContent = t(node.dataset.t);
  for (const name of ['aria-label', 'placeholder', 'title']) {
    for (const node of document.querySelectorAll(`[data-t-${name}]`)) {
      node.setAttribute(name, t(node.getAttribute(`data-t-${name}`)));
    }
  }
}

/**
 * `actions`: `enter(name, room)` returns the key of a problem or null; `open(room)` likewise;
 * `leave(room)`; `changeName()`; `say(text)`; `retryNow()`; `connectAgain()`; `older()`;
 * `row(action, item)`; `moved()`.
 */
export class View {
  #actions;
  #rooms = '';
  #people = '';
  #countdown = 0;
  #spoken = [];
  #speaking = 0;

  constructor(actions) {
    this.#actions = actions;
    translate();
    this.log = new Log(byId('log'), byId('rows'), {
      onOlder: actions.older,
      onMoved: actions.moved,
      onAction: actions.row,
    });
    this.#gateEvents();
    this.#panelEvents();
    this.composer = new Composer(actions, this.log);
    byId('to-end').addEventListener('click', () => {
      this.log.toEnd();
      byId('log').focus({ preventScroll: true });
    });
    byId('outage-button').addEventListener('click', () => {
      if (byId('outage-button').dataset.action === 'again') actions.connectAgain();
      else actions.retryNow();
    });
  }

  // --- the gate ------------------------------------------------------------------------------

  /** Asks for a name. `reason`: why it is asked again, if there is something to say. */
  showGate(name, room, reason = '') {
    byId('app').hidden = true;
    byId('gate').hidden = false;
    document.title = 'ringchat';
    byId('gate-name').value = name;
    byId('gate-room').value = room;
    say(byId('gate-problem'), '');
    say(byId('gate-reason'), reason);
    byId('gate-reason').hidden = !reason;
    byId('gate-name').focus();
    byId('gate-name').select();
  }

  /** Shows the chat. */
  showChat() {
    const fromGate = !byId('gate').hidden;
    byId('gate').hidden = true;
    byId('app').hidden = false;
    if (fromGate || !coarse()) this.focusComposer();
  }

  #gateEvents() {
    byId('gate-form').addEventListener('submit', (event) => {
      event.preventDefault();
      const problem = this.#actions.enter(byId('gate-name').value, byId('gate-room').value);
      say(byId('gate-problem'), problem ? t(problem) : '');
      const field = problem?.startsWith('room') ? 'gate-room' : 'gate-name';
      for (const id of ['gate-name', 'gate-room']) {
        byId(id).setAttribute('aria-invalid', String(Boolean(problem) && id === field));
      }
      if (problem) byId(field).focus();
    });
  }

  // --- the panel -----------------------------------------------------------------------------

  #panelEvents() {
    byId('panel-open').addEventListener('click', () => this.#panel(true));
    byId('panel-close').addEventListener('click', () => this.#panel(false));
    byId('backdrop').addEventListener('click', () => this.#panel(false));
    byId('panel').addEventListener('keydown', (event) => {
      if (event.key === 'Escape') this.#panel(false);
    });
    byId('change-name').addEventListener('click', () => {
      this.#panel(false);
      this.#actions.changeName();
    });
    byId('room-form').addEventListener('submit', (event) => {
      event.preventDefault();
      const field = byId('room-name');
      const problem = this.#actions.open(field.value);
      field.setCustomValidity(problem ? t(problem) : '');
      if (problem) {
        field.reportValidity();
        return;
      }
      field.value = '';
      this.#roomChosen();
    });
    byId('room-name').addEventListener('input', (event) => event.target.setCustomValidity(''));
    byId('rooms').addEventListener('click', (event) => {
      const leave = event.target.closest('button[data-room]');
      if (leave) this.#actions.leave(leave.dataset.room);
      else if (event.target.closest('a')) this.#roomChosen();
    });
  }

  #roomChosen() {
    this.#panel(false);
    if (!coarse()) this.focusComposer();
  }

  /** On a narrow page the panel lies over the room; on a wide one this changes nothing. */
  #panel(open) {
    if (byId('app').classList.contains('panel-open') === open) return;
    byId('app').classList.toggle('panel-open', open);
    byId('room').inert = open;
    byId('panel-open').setAttribute('aria-expanded', String(open));
    if (open) byId('panel-close').focus();
    else if (coarse()) byId('panel-open').focus();
    else this.focusComposer();
  }

  /** The open rooms: `[{name, href, unread, leavable}]`, and which one is shown. */
  setRooms(rooms, current) {
    const state = JSON.stringify([rooms, current]);
    if (state === this.#rooms) return;
    this.#rooms = state;
    const entries = rooms.map(({ name, href, unread, leavable }) => {
      const link = element('a', '', element('bdi', '', name));
      link.href = href;
      if (name === current) link.ariaCurrent = 'page';
      if (unread) {
        const badge = element('span', 'badge', unread > 99 ? '99+' : String(unread));
        badge.role = 'img';
        badge.ariaLabel = t('unread', { n: unread });
        link.append(badge);
      }
      const entry = element('li', '', link);
      if (leavable) {
        const leave = element('button', 'icon', '×');
        leave.type = 'button';
        leave.ariaLabel = leave.title = t('leaveRoom', { room: name });
        leave.dataset.room = name;
        entry.append(leave);
      }
      return entry;
    });
    byId('rooms').replaceChildren(...entries);
  }

  /** Who is here as far as is known: `[{user, nick, self}]`; null: not known. `hint`: the key of
   *  what there is to say about it. */
  setPeople(people, hint) {
    const state = JSON.stringify([people, hint]);
    if (state === this.#people) return;
    this.#people = state;
    const entries = (people ?? []).slice(0, PEOPLE_MAX).map(({ user, nick, self }) => {
      const avatar = element('span', `avatar small ${hue(user)}`, initials(nick));
      avatar.ariaHidden = 'true';
      const entry = element('li', '', avatar, element('bdi', '', nick || t('someone')));
      if (self) entry.append(' ', element('span', 'you', `(${t('you')})`));
      return entry;
    });
    byId('people').replaceChildren(...entries);
    const count = byId('people-count');
    say(count, people ? String(people.length) : '');
    count.title = people ? t('knownHere', { n: people.length }) : '';
    say(byId('people-hint'), hint ? t(hint) : '');
  }

  /** Who we are. */
  setSelf(nick, user) {
    say(byId('self-nick'), nick);
    const avatar = byId('self-avatar');
    avatar.className = `avatar ${hue(user)}`;
    say(avatar, initials(nick));
  }

  /** Puts the cursor where one writes. */
  focusComposer() {
    this.composer.focus();
  }

  // --- the room ------------------------------------------------------------------------------

  /** The room's name, topic, and what stands above its oldest message. */
  setRoom({ name, topic, top }) {
    say(byId('room-title'), name);
    say(byId('topic'), topic);
    say(byId('log-top'), top ? t(top) : '');
    byId('log').ariaLabel = t('log', { room: named(name) });
    byId('text').placeholder = t('placeholder', { room: name });
  }

  /** The button that leads back to the end, and what has come meanwhile; the page's title. */
  setUnread({ atEnd, unread, total, name }) {
    const button = byId('to-end');
    button.hidden = atEnd;
    button.classList.toggle('fresh', unread > 0);
    say(button, unread ? t('newMessages', { n: unread }) : '↓');
    button.ariaLabel = unread ? null : t('toEnd');
    document.title = `${total ? `(${total}) ` : ''}${name} · ringchat`;
  }

  /** Reads new messages out to who cannot see them. */
  announce(text) {
    this.#spoken.push(text);
    if (this.#speaking) return;
    this.#speaking = setTimeout(() => {
      this.#speaking = 0;
      const spoken = this.#spoken.splice(0);
      const lines = spoken.length > SPOKEN_MAX ? [t('newMessages', { n: spoken.length })] : spoken;
      byId('announcer').replaceChildren(...lines.map((line) => element('p', '', line)));
    }, 400);
  }

  // --- the connection ------------------------------------------------------------------------

  /**
   * `state`: connecting, online, offline (`retryAt`), closed or refused (`reason`). `again`: this
   * is not the first attempt. `waiting`: messages that wait to be sent.
   */
  setState({ state, retryAt, reason, again, waiting }) {
    clearTimeout(this.#countdown);
    const down = state === 'offline' || state === 'closed' || (state === 'connecting' && again);
    const shown = down ? 'offline' : state === 'refused' ? 'online' : state;
    byId('state-dot').className = `dot ${shown}`;
    say(byId('state'), t(shown));
    byId('outage').hidden = !down && state !== 'refused';
    const texts = { offline: t('offline'), connecting: t('connecting') };
    texts.closed = t('closed', { reason });
    texts.refused = t('refused', { reason });
    say(byId('outage-text'), texts[state] ?? '');
    say(byId('outage-waiting'), waiting ? t('waiting', { n: waiting }) : '');
    const button = byId('outage-button');
    button.hidden = state === 'refused';
    for (const id of ['text', 'send']) byId(id).disabled = state === 'refused';
    button.dataset.action = state === 'closed' ? 'again' : 'now';
    say(button, t(state === 'closed' ? 'connectAgain' : 'retryNow'));
    if (state === 'offline') this.#count(retryAt);
    else say(byId('outage-next'), '');
  }

  #count(retryAt) {
    const seconds = Math.max(1, Math.ceil((retryAt - Date.now()) / 1000));
    say(byId('outage-next'), t('nextTry', { n: seconds }));
    this.#countdown = setTimeout(() => this.#count(retryAt), 500);
  }
}

/** Is this a device for fingers? Then a focus that nobody asked for opens a keyboard. */
function coarse() {
  return matchMedia('(pointer: coarse)').matches;
}
