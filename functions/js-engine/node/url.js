// url: the web's URL, and Node's older parse, format and resolve.
const { URL, URLSearchParams } = require('internal/url');
const SLASHED = new Set(['http:', 'https:', 'ftp:', 'gopher:', 'file:', 'ws:', 'wss:']);

function Url() {
  for (const key of ['protocol', 'slashes', 'auth', 'host', 'port', 'hostname', 'hash', 'search', 'query', 'pathname', 'path', 'href']) this[key] = null;
}

const UNSAFE = /[\t\n\r "'<>\\^`{|}]/g;
const escapePart = (text) => text.replace(UNSAFE, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`);

function parse(input, parseQuery, slashesDenoteHost) {
  if (input instanceof Url) return input;
  if (typeof input !== 'string') throw Object.assign(new TypeError(`The "url" argument must be of type string. Received ${input === null || input === undefined ? input : `type ${typeof input}`}`), { code: 'ERR_INVALID_ARG_TYPE' });
  const out = new Url();
  let rest = input.trim();
  const [, front, back] = /^([^?#]*)(.*)$/s.exec(rest);
  rest = front.replaceAll('\\', '/') + back;
  const scheme = /^[a-z0-9.+-]+:/i.exec(rest);
  if (scheme) {
    out.protocol = scheme[0].toLowerCase();
    rest = rest.slice(scheme[0].length);
  }
  const slashed = rest.startsWith('//');
  if (slashed && (slashesDenoteHost || scheme || /^\/\/[^@/]+@[^@/]+/.test(rest)) && out.protocol !== 'javascript:') {
    out.slashes = true;
    rest = rest.slice(2);
  }
  if (out.slashes || (scheme && !SLASHED.has(out.protocol) && out.protocol !== 'javascript:')) rest = takeHost(out, rest);
  const hash = rest.indexOf('#');
  if (hash >= 0) {
    out.hash = escapePart(rest.slice(hash));
    rest = rest.slice(0, hash);
  }
  const mark = rest.indexOf('?');
  if (mark >= 0) {
    out.search = escapePart(rest.slice(mark));
    out.query = parseQuery ? require('querystring').parse(out.search.slice(1)) : out.search.slice(1);
    rest = rest.slice(0, mark);
  } else if (parseQuery) {
    out.search = null;
    out.query = Object.create(null);
  }
  if (rest) out.pathname = escapePart(rest);
  if (SLASHED.has(out.protocol) && out.hostname && !out.pathname) out.pathname = '/';
  if (out.pathname || out.search) out.path = (out.pathname ?? '') + (out.search ?? '');
  out.href = format(out);
  return out;
}

function takeHost(out, rest) {
  const end = rest.search(/[/?#]/);
  let authority = end < 0 ? rest : rest.slice(0, end);
  rest = end < 0 ? '' : rest.slice(end);
  const at = authority.lastIndexOf('@');
  if (at >= 0) {
    try {
      out.auth = decodeURIComponent(authority.slice(0, at));
    } catch {
      out.auth = authority.slice(0, at);
    }
    authority = authority.slice(at + 1);
  }
  const port = /:(\d*)$/.exec(authority);
  let name = port ? authority.slice(0, port.index) : authority;
  if (port?.[1]) out.port = port[1];
  if (!name.startsWith('[')) {
    const bad = name.search(/[^\w.\-+%\u0080-\uffff]/);
    if (bad >= 0) {
      rest = (name.slice(bad).startsWith('/') ? '' : '/') + name.slice(bad) + rest;
      name = name.slice(0, bad);
    }
    if (/[^\x00-\x7f]/.test(name)) name = require('internal/punycode').toASCII(name);
  }
  name = name.toLowerCase();
  out.hostname = name.startsWith('[') ? name.slice(1, -1) : name;
  out.host = name + (out.port ? `:${out.port}` : '');
  return rest;
}

function format(value, options) {
  if (typeof value === 'string') value = parse(value);
  if (value instanceof URL) {
    const copy = new URL(value.href);
    if (options?.fragment === false) copy.hash = '';
    if (options?.search === false) copy.search = '';
    if (options?.auth === false) copy.username = copy.password = '';
    return copy.href;
  }
  const auth = value.auth ? `${encodeURIComponent(value.auth).replace(/%3A/i, ':')}@` : '';
  let protocol = value.protocol ?? '', pathname = value.pathname ?? '', hash = value.hash ?? '', search = value.search ?? '', hostPart = '';
  if (value.host) hostPart = auth + value.host;
  else if (value.hostname) hostPart = auth + (value.hostname.includes(':') && !value.hostname.startsWith('[') ? `[${value.hostname}]` : value.hostname) + (value.port ? `:${value.port}` : '');
  if (!search && value.query !== null && typeof value.query === 'object') search = require('querystring').stringify(value.query);
  if (protocol && !protocol.endsWith(':')) protocol += ':';
  pathname = pathname.replace(/[?#]/g, encodeURIComponent);
  search = search.replaceAll('#', '%23');
  if (value.slashes || (SLASHED.has(protocol) && hostPart !== '')) {
    hostPart = `//${hostPart}`;
    if (pathname && pathname[0] !== '/') pathname = `/${pathname}`;
  }
  if (hash && hash[0] !== '#') hash = `#${hash}`;
  if (search && search[0] !== '?') search = `?${search}`;
  return `${protocol}${hostPart}${pathname}${search}${hash}`;
}

Url.prototype.format = function () {
  return format(this);
};

// `to` as seen from `from`: by the web's rules, with a base that is taken away again when there was none.
function resolve(from, to) {
  const marker = 'resolve://r';
  const url = new URL(to, new URL(from, marker));
  if (url.protocol !== 'resolve:') return url.href;
  const { pathname, search, hash } = url;
  return (String(from).startsWith('/') || String(to).startsWith('/') ? pathname : pathname.slice(1)) + search + hash;
}

module.exports = {
  URL, URLSearchParams, Url, parse, format, resolve, resolveObject: (from, to) => parse(resolve(format(from), to)),
  domainToASCII: (name) => require('internal/punycode').toASCII(name), domainToUnicode: (name) => name,
  fileURLToPath(url) {
    const own = typeof url === 'string' ? new URL(url) : url;
    if (own.protocol !== 'file:') throw Object.assign(new TypeError('The URL must be of scheme file'), { code: 'ERR_INVALID_URL_SCHEME' });
    return decodeURIComponent(own.pathname);
  },
  pathToFileURL: (path) => new URL(`file://${encodeURI(require('path').resolve(path)).replace(/[?#]/g, encodeURIComponent)}`),
  urlToHttpOptions: (url) => ({ protocol: url.protocol, hostname: url.hostname, hash: url.hash, search: url.search, pathname: url.pathname, path: url.pathname + url.search, href: url.href, ...(url.port && { port: +url.port }), ...(url.username && { auth: `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}` }) }),
};
