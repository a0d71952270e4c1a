// fetch, Headers, Request, Response: the web's, over the host's `fetch.send`. Bodies are whole in memory.
const { Buffer, Blob } = require('buffer');
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;

function nameOf(name) {
  if (!TOKEN.test(String(name))) throw new TypeError(`Headers: ${name} is an invalid header name.`);
  return String(name).toLowerCase();
}

function valueOf(value) {
  const text = String(value).replace(/^[\t\n\r ]+|[\t\n\r ]+$/g, '');
  if (/[\0\r\n]/.test(text)) throw new TypeError(`Headers: "${text}" is an invalid header value.`);
  return text;
}

class Headers {
  #map = new Map();
  constructor(init) {
    if (init === undefined || init === null) return;
    if (typeof init[Symbol.iterator] === 'function') for (const [k, v] of init) this.append(k, v);
    else for (const k of Object.keys(init)) this.append(k, init[k]);
  }
  append(name, value) {
    const key = nameOf(name);
    this.#map.set(key, [...(this.#map.get(key) ?? []), valueOf(value)]);
  }
  set(name, value) {
    this.#map.set(nameOf(name), [valueOf(value)]);
  }
  get(name) {
    return this.#map.get(nameOf(name))?.join(', ') ?? null;
  }
  has(name) {
    return this.#map.has(nameOf(name));
  }
  delete(name) {
    this.#map.delete(nameOf(name));
  }
  getSetCookie() {
    return [...(this.#map.get('set-cookie') ?? [])];
  }
  *entries() {
    for (const key of [...this.#map.keys()].sort()) {
      if (key === 'set-cookie') for (const value of this.#map.get(key)) yield [key, value];
      else yield [key, this.#map.get(key).join(', ')];
    }
  }
  *keys() {
    for (const [k] of this.entries()) yield k;
  }
  *values() {
    for (const [, v] of this.entries()) yield v;
  }
  forEach(fn, self) {
    for (const [k, v] of this.entries()) fn.call(self, v, k, this);
  }
  [Symbol.iterator]() {
    return this.entries();
  }
  get [Symbol.toStringTag]() {
    return 'Headers';
  }
}

class FormData {
  #list = [];
  append(name, value) {
    this.#list.push([String(name), typeof value === 'object' ? value : String(value)]);
  }
  set(name, value) {
    this.delete(name);
    this.append(name, value);
  }
  delete(name) {
    this.#list = this.#list.filter(([k]) => k !== name);
  }
  get(name) {
    return this.#list.find(([k]) => k === name)?.[1] ?? null;
  }
  getAll(name) {
    return this.#list.filter(([k]) => k === name).map(([, v]) => v);
  }
  has(name) {
    return this.#list.some(([k]) => k === name);
  }
  *entries() {
    yield* this.#list;
  }
  [Symbol.iterator]() {
    return this.entries();
  }
}

// Bytes of a body, and the type that goes with it.
function extract(body) {
  if (body === undefined || body === null) return [null, null];
  if (typeof body === 'string') return [Buffer.from(body), 'text/plain;charset=UTF-8'];
  if (body instanceof URLSearchParams) return [Buffer.from(String(body)), 'application/x-www-form-urlencoded;charset=UTF-8'];
  if (ArrayBuffer.isView(body)) return [Buffer.from(new Uint8Array(body.buffer, body.byteOffset, body.byteLength)), null];
  if (body instanceof ArrayBuffer) return [Buffer.from(body.slice(0)), null];
  if (body instanceof FormData) {
    const boundary = `----formdata-${Math.random().toString(36).slice(2)}`;
    const parts = [...body].map(([k, v]) => `--${boundary}\r\nContent-Disposition: form-data; name="${k.replace(/"/g, '%22')}"\r\n\r\n${v}\r\n`);
    return [Buffer.from(`${parts.join('')}--${boundary}--\r\n`), `multipart/form-data; boundary=${boundary}`];
  }
  if (body instanceof Blob) return [body.arrayBuffer(), body.type || null];
  return [Buffer.from(String(body)), 'text/plain;charset=UTF-8'];
}

class Body {
  #bytes = null;
  bodyUsed = false;
  setBody(body, headers) {
    const [bytes, type] = extract(body);
    this.#bytes = bytes;
    if (type && !headers.has('content-type')) headers.set('content-type', type);
  }
  async #take() {
    if (this.bodyUsed) throw new TypeError('Body is unusable: Body has already been read');
    this.bodyUsed = this.#bytes !== null;
    const bytes = await this.#bytes;
    return bytes instanceof ArrayBuffer ? Buffer.from(bytes) : bytes ?? Buffer.alloc(0);
  }
  peek() {
    return this.#bytes;
  }
  // A stream of one piece, for code that iterates or asks for a reader.
  get body() {
    if (this.#bytes === null) return null;
    const take = () => this.#take();
    let over = false;
    const read = async () => {
      if (over) return { done: true, value: undefined };
      over = true;
      return { done: false, value: Uint8Array.from(await take()) };
    };
    return { locked: false, getReader: () => ({ read, releaseLock() {}, cancel: async () => {} }), cancel: async () => {}, [Symbol.asyncIterator]: () => ({ next: read }) };
  }
  async text() {
    return new TextDecoder().decode(await this.#take());
  }
  async json() {
    return JSON.parse(await this.text());
  }
  async arrayBuffer() {
    return Uint8Array.from(await this.#take()).buffer;
  }
  async bytes() {
    return Uint8Array.from(await this.#take());
  }
  async blob() {
    return new Blob([await this.#take()], { type: this.headers.get('content-type') ?? '' });
  }
  async formData() {
    const out = new FormData();
    for (const [k, v] of new URLSearchParams(await this.text())) out.append(k, v);
    return out;
  }
}

class Request extends Body {
  constructor(input, init = {}) {
    super();
    const from = input instanceof Request ? input : null;
    this.url = from ? from.url : new URL(String(input)).href;
    this.method = String(init.method ?? from?.method ?? 'GET');
    if (/^(get|head|post|put|delete|options|patch)$/i.test(this.method)) this.method = this.method.toUpperCase();
    this.headers = new Headers(init.headers ?? from?.headers);
    this.signal = init.signal ?? from?.signal ?? null;
    this.redirect = init.redirect ?? from?.redirect ?? 'follow';
    const body = init.body ?? from?.peek() ?? null;
    if (body !== null && (this.method === 'GET' || this.method === 'HEAD')) throw new TypeError('Request with GET/HEAD method cannot have body.');
    this.setBody(body, this.headers);
  }
  clone() {
    return new Request(this);
  }
}

class Response extends Body {
  constructor(body = null, init = {}) {
    super();
    this.status = init.status ?? 200;
    if (!(this.status >= 200 && this.status <= 599) && !init.host) throw new RangeError(`init["status"] must be in the range of 200 to 599, inclusive.`);
    this.statusText = init.statusText ?? '';
    this.headers = new Headers(init.headers);
    this.url = init.url ?? '';
    this.redirected = !!init.redirected;
    this.type = init.host ? 'basic' : 'default';
    this.setBody(body, this.headers);
  }
  get ok() {
    return this.status >= 200 && this.status < 300;
  }
  clone() {
    if (this.bodyUsed) throw new TypeError('Response.clone: Body has already been consumed.');
    return new Response(this.peek(), { status: this.status, statusText: this.statusText, headers: this.headers, url: this.url, host: true });
  }
  static json(data, init = {}) {
    const headers = new Headers(init.headers);
    if (!headers.has('content-type')) headers.set('content-type', 'application/json');
    return new Response(JSON.stringify(data), { ...init, headers });
  }
  static redirect(url, status = 302) {
    return new Response(null, { status, headers: { location: String(new URL(url)) } });
  }
  static error() {
    return new Response(null, { status: 0, host: true });
  }
}

const REDIRECTS = 20;

async function send(request, url, method, bytes) {
  return require('internal/loop').send({
    method, url, headers: [...request.headers], body: bytes === null ? '' : bytes.toString('base64'),
  }, request.signal);
}

async function fetch(input, init) {
  const request = new Request(input, init);
  const body = await request.peek();
  let bytes = body instanceof ArrayBuffer ? Buffer.from(body) : body, { url, method } = request;
  for (let hop = 0; ; hop++) {
    let answer;
    try {
      answer = await send(request, url, method, bytes);
    } catch (e) {
      if (request.signal?.aborted) throw e;
      const failure = new TypeError('fetch failed');
      failure.cause = e;
      throw failure;
    }
    const headers = new Headers(answer.headers);
    const to = headers.get('location');
    if (!to || ![301, 302, 303, 307, 308].includes(answer.status) || request.redirect === 'manual') {
      const none = [101, 204, 205, 304].includes(answer.status);
      return new Response(none ? null : Buffer.from(answer.body ?? '', 'base64'), { status: answer.status, headers, url, redirected: hop > 0, host: true });
    }
    if (request.redirect === 'error' || hop >= REDIRECTS) throw Object.assign(new TypeError('fetch failed'), { cause: new Error(request.redirect === 'error' ? 'unexpected redirect' : 'redirect count exceeded') });
    const next = new URL(to, url);
    if (next.origin !== new URL(url).origin) for (const name of ['authorization', 'cookie', 'proxy-authorization']) request.headers.delete(name);
    if (answer.status === 303 || (method === 'POST' && answer.status <= 302)) {
      method = method === 'HEAD' ? 'HEAD' : 'GET';
      bytes = null;
      for (const name of ['content-type', 'content-length', 'content-encoding']) request.headers.delete(name);
    }
    url = next.href;
  }
}

module.exports = { fetch, Headers, Request, Response, FormData };
