-- An execution starts: it enters the running table. Runs in the transaction in which RQ creates the execution.
-- Of e: id, labels, limit, ready (when it could run, Unix time), entry (what the table holds).
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
if e.ready then
  local waited = now_micros - e.ready * 1000000
  -- Ahead of Redis: the clock of who enqueued it is wrong. More than a year behind: nobody's moment.
  -- The largest is kept while such jobs go on to come, and an hour longer; a lesser one is not its echo.
  if waited < -1000000 then
    local ahead, known = -waited / 1000000, tonumber(call('HGET', META, SHARED.skew) or 0) or 0
    local seen = tonumber(call('HGET', META, SHARED.skew_at) or 0) or 0
    if ahead >= 0.9 * known or now_micros / 1000000 - seen > 3600 then
      call('HSET', META, SHARED.skew, string.format('%.3f', ahead), SHARED.skew_at, string.format('%.0f', now_micros / 1000000))
    end
  end
  if waited < 31622400000000 then wait = string.format('%.0f', math.max(0, waited)) end
end
entry.attempt, entry.start, entry.wait = attempt, string.format('%.0f', now_micros), wait
if call('HSET', RUNNING, e.id, cjson.encode(entry)) == 1 then watch_running(1) end
return {attempt, fault or '', entry.start, wait, id, total}
