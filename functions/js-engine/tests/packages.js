'use strict';
// What packages of npm ask of Node's modules as they load, and after: jsonwebtoken, jose, axios, node-fetch, jwks-rsa, middy, debug.
const out = [];
async function t(label, fn) {
  let got;
  try {
    got = await fn();
    if (got === undefined) got = 'undefined';
  } catch (e) {
    got = `${e.name} ${e.code ?? ''}`;
  }
  out.push([label, got]);
}

const RSA = { kty: 'RSA', e: 'AQAB', n: 'ALkFxprWEQkxB6aNs-ymSgMpQKlJtNDXrNyHVMaVpSDb2Uu9s6Pb8pDg3J2Jqaqw3WmR2qFUM-uKgFDsQ4vQcU4lXpRMKwMRy1dQ4nWSHCW5mXJ9-wE4rYh8m0zRlHWvxjGm1qYwMlQm4hT9Q2jE3Y3jZ2sOeGJ4wPzLkQ8n2p9R' };

// The same key, as the older kind of PEM.
const PKCS1 = '-----BEGIN RSA PUBLIC KEY-----\nMIGJAoGBALkFxprWEQkxB6aNs+ymSgMpQKlJtNDXrNyHVMaVpSDb2Uu9s6Pb8pDg3J2Jqaqw3WmR2qFUM+uKgFDsQ4vQcU4lXpRMKwMRy1dQ4nWSHCW5mXJ9+wE4rYh8m0zRlHWvxjGm1qYwMlQm4hT9Q2jE3Y3jZ2sOeGJ4wPzLkQ8n2p9RAgMBAAE=\n-----END RSA PUBLIC KEY-----\n';

const KEYS = [RSA, { kty: 'EC', x: 'pjJ5jupL6UIli-LfHc-F7nqpXHZSE1QXzxZA9pKzi18', y: 'xJ9I5iyHLPbwcpFqqasurxBI0OT-lwhWflwRbbHDtS0', crv: 'P-256' },
  { kty: 'EC', x: 'NE52yFbSBOZFHGXb6GkIMoKYVs8Yvw6YRP3uPfHgXecLIHYAApagfFyTKicC3GhK', y: 'p1C84ogFeveRN_CYJ23Ws56BLs3MdzdYsv22HhSL1_nM_Y6DfWSY31ytNlCPVyHj', crv: 'P-384' },
  { kty: 'EC', x: 'ATWmWm7x9sSu5f1_5aY5cWF10mS4I9mREwBlY_pqhR2MgZwzAUrkZh_cgg9I9IpUHZgh6mdeFjml9sZYyejVyZ71', y: 'AERbuW34UsUe4zRmLwdYPlZIb4k2vHXukypGO7zSj5MZYom60A5ZEaD242nnjr7_KMQP0dVC5OjdfdaCuqIR4IRC', crv: 'P-521' },
  { crv: 'Ed25519', x: '0KZJ8xKK7puVOOdM99J3SJkaBUWk98tB67npIMwW1Rw', kty: 'OKP' }];
const CERTIFICATE = '-----BEGIN CERTIFICATE-----\nMIIBczCCARmgAwIBAgIUdmvz0eb/Pro22A1uhtUaU9sXn/kwCgYIKoZIzj0EAwIw\nDzENMAsGA1UEAwwEdGVzdDAeFw0yNjExMjcxODUyMjVaFw0zNjExMjQxODUyMjVa\nMA8xDTALBgNVBAMMBHRlc3QwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAASJA6qV\niw7cHRoOBhdjJTpz/zf7V8hsiyZbughwZhCSHpF6k1VBwhLkaE2uUTR1ddmR8ASR\nE19DSQ/4Kxt5Lzngo1MwUTAdBgNVHQ4EFgQUDls5SQKIzxi4A4elLjBAFKDH6SYw\nHwYDVR0jBBgwFoAUDls5SQKIzxi4A4elLjBAFKDH6SYwDwYDVR0TAQH/BAUwAwEB\n/zAKBggqhkjOPQQDAgNIADBFAiAUTkf7kXh8z6A5Cb26+oEAQx3H/xQOslrlgBhI\nXJySPAIhAOn3VputG1wvY0JJOKExGn+pHVf2b3Fvq19C1s9plBZp\n-----END CERTIFICATE-----\n';

exports.handler = async () => {
  const crypto = require('crypto');
  for (const key of ['shared-secret', '', 'a.b.c', '{"a":"secret"}']) await t(`public key of ${key}`, () => crypto.createPublicKey(key) && 'a key');
  await t('public key of a JWK', () => crypto.createPublicKey({ key: RSA, format: 'jwk' }).asymmetricKeyType);
  await t('public key of a secret key', () => crypto.createPublicKey(crypto.createSecretKey(Buffer.from('shared-secret'))) && 'a key');
  await t('public key of PKCS#1', () => [crypto.createPublicKey(PKCS1).asymmetricKeyType, crypto.createPublicKey({ key: Buffer.from(PKCS1.split('\n')[1], 'base64'), format: 'der', type: 'pkcs1' }).type]);
  for (const key of KEYS) {
    const own = crypto.createPublicKey({ key, format: 'jwk' });
    await t(`export ${key.crv ?? key.kty}`, () => {
      const pem = own.export({ format: 'pem', type: 'spki' }), der = own.export({ format: 'der', type: 'spki' });
      return [pem, der.toString('hex'), crypto.createPublicKey(pem).export({ format: 'jwk' }), own.asymmetricKeyType];
    });
  }
  await t('export PKCS#1', () => [crypto.createPublicKey(PKCS1).export({ format: 'jwk' }), crypto.createPublicKey({ key: RSA, format: 'jwk' }).export({ format: 'pem', type: 'pkcs1' })]);
  await t('export of a certificate', () => crypto.createPublicKey(CERTIFICATE).export({ format: 'pem', type: 'spki' }));
  await t('a check with a secret', () => crypto.createVerify('RSA-SHA256').update('x').verify('shared-secret', Buffer.alloc(4)));
  await t('secret key', () => crypto.createSecretKey(Buffer.from('shared-secret')).type);
  const { subtle } = crypto.webcrypto;
  for (const algorithm of [{ name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' }, { name: 'rsassa-pkcs1-v1_5', hash: { name: 'sha-384' } }, { name: 'RSA-PSS', hash: 'SHA-512' }]) {
    await t(`import ${JSON.stringify(algorithm)}`, async () => {
      const key = await subtle.importKey('jwk', RSA, algorithm, true, ['verify']);
      const { name, hash, modulusLength, publicExponent } = key.algorithm;
      return [key.type, key.extractable, key.usages, name, hash, modulusLength, Array.from(publicExponent)];
    });
  }
  await t('export what was imported', async () => {
    const key = await subtle.importKey('jwk', KEYS[1], { name: 'ECDSA', namedCurve: 'P-256' }, true, ['verify']);
    const again = await subtle.importKey('spki', await subtle.exportKey('spki', key), { name: 'ECDSA', namedCurve: 'P-256' }, true, ['verify']);
    return [Buffer.from(await subtle.exportKey('spki', again)).toString('hex'), await subtle.exportKey('jwk', key)];
  });
  await t('import SPKI', async () => {
    const spki = crypto.createPublicKey(PKCS1).export({ format: 'der', type: 'spki' });
    const { modulusLength, publicExponent } = (await subtle.importKey('spki', spki, { name: 'RSA-PSS', hash: 'SHA-256' }, true, ['verify'])).algorithm;
    return [modulusLength, Array.from(publicExponent)];
  });
  await t('export what is not to be exported', async () => {
    const key = await subtle.importKey('raw', Buffer.from('0123456789abcdef'), { name: 'HMAC', hash: 'SHA-256' }, false, ['sign']);
    return subtle.exportKey('raw', key).catch((e) => e.name);
  });
  await t('import without a hash', () => subtle.importKey('raw', Buffer.from('0123456789abcdef'), { name: 'HMAC' }, false, ['sign']));
  await t('import HMAC', async () => {
    const key = await subtle.importKey('raw', Buffer.from('0123456789abcdef'), { name: 'HMAC', hash: 'SHA-256' }, false, ['sign']);
    return [key.type, key.algorithm.name, key.algorithm.hash, key.algorithm.length];
  });

  const net = require('net');
  for (const address of ['1.2.3.4', '1.2.3', '01.2.3.4', '256.1.1.1', '::', '::1', '1::', '2001:db8::1', '1:2:3:4:5:6:7:8', '1:2:3:4:5:6:7::', '1:2:3:4:5:6:7', '1::2::3', '::ffff:1.2.3.4', '::1.2.3.400', 'fe80::1%eth0', 'g::1', ':1', '']) await t(`isIP ${address}`, () => [net.isIP(address), net.isIPv4(address), net.isIPv6(address)]);

  const punycode = require('punycode');
  for (const name of ['mañana.com', 'example.com', 'bücher.de', '日本語.jp', '☃-⌘.com', 'xn--maana-pta.com', 'xn--bcher-kva.de']) await t(`punycode ${name}`, () => [punycode.toASCII(name), punycode.toUnicode(name)]);
  for (const text of ['mañana', '☃-⌘', 'abc', 'ü', '他们为什么不说中文']) await t(`encode ${text}`, () => [punycode.encode(text), punycode.decode(punycode.encode(text)), punycode.ucs2.encode(punycode.ucs2.decode(text))]);
  await t('decode nonsense', () => punycode.decode('ls8h=') && 'text');

  await t('tty', () => [require('tty').isatty(1), typeof require('tty').ReadStream]);
  await t('what is there by name', () => {
    const names = { zlib: ['gunzip', 'createGunzip', 'brotliDecompressSync', 'constants'], tls: ['connect', 'TLSSocket'], http2: ['connect', 'constants'], dns: ['lookup', 'promises'],
      worker_threads: ['Worker'], 'stream/web': ['ReadableStream', 'TransformStream'], child_process: ['spawn'], vm: ['Script'], v8: ['serialize'], cluster: ['fork'], readline: ['createInterface'],
      dgram: ['createSocket'], net: ['Socket', 'connect'], async_hooks: ['AsyncResource', 'createHook'] };
    return Object.entries(names).map(([name, members]) => [name, members.map((member) => typeof require(`node:${name}`)[member])]);
  });
  await t('the main thread', () => [require('worker_threads').isMainThread, require('worker_threads').threadId, require('cluster').isPrimary]);
  await t('a class of what is missing', () => typeof class extends require('net').Socket {});

  const { AsyncLocalStorage, AsyncResource } = require('async_hooks');
  const storage = new AsyncLocalStorage();
  await t('a store', async () => {
    const seen = [storage.getStore() ?? null];
    const result = await storage.run({ id: 1 }, async (more) => {
      seen.push(storage.getStore().id, more);
      await 0;
      seen.push(storage.getStore().id);
      seen.push(storage.run({ id: 2 }, () => storage.getStore().id));
      seen.push(storage.exit(() => storage.getStore() ?? null));
      await new Promise((resolve) => setTimeout(resolve, 1));
      return storage.getStore().id;
    }, 'more');
    return [...seen, result, storage.getStore() ?? null];
  });
  await t('a store of what fails', async () => {
    const failed = await storage.run(1, async () => { await 0; throw new RangeError('x'); }).catch((e) => e.name);
    const thrown = (() => { try { storage.run(2, () => { throw new TypeError('y'); }); } catch (e) { return e.name; } })();
    return [failed, thrown, storage.getStore() ?? null];
  });
  await t('a resource', () => new AsyncResource('X').runInAsyncScope(function (a) { return [this.b, a]; }, { b: 1 }, 2));

  const channels = require('diagnostics_channel');
  await t('channels', () => {
    const channel = channels.channel('rimward:test'), heard = [];
    const before = channel.hasSubscribers;
    const listen = (message, name) => heard.push([message, name]);
    channel.subscribe(listen);
    channel.publish({ a: 1 });
    return [before, channel.hasSubscribers, channel === channels.channel('rimward:test'), channel.unsubscribe(listen), channel.hasSubscribers, heard];
  });

  const { pipeline } = require('stream/promises');
  const { Readable, PassThrough, Transform, pipeline: pipelineWith } = require('stream');
  await t('pipeline into a function', async () => {
    const parts = [];
    await pipeline(Readable.from(['a', 'b', 'c']), async function* (source) { for await (const part of source) yield String(part).toUpperCase(); }, async (source) => { for await (const part of source) parts.push(String(part)); });
    return parts;
  });
  await t('pipeline through a function', async () => {
    const end = new PassThrough(), parts = [];
    end.on('data', (part) => parts.push(String(part)));
    await pipeline(['x', 'y'], async function* (source) { for await (const part of source) yield `${part}!`; }, end);
    return parts;
  });
  await t('pipeline with a callback', () => new Promise((resolve, reject) => {
    pipelineWith(Readable.from(['a', 'b']), async function* (source) { for await (const part of source) yield `${part}!`; }, async (source) => { let all = ''; for await (const part of source) all += part; return all; }, (e, all) => (e ? reject(e) : resolve(all)));
  }));
  await t('pipeline between streams', async () => {
    const middle = new Transform({ transform(part, _, done) { done(null, String(part).toUpperCase()); } });
    return pipeline(Readable.from(['a', 'b']), middle, async (source) => { let all = ''; for await (const part of source) all += part; return all; });
  });
  await t('pipeline of a stream that fails', () => pipeline(Readable.from(['a']), new Transform({ transform(part, _, done) { done(new RangeError('no')); } }), async (source) => { for await (const part of source) void part; }));
  await t('pipeline with options', () => pipeline(Readable.from(['a']), async (source) => { for await (const part of source) return String(part); }, { end: true }));
  await t('consumers', async () => {
    const { text, json, buffer } = require('stream/consumers');
    return [await text(Readable.from(['a', 'ü'])), await json(Readable.from(['{"a"', ':1}'])), String(await buffer(Readable.from([Buffer.from('x')])))];
  });
  await t('classes that are only named', () => [typeof require('http').Server, typeof require('http').OutgoingMessage, typeof crypto.X509Certificate, typeof crypto.Sign]);
  await t('pipeline of what fails', async () => pipeline(Readable.from(['a']), async () => { throw new RangeError('no'); }));
  return out;
};
