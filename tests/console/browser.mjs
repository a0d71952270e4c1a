// Browser: what a person does on the console, and sees. Run by main.rs, one scenario a run: node browser.mjs SCENARIO.
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import http from 'node:http';

const { PACKAGES, CHROMIUM, PROFILE, ADMIN, EDGE, TOKEN, SHOTS, ROOM } = process.env;
const require = createRequire(`${PACKAGES}/package.json`);
const { chromium } = require('playwright-core');
const PATIENCE = 60_000;

const flags = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync', '--no-proxy-server',
];
const problems = [];

async function open(options = {}) {
  const context = await chromium.launchPersistentContext(`${PROFILE}/${Object.keys(options).join('-') || 'plain'}${Math.random()}`, {
    executablePath: CHROMIUM, args: flags, headless: true, viewport: { width: 1280, height: 900 }, ...options,
  });
  context.setDefaultTimeout(PATIENCE);
  const page = context.pages()[0] ?? (await context.newPage());
  page.on('pageerror', (error) => problems.push(String(error)));
  page.on('console', (message) => {
    // Calls without a token are refused: that is how the page learns that it needs one.
    if (message.type() === 'error' && !/401|403|404|400/.test(message.text())) problems.push(message.text());
  });
  page.on('request', (request) => {
    if (!request.url().startsWith(ADMIN) && !request.url().startsWith('data:')) problems.push(`asked elsewhere: ${request.url()}`);
  });
  return page;
}

async function signedIn(options) {
  const page = await open(options);
  await page.goto(`${ADMIN}/console`);
  await page.getByLabel('Token of the admin API').fill(TOKEN);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.locator('#main').waitFor();
  return page;
}

/// A viewer's GET; gives the status and the request's id.
function get(path, host = 'shop.example') {
  return new Promise((done, failed) => {
    const request = http.get(`${EDGE}${path}`, { headers: { host }, agent: false }, (answer) => {
      answer.resume();
      answer.on('end', () => done({ status: answer.statusCode, id: answer.headers['x-amz-cf-id'], cache: answer.headers['x-cache'] }));
    });
    request.on('error', failed);
  });
}

const text = (page, id) => page.locator(`#${id}`).innerText();
const eventually = (page, says, ...given) => page.waitForFunction(says, ...given);

/// The body that a viewer gets.
function bodyOf(path) {
  return new Promise((done, failed) => {
    http.get(`${EDGE}${path}`, { headers: { host: 'shop.example' }, agent: false }, (answer) => {
      let body = '';
      answer.on('data', (part) => { body += part; });
      answer.on('end', () => done(`${answer.statusCode} ${body}`));
    }).on('error', failed);
  });
}

/// A directory with a configuration that answers `body` from a file.
function site(body) {
  mkdirSync(`${ROOM}/site/pages`, { recursive: true });
  writeFileSync(`${ROOM}/site/edge.toml`, '[[origin]]\nname = "o"\ngenerated = { body_file = "pages/a.html" }\n[[behavior]]\nmatch = "*"\norigin = "o"\ncache = false\n');
  writeFileSync(`${ROOM}/site/pages/a.html`, body);
  writeFileSync(`${ROOM}/site/.draft`, 'not sent');
  return `${ROOM}/site`;
}

const scenarios = {
  async deploy() {
    const page = await signedIn();
    const sent = [];
    page.on('request', (request) => { if (request.postDataBuffer()) sent.push(request.postDataBuffer()); });
    const said = (what) => page.locator('#deploy-said').filter({ hasText: what }).waitFor();
    const deploys = async (body, key) => {
      await page.getByLabel('Directory of the configuration').setInputFiles(site(body));
      await page.getByLabel('Private key').setInputFiles(`${ROOM}/${key}`);
      await page.locator('#deploy-form [name=author]').fill('ada');
      await page.getByRole('button', { name: 'Deploy', exact: true }).click();
    };
    assert.match(await bodyOf('/'), /^200 own$/);
    // The node serves something like it from its own file: it says so, and what helps.
    await deploys('one', 'deploy.key');
    await said(/is refused at fra: .*origin 'o' is in the revision as well.*--adopt/s);
    await page.getByLabel('take the place of').check();
    await deploys('one', 'deploy.key');
    await said(/^Revision \d+ is in force at fra\.$/);
    assert.equal(await bodyOf('/'), '200 one');
    await page.locator('#deploy-nodes').getByText(/^serves \d+$/).waitFor();
    await deploys('two', 'deploy.key');
    await said(/^Revision \d+ is in force at fra\.$/);
    await page.locator('#revisions tbody tr').first().getByText(/^~ pages\/a\.html$/).waitFor();
    assert.equal(await bodyOf('/'), '200 two');
    assert.match(await page.locator('#revisions tbody tr').first().innerText(), /ada/);
    // Nobody else's key, and no file that is none.
    await deploys('three', 'stranger.key');
    await said(/^Not deployed: the key ed25519:\S+ is not among `fleet.trust`/);
    await deploys('three', 'site/edge.toml');
    await said(/^Not deployed: edge\.toml is no key as rimward deploy --new-key makes it$/);
    assert.equal(await bodyOf('/'), '200 two');
    // The keys went nowhere.
    assert.ok(sent.length >= 4, `${sent.length}`);
    for (const key of ['deploy.key', 'stranger.key']) {
      const seed = readFileSync(`${ROOM}/${key}`).subarray(16, 48);
      const forms = [seed, Buffer.from(seed.toString('base64').slice(0, 40)), Buffer.from(seed.toString('hex'))];
      assert.ok(!sent.some((body) => forms.some((form) => body.includes(form))), key);
    }
    await page.context().close();
    // Without the means to sign, the command is shown.
    const other = await open();
    await other.addInitScript(() => { SubtleCrypto.prototype.generateKey = () => Promise.reject(new Error('no')); });
    await other.goto(`${ADMIN}/console`);
    await other.getByLabel('Token of the admin API').fill(TOKEN);
    await other.keyboard.press('Enter');
    await other.getByText('This browser does not sign with Ed25519 here').waitFor();
    assert.equal(await other.locator('#deploy-form').isVisible(), false);
  },

  async token() {
    const page = await open();
    const answer = await page.goto(`${ADMIN}/`);
    assert.equal(new URL(page.url()).pathname, '/console', 'a browser is sent to the page');
    const fields = answer.headers();
    assert.match(fields['content-security-policy'], /default-src 'none'; script-src 'self'; style-src 'self'/);
    assert.equal(fields['x-frame-options'], 'DENY');
    assert.equal(fields['cache-control'], 'no-store');
    await page.locator('#signin').waitFor();
    assert.equal(await page.locator('#main').isVisible(), false, 'nothing is shown before');
    await page.getByLabel('Token of the admin API').fill('wrong');
    await page.keyboard.press('Enter');
    await page.getByText('The token does not match.').waitFor();
    await page.getByLabel('Token of the admin API').fill(TOKEN);
    await page.keyboard.press('Enter');
    await page.locator('#main').waitFor();
    // In this tab, over a reload; in no cookie, no storage that stays, no other tab.
    await page.reload();
    await page.locator('#main').waitFor();
    assert.deepEqual(await page.context().cookies(), []);
    assert.equal(await page.evaluate(() => localStorage.length), 0);
    const other = await page.context().newPage();
    await other.goto(`${ADMIN}/console`);
    await other.locator('#signin').waitFor();
    await other.close();
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.locator('#signin').waitFor();
    assert.equal(await page.evaluate(() => sessionStorage.length), 0);
  },

  async fleet() {
    const page = await signedIn();
    const dot = page.getByRole('button', { name: /^FRA .*Frankfurt/ });
    await dot.waitFor();
    let going = true;
    const traffic = (async () => {
      while (going) await Promise.all([get('/a'), get('/a'), get('/gone/a')]);
    })();
    // Requests, hits and errors that there are: each tile leaves its dash and its zero.
    await eventually(page, () => ['t-requests', 't-hit', 't-errors', 't-p99', 't-bytes'].every((id) => parseFloat(document.getElementById(id).textContent) > 0));
    await eventually(page, () => /^FRA [1-9][\d.]*.*\/s.*Frankfurt, .*% hits/.test(document.querySelector('.pop').textContent));
    // The dot is where Frankfurt is.
    const [map, at] = [await page.locator('#map').boundingBox(), await dot.boundingBox()];
    const longitude = ((at.x + at.width / 2 - map.x) / map.width) * 360 - 180;
    const latitude = 84 - ((at.y + at.height / 2 - map.y) / map.height) * 144;
    assert.ok(Math.abs(longitude - 8.56) < 1 && Math.abs(latitude - 50.03) < 1, `${latitude} ${longitude}`);
    const row = page.locator('#nodes tbody tr');
    assert.match(await row.innerText(), /fra \(this one\)\s+FRA Frankfurt\s+ready/);
    // Chosen with the keyboard, and let go.
    await dot.focus();
    await page.keyboard.press('Enter');
    await page.getByText('FRA: 1 node.').waitFor();
    assert.equal(await dot.getAttribute('aria-pressed'), 'true');
    await page.getByRole('button', { name: 'Show all PoPs' }).click();
    await page.getByText('All PoPs: 1 node.').waitFor();
    going = false;
    await traffic;
  },

  async tail() {
    const page = await signedIn();
    await page.getByLabel('Path begins with').fill('/seen/');
    await page.getByRole('button', { name: 'Follow' }).click();
    await page.getByText('Follows where path is /seen/').waitFor();
    await get('/other');
    const miss = await get('/seen/%3Cimg%20src=x%20onerror=document.title=1%3E?q=<b>');
    const line = page.locator('#tail-lines button');
    await line.waitFor();
    assert.equal(await line.count(), 1, 'only what the filter takes');
    assert.match(await line.innerText(), /200\s+miss\s+GET shop\.example\/seen\/%3Cimg/);
    assert.equal(await page.locator('#tail-lines img, #tail-lines b').count(), 0, 'what viewers send is text');
    // Another filter while it runs.
    await page.getByLabel('Path begins with').fill('');
    await page.getByLabel('Status').selectOption('5xx');
    await page.getByText('Follows where status is 5xx').waitFor();
    const gone = await get('/gone/b');
    await page.locator('#tail-lines button', { hasText: '/gone/b' }).click();
    const steps = page.locator('#steps li');
    await steps.first().waitFor();
    const told = await page.locator('#steps').innerText();
    assert.match(told, /GET http:\/\/shop\.example\/gone\/b/);
    assert.match(told, /The behavior "\/gone\/\*" matched/);
    assert.match(told, /The origin "gone" was asked/);
    assert.match(told, /The viewer got 502/);
    assert.ok((await page.locator('#steps li.bad').count()) >= 2);
    assert.equal(await page.getByLabel('Request id').inputValue(), gone.id);
    // By the id that a viewer has.
    await page.getByLabel('Request id').fill(miss.id);
    await page.getByRole('button', { name: 'Explain' }).click();
    await page.getByText('mark at viewer-request: 1 edit;').waitFor();
    assert.match(await page.locator('#steps').innerText(), /The cache had no answer/);
    await page.getByText('All that is known').click();
    assert.match(await text(page, 'request-json'), new RegExp(miss.id));
    await page.getByLabel('Request id').fill('0'.repeat(32));
    await page.getByRole('button', { name: 'Explain' }).click();
    await page.getByText('There is no request', { exact: false }).waitFor();
    await page.getByRole('button', { name: 'Stop' }).click();
    await page.getByText('Stopped.').waitFor();
    const lines = await page.locator('#tail-lines button').count();
    await get('/gone/c');
    // The PoP has it, the page does not show it.
    await page.getByRole('button', { name: 'Clear' }).click();
    assert.ok(lines >= 2);
    assert.equal(await page.locator('#tail-lines button').count(), 0);
  },

  async functions() {
    const page = await signedIn();
    await get('/a');
    await get('/a');
    await get('/broken/a');
    const row = (name) => page.locator('#function-rows tbody tr', { hasText: name });
    await eventually(page, () => [...document.querySelectorAll('#function-rows tbody tr')].some((tr) => tr.cells[0].textContent === 'mark' && tr.cells[1].textContent === '2'));
    await row('broken').getByText('execution 1').waitFor();
    assert.equal(await row('broken').locator('td').nth(2).innerText(), '1');
    assert.equal(await row('mark').locator('td').nth(2).innerText(), '0');
  },

  async purge() {
    const page = await signedIn();
    await get('/a');
    assert.match((await get('/a')).cache, /^Hit/);
    await page.locator('#purge-form').getByLabel('Which').fill('shop.example/a');
    await page.getByRole('button', { name: 'Purge' }).click();
    await page.getByText('shop.example/a is gone').waitFor();
    await page.locator('#purge-nodes li', { hasText: 'FRA fra: done' }).waitFor();
    assert.match((await get('/a')).cache, /^Miss/);
    await page.locator('#purges tbody tr', { hasText: 'shop.example/a' }).waitFor();
    // What is wrong is said in the API's words.
    await page.locator('#purge-form').getByLabel('Which').fill('/only/path');
    await page.getByRole('button', { name: 'Purge' }).click();
    await page.getByText('names no host', { exact: false }).waitFor();
    // Everything needs a second word.
    await page.locator('#purge-form').getByLabel('What').selectOption('all');
    await page.getByRole('button', { name: 'Purge' }).click();
    assert.match(await text(page, 'purge-state'), /names no host/, 'not sent');
    await page.getByLabel('yes, everything').check();
    await page.getByRole('button', { name: 'Purge' }).click();
    await page.getByText('everything is gone').waitFor();
    assert.match((await get('/a')).cache, /^Miss/);
  },

  async readable() {
    for (const [name, colorScheme, viewport] of [
      ['desktop-light', 'light', { width: 1280, height: 900 }],
      ['desktop-dark', 'dark', { width: 1280, height: 900 }],
      ['phone-light', 'light', { width: 360, height: 740 }],
      ['phone-dark', 'dark', { width: 360, height: 740 }],
    ]) {
      const page = await signedIn({ colorScheme, viewport, reducedMotion: 'reduce' });
      await page.getByRole('button', { name: 'Follow' }).click();
      await page.getByText('Follows every request').waitFor();
      await get(`/${'long'.repeat(60)}`);
      const { id } = await get('/gone/a');
      await get('/broken/a');
      await page.locator('#tail-lines button').nth(2).waitFor();
      await page.getByLabel('Request id').fill(id);
      await page.getByRole('button', { name: 'Explain' }).click();
      await page.locator('#steps li').first().waitFor();
      await page.locator('#function-rows tbody tr').first().waitFor();
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(wide <= 0, `${name}: ${wide} pixels lie beside the screen`);
      await page.evaluate(readFileSync(`${PACKAGES}/node_modules/axe-core/axe.min.js`, 'utf8'));
      const { violations } = await page.evaluate(() => axe.run());
      const said = violations.map((one) => `${one.id}: ${one.nodes.map((node) => `${node.html} ${node.failureSummary}`).join('\n  ')}`);
      assert.deepEqual(said, [], name);
      await page.screenshot({ path: `${SHOTS}/${name}.png`, fullPage: true });
      await page.context().close();
    }
  },
};

await scenarios[process.argv[2]]();
assert.deepEqual(problems, []);
console.log('all of it');
process.exit(0);
