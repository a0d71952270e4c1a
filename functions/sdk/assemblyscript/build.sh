#!/usr/bin/env bash
# Builds samples written in AssemblyScript: build.sh NAME… → $OUT/NAME.wasm, core modules of the flat world.
source "$(dirname "${BASH_SOURCE[0]}")/../toolchains.sh"

need node "Node.js 20 or newer (Debian: nodejs)"
npm_tool "$SDK/assemblyscript"
for name; do
  say "compiling $name with asc $("$TOOL/node_modules/.bin/asc" --version)"
  (cd "$FUNCTIONS" && "$TOOL/node_modules/.bin/asc" "samples/$name/$name.ts" -Osize --noAssert --runtime minimal --use abort= \
    --initialMemory 2 -o "$OUT/$name.wasm") || die "$name does not compile"
  done_with "$OUT/$name.wasm"
done
