// Names: of people, of rooms, of conversations between two people, and how the address names them.
//
// Owns: which names can be, and the three forms of a room: its name in the page ("tea"; between two
// people "#~ada,~bob", the users as the server names them, sorted), its channel on the server
// ("chat:tea", "dm:#~ada,~bob"), and its address ("#tea", "#@~bob"). It never touches the page.
// Tested by tests/web/rooms.test.mjs.

/** The room of who names none. */
export const LOBBY = 'lobby';
const NICK_CHARS_MAX = 32;
const ROOM_BYTES_MAX = 255 - 'typing:'.length;

/** The key of what is wrong with a name, or null. The server has the last word. */
export function nameProblem(name) {
  if (name === '') return 'nameEmpty';
  if ([...name].length > NICK_CHARS_MAX) return 'nameLong';
  if (name.startsWith('~')) return 'nameTilde';
  return /[:,#\p{Cc}\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]/u.test(name) ? 'nameChars' : null;
}

/** Can one talk to this user alone? (An anonymous one has no id that outlives the connection; commas
 *  part users in the name of a room.) */
export const isUser = (user) => /^~?[^~,\p{Cc}][^,\p{Cc}]*$/u.test(user) && !user.startsWith('client:');

/** The same as `nameProblem` for a room, as people write it: "tea", or "@bob" for a conversation with bob. */
export function roomProblem(room) {
  if (room === '') return 'roomEmpty';
  if (new TextEncoder().encode(room).length > ROOM_BYTES_MAX) return 'roomLong';
  if (room.startsWith('@')) return isUser(room.slice(1)) ? null : 'nameChars';
  return /\p{Cc}/u.test(room) ? 'roomChars' : null;
}

/** A room as people write it, with or without the # that they put before it. */
export const tidyRoom = (room) => room.trim().replace(/^#+/, '');

/** The name of the conversation between two users. */
export const between = (a, b) => `#${[a, b].sort().join(',')}`;

/** Is it a conversation between two people? */
export const isDirect = (name) => name.startsWith('#');

/** The channel of a room on the server. */
export const channelOf = (name) => `${isDirect(name) ? 'dm' : 'chat'}:${name}`;

/** The channel in which people in a room say that they are typing; that of a conversation is for the
 *  two alone, too. */
export const typingChannelOf = (name) => `typing:${name}`;

/** The other one of a conversation, for the user `own`. */
export function partner(name, own) {
  const users = name.slice(1).split(',');
  return users.find((user) => user !== own) ?? own;
}

/** A user's id as a name to show, if nothing better is known. */
export const nameOfUser = (user) => user.replace(/^~/, '');

/** The address of a room, for the user `own`. */
export function addressOf(name, own) {
  return `#${isDirect(name) ? `@${encodeURIComponent(partner(name, own))}` : encodeURIComponent(name)}`;
}

/** What the address says, "#tea" say, as people write a room; the lobby if it cannot be one. */
export function roomOfAddress(hash) {
  let room = hash.replace(/^#/, '');
  try {
    room = decodeURIComponent(room);
  } catch {
    // not encoded: take it as it stands
  }
  room = tidyRoom(room);
  return roomProblem(room) ? LOBBY : room;
}

/** The token in an address such as "#token=abc" or "#token=abc&room=tea": `{token, room}`, or null. */
export function tokenOfAddress(hash) {
  if (!hash.startsWith('#token=')) return null;
  const found = new URLSearchParams(hash.slice(1));
  return { token: found.get('token'), room: tidyRoom(found.get('room') ?? '') };
}

/** Who a token says its bearer is: `{user, nick}`; the server checks it. Null: no token at all. */
export function bearerOf(token) {
  try {
    const bytes = atob(token.split('.')[1].replaceAll('-', '+').replaceAll('_', '/'));
    const claims = JSON.parse(new TextDecoder().decode(Uint8Array.from(bytes, (byte) => byte.charCodeAt(0))));
    const user = String(claims.sub ?? '');
    const { nick, name } = claims.info ?? {};
    return { user, nick: String(nick ?? name ?? user) };
  } catch {
    return null;
  }
}
