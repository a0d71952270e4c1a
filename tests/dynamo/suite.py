"""Every operation that the front offers, asked by boto3."""

import sys
import time
import zlib
import http.client
import json
from urllib.parse import urlparse

import boto3
from boto3.dynamodb.conditions import Attr, Key
from botocore.config import Config
from botocore.exceptions import ClientError

URL = sys.argv[1]
KEYS = dict(aws_access_key_id="test", aws_secret_access_key="test", region_name="eu-central-1")
CONFIG = Config(retries={"max_attempts": 0})
client = boto3.client("dynamodb", endpoint_url=URL, config=CONFIG, **KEYS)
streams = boto3.client("dynamodbstreams", endpoint_url=URL, config=CONFIG, **KEYS)
resource = boto3.resource("dynamodb", endpoint_url=URL, config=CONFIG, **KEYS)


def refused(code, call, **request):
    try:
        answer = call(**request)
    except ClientError as error:
        assert error.response["Error"]["Code"] == code, error.response
        return error.response
    raise AssertionError(f"{code} wanted, got {answer}")


def tables():
    client.create_table(
        TableName="todo",
        AttributeDefinitions=[
            {"AttributeName": name, "AttributeType": kind} for name, kind in [("pk", "S"), ("sk", "N"), ("owner", "S"), ("due", "N")]
        ],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        BillingMode="PAY_PER_REQUEST",
        GlobalSecondaryIndexes=[
            {
                "IndexName": "by-owner",
                "KeySchema": [{"AttributeName": "owner", "KeyType": "HASH"}],
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
        LocalSecondaryIndexes=[
            {
                "IndexName": "by-due",
                "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "due", "KeyType": "RANGE"}],
                "Projection": {"ProjectionType": "KEYS_ONLY"},
            }
        ],
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    )
    client.get_waiter("table_exists").wait(TableName="todo")
    described = client.describe_table(TableName="todo")["Table"]
    assert described["TableArn"] == "arn:aws:dynamodb:eu-central-1:123456789012:table/todo", described
    assert described["TableStatus"] == "ACTIVE"
    assert client.list_tables()["TableNames"] == ["todo"]
    refused("ResourceInUseException", client.create_table, TableName="todo", KeySchema=described["KeySchema"][:1],
            AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}], BillingMode="PAY_PER_REQUEST")
    refused("ResourceNotFoundException", client.describe_table, TableName="nothing")
    assert client.describe_endpoints()["Endpoints"][0]["CachePeriodInMinutes"] == 1440
    assert client.describe_limits()["AccountMaxReadCapacityUnits"] == 80000


def items():
    table = resource.Table("todo")
    table.put_item(Item={"pk": "a", "sk": 1, "owner": "alice", "due": 5, "title": "write", "tags": {"x", "y"}, "deep": {"list": [1, {"z": True}]}})
    got = table.get_item(Key={"pk": "a", "sk": 1}, ProjectionExpression="title, deep.#l[1].z", ExpressionAttributeNames={"#l": "list"})
    assert got["Item"] == {"title": "write", "deep": {"list": [{"z": True}]}}, got
    assert "Item" not in table.get_item(Key={"pk": "a", "sk": 99})
    new = table.update_item(
        Key={"pk": "a", "sk": 1}, UpdateExpression="SET due = due + :one REMOVE title ADD tags :more DELETE gone :more",
        ExpressionAttributeValues={":one": 1, ":more": {"z"}}, ReturnValues="ALL_NEW")["Attributes"]
    assert new["due"] == 6 and new["tags"] == {"x", "y", "z"} and "title" not in new, new
    refused("ConditionalCheckFailedException", table.put_item, Item={"pk": "a", "sk": 1}, ConditionExpression=Attr("pk").not_exists())
    failed = refused("ConditionalCheckFailedException", table.delete_item, Key={"pk": "a", "sk": 1},
                     ConditionExpression=Attr("due").gt(100), ReturnValuesOnConditionCheckFailure="ALL_OLD")
    assert failed["Item"]["due"] == {"N": "6"}, failed
    made = table.update_item(Key={"pk": "a", "sk": 2}, UpdateExpression="SET due = :d", ExpressionAttributeValues={":d": 1}, ReturnValues="ALL_OLD")
    assert "Attributes" not in made, made
    old = table.delete_item(Key={"pk": "a", "sk": 2}, ReturnValues="ALL_OLD")["Attributes"]
    assert old == {"pk": "a", "sk": 2, "due": 1}, old
    refused("ValidationException", table.put_item, Item={"pk": "a"})
    refused("ValidationException", table.put_item, Item={"pk": "a", "sk": 1, "x": "y" * 410000})
    refused("ResourceNotFoundException", client.get_item, TableName="nothing", Key={"pk": {"S": "a"}})


def searches():
    table = resource.Table("todo")
    with table.batch_writer() as batch:
        for number in range(60):
            batch.put_item(Item={"pk": "q", "sk": number, "owner": "bob" if number % 2 else "eve", "due": 100 - number, "text": "t" * 10})
    rows = table.query(KeyConditionExpression=Key("pk").eq("q") & Key("sk").between(10, 14))["Items"]
    assert [int(row["sk"]) for row in rows] == [10, 11, 12, 13, 14]
    back = table.query(KeyConditionExpression=Key("pk").eq("q"), ScanIndexForward=False, Limit=3)
    assert [int(row["sk"]) for row in back["Items"]] == [59, 58, 57] and back["LastEvaluatedKey"]["sk"] == 57
    more = table.query(KeyConditionExpression=Key("pk").eq("q"), ScanIndexForward=False, Limit=3, ExclusiveStartKey=back["LastEvaluatedKey"])
    assert [int(row["sk"]) for row in more["Items"]] == [56, 55, 54]
    bobs = table.query(IndexName="by-owner", KeyConditionExpression=Key("owner").eq("bob"), FilterExpression=Attr("sk").lt(10))
    assert bobs["Count"] == 5 and bobs["ScannedCount"] == 30, bobs
    refused("ValidationException", table.query, IndexName="by-owner", KeyConditionExpression=Key("owner").eq("bob"), ConsistentRead=True)
    due = table.query(IndexName="by-due", KeyConditionExpression=Key("pk").eq("q") & Key("due").lt(43), ProjectionExpression="#t, due",
                      ExpressionAttributeNames={"#t": "text"})["Items"]
    assert due == [{"text": "t" * 10, "due": 41}, {"text": "t" * 10, "due": 42}], due
    pages = client.get_paginator("scan").paginate(TableName="todo", PaginationConfig={"PageSize": 7})
    assert sum(page["Count"] for page in pages) == 61
    parts = [table.scan(Segment=part, TotalSegments=3)["Count"] for part in range(3)]
    assert sum(parts) == 61, parts
    assert table.scan(Select="COUNT")["Count"] == 61


def batches_and_transactions():
    keys = [{"pk": {"S": "q"}, "sk": {"N": str(number)}} for number in (1, 2, 99)]
    got = client.batch_get_item(RequestItems={"todo": {"Keys": keys, "ProjectionExpression": "sk"}})
    assert sorted(item["sk"]["N"] for item in got["Responses"]["todo"]) == ["1", "2"] and got["UnprocessedKeys"] == {}
    token = "token-1"
    put = {"Put": {"TableName": "todo", "Item": {"pk": {"S": "x"}, "sk": {"N": "1"}}, "ConditionExpression": "attribute_not_exists(pk)"}}
    check = {"ConditionCheck": {"TableName": "todo", "Key": keys[0], "ConditionExpression": "attribute_exists(pk)"}}
    client.transact_write_items(TransactItems=[put, check], ClientRequestToken=token)
    client.transact_write_items(TransactItems=[put, check], ClientRequestToken=token)
    refused("IdempotentParameterMismatchException", client.transact_write_items, TransactItems=[check], ClientRequestToken=token)
    failed = refused("TransactionCanceledException", client.transact_write_items, TransactItems=[put, check])
    assert [reason["Code"] for reason in failed["CancellationReasons"]] == ["ConditionalCheckFailed", "None"], failed
    both = client.transact_get_items(TransactItems=[{"Get": {"TableName": "todo", "Key": key}} for key in keys])
    assert ["Item" in one for one in both["Responses"]] == [True, True, False]


def statements():
    client.execute_statement(Statement="INSERT INTO \"todo\" VALUE {'pk': 'p', 'sk': 1, 'owner': 'pat'}")
    rows = client.execute_statement(Statement='SELECT * FROM "todo" WHERE pk = ?', Parameters=[{"S": "p"}])["Items"]
    assert rows == [{"pk": {"S": "p"}, "sk": {"N": "1"}, "owner": {"S": "pat"}}], rows
    refused("DuplicateItemException", client.execute_statement, Statement="INSERT INTO \"todo\" VALUE {'pk': 'p', 'sk': 1}")
    client.execute_transaction(TransactStatements=[{"Statement": "UPDATE \"todo\" SET owner = 'sam' WHERE pk = 'p' AND sk = 1"}])
    got = client.batch_execute_statement(Statements=[{"Statement": "SELECT owner FROM \"todo\" WHERE pk = 'p' AND sk = 1"}, {"Statement": "SELECT nothing"}])
    assert got["Responses"][0]["Item"] == {"owner": {"S": "sam"}} and "Error" in got["Responses"][1], got


def older_forms():
    client.put_item(TableName="todo", Item={"pk": {"S": "old"}, "sk": {"N": "1"}}, Expected={"pk": {"Exists": False}})
    client.update_item(TableName="todo", Key={"pk": {"S": "old"}, "sk": {"N": "1"}}, AttributeUpdates={"n": {"Action": "ADD", "Value": {"N": "3"}}})
    got = client.query(TableName="todo", KeyConditions={"pk": {"ComparisonOperator": "EQ", "AttributeValueList": [{"S": "old"}]}}, AttributesToGet=["n"])
    assert got["Items"] == [{"n": {"N": "3"}}], got


def tags_and_ttl():
    arn = "arn:aws:dynamodb:eu-central-1:123456789012:table/todo"
    client.tag_resource(ResourceArn=arn, Tags=[{"Key": "team", "Value": "edge"}, {"Key": "x", "Value": "y"}])
    client.untag_resource(ResourceArn=arn, TagKeys=["x"])
    assert client.list_tags_of_resource(ResourceArn=arn)["Tags"] == [{"Key": "team", "Value": "edge"}]
    client.update_time_to_live(TableName="todo", TimeToLiveSpecification={"Enabled": True, "AttributeName": "expires"})
    assert client.describe_time_to_live(TableName="todo")["TimeToLiveDescription"] == {"TimeToLiveStatus": "ENABLED", "AttributeName": "expires"}
    refused("ValidationException", client.update_time_to_live, TableName="todo", TimeToLiveSpecification={"Enabled": True, "AttributeName": "expires"})
    table = resource.Table("todo")
    table.put_item(Item={"pk": "ttl", "sk": 1, "expires": int(time.time()) - 100})
    table.put_item(Item={"pk": "ttl", "sk": 2, "expires": int(time.time()) + 1000})
    for _ in range(200):
        if "Item" not in table.get_item(Key={"pk": "ttl", "sk": 1}, ConsistentRead=True):
            break
        time.sleep(0.05)
    assert "Item" not in table.get_item(Key={"pk": "ttl", "sk": 1}, ConsistentRead=True), "expired"
    assert "Item" in table.get_item(Key={"pk": "ttl", "sk": 2}, ConsistentRead=True), "not expired"


def stream():
    arn = client.describe_table(TableName="todo")["Table"]["LatestStreamArn"]
    assert arn.startswith("arn:aws:dynamodb:eu-central-1:123456789012:table/todo/stream/"), arn
    assert [one["StreamArn"] for one in streams.list_streams(TableName="todo")["Streams"]] == [arn]
    described = streams.describe_stream(StreamArn=arn)["StreamDescription"]
    assert described["StreamViewType"] == "NEW_AND_OLD_IMAGES" and len(described["Shards"]) == 1, described
    shard = described["Shards"][0]["ShardId"]
    latest = streams.get_shard_iterator(StreamArn=arn, ShardId=shard, ShardIteratorType="LATEST")["ShardIterator"]
    table = resource.Table("todo")
    table.put_item(Item={"pk": "s", "sk": 1, "v": 1})
    table.put_item(Item={"pk": "s", "sk": 1, "v": 1})
    table.put_item(Item={"pk": "s", "sk": 1, "v": 2})
    table.delete_item(Key={"pk": "s", "sk": 1})
    got = streams.get_records(ShardIterator=latest, Limit=2)
    assert [record["eventName"] for record in got["Records"]] == ["INSERT", "MODIFY"], got
    assert got["Records"][1]["dynamodb"]["OldImage"]["v"] == {"N": "1"} and got["Records"][1]["awsRegion"] == "eu-central-1"
    rest = streams.get_records(ShardIterator=got["NextShardIterator"])["Records"]
    assert [record["eventName"] for record in rest] == ["REMOVE"], rest
    start = streams.get_shard_iterator(StreamArn=arn, ShardId=shard, ShardIteratorType="TRIM_HORIZON")["ShardIterator"]
    expired = [record for record in streams.get_records(ShardIterator=start)["Records"] if "userIdentity" in record]
    assert len(expired) == 1, expired
    assert expired[0]["userIdentity"] == {"Type": "Service", "PrincipalId": "dynamodb.amazonaws.com"}, expired
    number = got["Records"][1]["dynamodb"]["SequenceNumber"]
    at = streams.get_shard_iterator(StreamArn=arn, ShardId=shard, ShardIteratorType="AT_SEQUENCE_NUMBER", SequenceNumber=number)["ShardIterator"]
    assert [record["eventName"] for record in streams.get_records(ShardIterator=at)["Records"]] == ["MODIFY", "REMOVE"]
    refused("ResourceNotFoundException", streams.describe_stream, StreamArn=arn.replace("todo", "nothing"))
    client.update_table(TableName="todo", StreamSpecification={"StreamEnabled": False})
    assert client.describe_table(TableName="todo")["Table"]["LatestStreamArn"] == arn
    assert [one["StreamArn"] for one in streams.list_streams(TableName="todo")["Streams"]] == [arn]
    described = streams.describe_stream(StreamArn=arn)["StreamDescription"]
    assert described["StreamStatus"] == "DISABLED", described
    assert "EndingSequenceNumber" in described["Shards"][0]["SequenceNumberRange"], described
    got = streams.get_records(ShardIterator=at)
    assert [record["eventName"] for record in got["Records"]] == ["MODIFY", "REMOVE"] and "NextShardIterator" not in got, got


def wire():
    def post(target, body, kind="application/x-amz-json-1.0"):
        connection = http.client.HTTPConnection(urlparse(URL).netloc)
        headers = {"Content-Type": kind}
        if target:
            headers["X-Amz-Target"] = target
        connection.request("POST", "/", body, headers)
        answer = connection.getresponse()
        content = answer.read()
        assert int(answer.headers["x-amz-crc32"]) == zlib.crc32(content), content
        assert len(answer.headers["x-amzn-RequestId"]) == 52
        return answer.status, json.loads(content) if content else None

    for target, body, kind in [
        ("DynamoDB_20120810.GetItem", "{", "com.amazon.coral.service#SerializationException"),
        ("DynamoDB_20120810.GetItem", '{"TableName": 1}', "com.amazon.coral.service#SerializationException"),
        ("DynamoDB_20120810.GetItem", "{}", "com.amazon.coral.validate#ValidationException"),
        ("DynamoDB_20120810.Nothing", "{}", "com.amazon.coral.service#UnknownOperationException"),
        (None, "{}", "com.amazon.coral.service#UnknownOperationException"),
        ("DynamoDB_20120810.DescribeTable", '{"TableName": "nothing"}', "com.amazonaws.dynamodb.v20120810#ResourceNotFoundException"),
        ("DynamoDB_20120810.PutItem", '{"a":' * 100000, "com.amazon.coral.validate#ValidationException"),
    ]:
        status, answer = post(target, body)
        assert (status, answer["__type"]) == (400, kind), (target, body[:80], status, answer)


def ends():
    client.update_table(TableName="todo", DeletionProtectionEnabled=True)
    refused("ValidationException", client.delete_table, TableName="todo")
    client.update_table(TableName="todo", DeletionProtectionEnabled=False)
    client.delete_table(TableName="todo")
    client.get_waiter("table_not_exists").wait(TableName="todo")
    assert client.list_tables()["TableNames"] == []


for part in [tables, items, searches, batches_and_transactions, statements, older_forms, tags_and_ttl, stream, wire, ends]:
    part()
    print(part.__name__)
print("all done")
