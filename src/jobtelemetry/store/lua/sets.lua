-- Label sets: each has a hash of its own, and its place in an index by the number of its last change.
local OTHER = '__other__|__other__'
local function touch(set, labels)
  call('ZADD', SETS, next_change(SHARED.change, SETS), labels)
  call('HSET', set, FIELD.changed, now)
end
-- A new label set takes a place, or is counted under OTHER where none is left. Returns its hash and its labels.
local function admit()
  if call('HEXISTS', SET, FIELD.seen) == 1 then return SET, e.labels, false end
  if call('ZSCORE', SETS, e.labels) then
    note_loss(0, 'a label set was gone')
  elseif (call('ZCARD', SETS) or 0) - (call('ZSCORE', SETS, OTHER) and 1 or 0) >= e.limit then
    call('HINCRBY', META, SHARED.dropped .. '|executions', 1)
    call('HSETNX', OTHER_SET, FIELD.seen, now)
    return OTHER_SET, OTHER, true
  end
  call('HSETNX', SET, FIELD.seen, now)
  return SET, e.labels, true
end
