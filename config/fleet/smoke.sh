#!/bin/sh
# Asks all three PoPs. EDGES are where they listen.
. "$(dirname "$0")/../smoke.inc.sh"
page="/smoke-$$-$(date +%s)"
for edge in ${EDGES:-http://127.0.0.1:8081 http://127.0.0.1:8082 http://127.0.0.1:8083}; do
  step "$edge"
  ask GET "$page"
  want 200 "$page was asked for"
  ask GET "$page"
  want 200 "$page was asked for"
  hit
done
printf '== all of it works\n'
