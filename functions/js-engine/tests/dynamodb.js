'use strict';
// The expected results are those of the real packages: npm install @aws-sdk/{client,lib,util}-dynamodb, then
// NODE_PATH=…/node_modules node answers.mjs dynamodb
const client = require('@aws-sdk/client-dynamodb');
const lib = require('@aws-sdk/lib-dynamodb');
const util = require('@aws-sdk/util-dynamodb');
const { Readable } = require('stream');

const out = [];
function shown(value) {
  if (typeof value === 'bigint') return `${value}n`;
  if (value === undefined) return 'undefined';
  if (typeof value === 'number' && !Number.isFinite(value)) return String(value);
  if (value === null || typeof value !== 'object') return value;
  if (value instanceof Uint8Array) return `bytes:${Buffer.from(value).toString('hex')}`;
  if (value instanceof ArrayBuffer) return `buffer:${Buffer.from(value).toString('hex')}`;
  if (value instanceof Date) return `date:${value.toISOString()}`;
  if (value instanceof Set) return { set: [...value].map(shown) };
  if (value instanceof util.NumberValueImpl) return `number:${value}`;
  if (Array.isArray(value)) return value.map(shown);
  return Object.fromEntries(Object.keys(value).map((key) => [key, shown(value[key])]));
}
async function t(label, fn) {
  let got;
  try {
    got = shown(await fn());
  } catch (e) {
    got = { threw: e.name, message: e.message.replace(' (Coordinated Universal Time)', '') };
    if (e.$metadata) Object.assign(got, { fault: e.$fault, metadata: meta(e.$metadata), more: shown({ Item: e.Item, CancellationReasons: e.CancellationReasons }), service: e instanceof client.DynamoDBServiceException });
  }
  out.push([label, got]);
}
const meta = ({ totalRetryDelay, ...rest }) => shown(rest);

// A transport that keeps what is sent and answers from a list.
const sent = [];
let answers = [];
const wire = {
  async handle(request) {
    const { host, 'content-type': type, 'x-amz-target': target, authorization, 'x-amz-security-token': token } = request.headers;
    const body = JSON.parse(typeof request.body === 'string' ? request.body : Buffer.from(request.body).toString());
    for (const name of ['ClientRequestToken', 'ClientToken']) if (/^[0-9a-f-]{36}$/.test(body[name])) body[name] = 'made';
    sent.push({ url: `${request.method} ${request.protocol}//${request.hostname}:${request.port ?? ''}${request.path}`, host, type, target, token, scope: /Credential=(\w+)\/\d{8}\/([^,]+)/.exec(authorization).slice(1), body });
    const [statusCode, text, headers = {}] = answers.shift() ?? [200, '{}'];
    return { response: { statusCode, headers: { 'x-amzn-requestid': 'ID', ...headers }, body: Readable.from([Buffer.from(typeof text === 'string' ? text : JSON.stringify(text))]) } };
  },
  updateHttpClientConfig() {}, httpHandlerConfigs: () => ({}), destroy() {},
};
const credentials = { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'example' };
const make = (more) => new client.DynamoDBClient({ region: 'eu-west-1', credentials, requestHandler: wire, maxAttempts: 3, ...more });
const raw = make();
const documents = lib.DynamoDBDocumentClient.from(make());

// What one command sends, and what comes of the answers.
async function call(label, of, command, ...given) {
  answers = given;
  sent.length = 0;
  await t(label, async () => {
    const { $metadata, ...output } = await of.send(command);
    return { output, metadata: meta($metadata) };
  });
  out.push([`${label}: sent`, shown(sent.length === 1 ? sent[0] : sent.map((one) => one.target))]);
}
const failed = (type, more) => [400, { __type: `com.amazonaws.dynamodb.v20120810#${type}`, message: 'words', ...more }];

exports.handler = async () => {
  class Point {
    constructor() {
      this.x = 1;
      this.y = { z: '2' };
    }
  }
  class Child extends Point {}
  Child.prototype.inherited = 'i';
  const bare = Object.assign(Object.create(null), { a: 1 });

  const values = {
    string: 's', empty: '', number: 1.5, zero: 0, minus: -0, small: 1e-7, large: 9007199254740991, 'too large': 9007199254740992, 'too small': -9007199254740993, exponent: 1e21,
    nan: NaN, infinity: -Infinity, bigint: 123456789012345678901234567890n, true: true, null: null, undefined, list: [1, 'a', null, [true]], 'list of undefined': [1, undefined],
    'list of a function': [1, () => 1], map: { a: { b: 'c' } }, 'map of undefined': { a: undefined, b: 1 }, 'map of a function': { f() {}, b: 1 }, bytes: new Uint8Array([1, 2]), buffer: Buffer.from('ab'),
    'no bytes': new Uint8Array(0), 'array buffer': new Uint8Array([7]).buffer, floats: new Float64Array([1]), 'set of strings': new Set(['a', 'b']), 'set of numbers': new Set([1, 2]),
    'set of big': new Set([1n, 2n]), 'set of bytes': new Set([new Uint8Array([1])]), 'set of values': new Set([util.NumberValueImpl.from('1.25')]), 'set of booleans': new Set([true]),
    'no set': new Set(), 'set of undefined': new Set(['a', undefined]), 'set of only undefined': new Set([undefined]), 'js map': new Map([['a', 1], ['b', undefined]]), date: new Date(0), class: new Point(), child: new Child(),
    'bare object': bare, symbol: Symbol.iterator.description, 'String object': new String('s'), 'Number object': new Number(4), 'Boolean object': new Boolean(false), wrapped: util.NumberValueImpl.from('123456789012345678.5'),
    'regular expression': /a/,
  };
  const options = { none: undefined, remove: { removeUndefinedValues: true }, empty: { convertEmptyValues: true, removeUndefinedValues: true }, class: { convertClassInstanceToMap: true, removeUndefinedValues: true },
    imprecise: { allowImpreciseNumbers: true }, top: { convertTopLevelContainer: true } };
  for (const [how, option] of Object.entries(options)) {
    for (const [label, value] of Object.entries(values)) {
      await t(`${how}: attribute of ${label}`, () => util.convertToAttr(value, option));
      await t(`${how}: marshall ${label}`, () => util.marshall(value, option));
      await t(`${how}: marshall within ${label}`, () => util.marshall({ value }, option));
    }
  }
  const attributes = { S: { S: 'x' }, N: { N: '1.5' }, exact: { N: '9007199254740991' }, large: { N: '9007199254740993' }, 'large fraction': { N: '9007199254740993.5' }, huge: { N: '1e400' }, BOOL: { BOOL: false },
    NULL: { NULL: true }, B: { B: new Uint8Array([1]) }, L: { L: [{ S: 'a' }, { N: '1' }] }, M: { M: { a: { L: [] } } }, SS: { SS: ['a', 'b', 'a'] }, NS: { NS: ['1', '2.5'] }, BS: { BS: [new Uint8Array([2])] },
    undefined: { S: undefined, N: '1' }, nothing: {}, unknown: { X: 1 } };
  for (const [how, option] of Object.entries({ none: undefined, wrapped: { wrapNumbers: true }, own: { wrapNumbers: (text) => `<${text}>` }, inner: { convertWithoutMapWrapper: true } })) {
    for (const [label, value] of Object.entries(attributes)) {
      await t(`${how}: native of ${label}`, () => util.convertToNative(value, option));
      await t(`${how}: unmarshall ${label}`, () => util.unmarshall(how === 'inner' ? value : { a: value }, option));
    }
  }
  await t('unmarshall the names of types', () => util.unmarshall({ B: { S: 'b' }, BS: { N: '1' }, StartTime: { N: '5' } }));
  await t('NumberValue', () => [lib.NumberValue.from(5).toString(), lib.NumberValue.from('9'.repeat(30)).toBigInt(), lib.NumberValue.from({ N: '7' }).toAttributeValue(), lib.NumberValue === util.NumberValueImpl, `${lib.NumberValue.from(3n)}`]);
  await t('NumberValue of too much', () => lib.NumberValue.from(2 ** 53));

  // Commands as they are sent.
  const { GetItemCommand, PutItemCommand, QueryCommand, TransactWriteItemsCommand, ListTablesCommand, DescribeTableCommand } = client;
  await call('get', raw, new GetItemCommand({ TableName: 't', Key: { id: { S: '1' } }, ConsistentRead: true }), [200, { Item: { id: { S: '1' }, b: { B: 'AQI=' }, l: { L: [{ B: '' }] }, m: { M: { B: { BS: ['AQ==', 'Ag=='] } } }, StartTime: { N: '5' } }, ConsumedCapacity: { TableName: 't', CapacityUnits: 0.5 } }]);
  await call('get nothing', raw, new GetItemCommand({ TableName: 't', Key: { id: { N: '1' } } }));
  await call('no body', raw, new GetItemCommand({ TableName: 't', Key: {} }), [200, '']);
  await call('put', raw, new PutItemCommand({ TableName: 't', Item: { a: { B: new Uint8Array([1, 2, 3]) }, b: { BS: [Buffer.from('x')] }, c: { L: [{ NULL: true }, { M: { d: { B: Buffer.from('yz') } } }] }, u: { S: undefined, N: '1' }, e: { S: 'é€\u{1F600}' } }, ReturnValues: undefined, ConditionExpression: null }));
  await call('no input', raw, new ListTablesCommand());
  await call('times', raw, new DescribeTableCommand({ TableName: 't' }), [200, { Table: { CreationDateTime: 1.5e9, BillingModeSummary: { LastUpdateToPayPerRequestDateTime: 1600000000.123 } } }]);
  await call('a token is made', raw, new TransactWriteItemsCommand({ TransactItems: [{ Put: { TableName: 't', Item: { a: { S: '1' } } } }] }));
  await call('a token is kept', raw, new TransactWriteItemsCommand({ TransactItems: [], ClientRequestToken: 'mine' }));
  await call('export', raw, new client.ExportTableToPointInTimeCommand({ TableArn: 'arn', S3Bucket: 'b', ExportTime: new Date(1600000000005) }));
  await call('query', raw, new QueryCommand({ TableName: 't', KeyConditionExpression: '#p = :p', ExpressionAttributeNames: { '#p': 'p' }, ExpressionAttributeValues: { ':p': { S: 'x' } }, Limit: 5, ScanIndexForward: false }), [200, { Items: [{ p: { S: 'x' } }], Count: 1, ScannedCount: 2, LastEvaluatedKey: { p: { B: 'AQ==' } } }]);

  // Failures.
  await call('condition failed', raw, new PutItemCommand({ TableName: 't', Item: {} }), failed('ConditionalCheckFailedException', { Item: { b: { B: 'AQ==' } } }));
  await t('its class', async () => {
    answers = [failed('ConditionalCheckFailedException')];
    const e = await raw.send(new PutItemCommand({ TableName: 't' })).catch((caught) => caught);
    return [e instanceof client.ConditionalCheckFailedException, e instanceof client.ResourceNotFoundException, e instanceof Error, JSON.parse(JSON.stringify(e)).name, e.$response.statusCode];
  });
  await call('not modelled', raw, new PutItemCommand({}), [400, { __type: 'com.amazon.coral.validate#ValidationException', message: 'One or more' }]);
  await call('cancelled', raw, new TransactWriteItemsCommand({ TransactItems: [] }), failed('TransactionCanceledException', { message: undefined, Message: 'cancelled [None, X]', CancellationReasons: [{ Code: 'None' }, { Code: 'X', Message: 'm', Item: { a: { BS: ['AQ=='] } } }] }));
  await call('type in a header', raw, new ListTablesCommand({}), [400, '{"message":"m"}', { 'x-amzn-errortype': 'ResourceNotFoundException:http://x/' }]);
  await call('once more', raw, new ListTablesCommand({}), [500, { __type: 'InternalServerError', message: 'm' }], [200, { TableNames: ['a'] }]);
  await call('too often', raw, new ListTablesCommand({}), [500, { __type: 'InternalServerError', message: 'm' }], [500, ''], [503, { __type: 'X#ServiceUnavailable', message: 'last' }]);
  await call('throttled', raw, new ListTablesCommand({}), failed('ThrottlingException'), failed('ProvisionedThroughputExceededException'), [200, '{"TableNames":[]}']);
  await call('given up', make({ maxAttempts: 1 }), new ListTablesCommand({}), [400, { __type: 'ThrottlingException', message: 'slow' }]);
  await call('an exception of no words', make({ maxAttempts: 1 }), new ListTablesCommand({}), [500, '']);
  await t('an exception made by hand', () => {
    const e = new client.ResourceNotFoundException({ message: 'm', $metadata: {} });
    return [e.name, e.message, e.$fault, e instanceof client.DynamoDBServiceException, String(e)];
  });
  await t('aborted', async () => {
    const controller = new AbortController();
    const own = make({ requestHandler: { ...wire, async handle(request, { abortSignal }) {
      if (abortSignal.aborted) throw Object.assign(new Error('Request aborted'), { name: 'AbortError' });
    } } });
    controller.abort();
    return own.send(new ListTablesCommand({}), { abortSignal: controller.signal }).catch((e) => [e.name, e.message]);
  });

  // Where it goes.
  for (const [label, more] of Object.entries({
    endpoint: { endpoint: 'http://127.0.0.1:8000' }, 'with a path': { endpoint: 'https://edge.example/db' }, 'endpoint in parts': { endpoint: { protocol: 'http:', hostname: 'h', port: 8000, path: '/' } },
    'endpoint asked for': { endpoint: async () => ({ protocol: 'https:', hostname: 'h', path: '/' }) }, 'region asked for': { region: async () => 'ap-southeast-2' }, fips: { useFipsEndpoint: true },
    dualstack: { useDualstackEndpoint: true }, china: { region: 'cn-north-1' }, local: { region: 'local' }, session: { credentials: { ...credentials, sessionToken: 'token' } }, 'no tls': { tls: false },
    'credentials asked for': { credentials: async () => ({ accessKeyId: 'OTHER', secretAccessKey: 's' }) },
  })) await call(label, make(more), new ListTablesCommand({}));

  // Documents.
  await call('document put', documents, new lib.PutCommand({ TableName: 't', Item: { id: 1, s: new Set(['a']), n: null, b: new Uint8Array([1]), gone: undefined, f() {}, deep: { list: [1, { x: 'y' }] } }, ConditionExpression: 'attribute_not_exists(id)', ExpressionAttributeValues: { ':v': [true] } }), [200, { Attributes: { id: { N: '2' }, set: { NS: ['1'] } }, ItemCollectionMetrics: { ItemCollectionKey: { id: { S: 'k' } }, SizeEstimateRangeGB: [0, 1] } }]);
  await call('document put of undefined', documents, new lib.PutCommand({ TableName: 't', Item: { deep: { gone: undefined } } }));
  await call('document get', documents, new lib.GetCommand({ TableName: 't', Key: { id: 'a' } }), [200, { Item: { id: { S: 'a' }, n: { N: '5' }, big: { N: '12345678901234567890' }, b: { B: 'AQ==' }, ss: { SS: ['x'] }, m: { M: { l: { L: [{ NULL: true }] } } } }, ConsumedCapacity: { CapacityUnits: 1 } }]);
  await call('document update', documents, new lib.UpdateCommand({ TableName: 't', Key: { a: 1 }, AttributeUpdates: { x: { Action: 'PUT', Value: [1] }, y: { Value: { q: 1 } } }, Expected: { z: { Value: 3, AttributeValueList: [1, '2'] } } }), [200, { Attributes: { a: { BOOL: true } } }]);
  await call('document delete', documents, new lib.DeleteCommand({ TableName: 't', Key: { a: 'x' }, ReturnValues: 'ALL_OLD' }));
  await call('document query', documents, new lib.QueryCommand({ TableName: 't', KeyConditionExpression: 'a = :a', ExpressionAttributeValues: { ':a': 'x' }, ExclusiveStartKey: { a: 1 }, QueryFilter: { f: { ComparisonOperator: 'EQ', AttributeValueList: ['v'] } } }), [200, { Items: [{ a: { S: '1' } }, { a: { NULL: true } }], LastEvaluatedKey: { a: { N: '3' } }, Count: 2 }]);
  await call('document scan', documents, new lib.ScanCommand({ TableName: 't', FilterExpression: 'a < :a', ExpressionAttributeValues: { ':a': 5 } }), [200, { Items: [], Count: 0 }]);
  await call('document batch get', documents, new lib.BatchGetCommand({ RequestItems: { t: { Keys: [{ a: 1 }, { a: 2 }], ConsistentRead: true } } }), [200, { Responses: { t: [{ a: { N: '1' } }] }, UnprocessedKeys: { t: { Keys: [{ a: { N: '2' } }] } } }]);
  await call('document batch write', documents, new lib.BatchWriteCommand({ RequestItems: { t: [{ PutRequest: { Item: { a: 1 } } }, { DeleteRequest: { Key: { a: 2 } } }] } }), [200, { UnprocessedItems: { t: [{ PutRequest: { Item: { a: { N: '1' } } } }] } }]);
  await call('document transact get', documents, new lib.TransactGetCommand({ TransactItems: [{ Get: { TableName: 't', Key: { a: 'x' } } }] }), [200, { Responses: [{ Item: { a: { S: 'x' } } }, {}] }]);
  await call('document transact write', documents, new lib.TransactWriteCommand({ ClientRequestToken: 'c', TransactItems: [{ Put: { TableName: 't', Item: { a: 1 } } }, { Update: { TableName: 't', Key: { a: 2 }, UpdateExpression: 'SET b = :b', ExpressionAttributeValues: { ':b': [] } } }, { ConditionCheck: { TableName: 't', Key: { a: 3 }, ConditionExpression: 'x' } }, { Delete: { TableName: 't', Key: { a: 4 } } }] }));
  await call('document statement', documents, new lib.ExecuteStatementCommand({ Statement: 'SELECT * FROM t WHERE a = ?', Parameters: ['x', 1] }), [200, { Items: [{ a: { S: 'x' } }] }]);
  await call('document statements', documents, new lib.BatchExecuteStatementCommand({ Statements: [{ Statement: 's', Parameters: [1] }] }), [200, { Responses: [{ Item: { a: { N: '1' } }, TableName: 't' }, { Error: { Code: 'C', Item: { a: { N: '2' } } } }] }]);
  await call('document transaction', documents, new lib.ExecuteTransactionCommand({ TransactStatements: [{ Statement: 's', Parameters: [null] }] }), [200, { Responses: [{ Item: { a: { N: '1' } } }] }]);
  await call('document failure', documents, new lib.PutCommand({ TableName: 't', Item: {} }), failed('ConditionalCheckFailedException', { Item: { a: { N: '1' } } }));
  const translated = lib.DynamoDBDocumentClient.from(make(), { marshallOptions: { removeUndefinedValues: true, convertEmptyValues: true, convertClassInstanceToMap: true }, unmarshallOptions: { wrapNumbers: true } });
  await call('translated put', translated, new lib.PutCommand({ TableName: 't', Item: { e: '', d: { u: undefined, p: new Point() } } }));
  await call('translated get', translated, new lib.GetCommand({ TableName: 't', Key: { a: 1 } }), [200, { Item: { n: { N: '123456789012345678901234567890' } } }]);
  await call('a plain command', documents, new GetItemCommand({ TableName: 't', Key: { a: { S: 'x' } } }), [200, { Item: { a: { S: 'x' } } }]);

  // Methods, pages, callbacks, waiting.
  await t('methods', async () => {
    const all = new client.DynamoDB({ region: 'eu-west-1', credentials, requestHandler: wire });
    answers = [[200, { Item: { a: { S: '1' } } }], [200, { TableNames: ['x'] }]];
    return [(await all.getItem({ TableName: 't', Key: {} })).Item, (await all.listTables({})).TableNames];
  });
  await t('document methods', async () => {
    const all = lib.DynamoDBDocument.from(new client.DynamoDB({ region: 'eu-west-1', credentials, requestHandler: wire }));
    answers = [[200, { Item: { a: { S: '1' } } }]];
    return [(await all.get({ TableName: 't', Key: {} })).Item, await new Promise((resolve) => all.put({ TableName: 't', Item: {} }, (e, data) => resolve([e, data.$metadata.httpStatusCode])))];
  });
  await t('callback', () => {
    answers = [failed('ResourceNotFoundException')];
    return new Promise((resolve) => raw.send(new ListTablesCommand({}), (e, data) => resolve([e.name, data])));
  });
  for (const [label, pages] of Object.entries({
    'pages of documents': () => lib.paginateQuery({ client: documents, pageSize: 2 }, { TableName: 't' }),
    'pages of a scan': () => client.paginateScan({ client: raw }, { TableName: 't', Limit: 1 }),
  })) {
    await t(label, async () => {
      sent.length = 0;
      answers = [[200, { Items: [{ a: { N: '1' } }], LastEvaluatedKey: { a: { N: '1' } } }], [200, { Items: [{ a: { N: '2' } }] }]];
      const items = [];
      for await (const page of pages()) items.push(...page.Items);
      return [items, sent.map((one) => one.body)];
    });
  }
  await t('pages of a batch', async () => {
    answers = [[200, { Responses: {}, UnprocessedKeys: { t: { Keys: [{ a: { N: '2' } }] } } }], [200, { Responses: {} }]];
    let count = 0;
    for await (const page of lib.paginatedBatchGet({ client: documents }, { RequestItems: { t: { Keys: [{ a: 1 }] } } })) count += Object.keys(page).length > 0;
    return count;
  });
  await t('waiting', async () => {
    answers = [failed('ResourceNotFoundException'), [200, { Table: { TableStatus: 'CREATING' } }], [200, { Table: { TableStatus: 'ACTIVE' } }]];
    const { state, reason } = await client.waitUntilTableExists({ client: raw, maxWaitTime: 10, minDelay: 0.001, maxDelay: 0.002 }, { TableName: 't' });
    return [state, reason.Table];
  });
  await t('waiting in vain', async () => {
    answers = [[400, { __type: 'AccessDeniedException', message: 'no' }]];
    return client.waitUntilTableNotExists({ client: raw, maxWaitTime: 0.02, minDelay: 0.001, maxDelay: 0.002 }, { TableName: 't' }).catch((e) => [e.name, JSON.parse(e.message).state]);
  });

  // Middleware of the handler's own.
  await t('middleware', async () => {
    const own = make(), seen = [];
    own.middlewareStack.add((next, context) => async (args) => {
      seen.push(['initialize', context.commandName, context.clientName, Object.keys(args.input)]);
      const result = await next(args);
      seen.push(['done', Object.keys(result.output), result.response.statusCode]);
      return result;
    }, { step: 'initialize', name: 'first' });
    own.middlewareStack.add((next) => async (args) => {
      args.request.headers['x-amz-target'] += '!';
      return next(args);
    }, { step: 'build', name: 'second', tags: ['T'] });
    own.middlewareStack.addRelativeTo((next) => async (args) => {
      seen.push('signed later');
      return next(args);
    }, { relation: 'before', toMiddleware: 'httpSigningMiddleware', name: 'third' });
    sent.length = 0;
    await own.send(new ListTablesCommand({ Limit: 1 }));
    seen.push(sent[0].target, own.middlewareStack.remove('second'), own.middlewareStack.remove('second'), own.middlewareStack.removeByTag('none'));
    await own.send(new ListTablesCommand({}));
    seen.push(sent[1].target);
    return seen;
  });
  await t('the same name twice', () => {
    const own = make();
    own.middlewareStack.add((next) => next, { name: 'x' });
    own.middlewareStack.add((next) => next, { name: 'x' });
  });
  await t('configuration', async () => [await raw.config.region(), (({ accessKeyId, secretAccessKey }) => [accessKeyId, secretAccessKey])(await raw.config.credentials()), await raw.config.maxAttempts(), documents.config.translateConfig]);
  await t('values of lists', () => [client.ReturnValue.ALL_NEW, client.BillingMode.PAY_PER_REQUEST, client.KeyType, client.ScalarAttributeType]);
  await t('names', () => [new GetItemCommand({}).constructor.name, new lib.GetCommand({}).constructor.name, new GetItemCommand().input, new lib.GetCommand({ a: 1 }).input, client.ConditionalCheckFailedException.name, raw.constructor.name]);
  await t('destroyed', () => [raw.destroy(), documents.destroy()]);
  return out;
};
