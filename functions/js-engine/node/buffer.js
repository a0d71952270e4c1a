// Buffer: Node's, over the engine's text encodings.
const ENCODINGS = { utf8: 0, 'utf-8': 0, hex: 1, base64: 2, base64url: 3, latin1: 4, binary: 4, ascii: 5, ucs2: 6, 'ucs-2': 6, utf16le: 6, 'utf-16le': 6 };
const NAMES = ['utf8', 'hex', 'base64', 'base64url', 'latin1', 'ascii', 'utf16le'];
const ASCII = 5, LATIN1 = 4, UTF16 = 6;
const kMaxLength = 2 ** 31 - 1;
const CUSTOM = Symbol.for('nodejs.util.inspect.custom');

function encodingOf(name) {
  if (name === undefined || name === null || name === 'utf8') return 0;
  const encoding = ENCODINGS[String(name).toLowerCase()];
  if (encoding === undefined) throw coded(TypeError, 'ERR_UNKNOWN_ENCODING', `Unknown encoding: ${name}`);
  return encoding;
}

function coded(Type, code, message) {
  const e = new Type(message);
  e.code = code;
  return e;
}

function bytesOf(text, encoding) {
  const e = encodingOf(encoding);
  return host.decode(text, e === ASCII ? LATIN1 : e);
}

function wrap(bytes) {
  return Object.setPrototypeOf(bytes, Buffer.prototype);
}

function describe(value) {
  if (value === undefined || value === null) return String(value);
  if (typeof value === 'function') return `function ${value.name}`;
  if (typeof value === 'object') return `an instance of ${value.constructor?.name ?? 'Object'}`;
  return `type ${typeof value} (${typeof value === 'string' ? `'${value}'` : String(value)})`;
}

function checkSize(size) {
  if (typeof size !== 'number') throw coded(TypeError, 'ERR_INVALID_ARG_TYPE', `The "size" argument must be of type number. Received ${describe(size)}`);
  if (!(size >= 0 && size <= kMaxLength)) throw coded(RangeError, 'ERR_OUT_OF_RANGE', `The value of "size" is out of range. It must be >= 0 && <= ${kMaxLength}. Received ${size}`);
}

function from(value, encodingOrOffset, length) {
  if (typeof value === 'string') return wrap(bytesOf(value, encodingOrOffset));
  if (value instanceof ArrayBuffer || (typeof SharedArrayBuffer !== 'undefined' && value instanceof SharedArrayBuffer)) {
    return wrap(new Uint8Array(value, encodingOrOffset, length));
  }
  if (value !== null && typeof value === 'object') {
    const plain = value.valueOf?.();
    if (plain !== undefined && plain !== null && plain !== value) return from(plain, encodingOrOffset, length);
    if (value.type === 'Buffer' && Array.isArray(value.data)) return wrap(Uint8Array.from(value.data));
    if (ArrayBuffer.isView(value) || Array.isArray(value) || typeof value.length === 'number') return wrap(Uint8Array.from(value));
    if (typeof value[Symbol.toPrimitive] === 'function') return from(value[Symbol.toPrimitive]('string'), encodingOrOffset, length);
  }
  throw coded(TypeError, 'ERR_INVALID_ARG_TYPE', `The first argument must be of type string or an instance of Buffer, ArrayBuffer, or Array or an Array-like Object. Received ${describe(value)}`);
}

function Buffer(value, encodingOrOffset, length) {
  if (typeof value === 'number') return Buffer.alloc(value);
  return from(value, encodingOrOffset, length);
}

Object.setPrototypeOf(Buffer, Uint8Array);
Buffer.prototype = Object.create(Uint8Array.prototype, { constructor: { value: Buffer, writable: true, configurable: true } });
Object.defineProperty(Buffer, Symbol.species, { value: Buffer });

Object.assign(Buffer, {
  poolSize: 8192,
  from,
  of: (...bytes) => wrap(Uint8Array.from(bytes)),
  alloc(size, fill, encoding) {
    checkSize(size);
    const b = wrap(new Uint8Array(size));
    return fill !== undefined && fill !== 0 && size > 0 ? b.fill(fill, encoding) : b;
  },
  allocUnsafe(size) {
    checkSize(size);
    return wrap(new Uint8Array(size));
  },
  isBuffer: (b) => b instanceof Buffer,
  isEncoding: (name) => typeof name === 'string' && ENCODINGS[name.toLowerCase()] !== undefined,
  byteLength(value, encoding) {
    if (typeof value !== 'string') return value.byteLength;
    const e = ENCODINGS[String(encoding ?? 'utf8').toLowerCase()] ?? 0;
    if (e === 0) return host.size(value);
    if (e === 4 || e === 5) return value.length;
    if (e === UTF16) return value.length * 2;
    return e === 1 ? value.length >>> 1 : Math.trunc((value.replace(/=+$/, '').length * 3) / 4);
  },
  concat(list, total) {
    const size = total ?? list.reduce((n, b) => n + b.length, 0);
    const out = Buffer.alloc(size);
    let at = 0;
    for (const b of list) {
      if (at >= size) break;
      out.set(at + b.length > size ? b.subarray(0, size - at) : b, at);
      at += b.length;
    }
    return out;
  },
  compare(a, b) {
    const n = Math.min(a.length, b.length);
    for (let i = 0; i < n; i++) if (a[i] !== b[i]) return a[i] < b[i] ? -1 : 1;
    return a.length < b.length ? -1 : a.length > b.length ? 1 : 0;
  },
});
Buffer.allocUnsafeSlow = Buffer.allocUnsafe;

function needle(value, encoding) {
  if (typeof value === 'string') return bytesOf(value, encoding);
  if (typeof value === 'number') return Uint8Array.of(value & 255);
  return value;
}

function search(b, value, offset, encoding, last) {
  if (typeof offset === 'string') [encoding, offset] = [offset, undefined];
  const what = needle(value, encoding), end = b.length - what.length;
  let at = offset === undefined || Number.isNaN(+offset) ? (last ? b.length : 0) : Math.trunc(+offset);
  if (at < 0) at += b.length;
  if (at < 0) {
    if (last) return -1;
    at = 0;
  }
  if (!what.length) return Math.min(at, b.length);
  const same = (i) => {
    for (let j = 0; j < what.length; j++) if (b[i + j] !== what[j]) return false;
    return true;
  };
  if (last) {
    for (let i = Math.min(at, end); i >= 0; i--) if (same(i)) return i;
  } else {
    const native = Uint8Array.prototype.indexOf;
    for (let i = native.call(b, what[0], at); i >= 0 && i <= end; i = native.call(b, what[0], i + 1)) if (same(i)) return i;
  }
  return -1;
}

function outOfRange(name, range, value) {
  return coded(RangeError, 'ERR_OUT_OF_RANGE', `The value of "${name}" is out of range. It must be ${range}. Received ${value}`);
}

function checkOffset(b, offset, size) {
  if (typeof offset !== 'number') throw coded(TypeError, 'ERR_INVALID_ARG_TYPE', `The "offset" argument must be of type number. Received ${describe(offset)}`);
  if (!Number.isInteger(offset)) throw outOfRange('offset', 'an integer', offset);
  if (b.length < size) throw coded(RangeError, 'ERR_BUFFER_OUT_OF_BOUNDS', 'Attempt to access memory outside buffer bounds');
  if (offset < 0 || offset + size > b.length) throw outOfRange('offset', `>= 0 and <= ${b.length - size}`, offset);
}

const methods = {
  toString(encoding, start, end) {
    return host.encode(this, encodingOf(encoding), start === undefined ? 0 : Math.trunc(start) || 0, end === undefined ? this.length : Math.trunc(end) || 0);
  },
  toLocaleString(encoding, start, end) {
    return this.toString(encoding, start, end);
  },
  toJSON() {
    return { type: 'Buffer', data: Array.from(this) };
  },
  equals(other) {
    if (!(other instanceof Uint8Array)) throw coded(TypeError, 'ERR_INVALID_ARG_TYPE', `The "otherBuffer" argument must be an instance of Buffer or Uint8Array. Received ${describe(other)}`);
    return this.length === other.length && Buffer.compare(this, other) === 0;
  },
  compare(other, start = 0, end = other.length, from = 0, to = this.length) {
    return Buffer.compare(this.subarray(from, to), other.subarray(start, end));
  },
  write(text, offset, length, encoding) {
    if (typeof offset === 'string') [encoding, offset, length] = [offset, 0, undefined];
    else if (typeof length === 'string') [encoding, length] = [length, undefined];
    offset ??= 0;
    const room = Math.min(length ?? Infinity, this.length - offset);
    let bytes = bytesOf(text, encoding);
    if (bytes.length > room) {
      bytes = bytes.subarray(0, room);
      // Only whole characters are written.
      if (encodingOf(encoding) === 0) while (bytes.length && !host.isUtf8(bytes)) bytes = bytes.subarray(0, bytes.length - 1);
    }
    this.set(bytes, offset);
    return bytes.length;
  },
  fill(value, offset, end, encoding) {
    if (typeof offset === 'string') [encoding, offset, end] = [offset, undefined, undefined];
    else if (typeof end === 'string') [encoding, end] = [end, undefined];
    const what = typeof value === 'boolean' ? Uint8Array.of(+value) : needle(value ?? 0, encoding);
    const from = offset ?? 0, to = end ?? this.length;
    if (what.length <= 1) Uint8Array.prototype.fill.call(this, what[0] ?? 0, from, to);
    else for (let i = from; i < to; i++) this[i] = what[(i - from) % what.length];
    return this;
  },
  slice(start, end) {
    return this.subarray(start, end);
  },
  copy(target, at = 0, start = 0, end = this.length) {
    const part = this.subarray(start, Math.min(end, start + Math.max(0, target.length - at)));
    target.set(part, at);
    return part.length;
  },
  indexOf(value, offset, encoding) {
    return search(this, value, offset, encoding, false);
  },
  lastIndexOf(value, offset, encoding) {
    return search(this, value, offset, encoding, true);
  },
  includes(value, offset, encoding) {
    return search(this, value, offset, encoding, false) >= 0;
  },
  readUIntBE(offset, size) {
    checkOffset(this, offset, size);
    let n = 0;
    for (let i = 0; i < size; i++) n = n * 256 + this[offset + i];
    return n;
  },
  readUIntLE(offset, size) {
    checkOffset(this, offset, size);
    let n = 0;
    for (let i = size - 1; i >= 0; i--) n = n * 256 + this[offset + i];
    return n;
  },
  readIntBE(offset, size) {
    const n = this.readUIntBE(offset, size);
    return n >= 2 ** (size * 8 - 1) ? n - 2 ** (size * 8) : n;
  },
  readIntLE(offset, size) {
    const n = this.readUIntLE(offset, size);
    return n >= 2 ** (size * 8 - 1) ? n - 2 ** (size * 8) : n;
  },
  writeUIntBE(value, offset, size) {
    checkOffset(this, offset, size);
    for (let i = size - 1; i >= 0; i--, value = Math.floor(value / 256)) this[offset + i] = value % 256;
    return offset + size;
  },
  writeUIntLE(value, offset, size) {
    checkOffset(this, offset, size);
    for (let i = 0; i < size; i++, value = Math.floor(value / 256)) this[offset + i] = value % 256;
    return offset + size;
  },
  writeIntBE(value, offset, size) {
    return this.writeUIntBE(value < 0 ? value + 2 ** (size * 8) : value, offset, size);
  },
  writeIntLE(value, offset, size) {
    return this.writeUIntLE(value < 0 ? value + 2 ** (size * 8) : value, offset, size);
  },
  swap16() {
    for (let i = 0; i < this.length; i += 2) [this[i], this[i + 1]] = [this[i + 1], this[i]];
    return this;
  },
  swap32() {
    for (let i = 0; i < this.length; i += 4) this.subarray(i, i + 4).reverse();
    return this;
  },
  swap64() {
    for (let i = 0; i < this.length; i += 8) this.subarray(i, i + 8).reverse();
    return this;
  },
  [CUSTOM]() {
    const shown = host.encode(this, 1, 0, 50).replace(/..(?=.)/g, '$& ');
    const more = this.length - 50;
    return `<Buffer${shown && ' '}${shown}${more > 0 ? ` ... ${more} more byte${more > 1 ? 's' : ''}` : ''}>`;
  },
};

// readUInt8 … writeDoubleLE, each with Node's lower-case `Uint` twin.
const KINDS = [['UInt8', 1, 'Uint8'], ['Int8', 1, 'Int8'], ['UInt16', 2, 'Uint16'], ['Int16', 2, 'Int16'], ['UInt32', 4, 'Uint32'], ['Int32', 4, 'Int32'],
  ['Float', 4, 'Float32'], ['Double', 8, 'Float64'], ['BigInt64', 8, 'BigInt64'], ['BigUInt64', 8, 'BigUint64']];
const RANGES = { UInt8: [0, 255], Int8: [-128, 127], UInt16: [0, 65535], Int16: [-32768, 32767], UInt32: [0, 4294967295], Int32: [-2147483648, 2147483647] };

function view(b, offset, size) {
  checkOffset(b, offset, size);
  return new DataView(b.buffer, b.byteOffset + offset, size);
}

for (const [name, size, dv] of KINDS) {
  for (const end of size === 1 ? [''] : ['LE', 'BE']) {
    const read = function (offset = 0) {
      return view(this, offset, size)[`get${dv}`](0, end === 'LE');
    };
    const write = function (value, offset = 0) {
      const range = RANGES[name];
      if (range && (value < range[0] || value > range[1])) throw outOfRange('value', `>= ${range[0]} and <= ${range[1]}`, value);
      view(this, offset, size)[`set${dv}`](0, value, end === 'LE');
      return offset + size;
    };
    for (const spelled of new Set([name, name.replace('UInt', 'Uint')])) {
      methods[`read${spelled}${end}`] = read;
      methods[`write${spelled}${end}`] = write;
    }
  }
}
for (const name of ['UIntBE', 'UIntLE']) for (const verb of ['read', 'write']) methods[`${verb}${name.replace('UInt', 'Uint')}`] = methods[`${verb}${name}`];
for (const [name, encoding] of [['utf8', 'utf8'], ['hex', 'hex'], ['base64', 'base64'], ['latin1', 'latin1'], ['ascii', 'ascii'], ['ucs2', 'utf16le']]) {
  methods[`${name}Slice`] = function (start, end) {
    return this.toString(encoding, start, end);
  };
  methods[`${name}Write`] = function (text, offset, length) {
    return this.write(text, offset, length, encoding);
  };
}
for (const [name, value] of Object.entries(methods)) Object.defineProperty(Buffer.prototype, name, { value, writable: true, configurable: true });
Object.defineProperty(Buffer.prototype, CUSTOM, { value: methods[CUSTOM], writable: true, configurable: true });
Object.defineProperty(Buffer.prototype, 'parent', { get() { return this.buffer; }, configurable: true });
Object.defineProperty(Buffer.prototype, 'offset', { get() { return this.byteOffset; }, configurable: true });

class Blob {
  #bytes;
  constructor(parts = [], options = {}) {
    this.#bytes = Buffer.concat(parts.map((p) => (p instanceof Blob ? p.#bytes : typeof p === 'string' ? Buffer.from(p) : Buffer.from(p.buffer ? Uint8Array.from(p) : new Uint8Array(p)))));
    this.type = String(options.type ?? '').toLowerCase();
  }
  get size() {
    return this.#bytes.length;
  }
  async text() {
    return this.#bytes.toString();
  }
  async arrayBuffer() {
    return Uint8Array.from(this.#bytes).buffer;
  }
  slice(start, end, type) {
    return new Blob([this.#bytes.subarray(start, end)], { type });
  }
}

module.exports = {
  Buffer, Blob, kMaxLength, kStringMaxLength: 2 ** 29 - 24, INSPECT_MAX_BYTES: 50, SlowBuffer: Buffer, constants: { MAX_LENGTH: kMaxLength, MAX_STRING_LENGTH: 2 ** 29 - 24 },
  atob: (text) => atob(text), btoa: (text) => btoa(text), isUtf8: (b) => host.isUtf8(b), isAscii: (b) => b.every((c) => c < 128),
  transcode: (b, source, target) => Buffer.from(b.toString(source), target), encodingNames: NAMES,
};
delete module.exports.encodingNames;
