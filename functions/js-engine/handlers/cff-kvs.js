import cf from 'cloudfront';
import crypto from 'crypto';

const store = cf.kvs();

async function handler(event) {
    const request = event.request;
    const first = request.uri.split('/')[1];
    try {
        const rule = await store.get(first, { format: 'json' });
        if (rule.origin) {
            cf.updateRequestOrigin({ domainName: rule.origin });
        }
        request.uri = rule.path + request.uri.slice(first.length + 1);
        request.headers['x-tag'] = { value: crypto.createHash('sha256').update(first).digest('hex').slice(0, 8) };
    } catch (err) {
        console.log(`${first}: ${err.message}`);
        return { statusCode: 404, statusDescription: 'Not Found', headers: { 'x-query': { value: request.rawQueryString() || '-' } } };
    }
    return request;
}
