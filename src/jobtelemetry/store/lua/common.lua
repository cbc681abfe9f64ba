-- Shared by every script. A script never raises: RQ's transaction must succeed without us.
local fault = false
local function call(...)
  local reply = redis.pcall(...)
  if type(reply) == 'table' and reply.err then
    fault = fault or reply.err
    return false
  end
  return reply
end
local OTHER = '__other__|__other__|'
-- A new label set takes a place in its family, or is counted under OTHER where none is left.
local function admit(series, family, labels, now, limit)
  if call('HSETNX', series, 'seen|' .. labels, now) ~= 1 then return labels end
  if (call('HINCRBY', series, 'sets|' .. family, 1) or 0) <= limit then return labels end
  call('HINCRBY', series, 'sets|' .. family, -1)
  call('HDEL', series, 'seen|' .. labels)
  call('HINCRBY', series, 'dropped|' .. family, 1)
  call('HSETNX', series, 'seen|' .. OTHER, now)
  return OTHER
end
