-- An execution ended: it leaves the running table and, only if it was in it, is counted. Runs in the
-- transaction in which RQ changes the job's state.
-- KEYS: running, series, exemplars, closed, log, RQ worker hash, job hash, RQ's intermediate queue, RQ's execution
-- ARGV: 'token' or 'free' (the start could not be written: the id itself is the token), execution id, label
--       set, state, end, duration, its le, wait, its le, detail family, detail value, trace, label set limit,
--       endings that RQ counts for its worker in this transaction, job id, log size, log fields ...
-- Returns 'counted', 'late' (it had been counted as abandoned), 'again' (reported before) or '' (it could not be
-- counted), and a fault or ''.
local id, state, now = ARGV[2], ARGV[4], tonumber(ARGV[5])
local token = call('HDEL', KEYS[1], id) -- also where it is not known whether the start was written
if ARGV[1] == 'free' then
  token = remember(KEYS[4], id, now)
elseif token == 0 and call('EXISTS', KEYS[9]) == 1 and not call('ZSCORE', KEYS[4], id) then
  token = 1 -- the running table was lost; RQ still has the execution and removes it in this transaction
end
local verdict, written = 'counted', token ~= false
if token == 1 then
  written = count(KEYS[2], KEYS[3], {
    labels = ARGV[3], state = state, now = ARGV[5], duration = ARGV[6], duration_le = ARGV[7], wait = ARGV[8],
    wait_le = ARGV[9], family = ARGV[10], value = ARGV[11], trace = ARGV[12], limit = tonumber(ARGV[13]),
  })
  if state == 'failure' or state == 'discard' or state == 'stopped' then
    expect_stuck(KEYS[8], KEYS[4], ARGV[15], now)
  end
  log(KEYS[5], ARGV[16], 17)
  if state == 'completed' or state == 'cancelled' then call('HDEL', KEYS[7], 'jobtelemetry_attempt') end
elseif ARGV[1] ~= 'free' and call('ZREM', KEYS[4], id) == 1 then
  call('HINCRBY', KEYS[2], 'late', 1)
  verdict = 'late'
else
  verdict = 'again'
end
-- What could not be counted must show as unrecorded.
if written and ARGV[14] ~= '0' then call('HINCRBY', KEYS[6], 'jobtelemetry_recorded', ARGV[14]) end
return {written and verdict or '', fault or ''}
