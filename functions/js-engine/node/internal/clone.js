// structuredClone of data: what messages can carry, with cycles.
function refuse(value) {
  return new DOMException(`${typeof value === 'symbol' ? value.toString() : String(value).slice(0, 40)} could not be cloned.`, 'DataCloneError');
}

function clone(value, seen) {
  if (typeof value === 'function' || typeof value === 'symbol') throw refuse(value);
  if (value === null || typeof value !== 'object') return value;
  if (seen.has(value)) return seen.get(value);
  const keep = (copy) => {
    seen.set(value, copy);
    return copy;
  };
  if (Array.isArray(value)) {
    const out = keep(new Array(value.length));
    for (const key of Object.keys(value)) out[key] = clone(value[key], seen);
    return out;
  }
  if (value instanceof Date) return keep(new Date(+value));
  if (value instanceof RegExp) return keep(new RegExp(value.source, value.flags));
  if (value instanceof ArrayBuffer) return keep(value.slice(0));
  if (value instanceof DataView) return keep(new DataView(clone(value.buffer, seen), value.byteOffset, value.byteLength));
  if (ArrayBuffer.isView(value)) {
    const Type = value instanceof Uint8Array ? Uint8Array : value.constructor;
    return keep(new Type(clone(value.buffer, seen), value.byteOffset, value.length));
  }
  if (value instanceof Map) {
    const out = keep(new Map());
    for (const [k, v] of value) out.set(clone(k, seen), clone(v, seen));
    return out;
  }
  if (value instanceof Set) {
    const out = keep(new Set());
    for (const v of value) out.add(clone(v, seen));
    return out;
  }
  if (value instanceof Error) {
    const Type = { EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError }[value.name] ?? Error;
    const out = keep(new Type(value.message));
    Object.defineProperty(out, 'stack', { value: value.stack, writable: true, configurable: true });
    if ('cause' in value) out.cause = clone(value.cause, seen);
    return out;
  }
  for (const Type of [Number, String, Boolean]) if (value instanceof Type) return keep(Object(value.valueOf()));
  if (value instanceof Promise || value instanceof WeakMap || value instanceof WeakSet) throw refuse(value);
  const out = keep({});
  for (const key of Object.keys(value)) out[key] = clone(value[key], seen);
  return out;
}

exports.structuredClone = (value) => clone(value, new Map());
