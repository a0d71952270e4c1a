-- wrk script: requests a second, p50 and p99 in µs, bytes a second, answers that were no 200.
done = function(summary, latency)
  local seconds = summary.duration / 1e6
  io.write(string.format("%.0f %.0f %.0f %.0f %d\n", summary.requests / seconds, latency:percentile(50), latency:percentile(99),
    summary.bytes / seconds, summary.errors.status))
end
