#!/usr/bin/env bash
# How soon does a PoP with a large disk cache serve after it was killed? Fills a disk tier, kills the PoP, starts it again, and prints
# the time until it is ready, until the first answer, and how many of the objects are hits then.
#   benches/compare/diskstart.sh               10 GiB in objects of 1 MiB
#   GIB=2 KIB=64 benches/compare/diskstart.sh  2 GiB in objects of 64 KiB
# The tier is given twice the room: one that is full drops what would be asked for next. Needs that much below $RUN, python3, curl.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
export RUN=${RUN:-${TMPDIR:-/tmp}/rimward-diskstart}
BINARY=${BINARY:-$here/../../target/release/rimward}
GIB=${GIB:-10}
KIB=${KIB:-1024}
objects=$((GIB * 1024 * 1024 / KIB))
mkdir -p "$RUN"

[ -x "$BINARY" ] || { echo "build it first: cargo build --release (or name it in BINARY)" >&2; exit 1; }
cat >"$RUN/pop.toml" <<TOML
[pop]
listen = ["127.0.0.1:9180"]
state_dir = "$RUN/state"
[cache]
memory = "64MiB"
disk = { path = "$RUN/disk", size = "$((GIB * 2))GiB" }
[limits]
requests_per_connection = 1000000000
[[origin]]
name = "origin"
url = "http://127.0.0.1:9181"
[admin]
address = "127.0.0.1:9189"
[observe]
access_log = false
TOML

cat >"$RUN/origin.py" <<'PY'
import http.server, sys
body = b"x" * int(sys.argv[1])
class Origin(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.send_response(200)
        self.send_header("Cache-Control", "max-age=86400")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer(("127.0.0.1", 9181), Origin).serve_forever()
PY

now() { date +%s.%N; }
since() { awk -v from="$1" -v to="$(now)" 'BEGIN { printf "%.2f s", to - from }'; }
start() { "$BINARY" run --config "$RUN/pop.toml" >"$RUN/pop.log" 2>&1 & pop=$!; }
ready() { until curl -sf -o /dev/null http://127.0.0.1:9189/readyz; do sleep 0.01; kill -0 "$pop"; done; }
# ask: every object once, in order; prints how many were hits
ask() {
  python3 - "$objects" <<'PY'
import http.client, sys, time
hits = 0
connection = http.client.HTTPConnection("127.0.0.1", 9180)
for n in range(int(sys.argv[1])):
    connection.request("GET", f"/object/{n}", headers={"Host": "disk.example"})
    answer = connection.getresponse()
    answer.read()
    hits += answer.headers.get("x-cache", "").startswith("Hit")
    # The disk's queue is bounded: what comes faster than it writes is served and not kept.
    if not hits: time.sleep(0.002)
print(hits)
PY
}

python3 "$RUN/origin.py" $((KIB * 1024)) & origin=$!
trap 'kill $origin $pop 2>/dev/null || true; rm -rf "$RUN"' EXIT
until curl -s -o /dev/null http://127.0.0.1:9181/; do sleep 0.1; done
start; ready
echo "filling: $objects objects of $KIB KiB"
ask >/dev/null
sleep 5
echo "on disk: $(du -sh "$RUN/disk" | cut -f1)"
kill -9 "$pop"; wait "$pop" 2>/dev/null || true
began=$(now)
start; ready
echo "killed, started again, ready after $(since "$began")"
curl -sf -o /dev/null -H 'Host: disk.example' http://127.0.0.1:9180/object/$((objects - 1))
echo "first answer after $(since "$began")"
echo "hits: $(ask) of $objects"
