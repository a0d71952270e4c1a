#!/bin/sh
# Makes the secrets when there are none, starts moto as the lake and the stream unless something answers there already, and the PoP.
set -eu
cd "$(dirname "$0")"
at=http://127.0.0.1:5000
mkdir -p keys
for secret in lake pepper sinks; do
  [ -f "keys/$secret" ] || (umask 077 && openssl rand -hex 32 >"keys/$secret")
done
# The function's key for the lake and the stream; the configuration has its hash.
cat >keys.toml <<END
[[api_key]]
name   = "scrub"
sha256 = "$(printf %s "$(cat keys/sinks)" | openssl dgst -sha256 -r | cut -d ' ' -f 1)"
plans  = ["sinks"]
END

lake=
if ! curl -s -o /dev/null "$at"; then
  command -v "${MOTO:-moto_server}" >/dev/null || {
    echo "${MOTO:-moto_server} is missing: pip install 'moto[server]'" >&2
    exit 1
  }
  "${MOTO:-moto_server}" -H 127.0.0.1 -p "${at##*:}" >/dev/null 2>&1 &
  lake=$!
  until curl -s -o /dev/null "$at"; do
    kill -0 "$lake" || exit 1
    sleep 0.2
  done
fi
# signed SERVICE CURL-ARGUMENTS: bucket and stream, made when missing.
signed() {
  service=$1
  shift
  curl -sS -o /dev/null --aws-sigv4 "aws:amz:us-east-1:$service" --user "ingestion:$(cat keys/lake)" "$@"
}
signed s3 -X PUT "$at/lake"
signed kinesis -H 'content-type: application/x-amz-json-1.1' -H 'x-amz-target: Kinesis_20131202.CreateStream' \
  -d '{"StreamName":"events","ShardCount":2}' "$at/"

"${RIMWARD:-rimward}" run --config . &
pop=$!
trap 'kill "$pop" 2>/dev/null' INT TERM
ended=0
while kill -0 "$pop" 2>/dev/null; do wait "$pop" || ended=$?; done
[ -z "$lake" ] || kill "$lake" 2>/dev/null || true
exit "$ended"
