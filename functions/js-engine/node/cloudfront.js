// `import cf from 'cloudfront'`: runtime 2.0's own module. Origin operations are left for the host, which applies the last one.
function need(condition, message) {
  if (!condition) throw new TypeError(message);
}

function json(operation, payload) {
  return JSON.parse(host.call(operation, JSON.stringify(payload)));
}

function missing(key) {
  return new Error(`KeyNotFound: the key '${key}' is not in the key value store`);
}

const FORMATS = {
  string: (bytes) => host.encode(bytes, 0),
  json: (bytes) => JSON.parse(host.encode(bytes, 0)),
  bytes: (bytes) => require('buffer').Buffer.from(bytes),
};

class KeyValueStore {
  #name;
  constructor(name) {
    this.#name = name;
  }
  #store() {
    if (this.#name === undefined) {
      const stores = JSON.parse(host.call('kv.stores'));
      if (!stores.length) throw new Error('no key value store is associated with this function');
      this.#name = stores[0];
    }
    return this.#name;
  }
  async get(key, options) {
    const format = FORMATS[options?.format ?? 'string'];
    need(format, `unknown format '${options?.format}': string, json or bytes`);
    const answer = host.call('kv.get', JSON.stringify({ store: this.#store(), key: String(key) }), true);
    if (!answer[0]) throw missing(key);
    return format(answer.slice(1));
  }
  async exists(key) {
    return json('kv.exists', { store: this.#store(), key: String(key) });
  }
  async meta() {
    const { keyCount, createdMs, updatedMs } = json('kv.describe', { store: this.#store() });
    return { creationDateTime: new Date(createdMs).toISOString(), lastUpdatedDateTime: new Date(updatedMs).toISOString(), keyCount };
  }
  async count() {
    return (await this.meta()).keyCount;
  }
}

// `arn:aws:cloudfront::123456789012:key-value-store/ID`, an id or a name: the host knows its stores by name.
function kvs(id) {
  return new KeyValueStore(id === undefined ? undefined : String(id).slice(String(id).lastIndexOf('/') + 1));
}

function operation(op, args) {
  host.setOrigin(JSON.stringify({ op, ...args }));
}

const cf = {
  kvs,
  updateRequestOrigin(origin) {
    need(origin && typeof origin === 'object', 'updateRequestOrigin takes an object');
    operation('update', { origin });
  },
  selectRequestOriginById(id, options) {
    need(typeof id === 'string' && id, 'selectRequestOriginById takes the id of an origin');
    operation('select', { id, overrides: options?.originOverrides ?? null });
  },
  createRequestOriginGroup(group) {
    need(Array.isArray(group?.originIds) && group.originIds.length === 2, 'createRequestOriginGroup takes two originIds');
    need(Array.isArray(group.failoverCriteria?.statusCodes), 'createRequestOriginGroup takes failoverCriteria.statusCodes');
    const { originIds, selectionCriteria = 'default', failoverCriteria } = group;
    operation('group', { originIds, selectionCriteria, statusCodes: failoverCriteria.statusCodes });
  },
  get edgeLocation() {
    const { pop, serverIp, region } = JSON.parse(host.context());
    return { name: pop, serverIp, region };
  },
};

module.exports = Object.assign(cf, { default: cf });
