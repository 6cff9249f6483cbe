-- The load, for wrk: `wrk … -s load.lua URL -- get|put PREFIX USERS`. A user is called PREFIX and
-- a number in letters. `get` asks for the first USERS of them in turn, `put` saves new ones.

local letters = "abcdefghijklmnopqrstuvwxyz"

-- The same as `username` in load.rs. The lowest digit comes first: neighbours in time are no
-- neighbours in an index.
local function username(prefix, n)
  local name = prefix
  repeat
    local digit = n % 26
    name = name .. letters:sub(digit + 1, digit + 1)
    n = (n - digit) / 26
  until n == 0
  return name
end

local json = { ["content-type"] = "application/json" }

local function get(prefix, users)
  -- Made once: what generates the load shares the cores with what it measures.
  local requests = {}
  for user = 0, users - 1 do
    requests[user] = wrk.format("GET", "/hello/" .. username(prefix, user))
  end
  local user = 0
  return function()
    user = (user + 1) % users
    return requests[user]
  end
end

local function put(prefix)
  local user = 0
  return function()
    user = user + 1
    local born = ("%04d-%02d-%02d"):format(1900 + user % 120, 1 + user % 12, 1 + user % 28)
    local body = '{"dateOfBirth":"' .. born .. '"}'
    return wrk.format("PUT", "/hello/" .. username(prefix, user), json, body)
  end
end

function init(arguments)
  local make = arguments[1] == "get" and get or put
  request = make(arguments[2], tonumber(arguments[3]))
end

-- For load.rs: a line with the counts, then one for each latency that occurred; times in microseconds.
function done(summary, latency)
  local errors = summary.errors
  io.write(("load: %d %d %d %d\n"):format(
    summary.requests,
    summary.duration,
    errors.status,
    errors.connect + errors.read + errors.write + errors.timeout
  ))
  for i = 1, #latency do
    io.write(("latency: %d %d\n"):format(latency(i)))
  end
end
