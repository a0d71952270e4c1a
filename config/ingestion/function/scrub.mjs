// One POST is one batch: lines of JSON → scrubbed → one object of the lake, and records of the stream. It may run more than once for a batch:
// the object has the same name then, and records carry the batch's id and their line.
import { scrub } from "./pii.mjs";

const { LAKE, STREAM, KEY, PEPPER } = process.env;
const RECORDS_MAX = 500;

async function put(key, body) {
  const answer = await fetch(`${LAKE}/lake/${key}`, { method: "PUT", headers: { "content-type": "application/x-ndjson", "x-api-key": KEY }, body });
  if (!answer.ok) throw new Error(`the lake answered ${answer.status}: ${await answer.text()}`);
}

async function stream(events) {
  const Records = events.map((event) => ({
    PartitionKey: String(event.user ?? event.batch),
    Data: Buffer.from(JSON.stringify(event)).toString("base64"),
  }));
  const answer = await fetch(`${STREAM}/`, {
    method: "POST",
    headers: { "content-type": "application/x-amz-json-1.1", "x-amz-target": "Kinesis_20131202.PutRecords", "x-api-key": KEY },
    body: JSON.stringify({ StreamName: "events", Records }),
  });
  if (!answer.ok) throw new Error(`the stream answered ${answer.status}: ${await answer.text()}`);
  const { FailedRecordCount } = await answer.json();
  if (FailedRecordCount > 0) throw new Error(`the stream took all but ${FailedRecordCount} records`);
}

export async function handler(event) {
  const { requestId: batch, timeEpoch } = event.requestContext;
  const body = event.isBase64Encoded ? Buffer.from(event.body, "base64").toString() : (event.body ?? "");
  const events = [];
  let unread = 0;
  for (const [line, text] of body.split("\n").entries()) {
    if (text.trim() === "") continue;
    try {
      const scrubbed = scrub(JSON.parse(text), PEPPER);
      events.push({ ...scrubbed, batch, line, source: event.headers["x-source"], at: timeEpoch });
    } catch {
      // What cannot be read cannot be scrubbed: it is not kept.
      unread += 1;
    }
  }
  if (unread > 0) console.warn(`batch ${batch}: ${unread} lines are no JSON`);
  if (events.length === 0) return;
  const [date, hour] = new Date(timeEpoch).toISOString().split(/[T:]/);
  await put(`events/date=${date}/hour=${hour}/${batch}.ndjson`, events.map((one) => `${JSON.stringify(one)}\n`).join(""));
  for (let at = 0; at < events.length; at += RECORDS_MAX) await stream(events.slice(at, at + RECORDS_MAX));
}
