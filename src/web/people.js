// Who is in a room, as a list for the reader.
//
// Owns: one entry for each person out of their connections, and those who wrote and went. It never
// touches the page. Tested by tests/web/people.test.mjs.

/** Of those who wrote and are not here, so many are listed, found among so many messages. */
const AWAY_MAX = 10;
const LOOKED_AT_MAX = 200;

/** Everybody in the room of `session` but us: `[{user, nick}]`. */
export function othersHere({ room, presence }, self) {
  const known = new Map();
  if (!presence.known) return [];
  for (const [id, { user, nick }] of room.present) {
    if (id !== self.client && user !== self.user) known.set(user, { user, nick });
  }
  return [...known.values()];
}

/** The list of people: `{people, count, hint}`, see `Sidebar.setPeople`. */
export function allHere(session, self, online) {
  if (!online || !session.active) return { people: null, count: null, hint: online ? '' : 'peopleOffline' };
  const { presence } = session;
  const own = { user: self.user, nick: self.nick, self: true };
  if (presence.count !== null) return { people: [own], count: presence.count, hint: 'peopleMany' };
  const order = (a, b) => a.nick.localeCompare(b.nick);
  const here = [own, ...othersHere(session, self).sort(order)];
  return { people: [...here, ...authorsAway(session.room, here)], count: here.length, hint: '' };
}

/** Who wrote lately and is not among `here`. */
function authorsAway(room, here) {
  const seen = new Set(here.map(({ user }) => user));
  const away = [];
  const end = Math.max(0, room.length - LOOKED_AT_MAX);
  for (let index = room.length - 1; index >= end && away.length < AWAY_MAX; index -= 1) {
    const { kind, mine, user, nick } = room.at(index);
    if ((kind !== 'message' && kind !== 'me') || mine || user.startsWith('client:') || seen.has(user)) continue;
    seen.add(user);
    away.push({ user, nick, away: true });
  }
  return away;
}
