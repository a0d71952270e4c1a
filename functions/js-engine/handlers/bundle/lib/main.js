const fs = require('node:fs');
const path = require('path');
const { parse } = require('cookie-lite');
const acme = require('@acme/rules/strict');
const rules = require('#rules');
const template = fs.readFileSync(path.join(__dirname, 'page.html'), 'utf8');

exports.handler = async (event) => {
  const { request } = event.Records[0].cf;
  if (acme.blocked(request.uri, rules)) return { status: '451', body: template.replace('{uri}', request.uri) };
  const { lang = 'en' } = parse(request.headers.cookie?.[0]?.value ?? '');
  const late = require('./late');
  const { default: esm } = await import('./esm.mjs');
  request.uri = late(esm(lang), request.uri);
  return request;
};
