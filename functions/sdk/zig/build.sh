#!/usr/bin/env bash
# Builds samples written in Zig: build.sh NAME… → $OUT/NAME.wasm, core modules of the flat world.
source "$(dirname "${BASH_SOURCE[0]}")/../toolchains.sh"

zig
for name; do
  say "compiling $name with zig $("$ZIG" version)"
  "$ZIG" build-exe -target wasm32-freestanding -mcpu=lime1 -O ReleaseSmall -fstrip -fno-entry -rdynamic --stack 16384 \
    --initial-memory=131072 --dep rimward "-Mroot=$SAMPLES/$name/$name.zig" "-Mrimward=$SDK/zig/rimward.zig" \
    --name "$name" "-femit-bin=$OUT/$name.wasm" || die "$name does not compile"
  done_with "$OUT/$name.wasm"
done
