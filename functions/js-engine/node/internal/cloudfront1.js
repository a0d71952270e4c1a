// What runtime cloudfront-js-1.0 adds to strings: byte strings, one character a byte.
const ENCODINGS = { utf8: 0, hex: 1, base64: 2, base64url: 3 };
const LATIN1 = 4;

function encodingOf(name, fallback) {
  const encoding = ENCODINGS[name ?? fallback];
  if (encoding === undefined) throw new TypeError(`Unknown encoding: "${name}"`);
  return encoding;
}

function bytesOf(string) {
  for (let i = 0; i < string.length; i++) if (string.charCodeAt(i) > 255) return null;
  return host.decode(string, LATIN1);
}

const methods = {
  // Characters from a byte string that is UTF-8.
  fromUTF8(start = 0, end = this.length) {
    const bytes = bytesOf(String(this).slice(start, end));
    return bytes && host.isUtf8(bytes) ? host.encode(bytes, 0) : null;
  },
  fromBytes(start = 0, end = this.length) {
    const bytes = bytesOf(String(this).slice(start, end));
    return bytes && host.encode(bytes, LATIN1);
  },
  toUTF8(start = 0, end = this.length) {
    return host.encode(host.decode(String(this).slice(start, end), 0), LATIN1);
  },
  toBytes(start = 0, end = this.length) {
    const bytes = bytesOf(String(this).slice(start, end));
    return bytes && host.encode(bytes, LATIN1);
  },
};

function bytesFrom(source, encoding) {
  if (typeof source === 'string') return host.encode(host.decode(source, encodingOf(encoding)), LATIN1);
  if (source && typeof source === 'object') return host.encode(Uint8Array.from(source), LATIN1);
  throw new TypeError('value is not a string or array');
}

for (const [name, value] of Object.entries(methods)) Object.defineProperty(String.prototype, name, { value, writable: true, configurable: true });
Object.defineProperty(String, 'bytesFrom', { value: bytesFrom, writable: true, configurable: true });

exports.remove = () => {
  for (const name of Object.keys(methods)) delete String.prototype[name];
  delete String.bytesFrom;
};
