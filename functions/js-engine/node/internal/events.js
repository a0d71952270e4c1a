// EventTarget, Event, AbortController: the web's.
class Event {
  constructor(type, init = {}) {
    this.type = String(type);
    this.cancelable = !!init.cancelable;
    this.bubbles = !!init.bubbles;
    this.defaultPrevented = false;
    this.target = this.currentTarget = null;
    this.timeStamp = 0;
  }
  preventDefault() {
    if (this.cancelable) this.defaultPrevented = true;
  }
  stopPropagation() {}
  stopImmediatePropagation() {
    this.stopped = true;
  }
}

class EventTarget {
  #listeners = new Map();
  addEventListener(type, listener, options) {
    if (!listener) return;
    const list = this.#listeners.get(type) ?? [];
    if (!list.some((l) => l.listener === listener)) list.push({ listener, once: !!options?.once });
    this.#listeners.set(type, list);
  }
  removeEventListener(type, listener) {
    this.#listeners.set(type, (this.#listeners.get(type) ?? []).filter((l) => l.listener !== listener));
  }
  dispatchEvent(event) {
    event.target = event.currentTarget = this;
    for (const { listener, once } of [...(this.#listeners.get(event.type) ?? [])]) {
      if (once) this.removeEventListener(event.type, listener);
      if (typeof listener === 'function') listener.call(this, event);
      else listener.handleEvent(event);
      if (event.stopped) break;
    }
    return !event.defaultPrevented;
  }
}

function aborted(name, message) {
  return new DOMException(message, name);
}

const MAKE = Symbol('make');

class AbortSignal extends EventTarget {
  constructor(key) {
    if (key !== MAKE) throw new TypeError('Illegal constructor');
    super();
    this.aborted = false;
    this.reason = undefined;
    this.onabort = null;
  }
  throwIfAborted() {
    if (this.aborted) throw this.reason;
  }
  static abort(reason) {
    const signal = new AbortSignal(MAKE);
    trip(signal, reason);
    return signal;
  }
  static timeout(ms) {
    const signal = new AbortSignal(MAKE);
    require('internal/loop').setTimeout(() => trip(signal, aborted('TimeoutError', 'The operation was aborted due to timeout')), ms).unref();
    return signal;
  }
  static any(signals) {
    const signal = new AbortSignal(MAKE);
    for (const one of signals) {
      if (one.aborted) trip(signal, one.reason);
      else one.addEventListener('abort', () => trip(signal, one.reason));
    }
    return signal;
  }
}

function trip(signal, reason) {
  if (signal.aborted) return;
  signal.aborted = true;
  signal.reason = reason === undefined ? aborted('AbortError', 'This operation was aborted') : reason;
  const event = new Event('abort');
  signal.onabort?.(event);
  signal.dispatchEvent(event);
}

class AbortController {
  constructor() {
    this.signal = new AbortSignal(MAKE);
  }
  abort(reason) {
    trip(this.signal, reason);
  }
}

module.exports = { Event, EventTarget, AbortSignal, AbortController };
