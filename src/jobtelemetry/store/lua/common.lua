-- Shared by every script. A script never raises: RQ's transaction must succeed without us. The names of its keys
-- (META, ACCOUNTS ...), of fields (FIELD.x, SHARED.x) and of an account's columns (COLUMN.x) are put in by record.py.
local fault = false
local function call(...)
  local reply = redis.pcall(...)
  if type(reply) == 'table' and reply.err then
    fault = fault or reply.err
    return false
  end
  return reply
end
-- A number that others may have written; what is none counts nothing.
local function whole(value)
  return value and #value < 16 and string.match(value, '^%-?%d+$') and tonumber(value) or 0
end
-- The number of the next change. Where the last one is no number, changes go on after the one that the index knows, or
-- readers would take the next ones for old.
local function next_change(field, index)
  local number = call('HINCRBY', META, field, 1)
  if number then return number end
  local last = call('ZREVRANGE', index, 0, 0, 'WITHSCORES') or {}
  number = whole(last[2] or '') + 1
  call('HSET', META, field, string.format('%.0f', number))
  return number
end
local e = cjson.decode(ARGV[1])
-- Moments are Redis's, whatever a job or a host did to its own clock.
local clock = call('TIME') or {'0', '0'}
local now_micros = tonumber(clock[1]) * 1000000 + tonumber(clock[2])
local now = string.format('%d.%06d', clock[1], clock[2])
