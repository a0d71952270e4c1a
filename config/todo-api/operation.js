// Picks the table's operation by method and path, as API Gateway's routes do.
import cf from 'cloudfront';

const OF_ITEMS = { GET: 'direct-get', HEAD: 'direct-get', PUT: 'direct-put', DELETE: 'direct-delete' };

function handler(event) {
  const request = event.request;
  const item = request.uri.length > '/direct/todos/'.length;
  const origin = item ? OF_ITEMS[request.method] : { GET: 'direct-list', HEAD: 'direct-list' }[request.method];
  if (!origin) return { statusCode: 404, statusDescription: 'Not Found' };
  cf.selectRequestOriginById(origin);
  return request;
}
