"""Event source mappings, as boto3 makes and changes them."""

import json
import os
import sys
import time

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

LAMBDA, TABLES, MARKS = sys.argv[1:4]
KEYS = dict(aws_access_key_id="test", aws_secret_access_key="test", region_name="eu-west-1")
CONFIG = Config(retries={"max_attempts": 0})
functions = boto3.client("lambda", endpoint_url=LAMBDA, config=CONFIG, **KEYS)
tables = boto3.client("dynamodb", endpoint_url=TABLES, config=CONFIG, **KEYS)


def refused(code, call, **request):
    try:
        answer = call(**request)
    except ClientError as error:
        assert error.response["Error"]["Code"] == code, error.response
        return error.response["Error"]["Message"]
    raise AssertionError(f"{code} wanted, got {answer}")


def until(what, true):
    end = time.time() + 60
    while not true():
        assert time.time() < end, what
        time.sleep(0.05)


def seen():
    try:
        with open(os.path.join(MARKS, "f")) as lines:
            return [record["dynamodb"]["Keys"]["pk"]["S"] for line in lines if line.endswith("\n") for record in json.loads(line)]
    except FileNotFoundError:
        return []


def put(key):
    tables.put_item(TableName="todo", Item={"pk": {"S": key}})


arn = tables.describe_table(TableName="todo")["Table"]["LatestStreamArn"]
usual = dict(EventSourceArn=arn, FunctionName="f", StartingPosition="TRIM_HORIZON")
for change, code in [
    (dict(FunctionName="none"), "ResourceNotFoundException"),
    (dict(EventSourceArn="arn:aws:sqs:eu-west-1:000000000000:queue"), "InvalidParameterValueException"),
    (dict(EventSourceArn=arn + "1"), "InvalidParameterValueException"),
    (dict(StartingPosition="AT_TIMESTAMP"), "InvalidParameterValueException"),
    (dict(StartingPosition="NEWEST"), "ValidationException"),
    (dict(ParallelizationFactor=11), "ValidationException"),
    (dict(TumblingWindowInSeconds=10), "InvalidParameterValueException"),
    (dict(MaximumRecordAgeInSeconds=10), "InvalidParameterValueException"),
    (dict(FilterCriteria={"Filters": [{"Pattern": "{"}]}), "InvalidParameterValueException"),
    (dict(DestinationConfig={"OnFailure": {"Destination": "arn:aws:sqs:r:1:q"}}), "InvalidParameterValueException"),
    (dict(Topics=["t"]), "InvalidParameterValueException"),
]:
    refused(code, functions.create_event_source_mapping, **{**usual, **change})

put("a")
made = functions.create_event_source_mapping(**usual, BatchSize=10, FilterCriteria={"Filters": [{"Pattern": '{"eventName":["INSERT"]}'}]})
assert made["ResponseMetadata"]["HTTPStatusCode"] == 202
uuid = made["UUID"]
assert made["State"] in ("Creating", "Enabled") and made["BatchSize"] == 10 and made["EventSourceArn"] == arn, made
assert made["MaximumRetryAttempts"] == -1 and made["MaximumRecordAgeInSeconds"] == -1 and not made["BisectBatchOnFunctionError"]
message = refused("ResourceConflictException", functions.create_event_source_mapping, **usual)
assert uuid in message, message
until("the first record", lambda: seen() == ["a"])
state = lambda: functions.get_event_source_mapping(UUID=uuid)["State"]
until("enabled", lambda: state() == "Enabled")
until("its result", lambda: functions.get_event_source_mapping(UUID=uuid)["LastProcessingResult"] == "OK")

listed = functions.list_event_source_mappings()["EventSourceMappings"]
assert sorted(one["FunctionArn"].split(":")[-1] for one in listed) == ["configured", "f"], listed
assert [one["UUID"] for one in functions.list_event_source_mappings(FunctionName="f")["EventSourceMappings"]] == [uuid]
assert len(functions.list_event_source_mappings(EventSourceArn=arn)["EventSourceMappings"]) == 2
assert functions.list_event_source_mappings(EventSourceArn="arn:x")["EventSourceMappings"] == []
pages = functions.get_paginator("list_event_source_mappings").paginate(PaginationConfig={"PageSize": 1})
assert [len(page["EventSourceMappings"]) for page in pages] == [1, 1]
own = next(one["UUID"] for one in listed if one["UUID"] != uuid)
refused("ResourceConflictException", functions.update_event_source_mapping, UUID=own, BatchSize=1)
refused("ResourceConflictException", functions.delete_event_source_mapping, UUID=own)

# Off, it reads nothing; on again, it goes on where it was.
functions.update_event_source_mapping(UUID=uuid, Enabled=False)
until("disabled", lambda: state() == "Disabled")
put("b")
changed = functions.update_event_source_mapping(
    UUID=uuid,
    Enabled=True,
    BatchSize=1,
    MaximumRetryAttempts=2,
    MaximumRecordAgeInSeconds=600,
    MaximumBatchingWindowInSeconds=1,
    BisectBatchOnFunctionError=True,
    FunctionResponseTypes=["ReportBatchItemFailures"],
    FilterCriteria={"Filters": []},
    DestinationConfig={"OnFailure": {"Destination": "arn:aws:lambda:eu-west-1:000000000000:function:f"}},
)
assert "FilterCriteria" not in changed and changed["FunctionResponseTypes"] == ["ReportBatchItemFailures"], changed
assert changed["DestinationConfig"]["OnFailure"]["Destination"].endswith(":f"), changed
assert (changed["MaximumRetryAttempts"], changed["MaximumRecordAgeInSeconds"]) == (2, 600), changed
until("the second", lambda: seen() == ["a", "b"])
tables.delete_item(TableName="todo", Key={"pk": {"S": "b"}})
until("no filter any more", lambda: seen() == ["a", "b", "b"])

gone = functions.delete_event_source_mapping(UUID=uuid)
assert gone["State"] == "Deleting", gone
refused("ResourceNotFoundException", functions.get_event_source_mapping, UUID=uuid)
refused("ResourceNotFoundException", functions.update_event_source_mapping, UUID=uuid, BatchSize=1)
refused("ResourceNotFoundException", functions.delete_event_source_mapping, UUID=uuid)
# Whoever begins anew begins anew.
again = functions.create_event_source_mapping(**usual)["UUID"]
until("all once more", lambda: seen() == ["a", "b", "b", "a", "b", "b"])
functions.delete_event_source_mapping(UUID=again)
print("all done")
