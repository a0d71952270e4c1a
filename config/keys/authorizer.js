// A Lambda authorizer (TOKEN), unmodified: API Gateway Developer Guide, "Use API Gateway Lambda authorizers".
exports.handler = async (event) => {
  if (event.authorizationToken === 'unauthorized') throw new Error('Unauthorized');
  const effect = event.authorizationToken === 'allow' ? 'Allow' : 'Deny';
  return {
    principalId: 'user',
    policyDocument: {
      Version: '2012-10-17',
      Statement: [{ Action: 'execute-api:Invoke', Effect: effect, Resource: event.methodArn }],
    },
    context: { tenant: event.methodArn.split('/').pop() },
  };
};
