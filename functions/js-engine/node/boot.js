// What the engine runs first: finds modules, evaluates the bundle, describes errors. `require` here is the global object.
const globalObject = require;
const ROOT = '/var/task';
const LAMBDA = 1, CLOUDFRONT1 = 2, CLOUDFRONT2 = 3;
// "file" or "file#export": the second when the handler has a name of its own.
const [ENTRY, EXPORT] = host.files().includes(host.entry) ? [host.entry, ''] : host.entry.split(/#(?=[^#]*$)/);

// --- the engine's own modules

// Names a function may require; those of the engine alone begin with "internal/".
const shims = new Map();

function shim(name) {
  const known = shims.get(name);
  if (known) return known.exports;
  const own = { exports: {} };
  shims.set(name, own);
  try {
    if (!host.hasShim(name)) own.exports = shim('internal/absent').make(name);
    else host.compileShim(name).call(undefined, host, shim, own, own.exports);
  } catch (e) {
    shims.delete(name);
    throw e;
  }
  return own.exports;
}

// Those that a function in strict mode may require; null: all.
let strictly = null;

function builtin(spec) {
  const name = spec.startsWith('node:') ? spec.slice(5) : spec;
  if (strictly && !strictly.includes(spec)) return null;
  if (open(name) && !name.startsWith('@')) return name;
  if (shim('internal/absent').names.has(name)) return name;
  if (spec.startsWith('node:')) throw coded('ERR_UNKNOWN_BUILTIN_MODULE', `Node's module '${name}' is not in this engine`);
  return null;
}

function open(name) {
  return !name.startsWith('internal/') && name !== 'boot' && host.hasShim(name);
}

function coded(code, message) {
  const e = new Error(message);
  e.code = code;
  return e;
}

// --- where a specifier leads (Node's algorithm, over the bundle's files)

const files = new Set(host.files());
const dirs = new Set(['']);
for (const file of files) for (let at = file.lastIndexOf('/'); at > 0; at = file.lastIndexOf('/', at - 1)) dirs.add(file.slice(0, at));

function dirname(path) {
  const at = path.lastIndexOf('/');
  return at < 0 ? '' : path.slice(0, at);
}

function join(base, path) {
  const out = [];
  for (const part of `${base}/${path}`.split('/')) {
    if (part === '..') out.pop();
    else if (part && part !== '.') out.push(part);
  }
  return out.join('/');
}

const manifests = new Map();

function manifest(dir) {
  if (!manifests.has(dir)) {
    const path = join(dir, 'package.json');
    manifests.set(dir, files.has(path) ? parseJson(path) : null);
  }
  return manifests.get(dir);
}

function text(path) {
  return host.encode(host.file(path), 0);
}

function parseJson(path) {
  try {
    return JSON.parse(text(path).replace(/^\uFEFF/, ''));
  } catch (e) {
    throw new SyntaxError(`${path}: ${e.message}`);
  }
}

function nearestManifest(path) {
  for (let dir = dirname(path); ; dir = dirname(dir)) {
    const found = manifest(dir);
    if (found || !dir) return found;
  }
}

const EXTENSIONS = ['', '.js', '.json', '.cjs', '.mjs'];

function asFile(path) {
  for (const extension of EXTENSIONS) if (files.has(path + extension)) return path + extension;
  return null;
}

function asDirectory(path) {
  if (!dirs.has(path)) return null;
  const main = manifest(path)?.main;
  return (typeof main === 'string' && (asFile(join(path, main)) ?? asFile(join(path, `${main}/index`)))) || asFile(join(path, 'index'));
}

// `exports` and `imports` of a manifest: conditions in the package's order, then `*` patterns, longest first.
function target(value, conditions, star) {
  if (typeof value === 'string') return star === undefined ? value : value.replaceAll('*', star);
  if (Array.isArray(value)) {
    for (const one of value) {
      const found = target(one, conditions, star);
      if (found) return found;
    }
    return null;
  }
  for (const key of Object.keys(value ?? {})) {
    if (key !== 'default' && !conditions.includes(key)) continue;
    const found = target(value[key], conditions, star);
    if (found) return found;
  }
  return null;
}

function mapped(map, key, conditions) {
  if (Object.hasOwn(map, key) && !key.includes('*')) return target(map[key], conditions);
  const patterns = Object.keys(map).filter((p) => p.includes('*')).sort((a, b) => b.indexOf('*') - a.indexOf('*'));
  for (const pattern of patterns) {
    const [head, tail] = pattern.split('*');
    if (key.length >= pattern.length && key.startsWith(head) && key.endsWith(tail)) {
      return target(map[pattern], conditions, key.slice(head.length, key.length - tail.length));
    }
  }
  return null;
}

function inPackage(dir, rest, conditions) {
  const own = manifest(dir);
  if (own?.exports !== undefined && own.exports !== null) {
    const table = typeof own.exports === 'object' && !Array.isArray(own.exports) && Object.keys(own.exports)[0]?.startsWith('.') ? own.exports : { '.': own.exports };
    const found = mapped(table, rest ? `./${rest}` : '.', conditions);
    return found && files.has(join(dir, found)) ? join(dir, found) : null;
  }
  const path = rest ? join(dir, rest) : dir;
  return (rest && asFile(path)) || asDirectory(path);
}

function bare(spec, from, conditions) {
  const parts = spec.split('/');
  const name = parts.splice(0, spec.startsWith('@') ? 2 : 1).join('/');
  for (let dir = dirname(from); ; dir = dirname(dir)) {
    const own = manifest(dir);
    if (own?.name === name && own.exports) return inPackage(dir, parts.join('/'), conditions);
    const home = join(dir, `node_modules/${name}`);
    const found = dirs.has(home) ? inPackage(home, parts.join('/'), conditions) : asFile(home);
    if (found || !dir) return found;
  }
}

// Packages that Lambda's Node has: meant when the bundle has none of that name.
function carried(spec) {
  return spec.startsWith('@') && open(spec) ? `node:${spec}` : null;
}

function aws(spec) {
  if (spec === 'aws-sdk' || spec.startsWith('aws-sdk/') || spec.startsWith('@aws-sdk/') || spec.startsWith('@smithy/')) {
    return `Cannot find module '${spec}': the AWS SDK is not part of this engine, but for DynamoDB's clients of version 3. Put it in the bundle's node_modules, or call the service with fetch`;
  }
  return null;
}

// A file's name, or "node:name".
function resolve(spec, from, conditions) {
  const own = builtin(spec);
  let found = null;
  if (own && !(bundled(spec, from))) return `node:${own}`;
  if (spec.startsWith('file://')) spec = spec.slice(7);
  if (spec.startsWith('./') || spec.startsWith('../') || spec === '.' || spec === '..') found = local(join(dirname(from), spec));
  else if (spec.startsWith('/')) found = spec.startsWith(ROOT) ? local(join('', spec.slice(ROOT.length))) : null;
  else if (spec.startsWith('#')) found = imported(spec, from, conditions);
  else found = bare(spec, from, conditions) ?? (strictly ? null : carried(spec));
  if (!found) throw coded('MODULE_NOT_FOUND', aws(spec) ?? `Cannot find module '${spec}' (asked for by ${from})`);
  return found;
}

// Packages called like one of Node's modules (`buffer/`, `punycode`) are meant only with a slash behind.
function bundled(spec) {
  return spec.endsWith('/');
}

function local(path) {
  return asFile(path) ?? asDirectory(path);
}

function imported(spec, from, conditions) {
  for (let dir = dirname(from); ; dir = dirname(dir)) {
    const own = manifest(dir);
    if (own?.imports) {
      const found = mapped(own.imports, spec, conditions);
      return found && (found.startsWith('.') ? join(dir, found) : resolve(found, join(dir, 'package.json'), conditions));
    }
    if (!dir) return null;
  }
}

const REQUIRE = ['node', 'require', 'module-sync'], IMPORT = ['node', 'import', 'module-sync'];

// --- CommonJS

const modules = new Map();
const esm = new Map();

function looksLikeEsm(path) {
  if (path.endsWith('.mjs')) return true;
  if (path.endsWith('.cjs') || path.endsWith('.json')) return false;
  const type = nearestManifest(path)?.type;
  if (type === 'module') return true;
  if (type === 'commonjs' || !/(^|[\n;])\s*(import[\s{*"']|import\.meta|export[\s{*])/.test(text(path))) return false;
  try {
    host.compileCjs(path, cloudfrontFile(path));
    return false;
  } catch (e) {
    return e instanceof SyntaxError;
  }
}

function isEsm(path) {
  if (!esm.has(path)) esm.set(path, looksLikeEsm(path));
  return esm.get(path);
}

function cloudfrontFile(path) {
  return path === ENTRY && host.flavor >= CLOUDFRONT1;
}

class Module {
  constructor(path, parent) {
    this.id = this.filename = `${ROOT}/${path}`;
    this.path = dirname(this.filename);
    this.exports = {};
    this.loaded = false;
    this.parent = parent;
    this.children = [];
    this.paths = [];
  }
}

function makeRequire(path, module) {
  const find = (spec) => {
    if (typeof spec !== 'string') throw new TypeError('The "id" argument must be of type string');
    return resolve(spec, path, REQUIRE);
  };
  const fn = (spec) => load(find(spec), module);
  fn.resolve = (spec) => {
    const id = find(spec);
    return id.startsWith('node:') ? spec : `${ROOT}/${id}`;
  };
  fn.cache = {};
  fn.main = main;
  fn.extensions = {};
  return fn;
}

host.makeRequire = (path) => makeRequire(path, undefined);

let main;

function load(id, parent) {
  if (id.startsWith('node:')) return shim(id.slice(5));
  const known = modules.get(id);
  if (known) return known.exports;
  const module = new Module(id, parent);
  modules.set(id, module);
  main ??= module;
  try {
    if (id.endsWith('.json')) module.exports = parseJson(id);
    else if (isEsm(id)) module.exports = fromEsm(id);
    else {
      preload(text(id));
      const make = host.compileCjs(id, cloudfrontFile(id));
      module.handler = make.call(module.exports, module.exports, makeRequire(id, module), module, module.filename, module.path);
    }
  } catch (e) {
    modules.delete(id);
    throw e;
  }
  module.loaded = true;
  return module.exports;
}

function fromEsm(id) {
  const [done, namespace] = imports(id);
  host.waitFor(done);
  return namespace;
}

const namespaces = new Map();

function imports(id) {
  if (!namespaces.has(id)) namespaces.set(id, host.importModule(id));
  return namespaces.get(id);
}

host.setHooks(
  (from, spec) => resolve(spec, from, IMPORT),
  (id) => {
    if (!id.startsWith('node:') && isEsm(id)) return void preload(text(id));
    return [load(id)];
  },
);

// --- globals: made when they are first read, and before the snapshot when the source names them

const lazy = new Map();

function define(name, make) {
  lazy.set(name, false);
  Object.defineProperty(globalObject, name, {
    configurable: true,
    enumerable: false,
    get() {
      const value = make();
      Object.defineProperty(globalObject, name, { value, writable: true, configurable: true, enumerable: false });
      return value;
    },
    set(value) {
      Object.defineProperty(globalObject, name, { value, writable: true, configurable: true, enumerable: true });
    },
  });
}

function defineGlobals() {
  const from = { buffer: ['Buffer', 'Blob'], url: ['URL', 'URLSearchParams'], 'internal/encoding': ['TextEncoder', 'TextDecoder'],
    'internal/fetch': ['fetch', 'Headers', 'Request', 'Response', 'FormData'], 'internal/events': ['AbortController', 'AbortSignal', 'Event', 'EventTarget'],
    'internal/clone': ['structuredClone'], 'internal/loop': ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'setImmediate', 'clearImmediate'] };
  for (const [module, names] of Object.entries(from)) for (const name of names) define(name, () => shim(module)[name]);
  define('process', () => shim('process'));
  define('console', () => shim('console'));
  define('crypto', () => shim('crypto').webcrypto);
  globalObject.global = globalObject;
  Object.defineProperty(globalObject, 'global', { enumerable: false });
  Math.random = host.random;
  Object.defineProperty(Math, 'random', { enumerable: false });
  delete globalObject.navigator;
}

// A module that is first needed at a call would be compiled then: what the source names is ready before.
function preload(source) {
  for (const [name, done] of lazy) {
    if (!done && source.includes(name) && new RegExp(`\\b${name}\\b`).test(source)) {
      lazy.set(name, true);
      void globalObject[name];
    }
  }
  for (const [, spec] of source.matchAll(/(?:\b(?:require|import)\(\s*|\b(?:from|import)\s*)['"`]([@\w:/-]+)['"`]/g)) {
    const name = spec.startsWith('node:') ? spec.slice(5) : spec;
    if (open(name) && !(name.startsWith('@') && installed(name))) shim(name);
  }
}

function installed(name) {
  const home = `node_modules/${name}`;
  for (const dir of dirs) if (dir === home || dir.endsWith(`/${home}`)) return true;
  return false;
}

// --- what C asks for

function forget() {
  for (const name of ['internal/loop', 'internal/cloudfront1']) shims.get(name)?.exports.forget();
}

function tick() {
  const loop = shims.get('internal/loop');
  return loop ? loop.exports.tick() : false;
}

function rest() {
  const loop = shims.get('internal/loop');
  return loop ? loop.exports.rest() : false;
}

const contextPrototype = {
  __proto__: Object.prototype,
  getRemainingTimeInMillis() {
    return JSON.parse(host.call('call.info')).remainingMs;
  },
  succeed(value) {
    this.done(null, value);
  },
  fail(error) {
    this.done(error ?? new Error('failed'));
  },
  // Lambda@Edge's functions are of us-east-1. Lambda's own have an ARN as a member that goes before this one.
  get invokedFunctionArn() {
    return `arn:aws:lambda:us-east-1:000000000000:function:${this.functionName}:${this.functionVersion}`;
  },
  set invokedFunctionArn(value) {
    Object.defineProperty(this, 'invokedFunctionArn', { value, writable: true, configurable: true, enumerable: true });
  },
};
for (const [name, value] of Object.entries({ callbackWaitsForEmptyEventLoop: true, memoryLimitInMB: '128', logGroupName: '', logStreamName: '' })) {
  contextPrototype[name] = value;
}

const requestPrototype = Object.create(Object.prototype, {
  rawQueryString: {
    value() {
      return JSON.parse(host.context()).rawQueryString ?? undefined;
    },
  },
});

// --- the function itself

function evaluate() {
  const own = handlers();
  shims.get('internal/cloudfront1')?.exports.keep();
  return own;
}

function handlers() {
  if (isEsm(ENTRY)) {
    preload(text(ENTRY));
    const [done, namespace, meta] = imports(ENTRY);
    host.waitFor(done);
    return pick(namespace, meta.handler);
  }
  load(ENTRY);
  const { exports, handler } = modules.get(ENTRY);
  return pick(exports, handler);
}

// Whether a function takes the event and nothing more, by its source: then no context is made.
function eventAlone(handler) {
  if (handler.length !== 1) return false;
  const source = Function.prototype.toString.call(handler);
  const one = /^(?:async\b\s*)?(?:function\b[^(]*\(\s*[\w$]+\s*\)|\(\s*[\w$]+\s*\)\s*=>|[\w$]+\s*=>|[\w$]+\s*\(\s*[\w$]+\s*\)\s*\{)/;
  return one.test(source) && !/\barguments\b/.test(source);
}

// The export that "file.export" of Lambda's configuration names; it may lie within another.
function exported(exports, name) {
  for (const from of [exports, exports?.default]) {
    const found = name.split('.').reduce((at, part) => at?.[part], from);
    if (typeof found === 'function') return found;
  }
  throw coded('NO_HANDLER', `no handler: ${ENTRY} does not export a function '${name}'`);
}

// Exported handlers are Lambda@Edge's, a global one is CloudFront Functions'.
function pick(exports, global) {
  if (EXPORT) return found(exported(exports, EXPORT));
  const own = [exports?.handler, exports?.default?.handler, exports?.default, exports].find((f) => typeof f === 'function');
  if (host.flavor >= CLOUDFRONT1 || (host.flavor !== LAMBDA && !own && global)) {
    if (!global) throw coded('NO_HANDLER', 'no handler: a CloudFront function has a global `function handler(event)`');
    return { handler: global, cloudfront: true };
  }
  const handler = own ?? global;
  if (!handler) throw coded('NO_HANDLER', 'no handler: export one (`exports.handler = async (event) => …`), or declare a global `function handler(event)`');
  return found(handler);
}

function found(handler) {
  return { handler, cloudfront: false, alone: eventAlone(handler) };
}

// What the pages of CloudFront's runtimes do not list ("JavaScript runtime 1.0 features", "JavaScript runtime 2.0 features").
const UNLISTED = [...'Blob URL URLSearchParams fetch Headers Request Response FormData AbortController AbortSignal Event EventTarget structuredClone process crypto global queueMicrotask performance eval DOMException WeakRef FinalizationRegistry SharedArrayBuffer'.split(' '),
  ...'setTimeout clearTimeout setInterval clearInterval setImmediate clearImmediate'.split(' ')];
const OF_RUNTIME_2 = 'Buffer TextEncoder TextDecoder atob btoa'.split(' ');
const MODULES = ['cloudfront', 'crypto', 'querystring'];

function restrict() {
  strictly = MODULES;
  for (const name of host.flavor === CLOUDFRONT1 ? [...UNLISTED, ...OF_RUNTIME_2] : UNLISTED) delete globalObject[name];
  const refuse = function () {
    throw new EvalError('Code generation from strings disallowed for this context');
  };
  for (const f of [function () {}, async function () {}, function* () {}, async function* () {}]) {
    const proto = Object.getPrototypeOf(f);
    Object.defineProperty(proto, 'constructor', { value: refuse });
  }
  globalObject.Function = Object.assign(refuse, {});
  Object.defineProperty(refuse, 'prototype', { value: Object.getPrototypeOf(function () {}) });
}

function start() {
  defineGlobals();
  if (host.flavor >= CLOUDFRONT1 || host.flavor === 0) shim('internal/cloudfront1');
  if (host.flavor >= CLOUDFRONT1 && host.strict) restrict();
  if (host.deferred) {
    for (const file of files) if (/\.[cm]?js$/.test(file)) preload(text(file));
    return { report: JSON.stringify({ deferred: true }) };
  }
  const own = evaluate();
  if (!own.cloudfront && host.flavor !== LAMBDA) shim('internal/cloudfront1').remove();
  own.report = JSON.stringify({ api: own.cloudfront ? 'cloudfront' : 'lambda-edge' });
  return own;
}

Object.assign(exports, {
  start, load: evaluate, tick, rest, describe: shim('internal/describe'), forget, contextPrototype, requestPrototype, toPromise: (thenable) => Promise.resolve(thenable),
});
