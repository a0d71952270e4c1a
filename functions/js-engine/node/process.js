// process: the environment is the function's `config`.
const EventEmitter = require('events');

// What Lambda sets, as far as it means something here.
const FIXED = { AWS_EXECUTION_ENV: 'AWS_Lambda_nodejs20.x', AWS_REGION: 'us-east-1', AWS_DEFAULT_REGION: 'us-east-1', LAMBDA_TASK_ROOT: '/var/task',
  TZ: ':UTC', LANG: 'en_US.UTF-8', PATH: '/bin', NODE_ENV: 'production', HOME: '/' };
// Known at a call only.
const CALLS = new Set(['AWS_LAMBDA_FUNCTION_NAME', 'AWS_LAMBDA_FUNCTION_VERSION']);
// What a config may name anew: where it is not known while the function is built, what was read would be kept.
const REGIONS = new Set(['AWS_REGION', 'AWS_DEFAULT_REGION']);
// Read by libraries as they load; a function that sets them in its config sees them at a call.
const IGNORED = new Set(['DEBUG', 'NODE_DEBUG', 'NO_COLOR', 'FORCE_COLOR', 'COLORTERM', 'TERM', 'CI', 'NODE_V8_COVERAGE', 'READABLE_STREAM', 'NODE_OPTIONS', 'toJSON']);

let config = null, changed = {};

// While the function is built, what it is built for; null where that is not known. A value that is null must not lie in a snapshot.
function values() {
  if (host.building()) {
    try {
      return { ...FIXED, ...JSON.parse(host.call('config.all')) };
    } catch {
      return null;
    }
  }
  if (!config) {
    const { function: name, version } = JSON.parse(host.call('call.info'));
    config = { ...FIXED, AWS_LAMBDA_FUNCTION_NAME: name, AWS_LAMBDA_FUNCTION_VERSION: version, ...JSON.parse(host.call('config.all')) };
  }
  return config;
}

function whole() {
  const own = values();
  if (!own || Object.values(own).includes(null)) host.needsHost('process.env');
  const all = { ...(own ?? FIXED), ...changed };
  for (const key of Object.keys(all)) if (all[key] === undefined || all[key] === null) delete all[key];
  return all;
}

function lookup(key) {
  if (typeof key !== 'string') return undefined;
  if (Object.hasOwn(changed, key)) return changed[key];
  if (CALLS.has(key)) host.needsHost(`process.env.${key}`);
  const own = values();
  if (own) {
    const value = Object.hasOwn(own, key) ? own[key] : undefined;
    if (value !== null) return value;
    host.needsHost(`process.env.${key}`);
    return undefined;
  }
  if (REGIONS.has(key) || (!Object.hasOwn(FIXED, key) && !IGNORED.has(key))) host.needsHost(`process.env.${key}`);
  return Object.hasOwn(FIXED, key) ? FIXED[key] : undefined;
}

const env = new Proxy({}, {
  get: (_, key) => lookup(key),
  has: (_, key) => lookup(key) !== undefined,
  set: (_, key, value) => {
    changed[key] = String(value);
    return true;
  },
  deleteProperty: (_, key) => {
    changed[key] = undefined;
    return true;
  },
  ownKeys: () => Object.keys(whole()),
  getOwnPropertyDescriptor: (_, key) => {
    const value = lookup(key);
    return value === undefined ? undefined : { value, writable: true, enumerable: true, configurable: true };
  },
});

const stream = (level) => ({
  isTTY: false, columns: 80, writable: true,
  write(text, encoding, done) {
    host.call('log.write', JSON.stringify({ level, message: String(text).replace(/\n$/, '') }));
    (typeof encoding === 'function' ? encoding : done)?.();
    return true;
  },
  end() {}, on() { return this; }, once() { return this; }, emit() { return false; }, removeListener() { return this; },
});

function hrtime(before) {
  const ms = Date.now();
  const now = [Math.floor(ms / 1000), (ms % 1000) * 1e6];
  if (!before) return now;
  const nanos = now[1] - before[1];
  return nanos < 0 ? [now[0] - before[0] - 1, nanos + 1e9] : [now[0] - before[0], nanos];
}
hrtime.bigint = () => BigInt(Date.now()) * 1000000n;

const process = Object.assign(new EventEmitter(), {
  env, hrtime, title: 'node', pid: 1, ppid: 0, arch: 'x64', platform: 'linux', version: 'v20.18.0', exitCode: undefined,
  versions: { node: '20.18.0', v8: '0.0.0', quickjs: '0.15.1' }, release: { name: 'node', lts: 'Iron' }, argv: ['/var/lang/bin/node', '/var/task/index.js'], execArgv: [],
  execPath: '/var/lang/bin/node', argv0: 'node', features: {}, config: { variables: {} }, stdout: stream('info'), stderr: stream('error'), stdin: { isTTY: false, on() { return this; } },
  cwd: () => '/var/task', chdir() {}, umask: () => 0o22, uptime: () => 0, getuid: () => 993, geteuid: () => 993, getgid: () => 990,
  nextTick: (fn, ...args) => queueMicrotask(() => fn(...args)),
  memoryUsage: Object.assign(() => ({ rss: 64 << 20, heapTotal: 32 << 20, heapUsed: 16 << 20, external: 0, arrayBuffers: 0 }), { rss: () => 64 << 20 }),
  cpuUsage: () => ({ user: 0, system: 0 }), resourceUsage: () => ({}), emitWarning: (warning) => console.warn(String(warning?.message ?? warning)),
  exit(code) {
    throw Object.assign(new Error(`process.exit(${code ?? 0}) was called`), { name: 'Runtime.ExitError' });
  },
  abort: () => process.exit(134), kill() {}, binding(name) {
    throw new Error(`No such module: ${name}`);
  },
});
Object.defineProperty(process, Symbol.toStringTag, { value: 'process' });
module.exports = process;
