// A CloudFront function for viewer-response: runs before the viewer is answered.
function handler(event) {
  var response = event.response;

  response.headers['strict-transport-security'] = { value: 'max-age=63072000' };
  response.headers['x-content-type-options'] = { value: 'nosniff' };
  delete response.headers.server;

  console.log('answered ' + event.request.uri + ' with ' + response.statusCode);
  return response;
}
