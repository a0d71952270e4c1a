#!/usr/bin/env bash
# Exact system calls a request: one connection, 2000 cache hits, under strace. Counts do not depend on how busy the machine is.
#   benches/compare/syscalls.sh rimward nginx-tuned
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
export RUN=${RUN:-${TMPDIR:-/tmp}/rimward-compare}
[ $# -gt 0 ] || set -- rimward nginx-tuned
command -v strace >/dev/null || { apt-get update -qq; DEBIAN_FRONTEND=noninteractive apt-get install -y -qq strace >/dev/null; }

column() { awk -F'\t' -v name="$1" -v column="$2" '$1 == name { print $column }' "$here/targets.tsv"; }
tree() { echo "$1"; for child in $(pgrep -P "$1"); do tree "$child"; done; }

servers=(origin)
for name; do servers+=("$(column "$name" 5 | cut -d, -f1)"); done
mapfile -t servers < <(printf '%s\n' "${servers[@]}" | sort -u)
trap '"$here/peers.sh" stop "${servers[@]}"' EXIT
"$here/peers.sh" stop "${servers[@]}"
"$here/peers.sh" start "${servers[@]}"

for name; do
  port=$(column "$name" 2)
  root=$(cat "$RUN/$(column "$name" 5 | cut -d, -f1).pid")
  for _ in 1 2 3; do curl -s -o /dev/null "http://127.0.0.1:$port/1k/a"; done
  attach=()
  for pid in $(tree "$root"); do attach+=(-p "$pid"); done
  strace -f -c -o "$RUN/syscalls-$name.txt" "${attach[@]}" 2>/dev/null &
  tracer=$!
  until grep -q '^TracerPid:[[:space:]]*[1-9]' "/proc/$root/status"; do sleep 0.1; done
  python3 - "$port" <<'PYTHON'
import socket, sys
port = int(sys.argv[1])
viewer = socket.create_connection(("127.0.0.1", port))
viewer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
ask = f"GET /1k/a HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
for _ in range(2000):
    viewer.sendall(ask)
    got = b""
    while b"\r\n\r\n" not in got:
        got += viewer.recv(65536)
    head, _, body = got.partition(b"\r\n\r\n")
    length = next(int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
    left = length - len(body)
    while left > 0:
        left -= len(viewer.recv(1 << 20))
PYTHON
  kill -INT "$tracer"
  wait "$tracer" 2>/dev/null || true
  echo "$name: $(awk '/^ *[0-9]/ && $4 >= 200 && $NF != "total" { printf "%s=%.2f ", $NF, $4 / 2000 }' "$RUN/syscalls-$name.txt")"
done
