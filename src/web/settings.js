// The settings: our name, dark or light, notifications, the sound; and the way out.
//
// Owns: the elements in #settings. Tested by tests/web/attention.test.mjs, entry.test.mjs and
// look.test.mjs.

import { local } from './storage.js';
import { t } from './strings.js';

const byId = (id) => document.getElementById(id);

/**
 * `attention`: see attention.js. `actions`: `nick(name)` resolves with the key of a problem, or null;
 * `goOut()`: back to the gate.
 */
export class Settings {
  #dialog = byId('settings');
  #attention;

  constructor(attention, { nick, goOut }) {
    this.#attention = attention;
    byId('name-form').addEventListener('submit', async (event) => {
      event.preventDefault();
      const problem = await nick(byId('own-name').value);
      this.#complain(problem);
      if (!problem) this.#dialog.close();
    });
    for (const choice of this.#dialog.querySelectorAll('[name="theme"]')) {
      choice.addEventListener('change', () => {
        local.set('theme', choice.value === 'system' ? null : choice.value);
        dispatchEvent(new Event('theme'));
      });
    }
    const notify = byId('notify');
    notify.addEventListener('change', async () => {
      const wanted = notify.checked;
      notify.checked = await attention.setNotifies(wanted);
      byId('notify-problem').textContent = wanted && !notify.checked ? t('notifyDenied') : '';
    });
    byId('sound').addEventListener('change', (event) => attention.setSounds(event.target.checked));
    byId('go-out').addEventListener('click', () => {
      this.#dialog.close();
      goOut();
    });
  }

  /** `nick`: our name; `fixed`: it is the token's, not ours to change. */
  show({ nick, fixed }) {
    byId('own-name').value = nick;
    byId('name-form').hidden = fixed;
    this.#complain(null);
    const theme = local.get('theme') ?? 'system';
    for (const choice of this.#dialog.querySelectorAll('[name="theme"]')) choice.checked = choice.value === theme;
    byId('notify').checked = this.#attention.notifies;
    byId('notify').disabled = !globalThis.Notification;
    byId('notify-problem').textContent = '';
    byId('sound').checked = this.#attention.sounds;
    this.#dialog.showModal();
  }

  #complain(problem) {
    byId('name-problem').textContent = problem ? t(problem) : '';
    byId('own-name').setAttribute('aria-invalid', String(Boolean(problem)));
    if (problem) byId('own-name').focus();
  }
}
