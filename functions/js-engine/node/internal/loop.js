// Timers and requests within one call. Timers do not wait: time jumps to the next one when nothing else is left to do. Requests that
// were made in one turn are sent together.
let timers = [];
let now = 0;
let order = 0;
let requests = [];

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
        reject(signal.reason);
      });
    }
    requests.push(entry);
  });
}

function flush() {
  const batch = requests;
  requests = [];
  const one = batch.length === 1;
  let answers;
  try {
    const payload = JSON.stringify(one ? batch[0].request : batch.map((r) => r.request));
    const answer = JSON.parse(host.call(one ? 'fetch.send' : 'fetch.send-all', payload));
    answers = one ? [{ ok: answer }] : answer;
  } catch (e) {
    answers = batch.map(() => ({ err: e.message }));
  }
  batch.forEach((entry, i) => {
    const { ok, err } = answers[i];
    if (ok) entry.resolve(ok);
    else entry.reject(new Error(err));
  });
}

function tick() {
  if (requests.length) {
    flush();
    return true;
  }
  const waiting = timers.filter((t) => !t.idle);
  if (!waiting.length) return false;
  const next = timers.reduce((a, b) => (b.due < a.due || (b.due === a.due && b.order < a.order) ? b : a));
  now = Math.max(now, next.due);
  if (next.repeat) next.due = now + next.delay, next.order = order++;
  else timers = timers.filter((t) => t !== next);
  host.enter(next.store);
  try {
    next.fn(...next.args);
  } finally {
    host.enter(undefined);
  }
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
}

module.exports = { setTimeout, setInterval, setImmediate, clearTimeout: clear, clearInterval: clear, clearImmediate: clear, send, tick, rest, forget };
