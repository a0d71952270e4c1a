// A CloudFront function for viewer-request: runs before the cache is asked.
function handler(event) {
  var request = event.request;

  // Answer by itself: nothing further is asked.
  if (request.uri.startsWith('/old/')) {
    return {
      statusCode: 301,
      statusDescription: 'Moved Permanently',
      headers: { location: { value: request.uri.replace('/old/', '/new/') } },
    };
  }

  // Or go on with a changed request.
  if (request.uri.endsWith('/')) request.uri += 'index.html';
  request.headers['x-function'] = { value: 'NAME' };
  console.log('asks for ' + request.uri);
  return request;
}
