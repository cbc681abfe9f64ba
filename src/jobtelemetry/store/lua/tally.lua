-- One more in a plain counter of a label set: enqueued, or cancelled before it ran.
-- KEYS: series · ARGV: 'enqueued' or 'unstarted', label set, number, now, label set limit
local labels = admit(KEYS[1], 'executions', ARGV[2], ARGV[4], tonumber(ARGV[5]))
call('HINCRBY', KEYS[1], ARGV[1] .. '|' .. labels, ARGV[3])
return fault or 'counted'
