#!/bin/sh
# Asks all three PoPs, then deploys, tries a canary and goes back. EDGES are where they listen, in the order FRA, NRT, IAD.
. "$(dirname "$0")/../smoke.inc.sh"
edges=${EDGES:-http://127.0.0.1:8081 http://127.0.0.1:8082 http://127.0.0.1:8083}
rimward=${RIMWARD:-rimward}
RIMWARD_ADMIN=http://127.0.0.1:9911
RIMWARD_DEPLOY_KEY=$(dirname "$0")/keys/deploy.key
export RIMWARD_ADMIN RIMWARD_DEPLOY_KEY
page="/smoke-$$-$(date +%s)"
# As viewers of one site ask: a port in Host would make three sites of it.
host="Host: shop.example"

# serves: the edge has the first revision.
serves() { [ "$(curl -sS -o "$got/body" -w '%{http_code}' "$edge/" 2>/dev/null)" = 200 ]; }

for edge in $edges; do
  step "$edge"
  until_done "$edge serves the first revision" serves
  ask GET "$page" -H "$host"
  # The shield asked the origin, once for all PoPs.
  want 200 "$page was asked for 1 times"
  ask GET "$page" -H "$host"
  want 200 "$page was asked for 1 times"
  hit
done

# site VALUE: the site, with a field that says which it is.
site() {
  mkdir -p "$got/site"
  cp "$(dirname "$0")/site/site.toml" "$got/site/site.toml"
  printf 'response = { set = { x-revision = "%s" } }\n' "$1" >>"$got/site/site.toml"
}

# shows FRA NRT IAD: the field at each of them.
shows() {
  for edge in $edges; do
    ask GET "$page" -H "$host"
    [ "$(field x-revision)" = "$1" ] || fail "$edge has x-revision '$(field x-revision)', not '$1'"
    shift
  done
}

step 'a revision for everybody'
site smoke
"$rimward" deploy "$got/site" --wait --note smoke
shows smoke smoke smoke

step 'a canary in Frankfurt, and back'
site canary
"$rimward" deploy "$got/site" --wait --note 'a try' --canary pop=FRA
shows canary smoke smoke
"$rimward" rollback --wait
shows smoke smoke smoke

step 'back to what was before'
"$rimward" rollback --wait
shows '' '' ''

step 'history'
"$rimward" history --last 5 >"$got/history"
for word in 'a try' smoke 'rollback to' 'FRA    canary' 'NRT    applied' 'IAD    applied'; do
  grep -q -- "$word" "$got/history" || fail "no '$word' in: $(cat "$got/history")"
done
printf '== all of it works\n'
