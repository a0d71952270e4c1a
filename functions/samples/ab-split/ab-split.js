'use strict';
// Lambda@Edge, viewer request: half of the viewers see /b/…, and each keeps what it got. The variant is part of the path, so the
// cache keeps both apart; the cookie is set by the page (or by a viewer-response function).
const VARIANTS = ['a', 'b'];

exports.handler = async (event) => {
  const request = event.Records[0].cf.request;
  const cookies = (request.headers.cookie || []).map((line) => line.value).join('; ');
  const found = /(?:^|;\s*)variant=([ab])(?:;|$)/.exec(cookies);
  const variant = found ? found[1] : VARIANTS[Math.floor(Math.random() * VARIANTS.length)];
  request.headers['x-variant'] = [{ key: 'X-Variant', value: variant }];
  if (variant !== 'a') request.uri = `/${variant}${request.uri}`;
  return request;
};
