"""Provisioned capacity as boto3 meets it."""

import sys

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

URL = sys.argv[1]
client = boto3.client("dynamodb", endpoint_url=URL, config=Config(retries={"max_attempts": 0}),
                      aws_access_key_id="test", aws_secret_access_key="test", region_name="eu-central-1")


def make(name, **mode):
    client.create_table(TableName=name, KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
                        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}], **mode)


make("one", ProvisionedThroughput={"ReadCapacityUnits": 1, "WriteCapacityUnits": 1})
make("many", BillingMode="PAY_PER_REQUEST")
through = 0
try:
    for number in range(2000):
        client.put_item(TableName="one", Item={"pk": {"S": str(number)}, "x": {"S": "x" * 20000}})
        through += 1
    raise AssertionError("never throttled")
except client.exceptions.ProvisionedThroughputExceededException as error:
    reasons = error.response["ThrottlingReasons"]
    assert reasons == [{"reason": "TableWriteProvisionedThroughputExceeded", "resource": "arn:aws:dynamodb:eu-central-1:123456789012:table/one"}], reasons
assert through >= 15, through  # 20 units each of 300, and what has filled meanwhile

put = lambda key: {"PutRequest": {"Item": {"pk": {"S": key}}}}
answer = client.batch_write_item(RequestItems={"one": [put("a"), put("b"), {"PutRequest": {"Item": {"pk": {"S": "c"}, "x": {"S": "x" * 20000}}}}], "many": [put("a")]},
                                 ReturnConsumedCapacity="TOTAL")
left = [write["PutRequest"]["Item"]["pk"]["S"] for write in answer["UnprocessedItems"]["one"]]
assert "c" in left and "many" not in answer["UnprocessedItems"], answer
try:
    client.transact_write_items(TransactItems=[{"Put": {"TableName": "one", "Item": {"pk": {"S": "t"}, "x": {"S": "x" * 200000}}}}])
    raise AssertionError("not cancelled")
except ClientError as error:
    assert error.response["Error"]["Code"] == "TransactionCanceledException", error.response
    assert error.response["CancellationReasons"][0]["Code"] == "ProvisionedThroughputExceeded", error.response
assert client.get_item(TableName="one", Key={"pk": {"S": "0"}}, ReturnConsumedCapacity="TOTAL")["ConsumedCapacity"]["CapacityUnits"] == 2.5
client.update_table(TableName="one", ProvisionedThroughput={"ReadCapacityUnits": 10, "WriteCapacityUnits": 10})
for number in range(500):
    client.put_item(TableName="many", Item={"pk": {"S": str(number)}})
print("all done")
