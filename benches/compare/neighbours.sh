#!/usr/bin/env bash
# What do bad functions cost their neighbours? p50 and p99 of a behavior without functions at a steady rate: quiet, then while one
# function loops, one eats memory and one waits for a server that never answers, each called by CALLERS clients without a pause. "Callers"
# in between: as many clients ask for what costs nothing, at the rate at which the bad functions end: what the callers alone cost.
#   benches/compare/neighbours.sh
#   RATE=500 SECONDS_EACH=20 CALLERS=4 ROUNDS=5 OUT=benches/compare/NEIGHBOURS.md benches/compare/neighbours.sh
# Needs h2load (nghttp2-client), python3 and curl. With two cores, load and PoP share them: read the ratio.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
RUN=${RUN:-${TMPDIR:-/tmp}/rimward-neighbours}
BINARY=${BINARY:-$here/../../target/release/rimward}
RATE=${RATE:-500}
SECONDS_EACH=${SECONDS_EACH:-10}
CALLERS=${CALLERS:-1}
ROUNDS=${ROUNDS:-1}
mkdir -p "$RUN"
rm -f "$RUN/rounds"
[ -x "$BINARY" ] || { echo "build it first: cargo build --release (or name it in BINARY)" >&2; exit 1; }

cat >"$RUN/loops.js" <<'JS'
exports.handler = async () => { for (;;); };
JS
cat >"$RUN/eats.js" <<'JS'
exports.handler = async () => { const all = []; for (;;) all.push(new Uint8Array(1 << 20).fill(1)); };
JS
cat >"$RUN/waits.js" <<'JS'
exports.handler = async (event) => { await fetch('http://127.0.0.1:9199/'); return event.Records[0].cf.request; };
JS
cat >"$RUN/pop.toml" <<TOML
[pop]
listen = ["127.0.0.1:9190"]
state_dir = "$RUN/state"
[limits]
connections_per_address = 10000
requests_per_connection = 1000000000
[[origin]]
name = "fixed"
generated = { status = 200, headers = { cache-control = "max-age=3600" }, body = "hello" }
$(for name in loops eats waits; do
  printf '[[function]]\nname = "%s"\nfile = "%s.js"\ncpu = "50ms"\ntimeout = "1s"\nmemory = "32MiB"\n' "$name" "$name"
  [ "$name" != waits ] || printf 'grants = { fetch = { allow = ["127.0.0.1:9199"], private = ["127.0.0.1"] } }\n'
  printf '[[behavior]]\nmatch = "/%s"\norigin = "fixed"\nhooks = { viewer_request = "%s" }\n' "$name" "$name"
done)
[[behavior]]
match = "*"
origin = "fixed"
[admin]
address = "127.0.0.1:9198"
[observe]
access_log = { to = "$RUN/access.log" }
TOML

# A server that takes connections and says nothing.
python3 -c '
import socket, time
server = socket.create_server(("127.0.0.1", 9199), backlog=1000)
held = []
while True: held.append(server.accept())
' & silent=$!
"$BINARY" run --config "$RUN/pop.toml" >"$RUN/pop.log" 2>&1 & pop=$!
bad=()
trap 'kill "$pop" "$silent" "${bad[@]}" 2>/dev/null || true; rm -rf "$RUN"' EXIT
until curl -sf -o /dev/null http://127.0.0.1:9198/readyz; do sleep 0.1; kill -0 "$pop"; done

# measure NAME
measure() {
  rm -f "$RUN/h2load.log"
  h2load --h1 -t1 -c10 --rps "$((RATE / 10))" -D "$SECONDS_EACH" --log-file="$RUN/h2load.log" http://127.0.0.1:9190/quiet >/dev/null
  python3 - "$1" "$RUN/h2load.log" <<'PY' | tee -a "$RUN/rounds"
import sys
micros = sorted(int(fields[2]) for fields in map(str.split, open(sys.argv[2])) if fields[1] == "200")
print(f"{sys.argv[1]:<10} p50 {micros[len(micros) // 2]:6} µs   p99 {micros[len(micros) * 99 // 100]:6} µs   {len(micros)} requests")
PY
}

# call RATE PATH...: clients that ask for these without a pause, or each at RATE a second.
call() {
  local pace=()
  [ "$1" = 0 ] || pace=(--rps "$1")
  for path in "${@:2}"; do
    h2load --h1 -t1 -c"$CALLERS" "${pace[@]}" -D 1000 "http://127.0.0.1:9190/$path" >/dev/null & bad+=($!)
  done
  sleep 1
}
hang_up() {
  kill "${bad[@]}" 2>/dev/null || true
  wait "${bad[@]}" 2>/dev/null || true
  bad=()
}

curl -s -o /dev/null http://127.0.0.1:9190/quiet
for _ in $(seq "$ROUNDS"); do
  measure quiet
  call 20 quiet quiet quiet
  measure callers
  hang_up
  call 0 loops eats waits
  measure disturbed
  hang_up
done
(curl -s http://127.0.0.1:9198/metrics | grep -E '^rimward_function_calls_total' || true) | tee -a "$RUN/rounds"
if [ -n "${OUT:-}" ]; then
  {
    printf '# What bad functions cost their neighbours\n\nWritten by `benches/compare/neighbours.sh`, which also repeats it (its head says how); do not edit.\n\n'
    printf -- '- %s, %s, %s cores, Linux %s\n' "$(date +%F)" "$(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -1)" "$(nproc)" "$(uname -r)"
    printf -- '- rimward %s; %s requests a second for %s s each, %s callers of each bad function\n' "$(git -C "$here" rev-parse --short HEAD)" "$RATE" "$SECONDS_EACH" "$CALLERS"
    printf -- '- p99 disturbed over quiet, a round each:%s\n\n```\n' "$(awk '$1 == "quiet" { quiet = $6 } $1 == "disturbed" { printf " %.2f", $6 / quiet }' "$RUN/rounds")"
    cat "$RUN/rounds"
    printf '```\n'
  } >"$OUT"
fi
