-- RQ gave up on a job in its intermediate queue: no execution is named, because its worker died before, while
-- or right after creating one. If one of the job's executions is in the running table, this is its end.
-- KEYS: running, series, exemplars, closed, log, RQ worker hash
-- ARGV: job id, retries left, label set, state, end, error type, label set limit, endings that RQ counts for
--       its worker in this transaction, own errors, log size, log fields ...
own_errors(KEYS[2], ARGV[9])
if ARGV[8] ~= '0' then call('HINCRBY', KEYS[6], 'jobtelemetry_recorded', ARGV[8]) end
if call('ZREM', KEYS[4], 'job|' .. ARGV[1] .. '|' .. ARGV[2]) == 1 then return 'again' end
local running = call('HGETALL', KEYS[1]) or {}
for i = 1, #running, 2 do
  local ok, start = pcall(cjson.decode, running[i + 1])
  if ok and start.job == ARGV[1] then call('HDEL', KEYS[1], running[i]) end
end
count(KEYS[2], KEYS[3], {
  labels = ARGV[3], state = ARGV[4], now = ARGV[5], duration = '', wait = '', family = 'errors', value = ARGV[6],
  trace = '', limit = tonumber(ARGV[7]),
})
log(KEYS[5], ARGV[10], 11)
if fault then
  call('HINCRBY', KEYS[2], 'handler_errors|record', 1)
  return fault
end
return 'counted'
