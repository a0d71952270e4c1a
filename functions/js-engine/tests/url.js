'use strict';
const out = [];
async function t(label, fn) {
  let got;
  try {
    got = await fn();
    if (got instanceof Uint8Array) got = `${got.constructor.name}:${Buffer.from(got).toString('hex')}`;
    if (typeof got === 'bigint') got = `${got}n`;
    if (got === undefined) got = 'undefined';
  } catch (e) {
    got = `${e.name} ${e.code ?? ''}`;
  }
  out.push([label, got]);
}

exports.handler = async () => {
  const urls = ['https://User:Pa%20ss@Example.COM:8080/a/./b/../c%7e?x=1&y=a b#frag ment', 'http://example.com', 'http://example.com:80/', 'HTTPS://EXAMPLE.com:443/%zz', 'http://[::1]:3000/x', 'http://[2001:DB8:0:0:0:0:0:1]/',
    'http://1.2.3/', 'http://0x7f.1/', 'http://256.1.1.1/', 'http://münchen.de/ä?ö#ü', 'http://a_b.example/', 'http://exa mple.com/', 'file:///C:/a/../b', 'file:///etc/passwd', 'mailto:a@b.c', 'data:text/plain,hello world', 'javascript:alert(1)',
    'http:/example.com/x', 'http:\\\\example.com\\x\\y', 'ws://x.y/z?q', 'http://user@/x', 'http://x:99999/', 'http://x:/', '', 'foo', '//x', 'foo://bar/baz?q#h', 'foo:bar/baz', 'http://example.com/?', 'http://example.com/#', 'http://example.com/a b"c<d>e`f{g}', "http://x/?a='b'", 'http://x/\t\nfoo', ' http://x/ ', 'http://x/%2e%2E/a', 'http://x//a//b/', 'blob:http://x/y', 'http://EXAMPLE.com./', 'http://x/?q=%zz&r=é', 'http://日本語.jp/'];
  const parts = ['href', 'origin', 'protocol', 'username', 'password', 'host', 'hostname', 'port', 'pathname', 'search', 'hash'];
  for (const u of urls) await t(`URL ${u}`, () => { const x = new URL(u); return parts.map((p) => x[p]).join(' | '); });
  for (const [u, b] of [['../x', 'http://h/a/b/c'], ['?q', 'http://h/a?b#c'], ['#f', 'http://h/a?b#c'], ['', 'http://h/a?b#c'], ['//o/p', 'https://h/a'], ['/p', 'https://h/a/b'], ['p', 'https://h'], ['.', 'http://h/a/b/'], ['..', 'http://h/a/b/'], ['http:x', 'http://h/a/b'], ['x', 'mailto:a'], ['#x', 'mailto:a'], ['x', 'file:///a/b'], ['/x', 'foo://h/a'], ['a:b', 'http://h/'], ['./a:b', 'http://h/']]) await t(`URL ${u} on ${b}`, () => new URL(u, b).href);
  await t('setters', () => { const u = new URL('http://a.b/c?d#e'); u.protocol = 'https'; u.host = 'x.y:8443'; u.pathname = 'p q/../r'; u.search = 'a=ü'; u.hash = 'h i'; u.username = 'u:'; u.password = 'p@'; u.port = '443'; return u.href; });
  await t('setters 2', () => { const u = new URL('http://a.b:81/c?d#e'); u.hostname = 'z'; u.search = ''; u.hash = ''; u.port = ''; u.protocol = 'foo'; return u.href; });
  await t('searchParams', () => { const u = new URL('http://a/?x=1&x=2&y=a+b%20c'); u.searchParams.append('z', 'ä&='); u.searchParams.delete('x'); return [u.href, u.searchParams.get('y'), u.searchParams.getAll('x'), u.searchParams.has('z'), u.searchParams.size]; });
  await t('params', () => { const p = new URLSearchParams('?a=1&b=2&a=3&c&=d&%20=+'); p.sort(); return [p.toString(), [...p], p.get('nope')]; });
  await t('params init', () => [new URLSearchParams({ a: 1, b: 'x y' }).toString(), new URLSearchParams([['a', 'b'], ['c', '~!*()\'']]).toString(), new URLSearchParams(new Map([['q', '€']])).toString()]);
  await t('params bad', () => new URLSearchParams([['a']]));
  await t('params set', () => { const p = new URLSearchParams('a=1&b=2&a=3'); p.set('a', 'x'); p.set('n', ''); return p.toString(); });
  await t('canParse', () => [URL.canParse('http://x'), URL.canParse('x')]);
  await t('json', () => JSON.stringify({ u: new URL('http://x') }));
  const url = require('url');
  for (const u of ['http://user:pass@host.com:8080/p/a/t/h?query=string#hash', '/a/b?c=d&e=f#g', 'HTTP://EXAMPLE.com', '//x/y', 'mailto:a@b.c', 'a b', 'http://x/a b?c d', 'x:1', 'http://a.com\\b', '?q=1', '#h', '', 'http://a.com?x', 'https://h/?a=1&a=2']) {
    await t(`parse ${u}`, () => ({ ...url.parse(u) }));
    await t(`parse query ${u}`, () => JSON.stringify(url.parse(u, true).query));
  }
  await t('parse slashes', () => ({ ...url.parse('//x/y?z', false, true) }));
  await t('parse bad', () => url.parse(5));
  await t('format', () => [url.format({ protocol: 'https', hostname: 'h', port: 1, pathname: 'p#?', query: { a: [1, 2], b: 'c d' }, hash: 'x' }), url.format({ pathname: '/x', search: 'y' }), url.format(new URL('http://a:b@c/d?e#f'), { auth: false, fragment: false }), url.format({ host: 'a.b', pathname: 'q' })]);
  await t('resolve', () => [url.resolve('/one/two/three', 'four'), url.resolve('http://example.com/', '/one'), url.resolve('http://example.com/one', '/two'), url.resolve('a/b', '../c')]);
  await t('file', () => [url.fileURLToPath('file:///a%20b'), url.pathToFileURL('/a b#').href]);
  return out;
};
