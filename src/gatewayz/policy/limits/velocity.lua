-- Exchange of request and failure counts per second between processes.
-- KEYS[1]: prefix. ARGV: process, seconds to keep, now (epoch s), window (s), when this process was last above the
-- threshold (0: never), then per changed second of this process: second, requests, failures (the whole count, so that
-- saying it twice changes nothing).
-- Returns: when any process was last above, then per second of the window with traffic elsewhere: second, requests,
-- failures of all other processes.
local prefix, process, keep_s = KEYS[1], ARGV[1], tonumber(ARGV[2])
local now, window, above = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local function field(key, name) return tonumber(redis.call('HGET', key, name) or '0') end
for i = 6, #ARGV, 3 do
  local key = prefix .. ARGV[i]
  for name, value in pairs({r = ARGV[i + 1], f = ARGV[i + 2]}) do
    local mine = name .. ':' .. process
    redis.call('HINCRBY', key, name, tonumber(value) - field(key, mine))
    redis.call('HSET', key, mine, value)
  end
  redis.call('EXPIRE', key, keep_s)
end
local shared = tonumber(redis.call('GET', prefix .. 'last_above') or '0')
-- A time ahead of us by more than clocks usually differ comes from a process whose clock was wrong.
if shared > now + 60 then shared = 0 end
if above > shared then
  shared = above
  redis.call('SET', prefix .. 'last_above', above, 'EX', keep_s)
end
local answer = {shared}
for second = now - window, now + 1 do
  local key = prefix .. second
  local all = tonumber(redis.call('HGET', key, 'r') or '0')
  local requests = all - field(key, 'r:' .. process)
  if requests > 0 then
    answer[#answer + 1] = second
    answer[#answer + 1] = requests
    answer[#answer + 1] = field(key, 'f') - field(key, 'f:' .. process)
  end
end
return answer
