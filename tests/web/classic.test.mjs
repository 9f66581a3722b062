// The page of every WebSocket tutorial works unchanged, from another origin.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { launch, openWindow, person, hears, say, serveText, startServer } from './helpers.mjs';

let browser;
let server;
let site;

before(async () => {
  browser = await launch();
  server = await startServer({ args: ['--allow-origin', '*'] });
  const page = await readFile(new URL('classic.html', import.meta.url), 'utf8');
  site = await serveText(page.replace('HOST_AND_PORT', server.address));
});

after(async () => {
  site?.close();
  await browser?.close();
  await server?.kill();
});

const lines = (page) => page.$$eval('#log div', (nodes) => nodes.map((node) => node.textContent));
const hasLine = (page, line) =>
  page.waitForFunction(
    (wanted) => [...document.querySelectorAll('#log div')].some((node) => node.textContent === wanted),
    line,
  );

test('three tutorial pages talk, and the chat page talks with them', async () => {
  const pages = [];
  for (let i = 0; i < 3; i += 1) {
    pages.push(await openWindow(browser, site.url));
    await hasLine(pages[i], 'connected');
  }
  await pages[2].fill('#message', 'hello');
  await pages[2].click('#send');
  for (const page of pages) await hasLine(page, 'from 3: hello');

  const alice = await person(browser, server.url, 'alice');
  await hears(alice, 'hello');
  assert.equal(await alice.textContent('#rows .message .nick'), '3');
  await say(alice, 'welcome');
  for (const page of pages) await hasLine(page, 'from alice: welcome');
  await pages[0].fill('#message', 'thanks <b>a lot</b>');
  await pages[0].click('#send');
  await hears(alice, 'thanks <b>a lot</b>');
  for (const page of pages) {
    const shown = await lines(page);
    assert.equal(shown.filter((line) => line === 'from 3: hello').length, 1);
    assert.ok(!shown.includes('error') && !shown.includes('closed'), shown.join('\n'));
  }
});
