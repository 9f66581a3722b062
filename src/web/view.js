// The page around the log: the gate, where a guest picks a name or a server that takes only tokens says
// so, the room's bar, the line that tells the connection's state, who is typing.
//
// Owns: those elements of index.html, and puts the parts with a module of their own in place (side
// bar, conversation). It never talks to the server and never decides anything: it shows what it
// is given and tells `actions` what the reader did.
// Tested by tests/web/page.test.mjs, entry.test.mjs and look.test.mjs.

import { element } from './row.js';
import { Sidebar, coarse, say } from './sidebar.js';
import { language, nameList, named, t } from './strings.js';
import { Talk } from './talk.js';

/** Messages read out one by one; of more only the number is said. */
const SPOKEN_MAX = 3;
/** People who are typing, by name; of more only the number is said. */
const TYPING_MAX = 3;

const byId = (id) => document.getElementById(id);

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
 * `actions`: those of the gate, the side bar and the conversation (talk.js); and `retryNow()`,
 * `connectAgain()`, `topic(text)`.
 */
export class View {
  #actions;
  #countdown = 0;
  #spoken = [];
  #speaking = 0;

  constructor(actions) {
    this.#actions = actions;
    translate();
    this.gate = new Gate(actions);
    this.sidebar = new Sidebar({ ...actions, focus: () => this.focusComposer() });
    this.talk = new Talk(actions);
    this.log = this.talk.log;
    this.#topicEvents();
    this.#dialogEvents();
    byId('to-end').addEventListener('click', () => {
      this.log.toEnd();
      byId('log').focus({ preventScroll: true });
    });
    byId('outage-button').addEventListener('click', () => {
      if (byId('outage-button').dataset.action === 'again') actions.connectAgain();
      else actions.retryNow();
    });
  }

  /** Shows the chat. */
  showChat() {
    const fromGate = this.gate.shown;
    this.gate.hide();
    byId('app').hidden = false;
    if (fromGate || !coarse()) this.focusComposer();
  }

  /** Puts the cursor where one writes. */
  focusComposer() {
    this.talk.composer.focus();
  }

  // --- the room ------------------------------------------------------------------------------

  /** The room's title and topic, and what stands above its oldest message. */
  setRoom({ title, direct, topic, top }) {
    say(byId('room-title'), title);
    byId('room-title').classList.toggle('direct', direct);
    say(byId('topic'), topic);
    byId('topic-edit').hidden = direct;
    byId('topic-edit').title = topic || t('topicSetIt');
    say(byId('log-top'), top ? t(top) : '');
    byId('log').ariaLabel = t('log', { room: named(title) });
    byId('text').placeholder = t('placeholder', { room: title });
  }

  #topicEvents() {
    const dialog = byId('topic-dialog');
    byId('topic-edit').addEventListener('click', () => {
      byId('topic-text').value = byId('topic').textContent;
      dialog.showModal();
      byId('topic-text').select();
    });
    byId('topic-form').addEventListener('submit', (event) => {
      event.preventDefault();
      dialog.close();
      this.#actions.topic(byId('topic-text').value.trim());
    });
  }

  /** A dialog closes with its button, with Escape, and by a click beside it. */
  #dialogEvents() {
    byId('switch-key').textContent = /Mac|iPhone|iPad/.test(navigator.platform) ? '⌘ K' : t('ctrlK');
    for (const dialog of document.querySelectorAll('dialog')) {
      dialog.addEventListener('click', (event) => {
        if (event.target === dialog || event.target.closest('[data-close]')) dialog.close();
      });
    }
  }

  /** Who is typing. */
  setTyping(names) {
    const many = names.length > TYPING_MAX;
    const text = many ? t('typingMany', { n: names.length }) : t('typing', { n: names.length, names: nameList(names) });
    say(byId('typing'), names.length ? text : '');
  }

  /** The button that leads back to the end, and what has come meanwhile. */
  setUnread({ atEnd, unread }) {
    const button = byId('to-end');
    button.hidden = atEnd;
    button.classList.toggle('fresh', unread > 0);
    say(button, unread ? t('newMessages', { n: unread }) : '↓');
    button.ariaLabel = unread ? null : t('toEnd');
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
   * is not the first attempt. `waiting`: messages that wait to be sent. `roundTrip`: milliseconds there
   * and back, or null.
   */
  setState({ state, retryAt, reason, again, waiting, roundTrip }) {
    clearTimeout(this.#countdown);
    const down = state === 'offline' || state === 'closed' || (state === 'connecting' && again);
    const shown = down ? 'offline' : state === 'refused' ? 'online' : state;
    byId('state-dot').className = `dot ${shown}`;
    say(byId('state'), t(shown));
    say(byId('round-trip'), shown === 'online' && roundTrip !== null ? t('roundTrip', { n: Math.max(1, Math.round(roundTrip)) }) : '');
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

// --- the gate ----------------------------------------------------------------------------------

/** `actions`: `enter(name, room)` and `bring(link)` return the key of a problem, or null. */
class Gate {
  constructor({ enter, bring }) {
    const name = byId('gate-name');
    const room = byId('gate-room');
    byId('gate-form').addEventListener('submit', (event) => {
      event.preventDefault();
      const problem = enter(name.value, room.value);
      complain('gate-problem', problem, problem?.startsWith('room') ? room : name, [name, room]);
    });
    const link = byId('gate-token');
    byId('token-form').addEventListener('submit', (event) => {
      event.preventDefault();
      complain('token-problem', bring(link.value.trim()), link, [link]);
    });
  }

  /** Asks for a name. `reason`: why it is asked again, if there is something to say. */
  askName(name, room, reason = '') {
    this.#show('gate-form');
    byId('gate-name').value = name;
    byId('gate-room').value = room;
    explain('gate-reason', reason);
    complain('gate-problem', null, null, [byId('gate-name'), byId('gate-room')]);
    byId('gate-name').focus();
    byId('gate-name').select();
  }

  /** Says that a token is needed, or why the one that we had does not do. */
  askToken(reason = '') {
    this.#show('token-form');
    byId('gate-token').value = '';
    explain('token-reason', reason);
    complain('token-problem', null, null, [byId('gate-token')]);
    byId('gate-token').focus();
  }

  hide() {
    byId('gate').hidden = true;
  }

  get shown() {
    return !byId('gate').hidden;
  }

  #show(form) {
    byId('app').hidden = true;
    byId('gate').hidden = false;
    document.title = 'ringchat';
    for (const id of ['gate-form', 'token-form']) byId(id).hidden = id !== form;
  }
}

function explain(id, reason) {
  byId(id).textContent = reason;
  byId(id).hidden = !reason;
}

/** Shows the problem with one of the fields, or none. */
function complain(id, problem, field, fields) {
  byId(id).textContent = problem ? t(problem) : '';
  for (const one of fields) one.setAttribute('aria-invalid', String(Boolean(problem) && one === field));
  if (problem) field.focus();
}
