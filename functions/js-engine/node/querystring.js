// querystring, Node's.
const HEX = /^[0-9a-fA-F]{2}$/;

function unescapeBuffer(text) {
  const { Buffer } = require('buffer');
  const source = Buffer.from(String(text)), out = [];
  for (let i = 0; i < source.length; i++) {
    const two = source.latin1Slice(i + 1, i + 3);
    if (source[i] === 37 && HEX.test(two)) {
      out.push(parseInt(two, 16));
      i += 2;
    } else out.push(source[i]);
  }
  return Buffer.from(out);
}

function unescape(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return unescapeBuffer(text).toString();
  }
}

function escape(text) {
  if (typeof text !== 'string') text = typeof text === 'object' ? String(text) : `${text}`;
  return encodeURIComponent(text);
}

function primitive(value) {
  if (typeof value === 'string') return value;
  if (typeof value === 'number' && Number.isFinite(value)) return `${value}`;
  if (typeof value === 'bigint' || typeof value === 'boolean') return `${value}`;
  return '';
}

function stringify(object, separator = '&', equals = '=', options) {
  separator ||= '&';
  equals ||= '=';
  if (object === null || typeof object !== 'object') return '';
  const encode = options?.encodeURIComponent ?? module.exports.escape;
  const out = [];
  for (const key of Object.keys(object)) {
    const name = encode(primitive(key)) + equals;
    for (const value of Array.isArray(object[key]) ? object[key] : [object[key]]) out.push(name + encode(primitive(value)));
  }
  return out.join(separator);
}

function decoded(text, decode) {
  text = text.replaceAll('+', ' ');
  if (!text.includes('%')) return text;
  try {
    return decode(text);
  } catch {
    return unescape(text);
  }
}

function parse(text, separator = '&', equals = '=', options) {
  const out = Object.create(null);
  if (typeof text !== 'string' || !text.length) return out;
  separator ||= '&';
  equals ||= '=';
  const max = options?.maxKeys ?? 1000;
  const decode = options?.decodeURIComponent ?? module.exports.unescape;
  let parts = text.split(separator);
  if (max > 0 && parts.length > max) parts = parts.slice(0, max);
  for (const part of parts) {
    if (!part) continue;
    const at = part.indexOf(equals);
    const key = decoded(at < 0 ? part : part.slice(0, at), decode);
    const value = at < 0 ? '' : decoded(part.slice(at + equals.length), decode);
    if (!(key in out)) out[key] = value;
    else if (Array.isArray(out[key])) out[key].push(value);
    else out[key] = [out[key], value];
  }
  return out;
}

module.exports = { parse, stringify, escape, unescape, unescapeBuffer, decode: parse, encode: stringify };
