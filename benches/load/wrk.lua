-- wrk: one scenario's requests, and one machine-readable line at the end. `-- SCENARIO KEY SEED`
local scenario, key, seed, at = "hits", "", "0", 0
local order = {}

function init(args)
  scenario, key, seed = args[1], args[2], args[3]
  -- A thousand objects, asked for as people do: the n-th most popular one n times less often than the first (Zipf).
  math.randomseed(42)
  local cdf, sum = {}, 0
  for i = 1, 1000 do sum = sum + 1 / i; cdf[i] = sum end
  for i = 1, 50000 do
    local u, low, high = math.random() * sum, 1, 1000
    while low < high do
      local middle = math.floor((low + high) / 2)
      if cdf[middle] < u then low = middle + 1 else high = middle end
    end
    order[i] = low
  end
end

local paths = {
  hits = function() return "/hits/" .. order[at % 50000 + 1] end,
  -- Nobody asked for it before.
  misses = function() return "/misses/" .. seed .. "?n=" .. at end,
  hooks = function() return "/hooks/" .. order[at % 50000 + 1] end,
  auth = function() return "/auth/" .. order[at % 50000 + 1] end,
}

-- Of a hundred requests: 80 hits, 5 misses, 10 with a function, 5 with a key.
local function mixed()
  local turn = at * 37 % 100
  if turn < 80 then return "hits" elseif turn < 85 then return "misses" elseif turn < 95 then return "hooks" else return "auth" end
end

function request()
  at = at + 1
  local kind = scenario == "mixed" and mixed() or scenario
  local fields = { Host = "shop.example" }
  if kind == "auth" then fields["x-api-key"] = key end
  return wrk.format("GET", paths[kind](), fields)
end

function done(summary, latency)
  local e = summary.errors
  io.write(string.format("RESULT {\"requests\":%d,\"seconds\":%f,\"p50_ms\":%f,\"p90_ms\":%f,\"p99_ms\":%f,\"errors\":%d}\n", summary.requests,
    summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(90) / 1e3, latency:percentile(99) / 1e3,
    e.connect + e.read + e.write + e.status + e.timeout))
end
