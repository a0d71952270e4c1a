// A Lambda@Edge function for viewer-request: runs before the cache is asked.
import type { CloudFrontRequestEvent, CloudFrontRequestResult } from 'aws-lambda';

export const handler = async (event: CloudFrontRequestEvent): Promise<CloudFrontRequestResult> => {
  const request = event.Records[0].cf.request;

  // Answer by itself: nothing further is asked.
  if (request.uri.startsWith('/old/')) {
    return {
      status: '301',
      statusDescription: 'Moved Permanently',
      headers: { location: [{ key: 'Location', value: request.uri.replace('/old/', '/new/') }] },
    };
  }

  // Or go on with a changed request.
  if (request.uri.endsWith('/')) request.uri += 'index.html';
  request.headers['x-function'] = [{ key: 'X-Function', value: 'NAME' }];
  console.log('asks for', request.uri);
  return request;
};
