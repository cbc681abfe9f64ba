-- More in a plain counter of a label set: enqueued, or cancelled before it ran. Of e: field, labels, number, limit;
-- where jobs are enqueued clock, and who does it.
if not generation() then return fault end
local set, labels = admit()
call('HINCRBY', set, e.field, e.number)
touch(set, labels)
if e.clock then compare_clock('producer', e.who) end
return fault or 'counted'
