-- More in a plain counter of a label set: enqueued, or cancelled before it ran. Of e: field, labels, number, limit;
-- where jobs are enqueued clock, and who does it.
local own_clock = e.clock and CLOCKS .. 'producer|' .. e.who
local id, _, clock_known = generation(own_clock)
if not id then return fault end
add({e.field}, {e.number})
if e.clock then compare_clock(own_clock, clock_known) end
return fault or 'counted'
