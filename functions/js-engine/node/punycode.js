// punycode: Node's old module of this name, which packages bring or name.
const { decode, encode, toASCII } = require('internal/punycode');
const labels = (name, one) => String(name).split('.').map(one).join('.');

module.exports = {
  toASCII: (name) => labels(name, (label) => (/[^\x00-\x7f]/.test(label) ? toASCII(label) : label)),
  toUnicode: (name) => labels(name, (label) => (label.startsWith('xn--') ? decode(label.slice(4).toLowerCase()) : label)),
  encode: (label) => encode(label).slice(4),
  decode,
  ucs2: { decode: (text) => Array.from(text, (c) => c.codePointAt(0)), encode: (points) => String.fromCodePoint(...points) },
  version: '2.1.0',
};
