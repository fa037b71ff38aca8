// A Chromium whose pages tests/support/browser.py opens and asks: one JSON command a line on stdin, one JSON answer a
// line on stdout. A page's files come from memory, under the address of the stack, so that it is of the same origin.
import { createInterface } from 'node:readline';
import { chromium } from 'playwright-core';

const FLAGS = [
  '--no-sandbox', // containers run as root
  '--use-angle=swiftshader', '--enable-unsafe-swiftshader', // WebGL without a graphics card
  '--disable-features=LocalNetworkAccessChecks', // a page from memory counts as one from the internet
  '--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream', // a microphone that beeps, and may be used
  '--disable-background-networking', '--disable-renderer-backgrounding', '--disable-backgrounding-occluded-windows',
];
const [, , executablePath] = process.argv;
const browser = await chromium.launch({ executablePath, args: FLAGS });
const pages = new Map();
const logs = new Map();
const tell = (message) => process.stdout.write(`${JSON.stringify(message)}\n`);

const commands = {
  // `files`: path → what is served there; every path beside them is the stack's own. `look`: options of a context.
  // `beside`: a page in whose context it opens, as another tab of the same browser.
  async open({ name, url, path, files, look, beside }) {
    const context = pages.get(beside)?.context() ?? await browser.newContext({ viewport: { width: 160, height: 120 }, ...look });
    const page = await context.newPage();
    const log = [];
    page.on('console', (message) => log.push(`${message.type()}: ${message.text()}`));
    page.on('pageerror', (error) => log.push(`uncaught: ${error.message}`));
    for (const [at, { type, body, file }] of Object.entries(files)) {
      const headers = { Date: new Date().toUTCString() };
      await context.route(url + at, (route) => route.fulfill({ contentType: type, headers, ...(file ? { path: file } : { body }) }));
    }
    pages.set(name, page);
    logs.set(name, log);
    await page.goto(url + path);
    return true;
  },
  async reload({ name }) {
    await pages.get(name).reload();
    return true;
  },
  evaluate: ({ name, code }) => pages.get(name).evaluate(code),
  async hold({ name, key, until }) {
    const page = pages.get(name);
    await page.keyboard.down(key);
    await page.waitForFunction(until);
    await page.keyboard.up(key);
    return true;
  },
  log: async ({ name }) => logs.get(name),
};

createInterface({ input: process.stdin }).on('line', async (line) => {
  const { id, command, ...parameters } = JSON.parse(line);
  try {
    tell({ id, result: await commands[command](parameters) });
  } catch (error) {
    tell({ id, failure: error.message });
  }
}).on('close', async () => {
  await browser.close();
  process.exit(0);
});
