// path, the POSIX one.
function text(value, name) {
  if (typeof value === 'string') return value;
  const e = new TypeError(`The "${name}" argument must be of type string. Received ${value === null || value === undefined ? value : `type ${typeof value} (${value})`}`);
  e.code = 'ERR_INVALID_ARG_TYPE';
  throw e;
}

function fold(path, absolute) {
  const out = [];
  for (const part of path.split('/')) {
    if (!part || part === '.') continue;
    if (part !== '..') out.push(part);
    else if (out.length && out[out.length - 1] !== '..') out.pop();
    else if (!absolute) out.push('..');
  }
  return out.join('/');
}

function normalize(path) {
  if (!text(path, 'path')) return '.';
  const absolute = path[0] === '/';
  let out = fold(path, absolute);
  if (!out && !absolute) out = '.';
  if (out && path.endsWith('/')) out += '/';
  return absolute ? `/${out}` : out;
}

function join(...parts) {
  const joined = parts.filter((p) => text(p, 'path')).join('/');
  return joined ? normalize(joined) : '.';
}

function resolve(...parts) {
  let path = '';
  for (let i = parts.length - 1; i >= -1 && path[0] !== '/'; i--) {
    const part = i >= 0 ? text(parts[i], `paths[${i}]`) : '/var/task';
    if (part) path = path ? `${part}/${path}` : part;
  }
  return `/${fold(path, true)}`;
}

function dirname(path) {
  text(path, 'path');
  const trimmed = path.replace(/\/+$/, '');
  if (!trimmed) return path ? '/' : '.';
  const at = trimmed.lastIndexOf('/');
  return at < 0 ? '.' : trimmed.slice(0, at).replace(/\/+$/, '') || (at === 1 ? '//' : '/');
}

function basename(path, suffix) {
  text(path, 'path');
  if (suffix === path) return '';
  const base = path.replace(/\/+$/, '').split('/').pop();
  return suffix && base !== suffix && base.endsWith(suffix) ? base.slice(0, -suffix.length) : base;
}

function extname(path) {
  const base = basename(path);
  const at = base.lastIndexOf('.');
  return at <= 0 || base === '..' ? '' : base.slice(at);
}

function relative(from, to) {
  const a = resolve(from).split('/').filter(Boolean), b = resolve(to).split('/').filter(Boolean);
  let same = 0;
  while (same < a.length && same < b.length && a[same] === b[same]) same++;
  return [...a.slice(same).map(() => '..'), ...b.slice(same)].join('/');
}

function parse(path) {
  text(path, 'path');
  const root = path[0] === '/' ? '/' : '';
  const base = basename(path), ext = extname(path);
  const trimmed = path.replace(/\/+$/, '');
  const at = trimmed.lastIndexOf('/');
  return { root, dir: at < 0 ? root : trimmed.slice(0, Math.max(at, 1)), base, ext, name: ext ? base.slice(0, -ext.length) : base };
}

function format({ dir, root, base, name, ext }) {
  const file = base ?? `${name ?? ''}${ext ? (ext[0] === '.' ? ext : `.${ext}`) : ''}`;
  const place = dir ?? root;
  return !place ? file : place === root ? `${place}${file}` : `${place}/${file}`;
}

const path = { normalize, join, resolve, dirname, basename, extname, relative, parse, format, isAbsolute: (p) => text(p, 'path')[0] === '/',
  toNamespacedPath: (p) => p, sep: '/', delimiter: ':' };
module.exports = Object.assign(path, { posix: path });
