// What the browser keeps for the page.
//
// Owns: reading and writing it as JSON, and surviving a browser that keeps nothing. Of what is kept
// it knows only that a message has a nonce and a time. Tested by tests/web/page.test.mjs and
// kept.test.mjs.

/** What is kept in `localStorage` or `sessionStorage`; either may be full, or switched off. */
function storage(kind) {
  const prefix = 'ringchat.';
  return {
    get(key) {
      try {
        return JSON.parse(globalThis[kind].getItem(prefix + key));
      } catch {
        return null;
      }
    },
    /** Returns whether it is kept. */
    set(key, value) {
      try {
        if (value === null) globalThis[kind].removeItem(prefix + key);
        else globalThis[kind].setItem(prefix + key, JSON.stringify(value));
        return true;
      } catch {
        return false; // the page works without
      }
    },
    /** What follows `start` in the keys that begin with it. */
    keys(start) {
      try {
        const keys = Object.keys(globalThis[kind]).filter((key) => key.startsWith(prefix + start));
        return keys.map((key) => key.slice((prefix + start).length));
      } catch {
        return [];
      }
    },
  };
}

/** Kept for good, for all tabs. */
export const local = storage('localStorage');
/** Kept as long as this tab. */
export const tab = storage('sessionStorage');

/**
 * Unsent messages under the keys that begin with `start()`, which may change. Each has a key of its
 * own, so that tabs do not undo what others keep. Whoever opens the room takes all of them up: sent
 * from two tabs, a message is still published once, by its nonce.
 */
export function outbox(start) {
  let place = start();
  let kept = new Set(); // nonces of ours that are there
  return {
    load() {
      const list = local.keys(place).map((key) => local.get(place + key)).filter((entry) => entry?.data?.nonce);
      kept = new Set(list.map(({ data }) => data.nonce));
      return list.sort((a, b) => a.time - b.time);
    },
    /** Returns whether all of them are kept. */
    save(list) {
      const entries = new Map(list.map((entry) => [entry.data.nonce, entry]));
      const moved = place !== start();
      for (const nonce of kept) {
        if (moved || !entries.has(nonce)) {
          local.set(place + nonce, null);
          kept.delete(nonce);
        }
      }
      place = start();
      for (const [nonce, entry] of entries) {
        if (!kept.has(nonce) && local.set(place + nonce, entry)) kept.add(nonce);
      }
      return kept.size === entries.size;
    },
  };
}
