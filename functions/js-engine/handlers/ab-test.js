'use strict';

// Splits viewers into two groups by a sticky cookie.
const COOKIE = 'X-Experiment';
const PATHS = { a: '/index.html', b: '/index-b.html' };

exports.handler = (event, context, callback) => {
    const request = event.Records[0].cf.request;
    const headers = request.headers;

    if (request.uri !== '/' && request.uri !== '/index.html') {
        callback(null, request);
        return;
    }

    let group = null;
    if (headers.cookie) {
        for (let i = 0; i < headers.cookie.length; i++) {
            const match = new RegExp(`${COOKIE}=([ab])`).exec(headers.cookie[i].value);
            if (match) {
                group = match[1];
                break;
            }
        }
    }
    if (!group) {
        group = Math.random() < 0.75 ? 'a' : 'b';
    }
    request.uri = PATHS[group];
    callback(null, request);
};
