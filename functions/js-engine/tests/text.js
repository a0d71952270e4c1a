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
  const qs = require('querystring');
  for (const s of ['a=1&b=2&a=3', 'a', '=b', 'a=b=c', '%zz=1&x=%C3%A9', 'a+b=c+d', '', '&&a=1&&', 'a=%E4%BD', 'hasOwnProperty=x&__proto__=y', 'k=1;l=2', 'a%20b=c%2Bd']) await t(`qs ${s}`, () => Object.entries(qs.parse(s)));
  await t('qs opts', () => [Object.entries(qs.parse('a:1;b:2', ';', ':')), Object.entries(qs.parse('a=1&b=2&c=3', null, null, { maxKeys: 2 }))]);
  await t('qs stringify', () => [qs.stringify({ a: [1, 2], b: 'x y&', c: true, d: null, e: undefined, f: NaN, g: {}, h: 'é', i: '' }), qs.stringify({ a: 1, b: 2 }, ';', ':'), qs.stringify(null), qs.stringify('x'), qs.escape("a!'()*~ b"), qs.unescape('%41%zz')]);
  const path = require('path');
  for (const p of ['', '/', 'a', '/a/b.c', 'a//b/../c/./d/', '../a', '/../a', './', 'a/..', '.x', 'a.', 'a.b.c', '/a/', '//a//', '..', '/a/b/..hidden.txt']) {
    await t(`path ${p}`, () => [path.normalize(p), path.dirname(p), path.basename(p), path.extname(p), path.isAbsolute(p), path.parse(p), path.format(path.parse(p))]);
  }
  await t('path join', () => [path.join('a', '..', '..', 'b'), path.join('/a', '/b', ''), path.join(''), path.resolve('/a', 'b', '../c'), path.resolve('/a', '/b'), path.relative('/a/b/c', '/a/d'), path.relative('/a', '/a'), path.basename('x.html', '.html'), path.basename('.html', '.html')]);
  await t('path bad', () => path.join('a', 5));
  const enc = new TextEncoder(), dec = new TextDecoder();
  await t('encode', () => [...enc.encode('é€𝄞\ud800')]);
  await t('encodeInto', () => { const b = new Uint8Array(4); return [enc.encodeInto('aé€', b), [...b]]; });
  await t('decode', () => dec.decode(new Uint8Array([0xef, 0xbb, 0xbf, 0x68, 0xff, 0xe2, 0x82])));
  await t('decode stream', () => { const d = new TextDecoder(); return d.decode(new Uint8Array([0xe2, 0x82]), { stream: true }) + d.decode(new Uint8Array([0xac])); });
  await t('decode fatal', () => new TextDecoder('utf-8', { fatal: true }).decode(new Uint8Array([0xff])));
  await t('decode utf16', () => new TextDecoder('utf-16le').decode(new Uint8Array([0x68, 0, 0x69, 0])));
  await t('decode label', () => new TextDecoder('nope'));
  const { StringDecoder } = require('string_decoder');
  await t('string decoder', () => { const d = new StringDecoder('utf8'); const b = Buffer.from('a€b'); return [d.write(b.subarray(0, 2)), d.write(b.subarray(2, 3)), d.write(b.subarray(3)), d.end(Buffer.from([0xe2]))]; });
  await t('string decoder 64', () => { const d = new StringDecoder('base64'); return [d.write(Buffer.from('abcd')), d.end()]; });
  const util = require('util');
  const values = { n: null, u: undefined, t: true, s: "it's", s2: 'a\n"b"', num: -0, big: 5n, sym: Symbol('x'), arr: [1, , 3, 'x'], nested: { a: { b: { c: { d: 1 } } } }, date: new Date(0), re: /x/gi, map: new Map([['a', { b: 1 }]]), set: new Set([1, 'b']), fn: function foo() {}, arrow: () => {}, cls: class A {}, sub: class B extends Map {}, empty: {}, emptyArr: [], nul: Object.create(null), inst: new (class Point { constructor() { this.x = 1; } })(), long: 'x'.repeat(90), longArr: Array.from({ length: 120 }, (_, i) => i), u8: new Uint8Array([1, 2]), getter: { get a() { return 1; }, set a(v) {}, get b() { return 1; } }, key: { 'a-b': 1, [Symbol('s')]: 2 }, boxed: [new Number(1), new String('x')], prom: Promise.resolve(1).then(() => 1) && 1, wide: { alpha: 'aaaaaaaaaaaaaaaaaaaaaaaaaa', beta: 'bbbbbbbbbbbbbbbbbbbbbbbbbbbbbb', gamma: 'cccccccccccccccccccc' }, asyncFn: async function bar() {} };
  for (const [k, v] of Object.entries(values)) await t(`inspect ${k}`, () => util.inspect(v));
  await t('inspect circular', () => { const o = { a: 1 }; o.o = o; return util.inspect(o); });
  await t('inspect depth', () => util.inspect(values.nested, { depth: 0 }) + util.inspect(values.nested, { depth: null }));
  await t('inspect words', () => util.inspect(['apple', 'banana', 'cherry', 'dates', 'elder', 'figs', 'grape', 'honeydew', 'indigo', 'juniper', 'kiwi', 'lemon', 'mango']));
  await t('format', () => [util.format('%s %d %i %f %j %O %%', 'a', '42', '42.9', '1.5', { a: 1 }, { b: { c: {} } }), util.format('a', 'b', { c: 1 }), util.format('%s'), util.format(1, 2, '3'), util.format('%s %s', 'x'), util.format('%s', null, undefined), util.format('%s', [1, [2, [3]]]), util.format('%s', { a: { b: 1 } }), util.format('%d', '0x10'), util.format('100%', 1), util.format('%s', -0), util.format('%x', 1)]);
  await t('promisify', () => util.promisify((a, done) => done(null, a + 1))(1));
  await t('promisify fails', () => util.promisify((done) => done(new TypeError('x')))());
  await t('inherits', () => { function A() {} function B() {} B.prototype.x = 1; util.inherits(A, B); return [new A().x, A.super_ === B]; });
  await t('types', () => [util.types.isDate(new Date()), util.types.isRegExp(/x/), util.types.isPromise(Promise.resolve()), util.isDeepStrictEqual({ a: [1] }, { a: [1] }), util.isDeepStrictEqual({ a: 1 }, { a: '1' }), util.types.isAsyncFunction(async () => {})]);
  await t('callbackify', () => new Promise((r) => util.callbackify(async (x) => x * 2)(4, (e, v) => r(v))));
  await t('clone', () => { const o = { d: new Date(5), m: new Map([[1, { a: 1 }]]), s: new Set([1]), a: [1, , 2], r: /x/g, b: new Uint8Array([1]) }; o.self = o; const c = structuredClone(o); return [c !== o, c.self === c, util.inspect(c.m), util.inspect(c.a), +c.d, c.r.flags, c.b[0]]; });
  await t('clone fn', () => structuredClone(() => {}));
  return out;
};
