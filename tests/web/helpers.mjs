// What the browser tests share: the server, the browser, and a window with somebody in it.
// Environment: RINGCHAT_BIN (default target/release/ringchat), LOADGEN_BIN (default: beside it),
// CHROMIUM (default /usr/bin/chromium), RINGCHAT_WEB (a folder whose files the browser gets in place
// of those embedded in the server).

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';
import { basename, dirname, extname, join } from 'node:path';
import { after, afterEach, before } from 'node:test';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

const root = new URL('../../', import.meta.url);
const binary = process.env.RINGCHAT_BIN ?? fileURLToPath(new URL('target/release/ringchat', root));

/** The load generator, built with the server. */
export const loadgen = process.env.LOADGEN_BIN ?? join(dirname(binary), 'ringchat-loadgen');

/** Where the screenshots go. */
export const artifacts = fileURLToPath(new URL('tests/artifacts/', root));

/** Starts the server; `listen`: its address. Resolves when it says that it listens. */
export async function startServer({ listen = '127.0.0.1:0', args = [] } = {}) {
  // The tests' own settings are not the server's.
  const { RINGCHAT_BIN, RINGCHAT_WEB, ...env } = process.env;
  const stdio = ['ignore', 'pipe', 'pipe'];
  const child = spawn(binary, ['--listen', listen, ...args], { env, stdio });
  const ended = once(child, 'exit');
  const said = [];
  const url = await new Promise((resolve, reject) => {
    const deadline = setTimeout(() => reject(new Error(`no address in: ${said.join('\n')}`)), 20_000);
    const read = (line) => {
      said.push(line);
      const found = /http:\/\/127\.0\.0\.1:\d+\//.exec(line);
      if (!found) return;
      clearTimeout(deadline);
      resolve(found[0]);
    };
    for (const stream of [child.stdout, child.stderr]) createInterface(stream).on('line', read);
    child.on('error', reject);
    ended.then(([code]) => reject(new Error(`the server ended with ${code}: ${said.join('\n')}`)));
  });
  return {
    url,
    address: new URL(url).host,
    pid: child.pid,
    /** Asks it to stop, as an operator does, and waits until it is out. */
    async stop() {
      child.kill('SIGTERM');
      const [code] = await ended;
      assert.equal(code, 0, `exit code after SIGTERM; it said:\n${said.join('\n')}`);
    },
    /** The end, however it may be. */
    async kill() {
      child.kill('SIGKILL');
      await ended;
    },
  };
}

/** A browser with a profile of its own that is gone afterwards. */
export function launch() {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      // A page that a test hands out has no address: Chromium would not let it connect to ours.
      ...(process.env.RINGCHAT_WEB ? ['--disable-features=LocalNetworkAccessChecks'] : []),
    ],
  });
}

/** The browser and the server of a file of tests, once it has asked for them. */
export let browser;
export let server;

/** A browser and a server for all tests of the file; after each its windows are closed. */
export function stage(options) {
  before(async () => {
    browser = await launch();
    server = await startServer(options);
  });
  after(async () => {
    await browser?.close();
    await server?.kill();
  });
  afterEach(async () => {
    for (const context of browser.contexts()) await context.close();
  });
}

/** Serves one text as a page, from an origin that is not the server's. */
export async function serveText(text) {
  const server = createServer((_, response) => {
    response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }).end(text);
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = server.address();
  return { url: `http://127.0.0.1:${port}/`, close: () => server.close() };
}

/** Media types of the page's files. */
const TYPES = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
};

/** The style sheets, which the server serves as one (the table in src/http/page.rs). */
const STYLES = ['style.css', 'frame.css', 'log.css', 'composer.css', 'search.css', 'dialogs.css'];

/** Has `context` take the page's files from the folder RINGCHAT_WEB, if that is set, so that a change
 *  of the page needs no build. The security policy is still the server's. */
async function fromFolder(context) {
  const folder = process.env.RINGCHAT_WEB;
  if (!folder) return;
  const answer = async (route) => {
    const { pathname } = new URL(route.request().url());
    const name = pathname === '/' ? 'index.html' : basename(pathname);
    const file = join(folder, name);
    if (!existsSync(file)) return route.continue();
    const files = name === 'style.css' ? STYLES.map((style) => join(folder, style)) : [file];
    const served = await route.fetch({ url: new URL('/', route.request().url()).href });
    const policy = served.headers()['content-security-policy'];
    if (!policy) return route.continue(); // not our server's
    const headers = { 'content-type': TYPES[extname(file)], 'content-security-policy': policy };
    return route.fulfill({ status: 200, headers, body: files.map((one) => readFileSync(one, 'utf8')).join('') });
  };
  // A window may be closed while its icon is under way.
  const unlessClosed = (error) => {
    if (!/closed|disposed/.test(error.message)) throw error;
  };
  await context.route('**/*', (route) => answer(route).catch(unlessClosed));
}

/** A window of its own: own storage, own name. */
export async function openWindow(browser, url, options = {}) {
  const context = await browser.newContext({
    viewport: { width: 1280, height: 800 },
    locale: 'en-GB',
    ...options,
  });
  context.setDefaultTimeout(15_000);
  await fromFolder(context);
  return openTab(context, url);
}

/**
 * One more tab of the same browser. `problems` collects what must not be: errors in the console,
 * uncaught exceptions, violations of the page's security policy, dialogs.
 */
export async function openTab(context, url) {
  const page = await context.newPage();
  page.problems = [];
  const problem = (what) => page.problems.push(what);
  await page.addInitScript(() => {
    addEventListener('securitypolicyviolation', (event) => {
      console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`);
    });
    // Tests speak over the page's sockets, close them, and let no new one open (`socketsCut`).
    const Real = (window.RealWebSocket = window.WebSocket);
    class Dead {
      readyState = 0;
      constructor() {
        setTimeout(() => this.onclose?.({ code: 1006, reason: '' }), 10);
      }
      close() {}
    }
    window.sockets = [];
    window.WebSocket = class {
      constructor(...args) {
        if (window.socketsCut) return new Dead();
        const socket = new Real(...args);
        window.sockets.push(socket);
        return socket;
      }
    };
  });
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) problem(`${message.type()}: ${message.text()}`);
  });
  page.on('pageerror', (error) => problem(`exception: ${error.stack}`));
  page.on('dialog', (dialog) => {
    problem(`dialog: ${dialog.message()}`);
    dialog.dismiss();
  });
  await page.goto(url);
  return page;
}

/** A key for a server that takes tokens, the argument that gives it to one, and a token of it. */
export const TOKEN_KEY = '0123456789abcdef0123456789abcdef';
export const WITH_TOKENS = ['--set', `client.token.hmac_secret_key=${TOKEN_KEY}`];
export function tokenFor(claims, key = TOKEN_KEY) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const text = `${part({ alg: 'HS256', typ: 'JWT' })}.${part(claims)}`;
  return `${text}.${createHmac('sha256', key).update(text).digest('base64url')}`;
}

let rooms = 0;
/** The address of a room that no other test is in. */
export const freshRoom = (server) => `${server.url}#room-${++rooms}`;

/** Fills in the gate and waits until the room is there. */
export async function enter(page, name, room) {
  await page.fill('#gate-name', name);
  if (room) await page.fill('#gate-room', room);
  await page.press('#gate-name', 'Enter');
  await joined(page);
}

/** Waits until the page is connected and in its room. */
export async function joined(page) {
  await page.waitForSelector('#state-dot.online');
  await page.waitForFunction(() => document.getElementById('people').children.length > 0);
}

/** A window with somebody in it. */
export async function person(browser, url, name, options) {
  const page = await openWindow(browser, url, options);
  await enter(page, name);
  return page;
}

/** Writes a line and sends it. */
export async function say(page, text) {
  await page.fill('#text', text);
  await page.press('#text', 'Enter');
}

/** The texts of all messages on the page, from the oldest on. */
export function texts(page) {
  return page.$$eval('#rows .row.message .text', (nodes) => nodes.map((node) => node.textContent));
}

/** Waits for a message with exactly this text, sent and confirmed. */
export async function hears(page, text, rest = '') {
  await page.waitForFunction(
    ([wanted, extra]) =>
      [...document.querySelectorAll(`#rows .row.sent${extra} .text`)].some(
        (node) => node.textContent === wanted,
      ),
    [text, rest],
  );
}

/** Nothing went wrong in the page, but for what is `allowed`. */
export function assertNoProblems(page, allowed = []) {
  const left = page.problems.filter((text) => !allowed.some((pattern) => pattern.test(text)));
  assert.deepEqual(left, []);
}

/** What a browser says about a server that is not there: no page can prevent it. */
export const REFUSED = /^(error|warning): WebSocket connection to .* failed/;

/** The folder for screenshots, made if it is not there. */
export function screenshot(page, name, options = {}) {
  mkdirSync(artifacts, { recursive: true });
  return page.screenshot({ path: `${artifacts}${name}.png`, ...options });
}

/** Ends the page's WebSocket and lets no new one open until `restore()`. */
export async function cutConnection(page) {
  await page.evaluate(() => {
    window.socketsCut = true;
    window.sockets.forEach((socket) => socket.close());
  });
  await page.waitForSelector('#outage:not([hidden])');
  return {
    restore: async () => {
      await page.evaluate(() => {
        window.socketsCut = false;
        document.getElementById('outage-button').click();
      });
      await joined(page);
    },
  };
}

/** Runs in the page: `each` messages, `PREFIX0` and on, by somebody else over another connection. */
export async function burst({ url, name, prefix, each }) {
  const { Client } = await import('/client.js');
  const channel = `chat:${decodeURIComponent(new URL(url).hash.slice(1))}`;
  const address = `${location.origin.replace('http', 'ws')}/connection/websocket`;
  await new Promise((resolve, reject) => {
    const options = { data: () => ({ nick: name }), WebSocket: window.RealWebSocket };
    const client = new Client(address, options);
    const publish = (n) => {
      const data = { type: 'message', text: `${prefix}${n}`, nonce: `${name} ${n}` };
      return client.request({ publish: { channel, data } });
    };
    client.subscribe(channel, {
      onSubscribed: () =>
        Promise.all(Array.from({ length: each }, (_, n) => publish(n)))
          .then(() => client.stop())
          .then(resolve, reject),
    });
    client.start();
  });
}

/** Runs in the page: texts in sight whose contrast is below 4.5. */
export function lowContrast() {
  const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const rgba = (color) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const luminance = (color) => {
    const [r, g, b] = color.map((part) => {
      const c = part / 255;
      return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const color = rgba(getComputedStyle(at).backgroundColor);
      if (color[3] === 255) return color;
    }
    return [255, 255, 255, 255];
  };
  const foreground = (node) => {
    const style = getComputedStyle(node);
    return node instanceof SVGElement ? style.fill : style.color;
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !node.checkVisibility({ visibilityProperty: true })) continue;
    const [light, dark] = [luminance(rgba(foreground(node))), luminance(behind(node))].sort((a, b) => b - a);
    const ratio = (light + 0.05) / (dark + 0.05);
    if (ratio < 4.5) found.push(`${node.getAttribute('class') || node.tagName} "${walker.currentNode.data.slice(0, 20)}": ${ratio.toFixed(2)}`);
  }
  return found;
}
