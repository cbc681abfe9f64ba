-- Can everything be written that the other scripts write? Leaves nothing behind. Returns '' or what is wrong.
local expected = {hash = {META, ACCOUNTS, RUNNING}, zset = {SETS, CLOSED}, stream = {LOG}}
for kind, keys in pairs(expected) do
  for _, key in ipairs(keys) do
    local found = call('TYPE', key)
    found = type(found) == 'table' and found.ok or found
    if found and found ~= 'none' and found ~= kind then
      return 'key ' .. key .. ' holds a ' .. found .. ' where jobtelemetry keeps a ' .. kind
    end
  end
end
local layout = call('HGET', META, SHARED.layout)
if layout and layout ~= LAYOUT then
  return 'the layout of ' .. META .. ' is ' .. layout .. ' where this jobtelemetry writes ' .. LAYOUT
end
for _, key in ipairs({META, ACCOUNTS, RUNNING, PROBE}) do
  call('HSETNX', key, 'probe', 0)
  call('HINCRBY', key, 'probe', 0)
  call('HSET', key, 'probe', 0)
  call('HGET', key, 'probe')
  call('HMGET', key, 'probe')
  call('HEXISTS', key, 'probe')
  call('HDEL', key, 'probe')
end
for _, key in ipairs({SETS, CLOSED}) do
  call('ZADD', key, 'NX', 0, 'probe')
  call('ZSCORE', key, 'probe')
  call('ZREM', key, 'probe')
  call('ZCARD', key)
end
call('ZREMRANGEBYSCORE', CLOSED, '-inf', '-inf')
call('ZREMRANGEBYRANK', CLOSED, 0, -1000001)
call('EXISTS', META)
call('LRANGE', PROBE, 0, 0)
if e.log then
  call('XADD', PROBE, 'MAXLEN', '~', 1, '*', 'probe', '0')
  call('DEL', PROBE)
end
return fault or ''
