#!/usr/bin/env bash
# Builds engine.wasm from the published QuickJS-ng sources and the files beside this script. Same inputs, same bytes.
#   ./build.sh          writes engine.wasm and engine.sha256
#   ./build.sh check    builds and compares with engine.sha256; leaves both files alone
# Needs: cargo (only to fetch a crate), patch, and python3 with venv. Everything else is fetched by pinned version and checksum.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

# QuickJS-ng 0.15.1 comes within this crate.
CRATE=rquickjs-sys CRATE_VERSION=0.12.2
CRATE_SHA256=a13ac243b86a74120814ef7e9e30ad5a2c1199b7b9963b1cf7c84e4cdc1cad99
ZIG_VERSION=0.17.1

cache=${RIMWARD_BUILD_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/rimward-js-engine}
mkdir -p "$cache"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The C compiler.
zig=$cache/zig-$ZIG_VERSION
if ! "$zig/bin/python" -m ziglang version >/dev/null 2>&1; then
  python3 -m venv "$zig"
  "$zig/bin/pip" install -q --disable-pip-version-check "ziglang==$ZIG_VERSION"
fi

# The sources: cargo checks the checksum of the lock file that is written here.
quickjs=$cache/quickjs-$CRATE_VERSION
if [ ! -f "$quickjs/quickjs.c" ]; then
  mkdir -p "$work/fetch/src"
  touch "$work/fetch/src/lib.rs"
  printf '[package]\nname = "fetch"\nversion = "0.0.0"\nedition = "2021"\n[dependencies]\n%s = "=%s"\n' "$CRATE" "$CRATE_VERSION" >"$work/fetch/Cargo.toml"
  (cd "$work/fetch" && cargo vendor -q --versioned-dirs vendor >/dev/null)
  found=$(sed -n 's/.*"package":"\([0-9a-f]*\)".*/\1/p' "$work/fetch/vendor/$CRATE-$CRATE_VERSION/.cargo-checksum.json")
  [ "$found" = "$CRATE_SHA256" ] || { echo "$CRATE $CRATE_VERSION: checksum $found, expected $CRATE_SHA256"; exit 1; }
  cp -r "$work/fetch/vendor/$CRATE-$CRATE_VERSION/quickjs" "$quickjs"
fi

# Work on copies under fixed relative names: no path of this machine can get into the bytes.
mkdir "$work/b"
cd "$work/b"
mkdir quickjs
cp "$quickjs"/*.c "$quickjs"/*.h quickjs/
cp "$here"/src/*.c "$here"/src/*.h .
cp -r "$here/node" node

# QuickJS does not bound its stack on WASI. Here deep recursion has to be an error that the function sees.
grep -q '^    rt->stack_limit = 0; /\* no limit \*/$' quickjs/quickjs.c
sed -i '/^static void update_stack_limit/,/^}/s/^#if defined(__wasi__)$/#if 0/' quickjs/quickjs.c

# QuickJS notes no place for reads of properties: "cannot read property of undefined" would point at the head of its function.
places=$(grep -c 'emit_source_loc(s);' quickjs/quickjs.c)
sed -i '/^static __exception int js_parse_postfix_expr(JSParseState \*s, int parse_flags)$/,/^}/s/^\( *\)emit_op(s, OP_get_\(field\|array_el\));$/\1emit_source_loc(s);\n&/' quickjs/quickjs.c
[ "$(grep -c 'emit_source_loc(s);' quickjs/quickjs.c)" = $((places + 2)) ]

# Its memory is alloc.c's: called by name, and not by a pointer, it is compiled into who calls it.
sed -i 's/\brt->mf\.js_\(calloc\|malloc\|realloc\|free\)(/heap_\1(/; s/\brt->mf\.js_malloc_usable_size(/heap_size(/' quickjs/quickjs.c
[ "$(grep -c '\bheap_[a-z]*(' quickjs/quickjs.c)" = 12 ]

# How many calls and turns of loops are between two questions whether the time is up is engine.c's to say.
sed -i 's/^#define JS_INTERRUPT_COUNTER_INIT 10000$/&\nextern int polls_apart;/' quickjs/quickjs.c
sed -i '/^static no_inline __exception int __js_poll_interrupts/,/^}/s/= JS_INTERRUPT_COUNTER_INIT;/= polls_apart;/' quickjs/quickjs.c
sed -i '/^static no_inline __exception int __js_poll_interrupts/,/^}/s/^    return 0;$/    ctx->interrupt_counter = polls_apart;\n&/' quickjs/quickjs.c
[ "$(grep -c 'polls_apart' quickjs/quickjs.c)" = 3 ]

patch -s -p1 --fuzz=0 <"$here/src/async_store.patch"

# node/**.js as data, each closed by a zero.
(cd node && find . -name '*.js' | sed 's,^\./,,' | LC_ALL=C sort) >list
{
  i=0
  while read -r file; do
    printf 'static const uint8_t shim_%d[] = {\n#embed "node/%s" suffix(, )\n0};\n' "$i" "$file"
    i=$((i + 1))
  done <list
  echo 'static const File shims[] = {'
  i=0
  while read -r file; do
    printf '  {"%s", shim_%d, sizeof shim_%d - 1},\n' "${file%.js}" "$i" "$i"
    i=$((i + 1))
  done <list
  echo '};'
} >shims.inc

# bulk memory, sign extension and saturating conversion: in every engine since 2020. The stack lies below the data, so that running
# over its end is a trap and never an overwrite.
"$zig/bin/python" -m ziglang cc -target wasm32-wasi -mexec-model=reactor -mcpu=baseline+bulk_memory+sign_ext+nontrapping_fptoint \
  -O2 -DNDEBUG -D_GNU_SOURCE -DQUICKJS_NG_BUILD -D_WASI_EMULATED_PROCESS_CLOCKS -D_WASI_EMULATED_SIGNAL -Wno-c23-extensions \
  -fno-sanitize=all -ffile-prefix-map="$PWD"=. -Wl,--strip-all -Wl,-z,stack-size=524288 -Iquickjs \
  engine.c host.c bundle.c bytes.c modules.c wasi.c json.c quickjs/libregexp.c quickjs/libunicode.c quickjs/dtoa.c \
  -o engine.wasm -lwasi-emulated-process-clocks -lwasi-emulated-signal

sum=$(sha256sum engine.wasm | cut -d' ' -f1)
if [ "${1:-}" = check ]; then
  [ "$sum" = "$(cut -d' ' -f1 "$here/engine.sha256")" ] || { echo "engine.wasm: built $sum, committed $(cat "$here/engine.sha256")"; exit 1; }
  echo "engine.wasm is what its sources give: $sum"
else
  cp engine.wasm "$here/engine.wasm"
  printf '%s  engine.wasm\n' "$sum" >"$here/engine.sha256"
  echo "engine.wasm: $(wc -c <engine.wasm) bytes, sha256 $sum"
fi
