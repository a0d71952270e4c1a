#!/bin/sh
# Starts the HTTP services and the PoP; they end together.
set -eu
cd "$(dirname "$0")"
node services.mjs &
services=$!
"${RIMWARD:-rimward}" run --config . &
pop=$!
trap 'kill "$pop" "$services" 2>/dev/null' INT TERM
ended=0
while kill -0 "$pop" 2>/dev/null; do wait "$pop" || ended=$?; done
kill "$services" 2>/dev/null || true
exit "$ended"
