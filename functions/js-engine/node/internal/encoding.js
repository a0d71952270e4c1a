// TextEncoder and TextDecoder: utf-8, utf-16le and latin1.
const LABELS = { 'utf-8': 0, utf8: 0, 'unicode-1-1-utf-8': 0, latin1: 4, 'iso-8859-1': 4, 'windows-1252': 4, ascii: 4, 'us-ascii': 4, 'utf-16le': 6, 'utf-16': 6 };
const NAMES = { 0: 'utf-8', 4: 'windows-1252', 6: 'utf-16le' };

class TextEncoder {
  get encoding() {
    return 'utf-8';
  }
  encode(text = '') {
    return host.decode(String(text), 0);
  }
  encodeInto(text, target) {
    let read = 0, written = 0;
    for (const char of String(text)) {
      const bytes = host.decode(char, 0);
      if (written + bytes.length > target.length) break;
      target.set(bytes, written);
      written += bytes.length;
      read += char.length;
    }
    return { read, written };
  }
}

function bytesOf(input) {
  if (input === undefined) return new Uint8Array(0);
  if (ArrayBuffer.isView(input)) return new Uint8Array(input.buffer, input.byteOffset, input.byteLength);
  return new Uint8Array(input);
}

// Bytes at the end that begin a character which is not there yet.
function unfinished(bytes) {
  for (let back = 1; back <= Math.min(3, bytes.length); back++) {
    const c = bytes[bytes.length - back];
    if (c < 0x80) return 0;
    if (c >= 0xc0) return back < (c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2) ? back : 0;
  }
  return 0;
}

class TextDecoder {
  #encoding;
  #rest = new Uint8Array(0);
  #begun = false;
  constructor(label = 'utf-8', options = {}) {
    this.#encoding = LABELS[String(label).trim().toLowerCase()];
    if (this.#encoding === undefined) throw Object.assign(new RangeError(`The "${label}" encoding is not supported`), { code: 'ERR_ENCODING_NOT_SUPPORTED' });
    this.fatal = !!options.fatal;
    this.ignoreBOM = !!options.ignoreBOM;
  }
  get encoding() {
    return NAMES[this.#encoding];
  }
  decode(input, { stream = false } = {}) {
    let bytes = bytesOf(input);
    if (this.#rest.length) {
      const joined = new Uint8Array(this.#rest.length + bytes.length);
      joined.set(this.#rest);
      joined.set(bytes, this.#rest.length);
      bytes = joined;
    }
    const keep = !stream ? 0 : this.#encoding === 0 ? unfinished(bytes) : this.#encoding === 6 ? bytes.length % 2 : 0;
    this.#rest = bytes.slice(bytes.length - keep);
    const whole = bytes.subarray(0, bytes.length - keep);
    if (this.fatal && this.#encoding === 0 && !host.isUtf8(whole)) {
      const e = new TypeError('The encoded data was not valid for encoding utf-8');
      e.code = 'ERR_ENCODING_INVALID_ENCODED_DATA';
      throw e;
    }
    let text = host.encode(whole, this.#encoding);
    if (!this.ignoreBOM && !this.#begun && this.#encoding !== 4 && text.charCodeAt(0) === 0xfeff) text = text.slice(1);
    this.#begun = stream;
    return text;
  }
}

module.exports = { TextEncoder, TextDecoder };
