// @aws-sdk/util-dynamodb: JavaScript values as DynamoDB's attribute values, and back.
const UNDEFINED = 'Pass options.removeUndefinedValues=true to remove undefined values from map/array/set.';
const BINARY = new Set(['ArrayBuffer', 'Blob', 'Buffer', 'DataView', 'File', 'Int8Array', 'Uint8Array', 'Uint8ClampedArray', 'Int16Array', 'Uint16Array', 'Int32Array',
  'Uint32Array', 'Float32Array', 'Float64Array', 'BigInt64Array', 'BigUint64Array']);

// A number as the text that DynamoDB keeps: 38 digits, where a JavaScript number has 15.
class NumberValue {
  constructor(value) {
    this.value = String(value !== null && typeof value === 'object' && 'N' in value ? value.N : value);
    const own = value.valueOf();
    if (typeof own === 'number' && !(Math.abs(own) <= Number.MAX_SAFE_INTEGER)) {
      throw new Error(`NumberValue should not be initialized with an imprecise number=${own}. Use a string instead.`);
    }
  }
  static from(value) {
    return new NumberValue(value);
  }
  toAttributeValue() {
    return { N: this.toString() };
  }
  toBigInt() {
    return BigInt(this.toString());
  }
  toString() {
    return String(this.value);
  }
  valueOf() {
    return this.toString();
  }
}

// By the constructor's name: a value may come from a class of the same name in the bundle.
const kindOf = (value) => value?.constructor?.name;
const binary = (value) => BINARY.has(kindOf(value));
const kept = (value, options) => typeof value !== 'function' && (value !== undefined || !options?.removeUndefinedValues);

function number(value, options) {
  const text = value.toString();
  const own = Number(value);
  if (!Number.isFinite(own)) throw new Error(`Special numeric value ${text} is not allowed`);
  if (!options?.allowImpreciseNumbers && !Number.isSafeInteger(Math.trunc(own))) {
    const [side, bound] = own > 0 ? ['greater', 'MAX'] : ['lesser', 'MIN'];
    throw new Error(`Number ${text} is ${side} than Number.${bound}_SAFE_INTEGER. Use NumberValue from @aws-sdk/lib-dynamodb.`);
  }
  return { N: text };
}

function set(values, options) {
  const list = [...values].filter((one) => one !== undefined || !options?.removeUndefinedValues);
  if (list.includes(undefined)) throw new Error(UNDEFINED);
  if (!list.length) {
    if (options?.convertEmptyValues) return { NULL: true };
    throw new Error('Pass a non-empty set, or options.convertEmptyValues=true.');
  }
  const [first] = list;
  if (first instanceof NumberValue || typeof first === 'bigint') return { NS: list.map(String) };
  if (typeof first === 'number') return { NS: list.map((one) => number(one, options).N) };
  if (typeof first === 'string') return { SS: list.map(String) };
  if (binary(first)) return { BS: list };
  throw new Error('Only Number Set (NS), Binary Set (BS) or String Set (SS) are allowed.');
}

function members(entries, options) {
  const M = {};
  for (const [key, value] of entries) if (kept(value, options)) M[key] = convertToAttr(value, options);
  return { M };
}

// Inherited properties are an item's too.
function* properties(object) {
  for (const key in object) yield [key, object[key]];
}

function convertToAttr(data, options) {
  if (data === undefined) throw new Error(UNDEFINED);
  if (data === null) return { NULL: true };
  const kind = kindOf(data);
  if (Array.isArray(data)) return { L: data.filter((one) => kept(one, options)).map((one) => convertToAttr(one, options)) };
  if (kind === 'Set') return set(data, options);
  if (kind === 'Map') return members(data, options);
  if (kind === 'Object' || (!data.constructor && typeof data === 'object')) return members(properties(data), options);
  if (BINARY.has(kind)) return data.length === 0 && options?.convertEmptyValues ? { NULL: true } : { B: data };
  if (typeof data === 'boolean' || kind === 'Boolean') return { BOOL: data.valueOf() };
  if (typeof data === 'number' || kind === 'Number') return number(data, options);
  if (data instanceof NumberValue) return data.toAttributeValue();
  if (typeof data === 'bigint') return { N: data.toString() };
  if (typeof data === 'string' || kind === 'String') return data.length === 0 && options?.convertEmptyValues ? { NULL: true } : { S: data.toString() };
  if (options?.convertClassInstanceToMap && typeof data === 'object') return members(properties(data), options);
  throw new Error(`Unsupported type passed: ${String(data)}. Pass options.convertClassInstanceToMap=true to marshall typeof object as map attribute.`);
}

function nativeNumber(text, options) {
  if (typeof options?.wrapNumbers === 'function') return options.wrapNumbers(text);
  if (options?.wrapNumbers) return NumberValue.from(text);
  const own = Number(text);
  if (!Number.isFinite(own) || (own <= Number.MAX_SAFE_INTEGER && own >= Number.MIN_SAFE_INTEGER)) return own;
  try {
    return BigInt(text);
  } catch {
    throw new Error(`${text} can't be converted to BigInt. Set options.wrapNumbers to get string value.`);
  }
}

const NATIVE = {
  NULL: () => null,
  BOOL: (value) => Boolean(value),
  N: nativeNumber,
  B: (value) => value,
  S: (value) => value,
  L: (value, options) => value.map((one) => convertToNative(one, options)),
  M: (value, options) => {
    const out = {};
    for (const key of Object.keys(value)) out[key] = convertToNative(value[key], options);
    return out;
  },
  NS: (value, options) => new Set(value.map((one) => nativeNumber(one, options))),
  BS: (value) => new Set(value),
  SS: (value) => new Set(value),
};

function convertToNative(data, options) {
  for (const key of Object.keys(data)) {
    if (data[key] === undefined) continue;
    if (!Object.hasOwn(NATIVE, key)) throw new Error(`Unsupported type passed: ${key}`);
    return NATIVE[key](data[key], options);
  }
  throw new Error(`No value defined: ${JSON.stringify(data)}`);
}

// Of an object or a list what is within, unless options.convertTopLevelContainer is set.
function marshall(data, options) {
  const value = convertToAttr(data, options);
  return (!options?.convertTopLevelContainer && (value.M ?? value.L)) || value;
}

function unmarshall(data, options) {
  return convertToNative(options?.convertWithoutMapWrapper ? data : { M: data }, options);
}

module.exports = { NumberValueImpl: NumberValue, convertToAttr, convertToNative, marshall, unmarshall };
