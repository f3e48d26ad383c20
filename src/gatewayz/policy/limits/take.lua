-- Slices of shared budgets, for many subjects in one trip.
-- KEYS: per subject the counter and the record of what each process holds of it.
-- ARGV: process, seconds to keep, then per subject: limit, claim, fresh (0|1), need, want.
-- `claim` is what the process says it holds (used + still in hand) and replaces what was recorded, so that an answer lost
-- on the way, an outage and a server that lost its data all heal with the next call. A `fresh` caller does not remember
-- earlier holdings of this window and adds its claim to the record.
-- Returns per subject: given, total after, claim as recorded before giving. Given is at least min(need, what is left) and at most want; near the end of
-- the budget slices shrink, so that little is left unused in one process while another one refuses.
local process, keep_s = ARGV[1], tonumber(ARGV[2])
local answers = {}
-- nil for a reply that is not a number: somebody else has written there.
local function number(reply)
  if type(reply) == 'table' then return nil end
  return tonumber(reply or '0')
end
for i = 1, #KEYS / 2 do
  local counter, holders = KEYS[2 * i - 1], KEYS[2 * i]
  local at = 2 + (i - 1) * 5
  local limit, claim, fresh = tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2]), ARGV[at + 3]
  local need, want = tonumber(ARGV[at + 4]), tonumber(ARGV[at + 5])
  local recorded = number(redis.pcall('HGET', holders, process))
  local before = number(redis.pcall('GET', counter))
  if not (recorded and before) then
    -- Begun anew, so that one damaged counter does not fail the trip of all others.
    redis.call('DEL', counter, holders)
    recorded, before = 0, 0
  end
  if fresh == '1' then claim = recorded + claim end
  local total = before + claim - recorded
  if total < claim then total = claim end
  local left = math.max(0, limit - total)
  local give = math.min(want, left, math.max(need, math.floor(left / 8)))
  total = total + give
  if total ~= before or claim + give ~= recorded then
    redis.call('SET', counter, total, 'EX', keep_s)
    redis.call('HSET', holders, process, claim + give)
    redis.call('EXPIRE', holders, keep_s)
  end
  answers[3 * i - 2] = give
  answers[3 * i - 1] = total
  answers[3 * i] = claim
end
return answers
