// async_hooks: AsyncLocalStorage as far as one event at a time needs it. `run` with an async function holds until its promise settles;
// two that overlap see the later one's store.
const { missing } = require('internal/absent');

class AsyncLocalStorage {
  #store;
  run(store, fn, ...args) {
    const before = this.#store;
    this.#store = store;
    let result;
    try {
      result = fn(...args);
    } catch (e) {
      this.#store = before;
      throw e;
    }
    if (typeof result?.then !== 'function') {
      this.#store = before;
      return result;
    }
    const restore = () => {
      if (this.#store === store) this.#store = before;
    };
    return result.then((value) => (restore(), value), (e) => {
      restore();
      throw e;
    });
  }
  exit(fn, ...args) {
    return this.run(undefined, fn, ...args);
  }
  getStore() {
    return this.#store;
  }
  enterWith(store) {
    this.#store = store;
  }
  disable() {
    this.#store = undefined;
  }
  static bind(fn) {
    return fn;
  }
  static snapshot() {
    return (fn, ...args) => fn(...args);
  }
}

class AsyncResource {
  constructor(type) {
    this.type = type;
  }
  runInAsyncScope(fn, self, ...args) {
    return fn.apply(self, args);
  }
  bind(fn) {
    return fn.bind(this);
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
  static bind(fn) {
    return fn;
  }
}

module.exports = { AsyncLocalStorage, AsyncResource, createHook: missing('async_hooks', 'createHook'), executionAsyncId: () => 1, executionAsyncResource: () => ({}), triggerAsyncId: () => 0 };
