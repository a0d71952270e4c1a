#!/bin/sh
# Drives the services: weights, failures of one that the others do not feel, a function, a table.
. "$(dirname "$0")/../smoke.inc.sh"
json='content-type: application/json'
key='x-api-key: demokey-shop-0123456789'

# answer PORT STATUS: what a service says from now on.
answer() { curl -fsS -X POST "http://$1/_answer/$2"; }

# versions N: asks the catalogue so often; $new is how many answers came from the new version.
versions() {
  new=0
  for _ in $(seq "$1"); do
    ask GET /catalogue/1 >"$got/asked"
    want 200 '"version"'
    case $body in *'"version":2'*) new=$((new + 1)) ;; esac
  done
  printf '   %s of %s from the new version\n' "$new" "$1"
}

for service in 127.0.0.1:7001 127.0.0.1:7002 127.0.0.1:7003; do
  until_done "$service answers" answer "$service" 200
done

step 'one request in ten goes to the new version'
versions 40
[ "$new" -ge 2 ] && [ "$new" -le 8 ] || fail "$new of 40"

step 'it fails: viewers see nothing of that, and soon it is left alone'
answer 127.0.0.1:7002 503
versions 60
[ "$new" = 0 ] || fail "$new answers of a service that fails"
answer 127.0.0.1:7002 200
versions 20
[ "$new" = 0 ] || fail 'it should still rest'

step 'reviews are kept, and served stale or empty while their service is down'
ask GET /reviews/1
want 200 '"stars":5'
ask GET /reviews/1
hit
answer 127.0.0.1:7003 503
curl -fsS -o "$got/purged" --json '{"prefix":"127.0.0.1/reviews/","soft":true}' http://127.0.0.1:9901/purge
ask GET /reviews/1
want 200 '"stars":5'
case $(field cache-status) in *stale-if-error*) ;; *) fail "not stale: $(field cache-status)" ;; esac
ask GET /reviews/2
want 200 'not now'
answer 127.0.0.1:7003 200
until_done 'reviews are back' sh -c "curl -fsS $edge/reviews/2 | grep -q stars"

step 'the function sells what is in stock, and no more'
stock() {
  curl -fsS -o "$got/stock" http://127.0.0.1:8000 -H 'content-type: application/x-amz-json-1.0' -H 'x-amz-target: DynamoDB_20120810.PutItem' \
    -d '{"TableName":"stock","Item":{"sku":{"S":"cup"},"left":{"N":"5"}}}'
}
until_done 'the table answers' stock
ask POST /orders -H "$json" -d '{"sku":"cup","amount":3}'
want 403
ask POST /orders -H "$key" -H "$json" -d '{"sku":"cup","amount":3}'
want 201 '"amount":3'
id=$(member id)
ask POST /orders -H "$key" -H "$json" -d '{"sku":"cup","amount":3}'
want 409 'not in stock'
ask GET "/orders/$id" -H "$key"
want 200 '"sku":"cup"'
ask POST /orders -H "$key" -H "$json" -d '{"sku":'
want 400

step 'the table answers without a function'
ask GET /stock/cup
want 200 '"left": 2'
ask GET /stock/none
want 404

step 'everything else is nobody'"'"'s'
ask GET /other
want 404

step 'all of it works'
