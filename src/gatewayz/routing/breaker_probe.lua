-- Takes one of the places for probes of a half-open breaker, over all processes.
-- KEYS: state, failure_count, success_count, opened_at, probes. ARGV: opened_at as the caller knows it, now (us), when
-- the place becomes free by itself (us), places, token of the place, milliseconds to keep.
-- Returns 1 (taken), 0 (none free), or -1 and the four values found if the breaker has moved on.
local found = redis.call('MGET', KEYS[1], KEYS[2], KEYS[3], KEYS[4])
local absent = {'CLOSED', '0', '0', '0'}
local known = found[1] == 'CLOSED' or found[1] == 'OPEN' or found[1] == 'HALF_OPEN'
if not (known and tonumber(found[2]) and tonumber(found[3]) and tonumber(found[4])) then found = absent end
if found[4] ~= ARGV[1] then return {-1, found[1], found[2], found[3], found[4]} end
redis.call('ZREMRANGEBYSCORE', KEYS[5], '-inf', ARGV[2])
if redis.call('ZCARD', KEYS[5]) >= tonumber(ARGV[4]) then return {0} end
redis.call('ZADD', KEYS[5], ARGV[3], ARGV[5])
redis.call('PEXPIRE', KEYS[5], ARGV[6])
return {1}
