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
  const EventEmitter = require('events');
  await t('emitter', () => { const log = []; const e = new EventEmitter(); e.on('a', (x) => log.push(`1${x}`)); e.prependListener('a', (x) => log.push(`0${x}`)); e.once('a', (x) => log.push(`o${x}`)); const r = [e.emit('a', 1), e.emit('a', 2), e.emit('b')]; return [log, r, e.listenerCount('a'), e.eventNames()]; });
  await t('emitter off', () => { const e = new EventEmitter(); const f = () => {}; e.on('x', f); e.once('x', f); e.off('x', f); e.off('x', f); return e.listenerCount('x'); });
  await t('emitter error', () => new EventEmitter().emit('error', new RangeError('x')));
  await t('emitter error 2', () => new EventEmitter().emit('error', 'x'));
  await t('emitter bad', () => new EventEmitter().on('x', 5));
  await t('emitter old style', () => { function Old() { EventEmitter.call(this); } require('util').inherits(Old, EventEmitter); const o = new Old(); let n = 0; o.on('x', () => n++); o.emit('x'); return n; });
  await t('once', async () => { const e = new EventEmitter(); setTimeout(() => e.emit('x', 1, 2), 1); return EventEmitter.once(e, 'x'); });
  await t('newListener', () => { const e = new EventEmitter(); const log = []; e.on('newListener', (n) => log.push(n)); e.on('q', () => {}); return log; });
  const { Readable, Writable, Transform, PassThrough, Duplex, pipeline } = require('stream');
  const collect = async (s) => { const chunks = []; for await (const c of s) chunks.push(c); return chunks.map(String); };
  await t('Readable.from', () => collect(Readable.from(['a', 'b'])));
  await t('Readable', () => { let i = 0; return collect(new Readable({ read() { this.push(i++ < 3 ? `c${i}` : null); } })); });
  await t('readable events', () => new Promise((r) => { const log = []; const s = new Readable({ read() {} }); s.setEncoding('utf8'); s.on('data', (d) => log.push(d)); s.on('end', () => log.push('end')); s.on('close', () => r([...log, 'close'])); s.push('é'); s.push(null); }));
  await t('pipe', () => new Promise((r) => { const log = []; Readable.from(['x', 'y']).pipe(new Transform({ transform(c, e, done) { done(null, String(c).toUpperCase()); } })).pipe(new Writable({ write(c, e, done) { log.push(String(c)); done(); } })).on('finish', () => r(log)); }));
  await t('pipeline', () => new Promise((r) => { const log = []; pipeline(Readable.from(['x']), new PassThrough(), new Writable({ write(c, e, d) { log.push(String(c)); d(); } }), (e) => r([e ? e.message : 'ok', log])); }));
  await t('pipeline fails', () => new Promise((r) => pipeline(Readable.from(['x']), new Transform({ transform(c, e, d) { d(new Error('no')); } }), new Writable({ write(c, e, d) { d(); } }), (e) => r(e.message))));
  await t('pipeline promise', async () => { const log = []; await require('stream/promises').pipeline(Readable.from(['q', 'r']), new Writable({ objectMode: true, write(c, e, d) { log.push(c); d(); } })); return log; });
  await t('class transform', () => { class Up extends Transform { _transform(c, e, d) { this.push(String(c) + '!'); d(); } _flush(d) { this.push('end'); d(); } } const u = new Up(); u.write('a'); u.end('b'); return collect(u).then((c) => c.join('')); });
  await t('writable final', () => new Promise((r) => { const log = []; const w = new Writable({ write(c, e, d) { log.push(c.toString()); d(); }, final(d) { log.push('final'); d(); } }); w.on('finish', () => r(log)); w.write('1'); w.end('2'); }));
  await t('write after end', () => new Promise((r) => { const w = new Writable({ write(c, e, d) { d(); } }); w.on('error', (e) => r(e.code)); w.end(); w.write('x'); }));
  await t('destroy', () => new Promise((r) => { const s = new Readable({ read() {} }); s.on('error', (e) => r([e.message, s.destroyed])); s.destroy(new Error('gone')); }));
  await t('instanceof', () => [new PassThrough() instanceof Readable, new PassThrough() instanceof Writable, new Duplex({ read() {}, write() {} }) instanceof require('stream'), new Readable() instanceof Writable]);
  await t('order', async () => { const log = []; setTimeout(() => log.push('timeout'), 0); setImmediate(() => log.push('immediate')); process.nextTick(() => log.push('tick')); queueMicrotask(() => log.push('micro')); await Promise.resolve(); await new Promise((r) => setTimeout(r, 20)); return log.sort(); });
  await t('timers', async () => { const log = []; const i = setInterval(() => log.push('i'), 10); await new Promise((r) => setTimeout(r, 35)); clearInterval(i); const c = setTimeout(() => log.push('no'), 1); clearTimeout(c); await require('timers/promises').setTimeout(30); return log.length >= 3; });
  await t('timer order', async () => { const log = []; await Promise.all([30, 10, 20].map((ms) => new Promise((r) => setTimeout(() => (log.push(ms), r()), ms)))); return log; });
  await t('abort', () => { const c = new AbortController(); const log = []; c.signal.addEventListener('abort', () => log.push('x')); c.abort(); return [log, c.signal.aborted, c.signal.reason.name, AbortSignal.abort('r').reason]; });
  await t('event target', () => { const e = new EventTarget(); const log = []; e.addEventListener('x', (ev) => log.push(ev.type), { once: true }); e.dispatchEvent(new Event('x')); e.dispatchEvent(new Event('x')); return log; });
  const assert = require('assert');
  for (const [label, fn] of Object.entries({ ok: () => assert(1), bad: () => assert(0), eq: () => assert.equal(1, '1'), seq: () => assert.strictEqual(1, '1'), deep: () => assert.deepStrictEqual({ a: [1, { b: 2 }] }, { a: [1, { b: 2 }] }), deep2: () => assert.deepStrictEqual([1], [2]), throws: () => assert.throws(() => { throw new TypeError('abc'); }, /abc/), throws2: () => assert.throws(() => {}), throws3: () => assert.throws(() => { throw new TypeError('abc'); }, { name: 'TypeError', message: 'abc' }), rejects: () => assert.rejects(Promise.reject(new Error('x')), Error), match: () => assert.match('abc', /b/), fail: () => assert.fail('m'), ifError: () => assert.ifError(null), loose: () => assert.deepEqual({ a: 1 }, { a: '1' }), sets: () => assert.deepStrictEqual(new Set([{ a: 1 }]), new Set([{ a: 1 }])) })) await t(`assert ${label}`, fn);
  await t('headers', () => { const h = new Headers({ 'X-A': ' 1 ' }); h.append('x-a', '2'); h.append('Set-Cookie', 'a'); h.append('set-cookie', 'b'); return [[...h], h.get('X-A'), h.has('nope'), h.getSetCookie()]; });
  await t('headers bad', () => new Headers({ 'a b': '1' }));
  await t('response', async () => { const r = new Response('{"a":1}', { status: 201, headers: { a: 'b' } }); const c = r.clone(); return [await r.json(), r.bodyUsed, await c.text(), r.ok, r.status, [...r.headers]]; });
  await t('response json', async () => { const r = Response.json({ a: 1 }); return [await r.text(), r.headers.get('content-type')]; });
  await t('response twice', async () => { const r = new Response('x'); await r.text(); await r.text(); });
  await t('request', async () => { const r = new Request('http://x/y', { method: 'post', body: new URLSearchParams({ a: 'b c' }) }); return [r.method, r.url, r.headers.get('content-type'), await r.text()]; });
  await t('request bad', () => new Request('http://x', { body: 'x' }));
  return out;
};
