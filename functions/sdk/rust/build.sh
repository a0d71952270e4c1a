#!/usr/bin/env bash
# Builds samples written in Rust: build.sh NAME… → $OUT/NAME.wasm.
# What cargo makes is a core module that carries its WIT world: the server makes the component.
source "$(dirname "${BASH_SOURCE[0]}")/../toolchains.sh"
source "$SDK/rust/toolchain.sh"

rust
cd "$FUNCTIONS"
export CARGO_TARGET_DIR=$GUESTS/rust
for name; do packages+=(--package "$name"); done
cargo fetch --locked --quiet --target $RUST_TARGET || die "cargo cannot fetch the crates of functions/Cargo.lock"
# Panics name their file: by its place in the package, not on this machine.
remap="'--remap-path-prefix=$FUNCTIONS=.'"
for crates in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*; do remap="$remap, '--remap-path-prefix=$crates=.'"; done
say "compiling $* with $(${RUSTC:-rustc} --version)"
nice -n 5 cargo build --locked --quiet --release --target $RUST_TARGET \
  --config "target.$RUST_TARGET.rustflags=[$remap]" "${packages[@]}" || die "cargo cannot build $*"
for name; do
  cp "$CARGO_TARGET_DIR/$RUST_TARGET/release/${name//-/_}.wasm" "$OUT/$name.wasm"
  done_with "$OUT/$name.wasm"
done
