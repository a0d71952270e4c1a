"""What boto3 sees of the control API. argv: endpoint, interpreter's architecture."""
import base64
import hashlib
import io
import json
import sys
import zipfile

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

endpoint = sys.argv[1]
client = boto3.client("lambda", endpoint_url=endpoint, region_name="eu-west-1", aws_access_key_id="a",
                      aws_secret_access_key="b", config=Config(retries={"max_attempts": 0}))
ROLE = "arn:aws:iam::000000000000:role/r"


def package(text, name="app.py"):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as z:
        z.writestr(name, text)
    return out.getvalue()


def handler(answer):
    return package(f"import os\ndef handler(event, context):\n    return [{answer!r}, os.environ.get('KEY'), context.function_version]\n")


def refused(code, status, call, **arguments):
    try:
        call(**arguments)
    except ClientError as error:
        assert error.response["Error"]["Code"] == code, error.response
        assert error.response["ResponseMetadata"]["HTTPStatusCode"] == status, error.response
        assert error.response["Error"]["Message"], error.response
        return error.response
    raise AssertionError(f"{code} expected")


def call(name, **more):
    answer = client.invoke(FunctionName=name, Payload=b"{}", **more)
    assert "FunctionError" not in answer, answer["Payload"].read()
    return json.loads(answer["Payload"].read())


one = handler("one")
made = client.create_function(FunctionName="f", Runtime="python3.13", Role=ROLE, Handler="app.handler", Code={"ZipFile": one},
                              Environment={"Variables": {"KEY": "v"}}, Tags={"team": "edge"}, Timeout=5, MemorySize=256)
assert made["ResponseMetadata"]["HTTPStatusCode"] == 201
assert made["FunctionArn"] == "arn:aws:lambda:eu-west-1:000000000000:function:f", made
assert made["CodeSha256"] == base64.b64encode(hashlib.sha256(one).digest()).decode() and made["CodeSize"] == len(one)
assert (made["Version"], made["State"], made["Timeout"], made["MemorySize"]) == ("$LATEST", "Active", 5, 256)
assert made["Environment"] == {"Variables": {"KEY": "v"}} and made["LastModified"].endswith("+0000")
client.get_waiter("function_active_v2").wait(FunctionName="f")
assert call("f") == ["one", "v", "$LATEST"]

got = client.get_function(FunctionName="f")
assert got["Tags"] == {"team": "edge"} and got["Configuration"]["RevisionId"] == made["RevisionId"]
refused("ResourceConflictException", 409, client.create_function, FunctionName="f", Runtime="python3.13", Role=ROLE,
        Handler="app.handler", Code={"ZipFile": one})
refused("ResourceNotFoundException", 404, client.get_function, FunctionName="none")
refused("ResourceNotFoundException", 404, client.get_function, FunctionName="f", Qualifier="7")
for wrong, code in [({"Runtime": "java21"}, "InvalidParameterValueException"), ({"MemorySize": 10241}, "InvalidParameterValueException"),
                    ({"Timeout": 901}, "ValidationException"), ({"Role": "nobody"}, "ValidationException"),
                    ({"Environment": {"Variables": {"AWS_REGION": "x"}}}, "InvalidParameterValueException"),
                    ({"Environment": {"Variables": {"BIG": "x" * 4096}}}, "InvalidParameterValueException"),
                    ({"Code": {"ZipFile": b"no zip"}}, "InvalidParameterValueException"),
                    ({"Code": {"S3Bucket": "bucket", "S3Key": "k"}}, "InvalidParameterValueException"),
                    ({"Code": {"ZipFile": package("", "../x")}}, "InvalidParameterValueException"),
                    ({"Layers": ["arn:aws:lambda:eu-west-1:000000000000:layer:l:1"]}, "InvalidParameterValueException")]:
    said = {"FunctionName": "g", "Runtime": "python3.13", "Role": ROLE, "Handler": "app.handler", "Code": {"ZipFile": one}, **wrong}
    refused(code, 400, client.create_function, **said)

# Versions.
first = client.publish_version(FunctionName="f", Description="the first")
assert (first["Version"], first["Description"], first["FunctionArn"]) == ("1", "the first", made["FunctionArn"] + ":1")
assert client.publish_version(FunctionName="f")["Version"] == "1", "nothing changed"
refused("PreconditionFailedException", 412, client.update_function_code, FunctionName="f", ZipFile=one, RevisionId="x")
two = handler("two")
assert client.update_function_code(FunctionName="f", ZipFile=two, DryRun=True)["CodeSize"] == len(two)
assert call("f")[0] == "one"
updated = client.update_function_code(FunctionName="f", ZipFile=two, RevisionId=made["RevisionId"])
assert updated["RevisionId"] != made["RevisionId"] and updated["LastUpdateStatus"] == "Successful"
client.get_waiter("function_updated_v2").wait(FunctionName="f")
changed = client.update_function_configuration(FunctionName="f", Environment={"Variables": {"KEY": "w"}}, Description="d")
assert changed["Description"] == "d" and changed["Timeout"] == 5
second = client.publish_version(FunctionName="f", CodeSha256=changed["CodeSha256"])
assert second["Version"] == "2"
refused("InvalidParameterValueException", 400, client.publish_version, FunctionName="f", CodeSha256="x")
assert call("f:1") == ["one", "v", "1"] and call("f", Qualifier="2") == ["two", "w", "2"]
assert [v["Version"] for v in client.list_versions_by_function(FunctionName="f")["Versions"]] == ["$LATEST", "1", "2"]

# Aliases.
alias = client.create_alias(FunctionName="f", Name="live", FunctionVersion="1")
assert alias["AliasArn"] == made["FunctionArn"] + ":live"
assert call("f:live")[0] == "one"
refused("ResourceConflictException", 409, client.create_alias, FunctionName="f", Name="live", FunctionVersion="1")
refused("ResourceNotFoundException", 404, client.create_alias, FunctionName="f", Name="other", FunctionVersion="9")
refused("ValidationException", 400, client.create_alias, FunctionName="f", Name="12", FunctionVersion="1")
weighted = client.update_alias(FunctionName="f", Name="live", RoutingConfig={"AdditionalVersionWeights": {"2": 1.0}})
assert weighted["RoutingConfig"] == {"AdditionalVersionWeights": {"2": 1.0}}
answer = client.invoke(FunctionName="f:live", Payload=b"{}")
assert answer["ExecutedVersion"] == "2" and json.loads(answer["Payload"].read())[0] == "two"
for weights in [{"1": 0.5}, {"2": 1.5}, {"2": 0.1, "$LATEST": 0.1}, {"9": 0.5}]:
    try:
        client.update_alias(FunctionName="f", Name="live", RoutingConfig={"AdditionalVersionWeights": weights})
    except ClientError as error:
        assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    else:
        raise AssertionError(weights)
client.update_alias(FunctionName="f", Name="live", RoutingConfig={"AdditionalVersionWeights": {"2": 0.5}})
seen = {call("f:live")[0] for _ in range(40)}
assert seen == {"one", "two"}, seen
client.update_alias(FunctionName="f", Name="live", FunctionVersion="2", RoutingConfig={"AdditionalVersionWeights": {}})
assert {call("f:live")[0] for _ in range(5)} == {"two"}
refused("PreconditionFailedException", 412, client.update_alias, FunctionName="f", Name="live", RevisionId="x")
assert [a["Name"] for a in client.list_aliases(FunctionName="f")["Aliases"]] == ["live"]
assert client.get_alias(FunctionName="f", Name="live")["FunctionVersion"] == "2"
assert client.get_function(FunctionName="f", Qualifier="live")["Configuration"]["Version"] == "2"
refused("ResourceConflictException", 409, client.delete_function, FunctionName="f", Qualifier="2")
client.delete_function(FunctionName="f", Qualifier="1")
refused("ResourceNotFoundException", 404, client.invoke, FunctionName="f:1")

# Concurrency.
assert "ReservedConcurrentExecutions" not in client.get_function_concurrency(FunctionName="f")
client.put_function_concurrency(FunctionName="f", ReservedConcurrentExecutions=0)
assert client.get_function_concurrency(FunctionName="f")["ReservedConcurrentExecutions"] == 0
throttled = refused("TooManyRequestsException", 429, client.invoke, FunctionName="f")
assert throttled["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded", throttled
refused("InvalidParameterValueException", 400, client.put_function_concurrency, FunctionName="f", ReservedConcurrentExecutions=901)
client.delete_function_concurrency(FunctionName="f")
assert call("f")[0] == "two"

# URLs, rules for accepted calls, tags, the account.
url = client.create_function_url_config(FunctionName="f", AuthType="NONE", Qualifier="live", InvokeMode="RESPONSE_STREAM",
                                        Cors={"AllowOrigins": ["*"]})
assert url["FunctionUrl"].endswith(".lambda-url.eu-west-1.on.aws/") and url["Cors"] == {"AllowOrigins": ["*"]}
refused("ResourceConflictException", 409, client.create_function_url_config, FunctionName="f", AuthType="NONE", Qualifier="live")
assert client.update_function_url_config(FunctionName="f", Qualifier="live", AuthType="AWS_IAM")["FunctionUrl"] == url["FunctionUrl"]
assert client.get_function_url_config(FunctionName="f", Qualifier="live")["AuthType"] == "AWS_IAM"
assert len(client.list_function_url_configs(FunctionName="f")["FunctionUrlConfigs"]) == 1
client.delete_function_url_config(FunctionName="f", Qualifier="live")
refused("ResourceNotFoundException", 404, client.get_function_url_config, FunctionName="f", Qualifier="live")

rules = client.put_function_event_invoke_config(FunctionName="f", MaximumRetryAttempts=1, MaximumEventAgeInSeconds=60,
                                                DestinationConfig={"OnFailure": {"Destination": made["FunctionArn"]}})
assert rules["MaximumRetryAttempts"] == 1 and rules["DestinationConfig"]["OnFailure"]["Destination"] == made["FunctionArn"]
changed = client.update_function_event_invoke_config(FunctionName="f", MaximumRetryAttempts=0)
assert (changed["MaximumRetryAttempts"], changed["MaximumEventAgeInSeconds"]) == (0, 60)
assert client.get_function_event_invoke_config(FunctionName="f")["FunctionArn"] == made["FunctionArn"] + ":$LATEST"
assert len(client.list_function_event_invoke_configs(FunctionName="f")["FunctionEventInvokeConfigs"]) == 1
refused("InvalidParameterValueException", 400, client.put_function_event_invoke_config, FunctionName="f",
        DestinationConfig={"OnFailure": {"Destination": "arn:aws:sqs:eu-west-1:000000000000:q"}})
client.delete_function_event_invoke_config(FunctionName="f")
refused("ResourceNotFoundException", 404, client.get_function_event_invoke_config, FunctionName="f")

client.tag_resource(Resource=made["FunctionArn"], Tags={"a": "1", "b": "2"})
client.untag_resource(Resource=made["FunctionArn"], TagKeys=["a", "team"])
assert client.list_tags(Resource=made["FunctionArn"])["Tags"] == {"b": "2"}
account = client.get_account_settings()
assert account["AccountLimit"]["ConcurrentExecutions"] == 1000 and account["AccountUsage"]["FunctionCount"] == 2, account

# Pages.
for name in ["p1", "p2", "p3"]:
    client.create_function(FunctionName=name, Runtime="python3.13", Role=ROLE, Handler="app.handler", Code={"ZipFile": one}, Publish=True)
pages = client.get_paginator("list_functions").paginate(PaginationConfig={"PageSize": 2})
assert [f["FunctionName"] for page in pages for f in page["Functions"]] == ["configured", "f", "p1", "p2", "p3"]
every = client.list_functions(FunctionVersion="ALL")["Functions"]
assert [f["Version"] for f in every if f["FunctionName"] == "p1"] == ["$LATEST", "1"]

# Functions of the configuration are shown, called, and not changed.
shown = client.get_function_configuration(FunctionName="configured")
assert "Environment" not in shown and shown["Runtime"] == "python3.13"
assert call("configured") == "from the configuration"
for refuse in [lambda **k: client.update_function_code(ZipFile=one, **k), lambda **k: client.delete_function(**k),
               lambda **k: client.publish_version(**k), lambda **k: client.put_function_concurrency(ReservedConcurrentExecutions=1, **k)]:
    refused("ResourceConflictException", 409, refuse, FunctionName="configured")

# Streams, through the SDK's own reader.
stream = client.invoke_with_response_stream(FunctionName="f", Payload=b"{}", LogType="Tail")
events = list(stream["EventStream"])
assert json.loads(b"".join(e["PayloadChunk"]["Payload"] for e in events if "PayloadChunk" in e))[0] == "two"
assert "InvokeComplete" in events[-1] and events[-1]["InvokeComplete"]["LogResult"]

for name in ["p1", "p2"]:
    client.delete_function(FunctionName=name)
refused("ResourceNotFoundException", 404, client.invoke, FunctionName="p1")
print("done")
