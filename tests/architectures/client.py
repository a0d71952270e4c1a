"""What boto3 and a viewer see of each example: `client.py FUNCTION`, with EDGE, DYNAMODB, LAKE and EXAMPLE in the environment."""

import base64
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request

import boto3
from botocore.config import Config

EDGE, DYNAMODB, LAKE, EXAMPLE = (os.environ[name] for name in ("EDGE", "DYNAMODB", "LAKE", "EXAMPLE"))
PATIENCE = 120


def aws(service, endpoint):
    return boto3.client(
        service,
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="anybody",
        aws_secret_access_key="anything",
        config=Config(retries={"total_max_attempts": 3}, s3={"addressing_style": "path"}),
    )


def ask(method, path, body=None, **fields):
    """Status, fields and body of an answer; fields are named with _ for -."""
    named = {name.replace("_", "-"): value for name, value in fields.items()}
    data = body.encode() if isinstance(body, str) else body
    url = path if path.startswith("http") else EDGE + path
    try:
        answer = urllib.request.urlopen(urllib.request.Request(url, data, named, method=method), timeout=60)
    except urllib.error.HTTPError as error:
        answer = error
    return answer.status, answer.headers, answer.read().decode()


def token(user):
    made = subprocess.run(["node", f"{EXAMPLE}/../cognito.mjs", EXAMPLE, user], capture_output=True, check=True, text=True)
    return f"Bearer {made.stdout.strip()}"


def until(what, look, patience=PATIENCE):
    deadline = time.monotonic() + patience
    while not (found := look()):
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.1)
    return found


def todo_api():
    table = aws("dynamodb", DYNAMODB)
    key = {"x_api_key": "demokey-acme-0123456789", "content_type": "application/json"}
    status, _, made = ask("POST", "/todos", json.dumps({"text": "ünïcode \"quoted\" \\ and\nlines"}), **key)
    assert status == 201, made
    found = table.query(
        TableName="todos",
        KeyConditionExpression="#o = :o",
        ExpressionAttributeNames={"#o": "owner"},
        ExpressionAttributeValues={":o": {"S": "key#acme"}},
    )
    assert [item["text"]["S"] for item in found["Items"]] == ["ünïcode \"quoted\" \\ and\nlines"], found
    # More than one page, in order, nothing twice.
    for number in range(120):
        item = {"owner": {"S": "key#globex"}, "id": {"S": f"{number:04}"}, "text": {"S": "x"}, "done": {"BOOL": False}}
        table.put_item(TableName="todos", Item=item)
    seen, after = [], ""
    while after is not None:
        _, _, body = ask("GET", f"/todos?after={after}" if after else "/todos?fresh", x_api_key="demokey-globex-0123456789")
        page = json.loads(body)
        seen += [todo["id"] for todo in page["todos"]]
        after = page.get("next")
    assert seen == [f"{number:04}" for number in range(120)], seen
    # Text that is hostile to templates arrives as it is; an identity is nobody's to choose.
    hostile = "\"} #set($x = 1) $input.body ${x} \\\" ünï"
    carol = {"authorization": token('ca"rol'), "content_type": "application/json"}
    status, _, body = ask("PUT", "/direct/todos/a%2Fb", json.dumps({"text": hostile}), **carol)
    assert status == 200, body
    status, _, body = ask("GET", "/direct/todos/a%2Fb", **carol)
    assert (status, json.loads(body)) == (200, {"id": "a/b", "text": hostile, "done": False}), body
    stored = table.get_item(TableName="todos", Key={"owner": {"S": 'direct#ca"rol'}, "id": {"S": "a/b"}})
    assert stored["Item"]["text"]["S"] == hostile, stored
    status, _, body = ask("PUT", "/direct/todos/1", json.dumps({"text": 7}), **carol)
    assert status == 400, body
    # One for every character of the token that might be altered.
    forged = carol["authorization"][:-4] + "AAAA"
    assert ask("GET", "/direct/todos", authorization=forged)[0] == 401


def global_website():
    table = aws("dynamodb", DYNAMODB)
    article = {"section": {"S": "news"}, "slug": {"S": "boto"}, "title": {"S": "By boto3"}, "text": {"S": "One."}}
    table.put_item(TableName="articles", Item=article)
    assert "By boto3" in ask("GET", "/api/articles/news/boto")[2]
    _, fields, page = ask("GET", "/articles/news/boto")
    assert "<p>One.</p>" in page and "Hit" not in fields["x-cache"], page
    # A write of the table itself is seen by its reader at once; in pages, once the stream has purged them.
    table.update_item(
        TableName="articles",
        Key={"section": {"S": "news"}, "slug": {"S": "boto"}},
        UpdateExpression="SET #t = :t",
        ExpressionAttributeNames={"#t": "text"},
        ExpressionAttributeValues={":t": {"S": "Two."}},
    )
    assert '"text": "Two."' in ask("GET", "/api/articles/news/boto")[2]
    until("the page has it", lambda: "<p>Two.</p>" in ask("GET", "/articles/news/boto")[2])
    # At the other PoP too.
    far = aws("dynamodb", os.environ["FAR"])
    key = {"section": {"S": "news"}, "slug": {"S": "boto"}}
    item = lambda: far.get_item(TableName="articles", Key=key).get("Item", {})
    until("the other PoP has it", lambda: item().get("text") == {"S": "Two."})
    edit = {"x_api_key": "demokey-editor-0123456789", "content_type": "application/json"}
    for number in range(10):
        text = json.dumps({"title": "Edited", "text": f"Edition {number}."})
        assert ask("PUT", "/edit/news/boto", text, **edit)[0] == 200
        assert f"Edition {number}." in ask("GET", "/articles/news/boto")[2]
        assert table.get_item(TableName="articles", Key={"section": {"S": "news"}, "slug": {"S": "boto"}})["Item"]["text"]["S"] == f"Edition {number}."
    # The stream has every write, in order: boto3's two, and ten of the editor's.
    def editions():
        got = table.query(TableName="editions", KeyConditionExpression="article = :a", ExpressionAttributeValues={":a": {"S": "news/boto"}}, ConsistentRead=True)
        texts = [item["text"]["S"] for item in got["Items"]]
        return texts == ["One.", "Two.", *(f"Edition {number}." for number in range(10))]

    until("all editions are there", editions)
    # An unknown route of the function, and a page of a name with everything in it.
    assert ask("PUT", "/edit/news", "{}", **edit)[0] == 404
    assert ask("PUT", "/edit/a%20b/%3Cc%3E%26%22d", text, **edit)[0] == 200
    assert "Edited" in ask("GET", "/articles/a%20b/%3Cc%3E%26%22d")[2]
    assert '/articles/a%20b/%3Cc%3E%26%22d' in ask("GET", "/articles/a%20b")[2]


def microservices():
    table = aws("dynamodb", DYNAMODB)
    table.put_item(TableName="stock", Item={"sku": {"S": "pot"}, "left": {"N": "10"}})
    key = {"x_api_key": "demokey-shop-0123456789", "content_type": "application/json"}
    answers = [ask("POST", "/orders", json.dumps({"sku": "pot", "amount": 4}), **key)[0] for _ in range(3)]
    assert answers == [201, 201, 409], answers
    sold = [item for item in table.scan(TableName="orders")["Items"] if item["sku"]["S"] == "pot"]
    assert len(sold) == 2, sold
    left = table.get_item(TableName="stock", Key={"sku": {"S": "pot"}}, ConsistentRead=True)["Item"]["left"]["N"]
    assert left == "2", left
    # A plan of 20 a second and 40 at once holds whatever the machine does: 429 says that it is the plan.
    counted = [ask("GET", "/orders/none", x_api_key="demokey-shop-0123456789")[0] for _ in range(5)]
    assert set(counted) <= {404, 429}, counted


def paid_content():
    table = aws("dynamodb", DYNAMODB)
    viewer = {"viewer": {"S": "dave"}, "film": {"S": "rim.txt"}}
    dave = {"authorization": token("dave")}
    pays = lambda until: table.put_item(TableName="entitlements", Item={**viewer, "until": {"N": str(until)}})
    pays(int(time.time()) + 600)
    status, _, body = ask("POST", "/tickets/rim.txt", **dave)
    ticket = json.loads(body)
    assert status == 200 and ticket["until"] <= time.time() + 300, body
    status, fields, film = ask("GET", ticket["url"])
    assert status == 200 and film.startswith("INT. EDGE"), film
    # A ticket is never good for longer than what was paid for.
    ends = int(time.time()) + 30
    pays(ends)
    assert json.loads(ask("POST", "/tickets/rim.txt", **dave)[2])["until"] == ends
    # Refunded is refunded, at once.
    table.delete_item(TableName="entitlements", Key=viewer)
    assert ask("POST", "/tickets/rim.txt", **dave)[0] == 402
    # What expired is deleted, and no cache remembers it.
    pays(int(time.time()) - 10)
    table.get_item(TableName="entitlements", Key=viewer)
    until("the table forgets", lambda: "Item" not in table.get_item(TableName="entitlements", Key=viewer))
    # The file is nobody's without a ticket, whatever is tried.
    for path in ("/films/rim.txt", "/films//rim.txt", "/films/../films/rim.txt", "/films/%72im.txt", "/films/rim.txt?Expires=1"):
        assert ask("GET", path)[0] in (400, 403, 404), path


def lines():
    """Every line in the lake."""
    lake = aws("s3", LAKE)
    found = []
    for page in lake.get_paginator("list_objects_v2").paginate(Bucket="lake", Prefix="events/"):
        for entry in page.get("Contents", []):
            text = lake.get_object(Bucket="lake", Key=entry["Key"])["Body"].read().decode()
            found += [json.loads(line) for line in text.splitlines()]
    return found


def records():
    """Every record of the stream."""
    stream = aws("kinesis", LAKE)
    found = []
    for shard in stream.list_shards(StreamName="events")["Shards"]:
        at = stream.get_shard_iterator(StreamName="events", ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON")["ShardIterator"]
        while True:
            page = stream.get_records(ShardIterator=at, Limit=1000)
            found += [json.loads(record["Data"]) for record in page["Records"]]
            at = page.get("NextShardIterator")
            if not page["Records"] or at is None:
                break
    return found


def send_batch(mark, numbers):
    batch = "".join(json.dumps({"mark": mark, "number": number, "user": "eve@example.com"}) + "\n" for number in numbers)
    status, _, body = ask("POST", "/events", batch, x_api_key="demokey-device-0123456789", content_type="application/x-ndjson")
    assert status == 202, body


def ingestion():
    send_batch("many", range(1200))
    got = until("the batch is in the lake", lambda: [line for line in lines() if line.get("mark") == "many"])
    assert [line["number"] for line in got] == list(range(1200))
    assert len({line["user"] for line in got}) == 1 and "eve" not in json.dumps(got)
    many = lambda: [record for record in records() if record.get("mark") == "many"]
    until("the records are in the stream", lambda: len(many()) >= 1200)
    assert {record["number"] for record in many()} == set(range(1200))


SENT = 40


def send():
    for number in range(SENT):
        send_batch("crash", [number])


def sent():
    arrived = lambda: {line["number"] for line in lines() if line.get("mark") == "crash"}
    # What failed is tried again after one minute, then after two.
    until("all that was acknowledged is in the lake", lambda: arrived() == set(range(SENT)), 300)
    numbers = [line["number"] for line in lines() if line.get("mark") == "crash"]
    assert sorted(numbers) == list(range(SENT)), "a batch that ran twice is one object"


def parked():
    table = aws("dynamodb", DYNAMODB)
    send_batch("parked", [1])
    (item,) = until("the batch is parked", lambda: table.scan(TableName="parked")["Items"])
    body = base64.b64decode(json.loads(item["event"]["S"])["body"])
    assert json.loads(body)["mark"] == "parked" and "demokey" not in item["event"]["S"], item
    assert "fetch failed" in item["why"]["S"] or "the lake answered" in item["why"]["S"], item


globals()[sys.argv[1]]()
