-- wrk: one machine-readable line at the end; `-- keys N zipf|seq` asks for N different objects.
local requests, order, at = nil, {}, 0

function init(args)
  if args[1] ~= "keys" then return end
  local count, distribution = tonumber(args[2]), args[3]
  requests = {}
  for i = 1, count do requests[i] = wrk.format("GET", "/1k/k" .. i) end
  if distribution == "seq" then
    for i = 1, count do order[i] = i end
  else
    math.randomseed(42)
    local cdf, sum = {}, 0
    for i = 1, count do sum = sum + 1 / i; cdf[i] = sum end
    for i = 1, 500000 do
      local u, low, high = math.random() * sum, 1, count
      while low < high do
        local middle = math.floor((low + high) / 2)
        if cdf[middle] < u then low = middle + 1 else high = middle end
      end
      order[i] = (low * 7919) % count + 1 -- popular keys lie apart
    end
  end
  request = function()
    at = at % #order + 1
    return requests[order[at]]
  end
end

function done(summary, latency)
  local e = summary.errors
  io.write(string.format("RESULT requests=%d duration_us=%d p50=%d p99=%d errors=%d\n", summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99), e.connect + e.read + e.write + e.status + e.timeout))
end
