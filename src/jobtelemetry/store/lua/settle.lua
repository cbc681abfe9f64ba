-- Nothing reported the end of an execution: find out what became of it and count it, once.
-- KEYS: running, series, exemplars, closed, log, RQ worker hash, job hash, RQ's execution, RQ's
--       intermediate queue
-- ARGV: 'abandoned' (asked by a reconciler) or 'exited|STATE|told' (asked by the parent of a horse that is gone:
--       the state if RQ has forgotten the job, 'told' if the horse said so), execution id, label set, now,
--       duration, its le, wait, its le, trace, label set limit, error type, log size, log fields ...
-- Returns {'ended' or 'alive'}, or {'counted', state, reason, error type, what the job says about reporting}.
local entry = call('HGET', KEYS[1], ARGV[2])
if not entry then return {'ended'} end
local start = cjson.decode(entry)
local exists = call('EXISTS', KEYS[8]) == 1
local asked, forgotten, told = ARGV[1]:match('^(%a+)|?(%a*)|?(%a*)$')
if exists and asked == 'abandoned' then return {'alive'} end
local again = (tonumber(start.retries) or 0) > 0
local state, reason, error_type = again and 'failure' or 'discard', '', ARGV[11]
local job = call('HMGET', KEYS[7], 'status', 'jobtelemetry_attempt', 'jobtelemetry_cancel_reason', 'jobtelemetry_report', 'worker_name') or {}
local status = job[1]
-- RQ removed the execution in a transaction of its own, but our record was not in it. The job tells how it
-- ended, unless a later execution, on whatever worker, has changed that since.
local newest = tonumber(job[2] or -1) == start.attempt and (not job[5] or job[5] == '' or job[5] == start.rq_worker)
local missed = not exists and newest and status and status ~= 'started'
local by_status = {finished = 'completed', canceled = 'cancelled', stopped = 'stopped', failed = 'discard'}
if missed and asked == 'abandoned' then
  -- RQ's own clean-up of abandoned jobs leaves the other statuses, and 'failed' where no retry was left.
  missed = status == 'finished' or status == 'stopped' or (status == 'canceled' and job[3]) or (status == 'failed' and again)
end
local counted_by_rq = missed
if forgotten ~= '' and not exists and not status then
  state, counted_by_rq = forgotten, told == 'told'
  if state ~= 'failure' and state ~= 'discard' then error_type = '' elseif counted_by_rq then error_type = 'Unknown' end
elseif missed then
  state = by_status[status] or 'failure'
  error_type = (state == 'failure' or state == 'discard') and 'Unknown' or ''
  if state == 'cancelled' then reason = job[3] or '' end
end
if counted_by_rq and state ~= 'cancelled' and call('EXISTS', KEYS[6]) == 1 then
  call('HINCRBY', KEYS[6], 'jobtelemetry_recorded', 1)
end
if call('HDEL', KEYS[1], ARGV[2]) ~= 1 then return {'ended'} end
local family, value = '', ''
if state == 'cancelled' then family, value = 'cancellations', reason end
if error_type ~= '' then family, value = 'errors', error_type end
count(KEYS[2], KEYS[3], {
  labels = ARGV[3], state = state, now = ARGV[4], duration = ARGV[5], duration_le = ARGV[6], wait = ARGV[7],
  wait_le = ARGV[8], family = family, value = value, trace = ARGV[9], limit = tonumber(ARGV[10]),
})
if asked == 'abandoned' then
  call('HINCRBY', KEYS[2], 'reconciled', 1)
  remember(KEYS[4], ARGV[2], tonumber(ARGV[4]))
end
expect_stuck(KEYS[9], KEYS[4], start.job, tonumber(ARGV[4]))
if tonumber(ARGV[12]) > 0 then
  call('XADD', KEYS[5], 'MAXLEN', '~', ARGV[12], '*', 'state', state, 'reason', reason, 'error_type', error_type, unpack(ARGV, 13))
end
return {'counted', state, reason, error_type, job[4] or ''}
