// The gate: where a guest picks a name, and where a server that takes only tokens says so.
//
// Owns: the elements in #gate. It never talks to the server: `actions` does.
// Tested by tests/web/entry.test.mjs.

import { t } from './strings.js';

const byId = (id) => document.getElementById(id);

/** `actions`: `enter(name, room)` and `bring(link)` return the key of a problem, or null. */
export class Gate {
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
