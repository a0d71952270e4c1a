// A Lambda@Edge function for viewer-response: runs before the viewer is answered.
exports.handler = async (event) => {
  const { request, response } = event.Records[0].cf;

  const set = (name, value) => (response.headers[name.toLowerCase()] = [{ key: name, value }]);
  set('Strict-Transport-Security', 'max-age=63072000');
  set('X-Content-Type-Options', 'nosniff');
  delete response.headers.server;

  console.log('answered', request.uri, 'with', response.status);
  return response;
};
