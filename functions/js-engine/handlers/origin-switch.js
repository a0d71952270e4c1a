'use strict';
exports.handler = async (event) => {
    const request = event.Records[0].cf.request;
    const country = request.headers['cloudfront-viewer-country'];
    if (country && ['DE', 'FR'].includes(country[0].value)) {
        request.origin = {
            custom: {
                domainName: 'eu.example.net', port: 443, protocol: 'https', path: '', sslProtocols: ['TLSv1.2'],
                readTimeout: 5, keepaliveTimeout: 5, customHeaders: {},
            },
        };
        request.headers.host = [{ key: 'host', value: 'eu.example.net' }];
    }
    return request;
};
