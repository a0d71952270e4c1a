// Tickets: a signed URL for those who have paid. An unmodified Lambda handler for an HTTP API (payload format 2.0).
import { createSign } from "node:crypto";
import { dynamodb } from "../../dynamodb.mjs";

const { SITE, KEY_PAIR_ID, PRIVATE_KEY } = process.env;
const TICKET_SECONDS = 300;

const said = (status, body) => ({
  statusCode: status,
  headers: { "content-type": "application/json", "cache-control": "no-store" },
  body: JSON.stringify(body),
});

// CloudFront Developer Guide, "Create a signed URL using a canned policy".
function signed(url, until) {
  const policy = JSON.stringify({ Statement: [{ Resource: url, Condition: { DateLessThan: { "AWS:EpochTime": until } } }] });
  const signature = createSign("RSA-SHA1").update(policy).sign(PRIVATE_KEY, "base64");
  const safe = signature.replace(/[+=/]/g, (letter) => ({ "+": "-", "=": "_", "/": "~" })[letter]);
  return `${url}?Expires=${until}&Signature=${safe}&Key-Pair-Id=${KEY_PAIR_ID}`;
}

export async function handler(event) {
  const viewer = event.requestContext.authorizer.jwt.claims.sub;
  const film = decodeURIComponent(event.pathParameters.film);
  const Key = { viewer: { S: viewer }, film: { S: film } };
  const { Item } = await dynamodb("GetItem", { TableName: "entitlements", Key });
  const now = Math.floor(Date.now() / 1000);
  // The table deletes what has expired later: until then it is there.
  const paid = Item?.until ? Number(Item.until.N) : 0;
  if (paid <= now) return said(402, { message: `${film} is not paid for` });
  const until = Math.min(paid, now + TICKET_SECONDS);
  return said(200, { url: signed(`${SITE}/films/${encodeURIComponent(film)}`, until), until });
}
