#!/usr/bin/env bash
# Builds samples written in C: build.sh NAME… → $OUT/NAME.wasm, core modules of the flat world. Zig is the C compiler.
source "$(dirname "${BASH_SOURCE[0]}")/../toolchains.sh"

zig
for name; do
  say "compiling $name with $("$ZIG" cc --version | head -n 1)"
  "$ZIG" cc -target wasm32-freestanding -mcpu=lime1 -std=c11 -Os -g0 -Wall -Wextra -Werror -Wno-unused-function \
    -nostdlib -I "$SDK/c" -Wl,--no-entry -Wl,--strip-debug -Wl,-z,stack-size=16384 -Wl,--initial-memory=131072 \
    "$SAMPLES/$name/$name.c" -o "$OUT/$name.wasm" || die "$name does not compile"
  done_with "$OUT/$name.wasm"
done
