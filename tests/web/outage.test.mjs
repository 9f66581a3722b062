// The chat page while the connection or the server is gone: nothing is lost, nothing doubled.

import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { REFUSED, assertNoProblems, cutConnection, freshRoom, hears, launch, person, say, screenshot, startServer, texts } from './helpers.mjs';

let browser;
let server;

before(async () => {
  browser = await launch();
  server = await startServer();
});

after(async () => {
  await browser?.close();
  await server?.kill();
});

afterEach(async () => {
  for (const context of browser.contexts()) await context.close();
});

test('nothing is lost and nothing doubled when the server is restarted in mid-conversation', async () => {
  let own = await startServer();
  try {
    const listen = own.address;
    const ivan = await person(browser, own.url, 'ivan');
    const judy = await person(browser, own.url, 'judy');
    const said = { ivan: [], judy: [] };
    const speak = async (page, name, count) => {
      for (let i = 0; i < count; i += 1) {
        const text = `${name} ${said[name].length}`;
        said[name].push(text);
        await say(page, text);
      }
    };
    await speak(ivan, 'ivan', 5);
    await speak(judy, 'judy', 5);
    // Both go on talking while the server goes.
    await Promise.all([own.stop(), speak(ivan, 'ivan', 30), speak(judy, 'judy', 30)]);
    await ivan.waitForSelector('#outage:not([hidden])');
    assert.equal(await ivan.textContent('#state'), 'Offline');
    await speak(ivan, 'ivan', 5);
    await speak(judy, 'judy', 5);
    await ivan.waitForFunction(() => /wait/.test(document.getElementById('outage-waiting').textContent));
    await screenshot(ivan, 'offline');
    own = await startServer({ listen });
    await ivan.click('#outage-button');
    for (const page of [ivan, judy]) {
      await page.waitForSelector('#outage', { state: 'hidden' });
      for (const name of ['ivan', 'judy']) await hears(page, said[name].at(-1));
      await page.waitForFunction(() => !document.querySelector('.row.pending'));
      const heard = await texts(page);
      for (const name of ['ivan', 'judy']) {
        assert.deepEqual(heard.filter((text) => text.startsWith(name)), said[name]);
      }
      assert.equal(await page.textContent('#self-nick'), page === ivan ? 'ivan' : 'judy');
      assertNoProblems(page, [REFUSED]);
    }
    await speak(judy, 'judy', 1);
    await hears(ivan, said.judy.at(-1));
    await screenshot(ivan, 'after-restart');
  } finally {
    await own.kill();
  }
});

test('what was said while a window was away comes when it is back', async () => {
  const url = freshRoom(server);
  const kim = await person(browser, url, 'kim');
  const lee = await person(browser, url, 'lee');
  await say(lee, 'before');
  await hears(kim, 'before');
  const cut = await cutConnection(kim);
  for (let i = 0; i < 20; i += 1) await say(lee, `missed ${i}`);
  await hears(lee, 'missed 19');
  await say(kim, 'typed while away');
  await cut.restore();
  await hears(kim, 'missed 19');
  await hears(lee, 'typed while away');
  const expected = ['before', ...Array.from({ length: 20 }, (_, i) => `missed ${i}`), 'typed while away'];
  assert.deepEqual(await texts(lee), expected);
  await hears(kim, 'typed while away');
  assert.deepEqual(await texts(kim), expected);
  assert.equal(await kim.locator('.row.gap').count(), 0);
  assertNoProblems(kim, [REFUSED]);
});
