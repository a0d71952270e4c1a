#!/usr/bin/env bash
# Builds samples written in Python: build.sh NAME… → $OUT/NAME.wasm, components of the world `aws`.
# A sample is samples/NAME/lambda_function.py with a lambda_handler, as AWS has it; what it imports beside the standard library lies
# in the same directory.
source "$(dirname "${BASH_SOURCE[0]}")/../toolchains.sh"

pip_tool componentize-py 0.25.1
for name; do
  say "building $name with $("$TOOL/bin/componentize-py" --version) (about 20 s)"
  rm -rf "$WORK/python/$name" && mkdir -p "$WORK/python/$name"
  echo 'from lambda_function import lambda_handler as handler  # noqa: F401' >"$WORK/python/$name/rimward_handler.py"
  PYTHONDONTWRITEBYTECODE=1 nice -n 5 "$TOOL/bin/componentize-py" --quiet --wit-path "$WIT" --world aws componentize --stub-wasi \
    --python-path "$SDK/python/src" --python-path "$SAMPLES/$name" --python-path "$WORK/python/$name" \
    rimward_lambda --output "$OUT/$name.wasm" || die "$name cannot be built"
  done_with "$OUT/$name.wasm"
done
