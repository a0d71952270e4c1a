// Deep equality as `assert` has it. strict: Object.is and same prototypes; otherwise ==.
function same(a, b, strict) {
  return strict ? Object.is(a, b) : a == b || (a !== a && b !== b);
}

function keysOf(value) {
  return [...Object.keys(value), ...Object.getOwnPropertySymbols(value).filter((s) => Object.prototype.propertyIsEnumerable.call(value, s))];
}

function equal(a, b, strict, seen) {
  if (same(a, b, strict)) return true;
  if (a === null || b === null || typeof a !== 'object' || typeof b !== 'object') return false;
  if (strict && Object.getPrototypeOf(a) !== Object.getPrototypeOf(b)) return false;
  if (Array.isArray(a) !== Array.isArray(b) || Object.prototype.toString.call(a) !== Object.prototype.toString.call(b)) return false;
  if (seen.get(a) === b) return true;
  seen.set(a, b);
  if (a instanceof Date && +a !== +b) return false;
  if (a instanceof RegExp && String(a) !== String(b)) return false;
  if (a instanceof Error && (a.message !== b.message || a.name !== b.name)) return false;
  for (const Type of [Number, String, Boolean]) if (a instanceof Type && !Object.is(a.valueOf(), b.valueOf())) return false;
  if (ArrayBuffer.isView(a)) {
    if (a.byteLength !== b.byteLength) return false;
    const x = new Uint8Array(a.buffer, a.byteOffset, a.byteLength), y = new Uint8Array(b.buffer, b.byteOffset, b.byteLength);
    return x.every((v, i) => v === y[i]);
  }
  if (a instanceof Set) return a.size === b.size && [...a].every((v) => b.has(v) || [...b].some((w) => equal(v, w, strict, seen)));
  if (a instanceof Map) {
    if (a.size !== b.size) return false;
    for (const [k, v] of a) {
      const key = b.has(k) ? k : [...b.keys()].find((other) => equal(k, other, strict, seen));
      if (!b.has(key) || !equal(v, b.get(key), strict, seen)) return false;
    }
    return true;
  }
  if (Array.isArray(a) && a.length !== b.length) return false;
  const own = keysOf(a);
  return own.length === keysOf(b).length && own.every((key) => Object.prototype.propertyIsEnumerable.call(b, key) && equal(a[key], b[key], strict, seen));
}

module.exports = (a, b, strict) => equal(a, b, strict, new Map());
