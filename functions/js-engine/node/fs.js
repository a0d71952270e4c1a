// fs: the files of the bundle, to read. Everything else fails as on a read-only file system.
const { Buffer } = require('buffer');
const ROOT = '/var/task';

function fail(code, call, path) {
  const words = { ENOENT: [-2, 'no such file or directory'], EROFS: [-30, 'read-only file system'], EISDIR: [-21, 'illegal operation on a directory'], ENOTDIR: [-20, 'not a directory'], EBADF: [-9, 'bad file descriptor'] }[code];
  const e = new Error(`${code}: ${words[1]}, ${call}${path === undefined ? '' : ` '${path}'`}`);
  return Object.assign(e, { errno: words[0], code, syscall: call, path });
}

const files = new Set(host.files());
const dirs = new Map([['', new Set()]]);
for (const file of files) {
  const parts = file.split('/');
  for (let i = 0; i < parts.length; i++) {
    const dir = parts.slice(0, i).join('/');
    if (!dirs.has(dir)) dirs.set(dir, new Set());
    dirs.get(dir).add(parts[i]);
  }
}

// A name in the bundle, or null for a path outside.
function inside(path) {
  if (path instanceof URL || (path && typeof path === 'object' && typeof path.pathname === 'string')) path = decodeURIComponent(path.pathname);
  const full = require('path').resolve(String(path));
  return full === ROOT ? '' : full.startsWith(`${ROOT}/`) ? full.slice(ROOT.length + 1) : null;
}

function readFileSync(path, options) {
  const name = inside(path);
  if (name !== null && dirs.has(name)) throw Object.assign(fail('EISDIR', 'read'), { path: undefined });
  if (name === null || !files.has(name)) throw fail('ENOENT', 'open', String(path));
  const encoding = typeof options === 'string' ? options : options?.encoding;
  const bytes = Buffer.from(host.file(name).buffer);
  return encoding ? bytes.toString(encoding) : bytes;
}

class Stats {
  constructor(size, directory) {
    const when = new Date(0);
    Object.assign(this, { dev: 1, ino: 1, mode: directory ? 0o40555 : 0o100444, nlink: 1, uid: 0, gid: 0, rdev: 0, blksize: 4096, size, blocks: Math.ceil(size / 512),
      atimeMs: 0, mtimeMs: 0, ctimeMs: 0, birthtimeMs: 0, atime: when, mtime: when, ctime: when, birthtime: when });
    this.isDirectory = () => directory;
    this.isFile = () => !directory;
    for (const kind of ['SymbolicLink', 'FIFO', 'Socket', 'BlockDevice', 'CharacterDevice']) this[`is${kind}`] = () => false;
  }
}

function statSync(path, options) {
  const name = inside(path);
  if (name !== null && dirs.has(name)) return new Stats(4096, true);
  if (name !== null && files.has(name)) return new Stats(host.file(name).length, false);
  if (options?.throwIfNoEntry === false) return undefined;
  throw fail('ENOENT', 'stat', String(path));
}

function readdirSync(path, options) {
  const name = inside(path);
  if (name === null || !dirs.has(name)) throw fail(name !== null && files.has(name) ? 'ENOTDIR' : 'ENOENT', 'scandir', String(path));
  const names = [...dirs.get(name)].sort();
  if (!options?.withFileTypes) return names;
  return names.map((own) => Object.assign(new Stats(0, dirs.has(name ? `${name}/${own}` : own)), { name: own, path: String(path), parentPath: String(path) }));
}

function accessSync(path, mode = 0) {
  const name = inside(path);
  if (name === null || !(files.has(name) || dirs.has(name))) throw fail('ENOENT', 'access', String(path));
  if (mode & 2) throw fail('EROFS', 'access', String(path));
}

function existsSync(path) {
  try {
    accessSync(path);
    return true;
  } catch {
    return false;
  }
}

const sync = { readFileSync, statSync, lstatSync: statSync, readdirSync, accessSync, realpathSync: Object.assign((path) => (statSync(path), require('path').resolve(String(path))), { native: (path) => fs.realpathSync(path) }) };
for (const name of ['writeFile', 'appendFile', 'mkdir', 'rmdir', 'rm', 'unlink', 'rename', 'copyFile', 'truncate', 'symlink', 'chmod', 'mkdtemp', 'utimes']) {
  sync[`${name}Sync`] = (path) => {
    throw fail('EROFS', name === 'writeFile' || name === 'appendFile' ? 'open' : name, String(path));
  };
}

const fs = { ...sync, existsSync, Stats, constants: { F_OK: 0, R_OK: 4, W_OK: 2, X_OK: 1, O_RDONLY: 0 }, F_OK: 0, R_OK: 4, W_OK: 2, X_OK: 1, promises: {} };
for (const [name, fn] of Object.entries(sync)) {
  const plain = name.slice(0, -4);
  fs.promises[plain] = async (...args) => fn(...args);
  fs[plain] = (...args) => {
    const done = args.pop();
    if (typeof done !== 'function') throw Object.assign(new TypeError('The "cb" argument must be of type function. Received undefined'), { code: 'ERR_INVALID_ARG_TYPE' });
    fs.promises[plain](...args).then((value) => done(null, value), (e) => done(e));
  };
}
fs.exists = (path, done) => queueMicrotask(() => done(existsSync(path)));
fs.promises.constants = fs.constants;
fs.createReadStream = (path, options) => {
  const { Readable } = require('stream');
  try {
    return Readable.from([readFileSync(path, options)], { objectMode: false });
  } catch (e) {
    const stream = new Readable({ read() {} });
    queueMicrotask(() => stream.destroy(e));
    return stream;
  }
};
fs.createWriteStream = (path) => {
  throw fail('EROFS', 'open', String(path));
};
module.exports = fs;
