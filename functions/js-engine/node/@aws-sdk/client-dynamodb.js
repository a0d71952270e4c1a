// @aws-sdk/client-dynamodb: DynamoDB's operations as commands, over the host's fetch.
const { Buffer } = require('buffer');
const { Client, Command, ServiceException, aggregate, paginator, waiter } = require('internal/awsclient');

const OPERATIONS = ['BatchExecuteStatement', 'BatchGetItem', 'BatchWriteItem', 'CreateBackup', 'CreateGlobalTable', 'CreateTable', 'DeleteBackup', 'DeleteItem', 'DeleteResourcePolicy',
  'DeleteTable', 'DescribeBackup', 'DescribeContinuousBackups', 'DescribeContributorInsights', 'DescribeEndpoints', 'DescribeExport', 'DescribeGlobalTable', 'DescribeGlobalTableSettings',
  'DescribeImport', 'DescribeKinesisStreamingDestination', 'DescribeLimits', 'DescribeTable', 'DescribeTableReplicaAutoScaling', 'DescribeTimeToLive', 'DisableKinesisStreamingDestination',
  'EnableKinesisStreamingDestination', 'ExecuteStatement', 'ExecuteTransaction', 'ExportTableToPointInTime', 'GetItem', 'GetResourcePolicy', 'ImportTable', 'ListBackups',
  'ListContributorInsights', 'ListExports', 'ListGlobalTables', 'ListImports', 'ListTables', 'ListTagsOfResource', 'PutItem', 'PutResourcePolicy', 'Query', 'RestoreTableFromBackup',
  'RestoreTableToPointInTime', 'Scan', 'TagResource', 'TransactGetItems', 'TransactWriteItems', 'UntagResource', 'UpdateContinuousBackups', 'UpdateContributorInsights', 'UpdateGlobalTable',
  'UpdateGlobalTableSettings', 'UpdateItem', 'UpdateKinesisStreamingDestination', 'UpdateTable', 'UpdateTableReplicaAutoScaling', 'UpdateTimeToLive'];
const EXCEPTIONS = ['BackupInUseException', 'BackupNotFoundException', 'ConditionalCheckFailedException', 'ContinuousBackupsUnavailableException', 'DuplicateItemException', 'ExportConflictException',
  'ExportNotFoundException', 'GlobalTableAlreadyExistsException', 'GlobalTableNotFoundException', 'IdempotentParameterMismatchException', 'ImportConflictException', 'ImportNotFoundException',
  'IndexNotFoundException', 'InternalServerError', 'InvalidEndpointException', 'InvalidExportTimeException', 'InvalidRestoreTimeException', 'ItemCollectionSizeLimitExceededException',
  'LimitExceededException', 'PointInTimeRecoveryUnavailableException', 'PolicyNotFoundException', 'ProvisionedThroughputExceededException', 'ReplicaAlreadyExistsException',
  'ReplicaNotFoundException', 'ReplicatedWriteConflictException', 'RequestLimitExceeded', 'ResourceInUseException', 'ResourceNotFoundException', 'TableAlreadyExistsException', 'TableInUseException',
  'TableNotFoundException', 'ThrottlingException', 'TransactionCanceledException', 'TransactionConflictException', 'TransactionInProgressException'];
const ENUMS = {
  AttributeAction: 'ADD DELETE PUT', BackupStatus: 'AVAILABLE CREATING DELETED', BackupType: 'AWS_BACKUP SYSTEM USER', BillingMode: 'PAY_PER_REQUEST PROVISIONED',
  ComparisonOperator: 'BEGINS_WITH BETWEEN CONTAINS EQ GE GT IN LE LT NE NOT_CONTAINS NOT_NULL NULL', ConditionalOperator: 'AND OR', ExportFormat: 'DYNAMODB_JSON ION',
  IndexStatus: 'ACTIVE CREATING DELETING UPDATING', KeyType: 'HASH RANGE', ProjectionType: 'ALL INCLUDE KEYS_ONLY', ReturnConsumedCapacity: 'INDEXES NONE TOTAL',
  ReturnItemCollectionMetrics: 'NONE SIZE', ReturnValue: 'ALL_NEW ALL_OLD NONE UPDATED_NEW UPDATED_OLD', ReturnValuesOnConditionCheckFailure: 'ALL_OLD NONE', ScalarAttributeType: 'B N S',
  Select: 'ALL_ATTRIBUTES ALL_PROJECTED_ATTRIBUTES COUNT SPECIFIC_ATTRIBUTES', SSEType: 'AES256 KMS', StreamViewType: 'KEYS_ONLY NEW_AND_OLD_IMAGES NEW_IMAGE OLD_IMAGE',
  TableClass: 'STANDARD STANDARD_INFREQUENT_ACCESS', TimeToLiveStatus: 'DISABLED DISABLING ENABLED ENABLING',
  TableStatus: 'ACTIVE ARCHIVED ARCHIVING CREATING DELETING INACCESSIBLE_ENCRYPTION_CREDENTIALS UPDATING',
};
const TIMES = new Set(['ArchivalDateTime', 'BackupCreationDateTime', 'BackupExpiryDateTime', 'TableCreationDateTime', 'InaccessibleEncryptionDateTime', 'LastUpdateToPayPerRequestDateTime',
  'StartTime', 'EndTime', 'EarliestRestorableDateTime', 'LatestRestorableDateTime', 'ReplicaInaccessibleDateTime', 'LastUpdateDateTime', 'CreationDateTime', 'LastIncreaseDateTime',
  'LastDecreaseDateTime', 'RestoreDateTime', 'ExportTime', 'ExportFromTime', 'ExportToTime', 'TimeRangeLowerBound', 'TimeRangeUpperBound']);

// --- what comes back: base64 as bytes, seconds as dates

const bytes = (text) => Uint8Array.from(Buffer.from(text, 'base64'));

// Attributes of these names are not taken for more than that: the value of an attribute is always an object.
function convert(value) {
  for (const key of Object.keys(value)) {
    const own = value[key];
    if (key === 'BS' && Array.isArray(own)) value[key] = own.map((one) => (typeof one === 'string' ? bytes(one) : one));
    else if (own !== null && typeof own === 'object') convert(own);
    else if (key === 'B' && typeof own === 'string') value[key] = bytes(own);
    else if (typeof own === 'number' && TIMES.has(key)) value[key] = new Date(Math.round(own * 1000));
  }
  return value;
}

const CONVERTED = /"(?:BS?|\w*(?:Time|Bound))"\s*:/;

// The names of AWS's partitions in other countries' domains.
function endpoint(region, { fips, dualstack }) {
  if (region === 'local') return 'http://localhost:8000';
  const domain = region.startsWith('cn-') ? (dualstack ? 'api.amazonwebservices.com.cn' : 'amazonaws.com.cn') : dualstack ? 'api.aws' : 'amazonaws.com';
  const name = fips && !region.startsWith('us-gov-') ? 'dynamodb-fips' : 'dynamodb';
  return `https://${name}.${region}.${domain}`;
}

class DynamoDBServiceException extends ServiceException {}

const service = {
  id: 'DynamoDB', signing: 'dynamodb', target: 'DynamoDB_20120810', endpoint, Exception: DynamoDBServiceException, exceptions: {},
  tokens: { ExecuteTransaction: 'ClientRequestToken', TransactWriteItems: 'ClientRequestToken', ExportTableToPointInTime: 'ClientToken', ImportTable: 'ClientToken' },
  decode: (value, text) => (CONVERTED.test(text) ? convert(value) : value),
};

for (const name of EXCEPTIONS) {
  const $fault = name === 'InternalServerError' ? 'server' : 'client', more = name === 'ReplicatedWriteConflictException' ? { $retryable: {} } : {};
  service.exceptions[name] = { [name]: class extends DynamoDBServiceException {
    constructor({ name: _, message, $metadata, ...members }) {
      super({ message, $metadata, name, ...more, $fault });
      Object.assign(this, members, { $fault });
    }
  } }[name];
}

const commands = {};
for (const operation of OPERATIONS) {
  const name = `${operation}Command`;
  commands[name] = { [name]: class extends Command {
    static operation = operation;
  } }[name];
}

class DynamoDBClient extends Client {
  constructor(options = {}) {
    super(options, service);
  }
}

class DynamoDB extends DynamoDBClient {}
aggregate(DynamoDB, commands);

const paginators = {};
for (const [operation, from, to, size] of [['ListContributorInsights', 'NextToken', 'NextToken', 'MaxResults'], ['ListExports', 'NextToken', 'NextToken', 'MaxResults'],
  ['ListImports', 'NextToken', 'NextToken', 'PageSize'], ['ListTables', 'ExclusiveStartTableName', 'LastEvaluatedTableName', 'Limit'],
  ['Query', 'ExclusiveStartKey', 'LastEvaluatedKey', 'Limit'], ['Scan', 'ExclusiveStartKey', 'LastEvaluatedKey', 'Limit']]) {
  const name = `paginate${operation}`;
  paginators[name] = paginator(DynamoDBClient, commands[`${operation}Command`], from, to, size);
  DynamoDB.prototype[name] = function (input = {}, config, ...rest) {
    return paginators[name]({ ...config, client: this }, input, ...rest);
  };
}

const status = (of, good, bad) => (error, output) => (error ? 'RETRY' : good === of(output) ? 'SUCCESS' : bad.includes(of(output)) ? 'FAILURE' : 'RETRY');
const waiters = {};
for (const [name, operation, judge] of [
  ['TableExists', 'DescribeTable', (error, output) => (output?.Table?.TableStatus === 'ACTIVE' ? 'SUCCESS' : 'RETRY')],
  ['TableNotExists', 'DescribeTable', (error) => (error?.name === 'ResourceNotFoundException' ? 'SUCCESS' : 'RETRY')],
  ['ContributorInsightsEnabled', 'DescribeContributorInsights', status((output) => output.ContributorInsightsStatus, 'ENABLED', ['FAILED'])],
  ['ExportCompleted', 'DescribeExport', status((output) => output.ExportDescription?.ExportStatus, 'COMPLETED', ['FAILED'])],
  ['ImportCompleted', 'DescribeImport', status((output) => output.ImportTableDescription?.ImportStatus, 'COMPLETED', ['FAILED', 'CANCELLED'])],
]) {
  const [poll, until] = waiter(commands[`${operation}Command`], judge);
  waiters[`waitFor${name}`] = poll;
  waiters[`waitUntil${name}`] = until;
  DynamoDB.prototype[`waitUntil${name}`] = async function (input = {}, config) {
    return until({ ...(typeof config === 'number' ? { maxWaitTime: config } : config), client: this }, input);
  };
}

const enums = {};
for (const [name, values] of Object.entries(ENUMS)) enums[name] = Object.fromEntries(values.split(' ').map((value) => [value, value]));

module.exports = { $Command: Command, __Client: Client, DynamoDB, DynamoDBClient, DynamoDBServiceException, ...service.exceptions, ...commands, ...paginators, ...waiters, ...enums };
