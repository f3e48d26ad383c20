-- A log of admitted attempts of one subject, shared by all processes.
-- KEYS[1]: sorted set of attempts by time. ARGV: time (us) up to which attempts are over, limit, milliseconds to keep,
-- id and time (us) of the new attempt (id '': none, only tell), then id and time of every attempt this process remembers
-- (so that an outage heals with the next call; an id that is known changes nothing).
-- Returns whether the new attempt was admitted (0|1), then id and time of every attempt that counts.
local key, limit = KEYS[1], tonumber(ARGV[2])
redis.call('ZREMRANGEBYSCORE', key, '-inf', ARGV[1])
for i = 6, #ARGV, 2 do redis.call('ZADD', key, 'NX', ARGV[i + 1], ARGV[i]) end
local admitted = 0
if ARGV[4] ~= '' and redis.call('ZCARD', key) < limit then
  redis.call('ZADD', key, 'NX', ARGV[5], ARGV[4])
  admitted = 1
end
redis.call('PEXPIRE', key, ARGV[3])
local answer = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
table.insert(answer, 1, admitted)
return answer
