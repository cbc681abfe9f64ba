-- An execution starts: it enters the running table. Runs in the transaction in which RQ creates the execution.
-- Of e: id, labels, limit, ready (when it could run, Unix time), clock and account, entry (what the table holds).
-- Returns {attempt (0 if the job is gone), a fault or '', start and wait in microseconds, generation, total}.
local id, total = generation()
if not id then return {0, fault, '', '', '', 0} end
local written = call('HGET', RUNNING, e.id)
if written then -- sent again: the reply to the first try was lost on its way
  local ok, entry = pcall(cjson.decode, written)
  if ok and type(entry) == 'table' then return {entry.attempt or 0, '', entry.start or '', entry.wait or '', id, total} end
end
local attempt = 0
if call('EXISTS', JOB) == 1 then attempt = call('HINCRBY', JOB, 'jobtelemetry_attempt', 1) or 0 end
local set, labels, is_new = admit()
if is_new then touch(set, labels) end
local entry, wait = e.entry, ''
if e.clock then compare_clock('rq_worker', e.account) end
if e.ready then
  local waited = now_micros - e.ready * 1000000
  -- Ahead of Redis: the clock of who enqueued it is wrong. More than a year behind: nobody's moment.
  if waited < -1000000 then ahead_of(string.match(e.labels, '|([^|]*)'), -waited / 1000000) end
  if waited < 31622400000000 then wait = string.format('%.0f', math.max(0, waited)) end
end
entry.attempt, entry.start, entry.wait = attempt, string.format('%.0f', now_micros), wait
if call('HSET', RUNNING, e.id, cjson.encode(entry)) == 1 then watch_running(1) end
return {attempt, fault or '', entry.start, wait, id, total}
