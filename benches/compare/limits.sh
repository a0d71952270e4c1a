#!/usr/bin/env bash
# Are limits exact under load? Eight clients for a minute against a bucket that hardly fills, one that does, and a monthly quota; every
# answer is compared with what the PoP counted.
#   benches/compare/limits.sh
#   SECONDS_EACH=5 benches/compare/limits.sh
# Needs python3 and curl. Exit code 1 when a count is wrong.
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

python3 "$here/limits.py" 127.0.0.1:9170 127.0.0.1:9179 "$SECONDS_EACH" "$key"
