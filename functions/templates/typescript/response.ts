// A Lambda@Edge function for viewer-response: runs before the viewer is answered.
import type { CloudFrontResponseEvent, CloudFrontResponseResult } from 'aws-lambda';

export const handler = async (event: CloudFrontResponseEvent): Promise<CloudFrontResponseResult> => {
  const { request, response } = event.Records[0].cf;

  const set = (name: string, value: string) => (response.headers[name.toLowerCase()] = [{ key: name, value }]);
  set('Strict-Transport-Security', 'max-age=63072000');
  set('X-Content-Type-Options', 'nosniff');
  delete response.headers.server;

  console.log('answered', request.uri, 'with', response.status);
  return response;
};
