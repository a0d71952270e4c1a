-- wrk script: one DynamoDB operation over 1,000 keys. OPERATION names it. Requests are made before the clock runs, and answers are not
-- taken apart: wrk counts statuses by itself.
local operation = os.getenv("OPERATION")
local bodies = {
  GetItem = '{"TableName":"bench","Key":{"pk":{"S":"p%d"},"sk":{"S":"0"}}}',
  PutItem = '{"TableName":"bench","Item":{"pk":{"S":"p%d"},"sk":{"S":"0"},"text":{"S":"' .. string.rep("x", 200) .. '"},"n":{"N":"42"}}}',
  Query = '{"TableName":"bench","KeyConditionExpression":"pk = :p","ExpressionAttributeValues":{":p":{"S":"q%d"}},"Limit":10}',
}
local headers = {
  ["Content-Type"] = "application/x-amz-json-1.0",
  ["X-Amz-Target"] = "DynamoDB_20120810." .. operation,
  ["Authorization"] = "AWS4-HMAC-SHA256 Credential=test/20261126/us-east-1/dynamodb/aws4_request, SignedHeaders=host;x-amz-date, Signature=0",
  ["X-Amz-Date"] = "20261126T000000Z",
}
local requests = {}
init = function()
  for n = 1, operation == "Query" and 100 or 1000 do
    requests[n] = operation == "Fixed" and wrk.format("GET", "/") or wrk.format("POST", "/", headers, string.format(bodies[operation], n - 1))
  end
end
local n = 0
request = function()
  n = n % #requests + 1
  return requests[n]
end
done = function(summary, latency)
  io.write(string.format("%.0f %.0f %d %.0f %d\n", summary.requests / summary.duration * 1e6, latency:percentile(50), summary.errors.status,
    latency:percentile(99), summary.requests))
end
