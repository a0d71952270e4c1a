// EventEmitter, Node's.
const kCapture = Symbol.for('nodejs.rejection');

function listenerCheck(listener) {
  if (typeof listener === 'function') return;
  const e = new TypeError(`The "listener" argument must be of type function. Received ${listener === null ? 'null' : typeof listener}`);
  e.code = 'ERR_INVALID_ARG_TYPE';
  throw e;
}

function EventEmitter() {
  EventEmitter.init.call(this);
}

EventEmitter.init = function () {
  if (!Object.hasOwn(this, '_events') || this._events === undefined) {
    this._events = Object.create(null);
    this._eventsCount = 0;
  }
  this._maxListeners ??= undefined;
};
EventEmitter.defaultMaxListeners = 10;

function listOf(emitter, name) {
  if (!emitter._events) EventEmitter.init.call(emitter);
  return emitter._events[name] ?? [];
}

function add(emitter, name, listener, first) {
  listenerCheck(listener);
  const list = listOf(emitter, name);
  if (emitter._events.newListener) emitter.emit('newListener', name, listener.listener ?? listener);
  emitter._events[name] = first ? [listener, ...list] : [...list, listener];
  return emitter;
}

function onceOf(emitter, name, listener) {
  listenerCheck(listener);
  const wrapped = function (...args) {
    emitter.removeListener(name, wrapped);
    return Reflect.apply(listener, emitter, args);
  };
  wrapped.listener = listener;
  return wrapped;
}

const methods = {
  on(name, listener) {
    return add(this, name, listener, false);
  },
  prependListener(name, listener) {
    return add(this, name, listener, true);
  },
  once(name, listener) {
    return add(this, name, onceOf(this, name, listener), false);
  },
  prependOnceListener(name, listener) {
    return add(this, name, onceOf(this, name, listener), true);
  },
  removeListener(name, listener) {
    const list = listOf(this, name);
    const at = list.findLastIndex((l) => l === listener || l.listener === listener);
    if (at < 0) return this;
    const rest = list.filter((_, i) => i !== at);
    if (rest.length) this._events[name] = rest;
    else delete this._events[name];
    if (this._events.removeListener) this.emit('removeListener', name, listener);
    return this;
  },
  removeAllListeners(name) {
    if (!this._events || name === undefined) this._events = Object.create(null);
    else delete this._events[name];
    return this;
  },
  emit(name, ...args) {
    const list = listOf(this, name);
    if (!list.length) {
      if (name !== 'error') return false;
      if (args[0] instanceof Error) throw args[0];
      const e = new Error(`Unhandled error. (${args[0]})`);
      e.code = 'ERR_UNHANDLED_ERROR';
      e.context = args[0];
      throw e;
    }
    for (const listener of list) Reflect.apply(listener, this, args);
    return true;
  },
  listeners(name) {
    return listOf(this, name).map((l) => l.listener ?? l);
  },
  rawListeners(name) {
    return [...listOf(this, name)];
  },
  listenerCount(name, listener) {
    return listener ? this.listeners(name).filter((l) => l === listener).length : listOf(this, name).length;
  },
  eventNames() {
    return Reflect.ownKeys(this._events ?? {});
  },
  setMaxListeners(n) {
    this._maxListeners = n;
    return this;
  },
  getMaxListeners() {
    return this._maxListeners ?? EventEmitter.defaultMaxListeners;
  },
};
methods.addListener = methods.on;
methods.off = methods.removeListener;
Object.assign(EventEmitter.prototype, methods);

function once(emitter, name, options) {
  return new Promise((resolve, reject) => {
    const signal = options?.signal;
    if (signal?.aborted) return reject(signal.reason);
    if (typeof emitter.addEventListener === 'function') return emitter.addEventListener(name, (...args) => resolve(args), { once: true });
    const failed = (e) => {
      emitter.removeListener(name, done);
      reject(e);
    };
    const done = (...args) => {
      emitter.removeListener('error', failed);
      resolve(args);
    };
    emitter.once(name, done);
    if (name !== 'error') emitter.once('error', failed);
  });
}

module.exports = Object.assign(EventEmitter, {
  EventEmitter, once, captureRejectionSymbol: kCapture, errorMonitor: Symbol('events.errorMonitor'), listenerCount: (emitter, name) => emitter.listenerCount(name),
  getEventListeners: (emitter, name) => emitter.listeners(name), setMaxListeners() {},
  async *on(emitter, name) {
    const queue = [];
    let wake;
    emitter.on(name, (...args) => {
      queue.push(args);
      wake?.();
    });
    for (;;) {
      if (queue.length) yield queue.shift();
      else await new Promise((resolve) => (wake = resolve));
    }
  },
});
