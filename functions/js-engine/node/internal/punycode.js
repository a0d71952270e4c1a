// Host names in other scripts → ASCII (RFC 3492; names are lower-cased and composed, no further mapping).
const BASE = 36, TMIN = 1, TMAX = 26, SKEW = 38, DAMP = 700;

function adapt(delta, count, first) {
  delta = first ? Math.floor(delta / DAMP) : delta >> 1;
  delta += Math.floor(delta / count);
  let k = 0;
  for (; delta > ((BASE - TMIN) * TMAX) >> 1; k += BASE) delta = Math.floor(delta / (BASE - TMIN));
  return k + Math.floor(((BASE - TMIN + 1) * delta) / (delta + SKEW));
}

const digit = (n) => String.fromCharCode(n < 26 ? n + 97 : n + 22);

function encode(label) {
  const points = Array.from(label, (c) => c.codePointAt(0));
  let out = points.filter((p) => p < 128).map((p) => String.fromCharCode(p)).join('');
  const basic = out.length;
  let done = basic, n = 128, delta = 0, bias = 72;
  if (basic) out += '-';
  while (done < points.length) {
    const next = Math.min(...points.filter((p) => p >= n));
    delta += (next - n) * (done + 1);
    n = next;
    for (const p of points) {
      if (p < n) delta++;
      if (p !== n) continue;
      let q = delta;
      for (let k = BASE; ; k += BASE) {
        const t = k <= bias ? TMIN : k >= bias + TMAX ? TMAX : k - bias;
        if (q < t) break;
        out += digit(t + ((q - t) % (BASE - t)));
        q = Math.floor((q - t) / (BASE - t));
      }
      out += digit(q);
      bias = adapt(delta, done + 1, done === basic);
      delta = 0;
      done++;
    }
    delta++;
    n++;
  }
  return `xn--${out}`;
}

function decode(text) {
  const points = [];
  const basic = text.lastIndexOf('-');
  for (let at = 0; at < basic; at++) points.push(text.charCodeAt(at));
  let n = 128, i = 0, bias = 72;
  for (let at = basic + 1; at < text.length; ) {
    const before = i;
    for (let weight = 1, k = BASE; ; k += BASE) {
      const code = text.charCodeAt(at++);
      const value = code >= 97 && code < 123 ? code - 97 : code >= 48 && code < 58 ? code - 22 : BASE;
      if (value >= BASE) throw new RangeError('Invalid input');
      i += value * weight;
      const t = k <= bias ? TMIN : k >= bias + TMAX ? TMAX : k - bias;
      if (value < t) break;
      weight *= BASE - t;
    }
    const count = points.length + 1;
    bias = adapt(i - before, count, before === 0);
    n += Math.floor(i / count);
    i %= count;
    points.splice(i++, 0, n);
  }
  return String.fromCodePoint(...points);
}

exports.encode = encode;
exports.decode = decode;
exports.toASCII = (name) => name.normalize('NFKC').toLowerCase().split(/[.\u3002]/).map((l) => (/[^\x00-\x7f]/.test(l) ? encode(l) : l)).join('.');
