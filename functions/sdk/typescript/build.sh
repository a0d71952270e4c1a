#!/usr/bin/env bash
# Builds samples written in TypeScript: build.sh NAME… → $OUT/NAME.js. Types are checked by tsc and taken away by esbuild; the
# server runs the JavaScript.
source "$(dirname "${BASH_SOURCE[0]}")/../toolchains.sh"

need node "Node.js 20 or newer (Debian: nodejs)"
npm_tool "$SDK/typescript"
for name; do
  say "compiling $name with tsc $("$TOOL/node_modules/.bin/tsc" --version) and esbuild $("$TOOL/node_modules/.bin/esbuild" --version)"
  sed "s#\"compilerOptions\"#\"files\": [\"$SAMPLES/$name/$name.ts\"], &#" "$SDK/typescript/tsconfig.json" >"$WORK/tsconfig.json"
  "$TOOL/node_modules/.bin/tsc" --project "$WORK/tsconfig.json" || die "$name has errors of types"
  "$TOOL/node_modules/.bin/esbuild" "$SAMPLES/$name/$name.ts" --bundle --platform=node --format=cjs --target=es2022 --charset=utf8 \
    --external:cloudfront --external:aws-sdk '--external:@aws-sdk/*' --log-level=warning "--outfile=$OUT/$name.js" ||
    die "$name does not compile"
  done_with "$OUT/$name.js"
done
