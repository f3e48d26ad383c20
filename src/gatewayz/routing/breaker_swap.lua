-- Moves one breaker from the value that the caller knew to a new one, if nobody was faster.
-- KEYS: state, failure_count, success_count, opened_at, probes, set of all providers with a breaker.
-- ARGV: provider, seconds to keep, expected state, failures, successes, opened_at, then the new four, then the probe
-- places that are free again. Absent keys, and what nobody of us wrote, mean a closed breaker that has seen nothing.
-- Returns the four values that were found; the move was made if they are the expected ones.
local found = redis.call('MGET', KEYS[1], KEYS[2], KEYS[3], KEYS[4])
local absent = {'CLOSED', '0', '0', '0'}
local known = found[1] == 'CLOSED' or found[1] == 'OPEN' or found[1] == 'HALF_OPEN'
if not (known and tonumber(found[2]) and tonumber(found[3]) and tonumber(found[4])) then found = absent end
for i = 11, #ARGV do redis.call('ZREM', KEYS[5], ARGV[i]) end
for i = 1, 4 do
  if found[i] ~= ARGV[2 + i] then return found end
end
for i = 1, 4 do redis.call('SET', KEYS[i], ARGV[6 + i], 'EX', ARGV[2]) end
-- Places belong to one opening.
if ARGV[10] ~= found[4] then redis.call('DEL', KEYS[5]) end
redis.call('SADD', KEYS[6], ARGV[1])
redis.call('EXPIRE', KEYS[6], ARGV[2])
return found
