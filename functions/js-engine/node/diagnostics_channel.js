// diagnostics_channel: channels that nobody listens to but the function itself.
const channels = new Map();

class Channel {
  #listeners = [];
  constructor(name) {
    this.name = name;
  }
  get hasSubscribers() {
    return this.#listeners.length > 0;
  }
  subscribe(listener) {
    this.#listeners.push(listener);
  }
  unsubscribe(listener) {
    const at = this.#listeners.indexOf(listener);
    if (at >= 0) this.#listeners.splice(at, 1);
    return at >= 0;
  }
  publish(message) {
    for (const listener of [...this.#listeners]) listener(message, this.name);
  }
  bindStore() {}
  unbindStore() {
    return false;
  }
  runStores(message, fn, self, ...args) {
    this.publish(message);
    return fn.apply(self, args);
  }
}

function channel(name) {
  if (!channels.has(name)) channels.set(name, new Channel(name));
  return channels.get(name);
}

function tracingChannel(name) {
  const own = typeof name === 'object' ? name : {};
  for (const event of ['start', 'end', 'asyncStart', 'asyncEnd', 'error']) own[event] ??= channel(`tracing:${name}:${event}`);
  return {
    ...own,
    subscribe: (listeners) => Object.entries(listeners).forEach(([event, listener]) => own[event]?.subscribe(listener)),
    unsubscribe: (listeners) => Object.entries(listeners).forEach(([event, listener]) => own[event]?.unsubscribe(listener)),
    traceSync: (fn, context, self, ...args) => fn.apply(self, args),
    tracePromise: (fn, context, self, ...args) => fn.apply(self, args),
    traceCallback: (fn, position, context, self, ...args) => fn.apply(self, args),
  };
}

module.exports = { Channel, channel, tracingChannel, hasSubscribers: (name) => channel(name).hasSubscribers,
  subscribe: (name, listener) => channel(name).subscribe(listener), unsubscribe: (name, listener) => channel(name).unsubscribe(listener) };
