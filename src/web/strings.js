// Every word that the page shows, in each of its languages, and how names, numbers, times and
// days are written. It never touches the page. A new language is one more table.
// Tested by tests/web/store.test.mjs (all tables have the same keys).

export const tables = {
  en: {
    gateLead: 'Pick a name and join the conversation.',
    name: 'Your name',
    room: 'Room',
    enter: 'Enter the room',
    nameEmpty: 'Please enter a name.',
    nameLong: 'A name has at most 32 characters.',
    nameChars: 'A name has no “:”, “,” or “#”, and no control characters.',
    nameTilde: 'A name does not begin with “~”.',
    roomEmpty: 'Please enter a room.',
    roomLong: 'This room’s name is too long.',
    roomChars: 'A room’s name has no control characters.',

    rooms: 'Rooms',
    openRoom: 'Open a room',
    leaveRoom: 'Leave {room}',
    people: 'Here',
    peopleOffline: 'Not known while offline.',
    you: 'you',
    menu: 'Rooms and people',
    closeMenu: 'Close',
    unread: { one: '{n} unread message', other: '{n} unread messages' },

    connecting: 'Connecting …',
    online: 'Online',
    offline: 'Offline',
    nextTry: { one: 'Next try in {n} second.', other: 'Next try in {n} seconds.' },
    retryNow: 'Try now',
    waiting: {
      one: '{n} message waits to be sent.',
      other: '{n} messages wait to be sent.',
    },
    closed: 'The server ended the connection: {reason}',
    connectAgain: 'Connect again',
    refused: 'You cannot be in this room: {reason}',
    noReason: 'no reason given (code {code})',

    log: 'Messages in {room}',
    message: 'Message',
    placeholder: 'Message to {room}',
    send: 'Send',
    hint: 'Enter sends, Shift + Enter starts a new line',
    tooLong: 'Too long to send: {size} kB of at most {max} kB.',
    sending: 'Sending',
    sent: 'Sent',
    queued: 'Waiting for the connection',
    notSent: 'Not sent: {reason}',
    problemTooLong: 'it is too long.',
    problemBusy: 'the server is too busy.',
    problemRefused: 'you may not write here.',
    problemServer: 'the server refused it ({reason}).',
    retry: 'Try again',
    discard: 'Discard',

    today: 'Today',
    yesterday: 'Yesterday',
    newMessages: { one: '{n} new message', other: '{n} new messages' },
    toEnd: 'To the latest messages',
    loading: 'Loading older messages …',
    loadFailed: 'Older messages could not be loaded.',
    beginning: 'Nothing older is kept.',
    empty: 'Nothing has been said here yet. Say hello!',
    edited: 'edited',
    deleted: 'Message deleted',
    showAll: 'Show all',
    someone: 'someone',
    replyTo: 'In reply to {name}',
    replyGone: 'In reply to an earlier message',
    joined: { one: '{names} joined', other: '{names} joined' },
    left: { one: '{names} left', other: '{names} left' },
    others: { one: '{n} other', other: '{n} others' },
    topicSet: '{name} set the topic: {text}',
    topicCleared: '{name} removed the topic',
    nickGiven: 'The name {wanted} is taken. You are {nick}.',
    gapCount: { one: '{n} message is missing here', other: '{n} messages are missing here' },
    gapUnknown: 'The server started anew: messages may be missing here',
    gapLoad: 'Load them',

    // The frame: entry, rooms, people, attention, settings.
    tokenTitle: 'By invitation only',
    tokenLead: 'This server lets in who comes with a link from the application that it belongs to. Open that link, or paste it here.',
    tokenLink: 'Your link',
    tokenEnter: 'Come in',
    tokenBad: 'This is not a link that leads in here.',
    tokenOld: 'This link has run out. Please get a new one.',
    tokenRefused: 'The server does not accept this link. Please get a new one.',
    nameFixed: 'Your name comes with your link.',
    nameRefused: 'The server does not give this name.',
    directSelf: 'There is nobody to talk to here.',
    cannotLeave: 'You are not in this room, or it cannot be left now.',
    jump: 'Jump to …',
    jumpHint: 'Room, or @person',
    ctrlK: 'Ctrl K',
    findNothing: 'Nothing like it here.',
    browse: 'Browse',
    browseTitle: 'Public rooms',
    browseHint: 'Find a room, or name a new one',
    browseEmpty: 'No rooms yet. Name one to open it.',
    members: { one: '{n} here', other: '{n} here' },
    joinedRoom: 'you are in',
    openNew: 'open this room',
    writeTo: 'direct message',
    writeToPerson: 'Write to {name}',
    directs: 'Direct messages',
    unreadCalls: { one: '{n} unread message, for you', other: '{n} unread messages, some for you' },
    isHere: 'here',
    isAway: 'not here',
    peopleHere: { one: '{n} here: show the list', other: '{n} here: show the list' },
    peopleMany: 'Too many to list.',
    typing: { one: '{names} is typing', other: '{names} are typing' },
    typingMany: { one: '{n} is typing', other: '{n} are typing' },
    topicEdit: 'Topic of this room',
    topicSetIt: 'Set a topic',
    calledIn: '{name} in {room}',
    roundTrip: { one: '{n} ms', other: '{n} ms' },
    roundTripHint: 'To the server and back',
    settings: 'Name and settings',
    theme: 'Colours',
    themeSystem: 'System',
    themeLight: 'Light',
    themeDark: 'Dark',
    notify: 'Desktop notifications when somebody means me',
    notifyDenied: 'The browser does not allow it for this page.',
    sound: 'A sound, too',
    goOut: 'Leave the chat',
    save: 'Save',
    done: 'Done',

    // Talking: what is said, found and typed.
    newLine: 'New',
    tools: 'Message actions',
    reply: 'Reply',
    edit: 'Edit',
    remove: 'Delete',
    removeSure: 'Really delete?',
    moreEmoji: 'More emoji',
    changing: 'being changed',
    notChanged: 'Not changed: {reason}',
    changesLost: {
      one: 'A change could not be made: the server no longer has the message.',
      other: '{n} changes could not be made: the server no longer has the messages.',
    },
    changeRefused: 'The server refused a change ({reason}).',
    notKept: 'The message is no longer kept.',
    cancel: 'Cancel',
    replying: 'Reply to {name}: {text}',
    editing: 'Editing your message',
    pasteLong: { one: 'Paste {n} character?', other: 'Paste {n} characters in {lines} lines?' },
    paste: 'Paste',
    pasteCode: 'As code',
    suggestions: 'Suggestions',
    search: 'Search this room',
    closeSearch: 'Close the search',
    searching: 'Searching older messages …',
    found: { one: '{n} message found.', other: '{n} messages found.' },
    foundMost: 'The latest {n} messages found.',
    searchFailed: 'Older messages could not be searched.',
    commandUnknown: 'There is no command “/{name}”. Write “//” to begin a message with a slash.',
    commandUsage: 'Write: {usage}',
    commandLine: '{usage} {help}',
    commandMe: 'says what you do',
    commandNick: 'changes your name',
    commandJoin: 'opens a room',
    commandLeave: 'leaves a room',
    commandMsg: 'writes to one person',
    commandTopic: 'sets the room’s topic',
    commandSearch: 'searches this room',
    commandHelp: 'lists the commands',
  },
  de: {
    gateLead: 'Wähle einen Namen und rede mit.',
    name: 'Dein Name',
    room: 'Raum',
    enter: 'Raum betreten',
    nameEmpty: 'Bitte gib einen Namen ein.',
    nameLong: 'Ein Name hat höchstens 32 Zeichen.',
    nameChars: 'Ein Name enthält weder „:“, „,“ oder „#“ noch Steuerzeichen.',
    nameTilde: 'Ein Name beginnt nicht mit „~“.',
    roomEmpty: 'Bitte gib einen Raum ein.',
    roomLong: 'Der Name dieses Raums ist zu lang.',
    roomChars: 'Der Name eines Raums enthält keine Steuerzeichen.',

    rooms: 'Räume',
    openRoom: 'Raum öffnen',
    leaveRoom: '{room} verlassen',
    people: 'Hier',
    peopleOffline: 'Offline nicht bekannt.',
    you: 'du',
    menu: 'Räume und Leute',
    closeMenu: 'Schließen',
    unread: { one: '{n} ungelesene Nachricht', other: '{n} ungelesene Nachrichten' },

    connecting: 'Verbinde …',
    online: 'Online',
    offline: 'Offline',
    nextTry: {
      one: 'Nächster Versuch in {n} Sekunde.',
      other: 'Nächster Versuch in {n} Sekunden.',
    },
    retryNow: 'Jetzt versuchen',
    waiting: {
      one: '{n} Nachricht wartet darauf, gesendet zu werden.',
      other: '{n} Nachrichten warten darauf, gesendet zu werden.',
    },
    closed: 'Der Server hat die Verbindung beendet: {reason}',
    connectAgain: 'Neu verbinden',
    refused: 'Du kannst nicht in diesem Raum sein: {reason}',
    noReason: 'ohne Angabe von Gründen (Code {code})',

    log: 'Nachrichten in {room}',
    message: 'Nachricht',
    placeholder: 'Nachricht an {room}',
    send: 'Senden',
    hint: 'Eingabe sendet, Umschalt + Eingabe beginnt eine neue Zeile',
    tooLong: 'Zu lang zum Senden: {size} kB von höchstens {max} kB.',
    sending: 'Wird gesendet',
    sent: 'Gesendet',
    queued: 'Wartet auf die Verbindung',
    notSent: 'Nicht gesendet: {reason}',
    problemTooLong: 'sie ist zu lang.',
    problemBusy: 'der Server ist überlastet.',
    problemRefused: 'du darfst hier nicht schreiben.',
    problemServer: 'der Server hat sie abgelehnt ({reason}).',
    retry: 'Noch einmal',
    discard: 'Verwerfen',

    today: 'Heute',
    yesterday: 'Gestern',
    newMessages: { one: '{n} neue Nachricht', other: '{n} neue Nachrichten' },
    toEnd: 'Zu den neuesten Nachrichten',
    loading: 'Ältere Nachrichten werden geladen …',
    loadFailed: 'Ältere Nachrichten konnten nicht geladen werden.',
    beginning: 'Älteres ist nicht aufbewahrt.',
    empty: 'Hier wurde noch nichts gesagt. Sag hallo!',
    edited: 'bearbeitet',
    deleted: 'Nachricht gelöscht',
    showAll: 'Alles zeigen',
    someone: 'jemand',
    replyTo: 'Antwort an {name}',
    replyGone: 'Antwort auf eine frühere Nachricht',
    joined: { one: '{names} ist gekommen', other: '{names} sind gekommen' },
    left: { one: '{names} ist gegangen', other: '{names} sind gegangen' },
    others: { one: '{n} weitere Person', other: '{n} weitere' },
    topicSet: '{name} hat das Thema gesetzt: {text}',
    topicCleared: '{name} hat das Thema entfernt',
    nickGiven: 'Der Name {wanted} ist vergeben. Du heißt {nick}.',
    gapCount: { one: 'Hier fehlt {n} Nachricht', other: 'Hier fehlen {n} Nachrichten' },
    gapUnknown: 'Der Server wurde neu gestartet: Hier können Nachrichten fehlen',
    gapLoad: 'Laden',

    // Der Rahmen: Eintritt, Räume, Leute, Aufmerksamkeit, Einstellungen.
    tokenTitle: 'Nur mit Einladung',
    tokenLead: 'Dieser Server lässt ein, wer mit einem Link der Anwendung kommt, zu der er gehört. Öffne diesen Link, oder füge ihn hier ein.',
    tokenLink: 'Dein Link',
    tokenEnter: 'Eintreten',
    tokenBad: 'Das ist kein Link, der hierher führt.',
    tokenOld: 'Dieser Link ist abgelaufen. Bitte hol dir einen neuen.',
    tokenRefused: 'Der Server nimmt diesen Link nicht an. Bitte hol dir einen neuen.',
    nameFixed: 'Dein Name kommt mit deinem Link.',
    nameRefused: 'Der Server vergibt diesen Namen nicht.',
    directSelf: 'Hier ist niemand, mit dem du reden könntest.',
    cannotLeave: 'Du bist nicht in diesem Raum, oder er kann jetzt nicht verlassen werden.',
    jump: 'Springe zu …',
    jumpHint: 'Raum oder @Person',
    ctrlK: 'Strg K',
    findNothing: 'Nichts dergleichen hier.',
    browse: 'Alle',
    browseTitle: 'Öffentliche Räume',
    browseHint: 'Raum finden oder neu benennen',
    browseEmpty: 'Noch keine Räume. Nenne einen, um ihn zu öffnen.',
    members: { one: '{n} hier', other: '{n} hier' },
    joinedRoom: 'du bist dort',
    openNew: 'diesen Raum öffnen',
    writeTo: 'Direktnachricht',
    writeToPerson: 'An {name} schreiben',
    directs: 'Direktnachrichten',
    unreadCalls: { one: '{n} ungelesene Nachricht, an dich', other: '{n} ungelesene Nachrichten, auch an dich' },
    isHere: 'hier',
    isAway: 'nicht hier',
    peopleHere: { one: '{n} hier: Liste zeigen', other: '{n} hier: Liste zeigen' },
    peopleMany: 'Zu viele für eine Liste.',
    typing: { one: '{names} schreibt', other: '{names} schreiben' },
    typingMany: { one: '{n} schreibt', other: '{n} schreiben' },
    topicEdit: 'Thema dieses Raums',
    topicSetIt: 'Thema setzen',
    calledIn: '{name} in {room}',
    roundTrip: { one: '{n} ms', other: '{n} ms' },
    roundTripHint: 'Zum Server und zurück',
    settings: 'Name und Einstellungen',
    theme: 'Farben',
    themeSystem: 'System',
    themeLight: 'Hell',
    themeDark: 'Dunkel',
    notify: 'Benachrichtigen, wenn jemand mich meint',
    notifyDenied: 'Der Browser erlaubt es dieser Seite nicht.',
    sound: 'Auch mit einem Ton',
    goOut: 'Chat verlassen',
    save: 'Speichern',
    done: 'Fertig',

    // Reden: was gesagt, gefunden und getippt wird.
    newLine: 'Neu',
    tools: 'Aktionen zur Nachricht',
    reply: 'Antworten',
    edit: 'Bearbeiten',
    remove: 'Löschen',
    removeSure: 'Wirklich löschen?',
    moreEmoji: 'Mehr Emoji',
    changing: 'wird geändert',
    notChanged: 'Nicht geändert: {reason}',
    changesLost: {
      one: 'Eine Änderung war nicht möglich: Der Server hat die Nachricht nicht mehr.',
      other: '{n} Änderungen waren nicht möglich: Der Server hat die Nachrichten nicht mehr.',
    },
    changeRefused: 'Der Server hat eine Änderung abgelehnt ({reason}).',
    notKept: 'Die Nachricht ist nicht mehr aufbewahrt.',
    cancel: 'Abbrechen',
    replying: 'Antwort an {name}: {text}',
    editing: 'Du bearbeitest deine Nachricht',
    pasteLong: { one: '{n} Zeichen einfügen?', other: '{n} Zeichen in {lines} Zeilen einfügen?' },
    paste: 'Einfügen',
    pasteCode: 'Als Code',
    suggestions: 'Vorschläge',
    search: 'Diesen Raum durchsuchen',
    closeSearch: 'Suche schließen',
    searching: 'Ältere Nachrichten werden durchsucht …',
    found: { one: '{n} Nachricht gefunden.', other: '{n} Nachrichten gefunden.' },
    foundMost: 'Die neuesten {n} Nachrichten, die gefunden wurden.',
    searchFailed: 'Ältere Nachrichten konnten nicht durchsucht werden.',
    commandUnknown: 'Den Befehl „/{name}“ gibt es nicht. Mit „//“ beginnt eine Nachricht mit Schrägstrich.',
    commandUsage: 'Schreib: {usage}',
    commandLine: '{usage} {help}',
    commandMe: 'sagt, was du tust',
    commandNick: 'ändert deinen Namen',
    commandJoin: 'öffnet einen Raum',
    commandLeave: 'verlässt einen Raum',
    commandMsg: 'schreibt einer Person',
    commandTopic: 'setzt das Thema des Raums',
    commandSearch: 'durchsucht diesen Raum',
    commandHelp: 'nennt die Befehle',
  },
};

/** The first of `wanted` (language tags, best first) that there is a table for, else English. */
export function chooseLanguage(wanted) {
  for (const tag of wanted) {
    const language = String(tag).toLowerCase().split('-')[0];
    if (Object.hasOwn(tables, language)) return language;
  }
  return 'en';
}

const browser = globalThis.navigator?.languages ?? [globalThis.navigator?.language ?? 'en'];
/** The page's language, and the reader's own tag in it (de-AT writes dates its own way). */
export const language = chooseLanguage(browser);
const locale = browser.find((tag) => tag.toLowerCase().startsWith(language)) ?? language;
const plurals = new Intl.PluralRules(locale);
const numbers = new Intl.NumberFormat(locale);
const lists = new Intl.ListFormat(locale, { type: 'conjunction' });
const clock = new Intl.DateTimeFormat(locale, { timeStyle: 'short' });
const day = new Intl.DateTimeFormat(locale, { weekday: 'long', day: 'numeric', month: 'long' });
const dayOfYear = new Intl.DateTimeFormat(locale, { dateStyle: 'long' });
const exact = new Intl.DateTimeFormat(locale, { dateStyle: 'medium', timeStyle: 'medium' });
const moment = new Intl.DateTimeFormat(locale, { dateStyle: 'full', timeStyle: 'medium' });

/** The text for `key`, with `{name}` replaced by `vars.name`; `n` also chooses the plural. */
export function t(key, vars = {}) {
  const entry = tables[language][key];
  const text = typeof entry === 'string' ? entry : entry[plurals.select(vars.n)] ?? entry.other;
  return text.replace(/\{(\w+)\}/g, (_, name) =>
    typeof vars[name] === 'number' ? numbers.format(vars[name]) : String(vars[name] ?? ''),
  );
}

/** A name inside a sentence: isolated, so that its writing direction turns nothing else around. */
export function named(name) {
  return `\u2068${name || t('someone')}\u2069`;
}

/** "Ann, Bob and 3 others", naming at most `most`. */
export function nameList(names, most = 5) {
  const shown = names.slice(0, most).map(named);
  const rest = names.length - shown.length;
  return lists.format(rest > 0 ? [...shown, t('others', { n: rest })] : shown);
}

/** Hours and minutes. */
export const clockTime = (time) => clock.format(time);

/** Day, month and time to the second, short. */
export const exactTime = (time) => exact.format(time);

/** Day and time to the second. */
export const fullTime = (time) => moment.format(time);

/** "Today", "Yesterday", else the day, with its year unless it is this one. */
export function dayName(time, now = Date.now()) {
  const then = new Date(time);
  const today = new Date(now);
  const yesterday = new Date(today.getFullYear(), today.getMonth(), today.getDate() - 1);
  if (then.toDateString() === today.toDateString()) return t('today');
  if (then.toDateString() === yesterday.toDateString()) return t('yesterday');
  return (then.getFullYear() === today.getFullYear() ? day : dayOfYear).format(then);
}
