# Sourced by the smoke scripts: asks the edge, and stops at the first answer that is not as it should be.
# EDGE is where the PoP listens (http://127.0.0.1:8080).
set -eu
edge=${EDGE:-http://127.0.0.1:8080}
got=$(mktemp -d)
trap 'rm -rf "$got"' EXIT

step() { printf '== %s\n' "$*"; }

# fail WHY
fail() {
  printf 'FAILED: %s\n' "$*" >&2
  exit 1
}

# ask METHOD PATH [CURL ARGUMENTS]: leaves $status, $body, and the head for `field`.
ask() {
  method=$1 path=$2
  shift 2
  status=$(curl -sS -m 60 -X "$method" -D "$got/head" -o "$got/body" -w '%{http_code}' "$@" "$edge$path")
  body=$(cat "$got/body")
  printf '   %s %s: %s %s\n' "$method" "$(printf %s "$path" | cut -c 1-60)" "$status" "$(printf %s "$body" | head -c 100 | tr '\n' ' ')"
}

# want STATUS [TEXT]: the last answer has this status, and this text in its body.
want() {
  [ "$status" = "$1" ] || fail "status $status, not $1: $body"
  case $body in *"${2-}"*) ;; *) fail "no '$2' in: $body" ;; esac
}

# without TEXT: the last answer's body does not have it.
without() {
  case $body in *"$1"*) fail "'$1' in: $body" ;; esac
}

# field NAME: a header of the last answer.
field() { tr -d '\r' <"$got/head" | sed -n "s/^$1: //Ip" | head -n 1; }

# hit | miss: whether the cache had it.
hit() { case $(field x-cache) in *Hit*) ;; *) fail "no hit: $(field x-cache)" ;; esac; }
miss() { case $(field x-cache) in *Hit*) fail "a hit: $(field x-cache)" ;; *) ;; esac; }

# member NAME: a member of the last answer's JSON.
member() { node -e 'process.stdout.write(String(JSON.parse(require("fs").readFileSync(process.argv[1]))[process.argv[2]]))' "$got/body" "$1"; }

# until_done WHAT COMMAND…: tries every fifth of a second, for two and a half minutes: a call that failed is tried again after one.
until_done() {
  what=$1 left=750
  shift
  until "$@"; do
    left=$((left - 1))
    [ "$left" -gt 0 ] || fail "never: $what"
    sleep 0.2
  done
}
