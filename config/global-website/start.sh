#!/bin/sh
# Starts the PoP.
set -eu
cd "$(dirname "$0")"
exec "${RIMWARD:-rimward}" run --config .
