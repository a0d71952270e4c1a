// util.format and util.inspect, as Node prints ordinary values.
const KEY = /^[A-Za-z_$][\w$]*$/;
const CUSTOM = Symbol.for('nodejs.util.inspect.custom');
const WIDTH = 80;

function quote(text) {
  const mark = !text.includes("'") ? "'" : !text.includes('"') ? '"' : !text.includes('`') ? '`' : "'";
  const safe = text.replace(/[\\\x00-\x1f\x7f]/g, (c) => ({ '\\': '\\\\', '\n': '\\n', '\t': '\\t', '\r': '\\r', '\b': '\\b', '\f': '\\f', '\v': '\\v' })[c] ?? `\\x${c.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`);
  return mark + (mark === "'" ? safe.replaceAll("'", "\\'") : safe) + mark;
}

function number(n) {
  return Object.is(n, -0) ? '-0' : String(n);
}

function primitive(value, top) {
  switch (typeof value) {
    case 'string': return top ? value : quote(value);
    case 'number': return number(value);
    case 'bigint': return `${value}n`;
    case 'symbol': return value.toString();
    default: return String(value);
  }
}

function className(value) {
  for (let proto = Object.getPrototypeOf(value); proto; proto = Object.getPrototypeOf(proto)) {
    if (Object.hasOwn(proto, 'constructor') && typeof proto.constructor === 'function' && proto.constructor.name) return proto.constructor.name;
  }
  return null;
}

function tag(name, fallback, size) {
  if (name === null) return `[${fallback}${size === undefined ? '' : `(${size})`}: null prototype] `;
  return name === fallback && fallback !== 'Map' && fallback !== 'Set' ? '' : `${name}${size === undefined ? '' : `(${size})`} `;
}

function indentRest(text, by) {
  return text.replaceAll('\n', `\n${' '.repeat(by)}`);
}

// `depth`: of the value whose members these are. Node puts them on one line when they are short and not nested too deep.
function wrap(prefix, items, open, close, ctx, depth, isList) {
  if (!items.length) return `${prefix}${open}${close}`;
  const grouped = isList && items.length > 6 ? columns(items, depth) : items;
  if (grouped === items && ctx.deepest - depth < 3) {
    const total = items.reduce((n, item) => n + item.length + 2, depth * 2 + prefix.length + 11);
    if (total <= WIDTH && !items.some((item) => item.includes('\n'))) return `${prefix}${open} ${items.join(', ')} ${close}`;
  }
  return `${prefix}${open}\n  ${grouped.map((item) => indentRest(item, 2)).join(',\n  ')}\n${close}`;
}

// Node puts many short items of a list into columns.
function columns(all, depth) {
  const more = all.at(-1).startsWith('... ') ? 1 : 0;
  const items = more ? all.slice(0, -1) : all;
  const lengths = items.map((item) => item.length + 2);
  const total = lengths.reduce((a, b) => a + b, 0), longest = Math.max(...lengths);
  if (longest * 3 + depth * 2 >= WIDTH || !(total / longest > 5 || longest <= 8)) return all;
  const width = Math.max(longest - 3 - Math.sqrt(longest - total / all.length), 1);
  const count = Math.min(Math.round(Math.sqrt(2.5 * width * items.length) / width), Math.floor((WIDTH - depth * 2) / longest), 12, 15);
  if (count <= 1) return all;
  const widths = [];
  for (let i = 0; i < count; i++) widths.push(Math.max(...lengths.filter((_, j) => j % count === i)));
  const numeric = items.every((item) => /^-?[\d.]+n?$/.test(item));
  const rows = [];
  for (let i = 0; i < items.length; i += count) {
    const row = items.slice(i, i + count);
    rows.push(row.map((item, j) => {
      const last = j === row.length - 1;
      if (numeric) return `${item}${last ? '' : ', '}`.padStart(widths[j] - (last ? 2 : 0));
      return last ? item : `${item}, `.padEnd(widths[j]);
    }).join(''));
  }
  return more ? [...rows, all.at(-1)] : rows;
}

function key(name) {
  if (typeof name === 'symbol') return `[${name.toString()}]`;
  return KEY.test(name) ? name : quote(name);
}

function property(object, name, ctx, depth) {
  const d = Object.getOwnPropertyDescriptor(object, name);
  if (!d) return 'undefined';
  if (d.get) return d.set ? '[Getter/Setter]' : '[Getter]';
  if (d.set) return '[Setter]';
  return show(d.value, ctx, depth + 1);
}

function members(object, ctx, depth, skip) {
  const names = [...Object.keys(object).filter((k) => !skip?.(k)), ...Object.getOwnPropertySymbols(object).filter((s) => Object.prototype.propertyIsEnumerable.call(object, s))];
  return names.map((name) => `${key(name)}: ${property(object, name, ctx, depth)}`);
}

function functionBase(f) {
  const source = Function.prototype.toString.call(f);
  const kind = source.startsWith('class') ? 'class' : { AsyncFunction: 'AsyncFunction', GeneratorFunction: 'GeneratorFunction', AsyncGeneratorFunction: 'AsyncGeneratorFunction' }[className(f)] ?? 'Function';
  if (kind === 'class') {
    const parent = Object.getPrototypeOf(f);
    return `[class ${f.name || '(anonymous)'}${parent?.name ? ` extends ${parent.name}` : ''}]`;
  }
  return f.name ? `[${kind}: ${f.name}]` : `[${kind} (anonymous)]`;
}

function errorBase(e, ctx) {
  const head = `${e.name}${e.message ? `: ${e.message}` : ''}`;
  const stack = String(e.stack ?? '').replace(/\n+$/, '');
  if (!stack) return `[${head}]`;
  return stack.startsWith(head) ? stack : `${head}\n${stack}`;
}

function listItems(array, ctx, depth) {
  const out = [];
  let holes = 0;
  const hole = () => {
    if (holes) out.push(`<${holes} empty item${holes > 1 ? 's' : ''}>`);
    holes = 0;
  };
  for (let i = 0; i < array.length; i++) {
    if (out.length >= ctx.maxArrayLength) {
      out.push(`... ${array.length - i} more item${array.length - i > 1 ? 's' : ''}`);
      return out;
    }
    if (!(i in array)) {
      holes++;
      continue;
    }
    hole();
    out.push(show(array[i], ctx, depth + 1));
  }
  hole();
  return out;
}

const isIndex = (k) => /^(0|[1-9]\d*)$/.test(k);

function object(value, ctx, depth) {
  const name = className(value);
  ctx.deepest = depth;
  if (Array.isArray(value)) {
    const prefix = name === 'Array' ? '' : tag(name, 'Array', value.length);
    return wrap(prefix, [...listItems(value, ctx, depth), ...members(value, ctx, depth, isIndex)], '[', ']', ctx, depth, true);
  }
  if (ArrayBuffer.isView(value) && !(value instanceof DataView)) {
    return wrap(`${name}(${value.length}) `, [...listItems(value, ctx, depth), ...members(value, ctx, depth, isIndex)], '[', ']', ctx, depth, true);
  }
  if (value instanceof Map) return wrap(`${name}(${value.size}) `, [...[...value].map(([k, v]) => `${show(k, ctx, depth + 1)} => ${show(v, ctx, depth + 1)}`), ...members(value, ctx, depth)], '{', '}', ctx, depth);
  if (value instanceof Set) return wrap(`${name}(${value.size}) `, [...[...value].map((v) => show(v, ctx, depth + 1)), ...members(value, ctx, depth)], '{', '}', ctx, depth);
  const own = members(value, ctx, depth, value instanceof Error ? (k) => k === 'stack' || k === 'message' : value instanceof String ? isIndex : undefined);
  const base = simple(value, name, ctx);
  if (base !== null) return own.length ? wrap(`${base} `, own, '{', '}', ctx, depth) : base;
  if (value instanceof Promise) return wrap('Promise ', ['<pending>', ...own], '{', '}', ctx, depth);
  if (value instanceof ArrayBuffer) return wrap('ArrayBuffer ', [`[Uint8Contents]: <${host.encode(new Uint8Array(value), 1).replace(/..(?=.)/g, '$& ')}>`, `byteLength: ${value.byteLength}`], '{', '}', ctx, depth);
  const label = value[Symbol.toStringTag];
  const prefix = `${tag(name, 'Object')}${typeof label === 'string' && label && label !== name ? `[${label}] ` : ''}`;
  return wrap(name === 'Object' && prefix && !label ? '' : label && name === 'Object' ? `Object [${label}] ` : prefix, own, '{', '}', ctx, depth);
}

// Values that are one word unless they carry members of their own.
function simple(value, name, ctx) {
  if (typeof value === 'function') return functionBase(value);
  if (value instanceof Error) return errorBase(value, ctx);
  if (value instanceof Date) return Number.isNaN(+value) ? 'Invalid Date' : value.toISOString();
  if (value instanceof RegExp) return String(value);
  if (value instanceof WeakMap || value instanceof WeakSet) return `${name} { <items unknown> }`;
  for (const [type, check] of [['Number', Number], ['String', String], ['Boolean', Boolean]]) {
    if (value instanceof check) return `[${type}: ${primitive(value.valueOf(), false)}]`;
  }
  return null;
}

function depthEnd(value) {
  const name = className(value);
  if (Array.isArray(value)) return '[Array]';
  return name === null ? '[Object: null prototype]' : `[${name}]`;
}

function show(value, ctx, depth) {
  if (value === null || (typeof value !== 'object' && typeof value !== 'function')) return primitive(value, false);
  const custom = value[CUSTOM];
  if (typeof custom === 'function' && custom !== inspect) {
    const out = custom.call(value, ctx.depth - depth, { ...ctx, stylize: (text) => text }, inspect);
    if (out !== value) return typeof out === 'string' ? out : show(out, ctx, depth);
  }
  if (ctx.seen.includes(value)) return '[Circular *1]';
  if (depth > ctx.depth && simple(value, className(value), ctx) === null) return depthEnd(value);
  ctx.seen.push(value);
  try {
    return object(value, ctx, depth);
  } finally {
    ctx.seen.pop();
  }
}

function inspect(value, options, oldDepth) {
  if (typeof options === 'boolean') options = { showHidden: options, depth: oldDepth };
  const depth = options?.depth === null ? Infinity : options?.depth ?? 2;
  const ctx = { maxArrayLength: options?.maxArrayLength ?? 100, ...options, depth, seen: [] };
  const out = show(value, ctx, 0);
  return out.includes('[Circular *1]') ? `<ref *1> ${out}` : out;
}
inspect.custom = CUSTOM;
inspect.defaultOptions = { depth: 2 };

function placeholder(kind, arg) {
  switch (kind) {
    case 's':
      if (typeof arg === 'bigint') return `${arg}n`;
      if (typeof arg === 'number') return number(arg);
      if (arg !== null && typeof arg === 'object' && (arg instanceof Error || !Object.hasOwn(arg, 'toString')) && arg.toString === Object.prototype.toString) return inspect(arg, { depth: 0 });
      if (arg !== null && typeof arg === 'object' && Array.isArray(arg)) return inspect(arg, { depth: 0 });
      return String(arg);
    case 'd': return typeof arg === 'bigint' ? `${arg}n` : typeof arg === 'symbol' ? 'NaN' : number(Number(arg));
    case 'i': return typeof arg === 'bigint' ? `${arg}n` : typeof arg === 'symbol' ? 'NaN' : number(parseInt(arg));
    case 'f': return typeof arg === 'symbol' ? 'NaN' : number(parseFloat(arg));
    case 'j':
      try {
        return JSON.stringify(arg);
      } catch {
        return '[Circular]';
      }
    case 'o': return inspect(arg, { depth: 4 });
    case 'O': return inspect(arg);
    default: return '';
  }
}

function format(first, ...rest) {
  let at = 0, out = '';
  if (typeof first === 'string') {
    if (!rest.length) return first;
    out = first.replace(/%([sdifjoOc%])/g, (all, kind) => {
      if (kind === '%') return '%';
      return at < rest.length ? placeholder(kind, rest[at++]) : all;
    });
  } else if (arguments.length) out = inspect(first);
  for (; at < rest.length; at++) out += ` ${typeof rest[at] === 'string' ? rest[at] : inspect(rest[at])}`;
  return out;
}

module.exports = { format, inspect };
