#!/bin/sh
# Makes the user pool's key when there is none, and starts the PoP.
set -eu
cd "$(dirname "$0")"
node ../cognito.mjs .
exec "${RIMWARD:-rimward}" run --config .
