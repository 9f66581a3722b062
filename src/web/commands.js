// What can be said to the page itself, after a slash.
//
// Owns: which commands there are, what they need, and their names. What they do is `app`'s. It never
// touches the page. Tested by tests/web/format.test.mjs and talk.test.mjs.

/** `{name, usage, help}`: `usage` shows what belongs behind the name, `help` is a key of strings.js.
 *  What stands in <> is needed. */
export const commands = [
  { name: 'me', usage: '/me <text>', help: 'commandMe' },
  { name: 'nick', usage: '/nick <name>', help: 'commandNick' },
  { name: 'join', usage: '/join <room>', help: 'commandJoin' },
  { name: 'leave', usage: '/leave [room]', help: 'commandLeave' },
  { name: 'msg', usage: '/msg <name> [text]', help: 'commandMsg' },
  { name: 'topic', usage: '/topic [text]', help: 'commandTopic' },
  { name: 'search', usage: '/search [text]', help: 'commandSearch' },
  { name: 'help', usage: '/help', help: 'commandHelp' },
];

/** Is `text` meant for the page? Paths ("/usr/bin") are not, and "//" begins a text with a slash. */
export function isCommand(text) {
  return /^\/\p{L}+(?:\s|$)/u.test(text);
}

/** A text as it is said: of two slashes at its beginning one is left. */
export function unescaped(text) {
  return text.startsWith('//') ? text.slice(1) : text;
}

/**
 * Does what `text` says. `app` offers `me(text) nick(name) join(room) leave(room) message(user, text)
 * topic(text) search(text) help()`; each may return, or promise, the key of a problem. Resolves with
 * what went wrong, `{key, vars}`, or null.
 */
export async function run(text, app) {
  const [, name, rest = ''] = /^\/(\p{L}+)\s*([^]*)$/u.exec(text);
  const command = commands.find((one) => one.name === name.toLowerCase());
  const method = command?.name === 'msg' ? 'message' : command?.name;
  if (!command || !app[method]) return { key: 'commandUnknown', vars: { name } };
  if (command.usage.includes('<') && rest.trim() === '') {
    return { key: 'commandUsage', vars: { usage: command.usage } };
  }
  const key = await app[method](...(method === 'message' ? userAndText(rest) : [rest.trim()]));
  return typeof key === 'string' ? { key, vars: {} } : null;
}

/** The first word, or what stands in quotes, and the rest. */
function userAndText(rest) {
  const [, quoted, word, text] = /^(?:"([^"]+)"|@?(\S+))\s*([^]*)$/u.exec(rest);
  return [quoted ?? word, text];
}
