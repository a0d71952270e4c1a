#!/usr/bin/env bash
# What origins inside the process cost: bytes a second through the adapter lane, and calls of warm functions. One PoP on core 0, wrk on core 1.
#   BINARY=target/release/rimward benches/compare/called.sh
# Needs wrk and node; python3 with awslambdaric for the Python row (PYTHON names an interpreter that has it).
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
BINARY=$(realpath "${BINARY:-$HERE/../../target/release/rimward}")
SECONDS_EACH=${SECONDS_EACH:-3}
PYTHON=${PYTHON:-python3}
WORK=$(mktemp -d)
trap 'kill $POP 2>/dev/null || true; sleep 0.5; rm -rf "$WORK"' EXIT
mkdir -p "$WORK/node" "$WORK/python" "$WORK/javascript"
head -c 15M /dev/zero >"$WORK/large"
echo 'exports.handler = async () => ({ statusCode: 200, body: "hello" });' | tee "$WORK/node/index.js" >"$WORK/javascript/index.js"
printf 'def handler(event, context):\n    return {"statusCode": 200, "body": "hello"}\n' >"$WORK/python/app.py"
python=
if "$PYTHON" -c 'import awslambdaric' 2>/dev/null; then python=1; fi

function_of() { # function_of NAME RUNTIME HANDLER MORE
  cat <<TOML
[[lambda]]
name = "$1"
runtime = "$2"
handler = "$3"
code = "$1"
timeout = "10s"
$4
[[origin]]
name = "$1"
lambda = { function = "$1" }
[[behavior]]
match = "/$1"
origin = "$1"
cache = false
TOML
}
{
  cat <<TOML
[pop]
code = "BEN"
listen = ["127.0.0.1:18200"]
state_dir = "state"
threads = 1
[observe]
access_log = false
[local_lambda]
python = "$PYTHON"
[[origin]]
name = "large"
generated = { body_file = "large" }
[[origin]]
name = "site"
function = { file = "$HERE/../../functions/samples/fixtures/web-origin.wasm" }
[[behavior]]
match = "/large"
origin = "large"
cache = false
[[behavior]]
match = "/site*"
origin = "site"
cache = false
strip_prefix = "/site"
TOML
  function_of node nodejs22.x index.handler ""
  function_of javascript javascript index.handler ""
  [ -z "$python" ] || function_of python python3.13 app.handler ""
} >"$WORK/rimward.toml"
taskset -c 0 "$BINARY" run --config "$WORK/rimward.toml" >"$WORK/log" 2>&1 &
POP=$!
until curl -sf -o /dev/null http://127.0.0.1:18200/site/ || ! kill -0 $POP; do sleep 0.1; done
kill -0 $POP 2>/dev/null || { cat "$WORK/log" >&2; exit 1; }

measure() { # measure PATH CONNECTIONS → requests/s, p50, p99, bytes/s
  taskset -c 1 wrk -t1 -c"$2" -d"${SECONDS_EACH}s" -s "$HERE/called.lua" "http://127.0.0.1:18200/$1" | tail -1
}
read -r _ _ _ bytes wrong <<<"$(measure large 4)"
echo "adapter lane: $(awk "BEGIN{printf \"%.2f\", $bytes/1e9}") GB/s on one core, viewer's socket included ($wrong wrong)"
for path in site/ node javascript ${python:+python}; do
  measure "$path" 1 >/dev/null # warm
  read -r rate p50 p99 _ wrong <<<"$(measure "$path" 1)"
  echo "$path: $rate calls/s one after another, p50 $p50 µs, p99 $p99 µs ($wrong wrong)"
done
