-- Can everything be written that the other scripts write? Leaves nothing behind. Returns '' or what is wrong.
-- Every command of theirs is tried here, and all that this user may not use are named, which not every Redis does.
local refused = {}
local function try(command, ...)
  local reply = redis.pcall(command, ...)
  if type(reply) == 'table' and reply.err then
    if string.find(reply.err, 'run this command', 1, true) or string.find(reply.err, 'permissions to run', 1, true) then
      if not refused[command] then refused[#refused + 1] = command end
      refused[command] = true
    else
      fault = fault or command .. ': ' .. reply.err
    end
    return false
  end
  return reply
end
try('TIME')
local expected = {hash = {META, ACCOUNTS, RUNNING, FAMILIES}, zset = {SETS, CLOSED, INDEX, BATCHES}, stream = {LOG}}
for kind, keys in pairs(expected) do
  for _, key in ipairs(keys) do
    local found = try('TYPE', key)
    found = type(found) == 'table' and found.ok or found
    if found and found ~= 'none' and found ~= kind then
      return 'key ' .. key .. ' holds a ' .. found .. ' where jobtelemetry keeps a ' .. kind
    end
  end
end
local layout = try('HGET', META, SHARED.layout)
if layout and layout ~= LAYOUT then
  return 'the layout of ' .. META .. ' is ' .. layout .. ' where this jobtelemetry writes ' .. LAYOUT
end
-- Redis looks at its memory only until a script has written; this writes nothing, and must come first.
try('ZADD', CLOSED, 'XX', 0, 'probe')
-- Nothing is written that could not be taken away again.
for _, key in ipairs({META, ACCOUNTS, RUNNING, FAMILIES, PROBE}) do
  if try('HDEL', key, 'probe') then
    try('HSETNX', key, 'probe', 0)
    try('HINCRBY', key, 'probe', 0)
    try('HINCRBYFLOAT', key, 'probe', 0)
    try('HSET', key, 'probe', 0)
    try('HDEL', key, 'probe')
  end
  try('HGET', key, 'probe')
  try('HMGET', key, 'probe')
  try('HEXISTS', key, 'probe')
  try('HLEN', key)
end
for _, key in ipairs({SETS, CLOSED, INDEX, BATCHES}) do
  if try('ZREM', key, 'probe') then
    try('ZADD', key, 'NX', 0, 'probe')
    try('ZREM', key, 'probe')
  end
  try('ZSCORE', key, 'probe')
  try('ZCARD', key)
end
try('ZREMRANGEBYSCORE', CLOSED, '-inf', '-inf')
try('ZREMRANGEBYRANK', CLOSED, 0, -1000001)
try('ZRANGEBYSCORE', CLOSED, '-inf', '-inf', 'LIMIT', 0, 1)
try('ZREVRANGE', SETS, 0, 0)
try('EXISTS', META)
try('HGETALL', PROBE)
try('LRANGE', PROBE, 0, 0)
if try('DEL', PROBE) and e.log then
  try('XADD', PROBE, 'MAXLEN', '~', 1, '*', 'probe', '0')
  try('DEL', PROBE)
end
if #refused > 0 then return 'NOPERM this user may not run ' .. table.concat(refused, ', ') end
return fault or ''
