// http and https: `request` and `get` over the host's `fetch.send`. Requests are sent whole, answers arrive whole.
const EventEmitter = require('events');
const { Buffer } = require('buffer');
const { Readable, Writable } = require('stream');
const { missing } = require('internal/absent');
const { AbortController } = require('internal/events');
const loop = require('internal/loop');

const STATUS_CODES = { 100: 'Continue', 200: 'OK', 201: 'Created', 202: 'Accepted', 204: 'No Content', 206: 'Partial Content', 301: 'Moved Permanently', 302: 'Found', 303: 'See Other',
  304: 'Not Modified', 307: 'Temporary Redirect', 308: 'Permanent Redirect', 400: 'Bad Request', 401: 'Unauthorized', 402: 'Payment Required', 403: 'Forbidden', 404: 'Not Found',
  405: 'Method Not Allowed', 406: 'Not Acceptable', 408: 'Request Timeout', 409: 'Conflict', 410: 'Gone', 411: 'Length Required', 412: 'Precondition Failed', 413: 'Payload Too Large',
  414: 'URI Too Long', 415: 'Unsupported Media Type', 416: 'Range Not Satisfiable', 418: "I'm a Teapot", 422: 'Unprocessable Entity', 429: 'Too Many Requests', 500: 'Internal Server Error',
  501: 'Not Implemented', 502: 'Bad Gateway', 503: 'Service Unavailable', 504: 'Gateway Timeout', 505: 'HTTP Version Not Supported' };
const METHODS = ['DELETE', 'GET', 'HEAD', 'OPTIONS', 'PATCH', 'POST', 'PUT'];

class IncomingMessage extends Readable {
  constructor(answer) {
    let sent = false;
    super({
      read() {
        if (sent) return;
        sent = true;
        if (answer.body) this.push(Buffer.from(answer.body, 'base64'));
        this.push(null);
      },
    });
    this.statusCode = answer.status;
    this.statusMessage = STATUS_CODES[answer.status] ?? '';
    this.httpVersion = '1.1';
    this.httpVersionMajor = this.httpVersionMinor = 1;
    this.headers = {};
    this.rawHeaders = [];
    this.complete = true;
    this.socket = this.connection = new EventEmitter();
    for (const [name, value] of answer.headers) {
      const key = name.toLowerCase();
      this.rawHeaders.push(name, value);
      if (key === 'set-cookie') (this.headers[key] ??= []).push(value);
      else this.headers[key] = key in this.headers ? `${this.headers[key]}, ${value}` : value;
    }
  }
  setTimeout() {
    return this;
  }
}

class ClientRequest extends Writable {
  #headers = new Map();
  #chunks = [];
  // Ends the request that is on its way.
  #flight = new AbortController();
  constructor(options, done) {
    super({
      // Sent whole it is finished as a stream, and its answer still to come.
      autoDestroy: false,
      destroy: (error, next) => {
        this.#flight.abort();
        next(error ?? (this.res ? null : Object.assign(new Error('socket hang up'), { code: 'ECONNRESET' })));
      },
      write: (chunk, encoding, next) => {
        this.#chunks.push(chunk);
        next();
      },
      final: (next) => {
        this.#send();
        next();
      },
    });
    this.method = String(options.method ?? 'GET').toUpperCase();
    this.path = options.path ?? '/';
    this.host = options.hostname ?? options.host ?? 'localhost';
    this.protocol = options.protocol;
    this.port = options.port;
    this.timeout = options.timeout;
    this.aborted = false;
    this.reusedSocket = false;
    this.socket = this.connection = Object.assign(new EventEmitter(), { setTimeout() {}, setNoDelay() {}, setKeepAlive() {}, destroy() {}, encrypted: options.protocol === 'https:' });
    const headers = options.headers ?? {};
    for (const [name, value] of Array.isArray(headers) ? headers : Object.entries(headers)) if (value !== undefined) this.setHeader(name, value);
    if (options.auth) this.setHeader('Authorization', `Basic ${Buffer.from(options.auth).toString('base64')}`);
    if (done) this.once('response', done);
    if (options.signal) options.signal.addEventListener('abort', () => this.destroy(options.signal.reason));
  }
  setHeader(name, value) {
    this.#headers.set(String(name).toLowerCase(), [String(name), value]);
    return this;
  }
  getHeader(name) {
    return this.#headers.get(String(name).toLowerCase())?.[1];
  }
  removeHeader(name) {
    this.#headers.delete(String(name).toLowerCase());
  }
  hasHeader(name) {
    return this.#headers.has(String(name).toLowerCase());
  }
  getHeaders() {
    return Object.fromEntries([...this.#headers].map(([key, [, value]]) => [key, value]));
  }
  getHeaderNames() {
    return [...this.#headers.keys()];
  }
  flushHeaders() {}
  setNoDelay() {}
  setSocketKeepAlive() {}
  setTimeout(ms, done) {
    this.timeout = ms;
    if (done) this.once('timeout', done);
    return this;
  }
  abort() {
    this.aborted = true;
    this.destroy();
  }
  #send() {
    const host = this.host.includes(':') && !this.host.startsWith('[') && this.host.split(':').length > 2 ? `[${this.host}]` : this.host;
    const port = this.port && !/:\d+$/.test(host) ? `:${this.port}` : '';
    const usual = this.protocol === 'https:' ? 443 : 80;
    // The URL's own host, with or without its scheme's port; another one is refused by who sends it, as it is for `fetch`.
    const own = [`${host}${port}`, ...(Number(this.port || usual) === usual ? [host, `${host}:${usual}`] : [])];
    const headers = [];
    for (const [name, value] of this.#headers.values()) {
      if (/^host$/i.test(name) && own.some((one) => one.toLowerCase() === String(value).toLowerCase())) continue;
      // Nothing here could decompress an answer.
      if (/^(content-length|connection|transfer-encoding|accept-encoding)$/i.test(name)) continue;
      for (const one of Array.isArray(value) ? value : [value]) headers.push([name, String(one)]);
    }
    const request = { method: this.method, url: `${this.protocol}//${host}${port}${this.path}`, headers, body: Buffer.concat(this.#chunks).toString('base64'), ...(this.timeout && { timeoutMs: this.timeout }) };
    loop.send(request, this.#flight.signal).then(
      (answer) => {
        if (this.destroyed) return;
        this.res = new IncomingMessage(answer);
        this.res.once('end', () => this.destroy());
        if (!this.emit('response', this.res)) this.res.resume();
      },
      (e) => {
        if (this.destroyed) return;
        const late = /timed? ?out|timeout/i.test(e.message);
        if (late) this.emit('timeout');
        e.code ??= late ? 'ETIMEDOUT' : 'ECONNREFUSED';
        this.destroy(e);
      },
    );
  }
}

class Agent {
  constructor(options = {}) {
    this.options = options;
    this.maxSockets = options.maxSockets ?? Infinity;
    this.keepAlive = !!options.keepAlive;
  }
  destroy() {}
}

function optionsOf(protocol, input, options) {
  if (typeof input === 'string' || input instanceof URL) {
    const url = typeof input === 'string' ? new URL(input) : input;
    return { ...require('url').urlToHttpOptions(url), ...options };
  }
  const own = { protocol, ...input };
  own.protocol ??= protocol;
  return own;
}

module.exports = (protocol) => {
  const request = (input, options, done) => {
    if (typeof options === 'function') [done, options] = [options, undefined];
    return new ClientRequest(optionsOf(protocol, input, options), done);
  };
  const get = (...args) => {
    const req = request(...args);
    req.end();
    return req;
  };
  const createServer = () => {
    throw new Error('a function cannot listen: createServer is not in this engine');
  };
  const none = Object.fromEntries(['Server', 'ServerResponse', 'OutgoingMessage'].map((name) => [name, missing('http', name)]));
  return { ...none, request, get, createServer, Agent, globalAgent: new Agent(), ClientRequest, IncomingMessage, METHODS, STATUS_CODES, maxHeaderSize: 16384 };
};
