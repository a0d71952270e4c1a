'use strict';

// Adds security headers to what the origin sent: a Lambda@Edge function as it is deployed to AWS (Node.js, CommonJS).
// Event: origin-response, so that the headers are cached with the page. Grants: none.

const crypto = require('crypto');

const POLICY = "default-src 'self'; object-src 'none'";

exports.handler = async (event) => {
    const { request, response } = event.Records[0].cf;
    const headers = response.headers;

    set(headers, 'Strict-Transport-Security', 'max-age=63072000; includeSubDomains; preload');
    set(headers, 'X-Content-Type-Options', 'nosniff');
    if (/^text\/html/.test(headers['content-type']?.[0].value ?? '')) {
        set(headers, 'Content-Security-Policy', POLICY);
        set(headers, 'Referrer-Policy', 'strict-origin-when-cross-origin');
    }
    // What stands in for the path in the log of the page's own analytics.
    set(headers, 'X-Page', crypto.createHash('sha256').update(request.uri).digest('hex').slice(0, 12));
    delete headers['x-powered-by'];
    return response;
};

function set(headers, key, value) {
    headers[key.toLowerCase()] = [{ key, value }];
}
