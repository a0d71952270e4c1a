// The todo API: an unmodified Lambda handler for an HTTP API (payload format 2.0).
import { randomBytes } from "node:crypto";
import { dynamodb } from "../../dynamodb.mjs";

const TableName = process.env.TABLE;
const TEXT_MAX = 1000;

// A todo belongs to who asks: the token's subject, or the API key's name as the edge tells it.
function owner(event) {
  const subject = event.requestContext.authorizer?.jwt?.claims?.sub;
  if (subject) return `user#${subject}`;
  return `key#${event.headers["x-key-name"]}`;
}

const tag = (owner) => `todos-${encodeURIComponent(owner)}`;

// What the edge may keep, for this owner alone, until a write purges it.
function kept(owner, status, body) {
  const headers = { "content-type": "application/json", "cache-control": "max-age=60", "surrogate-key": tag(owner) };
  return { statusCode: status, headers, body: JSON.stringify(body) };
}

const said = (status, body, headers = {}) => ({
  statusCode: status,
  headers: { "content-type": "application/json", ...headers },
  body: JSON.stringify(body),
});

// Before a write is acknowledged, what the edge keeps of its owner is gone.
async function purge(owner) {
  const answer = await fetch(process.env.PURGE, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ tag: tag(owner) }),
  });
  if (!answer.ok) throw new Error(`the purge was answered ${answer.status}`);
}

// What the viewer sent, or why it is nothing.
function read(event) {
  try {
    const text = event.isBase64Encoded ? Buffer.from(event.body, "base64").toString() : event.body;
    const sent = JSON.parse(text);
    if (typeof sent.text !== "string" || sent.text === "" || sent.text.length > TEXT_MAX) return { wrong: `text: 1 to ${TEXT_MAX} characters` };
    return { text: sent.text, done: sent.done === true };
  } catch {
    return { wrong: "the body is no JSON" };
  }
}

const shown = (item) => ({ id: item.id.S, text: item.text.S, done: item.done.BOOL });

async function write(who, id, todo, condition) {
  const Item = { owner: { S: who }, id: { S: id }, text: { S: todo.text }, done: { BOOL: todo.done } };
  await dynamodb("PutItem", { TableName, Item, ConditionExpression: condition });
  await purge(who);
  return { id, ...todo };
}

const ROUTES = {
  async "GET /todos"(who, event) {
    const after = event.queryStringParameters?.after ?? " ";
    const found = await dynamodb("Query", {
      TableName,
      KeyConditionExpression: "#o = :o AND id > :after",
      ExpressionAttributeNames: { "#o": "owner" },
      ExpressionAttributeValues: { ":o": { S: who }, ":after": { S: after } },
      Limit: 100,
    });
    return kept(who, 200, { todos: found.Items.map(shown), next: found.LastEvaluatedKey?.id.S });
  },

  async "POST /todos"(who, event) {
    const todo = read(event);
    if (todo.wrong) return said(400, { message: todo.wrong });
    const id = `${Date.now().toString(36)}-${randomBytes(6).toString("hex")}`;
    return said(201, await write(who, id, todo, "attribute_not_exists(id)"), { location: `/todos/${id}` });
  },

  async "GET /todos/{id}"(who, event) {
    const found = await dynamodb("GetItem", { TableName, Key: { owner: { S: who }, id: { S: event.pathParameters.id } } });
    return found.Item ? kept(who, 200, shown(found.Item)) : kept(who, 404, { message: "no such todo" });
  },

  async "PUT /todos/{id}"(who, event) {
    const todo = read(event);
    if (todo.wrong) return said(400, { message: todo.wrong });
    return said(200, await write(who, event.pathParameters.id, todo, "attribute_exists(id)"));
  },

  async "DELETE /todos/{id}"(who, event) {
    await dynamodb("DeleteItem", { TableName, Key: { owner: { S: who }, id: { S: event.pathParameters.id } } });
    await purge(who);
    return { statusCode: 204 };
  },
};

export async function handler(event) {
  try {
    return await ROUTES[event.routeKey](owner(event), event);
  } catch (error) {
    if (error.name === "ConditionalCheckFailedException") return said(404, { message: "no such todo" });
    throw error;
  }
}
