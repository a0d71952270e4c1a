#!/bin/sh
# Sends events and finds them in the lake and the stream, without what is nobody's business.
. "$(dirname "$0")/../smoke.inc.sh"
lake=$edge/lake/lake
key='x-api-key: demokey-device-0123456789'
own="x-api-key: $(cat "$(dirname "$0")/keys/sinks")"
mark="smoke-$$-$(date +%s)"

# lines: leaves every line of the lake in $got/lines; succeeds when there are $1 of this run.
lines() {
  : >"$got/lines"
  for name in $(curl -fsS -H "$own" "$lake?list-type=2&prefix=events/" | grep -o '<Key>[^<]*' | cut -c 6-); do
    curl -fsS -H "$own" "$lake/$name" >>"$got/lines"
  done
  [ "$(grep -c "$mark" "$got/lines")" = "$1" ]
}

step 'only devices with a key'
ask POST /events -d '{}'
want 403

step 'the lake and the stream only for the function'
for at in /lake/lake/x /lake/lake/events/x; do
  ask PUT "$at" -d '{}'
  want 403
  ask PUT "$at" -H "$key" -d '{}'
  want 403
done
ask POST /stream/ -H "$key" -d '{}'
want 403
ask POST /events -H "$own" -d '{}'
want 403

step 'a batch is taken at once'
cat >"$got/batch" <<END
{"kind":"$mark","user":"alice","note":"write to alice@example.com","ip":"192.0.2.77"}
{"kind":"$mark","user":"alice","card":"pay with 4111 1111 1111 1111","order":"1234567890123","password":"hunter2"}
this line is no JSON
{"kind":"$mark","user":"bob","deep":{"list":["bob@example.org"]}}
END
ask POST /events -H "$key" -H 'content-type: application/x-ndjson' --data-binary @"$got/batch"
want 202

step 'it comes to the lake, scrubbed'
until_done 'the batch is in the lake' lines 3
grep "$mark" "$got/lines" | sed 's/^/   /'
body=$(grep "$mark" "$got/lines")
for secret in alice bob @example hunter2 '4111 1111' 192.0.2.77 'no JSON'; do without "$secret"; done
status=200
want 200 '[email]'
want 200 '[card]'
want 200 '1234567890123'
want 200 '"ip":"192.0.2.0"'
want 200 '"source":"device"'

step 'several batches, several objects'
for number in 1 2 3 4 5; do
  ask POST /events -H "$key" -d "{\"kind\":\"$mark\",\"number\":$number}"
  want 202
done
until_done 'all batches are in the lake' lines 8

step 'all of it works'
