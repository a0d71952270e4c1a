#!/bin/sh
# Drives the website: files, pages from the table, edits that are seen at once, the table's caches.
. "$(dirname "$0")/../smoke.inc.sh"
json='content-type: application/json'
editor='x-api-key: demokey-editor-0123456789'

# table OPERATION JSON: asks the table itself; $cached is what its caches had to do with it.
table() {
  curl -fsS -D "$got/head" -o "$got/body" http://127.0.0.1:8000 -H 'content-type: application/x-amz-json-1.0' -H "x-amz-target: DynamoDB_20120810.$1" -d "$2"
  body=$(cat "$got/body") status=200
  cached=$(field x-rimward-dynamodb)
  printf '   %s: %s\n' "$1" "$cached"
}

# kept PATH: asked twice, the second answer comes from the cache; tried again, because the stream purges too, a moment after the editor.
kept() {
  ask GET "$1"
  ask GET "$1"
  case $(field x-cache) in *Hit*) ;; *) return 1 ;; esac
}

# at_nrt METHOD PATH [CURL ARGUMENTS]: asks the other PoP.
nrt=${NRT:-http://127.0.0.1:8082} fra=$edge
at_nrt() {
  edge=$nrt
  ask "$@"
  edge=$fra
}

# there PATH TEXT: NRT has it.
there() {
  at_nrt GET "$1"
  case $body in *"$2"*) ;; *) return 1 ;; esac
}

step 'files come from memory'
ask GET /
want 200 'printed at the edge'
ask GET /
hit
[ -n "$(field x-content-type-options)" ] || fail 'no security headers'
ask GET /style.css
want 200 'Georgia'

step 'only editors write'
ask PUT /edit/news/rim -H "$json" -d '{"title":"The rim","text":"First."}'
want 403
ask PUT /edit/news/rim -H "$editor" -H "$json" -d '{"title":"The <rim>","text":"First."}'
want 200

step 'pages are made once and kept'
ask GET /articles/news/rim
want 200 'The &#60;rim&#62;'
until_done 'the page is kept' kept '/articles/news/rim?utm_source=x'
want 200 'First.'
until_done 'the list is kept' kept /articles/news
want 200 '/articles/news/rim'

step 'the article comes to the other PoP, which makes its own page'
until_done 'NRT has the article' there /articles/news/rim 'First.'
until_done 'and the list' there /articles/news /articles/news/rim

step 'an edit is seen at once, in the page and in the list'
ask PUT /edit/news/rim -H "$editor" -H "$json" -d '{"title":"The rim","text":"Second.\n\nAnd more."}'
want 200
ask GET /articles/news/rim
want 200 '<p>And more.</p>'
without 'First.'
ask GET /articles/news
want 200 '>The rim<'

step 'and at the other PoP when the article is there'
until_done 'NRT has the edit' there /articles/news/rim 'And more.'
until_done 'NRT has the edit as JSON' there /api/articles/news/rim 'Second.'

step 'other pages stay kept'
until_done 'the page is kept' kept /articles/news/rim
ask PUT /edit/news/other -H "$editor" -H "$json" -d '{"title":"Other","text":"x"}'
want 200
until_done 'the page is kept' kept /articles/news/rim

step 'editors write at either PoP, and the last edition holds'
at_nrt PUT /edit/news/far -H "$editor" -H "$json" -d '{"title":"Far","text":"From NRT."}'
want 200
here() {
  ask GET /articles/news/far
  case $body in *"$1"*) ;; *) return 1 ;; esac
}
until_done 'FRA has it' here 'From NRT.'
ask PUT /edit/news/far -H "$editor" -H "$json" -d '{"title":"Far","text":"From FRA."}'
want 200
until_done 'NRT has the last' there /articles/news/far 'From FRA.'
ask DELETE /edit/news/far -H "$editor"
want 204
until_done 'it is gone at NRT' there /articles/news/far 'No such article'

step 'the same article as JSON, with no function between'
ask GET /api/articles/news/rim -H 'origin: https://app.example'
want 200 '"title": "The rim"'
[ "$(field access-control-allow-origin)" = '*' ] || fail 'no CORS'

step 'reads of the table itself are kept, and written through'
get='{"TableName":"articles","Key":{"section":{"S":"news"},"slug":{"S":"rim"}}}'
query='{"TableName":"articles","KeyConditionExpression":"#s = :s","ExpressionAttributeNames":{"#s":"section"},"ExpressionAttributeValues":{":s":{"S":"news"}}}'
table GetItem "$get"
table GetItem "$get"
case $cached in hit*) ;; *) fail "$cached" ;; esac
table Query "$query"
table Query "$query"
case $cached in hit*) ;; *) fail "$cached" ;; esac
ask DELETE /edit/news/rim -H "$editor"
want 204
table GetItem "$get"
without 'Second.'
table Query "$query"
without '"rim"'
ask GET /articles/news/rim
want 404 'No such article'
ask DELETE /edit/news/other -H "$editor"
want 204

step 'the stream kept every edition'
editions() {
  ask GET /api/editions/news/rim
  want 200
  case $body in *INSERT*MODIFY*REMOVE*) ;; *) return 1 ;; esac
}
until_done 'all editions are there' editions
want 200 'The <rim>'

step 'all of it works'
