// @aws-sdk/lib-dynamodb: DynamoDB's operations with JavaScript values in the place of attribute values.
const client = require('@aws-sdk/client-dynamodb');
const { marshall, unmarshall, NumberValueImpl } = require('@aws-sdk/util-dynamodb');
const { aggregate, paginator } = require('internal/awsclient');
const { $Command: Command, DynamoDBClient } = client;

// Where attribute values are: by name within an object or one after another in a list, or one alone. "*" is every member.
const EACH = Symbol('each'), ONE = Symbol('one');
const EXPECTED = { '*': { Value: ONE, AttributeValueList: EACH } };
const LISTED = { '*': { AttributeValueList: EACH } };
const METRICS = { ItemCollectionKey: EACH };
const WRITES = { '*': { '*': { PutRequest: { Item: EACH }, DeleteRequest: { Key: EACH } } } };
const KEYS = { '*': { Keys: { '*': EACH } } };
const EXPORT = { ExportDescription: { FilterSpecification: { ExpressionAttributeValues: EACH } } };
const NEXT = { Items: { '*': EACH }, LastEvaluatedKey: EACH };
const ITEMS = { Responses: { '*': { Item: EACH } } };
const PARAMETERS = { '*': { Parameters: EACH } };
const CHANGE = { Key: EACH, ExpressionAttributeValues: EACH };
const CHANGED = { Attributes: EACH, ItemCollectionMetrics: METRICS };

// name: [operation, input, output]
const COMMANDS = {
  BatchExecuteStatement: ['BatchExecuteStatement', { Statements: PARAMETERS }, { Responses: { '*': { Item: EACH, Error: { Item: EACH } } } }],
  BatchGet: ['BatchGetItem', { RequestItems: KEYS }, { Responses: { '*': { '*': EACH } }, UnprocessedKeys: KEYS }],
  BatchWrite: ['BatchWriteItem', { RequestItems: WRITES }, { UnprocessedItems: WRITES, ItemCollectionMetrics: { '*': { '*': METRICS } } }],
  Delete: ['DeleteItem', { Key: EACH, Expected: EXPECTED, ExpressionAttributeValues: EACH }, CHANGED],
  DescribeExport: ['DescribeExport', {}, EXPORT],
  ExecuteStatement: ['ExecuteStatement', { Parameters: EACH }, NEXT],
  ExecuteTransaction: ['ExecuteTransaction', { TransactStatements: PARAMETERS }, ITEMS],
  ExportTableToPointInTime: ['ExportTableToPointInTime', { FilterSpecification: { ExpressionAttributeValues: EACH } }, EXPORT],
  Get: ['GetItem', { Key: EACH }, { Item: EACH }],
  Put: ['PutItem', { Item: EACH, Expected: EXPECTED, ExpressionAttributeValues: EACH }, CHANGED],
  Query: ['Query', { KeyConditions: LISTED, QueryFilter: LISTED, ExclusiveStartKey: EACH, ExpressionAttributeValues: EACH }, NEXT],
  Scan: ['Scan', { ScanFilter: LISTED, ExclusiveStartKey: EACH, ExpressionAttributeValues: EACH }, NEXT],
  TransactGet: ['TransactGetItems', { TransactItems: { '*': { Get: { Key: EACH } } } }, ITEMS],
  TransactWrite: ['TransactWriteItems', { TransactItems: { '*': { ConditionCheck: CHANGE, Put: { Item: EACH, ExpressionAttributeValues: EACH }, Delete: CHANGE, Update: CHANGE } } }, { ItemCollectionMetrics: { '*': { '*': METRICS } } }],
  Update: ['UpdateItem', { Key: EACH, AttributeUpdates: { '*': { Value: ONE } }, Expected: EXPECTED, ExpressionAttributeValues: EACH }, CHANGED],
};

const present = (value) => value !== undefined && typeof value !== 'function';

// A copy with `change` made of each value in the places of `shape`.
function at(shape, value, change) {
  if (shape === ONE) return change(value);
  if (value === null || typeof value !== 'object') return value;
  const every = shape === EACH ? ONE : shape['*'];
  if (Array.isArray(value)) return value.filter((one) => typeof one !== 'function').map((one) => (every && one !== undefined ? at(every, one, change) : one));
  const out = {};
  for (const key of Object.keys(value)) {
    const inner = every ?? shape[key];
    if (present(value[key])) out[key] = inner ? at(inner, value[key], change) : value[key];
  }
  return out;
}

class DynamoDBDocumentClientCommand extends Command {
  constructor(input) {
    super(input);
    const { base } = this.constructor;
    this.clientCommand = new base(this.input);
    this.middlewareStack = this.clientCommand.middlewareStack;
  }
  resolveMiddleware(clientStack, config, options) {
    const { input, output } = this.constructor;
    const { marshallOptions, unmarshallOptions } = config.translateConfig ?? {};
    const inward = { ...marshallOptions, convertTopLevelContainer: marshallOptions?.convertTopLevelContainer ?? true };
    const outward = { ...unmarshallOptions, convertWithoutMapWrapper: unmarshallOptions?.convertWithoutMapWrapper ?? true };
    const handler = this.clientCommand.resolveMiddleware(clientStack, config, options, {
      write: (value) => at(input, value, (one) => marshall(one, inward)),
      read: (value) => at(output, value, (one) => unmarshall(one, outward)),
    });
    return () => handler(this.clientCommand);
  }
}

const commands = {};
for (const [name, [operation, input, output]] of Object.entries(COMMANDS)) {
  const own = `${name}Command`;
  commands[own] = { [own]: class extends DynamoDBDocumentClientCommand {
    static operation = operation;
    static base = client[`${operation}Command`];
    static input = input;
    static output = output;
  } }[own];
}

class DynamoDBDocumentClient extends DynamoDBClient {
  constructor(base, translateConfig) {
    const { region, credentials, endpoint, maxAttempts, requestHandler, logger } = base.config;
    super({ region, credentials, endpoint, maxAttempts, requestHandler, logger });
    // A client of another package keeps its configuration; ours is shared with it.
    if (base instanceof DynamoDBClient) Object.assign(this, { config: base.config, middlewareStack: base.middlewareStack });
    this.config.translateConfig = translateConfig;
  }
  static from(base, translateConfig) {
    return new this(base, translateConfig);
  }
  // The client that it was made of goes on.
  destroy() {}
}

const paginateQuery = paginator(DynamoDBDocumentClient, commands.QueryCommand, 'ExclusiveStartKey', 'LastEvaluatedKey', 'Limit');
const paginateScan = paginator(DynamoDBDocumentClient, commands.ScanCommand, 'ExclusiveStartKey', 'LastEvaluatedKey', 'Limit');

// Asks again for the keys that were not processed.
async function* paginatedBatchGet(config, input) {
  let RequestItems = input.RequestItems;
  while (RequestItems && Object.keys(RequestItems).length) {
    const page = await config.client.send(new commands.BatchGetCommand({ ...input, RequestItems }));
    RequestItems = page.UnprocessedKeys;
    yield page;
  }
}

class DynamoDBDocument extends DynamoDBDocumentClient {
  paginatedBatchGet(input) {
    return paginatedBatchGet({ client: this }, input);
  }
}
aggregate(DynamoDBDocument, commands);

module.exports = { $Command: Command, __Client: client.__Client, NumberValue: NumberValueImpl, ...commands, DynamoDBDocument, DynamoDBDocumentClient, DynamoDBDocumentClientCommand, paginateQuery, paginateScan, paginatedBatchGet };
