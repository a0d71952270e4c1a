'use strict';
const SET = {
    'Strict-Transport-Security': 'max-age=63072000; includeSubdomains; preload',
    'X-Content-Type-Options': 'nosniff',
    'X-Frame-Options': 'DENY',
};

exports.handler = async (event) => {
    const { response } = event.Records[0].cf;
    for (const [key, value] of Object.entries(SET)) {
        response.headers[key.toLowerCase()] = [{ key, value }];
    }
    delete response.headers['x-powered-by'];
    return response;
};
