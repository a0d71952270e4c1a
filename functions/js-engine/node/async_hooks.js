// async_hooks: AsyncLocalStorage and AsyncResource. The engine carries one frame, a Map of stores that is never changed, along with the
// code that runs: into promise reactions, microtasks and timers, from where they were asked for.
const { missing } = require('internal/absent');

function within(frame, fn, self, args) {
  const before = host.store();
  host.enter(frame);
  try {
    return Reflect.apply(fn, self, args);
  } finally {
    host.enter(before);
  }
}

function bound(fn, self) {
  const frame = host.store();
  return function (...args) {
    return within(frame, fn, self === undefined ? this : self, args);
  };
}

class AsyncLocalStorage {
  // `disable` leaves the frames that hold a store behind: they are of an age that is over.
  #age = {};
  #with(store) {
    return new Map(host.store()).set(this, { age: this.#age, store });
  }
  run(store, fn, ...args) {
    return within(this.#with(store), fn, undefined, args);
  }
  exit(fn, ...args) {
    return this.run(undefined, fn, ...args);
  }
  getStore() {
    const own = host.store()?.get(this);
    return own?.age === this.#age ? own.store : undefined;
  }
  enterWith(store) {
    host.enter(this.#with(store));
  }
  disable() {
    this.#age = {};
  }
  static bind(fn) {
    return bound(fn);
  }
  static snapshot() {
    return bound((fn, ...args) => fn(...args));
  }
}

class AsyncResource {
  #frame = host.store();
  constructor(type) {
    this.type = type;
  }
  runInAsyncScope(fn, self, ...args) {
    return within(this.#frame, fn, self, args);
  }
  bind(fn, self) {
    return within(this.#frame, bound, undefined, [fn, self]);
  }
  emitDestroy() {
    return this;
  }
  asyncId() {
    return 1;
  }
  triggerAsyncId() {
    return 0;
  }
  static bind(fn, type, self) {
    return bound(fn, self);
  }
}

module.exports = { AsyncLocalStorage, AsyncResource, createHook: missing('async_hooks', 'createHook'), executionAsyncId: () => 1, executionAsyncResource: () => ({}), triggerAsyncId: () => 0 };
