#!/bin/sh
# Makes the user pool's key and the tickets' key when there are none, and starts the PoP.
set -eu
cd "$(dirname "$0")"
node ../cognito.mjs .
if [ ! -f keys/tickets.pub.pem ]; then
  (umask 077 && openssl genrsa -out keys/tickets.pem 2048 2>/dev/null)
  openssl rsa -in keys/tickets.pem -pubout -out keys/tickets.pub.pem 2>/dev/null
fi
exec "${RIMWARD:-rimward}" run --config .
