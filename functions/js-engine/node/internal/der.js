// Public keys between JWK and DER: SubjectPublicKeyInfo (RFC 5280), RSAPublicKey (RFC 8017), and the key within a certificate.
const { Buffer } = require('buffer');

const INTEGER = 2, BITS = 3, SEQUENCE = 0x30, VERSION = 0xa0;
const RSA = '06092a864886f70d010101', EC = '06072a8648ce3d0201', ED25519 = '06032b6570';
const CURVES = { 'P-256': '06082a8648ce3d030107', 'P-384': '06052b81040022', 'P-521': '06052b81040023' };
const BYTES = { 'P-256': 32, 'P-384': 48, 'P-521': 66 };

function value(tag, ...parts) {
  const content = Buffer.concat(parts), size = content.length;
  const length = size < 128 ? [size] : size < 256 ? [0x81, size] : [0x82, size >> 8, size & 255];
  return Buffer.concat([Buffer.from([tag, ...length]), content]);
}

const hex = (text) => Buffer.from(text, 'hex');
const raw = (text) => Buffer.from(text, 'base64url');

function integer(text) {
  let own = raw(text);
  while (own.length > 1 && own[0] === 0) own = own.subarray(1);
  return value(INTEGER, own[0] & 128 ? Buffer.concat([hex('00'), own]) : own);
}

const pkcs1 = ({ n, e }) => value(SEQUENCE, integer(n), integer(e));

function spki(jwk) {
  const [algorithm, key] = {
    RSA: () => [hex(`${RSA}0500`), pkcs1(jwk)],
    EC: () => [hex(EC + CURVES[jwk.crv]), Buffer.concat([hex('04'), raw(jwk.x), raw(jwk.y)])],
    OKP: () => [hex(ED25519), raw(jwk.x)],
  }[jwk.kty]();
  return value(SEQUENCE, value(SEQUENCE, algorithm), value(BITS, hex('00'), key));
}

// The values in `data`, one after the other: {tag, content, whole}.
function values(data) {
  const all = [];
  for (let at = 0; at < data.length;) {
    const begin = at, tag = data[at++];
    let size = data[at++];
    if (size > 128) {
      let left = size - 128;
      for (size = 0; left > 0; left--) size = size * 256 + data[at++];
    }
    if (size === undefined || !(at + size <= data.length)) throw new Error('not DER');
    all.push({ tag, content: data.subarray(at, at + size), whole: data.subarray(begin, at + size) });
    at += size;
  }
  return all;
}

const text = (bytes) => Buffer.from(bytes).toString('base64url');

function rsa(der) {
  const [n, e] = values(values(der)[0].content).map(({ content }) => text(content[0] === 0 ? content.subarray(1) : content));
  return { kty: 'RSA', n, e };
}

// The JWK of a key in DER; null of what is none.
function jwk(der) {
  try {
    const own = values(values(der)[0].content);
    if (own[0].tag === INTEGER) return own.length === 2 ? rsa(der) : null; // more: a private key
    const certificate = values(own[0].content);
    if (certificate.length > 5) return jwk(certificate[certificate[0].tag === VERSION ? 6 : 5].whole);
    const algorithm = Buffer.from(own[0].content).toString('hex'), key = own[1].content.subarray(1);
    if (algorithm.startsWith(RSA)) return rsa(key);
    if (algorithm === ED25519) return { kty: 'OKP', crv: 'Ed25519', x: text(key) };
    const crv = Object.keys(CURVES).find((name) => algorithm === EC + CURVES[name]), size = BYTES[crv];
    return crv && key[0] === 4 && key.length === 1 + 2 * size ? { kty: 'EC', crv, x: text(key.subarray(1, 1 + size)), y: text(key.subarray(1 + size)) } : null;
  } catch {
    return null;
  }
}

module.exports = { jwk, pkcs1, spki };
