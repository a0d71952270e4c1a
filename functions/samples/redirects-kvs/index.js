// Redirects from a list that changes without a deployment: a CloudFront Function as it is deployed to AWS (runtime 2.0).
// Event: viewer-request. Grants: the key-value store that holds the list, from a path to where it went.
import cf from 'cloudfront';

const redirects = cf.kvs();

async function handler(event) {
    const request = event.request;
    try {
        const location = await redirects.get(request.uri);
        return {
            statusCode: 308,
            statusDescription: 'Permanent Redirect',
            headers: { location: { value: location } }
        };
    } catch (error) {
        // Not on the list.
        return request;
    }
}
