-- wrk -s load.lua URL -- random|once REQUESTS SEED PAUSE: sends the requests of a file, one a line: METHOD
-- PATH [BODY]. At random, or each once in order. Each connection pauses for PAUSE milliseconds before a
-- request. Ends with one line of results for bench/load.py.

local requests = {}
local at_random
local at = 0

function init(args)
   at_random = args[1] == "random"
   math.randomseed(tonumber(args[3]))
   local pause = tonumber(args[4])
   if pause > 0 then -- wrk asks whether there is a function with this name
      function delay()
         return pause
      end
   end
   for line in io.lines(args[2]) do
      local method, path, body = line:match("^(%S+) (%S+) ?(.*)$")
      wrk.headers["Content-Type"] = body ~= "" and "application/x-www-form-urlencoded" or nil
      requests[#requests + 1] = wrk.format(method, path, nil, body ~= "" and body or nil)
   end
end

function request()
   if at_random then
      return requests[math.random(#requests)]
   end
   at = at + 1
   if at > #requests then -- has failed then: it ends too early, and the results show it
      wrk.thread:stop()
      at = #requests
   end
   return requests[at]
end

function done(summary, latency, _)
   local errors = summary.errors
   print(string.format("RESULT %d %d %d %d %d %d %d %d %d", summary.requests, summary.duration,
      latency:percentile(50), latency:percentile(99), errors.connect, errors.read, errors.write,
      errors.status, errors.timeout))
end
