-- An execution starts: it enters the running table. Runs in the transaction in which RQ creates the execution.
-- KEYS: running, series, job hash
-- ARGV: execution id, label set, start of an entry, label set limit, entry as JSON without its attempt
-- Returns attempt (0 if the job is gone) and a fault or ''.
local written = call('HGET', KEYS[1], ARGV[1])
-- Sent again: the reply to the first try was lost on its way.
if written then return {cjson.decode(written).attempt, ''} end
local attempt = 0
if call('EXISTS', KEYS[3]) == 1 then attempt = call('HINCRBY', KEYS[3], 'jobtelemetry_attempt', 1) or 0 end
admit(KEYS[2], 'executions', ARGV[2], ARGV[3], tonumber(ARGV[4]))
local entry = cjson.decode(ARGV[5])
entry.attempt = attempt
call('HSET', KEYS[1], ARGV[1], cjson.encode(entry))
return {attempt, fault or ''}
