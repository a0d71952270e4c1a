#!/usr/bin/env bash
# Builds every sample from scratch, or the ones named: build.sh [NAME…] → target/guests/out. Installs what it needs by name, in
# target/guests/toolchains (RIMWARD_GUESTS changes the place). Stops at the first failure.
#   build.sh                 all
#   build.sh jwt canary      these
#   build.sh --fixtures      all, and the small ones become functions/samples/fixtures
set -euo pipefail
SAMPLES=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# LANGUAGE: samples written in it. JavaScript is built by the server itself.
LANGUAGES=(
  "wat: pretty-urls security-headers"
  "c: bot-rule signed-cookie"
  "zig: canary"
  "assemblyscript: image-format"
  "typescript: ab-split"
  "rust: geo-redirect html-rewrite jwt web-origin"
  "go: device"
  "python: geo-redirect-python"
)
# Too large to be committed.
LARGE=" device geo-redirect-python "

fixtures=
wanted=" "
for argument; do
  case $argument in
    --fixtures) fixtures=1 ;;
    *)
      [ -d "$SAMPLES/$argument" ] || { echo "[guests] FAILED: there is no sample '$argument'" >&2; exit 2; }
      wanted="$wanted$argument "
      ;;
  esac
done

began=$SECONDS
for line in "${LANGUAGES[@]}"; do
  names=()
  for name in ${line#*:}; do
    if [ "$wanted" = " " ] || [[ $wanted == *" $name "* ]]; then names+=("$name"); fi
  done
  [ ${#names[@]} = 0 ] || "$SAMPLES/../sdk/${line%%:*}/build.sh" "${names[@]}"
done

if [ -n "$fixtures" ]; then
  out=${RIMWARD_GUESTS:-$SAMPLES/../../target/guests}/out
  for line in "${LANGUAGES[@]}"; do
    for name in ${line#*:}; do
      [[ $LARGE == *" $name "* ]] || cp "$out/$name".{wasm,js} "$SAMPLES/fixtures/" 2>/dev/null || true
    done
  done
fi
echo "[guests] done in $((SECONDS - began)) s"
