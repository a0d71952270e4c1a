#!/bin/sh
# Buys a film and looks at it: token, entitlement, signed URL, cache.
here=$(dirname "$0")
. "$here/../smoke.inc.sh"

# pays VIEWER UNTIL: what a shop would write.
pays() {
  curl -fsS -o "$got/paid" http://127.0.0.1:8000 -H 'content-type: application/x-amz-json-1.0' -H 'x-amz-target: DynamoDB_20120810.PutItem' \
    -d "{\"TableName\":\"entitlements\",\"Item\":{\"viewer\":{\"S\":\"$1\"},\"film\":{\"S\":\"rim.txt\"},\"until\":{\"N\":\"$2\"}}}"
}
token() { printf 'authorization: Bearer %s' "$(node "$here/../cognito.mjs" "$here" "$1")"; }
now=$(date +%s)
alice=$(token "alice-$now")
bob=$(token "bob-$now")

step 'the film is not there for nothing'
ask GET /films/rim.txt
want 403
ask POST /tickets/rim.txt
want 401
ask POST /tickets/rim.txt -H "$alice"
want 402 'not paid'

step 'who has paid gets a ticket'
pays "alice-$now" $((now + 3600))
ask POST /tickets/rim.txt -H "$alice"
want 200 '/films/rim.txt?Expires='
ticket=$(member url)
ask GET "${ticket#"$edge"}"
want 200 'INT. EDGE'

step 'the next one with a ticket gets it from the cache'
pays "bob-$now" $((now + 60))
ask POST /tickets/rim.txt -H "$bob"
want 200
other=$(member url)
[ "$other" != "$ticket" ] || fail 'the same ticket for two'
ask GET "${other#"$edge"}"
want 200 'INT. EDGE'
hit
ask GET "${other#"$edge"}" -r 0-3
want 206 'INT.'

step 'a ticket is for one film, one time, one signature'
ask GET "$(printf %s "${ticket#"$edge"}" | sed 's/Expires=./Expires=9/')"
want 403
ask GET "$(printf %s "${ticket#"$edge"}" | sed 's/Key-Pair-Id=K/Key-Pair-Id=J/')"
want 403
ask GET /films/rim.txt
want 403

step 'what ran out is not paid for'
pays "bob-$now" $((now - 1))
ask POST /tickets/rim.txt -H "$bob"
want 402

step 'all of it works'
