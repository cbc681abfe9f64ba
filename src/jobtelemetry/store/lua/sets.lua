-- Label sets: each has a hash of its own, and its place in an index by the number of its last change.
local OTHER = '__other__|__other__'
local function note_change(labels)
  call('ZADD', SETS, next_change(SHARED.change, SETS), labels)
end
local function touch(set, labels)
  note_change(labels)
  call('HSET', set, FIELD.changed, now)
end
-- A label set that has no hash takes a place, or is counted under OTHER where none is left. Returns its hash and its labels.
local function admit()
  if call('ZSCORE', SETS, e.labels) then
    note_loss(0, 'a label set was gone')
  elseif (call('ZCARD', SETS) or 0) - (call('ZSCORE', SETS, OTHER) and 1 or 0) >= e.limit then
    call('HINCRBY', META, SHARED.dropped .. '|executions', 1)
    call('HSETNX', OTHER_SET, FIELD.seen, now)
    return OTHER_SET, OTHER
  end
  call('HSETNX', SET, FIELD.seen, now)
  return SET, e.labels
end
-- Adds to whole numbers of the label set and sets other fields of it, in two commands however many they are. Of fields:
-- names; of amounts: what is added to the first of them; further(had, written) puts what else is set into written, field
-- and value in turn, knowing what the set had in the others. Returns its hash and its labels; nothing if the first one
-- could not be added to.
local function add(fields, amounts, further)
  fields[#fields + 1] = FIELD.seen
  local set, labels, had = SET, e.labels, call('HMGET', SET, unpack(fields)) or {}
  if not had[#fields] then
    set, labels = admit()
    if set ~= SET then had = call('HMGET', set, unpack(fields)) or {} end
  end
  local written = {FIELD.changed, now}
  for number, amount in ipairs(amounts) do
    local before = had[number] or '0'
    if #before < 15 and string.find(before, '^%d+$') then
      written[#written + 1] = fields[number]
      written[#written + 1] = string.format('%.0f', before + amount)
    elseif not call('HINCRBY', set, fields[number], amount) and number == 1 then -- too large for Lua, or no number
      return nil
    end
  end
  if further then further(had, written) end
  if not call('HSET', set, unpack(written)) then return nil end
  note_change(labels)
  return set, labels
end
