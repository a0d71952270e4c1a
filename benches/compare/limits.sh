#!/usr/bin/env bash
# Are limits exact under load? Eight clients for a minute against a bucket that hardly fills, one that does, and a monthly quota.
#   benches/compare/limits.sh
#   SECONDS_EACH=5 benches/compare/limits.sh
# Needs wrk and curl. Exit code 1 when a count is wrong.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
RUN=${RUN:-${TMPDIR:-/tmp}/rimward-limits}
BINARY=${BINARY:-$here/../../target/release/rimward}
SECONDS_EACH=${SECONDS_EACH:-60}
mkdir -p "$RUN"
[ -x "$BINARY" ] || { echo "build it first: cargo build --release (or name it in BINARY)" >&2; exit 1; }
key=limitskey0123456789abcdef
cat >"$RUN/pop.toml" <<TOML
[pop]
listen = ["127.0.0.1:9170"]
state_dir = "$RUN/state"
[limits]
requests_per_connection = 1000000000
[[origin]]
name = "fixed"
generated = { status = 200, headers = { cache-control = "max-age=3600" }, body = "hello" }
[[usage_plan]]
name = "plan"
quota = { limit = 20000, period = "month" }
[[api_key]]
name = "client"
sha256 = "$(printf %s "$key" | sha256sum | cut -d' ' -f1)"
plans = ["plan"]
[[behavior]]
match = "/still"
origin = "fixed"
limit = { per = "address", rate = "1/h", burst = 50000 }
[[behavior]]
match = "/filling"
origin = "fixed"
limit = { per = "address", rate = "1000/s", burst = 1000 }
[[behavior]]
match = "/quota"
origin = "fixed"
access = "api_key"
[admin]
address = "127.0.0.1:9179"
[observe]
access_log = false
TOML
"$BINARY" run --config "$RUN/pop.toml" >"$RUN/pop.log" 2>&1 & pop=$!
trap 'kill "$pop" 2>/dev/null || true; rm -rf "$RUN"' EXIT
until curl -sf -o /dev/null http://127.0.0.1:9179/readyz; do sleep 0.1; kill -0 "$pop"; done

wrong=0
# load NAME PATH LEAST MOST: wrk's admitted requests must lie between the two
load() {
  local said all refused good
  said=$(wrk -t2 -c8 -d"${SECONDS_EACH}s" -H "x-api-key: $key" "http://127.0.0.1:9170/$2")
  all=$(awk '/requests in/ { print $1 }' <<<"$said")
  refused=$(awk '/Non-2xx/ { print $NF }' <<<"$said")
  good=$((all - ${refused:-0}))
  printf '%-10s %9d requests, %8d let in (%d to %d)\n' "$1" "$all" "$good" "$3" "$4"
  [ "$good" -ge "$3" ] && [ "$good" -le "$4" ] || wrong=1
}
# What wrk had in flight at its end was let in and is not counted: one request a connection.
load still still 49992 50000
load filling filling $((1000 * SECONDS_EACH + 992)) $((1000 * (SECONDS_EACH + 1) + 1000))
load quota quota 19992 20000
exit $wrong
