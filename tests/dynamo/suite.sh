# The AWS CLI against the front at $1: a table's life.
set -eu
ddb() { aws --endpoint-url "$URL" --region eu-central-1 --output text dynamodb "$@"; }
URL=$1
said=$(mktemp)
trap 'rm -f "$said"' EXIT
ddb create-table --table-name cli --billing-mode PAY_PER_REQUEST --key-schema AttributeName=pk,KeyType=HASH \
    --attribute-definitions AttributeName=pk,AttributeType=S --query TableDescription.TableName
ddb wait table-exists --table-name cli
ddb put-item --table-name cli --item '{"pk": {"S": "a"}, "n": {"N": "1"}}'
ddb update-item --table-name cli --key '{"pk": {"S": "a"}}' --update-expression 'ADD n :one' --expression-attribute-values '{":one": {"N": "1"}}'
test "$(ddb get-item --table-name cli --key '{"pk": {"S": "a"}}' --query Item.n.N)" = 2
test "$(ddb scan --table-name cli --query Count)" = 1
test "$(ddb execute-statement --statement "SELECT n FROM cli WHERE pk = 'a'" --query 'Items[0].n.N')" = 2
if ddb put-item --table-name cli --item '{"pk": {"S": "a"}}' --condition-expression 'attribute_not_exists(pk)' 2>"$said"; then exit 1; fi
grep -q ConditionalCheckFailedException "$said"
ddb update-time-to-live --table-name cli --time-to-live-specification Enabled=true,AttributeName=expires --query TimeToLiveSpecification.AttributeName
ddb delete-table --table-name cli --query TableDescription.TableStatus
test -z "$(ddb list-tables --query 'TableNames')"
echo "all done"
