-- Errors of our own hooks that happened since this process last reached Redis.
-- KEYS: series · ARGV: pairs of hook and number
for i = 1, #ARGV, 2 do call('HINCRBY', KEYS[1], 'handler_errors|' .. ARGV[i], ARGV[i + 1]) end
return fault or 'counted'
