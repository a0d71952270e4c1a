var crypto = require('crypto');

function handler(event) {
    var token = event.request.querystring.jwt;
    if (!token) return { statusCode: 401, statusDescription: 'Unauthorized' };
    var parts = token.value.split('.');
    var signature = crypto.createHmac('sha256', 'LzdWGpAToQ1DqYuzHxE6YOqi7G3X2yvNBot9mCXfx5k').update([parts[0], parts[1]].join('.')).digest('base64url');
    if (signature !== parts[2]) return { statusCode: 401, statusDescription: 'Unauthorized' };
    var payload = JSON.parse(String.bytesFrom(parts[1], 'base64url'));
    event.request.headers['x-sub'] = { value: payload.sub };
    delete event.request.querystring.jwt;
    return event.request;
}
