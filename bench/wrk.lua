-- Sends the bodies of a file in turn, each made into a whole request once; prints the totals as one line of JSON.
-- With a second argument `distinct`, each request has a header that no other has.
-- No `response` function: with one, wrk copies every answer into Lua, and the generator becomes the bottleneck.
local ready, n, at = {}, 0, 0

function init(args)
  wrk.headers["Content-Type"] = "application/json"
  for line in io.lines(args[1]) do
    n = n + 1
    if args[2] == "distinct" then
      wrk.headers["Traceparent"] = string.format("00-%032x-%016x-01", n, n)
    end
    ready[n] = wrk.format("POST", "/api/submitlogs", nil, line)
  end
end

function request()
  at = at % n + 1
  return ready[at]
end

function done(summary, latency)
  local e = summary.errors
  io.write(string.format(
    'RESULT {"requests":%d,"micros":%d,"refused":%d,"socket_errors":%d,"p50_us":%d,"p99_us":%d,"max_us":%d}\n',
    summary.requests, summary.duration, e.status, e.connect + e.read + e.write + e.timeout,
    latency:percentile(50), latency:percentile(99), latency.max))
end
