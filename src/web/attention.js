// Asking for the reader's attention: the title, the favicon, desktop notifications, a sound.
//
// Owns: when each of them is due, and whether the reader wants it. It never decides what is unread.
// Tested by tests/web/attention.test.mjs.

import { local } from './storage.js';

const DOT =
  'data:image/svg+xml,' +
  encodeURIComponent(
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><path fill="#0b7a73" d="M16 2.5a13 13 0 1 0 6.3 24.4l5.2 1.9c.9.3 1.7-.5 1.4-1.4l-1.8-5.1A13 13 0 0 0 16 2.5Z"/><circle cx="16" cy="15.5" r="6" fill="none" stroke="#fff" stroke-width="3.2"/><circle cx="24" cy="8" r="7.5" fill="#d93025" stroke="#fff" stroke-width="2"/></svg>',
  );
/** Characters of a message in a notification. */
const SHOWN_MAX = 160;

/** Is the reader looking elsewhere? */
export const away = () => document.hidden || !document.hasFocus();

export class Attention {
  #icon = document.querySelector('link[rel="icon"]');
  #plain = this.#icon.getAttribute('href');
  #audio = null;

  /** The reader wants desktop notifications, and the browser lets us. */
  get notifies() {
    return local.get('notify') === true && globalThis.Notification?.permission === 'granted';
  }

  get sounds() {
    return local.get('sound') === true;
  }

  /** Switches notifications; asks the browser if it has to. Resolves with whether they are on. */
  async setNotifies(on) {
    if (on && globalThis.Notification?.permission === 'default') await Notification.requestPermission();
    local.set('notify', on || null);
    return this.notifies;
  }

  setSounds(on) {
    local.set('sound', on || null);
    if (on) this.#beep(); // so one knows what it is
  }

  /** Shows how much is unread, and where the reader is. */
  show({ unread, calls, title }) {
    document.title = `${unread ? `(${unread}) ` : ''}${title ? `${title} · ` : ''}ringchat`;
    const href = calls || (unread && document.hidden) ? DOT : this.#plain;
    if (this.#icon.getAttribute('href') !== href) this.#icon.setAttribute('href', href);
  }

  /** Somebody means the reader: `title` and `text` of the message, `room`: one notification for each;
   *  `onOpen()`: the reader follows it. */
  call({ title, text, room, onOpen }) {
    if (this.sounds) this.#beep();
    if (!this.notifies || !away()) return;
    const body = text.length > SHOWN_MAX ? `${text.slice(0, SHOWN_MAX)}…` : text;
    try {
      const notification = new Notification(title, { body, tag: room, icon: this.#plain });
      notification.onclick = () => {
        window.focus();
        notification.close();
        onOpen();
      };
    } catch {
      // Some phones know notifications only from a service worker, which this page has none of.
    }
  }

  #beep() {
    try {
      this.#audio ??= new AudioContext();
      const { currentTime } = this.#audio;
      const tone = this.#audio.createOscillator();
      const volume = this.#audio.createGain();
      tone.frequency.value = 660;
      volume.gain.setValueAtTime(0.08, currentTime);
      volume.gain.exponentialRampToValueAtTime(0.001, currentTime + 0.25);
      tone.connect(volume).connect(this.#audio.destination);
      tone.start();
      tone.stop(currentTime + 0.25);
    } catch {
      // No sound here.
    }
  }
}
