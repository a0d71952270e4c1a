// Orders: takes what is in stock, and remembers who asked for it, both or neither.
import { dynamodb } from "../../dynamodb.mjs";

const said = (status, body) => ({ statusCode: status, headers: { "content-type": "application/json" }, body: JSON.stringify(body) });

async function order(event) {
  const { sku, amount } = JSON.parse(event.isBase64Encoded ? Buffer.from(event.body, "base64") : event.body);
  if (typeof sku !== "string" || !Number.isInteger(amount) || amount < 1 || amount > 100) return said(400, { message: "sku, and an amount of 1 to 100" });
  const id = event.requestContext.requestId;
  try {
    await dynamodb("TransactWriteItems", {
      TransactItems: [
        {
          Update: {
            TableName: "stock",
            Key: { sku: { S: sku } },
            UpdateExpression: "SET #left = #left - :n",
            ConditionExpression: "#left >= :n",
            ExpressionAttributeNames: { "#left": "left" },
            ExpressionAttributeValues: { ":n": { N: String(amount) } },
          },
        },
        { Put: { TableName: "orders", Item: { id: { S: id }, sku: { S: sku }, amount: { N: String(amount) } } } },
      ],
    });
  } catch (error) {
    if (error.name === "TransactionCanceledException") return said(409, { message: "not in stock" });
    throw error;
  }
  return said(201, { id, sku, amount });
}

async function show(event) {
  const { Item } = await dynamodb("GetItem", { TableName: "orders", Key: { id: { S: event.pathParameters.id } }, ConsistentRead: true });
  return Item ? said(200, { id: Item.id.S, sku: Item.sku.S, amount: Number(Item.amount.N) }) : said(404, { message: "no such order" });
}

export async function handler(event) {
  try {
    return event.routeKey === "POST /orders" ? await order(event) : await show(event);
  } catch (error) {
    if (error instanceof SyntaxError) return said(400, { message: "the body is no JSON" });
    throw error;
  }
}
