'use strict';
exports.handler = async (event) => {
    const request = event.Records[0].cf.request;
    if (request.uri.startsWith('/old/')) {
        return { status: '301', headers: { location: [{ key: 'Location', value: request.uri.replace('/old/', '/new/') }] } };
    }
    request.headers['x-path'] = [{ key: 'X-Path', value: request.uri }];
    if (request.uri.endsWith('/')) request.uri += 'index.html';
    return request;
};
