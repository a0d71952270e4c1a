// URL and URLSearchParams (WHATWG URL Standard).
const PORTS = { 'http:': '80', 'https:': '443', 'ws:': '80', 'wss:': '443', 'ftp:': '21', 'file:': '' };
const CUSTOM = Symbol.for('nodejs.util.inspect.custom');
const special = (protocol) => Object.hasOwn(PORTS, protocol);

// Characters of each percent-encode set, beyond control characters and everything above 0x7e.
const FRAGMENT = ' "<>`', QUERY = ' "#<>', SPECIAL_QUERY = ` "#<>'`, PATH = ' "#<>?`{}^', USER = ` "#<>?\`{}/:;=@[\\]^|`;

function percent(text, set) {
  let out = '';
  for (const c of text) {
    if (c > '\x1f' && c < '\x7f' && !set.includes(c)) out += c;
    else for (const byte of host.decode(c, 0)) out += `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  return out;
}

function invalid(input, base) {
  const e = new TypeError('Invalid URL');
  e.code = 'ERR_INVALID_URL';
  e.input = input;
  if (base !== undefined) e.base = base;
  return e;
}

function ipv4Part(text) {
  if (text === '') return NaN;
  if (/^0[xX][0-9a-fA-F]*$/.test(text)) return text.length === 2 ? 0 : parseInt(text, 16);
  if (/^0[0-7]+$/.test(text)) return parseInt(text, 8);
  return /^\d+$/.test(text) ? parseInt(text, 10) : NaN;
}

// The address, or null when it is a name; undefined when it is neither.
function ipv4(name) {
  const parts = name.split('.');
  if (parts.at(-1) === '' && parts.length > 1) parts.pop();
  const last = parts.at(-1);
  if (!/^\d+$/.test(last) && !/^0[xX][0-9a-fA-F]*$/.test(last)) return null;
  if (parts.length > 4) return undefined;
  const numbers = parts.map(ipv4Part);
  if (numbers.some(Number.isNaN) || numbers.slice(0, -1).some((n) => n > 255) || numbers.at(-1) >= 256 ** (5 - parts.length)) return undefined;
  let value = numbers.at(-1);
  numbers.slice(0, -1).forEach((n, i) => (value += n * 256 ** (3 - i)));
  return [24, 16, 8, 0].map((shift) => Math.floor(value / 2 ** shift) % 256).join('.');
}

function ipv6(text) {
  let tail = [];
  const v4 = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(text);
  if (v4) {
    const bytes = v4[2].split('.').map(Number);
    if (bytes.some((b) => b > 255)) return undefined;
    tail = [bytes[0] * 256 + bytes[1], bytes[2] * 256 + bytes[3]];
    text = v4[1].endsWith('::') ? v4[1] : v4[1].slice(0, -1);
  }
  const halves = text.split('::');
  if (halves.length > 2) return undefined;
  const read = (half) => (half ? half.split(':').map((h) => (/^[0-9a-fA-F]{1,4}$/.test(h) ? parseInt(h, 16) : NaN)) : []);
  const head = read(halves[0]), rest = halves.length > 1 ? [...read(halves[1]), ...tail] : tail;
  if (halves.length === 1) head.push(...tail), (rest.length = 0);
  const pieces = halves.length > 1 ? [...head, ...new Array(Math.max(0, 8 - head.length - rest.length)).fill(0), ...rest] : head;
  if (pieces.length !== 8 || pieces.some(Number.isNaN) || (halves.length > 1 && head.length + rest.length > 7)) return undefined;
  let best = -1, size = 1;
  for (let i = 0; i < 8; i++) {
    let n = 0;
    while (i + n < 8 && pieces[i + n] === 0) n++;
    if (n > size) (best = i), (size = n);
    if (n) i += n - 1;
  }
  let out = '';
  for (let i = 0; i < 8; i++) {
    if (i === best) {
      out += i ? ':' : '::';
      i += size - 1;
      continue;
    }
    out += pieces[i].toString(16) + (i < 7 ? ':' : '');
  }
  return `[${out}]`;
}

function decodePercent(text) {
  if (!text.includes('%')) return text;
  const bytes = [];
  for (const [part] of text.matchAll(/%[0-9a-fA-F]{2}|[^%]+|%/g)) {
    if (part.length === 3 && part[0] === '%') bytes.push(parseInt(part.slice(1), 16));
    else bytes.push(...host.decode(part, 0));
  }
  return host.encode(Uint8Array.from(bytes), 0);
}

function parseHost(text, isSpecial) {
  if (text.startsWith('[')) return text.endsWith(']') ? ipv6(text.slice(1, -1)) : undefined;
  if (!isSpecial) return /[\0\t\n\r #/:<>?@[\\\]^|]/.test(text) ? undefined : percent(text, '');
  const plain = decodePercent(text);
  const name = /[^\x00-\x7f]/.test(plain) ? require('internal/punycode').toASCII(plain) : plain.toLowerCase();
  if (!name || /[\x00-\x20"#%/:<>?@[\\\]^`{|}\x7f]/.test(name)) return undefined;
  const address = ipv4(name);
  return address === null ? name : address;
}

function dots(path, isSpecial, drive) {
  const out = [];
  const parts = path.split(isSpecial ? /[/\\]/ : '/');
  parts.forEach((part, i) => {
    const last = i === parts.length - 1;
    const plain = part.replace(/%2e/gi, '.');
    if (plain === '..') {
      if (!(drive && out.length === 1 && /^[a-zA-Z]:$/.test(out[0]))) out.pop();
      if (last) out.push('');
    } else if (plain === '.') {
      if (last) out.push('');
    } else out.push(drive && !out.length && /^[a-zA-Z]\|$/.test(part) ? `${part[0]}:` : percent(part, PATH));
  });
  return `/${out.join('/')}`;
}

function authority(record, text, isSpecial) {
  const at = text.lastIndexOf('@');
  if (at >= 0) {
    const user = text.slice(0, at), colon = user.indexOf(':');
    record.username = percent(colon < 0 ? user : user.slice(0, colon), USER);
    record.password = colon < 0 ? '' : percent(user.slice(colon + 1), USER);
    text = text.slice(at + 1);
    if (!text) return false;
  }
  const m = /^(\[[^\]]*\]|[^:]*)(?::(.*))?$/.exec(text);
  if (!m) return false;
  if (m[2] && (!/^\d+$/.test(m[2]) || +m[2] > 65535)) return false;
  if (!m[1]) {
    if (isSpecial || m[2] !== undefined || at >= 0) return false;
    record.hostname = '';
    return true;
  }
  const name = parseHost(m[1], isSpecial);
  if (name === undefined) return false;
  record.hostname = name;
  record.port = m[2] && String(+m[2]) !== PORTS[record.protocol] ? String(+m[2]) : '';
  return true;
}

function emptyRecord(protocol) {
  return { protocol, username: '', password: '', hostname: null, port: '', path: '', opaque: false, query: null, fragment: null };
}

function setTail(record, text) {
  const hash = text.indexOf('#');
  if (hash >= 0) {
    record.fragment = percent(text.slice(hash + 1), FRAGMENT);
    text = text.slice(0, hash);
  }
  const mark = text.indexOf('?');
  if (mark >= 0) {
    record.query = percent(text.slice(mark + 1), special(record.protocol) ? SPECIAL_QUERY : QUERY);
    text = text.slice(0, mark);
  }
  return text;
}

// The record of a URL, or null.
function parse(input, base) {
  input = input.replace(/^[\x00-\x20]+|[\x00-\x20]+$/g, '').replace(/[\t\n\r]/g, '');
  const scheme = /^([a-zA-Z][a-zA-Z0-9+.-]*):/.exec(input);
  if (!scheme) return relative(input, base);
  const protocol = scheme[0].toLowerCase();
  let rest = input.slice(scheme[0].length);
  if (special(protocol) && base && base.protocol === protocol && protocol !== 'file:' && !/^[/\\]/.test(rest)) return relative(rest, base);
  const record = emptyRecord(protocol);
  rest = setTail(record, rest);
  if (protocol === 'file:') return file(record, rest, base);
  if (special(protocol)) return withHost(record, rest.replace(/^[/\\]*/, ''), true);
  if (rest.startsWith('//')) return withHost(record, rest.slice(2), false);
  if (rest.startsWith('/')) record.path = dots(rest.slice(1), false);
  else {
    record.opaque = true;
    record.path = percent(rest, '');
  }
  return record;
}

function withHost(record, rest, isSpecial) {
  const end = rest.search(isSpecial ? /[/\\]/ : /\//);
  const name = end < 0 ? rest : rest.slice(0, end);
  if (!authority(record, name, isSpecial)) return null;
  record.path = end < 0 ? (isSpecial ? '/' : '') : dots(rest.slice(end + 1), isSpecial);
  return record;
}

function file(record, rest, base) {
  const slashes = /^[/\\]*/.exec(rest)[0].length;
  if (slashes >= 2) {
    const end = rest.slice(2).search(/[/\\]/);
    const name = end < 0 ? rest.slice(2) : rest.slice(2, end + 2);
    const drive = /^[a-zA-Z][:|]$/.test(name);
    const parsed = name && !drive ? parseHost(name, true) : '';
    if (parsed === undefined) return null;
    record.hostname = parsed === 'localhost' ? '' : parsed;
    record.path = dots(drive ? rest.slice(2) : end < 0 ? '' : rest.slice(end + 3), true, true);
    return record;
  }
  record.hostname = base?.protocol === 'file:' ? base.hostname : '';
  if (slashes === 1) record.path = dots(rest.slice(1), true, true);
  else if (base?.protocol === 'file:') record.path = rest ? dots(base.path.slice(1, base.path.lastIndexOf('/') + 1) + rest, true, true) : base.path;
  else record.path = dots(rest, true, true);
  if (base?.protocol === 'file:' && !rest && record.query === null) record.query = base.query;
  return record;
}

function relative(input, base) {
  if (!base) return null;
  if (base.opaque) {
    if (!input.startsWith('#')) return null;
    return { ...base, fragment: percent(input.slice(1), FRAGMENT) };
  }
  const isSpecial = special(base.protocol);
  const record = { ...base, query: null, fragment: null };
  let rest = setTail(record, input);
  if (base.protocol === 'file:') return file(record, rest, base);
  const slash = isSpecial ? /^[/\\]/ : /^\//;
  if ((isSpecial ? /^[/\\]{2}/ : /^\/\//).test(rest)) {
    return withHost({ ...emptyRecord(base.protocol), query: record.query, fragment: record.fragment }, isSpecial ? rest.replace(/^[/\\]*/, '') : rest.slice(2), isSpecial);
  }
  if (slash.test(rest)) record.path = dots(rest.slice(1), isSpecial);
  else if (rest) record.path = dots(base.path.slice(1, base.path.lastIndexOf('/') + 1) + rest, isSpecial);
  else if (record.query === null && !input.startsWith('?')) record.query = base.query;
  return record;
}

function credentials(r) {
  return r.username || r.password ? `${r.username}${r.password ? `:${r.password}` : ''}@` : '';
}

function serialize(r, withFragment = true) {
  const host_ = r.hostname !== null ? `//${credentials(r)}${r.hostname}${r.port && `:${r.port}`}` : !r.opaque && r.path.startsWith('//') ? '/.' : '';
  return `${r.protocol}${host_}${r.path}${r.query !== null ? `?${r.query}` : ''}${withFragment && r.fragment !== null ? `#${r.fragment}` : ''}`;
}

// --- application/x-www-form-urlencoded

function formEncode(text) {
  return encodeURIComponent(text.toWellFormed()).replace(/%20|[!'()~]/g, (c) => (c === '%20' ? '+' : `%${c.charCodeAt(0).toString(16).toUpperCase()}`));
}

function formDecode(text) {
  return decodePercent(text.replaceAll('+', ' '));
}

function formParse(text) {
  return text.split('&').filter(Boolean).map((part) => {
    const at = part.indexOf('=');
    return at < 0 ? [formDecode(part), ''] : [formDecode(part.slice(0, at)), formDecode(part.slice(at + 1))];
  });
}

class URLSearchParams {
  #list = [];
  #changed = null;
  constructor(init = undefined, changed = undefined) {
    if (typeof changed === 'function') this.#changed = changed;
    if (init === undefined || init === null) return;
    if (typeof init === 'object' || typeof init === 'function') {
      if (typeof init[Symbol.iterator] === 'function') {
        for (const pair of init) {
          const own = [...pair];
          if (own.length !== 2) throw Object.assign(new TypeError('Each query pair must be an iterable [name, value] tuple'), { code: 'ERR_INVALID_TUPLE' });
          this.#list.push([String(own[0]), String(own[1])]);
        }
      } else for (const key of Object.keys(init)) this.#list.push([key, String(init[key])]);
    } else this.#list = formParse(String(init).replace(/^\?/, ''));
  }
  // Only URL calls this: its query was set.
  static reset(params, query) {
    params.#list = formParse(query ?? '');
  }
  #edit(list) {
    this.#list = list;
    this.#changed?.(this.toString());
  }
  get size() {
    return this.#list.length;
  }
  append(name, value) {
    this.#edit([...this.#list, [String(name), String(value)]]);
  }
  delete(name, value) {
    this.#edit(this.#list.filter(([k, v]) => k !== String(name) || (value !== undefined && v !== String(value))));
  }
  get(name) {
    return this.#list.find(([k]) => k === String(name))?.[1] ?? null;
  }
  getAll(name) {
    return this.#list.filter(([k]) => k === String(name)).map(([, v]) => v);
  }
  has(name, value) {
    return this.#list.some(([k, v]) => k === String(name) && (value === undefined || v === String(value)));
  }
  set(name, value) {
    const at = this.#list.findIndex(([k]) => k === String(name));
    const rest = this.#list.filter(([k], i) => k !== String(name) || i === at).map((pair) => [...pair]);
    if (at < 0) rest.push([String(name), String(value)]);
    else rest.find(([k]) => k === String(name))[1] = String(value);
    this.#edit(rest);
  }
  sort() {
    this.#edit([...this.#list].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)));
  }
  forEach(fn, self) {
    for (const [k, v] of this.#list) fn.call(self, v, k, this);
  }
  *keys() {
    for (const [k] of this.#list) yield k;
  }
  *values() {
    for (const [, v] of this.#list) yield v;
  }
  *entries() {
    for (const pair of this.#list) yield [...pair];
  }
  [Symbol.iterator]() {
    return this.entries();
  }
  toString() {
    return this.#list.map(([k, v]) => `${formEncode(k)}=${formEncode(v)}`).join('&');
  }
  get [Symbol.toStringTag]() {
    return 'URLSearchParams';
  }
  [CUSTOM](depth, options, inspect) {
    if (!this.#list.length) return 'URLSearchParams {}';
    return `URLSearchParams { ${this.#list.map(([k, v]) => `${inspect(k)} => ${inspect(v)}`).join(', ')} }`;
  }
}

class URL {
  #record;
  #params = null;
  constructor(input, base = undefined) {
    const from = base === undefined ? null : parse(String(base), null);
    if (base !== undefined && !from) throw invalid(String(input), String(base));
    this.#record = parse(String(input), from);
    if (!this.#record) throw invalid(String(input), base === undefined ? undefined : String(base));
  }
  static canParse(input, base) {
    return URL.parse(input, base) !== null;
  }
  static parse(input, base) {
    try {
      return new URL(input, base);
    } catch {
      return null;
    }
  }
  get href() {
    return serialize(this.#record);
  }
  set href(value) {
    const record = parse(String(value), null);
    if (!record) throw invalid(String(value));
    this.#record = record;
    if (this.#params) URLSearchParams.reset(this.#params, record.query);
  }
  get origin() {
    const { protocol, hostname, port } = this.#record;
    if (protocol === 'blob:') return URL.parse(this.#record.path)?.origin ?? 'null';
    return special(protocol) && protocol !== 'file:' ? `${protocol}//${hostname}${port && `:${port}`}` : 'null';
  }
  get protocol() {
    return this.#record.protocol;
  }
  set protocol(value) {
    const m = /^([a-zA-Z][a-zA-Z0-9+.-]*):?/.exec(String(value));
    if (!m) return;
    const protocol = `${m[1].toLowerCase()}:`, r = this.#record;
    if (special(protocol) !== special(r.protocol) || (protocol === 'file:' && (r.username || r.password || r.port))) return;
    r.protocol = protocol;
    if (r.port === PORTS[protocol]) r.port = '';
  }
  get username() {
    return this.#record.username;
  }
  set username(value) {
    if (this.#record.hostname && this.#record.protocol !== 'file:') this.#record.username = percent(String(value), USER);
  }
  get password() {
    return this.#record.password;
  }
  set password(value) {
    if (this.#record.hostname && this.#record.protocol !== 'file:') this.#record.password = percent(String(value), USER);
  }
  get host() {
    const { hostname, port } = this.#record;
    return `${hostname ?? ''}${port && `:${port}`}`;
  }
  set host(value) {
    if (this.#record.opaque) return;
    const next = { ...this.#record }, text = String(value).split(special(this.protocol) ? /[/\\?#]/ : /[/?#]/)[0];
    if (!text.includes('@') && authority(next, text, special(this.protocol))) {
      if (!/:\d+$/.test(text)) next.port = this.#record.port;
      this.#record = next;
    }
  }
  get hostname() {
    return this.#record.hostname ?? '';
  }
  set hostname(value) {
    if (this.#record.opaque) return;
    const text = String(value).split(special(this.protocol) ? /[/\\?#]/ : /[/?#]/)[0];
    if (text.includes(':') && !text.startsWith('[')) return;
    const name = parseHost(text, special(this.protocol));
    if (name !== undefined) this.#record.hostname = name;
  }
  get port() {
    return this.#record.port;
  }
  set port(value) {
    if (!this.#record.hostname || this.protocol === 'file:') return;
    const m = /^\d+/.exec(String(value));
    if (String(value) === '') this.#record.port = '';
    else if (m && +m[0] <= 65535) this.#record.port = String(+m[0]) === PORTS[this.protocol] ? '' : String(+m[0]);
  }
  get pathname() {
    return this.#record.path;
  }
  set pathname(value) {
    if (this.#record.opaque) return;
    const isSpecial = special(this.protocol);
    this.#record.path = dots(String(value).replace(isSpecial ? /^[/\\]/ : /^\//, ''), isSpecial, this.protocol === 'file:');
  }
  get search() {
    return this.#record.query ? `?${this.#record.query}` : '';
  }
  set search(value) {
    const text = String(value).replace(/^\?/, '');
    this.#record.query = text === '' ? null : percent(text, special(this.protocol) ? SPECIAL_QUERY : QUERY);
    if (this.#params) URLSearchParams.reset(this.#params, this.#record.query);
  }
  get searchParams() {
    return (this.#params ??= new URLSearchParams(this.#record.query ?? '', (query) => (this.#record.query = query || null)));
  }
  get hash() {
    return this.#record.fragment ? `#${this.#record.fragment}` : '';
  }
  set hash(value) {
    const text = String(value).replace(/^#/, '');
    this.#record.fragment = text === '' ? null : percent(text, FRAGMENT);
  }
  toString() {
    return this.href;
  }
  toJSON() {
    return this.href;
  }
  get [Symbol.toStringTag]() {
    return 'URL';
  }
  [CUSTOM](depth, options, inspect) {
    const shown = {};
    for (const key of ['href', 'origin', 'protocol', 'username', 'password', 'host', 'hostname', 'port', 'pathname', 'search', 'searchParams', 'hash']) shown[key] = this[key];
    return `URL ${inspect(shown)}`;
  }
}

for (const Type of [URL, URLSearchParams]) {
  for (const [name, d] of Object.entries(Object.getOwnPropertyDescriptors(Type.prototype))) {
    if (name !== 'constructor') Object.defineProperty(Type.prototype, name, { ...d, enumerable: true });
  }
}

module.exports = { URL, URLSearchParams };
