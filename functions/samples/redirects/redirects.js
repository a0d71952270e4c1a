import cf from 'cloudfront';
// CloudFront Functions 2.0, viewer request: paths that moved are looked up in a key-value store; everything else goes on.
const moved = cf.kvs();

async function handler(event) {
  const request = event.request;
  let to;
  try {
    to = await moved.get(request.uri);
  } catch (_) {
    return request;
  }
  return { statusCode: 301, statusDescription: 'Moved Permanently', headers: { location: { value: to } } };
}
