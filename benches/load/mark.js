// Mark: the least that a viewer-request function does: reads a field, writes another one.
function handler(event) {
  const request = event.request;
  const agent = request.headers['user-agent'];
  request.headers['x-device'] = { value: agent && agent.value.includes('Mobile') ? 'phone' : 'other' };
  return request;
}
