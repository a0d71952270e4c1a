#!/bin/sh
# Drives the todo API: keys, tokens, isolation, cache, and the table without a function.
here=$(dirname "$0")
. "$here/../smoke.inc.sh"
json='content-type: application/json'
acme='x-api-key: demokey-acme-0123456789'
globex='x-api-key: demokey-globex-0123456789'

step 'nobody comes in without a key'
ask GET /todos
want 403
ask GET /todos -H 'x-api-key: guessed-0123456789'
want 403

step 'a key makes, reads, changes and deletes a todo'
ask POST /todos -H "$acme" -H "$json" -d '{"text":"buy \"milk\""}'
want 201 'buy'
id=$(member id)
ask GET "/todos/$id" -H "$acme"
want 200 '"done":false'
miss
ask GET "/todos/$id" -H "$acme"
want 200 'milk'
hit
ask GET /todos -H "$acme"
want 200 "$id"
ask GET /todos -H "$acme"
hit

step 'a write is seen at once'
ask PUT "/todos/$id" -H "$acme" -H "$json" -d '{"text":"buy bread","done":true}'
want 200
ask GET "/todos/$id" -H "$acme"
want 200 '"done":true'
ask GET /todos -H "$acme"
want 200 'buy bread'
without 'milk'

step 'another key sees none of it'
ask GET "/todos/$id" -H "$globex"
want 404
ask GET /todos -H "$globex"
want 200
without "$id"
ask PUT "/todos/$id" -H "$globex" -H "$json" -d '{"text":"mine"}'
want 404
ask GET /todos -H "$globex" -H 'x-key-name: acme'
without "$id"

step 'bad input is the function'"'"'s to refuse'
ask POST /todos -H "$acme" -H "$json" -d '{"text":'
want 400 'no JSON'
ask PATCH "/todos/$id" -H "$acme"
want 404

step 'deleted is deleted'
ask DELETE "/todos/$id" -H "$acme"
want 204
ask GET "/todos/$id" -H "$acme"
want 404

step 'a quota is exact: five a day'
for _ in 1 2 3 4 5 6; do ask GET /todos -H 'x-api-key: demokey-trial-0123456789'; done
want 429 'Limit Exceeded'

step 'people come with tokens'
alice="authorization: Bearer $(node "$here/../cognito.mjs" "$here" alice)"
bob="authorization: Bearer $(node "$here/../cognito.mjs" "$here" bob)"
ask GET /me/todos
want 401
ask POST /me/todos -H "$alice" -H "$json" -d '{"text":"call mum"}'
want 201
id=$(member id)
ask GET /me/todos -H "$alice"
want 200 'call mum'
ask GET /me/todos -H "$alice"
hit
ask GET /me/todos -H "$bob"
want 200
without 'call mum'
ask DELETE "/me/todos/$id" -H "$alice"
want 204

step 'the table, with no function between'
ask PUT /direct/todos/1 -H "$alice" -H "$json" -d '{"text":"say \"hi\"","done":true}'
want 200
ask GET /direct/todos/1 -H "$alice"
want 200 'say \"hi\"'
miss
ask GET /direct/todos/1 -H "$alice"
hit
ask GET /direct/todos -H "$alice"
want 200 '"id": "1"'
ask GET /direct/todos/1 -H "$bob"
want 404 'no such todo'
ask PUT /direct/todos/1 -H "$alice" -H "$json" -d '{"text":"said"}'
want 200
ask GET /direct/todos/1 -H "$alice"
want 200 'said'
ask DELETE /direct/todos/1 -H "$alice"
want 200
ask GET /direct/todos/1 -H "$alice"
want 404
ask POST /direct/todos/1 -H "$alice"
want 403

step 'all of it works'
