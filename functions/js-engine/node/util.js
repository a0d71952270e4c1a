// util, Node's.
const { format, inspect } = require('internal/inspect');
const { TextEncoder, TextDecoder } = require('internal/encoding');
const CUSTOM = Symbol.for('nodejs.util.promisify.custom');

function promisify(fn) {
  if (typeof fn !== 'function') throw Object.assign(new TypeError('The "original" argument must be of type function'), { code: 'ERR_INVALID_ARG_TYPE' });
  if (fn[CUSTOM]) return fn[CUSTOM];
  const promised = function (...args) {
    return new Promise((resolve, reject) => {
      Reflect.apply(fn, this, [...args, (error, value) => (error ? reject(error) : resolve(value))]);
    });
  };
  Object.setPrototypeOf(promised, Object.getPrototypeOf(fn));
  return Object.defineProperties(promised, Object.getOwnPropertyDescriptors(fn));
}
promisify.custom = CUSTOM;

function callbackify(fn) {
  return function (...args) {
    const done = args.pop();
    Reflect.apply(fn, this, args).then((value) => queueMicrotask(() => done(null, value)), (error) => queueMicrotask(() => done(error ?? new Error('rejected'))));
  };
}

function inherits(child, parent) {
  Object.defineProperty(child, 'super_', { value: parent, writable: true, configurable: true });
  Object.setPrototypeOf(child.prototype, parent.prototype);
}

const warned = new Set();
function deprecate(fn, message) {
  return function (...args) {
    if (!warned.has(message)) {
      warned.add(message);
      console.warn(`DeprecationWarning: ${message}`);
    }
    return new.target ? Reflect.construct(fn, args, new.target) : Reflect.apply(fn, this, args);
  };
}

const tagOf = (value) => Object.prototype.toString.call(value).slice(8, -1);
const object = (value) => value !== null && typeof value === 'object';
const types = {};
for (const Type of [Date, RegExp, Map, Set, WeakMap, WeakSet, Promise, ArrayBuffer, DataView, Uint8Array, Uint16Array, Uint32Array, Int8Array, Int16Array, Int32Array, Float32Array, Float64Array, BigInt64Array, BigUint64Array, Uint8ClampedArray]) {
  types[`is${Type.name}`] = (value) => value instanceof Type;
}
Object.assign(types, {
  isNativeError: (v) => v instanceof Error, isTypedArray: (v) => ArrayBuffer.isView(v) && !(v instanceof DataView), isArrayBufferView: (v) => ArrayBuffer.isView(v),
  isAnyArrayBuffer: (v) => v instanceof ArrayBuffer, isSharedArrayBuffer: (v) => tagOf(v) === 'SharedArrayBuffer', isAsyncFunction: (v) => tagOf(v) === 'AsyncFunction',
  isGeneratorFunction: (v) => /GeneratorFunction$/.test(tagOf(v)), isGeneratorObject: (v) => tagOf(v) === 'Generator', isProxy: () => false, isExternal: () => false,
  isBoxedPrimitive: (v) => [Number, String, Boolean].some((T) => v instanceof T), isNumberObject: (v) => v instanceof Number, isStringObject: (v) => v instanceof String,
  isBooleanObject: (v) => v instanceof Boolean, isSymbolObject: (v) => object(v) && v instanceof Symbol, isModuleNamespaceObject: (v) => tagOf(v) === 'Module', isMapIterator: (v) => tagOf(v) === 'Map Iterator', isSetIterator: (v) => tagOf(v) === 'Set Iterator',
  isArgumentsObject: (v) => tagOf(v) === 'Arguments', isKeyObject: (v) => object(v) && v[Symbol.toStringTag] === 'KeyObject', isCryptoKey: (v) => object(v) && v[Symbol.toStringTag] === 'CryptoKey',
});

function debuglog() {
  return Object.assign(() => {}, { enabled: false });
}

module.exports = {
  format, inspect, promisify, callbackify, inherits, deprecate, types, TextEncoder, TextDecoder, debuglog, debug: debuglog,
  formatWithOptions: (_, ...args) => format(...args), isDeepStrictEqual: (a, b) => require('internal/equal')(a, b, true), stripVTControlCharacters: (text) => text.replace(/\x1b\[[0-9;]*[A-Za-z]/g, ''),
  toUSVString: (text) => String(text).toWellFormed(), aborted: (signal) => new Promise((resolve) => signal.addEventListener('abort', resolve)),
  isArray: Array.isArray, isBoolean: (v) => typeof v === 'boolean', isNull: (v) => v === null, isNullOrUndefined: (v) => v == null, isNumber: (v) => typeof v === 'number',
  isString: (v) => typeof v === 'string', isSymbol: (v) => typeof v === 'symbol', isUndefined: (v) => v === undefined, isRegExp: types.isRegExp, isObject: object, isDate: types.isDate,
  isError: (v) => v instanceof Error, isFunction: (v) => typeof v === 'function', isPrimitive: (v) => !object(v) && typeof v !== 'function',
  get parseArgs() {
    throw new Error("util.parseArgs is not in this engine: a function has no arguments");
  },
  styleText: (_, text) => text, getSystemErrorName: (n) => String(n), _extend: Object.assign,
};
Object.defineProperty(module.exports, 'parseArgs', { enumerable: false });
