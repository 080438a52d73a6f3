-- wrk -s compare.lua URL -- EXPECTED: compares every answer with what it has to be. EXPECTED has a line
-- for each request: path, status and body with tabs between. Takes one connection for each thread, so
-- that an answer belongs to the last request. Ends with one line of results for bench/check.py.

local expected = {}
local asked
local threads = {}

right = 0
wrong = 0

function setup(thread)
   threads[#threads + 1] = thread
   thread:set("number", #threads)
end

function init(args)
   math.randomseed(os.time() + number)
   for line in io.lines(args[1]) do
      local path, status, body = line:match("^([^\t]*)\t(%d+)\t(.*)$")
      expected[#expected + 1] = { wrk.format("GET", path), tonumber(status), body }
   end
end

function request()
   asked = expected[math.random(#expected)]
   return asked[1]
end

function response(status, _, body)
   if status == asked[2] and body == asked[3] then
      right = right + 1
   else
      wrong = wrong + 1
   end
end

function done(summary, _, _)
   local all_right, all_wrong = 0, 0
   for _, thread in ipairs(threads) do
      all_right = all_right + thread:get("right")
      all_wrong = all_wrong + thread:get("wrong")
   end
   local errors = summary.errors
   print(string.format("RESULT %d %d %d", all_right, all_wrong,
      errors.connect + errors.read + errors.write + errors.timeout))
end
