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

// Byte strings that were made, so that `crypto` can tell them from text: while the function was loaded, and in this call.
const early = new Set(), late = new Set();

function made(bytes) {
  const text = host.encode(bytes, LATIN1);
  if (bytes.some((byte) => byte > 127)) late.add(text);
  return text;
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
    return made(host.decode(String(this).slice(start, end), 0));
  },
  toBytes(start = 0, end = this.length) {
    const bytes = bytesOf(String(this).slice(start, end));
    return bytes && made(bytes);
  },
};

function bytesFrom(source, encoding) {
  if (typeof source === 'string') return made(host.decode(source, encodingOf(encoding)));
  if (source && typeof source === 'object') return made(Uint8Array.from(source));
  throw new TypeError('value is not a string or array');
}

for (const [name, value] of Object.entries(methods)) Object.defineProperty(String.prototype, name, { value, writable: true, configurable: true });
Object.defineProperty(String, 'bytesFrom', { value: bytesFrom, writable: true, configurable: true });

exports.made = made;
// The bytes of a byte string; null of other text.
exports.bytes = (text) => (early.has(text) || late.has(text) ? host.decode(text, LATIN1) : null);
exports.keep = () => late.forEach((text) => early.add(text));
exports.forget = () => late.clear();
exports.remove = () => {
  for (const name of Object.keys(methods)) delete String.prototype[name];
  delete String.bytesFrom;
};
