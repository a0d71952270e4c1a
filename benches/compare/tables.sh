#!/usr/bin/env bash
# DynamoDB operations a second: the embedded tables beside moto and dynalite, in one run, with wrk. Servers on core 0, wrk on core 1.
#   BINARY=target/release/rimward benches/compare/tables.sh        writes a table to stdout
# Ours runs twice: with its item cache, and with every cache off, so that each call reaches the engine on disk. dynalite keeps its tables in
# memory, moto too. Needs wrk, node, npm, python3.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
BINARY=$(realpath "${BINARY:-$HERE/../../target/release/rimward}")
SECONDS_EACH=${SECONDS_EACH:-3}
TOOLS=${TOOLS:-$HERE/../../target/tools/tables}
WORK=$(mktemp -d)
PIDS=()
trap 'kill "${PIDS[@]}" 2>/dev/null || true; rm -rf "$WORK"' EXIT

mkdir -p "$TOOLS"
[ -x "$TOOLS/moto/bin/moto_server" ] || { python3 -m venv "$TOOLS/moto" && "$TOOLS/moto/bin/pip" -q install 'moto[server,dynamodb]'; }
[ -d "$TOOLS/dynalite/node_modules" ] || npm --silent --prefix "$TOOLS/dynalite" install dynalite@4 >/dev/null

pop() { # pop NAME PORT KEYS
  mkdir -p "$WORK/$1"
  cat >"$WORK/$1/rimward.toml" <<TOML
admin = false
[pop]
code = "BEN"
listen = ["127.0.0.1:$(($2 + 100))"]
state_dir = "state"
threads = 1
[observe]
access_log = false
[dynamodb]
listen = "127.0.0.1:$2"
throttle = false
$3
[[origin]]
name = "o"
generated = { body = "x" }
TOML
  taskset -c 0 "$BINARY" run --config "$WORK/$1/rimward.toml" >"$WORK/$1.log" 2>&1 &
  PIDS+=($!)
  declare -g "PID_$1=$!"
}

pop cached 18101 'items = { ttl = "5m" }'
pop engine 18102 'items = { ttl = "0s" }'
taskset -c 0 "$TOOLS/moto/bin/moto_server" -H 127.0.0.1 -p 18103 >"$WORK/moto.log" 2>&1 &
PIDS+=($!)
taskset -c 0 node "$TOOLS/dynalite/node_modules/dynalite/cli.js" --port 18104 --createTableMs 0 >"$WORK/dynalite.log" 2>&1 &
PIDS+=($!)

call() { # call PORT OPERATION BODY
  curl -sf "http://127.0.0.1:$1/" -H 'content-type: application/x-amz-json-1.0' -H "x-amz-target: DynamoDB_20120810.$2" \
    -H 'authorization: AWS4-HMAC-SHA256 Credential=test/20261126/us-east-1/dynamodb/aws4_request, SignedHeaders=host, Signature=0' \
    -H 'x-amz-date: 20261126T000000Z' -d "$3"
}

fill() { # fill PORT: 1,000 items of 250 bytes, 100 partitions of 20
  python3 - "$1" <<'PY'
import json, sys, urllib.request
port = sys.argv[1]
def call(operation, body):
    request = urllib.request.Request(f"http://127.0.0.1:{port}/", json.dumps(body).encode(), {
        "content-type": "application/x-amz-json-1.0", "x-amz-target": f"DynamoDB_20120810.{operation}", "x-amz-date": "20261126T000000Z",
        "authorization": "AWS4-HMAC-SHA256 Credential=test/20261126/us-east-1/dynamodb/aws4_request, SignedHeaders=host, Signature=0"})
    return urllib.request.urlopen(request).read()
items = [(f"p{i}", "0") for i in range(1000)] + [(f"q{p}", f"{s:03}") for p in range(100) for s in range(20)]
for at in range(0, len(items), 25):
    puts = [{"PutRequest": {"Item": {"pk": {"S": p}, "sk": {"S": s}, "text": {"S": "x" * 200}, "n": {"N": "42"}}}} for p, s in items[at:at + 25]]
    call("BatchWriteItem", {"RequestItems": {"bench": puts}})
PY
}

TABLE='{"TableName":"bench","BillingMode":"PAY_PER_REQUEST","KeySchema":[{"AttributeName":"pk","KeyType":"HASH"},{"AttributeName":"sk","KeyType":"RANGE"}],"AttributeDefinitions":[{"AttributeName":"pk","AttributeType":"S"},{"AttributeName":"sk","AttributeType":"S"}]}'
for port in 18101 18102 18103 18104; do
  for _ in $(seq 100); do call $port ListTables '{}' >/dev/null 2>&1 && break; sleep 0.1; done
  call $port CreateTable "$TABLE" >/dev/null
  for _ in $(seq 50); do call $port DescribeTable '{"TableName":"bench"}' | grep -q ACTIVE && break; sleep 0.1; done
  fill $port
done

echo "| operation | connections | item cache /s | p50 µs | engine /s | p50 µs | moto /s | dynalite /s | engine : moto | engine : dynalite |"
echo "|---|---|---|---|---|---|---|---|---|---|"
for operation in GetItem PutItem Query; do
  for connections in 1 8 64; do
    row=()
    for port in 18101 18102 18103 18104; do
      out=$(OPERATION=$operation taskset -c 1 wrk -t1 -c$connections -d${SECONDS_EACH}s -s "$HERE/tables.lua" "http://127.0.0.1:$port/" | tail -1)
      read -r rate p50 errors _ <<<"$out"
      [ "$errors" = 0 ] || { echo "$errors answers of port $port were errors" >&2; exit 1; }
      row+=("$rate" "$p50")
    done
    echo "| $operation | $connections | ${row[0]} | ${row[1]} | ${row[2]} | ${row[3]} | ${row[4]} | ${row[6]} | $(awk "BEGIN{printf \"%.1f\", ${row[2]}/${row[4]}}") | $(awk "BEGIN{printf \"%.1f\", ${row[2]}/${row[6]}}") |"
  done
done

ticks() { awk '{ print $14 + $15 }' "/proc/$PID_cached/stat"; }

# What a hit of the item cache costs: against a fixed answer of the same PoP, which is read, counted and answered too.
echo
echo "| item cache, 8 connections | CPU µs a call | p50 µs | p99 µs |"
echo "|---|--:|--:|--:|"
for pair in "hit:GetItem:18101" "fixed answer:Fixed:18201"; do
  IFS=: read -r name operation port <<<"$pair"
  before=$(ticks)
  out=$(OPERATION=$operation taskset -c 1 wrk -t1 -c8 -d"${SECONDS_EACH}s" -s "$HERE/tables.lua" "http://127.0.0.1:$port/" | tail -1)
  read -r _ p50 errors p99 requests <<<"$out"
  [ "$errors" = 0 ] || { echo "$errors answers of port $port were errors" >&2; exit 1; }
  echo "| $name | $(awk "BEGIN { printf \"%.1f\", ($(ticks) - $before) * 1e6 / $(getconf CLK_TCK) / $requests }") | $p50 | $p99 |"
done
