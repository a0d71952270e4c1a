// What AWS's clients share: the way of a command (serialise, retry, sign, send, read), exceptions, paginators, waiters.
const { Buffer } = require('buffer');
const { randomUUID } = require('crypto');
const loop = require('internal/loop');
const { configure } = require('internal/awsconfig');
const { MiddlewareStack } = require('internal/awsstack');
const { sign, queryOf } = require('internal/awssign');

const DELAY = 100, DELAY_THROTTLED = 500, DELAY_MAX = 20000; // milliseconds
const SKEW_MAX = 300000; // milliseconds between our clock and the service's
const THROTTLED = new Set(['BandwidthLimitExceeded', 'EC2ThrottledException', 'LimitExceededException', 'PriorRequestNotComplete', 'ProvisionedThroughputExceededException',
  'RequestLimitExceeded', 'RequestThrottled', 'RequestThrottledException', 'SlowDown', 'ThrottledException', 'Throttling', 'ThrottlingException', 'TooManyRequestsException', 'TransactionInProgressException']);
const SKEWED = new Set(['AuthFailure', 'InvalidSignatureException', 'RequestExpired', 'RequestInTheFuture', 'RequestTimeTooSkewed', 'SignatureDoesNotMatch']);
const TRANSIENT = new Set(['TimeoutError', 'RequestTimeout', 'RequestTimeoutException']);

class ServiceException extends Error {
  constructor(options) {
    super(options.message);
    this.name = options.name;
    this.$fault = options.$fault;
    this.$retryable = options.$retryable;
    this.$metadata = options.$metadata;
  }
  static isInstance(value) {
    return value instanceof ServiceException;
  }
}

const named = (name, message, more) => Object.assign(new Error(message), { name }, more);

// --- sending

class HttpRequest {
  constructor(options) {
    Object.assign(this, { method: 'GET', protocol: 'https:', hostname: 'localhost', port: undefined, path: '/', query: {}, headers: {}, body: undefined, ...options });
  }
  static isInstance(value) {
    return typeof value?.method === 'string' && typeof value.hostname === 'string' && typeof value.path === 'string' && typeof value.headers === 'object';
  }
  clone() {
    return new HttpRequest({ ...this, headers: { ...this.headers }, query: { ...this.query } });
  }
}

// Over the host's `fetch.send`.
class HostHandler {
  constructor(options = {}) {
    this.metadata = { handlerProtocol: 'http/1.1' };
    this.options = options;
  }
  async handle(request, { abortSignal, requestTimeout } = {}) {
    const query = queryOf(request.query);
    const timeoutMs = requestTimeout ?? this.options.requestTimeout ?? this.options.socketTimeout;
    const headers = Object.entries(request.headers).map(([name, value]) => [name, String(value)]);
    const url = `${request.protocol}//${request.hostname}${request.port ? `:${request.port}` : ''}${request.path}${query && `?${query}`}`;
    let answer;
    try {
      answer = await loop.send({ method: request.method, url, headers, body: Buffer.from(request.body ?? '').toString('base64'), ...(timeoutMs && { timeoutMs }) }, abortSignal);
    } catch (e) {
      if (abortSignal?.aborted) throw named('AbortError', 'Request aborted');
      if (e.message.startsWith('timeout:')) e.name = 'TimeoutError';
      if (e.message.startsWith('failed:')) e.code = 'ECONNREFUSED';
      throw e;
    }
    return { response: { statusCode: answer.status, headers: Object.fromEntries(answer.headers.map(([name, value]) => [name.toLowerCase(), value])), body: Buffer.from(answer.body ?? '', 'base64') } };
  }
  updateHttpClientConfig(key, value) {
    this.options = { ...this.options, [key]: value };
  }
  httpHandlerConfigs() {
    return this.options;
  }
  destroy() {}
}

// A handler of the bundle may give a stream.
async function textOf(body) {
  if (body === undefined || body === null) return '';
  if (typeof body === 'string') return body;
  if (ArrayBuffer.isView(body)) return Buffer.from(body).toString();
  const parts = [];
  for await (const part of body) parts.push(Buffer.from(part));
  return Buffer.concat(parts).toString();
}

function fieldOf(headers, name) {
  for (const key of Object.keys(headers ?? {})) if (key.toLowerCase() === name) return headers[key];
  return undefined;
}

function metadataOf({ statusCode, headers }) {
  return { httpStatusCode: statusCode, requestId: fieldOf(headers, 'x-amzn-requestid') ?? fieldOf(headers, 'x-amz-request-id'), extendedRequestId: fieldOf(headers, 'x-amz-id-2'), cfId: fieldOf(headers, 'x-amz-cf-id') };
}

// --- JSON 1.0 (AWS, "AWS JSON 1.0 protocol"): bytes as base64, times as seconds

function encode(value) {
  if (value === null || typeof value !== 'object') return value;
  if (Array.isArray(value)) return value.map(encode);
  if (ArrayBuffer.isView(value)) return Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('base64');
  if (value instanceof ArrayBuffer) return Buffer.from(value).toString('base64');
  if (value instanceof Date) return value.getTime() / 1000;
  const out = {};
  for (const key of Object.keys(value)) {
    const own = value[key];
    if (own !== undefined && own !== null && typeof own !== 'function') out[key] = encode(own);
  }
  return out;
}

function failure(service, response, text) {
  let data = {};
  try {
    data = JSON.parse(text);
  } catch {}
  const type = String(fieldOf(response.headers, 'x-amzn-errortype') ?? data.__type ?? data.code ?? 'Unknown');
  const name = type.split(',')[0].split(':')[0].split('#').pop();
  const { Message, message = Message ?? 'UnknownError', ...rest } = service.decode(data, text);
  const Type = service.exceptions[name];
  const options = { name, message, $fault: response.statusCode >= 500 ? 'server' : 'client', $metadata: metadataOf(response) };
  const error = Type ? new Type(options) : new service.Exception(options);
  Object.defineProperty(error, 'message', { value: message, enumerable: true, configurable: true, writable: true });
  Object.assign(error, rest);
  return Object.defineProperty(error, '$response', { value: response, configurable: true, writable: true });
}

// --- the client's own middleware

const logging = (config) => (next, context) => async (args) => {
  const { clientName, commandName } = context;
  try {
    const result = await next(args);
    const { $metadata: metadata, ...output } = result.output;
    config.logger?.info?.({ clientName, commandName, input: args.input, output, metadata });
    return result;
  } catch (error) {
    config.logger?.error?.({ clientName, commandName, input: args.input, error, metadata: error.$metadata });
    throw error;
  }
};

const serializing = (config, service) => (next, context) => async (args) => {
  const { translate, operation } = context;
  const token = service.tokens[operation];
  let input = translate ? translate.write(args.input) : args.input;
  if (token && (input[token] === undefined || input[token] === null)) input = { ...input, [token]: randomUUID() };
  const { protocol, hostname, port, path = '/', query } = await config.resolveEndpoint();
  const request = new HttpRequest({
    method: 'POST', protocol, hostname, port, path: path.endsWith('/') ? path : `${path}/`, query: query ?? {}, body: JSON.stringify(encode(input)),
    headers: { 'content-type': 'application/x-amz-json-1.0', 'x-amz-target': `${service.target}.${operation}`, 'user-agent': [`rimward-js-engine api/${service.id.toLowerCase()}`, config.customUserAgent].flat(3).filter(Boolean).join(' '), host: port ? `${hostname}:${port}` : hostname },
  });
  return next({ ...args, request });
};

function retryable(error) {
  if (error.name === 'AbortError') return null;
  if (error.$metadata?.httpStatusCode === 429 || THROTTLED.has(error.name) || error.$retryable?.throttling) return DELAY_THROTTLED;
  const transient = error.$retryable || error.$metadata?.clockSkewCorrected || TRANSIENT.has(error.name) || error.code === 'ECONNREFUSED' || [500, 502, 503, 504].includes(error.$metadata?.httpStatusCode);
  return transient ? DELAY : null;
}

const retrying = (config) => (next) => async (args) => {
  const most = await config.maxAttempts();
  let totalRetryDelay = 0;
  for (let attempts = 1; ; attempts++) {
    try {
      const result = await next({ ...args, request: args.request?.clone?.() ?? args.request });
      Object.assign(result.output.$metadata, { attempts, totalRetryDelay });
      return result;
    } catch (error) {
      error.$metadata = { ...error.$metadata, attempts, totalRetryDelay };
      const base = retryable(error);
      if (base === null || attempts >= most) throw error;
      const delay = Math.floor(Math.min(DELAY_MAX, Math.random() * 2 ** attempts * base));
      totalRetryDelay += delay;
      await new Promise((resolve) => loop.setTimeout(resolve, delay));
    }
  }
};

// Sets the clock right by the service's `Date` when they are far apart.
function correctClock(config, response) {
  const theirs = Date.parse(fieldOf(response?.headers, 'date') ?? '');
  if (!(Math.abs(theirs - Date.now() - config.systemClockOffset) >= SKEW_MAX)) return false;
  config.systemClockOffset = theirs - Date.now();
  return true;
}

const signing = (config, service) => (next) => async (args) => {
  const [credentials, own] = await Promise.all([config.credentials(), config.region()]);
  sign(args.request, credentials, config.signingRegion ?? (own === 'local' ? 'us-east-1' : own), service.signing, Date.now() + config.systemClockOffset);
  try {
    const result = await next(args);
    correctClock(config, result.response);
    return result;
  } catch (error) {
    if (SKEWED.has(error.name) && correctClock(config, error.$response)) error.$metadata.clockSkewCorrected = true;
    throw error;
  }
};

const deserializing = (service) => (next, context) => async (args) => {
  const { response } = await next(args);
  const text = await textOf(response.body);
  if (response.statusCode >= 300) throw failure(service, response, text);
  let output;
  try {
    output = text ? service.decode(JSON.parse(text), text) : {};
  } catch (e) {
    e.$metadata = metadataOf(response);
    throw Object.defineProperty(e, '$response', { value: response });
  }
  if (context.translate) output = context.translate.read(output);
  return { response, output: { ...output, $metadata: metadataOf(response) } };
};

// --- commands and clients

class Command {
  constructor(input) {
    this.input = input ?? {};
    this.middlewareStack = new MiddlewareStack();
  }
  // translate: {write, read} of another form of inputs and outputs.
  resolveMiddleware(clientStack, config, options, translate) {
    const { name: commandName, operation } = this.constructor;
    const context = { logger: config.logger, clientName: config.clientName, commandName, operation, translate };
    const handler = clientStack.concat(this.middlewareStack).resolve((args) => config.requestHandler.handle(args.request, options ?? {}), context);
    return (command) => handler({ input: command.input });
  }
}

class Client {
  constructor(options, service) {
    const config = configure(options, service);
    if (typeof options.requestHandler?.handle !== 'function') config.requestHandler = new HostHandler(options.requestHandler);
    config.clientName = this.constructor.name;
    config.serviceId = service.id;
    this.config = config;
    const stack = new MiddlewareStack();
    stack.add(logging(config), { name: 'loggerMiddleware', tags: ['LOGGER'] });
    stack.add(serializing(config, service), { name: 'serializerMiddleware', step: 'serialize', tags: ['SERIALIZER'] });
    stack.add(retrying(config), { name: 'retryMiddleware', step: 'finalizeRequest', priority: 'high', tags: ['RETRY'] });
    stack.add(signing(config, service), { name: 'httpSigningMiddleware', aliases: ['awsAuthMiddleware'], step: 'finalizeRequest', tags: ['HTTP_SIGNING'] });
    stack.add(deserializing(service), { name: 'deserializerMiddleware', step: 'deserialize', tags: ['DESERIALIZER'] });
    this.middlewareStack = stack;
  }
  send(command, options, done) {
    if (typeof options === 'function') [options, done] = [undefined, options];
    const answer = command.resolveMiddleware(this.middlewareStack, this.config, options)(command).then((result) => result.output);
    if (!done) return answer;
    answer.then((output) => done(null, output), (error) => done(error)).catch(() => {});
  }
  destroy() {
    this.config.requestHandler.destroy?.();
  }
}

// A method for each command, called as the operation with a small first letter.
function aggregate(Type, commands) {
  for (const [name, Operation] of Object.entries(commands)) {
    const method = name[0].toLowerCase() + name.slice(1).replace(/Command$/, '');
    Object.defineProperty(Type.prototype, method, {
      configurable: true, writable: true,
      value(input, options, done) {
        return this.send(new Operation(input), options, done);
      },
    });
  }
}

function paginator(Type, Operation, inputToken, outputToken, size) {
  return async function* (config, input, ...options) {
    if (!(config.client instanceof Type)) throw new Error(`Invalid client, expected instance of ${Type.name}`);
    let token = config.startingToken ?? input[inputToken];
    for (;;) {
      const page = await config.client.send(new Operation({ ...input, [inputToken]: token, [size]: input[size] ?? config.pageSize }), ...options);
      yield page;
      const before = token;
      token = page[outputToken];
      if (!token || (config.stopOnSameToken && token === before)) return;
    }
  };
}

// judge(error, output): 'SUCCESS', 'FAILURE' or 'RETRY'. Gives a function that resolves with any end, and one that throws what is no
// success. Time is what the delays add up to: the clock may stand still.
function waiter(Operation, judge) {
  const poll = async (params, input) => {
    const { client, maxWaitTime, minDelay = 20, maxDelay = 120, abortSignal = params.abortController?.signal } = params;
    let waited = 0;
    for (let attempt = 1; ; attempt++) {
      let error, reason;
      try {
        reason = await client.send(new Operation(input));
      } catch (e) {
        reason = error = e;
      }
      const state = judge(error, error ? undefined : reason);
      if (state !== 'RETRY') return { state, reason };
      if (abortSignal?.aborted) return { state: 'ABORTED' };
      const delay = Math.min(maxDelay, minDelay * 2 ** (attempt - 1));
      waited += delay;
      if (waited > maxWaitTime) return { state: 'TIMEOUT' };
      await new Promise((resolve) => loop.setTimeout(resolve, delay * 1000));
    }
  };
  const until = async (params, input) => {
    const result = await poll(params, input);
    const more = { ABORTED: ['AbortError', 'Request was aborted'], TIMEOUT: ['TimeoutError', 'Waiter has timed out'] }[result.state];
    if (more) throw named(more[0], JSON.stringify({ ...result, reason: more[1] }));
    if (result.state !== 'SUCCESS') throw new Error(JSON.stringify(result));
    return result;
  };
  return [poll, until];
}

module.exports = { Client, Command, ServiceException, aggregate, paginator, waiter };
