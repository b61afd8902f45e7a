/**
 * What Redis does in one step. Its own clock counts, so that servers whose clocks differ agree. A bucket is the moment, in
 * milliseconds, at which it will be full, and expires five seconds later: to make a key anew for each request of a bucket that fills
 * fast costs more than to keep it; slots are a sorted set of holders by the end of their time.
 *
 * An expiry doubles what it costs to write a bucket. The one that is there is left alone while the moment stays within the same
 * `STRIDE`, which is shorter than those five seconds.
 */
const STRIDE = 2000
const NOW = `local call = redis.call
local t = call('TIME')
local now = t[1] * 1000 + t[2] / 1000
`

/**
 * KEYS: buckets, then slots. ARGV: how many buckets; of each bucket what is asked and what it holds, in milliseconds; the holder,
 * for how long; of each slot how many there are.
 * @returns whether all was taken; which of the slots was full, or 0; of each bucket the microseconds until it was full before.
 */
export const TAKE = `${NOW}
local n = tonumber(ARGV[1])
local was, missing, granted, busy = {}, {}, 1, 0
if n > 0 then
  local found = call('MGET', unpack(KEYS, 1, n))
  for i = 1, n do
    was[i] = tonumber(found[i] or 0)
    local cost, left = tonumber(ARGV[2 * i]), math.max(was[i] - now, 0)
    if cost > 0 and left + cost - ARGV[2 * i + 1] > 0.001 then granted = 0 end
    missing[i] = left
  end
end
local at = 2 * n + 2
for j = n + 1, #KEYS do
  call('ZREMRANGEBYSCORE', KEYS[j], '-inf', now)
  if busy == 0 and call('ZCARD', KEYS[j]) >= tonumber(ARGV[at + 1 + j - n]) then busy = j - n end
end
if busy > 0 then granted = 0 end
if granted == 1 then
  for i = 1, n do
    local left = missing[i] + ARGV[2 * i]
    if left > 0 then
      local full = now + left
      if full - was[i] < ${STRIDE} - was[i] % ${STRIDE} then call('SET', KEYS[i], full, 'KEEPTTL')
      else call('SET', KEYS[i], full, 'PX', math.ceil(left) + 5000) end
    end
  end
  for j = n + 1, #KEYS do
    call('ZADD', KEYS[j], now + ARGV[at + 1], ARGV[at])
    call('PEXPIRE', KEYS[j], ARGV[at + 1])
  end
end
local answer = { granted, busy }
for i = 1, n do answer[i + 2] = missing[i] * 1000 end
return answer
`

/** KEYS: buckets. ARGV: of each, what is taken more and the deepest it may be, in milliseconds. */
export const CORRECT = `${NOW}
for i = 1, #KEYS do
  local missing = math.max((call('GET', KEYS[i]) or 0) - now, 0) + ARGV[2 * i - 1]
  missing = math.min(missing, tonumber(ARGV[2 * i]))
  if missing > 0 then call('SET', KEYS[i], now + missing, 'PX', math.ceil(missing) + 5000)
  else call('DEL', KEYS[i]) end
end
`

/** KEYS: slots, one for each holder. ARGV: for how long, then the holders. */
export const RENEW = `${NOW}
for i = 1, #KEYS do
  call('ZADD', KEYS[i], now + ARGV[1], ARGV[i + 1])
  call('PEXPIRE', KEYS[i], ARGV[1])
end
`

/** KEYS: the list of servers. ARGV: for how long one counts, and which this is. @returns how many there are. */
export const BEAT = `${NOW}
call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
call('ZADD', KEYS[1], now + ARGV[1], ARGV[2])
call('PEXPIRE', KEYS[1], ARGV[1])
return call('ZCARD', KEYS[1])
`
