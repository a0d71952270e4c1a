// Asks the PoP's tables, for the functions of the examples: they run where they lie, so this file serves all of them. Without a signature: the
// front listens to this machine alone. On AWS, `DynamoDBClient` of the SDK that the runtime carries takes its place.
export async function dynamodb(operation, request) {
  const answer = await fetch(process.env.AWS_ENDPOINT_URL_DYNAMODB, {
    method: "POST",
    headers: { "content-type": "application/x-amz-json-1.0", "x-amz-target": `DynamoDB_20120810.${operation}` },
    body: JSON.stringify(request),
  });
  const said = await answer.json();
  if (answer.ok) return said;
  throw Object.assign(new Error(said.message ?? said.Message), { name: said.__type.split("#").pop() });
}
