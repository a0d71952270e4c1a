'use strict';
const started = new Date().getFullYear();

const page = (items) => `<!doctype html>
<title>${items.length} items</title>
<ul>${items.map((item) => `<li>${item.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`)}</li>`).join('')}</ul>
<footer>© ${started}</footer>`;

exports.handler = async (event) => {
    const { request } = event.Records[0].cf;
    const items = new URLSearchParams(request.querystring).getAll('item');
    return {
        status: '200',
        headers: { 'content-type': [{ value: 'text/html; charset=utf-8' }] },
        bodyEncoding: 'base64',
        body: Buffer.from(page(items)).toString('base64'),
    };
};
