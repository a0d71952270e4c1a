// StringDecoder: text from bytes that come in pieces.
const { Buffer } = require('buffer');

function held(bytes, encoding) {
  switch (encoding) {
    case 'utf8':
      for (let back = 1; back <= Math.min(3, bytes.length); back++) {
        const c = bytes[bytes.length - back];
        if (c < 0x80) return 0;
        if (c >= 0xc0) return back < (c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2) ? back : 0;
      }
      return 0;
    case 'utf16le': return bytes.length % 2;
    case 'base64': case 'base64url': return bytes.length % 3;
    default: return 0;
  }
}

class StringDecoder {
  #rest = Buffer.alloc(0);
  constructor(encoding = 'utf8') {
    if (!Buffer.isEncoding(encoding)) throw Object.assign(new TypeError(`Unknown encoding: ${encoding}`), { code: 'ERR_UNKNOWN_ENCODING' });
    const name = encoding.toLowerCase();
    this.encoding = { 'utf-8': 'utf8', ucs2: 'utf16le', 'ucs-2': 'utf16le', 'utf-16le': 'utf16le', binary: 'latin1' }[name] ?? name;
  }
  write(chunk) {
    if (typeof chunk === 'string') return chunk;
    const bytes = Buffer.concat([this.#rest, chunk]);
    const keep = held(bytes, this.encoding);
    this.#rest = bytes.subarray(bytes.length - keep);
    return bytes.toString(this.encoding, 0, bytes.length - keep);
  }
  end(chunk) {
    const text = chunk === undefined ? '' : this.write(chunk);
    const rest = this.#rest.toString(this.encoding);
    this.#rest = Buffer.alloc(0);
    return text + rest;
  }
}

module.exports = { StringDecoder };
