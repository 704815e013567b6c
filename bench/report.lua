-- Prints what wrk measured as one line of JSON; times are microseconds.
function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '\nJSON {"seconds":%.6f,"requests":%d,"bytes":%d,"errors":%d,"reason":"connect %d, read %d, write %d, status %d, timeout %d",'
      .. '"total":{"p50":%d,"p99":%d,"max":%d}}\n',
    summary.duration / 1e6, summary.requests, summary.bytes,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout,
    errors.connect, errors.read, errors.write, errors.status, errors.timeout,
    latency:percentile(50), latency:percentile(99), latency.max))
end
