// Signature Version 4 of one request (AWS, "Create a signed AWS API request"), with the host's SHA-256 and HMAC.
const { createHash, createHmac } = require('crypto');
const ALGORITHM = 'AWS4-HMAC-SHA256';

const hash = (data) => createHash('sha256').update(data).digest('hex');
const hmac = (key, data, encoding) => createHmac('sha256', key).update(data).digest(encoding);
const escape = (text) => encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
const byCode = (a, b) => (a < b ? -1 : a > b ? 1 : 0);

// The key of one secret, day, region and service: the last one is kept.
let kept = { name: '', key: null };

function keyOf(secret, day, region, service) {
  const name = [secret, day, region, service].join('\n');
  if (kept.name !== name) kept = { name, key: [day, region, service, 'aws4_request'].reduce((key, part) => hmac(key, part), `AWS4${secret}`) };
  return kept.key;
}

function queryOf(query) {
  const pairs = [];
  for (const [name, value] of Object.entries(query ?? {})) for (const one of Array.isArray(value) ? value : [value ?? '']) pairs.push(`${escape(name)}=${escape(one)}`);
  return pairs.sort(byCode).join('&');
}

// Sets the fields of the signature in `request.headers`. now: milliseconds.
function sign(request, { accessKeyId, secretAccessKey, sessionToken }, region, service, now) {
  const date = new Date(now).toISOString().replace(/[-:]|\.\d+/g, '');
  const headers = {};
  for (const [name, value] of Object.entries(request.headers)) if (!/^(authorization|x-amz-(date|content-sha256|security-token))$/i.test(name)) headers[name] = value;
  const body = request.body ?? '';
  Object.assign(headers, { 'x-amz-date': date, 'x-amz-content-sha256': hash(body) });
  if (sessionToken) headers['x-amz-security-token'] = sessionToken;

  const signed = Object.entries(headers).map(([name, value]) => [name.toLowerCase(), String(value).trim().replace(/\s+/g, ' ')])
    .filter(([name]) => name === 'host' || name === 'content-type' || name.startsWith('x-amz-')).sort(([a], [b]) => byCode(a, b));
  const names = signed.map(([name]) => name).join(';');
  const path = request.path.split('/').map(escape).join('/');
  const canonical = [request.method, path, queryOf(request.query), ...signed.map((pair) => pair.join(':')), '', names, headers['x-amz-content-sha256']].join('\n');
  const day = date.slice(0, 8), scope = `${day}/${region}/${service}/aws4_request`;
  const signature = hmac(keyOf(secretAccessKey, day, region, service), [ALGORITHM, date, scope, hash(canonical)].join('\n'), 'hex');
  headers.authorization = `${ALGORITHM} Credential=${accessKeyId}/${scope}, SignedHeaders=${names}, Signature=${signature}`;
  request.headers = headers;
}

module.exports = { sign, queryOf };
