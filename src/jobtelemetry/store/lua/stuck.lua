-- RQ gave up on a job in its intermediate queue: no execution is named, because its worker died before, while
-- or right after creating one. If one of the job's executions is in the running table, this is its end; if it was
-- counted already, this is nothing.
-- KEYS: running, series, exemplars, closed, log, RQ worker hash
-- ARGV: job id, label set, state, end, error type, label set limit, endings that RQ counts for its worker in
--       this transaction, log size, log fields ...
-- Returns 'counted', 'again' or '' (it could not be counted), and a fault or ''.
local function answer(verdict)
  if verdict ~= '' and ARGV[7] ~= '0' then call('HINCRBY', KEYS[6], 'jobtelemetry_recorded', ARGV[7]) end
  return {verdict, fault or ''}
end
if was_expected(KEYS[4], ARGV[1]) then return answer('again') end
local running = call('HGETALL', KEYS[1]) or {}
for i = 1, #running, 2 do
  local ok, start = pcall(cjson.decode, running[i + 1])
  if ok and start.job == ARGV[1] then
    call('HDEL', KEYS[1], running[i])
    break
  end
end
local counted = count(KEYS[2], KEYS[3], {
  labels = ARGV[2], state = ARGV[3], now = ARGV[4], duration = '', wait = '', family = 'errors', value = ARGV[5],
  trace = '', limit = tonumber(ARGV[6]),
})
log(KEYS[5], ARGV[8], 9)
return answer(counted and 'counted' or '')
