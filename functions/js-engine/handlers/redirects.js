const util = require('util');
const url = require('url');
const querystring = require('querystring');

const MAP = new Map([
    ['/old', '/new'],
    ['/docs', 'https://docs.example.com/'],
]);

module.exports.handler = async function (event) {
    const { request } = event.Records[0].cf;
    const target = MAP.get(request.uri.replace(/\/+$/, ''));
    if (!target) {
        const query = querystring.parse(request.querystring);
        delete query.utm_source;
        request.querystring = querystring.stringify(query);
        return request;
    }
    console.log('redirect %s -> %s', request.uri, target);
    const location = url.resolve('https://www.example.com', target);
    return {
        status: '301',
        statusDescription: 'Moved Permanently',
        headers: { location: [{ key: 'Location', value: util.format('%s?from=%s', location, encodeURIComponent(request.uri)) }] },
    };
};
