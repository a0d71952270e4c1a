// Keeps what the other function could not do: the record that Lambda sends to a failure destination.
import { dynamodb } from "../../dynamodb.mjs";

export async function handler(record) {
  const Item = {
    id: { S: record.requestContext.requestId },
    why: { S: JSON.stringify(record.responsePayload ?? record.requestContext.condition) },
    event: { S: JSON.stringify(record.requestPayload) },
  };
  await dynamodb("PutItem", { TableName: "parked", Item });
}
