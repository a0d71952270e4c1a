# A Rust compiler with a standard library for wasm32-unknown-unknown: sourced by build.sh.
#
# Uses rustup's target where it is installed. Where it cannot be (no rustup, or only package registries are in reach), Debian's
# rustc-web is unpacked beside the machine's own Rust, and its standard library is built from Debian's rust-web-src: once, about
# 80 s. The machine's own toolchain stays as it is.

RUST_TARGET=wasm32-unknown-unknown

# rust: exports what `cargo build --target $RUST_TARGET` needs
rust() {
  need cargo "Rust 1.85 or newer"
  if [ -d "$(rustc --print sysroot)/lib/rustlib/$RUST_TARGET" ]; then
    say "using the machine's $(rustc --version)"
    return
  fi
  local root=$TOOLCHAINS/rust-web
  [ -e "$root/.ready" ] || rust_from_debian "$root"
  export RUSTC=$root/rustc
  export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=$root/rust-lld
}

# rust_from_debian DIR
rust_from_debian() {
  local root=$1 lld package
  need dpkg "dpkg, or the target $RUST_TARGET with rustup"
  lld=$(find "$(rustc --print sysroot)" -name rust-lld -type f | head -n 1)
  [ -n "$lld" ] || die "this Rust has no rust-lld: add the target $RUST_TARGET with rustup"
  rm -rf "$root" && mkdir -p "$root/deb"

  say "unpacking Debian's rustc-web into $root (130 MB to fetch, 0.9 GB unpacked)"
  (cd "$root/deb" && apt-get download -qq $(rust_packages)) || die "apt-get cannot fetch rustc-web: run apt-get update first"
  for package in "$root"/deb/*.deb; do dpkg -x "$package" "$root"; done
  rm -rf "$root/deb"
  ln -s "$lld" "$root/rust-lld"
  cat >"$root/rustc" <<SCRIPT
#!/bin/sh
LD_LIBRARY_PATH=$(dirname "$(find "$root/usr/lib" -name 'libLLVM*.so*' | head -n 1)") exec "$root/usr/bin/rustc" "\$@"
SCRIPT
  chmod +x "$root/rustc"

  say "building the standard library for $RUST_TARGET with $("$root/rustc" --version)"
  rust_std "$root"
  touch "$root/.ready"
}

# rust_packages: rustc-web and what it needs to run, as apt knows them today
rust_packages() {
  local all
  all=$(apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces --no-enhances rustc-web |
    grep -E '^(libstd-rust-web-[0-9.]+|libstd-rust-web-dev|libllvm[0-9]+)$' | sort -u)
  # Two versions of a suite may be listed: the newest libstd and the LLVM it is linked with.
  echo rustc-web rust-web-src libstd-rust-web-dev \
    "$(grep '^libstd-rust-web-[0-9]' <<<"$all" | sort -V | tail -n 1)" "$(grep '^libllvm' <<<"$all" | sort -V | tail -n 1)"
}

# rust_std DIR: compiles a crate of nothing with -Zbuild-std and keeps the libraries that come of it
rust_std() {
  local root=$1 seed=$1/seed lib
  # Panics of the library's own crates name their files too: by their place in the registry, not on this machine.
  local crates remap="--remap-path-prefix=$root/usr/lib/rustlib/src/rust=rust"
  for crates in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*; do remap="$remap --remap-path-prefix=$crates=."; done
  mkdir -p "$seed/src" && : >"$seed/src/lib.rs"
  cat >"$seed/Cargo.toml" <<'TOML'
[package]
name = "seed"
version = "0.1.0"
edition = "2021"
[lib]
crate-type = ["rlib"]
[profile.release]
panic = "abort"
[workspace]
TOML
  (cd "$seed" && RUSTC=$root/rustc RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR=$seed/target \
    RUSTFLAGS="-Cembed-bitcode=yes $remap" \
    CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=$root/rust-lld \
    nice -n 5 cargo build --quiet --release --target $RUST_TARGET -Zbuild-std=std,panic_abort) ||
    die "the standard library for $RUST_TARGET cannot be built"
  lib=$root/usr/lib/rustlib/$RUST_TARGET/lib
  mkdir -p "$lib"
  cp "$seed/target/$RUST_TARGET/release/deps/"*.rlib "$lib/"
  rm -rf "$lib"/libseed* "$seed"
}
