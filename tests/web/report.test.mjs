// The load generator's HTML page, of a run against the real server: read on a desk and on a phone,
// in light and in dark.
// Environment: LOADGEN_BIN (default: beside RINGCHAT_BIN).

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { assertNoProblems, browser, loadgen, lowContrast, openWindow, screenshot, server, stage } from './helpers.mjs';

const folder = mkdtempSync(join(tmpdir(), 'report-'));
stage({ args: ['--set', 'client.command_rate_limit=0'] });
after(() => rmSync(folder, { recursive: true }));

/** Runs the generator and returns the page it wrote, as a URL. Its figures may be its own here. */
async function page(name, args) {
  const file = join(folder, name);
  const url = `ws://${server.address}`;
  const all = ['--url', url, '--html', file, '--quiet', '--allow-saturation', ...args];
  try {
    await promisify(execFile)(loadgen, all);
  } catch (error) {
    // A search that was stopped by the generator's own limit has its page, too.
    assert.equal(error.code, 3, `${error.message}${error.stdout}`);
  }
  assert.ok(statSync(file).size < 1_000_000, 'less than a megabyte');
  return pathToFileURL(file).href;
}

async function look(url, name, plots) {
  const paper = new Set();
  for (const colorScheme of ['light', 'dark']) {
    for (const [what, width] of [['desk', 1280], ['phone', 390], ['small', 320]]) {
      const view = await openWindow(browser, url, { colorScheme, viewport: { width, height: 900 } });
      const where = `${what}, ${colorScheme}`;
      assert.ok((await view.locator('svg').count()) >= plots, `plots: ${where}`);
      assert.deepEqual(await view.evaluate(lowContrast), [], `contrast: ${where}`);
      assert.ok(await view.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `no sideways scrolling: ${where}`);
      const smallest = await view.evaluate(() => Math.min(...[...document.querySelectorAll('svg text')]
        .map((text) => parseFloat(getComputedStyle(text).fontSize) * text.getScreenCTM().a)));
      assert.ok(smallest >= 9, `text of ${smallest} px: ${where}`);
      paper.add(await view.evaluate(() => getComputedStyle(document.body).backgroundColor));
      assertNoProblems(view);
      if (width !== 320) await screenshot(view, `${name}-${what}-${colorScheme}`, { fullPage: true });
      await view.context().close();
    }
  }
  assert.equal(paper.size, 2, 'light and dark differ');
}

test('the page of a run', async () => {
  const args = ['-c', '50', '--rooms', '5', '--rate', '200', '--senders-per-room', '2', '--duration', '4s', '--churn', '10'];
  await look(await page('run.html', [...args, '--server-pid', String(server.pid)]), 'report-run', 8);
});

test('the page of a search', async () => {
  const args = ['-c', '20', '--find-max', '--find-from', '2000', '--slo', 'p50<2ms', '--duration', '300ms', '--warmup', '0ms', '--settle', '0ms'];
  await look(await page('search.html', args), 'report-search', 1);
});
