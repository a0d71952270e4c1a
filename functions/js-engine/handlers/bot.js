// Answers bots at once. Calls the callback twice for them: only the first call counts.
const BOTS = /bot|crawler|spider|facebookexternalhit/i;

exports.handler = (event, context, callback) => {
    const { request } = event.Records[0].cf;
    const agent = request.headers['user-agent'];
    if (agent && agent.length && BOTS.test(agent[0].value)) {
        callback(null, { status: '403', statusDescription: 'Forbidden', body: 'no bots' });
    }
    callback(null, request);
};
