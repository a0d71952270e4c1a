#!/usr/bin/env bash
# Builds samples written in WAT: build.sh NAME… → $OUT/NAME.wasm. The server takes the .wat file as it is; this is the check that
# it is valid.
source "$(dirname "${BASH_SOURCE[0]}")/../toolchains.sh"

wasm_tools
for name; do
  say "assembling $name with $("$WASM_TOOLS" --version)"
  "$WASM_TOOLS" parse "$SAMPLES/$name/$name.wat" -o "$OUT/$name.wasm" && "$WASM_TOOLS" validate "$OUT/$name.wasm" ||
    die "$name is no valid module"
  done_with "$OUT/$name.wasm"
done
