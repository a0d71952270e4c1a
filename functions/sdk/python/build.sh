#!/usr/bin/env bash
# Builds samples written in Python: build.sh NAME… → $OUT/NAME.wasm, components of the world `aws`.
# A sample is samples/NAME/lambda_function.py with a lambda_handler, as AWS has it; what it imports beside the standard library lies
# in the same directory.
source "$(dirname "${BASH_SOURCE[0]}")/../toolchains.sh"

pip_tool componentize-py 0.25.1
for name; do
  say "building $name with $("$TOOL/bin/componentize-py" --version) (about 20 s)"
  # Copies: importing leaves compiled files beside the sources.
  into=$WORK/python/$name
  rm -rf "$into" && mkdir -p "$into"
  cp -R "$SDK/python/src" "$into/sdk"
  cp -R "$SAMPLES/$name" "$into/sample"
  echo 'from lambda_function import lambda_handler as handler  # noqa: F401' >"$into/rimward_handler.py"
  nice -n 5 "$TOOL/bin/componentize-py" --quiet --wit-path "$WIT" --world aws componentize --stub-wasi \
    --python-path "$into/sdk" --python-path "$into/sample" --python-path "$into" rimward_lambda --output "$OUT/$name.wasm" ||
    die "$name cannot be built"
  done_with "$OUT/$name.wasm"
done
