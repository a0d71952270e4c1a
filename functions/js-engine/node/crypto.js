// crypto: hashes, HMAC, signature checks and randomness, by the host. Nothing here holds a private key.
const { Buffer } = require('buffer');
const { missing } = require('internal/absent');
const der = require('internal/der');
const HASHES = { md5: 'md5', sha1: 'sha1', sha256: 'sha256', sha384: 'sha384', sha512: 'sha512', 'rsa-sha1': 'sha1', 'rsa-sha256': 'sha256', 'rsa-sha384': 'sha384', 'rsa-sha512': 'sha512', 'sha-1': 'sha1', 'sha-256': 'sha256', 'sha-384': 'sha384', 'sha-512': 'sha512' };

function coded(Type, code, message) {
  return Object.assign(new Type(message), { code });
}

// Runtime cloudfront-js-1.0 has no Buffer: bytes are strings there, one character a byte.
const strings = host.flavor === 2 ? require('internal/cloudfront1') : null;

function bytes(data, encoding) {
  if (typeof data === 'string') return strings?.bytes(data) ?? Buffer.from(data, encoding);
  if (ArrayBuffer.isView(data)) return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  if (data instanceof ArrayBuffer) return new Uint8Array(data);
  throw coded(TypeError, 'ERR_INVALID_ARG_TYPE', `The "data" argument must be of type string or an instance of Buffer, TypedArray, or DataView. Received ${data === null || data === undefined ? data : `type ${typeof data}`}`);
}

// `str` of the payloads in functions/wit/dynamic.md.
function field(data) {
  const own = typeof data === 'string' ? Buffer.from(data) : data;
  const size = Buffer.alloc(4);
  size.writeUInt32LE(own.length);
  return Buffer.concat([size, own]);
}

function ask(operation, fields, data) {
  return Buffer.from(host.call(operation, Buffer.concat([...fields.map(field), data]), true).buffer);
}

function hashName(name) {
  const own = HASHES[String(name).toLowerCase()];
  if (!own) throw new Error('Digest method not supported');
  return own;
}

const digest = (algorithm, data) => ask('crypto.digest', [algorithm], data);
const hmac = (algorithm, key, data) => ask('crypto.hmac', [algorithm, key], data);

// Collects what is given to `update`, and answers once.
class Collector {
  #parts = [];
  #done = false;
  update(data, encoding) {
    if (this.#done) throw coded(Error, 'ERR_CRYPTO_HASH_FINALIZED', 'Digest already called');
    this.#parts.push(Uint8Array.from(bytes(data, encoding)));
    return this;
  }
  write(data) {
    this.update(data);
    return true;
  }
  end(data) {
    if (data !== undefined) this.update(data);
    return this;
  }
  parts() {
    return this.#parts;
  }
  take() {
    if (this.#done) throw coded(Error, 'ERR_CRYPTO_HASH_FINALIZED', 'Digest already called');
    this.#done = true;
    return this.#parts.length === 1 ? this.#parts[0] : Buffer.concat(this.#parts);
  }
}

function shown(out, encoding) {
  if (encoding && encoding !== 'buffer') return out.toString(encoding);
  return strings ? strings.made(out) : out;
}

class Hash extends Collector {
  #name;
  constructor(name) {
    super();
    this.#name = hashName(name);
  }
  digest(encoding) {
    return shown(digest(this.#name, this.take()), encoding);
  }
  copy() {
    const other = new Hash(this.#name);
    for (const part of this.parts()) other.update(part);
    return other;
  }
}

class Hmac extends Collector {
  #name;
  #key;
  constructor(name, key) {
    super();
    this.#name = hashName(name);
    this.#key = secret(key);
  }
  digest(encoding) {
    return shown(hmac(this.#name, this.#key, this.take()), encoding);
  }
}

class KeyObject {
  constructor(type, data) {
    this.type = type;
    this.data = data;
  }
  export(options) {
    if (this.type === 'secret') return options?.format === 'jwk' ? { kty: 'oct', k: Buffer.from(this.data).toString('base64url') } : Buffer.from(this.data);
    const jwk = jwkOf(this.data), old = options?.type === 'pkcs1';
    if (options?.format === 'jwk') return jwk;
    const out = old ? der.pkcs1(jwk) : der.spki(jwk);
    return options?.format === 'der' ? out : pem(out, old ? 'RSA PUBLIC KEY' : 'PUBLIC KEY');
  }
  get symmetricKeySize() {
    return this.type === 'secret' ? this.data.length : undefined;
  }
  get asymmetricKeyType() {
    if (this.type === 'secret') return undefined;
    const kty = this.data.startsWith('{') ? JSON.parse(this.data).kty : null;
    return { RSA: 'rsa', EC: 'ec', OKP: 'ed25519' }[kty] ?? keyKind(this.data);
  }
  equals(other) {
    return this.type === other.type && Buffer.from(this.data).equals(Buffer.from(other.data));
  }
  get [Symbol.toStringTag]() {
    return 'KeyObject';
  }
}

// The members of a public key, PEM or JWK, that make it one.
function jwkOf(text) {
  if (!text.startsWith('{')) return der.jwk(Buffer.from(text.replace(/-----[^-]+-----|\s/g, ''), 'base64')) ?? unsupported('a key of this kind');
  const { kty, crv, x, y, n, e } = JSON.parse(text);
  return { RSA: { kty, n, e }, EC: { kty, x, y, crv }, OKP: { crv, x, kty } }[kty] ?? unsupported(`a key of type '${kty}'`);
}

// Which kind of key a PEM holds, by the object identifiers within. RSA when none is found.
function keyKind(pem) {
  const der = Buffer.from(pem.replace(/-----[^-]+-----|\s/g, ''), 'base64').toString('hex');
  if (der.includes('06072a8648ce3d0201')) return 'ec';
  if (der.includes('06032b6570')) return 'ed25519';
  return 'rsa';
}

function secret(key) {
  if (key instanceof KeyObject) return key.data;
  if (key instanceof CryptoKey) return key.own;
  return bytes(key);
}

// What is not PEM is no key: libraries try a shared secret as a public key first.
function encoded(text) {
  if (/-----BEGIN (?:[A-Z]+ )?(?:PUBLIC KEY|CERTIFICATE|PRIVATE KEY)-----/.test(text)) return text;
  throw coded(Error, 'ERR_OSSL_UNSUPPORTED', 'error:1E08010C:DECODER routines::unsupported');
}

// PEM or JWK as text.
function publicKey(key) {
  if (key instanceof KeyObject || key instanceof CryptoKey) {
    if (key.type === 'secret') throw coded(TypeError, 'ERR_CRYPTO_INVALID_KEY_OBJECT_TYPE', 'Invalid key object type secret, expected public.');
    return key.data ?? key.own;
  }
  if (typeof key === 'string') return encoded(key);
  if (ArrayBuffer.isView(key)) return encoded(Buffer.from(key).toString());
  if (key?.format === 'jwk') return JSON.stringify(key.key);
  if (key?.format === 'der') return pem(bytes(key.key), key.type === 'pkcs1' ? 'RSA PUBLIC KEY' : 'PUBLIC KEY');
  if (key?.key !== undefined) return publicKey(key.key);
  throw coded(TypeError, 'ERR_INVALID_ARG_TYPE', 'The "key" argument is not a key');
}

function pem(der, label) {
  return `-----BEGIN ${label}-----\n${Buffer.from(der).toString('base64').replace(/.{64}(?=.)/g, '$&\n')}\n-----END ${label}-----\n`;
}

const PSS = 6;

// The host's name of the algorithm: by the key's kind, the hash and the padding.
function algorithmOf(hash, key, padding) {
  const kind = key.startsWith('{') ? { RSA: 'rsa', EC: 'ec', OKP: 'ed25519' }[JSON.parse(key).kty] : keyKind(key);
  if (kind === 'ed25519') return 'EdDSA';
  const name = hashName(hash ?? 'sha256');
  if (kind === 'ec') return { sha256: 'ES256', sha384: 'ES384' }[name] ?? unsupported(`ECDSA with ${name}`);
  if (name === 'sha1') return 'RSA-SHA1';
  return `${padding === PSS ? 'PS' : 'RS'}${name.slice(3)}`;
}

function unsupported(what) {
  throw coded(Error, 'ERR_FEATURE_UNAVAILABLE', `${what} is not in this engine`);
}

function verify(hash, data, key, signature) {
  const own = publicKey(key);
  return ask('crypto.verify', [algorithmOf(hash, own, key?.padding), own, bytes(signature)], bytes(data))[0] === 1;
}

class Verify extends Collector {
  #hash;
  constructor(hash) {
    super();
    this.#hash = hash;
    hashName(hash);
  }
  verify(key, signature, encoding) {
    return verify(this.#hash, this.take(), key, bytes(signature, encoding));
  }
}

function randomBytes(size, done) {
  const count = Buffer.alloc(4);
  count.writeUInt32LE(size);
  const out = Buffer.from(host.call('crypto.random', count, true).buffer);
  if (!done) return out;
  queueMicrotask(() => done(null, out));
}

function randomFillSync(target, offset = 0, size = target.byteLength - offset) {
  const view = ArrayBuffer.isView(target) ? new Uint8Array(target.buffer, target.byteOffset, target.byteLength) : new Uint8Array(target);
  view.set(randomBytes(size), offset);
  return target;
}

function randomInt(min, max, done) {
  if (max === undefined || typeof max === 'function') [min, max, done] = [0, min, max];
  const range = max - min;
  if (!Number.isSafeInteger(min) || !Number.isSafeInteger(max) || !(range > 0) || range > 2 ** 48) throw coded(RangeError, 'ERR_OUT_OF_RANGE', `The value of "max" is out of range. It must be greater than the value of "min" (${min}). Received ${max}`);
  const limit = 2 ** 48 - (2 ** 48 % range);
  let n;
  do n = randomBytes(6).readUIntBE(0, 6); while (n >= limit);
  if (!done) return min + (n % range);
  queueMicrotask(() => done(null, min + (n % range)));
}

function randomUUID() {
  const b = randomBytes(16);
  b[6] = (b[6] & 15) | 64;
  b[8] = (b[8] & 63) | 128;
  return b.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}

function timingSafeEqual(a, b) {
  const x = bytes(a), y = bytes(b);
  if (x.length !== y.length) throw coded(RangeError, 'ERR_CRYPTO_TIMING_SAFE_EQUAL_LENGTH', 'Input buffers must have the same byte length');
  let different = 0;
  for (let i = 0; i < x.length; i++) different |= x[i] ^ y[i];
  return different === 0;
}

// --- webcrypto

class CryptoKey {
  constructor(type, algorithm, extractable, usages, own) {
    Object.assign(this, { type, algorithm, extractable, usages });
    Object.defineProperty(this, 'own', { value: own });
  }
  get [Symbol.toStringTag]() {
    return 'CryptoKey';
  }
}

const nameOf = (algorithm) => String(algorithm?.name ?? algorithm).toUpperCase();
const hashOf = (algorithm) => hashName(algorithm?.hash?.name ?? algorithm?.hash ?? algorithm?.name ?? algorithm);
const copy = (out) => Uint8Array.from(out).buffer;

function webAlgorithm(algorithm, key) {
  const merged = { ...key.algorithm, ...(typeof algorithm === 'object' ? algorithm : {}) };
  const size = hashOf(merged).slice(3);
  return { 'RSASSA-PKCS1-V1_5': size === '1' ? 'RSA-SHA1' : `RS${size}`, 'RSA-PSS': `PS${size}`, ECDSA: `ES${size}`, ED25519: 'EdDSA' }[nameOf(algorithm)] ?? unsupported(nameOf(algorithm));
}

const NAMES = { 'RSASSA-PKCS1-V1_5': 'RSASSA-PKCS1-v1_5', 'RSA-PSS': 'RSA-PSS', HMAC: 'HMAC', ECDSA: 'ECDSA', ED25519: 'Ed25519' };

// A key's algorithm as the specification has it: `hash` is an object, RSA keys say how long they are.
function imported(algorithm, format, data) {
  const info = typeof algorithm === 'string' ? { name: algorithm } : { ...algorithm };
  info.name = NAMES[nameOf(info)] ?? info.name;
  if (info.hash === undefined && /^(RSA|HMAC)/.test(info.name)) throw coded(TypeError, 'ERR_MISSING_OPTION', `importKey of '${info.name}' needs a 'hash'`);
  if (info.hash !== undefined) info.hash = { name: String(info.hash.name ?? info.hash).toUpperCase() };
  if (info.name.startsWith('RSA')) {
    const { n, e } = (format === 'jwk' ? data : der.jwk(bytes(data))) ?? {};
    info.modulusLength = Buffer.from(String(n), 'base64url').toString('hex').replace(/^(?:00)+/, '').length * 4;
    info.publicExponent = new Uint8Array(Buffer.from(String(e), 'base64url'));
  }
  if (info.name === 'HMAC') info.length ??= 8 * (format === 'jwk' ? Buffer.from(data.k, 'base64url') : bytes(data)).length;
  return info;
}

const subtle = {
  async digest(algorithm, data) {
    return copy(digest(hashOf(algorithm), bytes(data)));
  },
  async importKey(format, data, algorithm, extractable, usages) {
    const info = imported(algorithm, format, data);
    if (format === 'raw' && nameOf(info) === 'HMAC') return new CryptoKey('secret', info, extractable, usages, Buffer.from(bytes(data)));
    if (format === 'jwk' && data.kty === 'oct') return new CryptoKey('secret', info, extractable, usages, Buffer.from(data.k, 'base64url'));
    if (format === 'jwk') return data.d ? unsupported('a private key') : new CryptoKey('public', info, extractable, usages, JSON.stringify(data));
    if (format === 'spki') return new CryptoKey('public', info, extractable, usages, pem(bytes(data), 'PUBLIC KEY'));
    return unsupported(`importKey of '${format}'`);
  },
  async exportKey(format, key) {
    if (!key.extractable) throw new DOMException('key is not extractable', 'InvalidAccessException');
    const shared = { key_ops: key.usages, ext: true };
    if (key.type === 'secret' && format === 'raw') return copy(key.own);
    if (format === 'jwk') return { ...shared, ...(key.type === 'secret' ? { kty: 'oct', k: key.own.toString('base64url') } : jwkOf(key.own)) };
    if (format === 'spki' && key.type === 'public') return copy(der.spki(jwkOf(key.own)));
    return unsupported(`exportKey to '${format}'`);
  },
  async sign(algorithm, key, data) {
    if (nameOf(algorithm) !== 'HMAC') return unsupported(`signing with ${nameOf(algorithm)}`);
    return copy(hmac(hashOf(key.algorithm), key.own, bytes(data)));
  },
  async verify(algorithm, key, signature, data) {
    if (nameOf(algorithm) === 'HMAC') {
      const want = hmac(hashOf(key.algorithm), key.own, bytes(data)), got = bytes(signature);
      return want.length === got.length && timingSafeEqual(want, got);
    }
    return ask('crypto.verify', [webAlgorithm(algorithm, key), key.own, bytes(signature)], bytes(data))[0] === 1;
  },
};
for (const name of ['encrypt', 'decrypt', 'deriveKey', 'deriveBits', 'generateKey', 'wrapKey', 'unwrapKey']) subtle[name] = async () => unsupported(`crypto.subtle.${name}`);

const webcrypto = { subtle, getRandomValues: (target) => randomFillSync(target), randomUUID, CryptoKey };

module.exports = {
  createHash: (name) => new Hash(name), createHmac: (name, key) => new Hmac(name, key), createVerify: (name) => new Verify(name), verify,
  hash: (name, data, encoding = 'hex') => shown(digest(hashName(name), bytes(data)), encoding),
  createPublicKey: (key) => new KeyObject('public', publicKey(key)), createSecretKey: (key, encoding) => new KeyObject('secret', Buffer.from(bytes(key, encoding))), KeyObject,
  randomBytes, pseudoRandomBytes: randomBytes, randomFillSync, randomFill: (target, done) => queueMicrotask(() => done(null, randomFillSync(target))), randomInt, randomUUID,
  timingSafeEqual, getRandomValues: webcrypto.getRandomValues, subtle, webcrypto, Hash, Hmac, Verify,
  getHashes: () => ['RSA-SHA1', 'RSA-SHA256', 'RSA-SHA384', 'RSA-SHA512', 'md5', 'sha1', 'sha256', 'sha384', 'sha512'], getCiphers: () => [], getCurves: () => [],
  constants: { RSA_PKCS1_PADDING: 1, RSA_PKCS1_PSS_PADDING: PSS, RSA_PSS_SALTLEN_DIGEST: -1 },
};
for (const name of ['createSign', 'sign', 'createCipheriv', 'createDecipheriv', 'createPrivateKey', 'generateKeyPair', 'generateKeyPairSync', 'createDiffieHellman', 'createECDH',
  'pbkdf2', 'pbkdf2Sync', 'scrypt', 'scryptSync', 'hkdf', 'hkdfSync', 'publicEncrypt', 'privateDecrypt', 'privateEncrypt', 'publicDecrypt', 'generateKey', 'generateKeySync',
  'diffieHellman', 'X509Certificate', 'Sign', 'Cipheriv', 'Decipheriv', 'DiffieHellman', 'ECDH', 'Certificate']) module.exports[name] = missing('crypto', name);
