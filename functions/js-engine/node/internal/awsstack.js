// The middleware of AWS's clients: functions around a request, ordered by step, priority and each other. A handler may add its own.
const STEPS = ['initialize', 'serialize', 'build', 'finalizeRequest', 'deserialize'];
const PRIORITIES = ['high', 'normal', 'low'];

const named = (entry, which) => entry.name === which || entry.aliases?.includes(which);

class MiddlewareStack {
  // {middleware, name, aliases, tags} with {step, priority} or {relation, toMiddleware}.
  #entries = [];

  #put(entry) {
    for (const name of [entry.name, ...(entry.aliases ?? [])]) {
      const at = name === undefined ? -1 : this.#entries.findIndex((own) => named(own, name));
      if (at < 0) continue;
      if (!entry.override) throw new Error(`Duplicate middleware name '${name}'`);
      this.#entries.splice(at, 1);
    }
    this.#entries.push(entry);
  }
  add(middleware, options = {}) {
    this.#put({ step: 'initialize', priority: 'normal', ...options, middleware });
  }
  addRelativeTo(middleware, options) {
    this.#put({ ...options, middleware });
  }
  use(plugin) {
    plugin.applyToStack(this);
  }
  remove(which) {
    return this.#drop((entry) => (typeof which === 'string' ? named(entry, which) : entry.middleware === which));
  }
  removeByTag(tag) {
    return this.#drop((entry) => entry.tags?.includes(tag));
  }
  #drop(gone) {
    const before = this.#entries.length;
    this.#entries = this.#entries.filter((entry) => !gone(entry));
    return this.#entries.length < before;
  }
  clone() {
    return new MiddlewareStack().concat(this);
  }
  // A new stack with both; what is here already under the same name is replaced.
  concat(other) {
    const out = new MiddlewareStack();
    out.#entries = [...this.#entries];
    other.applyToStack(out);
    return out;
  }
  applyToStack(stack) {
    for (const entry of this.#entries) stack.#put({ ...entry, override: true });
  }
  identify() {
    return this.#ordered().map((entry) => `${entry.name ?? 'anonymous'}: ${entry.step ?? `${entry.relation} ${entry.toMiddleware}`}`);
  }
  identifyOnResolve() {
    return false;
  }

  #ordered() {
    const rank = (entry) => STEPS.indexOf(entry.step) * 3 + PRIORITIES.indexOf(entry.priority ?? 'normal');
    const list = this.#entries.filter((entry) => !entry.toMiddleware).sort((a, b) => rank(a) - rank(b));
    let waiting = this.#entries.filter((entry) => entry.toMiddleware);
    // Each goes beside another, which may itself be beside one more.
    while (waiting.length) {
      const late = [];
      for (const entry of waiting) {
        const at = list.findIndex((own) => named(own, entry.toMiddleware));
        if (at < 0) late.push(entry);
        else list.splice(entry.relation === 'after' ? at + 1 : at, 0, entry);
      }
      if (late.length === waiting.length) throw new Error(`${late[0].toMiddleware} is not found when adding ${late[0].name ?? 'anonymous'} middleware ${late[0].relation} ${late[0].toMiddleware}`);
      waiting = late;
    }
    return list;
  }

  // One function of `handler` within all of them.
  resolve(handler, context) {
    for (const entry of this.#ordered().reverse()) handler = entry.middleware(handler, context);
    return handler;
  }
}

module.exports = { MiddlewareStack };
