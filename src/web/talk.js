// The conversation of the room that is shown: the log, the composer and the search, put together.
//
// Owns: what follows when the reader does something to a message or writes something. Which room is
// shown it is told. Tested by tests/web/talk.test.mjs.

import { commands, run, unescaped } from './commands.js';
import { Composer } from './composer.js';
import { Log } from './log.js';
import { Search } from './search.js';
import { t } from './strings.js';
import { Tools } from './tools.js';

const byId = (id) => document.getElementById(id);

/**
 * `actions`: `moved()`: the reader may have reached or left the end; `drafts`: `{load(room),
 * save(room, text)}`, which keeps what was not sent; `app`: what commands do, see commands.js.
 */
export class Talk {
  #actions;
  #session = null;
  #search;

  constructor(actions) {
    this.#actions = actions;
    const rows = byId('rows');
    this.log = new Log(byId('log'), rows, {
      onOlder: () => this.#session.older(),
      onMoved: actions.moved,
      onAction: (action, item, button) => this.#row(action, item, button),
    });
    new Tools(rows, {
      itemOf: (node) => this.log.itemOf(node),
      reachable: (item) => this.#session.room.reachable(item),
    });
    this.composer = new Composer({
      say: (text, replyTo) => this.#say('message', unescaped(text), replyTo),
      edit: (item, text) => this.#session.edit(item, text),
      command: (text) => this.#command(text),
      typing: (on) => this.#session.typing?.(on),
      lastOwn: () => this.#session.room.lastOwn,
      names: () => this.#names(),
      page: (pages) => this.log.page(pages),
      save: (text) => this.#actions.drafts.save(this.#session.room.name, text),
    });
    this.#search = new Search({
      reveal: (item) => this.log.reveal(item),
      closed: () => this.composer.focus(),
    });
  }

  /** Shows the room of `session`. */
  show(session) {
    this.#session = session;
    this.log.show(session.room);
    this.composer.show(this.#actions.drafts.load(session.room.name));
    this.#search.show(session);
  }

  #say(type, text, replyTo) {
    this.#session.say(type, text, { replyTo });
    this.log.toEnd();
  }

  async #command(text) {
    const app = {
      help: () => this.#help(),
      ...this.#actions.app,
      me: (what) => this.#say('me', what),
      search: (what) => this.#search.open(what),
    };
    const problem = await run(text, app);
    return problem ? t(problem.key, problem.vars) : '';
  }

  /** Lists the commands, for nobody else to see. */
  #help() {
    for (const { usage, help } of commands) this.#session.room.notice('commandLine', { usage, help: t(help) });
    this.log.toEnd();
  }

  /** Who is here, but for ourselves, in the order of the alphabet. */
  #names() {
    const own = this.#session.nick;
    const names = [...this.#session.room.present.values()].map(({ nick }) => nick);
    return [...new Set(names)].filter((nick) => nick && nick !== own).sort((a, b) => a.localeCompare(b));
  }

  /** A button of a message. */
  #row(action, item, button) {
    const session = this.#session;
    if (action === 'fill') session.older();
    else if (action === 'jump') this.#jump(item);
    else if (action === 'react') this.#react(item, button.dataset.emoji);
    else if (action === 'reply' || action === 'edit') this.composer[action](item);
    else session[action](item);
    if (['retry', 'discard', 'remove'].includes(action)) this.composer.focus();
  }

  /** Reacts, or takes that back. */
  #react(item, emoji) {
    const done = item.reactions.some((one) => one.emoji === emoji && one.mine);
    this.#session.react(item, emoji, !done);
  }

  /** Goes to what `item` replies to, which may have to be loaded. */
  async #jump(item) {
    const session = this.#session;
    const here = () => session === this.#session;
    const { room } = session;
    const source = room.original(item, item.replyTo) ?? (await session.reach(item, item.replyTo, here));
    if (!here()) return;
    if (source) this.log.reveal(source);
    else this.composer.problem(t('notKept'));
  }
}
