// The operations that JavaScript uses most, asked by AWS's SDK for JavaScript.

import assert from "node:assert/strict";
import { createRequire } from "node:module";

const [url, modules] = process.argv.slice(2);
const require = createRequire(modules);
const { DynamoDBClient, CreateTableCommand, DescribeTableCommand, waitUntilTableExists, ConditionalCheckFailedException } = require("@aws-sdk/client-dynamodb");
const lib = require("@aws-sdk/lib-dynamodb");
const streams = require("@aws-sdk/client-dynamodb-streams");

const config = { endpoint: url, region: "eu-central-1", credentials: { accessKeyId: "test", secretAccessKey: "test" }, maxAttempts: 1 };
const client = new DynamoDBClient(config);
const documents = lib.DynamoDBDocumentClient.from(client);
const TableName = "javascript";

await client.send(new CreateTableCommand({
  TableName, BillingMode: "PAY_PER_REQUEST",
  AttributeDefinitions: [{ AttributeName: "pk", AttributeType: "S" }, { AttributeName: "sk", AttributeType: "N" }],
  KeySchema: [{ AttributeName: "pk", KeyType: "HASH" }, { AttributeName: "sk", KeyType: "RANGE" }],
  StreamSpecification: { StreamEnabled: true, StreamViewType: "NEW_IMAGE" },
}));
await waitUntilTableExists({ client, maxWaitTime: 30, minDelay: 1 }, { TableName });

const item = { pk: "a", sk: 1, title: "é", nested: { list: [1, "two", null, true], bytes: new Uint8Array([1, 2, 3]) }, tags: new Set(["x", "y"]) };
await documents.send(new lib.PutCommand({ TableName, Item: item }));
assert.deepEqual((await documents.send(new lib.GetCommand({ TableName, Key: { pk: "a", sk: 1 } }))).Item, item);
const updated = await documents.send(new lib.UpdateCommand({
  TableName, Key: { pk: "a", sk: 1 }, UpdateExpression: "SET #n.#l[0] = :v", ReturnValues: "UPDATED_NEW",
  ExpressionAttributeNames: { "#n": "nested", "#l": "list" }, ExpressionAttributeValues: { ":v": 9 },
}));
assert.equal(updated.Attributes.nested.list[0], 9);
await assert.rejects(
  documents.send(new lib.PutCommand({ TableName, Item: item, ConditionExpression: "attribute_not_exists(pk)" })),
  (error) => error instanceof ConditionalCheckFailedException && error.$metadata.httpStatusCode === 400,
);

const writes = [...Array(20).keys()].map((sk) => ({ PutRequest: { Item: { pk: "q", sk, text: "t".repeat(10) } } }));
assert.deepEqual((await documents.send(new lib.BatchWriteCommand({ RequestItems: { [TableName]: writes } }))).UnprocessedItems, {});
let rows = 0;
const pages = lib.paginateQuery({ client: documents, pageSize: 6 }, {
  TableName, KeyConditionExpression: "pk = :p", ExpressionAttributeValues: { ":p": "q" },
});
for await (const page of pages) rows += page.Count;
assert.equal(rows, 20);
const got = await documents.send(new lib.BatchGetCommand({ RequestItems: { [TableName]: { Keys: [{ pk: "q", sk: 1 }, { pk: "q", sk: 99 }] } } }));
assert.equal(got.Responses[TableName].length, 1);
await assert.rejects(
  documents.send(new lib.TransactWriteCommand({ TransactItems: [
    { Put: { TableName, Item: { pk: "t", sk: 1 } } },
    { ConditionCheck: { TableName, Key: { pk: "none", sk: 1 }, ConditionExpression: "attribute_exists(pk)" } },
  ] })),
  (error) => error.name === "TransactionCanceledException" && error.CancellationReasons[1].Code === "ConditionalCheckFailed",
);
assert.equal((await documents.send(new lib.GetCommand({ TableName, Key: { pk: "t", sk: 1 } }))).Item, undefined);
const rowsOf = await documents.send(new lib.ExecuteStatementCommand({ Statement: `SELECT sk FROM "${TableName}" WHERE pk = ?`, Parameters: ["a"] }));
assert.deepEqual(rowsOf.Items, [{ sk: 1 }]);

const reader = new streams.DynamoDBStreamsClient(config);
const { Table } = await client.send(new DescribeTableCommand({ TableName }));
const { StreamDescription } = await reader.send(new streams.DescribeStreamCommand({ StreamArn: Table.LatestStreamArn }));
const { ShardIterator } = await reader.send(new streams.GetShardIteratorCommand({
  StreamArn: Table.LatestStreamArn, ShardId: StreamDescription.Shards[0].ShardId, ShardIteratorType: "TRIM_HORIZON",
}));
const { Records } = await reader.send(new streams.GetRecordsCommand({ ShardIterator }));
assert.deepEqual(Records.slice(0, 2).map((record) => record.eventName), ["INSERT", "MODIFY"]);
assert.equal(Records[0].dynamodb.OldImage, undefined);
assert.equal(Records[0].dynamodb.NewImage.title.S, "é");
console.log("all done");
