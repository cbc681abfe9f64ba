-- More in a plain counter of a label set: enqueued, or cancelled before it ran. Of e: field, labels, number, limit.
if not generation() then return fault end
local set, labels = admit()
call('HINCRBY', set, e.field, e.number)
touch(set, labels)
return fault or 'counted'
