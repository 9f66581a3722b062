// What the browser keeps for the page.
//
// Owns: reading and writing it as JSON, and surviving a browser that keeps nothing. It never knows
// what is kept. Tested by tests/web/page.test.mjs.

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
    set(key, value) {
      try {
        if (value === null) globalThis[kind].removeItem(prefix + key);
        else globalThis[kind].setItem(prefix + key, JSON.stringify(value));
      } catch {
        // The page works without.
      }
    },
  };
}

/** Kept for good, for all tabs. */
export const local = storage('localStorage');
/** Kept as long as this tab. */
export const tab = storage('sessionStorage');
