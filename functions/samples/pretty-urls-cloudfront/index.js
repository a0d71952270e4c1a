// Finds the file behind a pretty URL: a CloudFront Function as it is deployed to AWS (runtime 1.0).
// Event: viewer-request. Grants: none.
function handler(event) {
    var request = event.request;
    var uri = request.uri;

    if (uri.endsWith('/')) {
        request.uri += 'index.html';
    } else if (!uri.split('/').pop().includes('.')) {
        // The page has its slash, so that links in it that are relative work.
        var query = Object.keys(request.querystring).map(function (key) {
            return key + '=' + request.querystring[key].value;
        });
        return {
            statusCode: 301,
            statusDescription: 'Moved Permanently',
            headers: { location: { value: uri + '/' + (query.length ? '?' + query.join('&') : '') } }
        };
    }
    return request;
}
