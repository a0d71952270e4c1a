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
  const keys = {"rsa":"-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAmfW2cyYOZfaT7OPZXOvi\nlYugt0nN7Af/kqP48tcElDl0K26ZlSvgAgLDm9Ye5J2NPqD8CKleXLI1HqZXOsHg\nV3gU29oNSV0VLyNCOQykKRk/H96HjPkzLDRNw3WK2SJKkrNW5YMWv+T7FSQp1Cz1\nI/kvWZCTxe70u/P9FjiH10R7Xs1vStr4e7MHCR23KHKHQEebn7dTNcl3S4I12z0E\nzBnuxF+VngbF07ZIgLg+F2Me6hlW9e0CIYXPAm9CCEeRanWAP5bm8eq3L3M+7UfD\nbVGHcQh9jNdR5DSdkunyFHF3ipIrIXkIDH9Lc7xjiFVtOyp0xaGEVNlz2fMOkHo2\nFQIDAQAB\n-----END PUBLIC KEY-----\n","ec":"-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEqvBp90AN5MXkr3JfUiHWOnjEpXtL\nPYpsxQklTTrGUzmh4HK7j0i7YTeTxI5STAlapbVeaYTLnc2rNJo/33DO5A==\n-----END PUBLIC KEY-----\n","rs256":"eZ/oe9kNJSCzphRLmS5j+Ib/Eqf9+dtoXtYapm6LhahY0eKWo/rgND4jPQ7jG3ztH/OQ9fDsEVDgxieQMy8CzruOahtX894LubV/bJIZ4of2uWs/C+36SfXBnKg3sMUctgNZfv6g1xHEntFXFColB5nolGHbX/KkjrVGnCqft5OMp2RkV40T1oJn4G0hwImtAk88uXLUBKC47nT7THtbM9Fhj+XDQsBo+IYSWgJo9FYsjwhIZhsgi8vc2ff76LReWxu0jnRlMZYTllj++cvqL8ufoEPV0U+0uWmcRhjofjoU2cM9AuVZeikKushZgJDa4plTPHASmsxHFUcRIeX9Zg==","rs1":"f/PMEQ08EgEdby3teRIhme0h7igppPL75X963bK4XOT8nmrv+DWuyZ6teRbhvRGhGx25c99hLsSeHmHJTWYWyPHU7SV9IAV+ZHrLf2pRtVD07/4uAv9rQohIXK1px/Bug+8CazZg7r96P2PmIe6vL039EhTdMRJBwhTSeKAiZtipsTXoNH2iBA3BAlkke2jWRRKBnhwof7a7jccluAYNgJgin0kJJwjdMOlDQ6e5hbwdf/b8Z4PKacEHJvAgqQw20boMSK8PKxNbAl8rb/z83RshTwAW6lXqf6PV6RXG9KjkxFssDIv8ZujzgersWcVy3rlK4cHhuu38PUQfei6EcQ==","ps256":"J9IahI6vUQ+2Z+JirEhe4FEkpwrN64JO4rB6zE2awvvLB+9g7PB5Fp4CoYlTH7FTOH1KAQFacAtEpNn/FsIEuJriDsTHUfl8WV1mhs1yI8WrhG4nHRe+vGysRAD6Qbv/kRNhn6eOU6rSMMs4D8v0oxWPOevuImBZte4Qt1wfw3hUKsaaFI5UH5BrOCYmOhQZKCRNRpUlmyXR8LQCy5DifqldwMc7VuI9LgQydGQiDdAggptywct0dCZwtqXhnCEQFsKJbNex965AgH2lnXJNtw8Z7JwQX6KCTcrPwGboWy6HfP+RqMvPfW7wAhvQ4Z8+iCYgl5KV+nkvd5rd0WxnNQ==","es256":"MEYCIQDwdpTWMLp3AsKzMj7wa44ampUqPieu7WCozB8xLSJ8ewIhAKifWbQVQXpxDNAoKsMJjseACs7pMMcdn9i3Gln0xrVo","es256raw":"xcUXaZPzzaYC0kXAypNWHxOhw1gjcgwO130GYqjrTeTCobRHOSMIkBd6eUjauOERSTSy3F+OALyKiVBuUWGSJQ==","jwk":{"kty":"RSA","n":"mfW2cyYOZfaT7OPZXOvilYugt0nN7Af_kqP48tcElDl0K26ZlSvgAgLDm9Ye5J2NPqD8CKleXLI1HqZXOsHgV3gU29oNSV0VLyNCOQykKRk_H96HjPkzLDRNw3WK2SJKkrNW5YMWv-T7FSQp1Cz1I_kvWZCTxe70u_P9FjiH10R7Xs1vStr4e7MHCR23KHKHQEebn7dTNcl3S4I12z0EzBnuxF-VngbF07ZIgLg-F2Me6hlW9e0CIYXPAm9CCEeRanWAP5bm8eq3L3M-7UfDbVGHcQh9jNdR5DSdkunyFHF3ipIrIXkIDH9Lc7xjiFVtOyp0xaGEVNlz2fMOkHo2FQ","e":"AQAB"},"ecjwk":{"kty":"EC","x":"qvBp90AN5MXkr3JfUiHWOnjEpXtLPYpsxQklTTrGUzk","y":"oeByu49Iu2E3k8SOUkwJWqW1XmmEy53NqzSaP99wzuQ","crv":"P-256"}};
  const crypto = require('crypto');
  for (const h of ['md5', 'sha1', 'sha256', 'SHA384', 'sha512']) {
    await t(h, () => crypto.createHash(h).update('abc').update(Buffer.from('é')).digest('hex'));
    await t(`hmac ${h}`, () => crypto.createHmac(h, 'key').update('abc').digest('base64'));
  }
  await t('empty', () => crypto.createHash('sha256').digest());
  await t('base64url', () => crypto.createHash('sha1').update('x').digest('base64url'));
  await t('unknown', () => crypto.createHash('nope'));
  await t('twice', () => { const h = crypto.createHash('md5'); h.digest(); h.digest(); });
  await t('update bad', () => crypto.createHash('md5').update(5));
  await t('copy', () => { const h = crypto.createHash('md5').update('a'); const c = h.copy(); return [h.update('b').digest('hex'), c.digest('hex')]; });
  await t('hex input', () => crypto.createHash('md5').update('6162', 'hex').digest('hex'));
  await t('rs256', () => [crypto.createVerify('RSA-SHA256').update('hello').verify(keys.rsa, keys.rs256, 'base64'), crypto.createVerify('sha256').update('hellO').verify(keys.rsa, keys.rs256, 'base64')]);
  await t('rs1', () => crypto.createVerify('RSA-SHA1').update('hello').verify(keys.rsa, keys.rs1, 'base64'));
  await t('ps256', () => crypto.verify('sha256', Buffer.from('hello'), { key: keys.rsa, padding: crypto.constants.RSA_PKCS1_PSS_PADDING }, Buffer.from(keys.ps256, 'base64')));
  await t('es256', () => [crypto.createVerify('SHA256').update('hello').verify(keys.ec, keys.es256, 'base64'), crypto.verify('sha256', Buffer.from('hello'), { key: keys.ec, dsaEncoding: 'ieee-p1363' }, Buffer.from(keys.es256raw, 'base64'))]);
  await t('jwk', () => crypto.verify('RSA-SHA256', Buffer.from('hello'), crypto.createPublicKey({ key: keys.jwk, format: 'jwk' }), Buffer.from(keys.rs256, 'base64')));
  await t('key object', () => { const k = crypto.createPublicKey(keys.rsa); return [k.type, k.asymmetricKeyType, crypto.createPublicKey(keys.ec).asymmetricKeyType]; });
  await t('secret', () => crypto.createHmac('sha256', crypto.createSecretKey(Buffer.from('key'))).update('x').digest('hex'));
  await t('equal', () => [crypto.timingSafeEqual(Buffer.from('a'), Buffer.from('a')), crypto.timingSafeEqual(Buffer.from('a'), Buffer.from('b'))]);
  await t('equal length', () => crypto.timingSafeEqual(Buffer.from('a'), Buffer.from('ab')));
  await t('random', () => [crypto.randomBytes(8).length, crypto.randomUUID().length, /^[0-9a-f-]{36}$/.test(crypto.randomUUID()), crypto.randomInt(5) < 5, crypto.randomInt(3, 4), crypto.getRandomValues(new Uint8Array(4)).length]);
  await t('random callback', () => new Promise((r) => crypto.randomBytes(4, (e, b) => r(b.length))));
  await t('subtle digest', async () => Buffer.from(await globalThis.crypto.subtle.digest('SHA-256', new TextEncoder().encode('abc'))).toString('hex'));
  await t('subtle hmac', async () => { const k = await globalThis.crypto.subtle.importKey('raw', Buffer.from('key'), { name: 'HMAC', hash: 'SHA-256' }, false, ['sign', 'verify']); const s = await globalThis.crypto.subtle.sign('HMAC', k, Buffer.from('x')); return [Buffer.from(s).toString('hex'), await globalThis.crypto.subtle.verify('HMAC', k, s, Buffer.from('x'))]; });
  await t('subtle jwk', async () => { const k = await globalThis.crypto.subtle.importKey('jwk', keys.jwk, { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' }, false, ['verify']); return globalThis.crypto.subtle.verify('RSASSA-PKCS1-v1_5', k, Buffer.from(keys.rs256, 'base64'), Buffer.from('hello')); });
  await t('subtle ec', async () => { const k = await globalThis.crypto.subtle.importKey('jwk', keys.ecjwk, { name: 'ECDSA', namedCurve: 'P-256' }, false, ['verify']); return globalThis.crypto.subtle.verify({ name: 'ECDSA', hash: 'SHA-256' }, k, Buffer.from(keys.es256raw, 'base64'), Buffer.from('hello')); });
  return out;
};
