-- Can everything be written that the other scripts write? Leaves nothing behind.
-- KEYS: running, series, exemplars, closed, log, instrumented · Returns '' or what is wrong.
local expected = {'hash', 'hash', 'hash', 'zset', 'stream', 'hash'}
for i, key in ipairs(KEYS) do
  local found = call('TYPE', key)
  found = type(found) == 'table' and found.ok or found
  if found and found ~= 'none' and found ~= expected[i] then
    return 'key ' .. key .. ' holds a ' .. found .. ' where jobtelemetry keeps a ' .. expected[i]
  end
end
for i = 1, 3 do
  call('HSETNX', KEYS[i], 'probe', 0)
  call('HINCRBY', KEYS[i], 'probe', 0)
  call('HSET', KEYS[i], 'probe', 0)
  call('HGET', KEYS[i], 'probe')
  call('HDEL', KEYS[i], 'probe')
end
call('ZADD', KEYS[4], 'NX', 0, 'probe')
call('ZREM', KEYS[4], 'probe')
call('XTRIM', KEYS[5], 'MAXLEN', '~', 1000000)
return fault or ''
