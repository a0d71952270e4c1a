// Timers and requests within one call. While a request is on its way, time passes and timers interrupt the wait for it. Else timers do
// not wait: time jumps to the next one when nothing else is left to do. Requests that were made in one turn are sent together.
let timers = [];
let now = 0;
let order = 0;
let requests = [];
// Requests on their way, by the host's number.
const flights = new Map();
// Turns without a wait, of those in a row after which there is one.
let looks = 0;
const LOOKS = 16;

class Timeout {
  constructor(fn, delay, args, repeat) {
    const ms = Math.trunc(Number(delay));
    this.delay = ms >= 1 && ms < 2 ** 31 ? ms : 1;
    this.fn = fn;
    this.args = args;
    this.repeat = repeat;
    this.due = now + this.delay;
    this.order = order++;
    this.id = this.order + 1;
    this.store = host.store();
  }
  ref() {
    return this;
  }
  unref() {
    this.idle = true;
    return this;
  }
  hasRef() {
    return !this.idle;
  }
  refresh() {
    this.due = now + this.delay;
    return this;
  }
  close() {
    clear(this);
    return this;
  }
  [Symbol.toPrimitive]() {
    return this.id;
  }
}

function add(fn, delay, args, repeat) {
  if (typeof fn !== 'function') throw new TypeError('The "callback" argument must be of type function');
  const timer = new Timeout(fn, delay, args, repeat);
  timers.push(timer);
  return timer;
}

function clear(timer) {
  const id = typeof timer === 'object' ? timer?.id : Number(timer);
  timers = timers.filter((t) => t.id !== id);
}

const setTimeout = (fn, delay, ...args) => add(fn, delay, args, false);
const setInterval = (fn, delay, ...args) => add(fn, delay, args, true);
const setImmediate = (fn, ...args) => {
  const timer = add(fn, 1, args, false);
  timer.due = now;
  return timer;
};

// request: what `fetch.send` takes. Resolves with its answer.
function send(request, signal) {
  return new Promise((resolve, reject) => {
    const entry = { request, resolve, reject };
    if (signal) {
      if (signal.aborted) return reject(signal.reason);
      signal.addEventListener('abort', () => {
        requests = requests.filter((r) => r !== entry);
        // A later call may have given its number to another request.
        if (flights.get(entry.id) === entry) {
          flights.delete(entry.id);
          host.call('fetch.abort', String(entry.id));
        }
        reject(signal.reason);
      });
    }
    requests.push(entry);
  });
}

// What nothing else can interrupt needs no number.
function sendAlone() {
  const [entry] = requests;
  requests = [];
  try {
    entry.resolve(JSON.parse(host.call('fetch.send', JSON.stringify(entry.request))));
  } catch (e) {
    entry.reject(new Error(e.message));
  }
}

function depart() {
  const batch = requests;
  requests = [];
  for (const entry of batch) {
    try {
      entry.id = JSON.parse(host.call('fetch.start', JSON.stringify(entry.request)));
      flights.set(entry.id, entry);
    } catch (e) {
      entry.reject(new Error(e.message));
    }
  }
}

// Waits for answers, but not beyond the next timer. Whether there were any.
function arrive(next) {
  // What is due already only looks whether there are any; now and then it leaves them a moment, or code that asks again and again would
  // never see one.
  const wait = next ? Math.max(0, next.due - now) : undefined;
  looks = wait === 0 ? (looks + 1) % LOOKS : 0;
  const bound = next ? { timeoutMs: wait === 0 && looks === 0 ? 1 : wait } : {};
  const { elapsedMs, done } = JSON.parse(host.call('fetch.next', JSON.stringify(bound)));
  now += elapsedMs;
  for (const [id, { ok, err }] of done) {
    const entry = flights.get(id);
    flights.delete(id);
    if (ok) entry.resolve(ok);
    else entry.reject(new Error(err));
  }
  return done.length > 0;
}

function fire(timer) {
  now = Math.max(now, timer.due);
  if (timer.repeat) timer.due = now + timer.delay, timer.order = order++;
  else timers = timers.filter((t) => t !== timer);
  host.enter(timer.store);
  try {
    timer.fn(...timer.args);
  } finally {
    host.enter(undefined);
  }
}

function tick() {
  if (requests.length) {
    if (requests.length === 1 && !timers.length && !flights.size) sendAlone();
    else depart();
    return true;
  }
  if (!flights.size && timers.every((t) => t.idle)) return false;
  const next = timers.length ? timers.reduce((a, b) => (b.due < a.due || (b.due === a.due && b.order < a.order) ? b : a)) : null;
  if (flights.size && arrive(next)) return true;
  fire(next);
  return true;
}

// As `tick`, but intervals are not waited for.
function rest() {
  timers = timers.filter((t) => !t.repeat);
  return tick();
}

function forget() {
  timers = [];
  requests = [];
  flights.clear();
}

module.exports = { setTimeout, setInterval, setImmediate, clearTimeout: clear, clearInterval: clear, clearImmediate: clear, send, tick, rest, forget };
