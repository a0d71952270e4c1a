// App: the console's script. Asks the admin API of this node, and draws what it says. Values of viewers are only ever put into text nodes.
'use strict';

const POLL_MS = 1000;
const SLOW_POLL_MS = 3000;
const WAIT_MS = 10_000; // For other nodes to have a purge.
const HISTORY = 60; // Readings that a spark line shows.
const CLOCK = { hour: '2-digit', minute: '2-digit', second: '2-digit', fractionalSecondDigits: 3, hour12: false };
const LINES = 200; // Requests that the tail shows.
const MAP = { width: 1800, height: 720 }; // As land.inc: five units a degree, from 84 degrees north.

const $ = (id) => document.getElementById(id);

function make(name, content, attributes = {}) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...[content ?? []].flat());
  return element;
}

// --- asking

class Refused extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

async function ask(path, options = {}) {
  const token = sessionStorage.getItem('token');
  const headers = { ...options.headers };
  if (token) headers.Authorization = `Bearer ${token}`;
  const answer = await fetch(path, { ...options, headers, cache: 'no-store', credentials: 'omit' });
  if (answer.ok) return answer;
  const said = await answer.json().catch(() => ({}));
  throw new Refused(answer.status, [said.error ?? `status ${answer.status}`, said.hint].filter(Boolean).join(': '));
}

const read = async (path) => (await ask(path)).json();

// --- signing in

let running = false;

async function begin() {
  try {
    await read('/fleet');
  } catch (error) {
    if (error.status === 401) return signIn(sessionStorage.getItem('token') ? 'The token does not match.' : '');
    $('trouble').hidden = false;
    $('trouble').textContent = `This node cannot be reached: ${error.message}`;
    return setTimeout(begin, POLL_MS);
  }
  $('trouble').hidden = true;
  $('signin').hidden = true;
  $('main').hidden = false;
  $('signout').hidden = !sessionStorage.getItem('token');
  if (running) return;
  running = true;
  loop(drawFleet, POLL_MS);
  loop(drawSlow, SLOW_POLL_MS);
  if (location.hash.length > 1) document.querySelector(location.hash.split('=')[0])?.scrollIntoView();
}

function signIn(wrong) {
  sessionStorage.removeItem('token');
  running = false;
  stopTail();
  $('main').hidden = true;
  $('signout').hidden = true;
  $('signin').hidden = false;
  $('signin-wrong').textContent = wrong;
  $('token').value = '';
  $('token').focus();
}

$('signin-form').addEventListener('submit', (event) => {
  event.preventDefault();
  sessionStorage.setItem('token', $('token').value.trim());
  begin();
});

$('signout').addEventListener('click', () => {
  signIn('');
  // What was shown is gone with the token.
  location.replace('/console');
});

/// Draws again and again, while somebody looks.
async function loop(draw, every) {
  while (running) {
    if (!document.hidden) {
      try {
        await draw();
        $('trouble').hidden = true;
      } catch (error) {
        if (error.status === 401) return signIn('The token is no longer taken.');
        $('trouble').hidden = false;
        $('trouble').textContent = `This node cannot be reached: ${error.message}`;
      }
    }
    await new Promise((done) => setTimeout(done, every));
  }
}

// --- numbers

const known = (value) => value !== null && value !== undefined;

/// Three digits that matter.
function short(value) {
  if (!known(value)) return '–';
  if (value === 0) return '0';
  if (value >= 1e6) return `${(value / 1e6).toFixed(1)} M`;
  if (value >= 1e4) return `${(value / 1e3).toFixed(1)} k`;
  if (value >= 100) return value.toFixed(0);
  if (value >= 10) return value.toFixed(1);
  return value.toFixed(2);
}

const count = (value) => (value < 1e4 ? String(value) : short(value));
const percent = (value) => (known(value) ? `${(value * 100).toFixed(value > 0 && value < 0.1 ? 2 : 1)} %` : '–');
const millis = (value) => (known(value) ? `${short(value)} ms` : '–');

function bytes(value) {
  for (const unit of ['B', 'KiB', 'MiB', 'GiB']) {
    if (value < 1024) return `${value.toFixed(unit === 'B' ? 0 : 1)} ${unit}`;
    value /= 1024;
  }
  return `${value.toFixed(1)} TiB`;
}

const ago = (ms) => (ms < 60_000 ? `${(ms / 1000).toFixed(0)} s` : ms < 3_600_000 ? `${(ms / 60_000).toFixed(0)} min` : `${(ms / 3_600_000).toFixed(0)} h`);

/// A number with its unit beside it, smaller.
function figure(element, text) {
  const [number, ...unit] = text.split(' ');
  element.replaceChildren(number, ...(unit.length ? [' ', make('small', unit.join(' '))] : []));
}

// --- the fleet

let chosen = null; // A PoP's code; null = all of them.
const history = {};
let fleet = { nodes: [] };

/// Sums and means of nodes; of latencies the worst, as means of quantiles say nothing.
function together(nodes) {
  const total = (of) => nodes.reduce((sum, node) => sum + (of(node) ?? 0), 0);
  const requests = total((node) => node.traffic.requests_s);
  const mean = (of) => {
    const heard = nodes.filter((node) => known(of(node)));
    const weight = heard.reduce((sum, node) => sum + node.traffic.requests_s, 0);
    if (heard.length === 0) return null;
    if (weight === 0) return of(heard[0]);
    return heard.reduce((sum, node) => sum + of(node) * node.traffic.requests_s, 0) / weight;
  };
  const worst = (of) => nodes.map(of).filter(known).reduce((most, value) => Math.max(most, value), -1);
  const p50 = worst((node) => node.traffic.p50_ms);
  const p99 = worst((node) => node.traffic.p99_ms);
  return {
    requests,
    bytes: total((node) => node.traffic.bytes_out_s),
    hit: mean((node) => node.traffic.hit_ratio),
    errors: mean((node) => node.traffic.error_share),
    p50: p50 < 0 ? null : p50,
    p99: p99 < 0 ? null : p99,
  };
}

function spark(name, value) {
  const values = (history[name] ??= []);
  values.push(value ?? 0);
  if (values.length > HISTORY) values.shift();
  const top = Math.max(...values, 1e-9);
  const points = values.map((one, at) => `${((at + HISTORY - values.length) * 100) / (HISTORY - 1)},${23 - (one / top) * 21}`);
  $(`s-${name}`).firstElementChild.setAttribute('points', points.join(' '));
}

function drawTiles() {
  const here = fleet.nodes.filter((node) => node.connected && (chosen === null || node.pop === chosen));
  const now = together(here);
  figure($('t-requests'), `${short(now.requests)} /s`);
  figure($('t-hit'), percent(now.hit));
  figure($('t-errors'), percent(now.errors));
  figure($('t-p50'), millis(now.p50));
  figure($('t-p99'), millis(now.p99));
  figure($('t-bytes'), `${bytes(now.bytes)}/s`);
  for (const name of ['requests', 'hit', 'errors', 'p50', 'p99', 'bytes']) spark(name, now[name]);
  const nodes = `${here.length} ${here.length === 1 ? 'node' : 'nodes'}`;
  $('scope').textContent = chosen === null ? `All PoPs: ${nodes}. Latencies are the slowest node’s.` : `${chosen}: ${nodes}.`;
  $('everywhere').hidden = chosen === null;
}

function choose(pop) {
  chosen = pop;
  for (const name of Object.keys(history)) delete history[name];
  drawTiles();
  drawMap();
}

$('everywhere').addEventListener('click', () => choose(null));

const percentOf = (value, whole) => `${(value * 100) / whole}%`;

function drawMap() {
  const pops = new Map();
  for (const node of fleet.nodes) {
    if (node.place) pops.set(node.pop, [...(pops.get(node.pop) ?? []), node]);
  }
  for (const old of $('map').querySelectorAll('.pop')) if (!pops.has(old.dataset.pop)) old.remove();
  const box = $('map').getBoundingClientRect();
  const [taken, places] = [[], []];
  for (const [code, nodes] of pops) {
    let dot = [...$('map').querySelectorAll('.pop')].find((one) => one.dataset.pop === code);
    if (!dot) {
      dot = make('button', [make('i'), make('b'), make('span', [], { class: 'unseen' })], { type: 'button', class: 'pop' });
      dot.dataset.pop = code;
      dot.addEventListener('click', () => choose(chosen === code ? null : code));
      $('map').append(dot);
    }
    const { latitude, longitude, city } = nodes[0].place;
    const [x, y] = [(longitude + 180) * 5, (84 - latitude) * 5];
    dot.style.left = percentOf(x, MAP.width);
    dot.style.top = percentOf(y, MAP.height);
    const there = nodes.filter((node) => node.connected);
    const now = together(there);
    const size = 9 + Math.min(22, 5 * Math.log10(1 + now.requests));
    dot.firstElementChild.style.width = dot.firstElementChild.style.height = `${size}px`;
    dot.classList.toggle('away', there.length === 0);
    dot.classList.toggle('failing', (now.errors ?? 0) > 0.05);
    dot.setAttribute('aria-pressed', String(chosen === code));
    const state = there.length === 0 ? 'away' : `${short(now.requests)}/s`;
    dot.title = city;
    dot.children[1].replaceChildren(code, ' ', make('span', state));
    dot.children[2].textContent = there.length === 0 ? city : `${city}, ${percent(now.hit)} hits, ${percent(now.errors)} errors`;
    const [left, top] = [(x / MAP.width) * box.width, (y / MAP.height) * box.height];
    taken.push({ left: left - size / 2, right: left + size / 2, top: top - size / 2, bottom: top + size / 2, of: dot });
    places.push([dot, left, top]);
  }
  for (const [dot, left, top] of places) place(dot, left, top, box, taken);
}

/// Puts a label where no other one is, and no dot.
function place(dot, x, y, box, taken) {
  const label = dot.children[1];
  const [width, height] = [label.offsetWidth, label.offsetHeight];
  const spots = {
    right: [x + 13, y - height / 2],
    left: [x - 13 - width, y - height / 2],
    above: [x - width / 2, y - 13 - height],
    below: [x - width / 2, y + 13],
  };
  const free = ([left, top]) =>
    left >= 0 && left + width <= box.width && top >= 0 && top + height <= box.height &&
    taken.every((other) => other.of === dot || left + width < other.left || left > other.right || top + height < other.top || top > other.bottom);
  const [name, [left, top]] = Object.entries(spots).find(([, spot]) => free(spot)) ?? ['right', spots.right];
  dot.classList.remove('right', 'left', 'above', 'below');
  dot.classList.add(name);
  taken.push({ left, right: left + width, top, bottom: top + height });
}

/// A row whose cells know their column's name, for narrow screens. A cell: text, or [text, class].
function row(table, key, cells) {
  const names = [...table.tHead.rows[0].cells].map((cell) => cell.textContent);
  const line = make('tr', cells.map((cell, at) => {
    const [text, style] = Array.isArray(cell) ? cell : [cell, ''];
    const attributes = { 'data-label': names[at], class: `${table.tHead.rows[0].cells[at].className} ${style}`.trim() };
    return make(at === 0 ? 'th' : 'td', text, at === 0 ? { ...attributes, scope: 'row' } : attributes);
  }));
  line.dataset.key = key;
  return line;
}

/// Replaces a table's rows only where they changed, so that selections and focus stay.
function fill(table, rows) {
  const body = table.tBodies[0];
  rows.forEach((line, at) => {
    const old = body.rows[at];
    if (!old) body.append(line);
    else if (!old.isEqualNode(line)) old.replaceWith(line);
  });
  while (body.rows.length > rows.length) body.lastElementChild.remove();
}

const stateOf = (node) =>
  !node.connected ? ['away', 'bad'] : node.not_ready ? [node.not_ready, 'warn'] : ['ready', 'good'];

async function drawFleet() {
  fleet = await read('/fleet');
  const self = fleet.nodes.find((node) => node.node === fleet.node);
  $('whoami').textContent = self ? `${self.node} · ${self.pop} · ${self.version}` : fleet.node;
  if (chosen !== null && !fleet.nodes.some((node) => node.pop === chosen)) chosen = null;
  drawTiles();
  drawMap();
  fill($('nodes'), fleet.nodes.map((node) => row($('nodes'), node.node, [
    node.node === fleet.node ? `${node.node} (this one)` : node.node,
    node.place ? `${node.pop} ${node.place.city}` : node.pop,
    stateOf(node),
    `${short(node.traffic.requests_s)} /s`,
    percent(node.traffic.hit_ratio),
    [percent(node.traffic.error_share), (node.traffic.error_share ?? 0) > 0.05 ? 'bad' : ''],
    millis(node.traffic.p50_ms),
    millis(node.traffic.p99_ms),
    `${ago(node.seen_ms)} ago`,
    [known(node.revision) ? `revision ${node.revision}` : node.digest, 'whole'],
  ])));
  drawPurge();
}

// --- functions, purges

let before = null; // Calls at the last reading, to make a rate.

async function drawSlow() {
  const functions = await read('/functions');
  const at = performance.now();
  const rate = (one) => {
    const then = before?.calls.get(one.name);
    return then === undefined || then > one.calls ? null : ((one.calls - then) * 1000) / (at - before.at);
  };
  fill($('function-rows'), functions.map((one) => {
    const failures = Object.entries(one.outcomes).filter(([name]) => name !== 'ok' && name !== 'answered');
    const failed = failures.reduce((sum, [, count]) => sum + count, 0);
    return row($('function-rows'), one.name, [
      one.name,
      count(one.calls),
      known(rate(one)) ? `${short(rate(one))} /s` : '–',
      [count(failed), failed > 0 ? 'bad' : ''],
      [failures.map(([name, count]) => `${name} ${count}`).join(', ') || '–', 'whole'],
      millis(one.cpu_p50_ms),
      millis(one.cpu_p99_ms),
      millis(one.cpu_ms),
    ]);
  }));
  $('function-rows').hidden = functions.length === 0;
  $('no-functions').hidden = functions.length > 0;
  before = { at, calls: new Map(functions.map((one) => [one.name, one.calls])) };
  $('function-names').replaceChildren(...functions.map((one) => make('option', [], { value: one.name })));
  const { purges } = await read('/status');
  fill($('purges'), purges.map((one) => row($('purges'), `${one.at_ms}`, [
    new Date(one.at_ms).toLocaleTimeString(),
    one.scope,
    [one.what, 'whole'],
    one.soft ? 'soft' : 'hard',
  ])));
  $('purges').hidden = purges.length === 0;
  await drawRevisions();
}

// --- revisions

const acts = {
  deploy: () => 'deploy',
  canary: ({ pops, percent }) => `canary: ${percent} % at ${pops.join(', ')}`,
  promote: ({ serial }) => `promote ${serial}`,
  rollback: ({ serial }) => `rollback to ${serial}`,
};

/// An act is its name, or one entry of name and details.
function actOf(act) {
  const [name, details] = typeof act === 'string' ? [act, {}] : Object.entries(act)[0];
  return acts[name]?.(details) ?? name;
}

const states = { applied: ['serves', 'good'], canary: ['canary of', 'warn'], refused: ['refused', 'bad'], rolled_back: ['went back from', 'bad'] };

async function drawRevisions() {
  $('deploy').hidden = $('deploy-link').hidden = !fleet.revisions;
  if (!fleet.revisions) return;
  const all = await read('/revisions');
  const own = 'each node’s own files';
  $('deploy-state').textContent = `Everybody gets ${all.serves ? `revision ${all.serves}` : own}${all.canary ? `, some viewers ${all.canary}` : ''}.`;
  $('deploy-back').textContent = `rimward rollback ${all.canary ? '' : `${all.before} `}--key deploy.key --wait`;
  $('deploy-nodes').replaceChildren(...Object.entries(all.nodes).map(([node, ack]) => {
    if (!ack) return make('li', [`${node}: `, make('span', 'has said nothing yet', { class: 'warn' })]);
    const [word, style] = ack.serial < all.newest ? ['on its way from', 'warn'] : states[ack.state] ?? [ack.state, 'warn'];
    const what = ack.state === 'applied' ? ack.serves : ack.serial;
    return make('li', [`${ack.pop} ${node}: `, make('span', `${word} ${what || own}${ack.why ? `: ${ack.why}` : ''}`, { class: style })]);
  }));
  fill($('revisions'), all.revisions.map((one) => row($('revisions'), `${one.serial}`, [
    `${one.serial}${one.serial === all.serves ? ' (serves)' : one.serial === all.canary ? ' (canary)' : ''}`,
    actOf(one.act),
    new Date(one.created_ms).toLocaleString(),
    one.author,
    [one.note || '–', 'whole'],
    [[...one.added.map((path) => `+ ${path}`), ...one.changed.map((path) => `~ ${path}`), ...one.removed.map((path) => `− ${path}`)].join(', ') || '–', 'whole'],
  ])));
}

// --- the tail

let following = null; // An AbortController while the tail runs.

function stopTail() {
  following?.abort();
  following = null;
  $('tail-toggle').textContent = 'Follow';
}

function addLine(item) {
  const lines = $('tail-lines');
  lines.prepend(item);
  while (lines.children.length > LINES) lines.lastElementChild.remove();
}

const colour = (status) => (status === 0 || status >= 500 ? 'bad' : status >= 400 ? 'warn' : 'good');

function showRequest(one) {
  const query = one.query ? `?${one.query}` : '';
  const line = make('button', [
    make('span', new Date(one.time).toLocaleTimeString([], CLOCK), { class: 'when' }),
    make('span', String(one.status || '–'), { class: colour(one.status) }),
    make('span', one.cache),
    make('span', `${one.method ?? '?'} ${one.host ?? ''}${one.path ?? ''}${query}`, { class: 'url' }),
    make('span', millis(one.ms)),
  ], { type: 'button' });
  line.addEventListener('click', () => {
    $('request-id').value = one.id;
    explain(one.id);
    $('request').scrollIntoView();
  });
  addLine(make('li', line));
}

/// Events out of a stream of text: [name, data].
async function* events(stream) {
  const decoder = new TextDecoder();
  let rest = '';
  for (const reader = stream.getReader(); ; ) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (rest + decoder.decode(value, { stream: true })).split('\n\n');
    rest = parts.pop();
    for (const part of parts) {
      const field = (name) => part.split('\n').find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2);
      if (field('data') !== undefined) yield [field('event'), field('data')];
    }
  }
}

async function follow() {
  stopTail();
  const control = (following = new AbortController());
  const filter = new URLSearchParams([...new FormData($('tail-form'))].filter(([, value]) => value !== ''));
  $('tail-toggle').textContent = 'Stop';
  $('tail-state').textContent = 'Begins …';
  let [shown, skipped] = [0, 0];
  const say = () => {
    $('tail-state').textContent = `Follows${filter.size ? ` where ${[...filter].map(([name, value]) => `${name} is ${value}`).join(', ')}` : ' every request'}: ${shown} shown${skipped ? `, ${skipped} skipped` : ''}.`;
  };
  try {
    const answer = await ask(`/tail?${filter}`, { signal: control.signal });
    say();
    for await (const [name, data] of events(answer.body)) {
      if (name === 'skipped') {
        skipped += Number(data);
        addLine(make('li', `${data} requests skipped: there were too many to show`, { class: 'skipped' }));
      } else {
        shown += 1;
        showRequest(JSON.parse(data));
      }
      say();
    }
    $('tail-state').textContent = 'The node ended the tail.';
  } catch (error) {
    if (control.signal.aborted) return;
    $('tail-state').textContent = `The tail ended: ${error.message}`;
  }
  if (following === control) stopTail();
}

$('tail-form').addEventListener('submit', (event) => {
  event.preventDefault();
  if (!following) return follow();
  stopTail();
  $('tail-state').textContent = 'Stopped.';
});
// Another filter takes effect at once.
$('tail-form').addEventListener('change', () => following && follow());
$('tail-clear').addEventListener('click', () => $('tail-lines').replaceChildren());

// --- one request

async function explain(id) {
  $('request-state').textContent = 'Looks for it …';
  $('steps').replaceChildren();
  $('request-raw').hidden = true;
  try {
    const { request, steps } = await read(`/requests/${encodeURIComponent(id)}`);
    $('request-state').textContent = `${new Date(request.time).toLocaleString()}, at ${request.pop}.`;
    $('steps').replaceChildren(...steps.map((step) => make('li', [make('b', step.at), make('span', step.text)], step.bad ? { class: 'bad' } : {})));
    $('request-json').textContent = JSON.stringify(request, null, 2);
    $('request-raw').hidden = false;
  } catch (error) {
    $('request-state').textContent = error.message;
  }
}

$('request-form').addEventListener('submit', (event) => {
  event.preventDefault();
  explain($('request-id').value.trim());
});

// --- purging

let purging = null; // The purge whose progress is shown.

const kinds = { url: 'shop.example/a', prefix: 'shop.example/img/', host: 'shop.example', tag: 'product-7' };

$('purge-form').elements.kind.addEventListener('change', (event) => {
  const everything = event.target.value === 'all';
  const { what, sure } = $('purge-form').elements;
  $('purge-what').hidden = everything;
  $('purge-sure').hidden = !everything;
  what.required = !everything;
  what.placeholder = kinds[event.target.value] ?? '';
  sure.required = everything;
  sure.checked = false;
});

$('purge-form').addEventListener('submit', async (event) => {
  event.preventDefault();
  const { kind, what, soft } = event.target.elements;
  const body = { [kind.value]: kind.value === 'all' ? true : what.value.trim(), soft: soft.checked };
  // The answer then says which nodes have it.
  if (fleet.nodes.length > 1) body.wait_ms = WAIT_MS;
  purging = {};
  drawPurge();
  const button = event.submitter;
  button.disabled = true;
  $('purge-state').textContent = 'Purges …';
  try {
    const answer = await ask('/purge', { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) });
    const done = await answer.json();
    purging = done;
    const mode = done.soft ? 'stale' : 'gone';
    $('purge-state').textContent = `Durable, and in force at ${fleet.node}: ${kind.value === 'all' ? 'everything' : what.value.trim()} is ${mode}.`;
    drawPurge();
  } catch (error) {
    purging = null;
    $('purge-nodes').replaceChildren();
    $('purge-state').textContent = `Not purged: ${error.message}`;
  }
  button.disabled = false;
});

function drawPurge() {
  if (!purging) return;
  $('purge-nodes').replaceChildren(...fleet.nodes.map((node) => {
    const done = purging.seen?.includes(node.node) || (purging.stamp && node.node === fleet.node);
    const [text, style] = done ? ['done', 'good'] : node.connected ? ['on its way', 'warn'] : ['away: it catches up before it serves', 'bad'];
    return make('li', [`${node.pop} ${node.node}: `, make('span', text, { class: style })]);
  }));
}

addEventListener('resize', drawMap);
begin();
