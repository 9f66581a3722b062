// Who is in a room.
//
// Owns: asking for the list when we come in, keeping it by joins and leaves, and knowing when a room
// is too large to be listed: then only how many there are is known. It never touches the page.
// Tested by tests/web/people.test.mjs.

import { ServerError } from './client.js';
import { nickOf, userKey } from './store.js';

/** Above so many connections the server announces nobody, so that a list could not be kept. */
const LISTED_MAX = 100;
/** A room that may have outgrown its list, or has, is asked again after so long: milliseconds. */
const AGAIN = 30_000;
const LARGE = LISTED_MAX / 2;
/** A list that may be wrong is asked for again after so long: milliseconds. */
const DOUBT = 1_000;

/** `present`: the room's map from client ids to `{user, nick}`, kept here. `onChange()`: it changed. */
export class Presence {
  /** How many users there are, if they are too many to list; else null. */
  count = null;
  /** The list, or the count, is known. */
  known = false;

  #client;
  #channel;
  #present;
  #onChange;
  #timer = 0;

  constructor(client, channel, { present, onChange }) {
    this.#client = client;
    this.#channel = channel;
    this.#present = present;
    this.#onChange = onChange;
  }

  /** Asks who is there. */
  async load() {
    clearTimeout(this.#timer);
    try {
      const { clients, users } = await this.#client.presenceStats(this.#channel);
      const listed = clients <= LISTED_MAX ? await this.#client.presence(this.#channel) : new Map();
      this.count = clients <= LISTED_MAX ? null : users;
      this.#present.clear();
      for (const [id, info] of listed) this.#present.set(id, { user: userKey(info), nick: nickOf(info) });
      this.known = true;
      if (clients > LARGE) this.#again(AGAIN);
    } catch (error) {
      if (!(error instanceof ServerError)) return; // gone: the next subscribe asks again
      if (error.temporary) this.#again(AGAIN);
    }
    this.#onChange();
  }

  /** Somebody came. */
  join(info) {
    this.#present.set(info.client, { user: userKey(info), nick: nickOf(info) });
    if (this.#present.size > LARGE) this.#again(AGAIN);
  }

  /** Somebody went. A leave may carry the id of a connection that another has taken the place of. */
  leave(info) {
    const user = userKey(info);
    this.#present.delete(info.client);
    if ([...this.#present.values()].some((other) => other.user === user)) this.#again(DOUBT);
  }

  /** The connection is gone. */
  lost() {
    clearTimeout(this.#timer);
    this.known = false;
    this.count = null;
    this.#present.clear();
  }

  #again(milliseconds) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.load(), milliseconds);
  }
}
