-- An execution starts: it enters the running table. Runs in the transaction in which RQ creates the execution.
-- Of e: id, labels, limit, ready (when it could run, Unix time), clock and who; all of it and what is found out here is what
-- the table holds.
-- Returns 'attempt (0 if the job is gone)|start|wait, in microseconds|generation|total|fault'.
local own_clock = e.clock and CLOCKS .. 'rq_worker|' .. e.who
local id, total, clock_known = generation(own_clock)
if not id then return '0||||0|' .. fault end
local function answer(attempt, start, wait)
  return table.concat({string.format('%.0f', attempt), start, wait, id, string.format('%.0f', total), fault or ''}, '|')
end
local attempt = call('EXISTS', JOB) == 1 and call('HINCRBY', JOB, 'jobtelemetry_attempt', 1) or 0
local start, wait = string.format('%.0f', now_micros), ''
if e.ready then
  local waited = now_micros - e.ready * 1000000
  -- Ahead of Redis: the clock of who enqueued it is wrong. More than a year behind: nobody's moment.
  if waited < -1000000 then ahead_of(string.match(e.labels, '|([^|]*)'), -waited / 1000000) end
  if waited < 31622400000000 then wait = string.format('%.0f', math.max(0, waited)) end
end
local found = '{"attempt":' .. string.format('%.0f', attempt) .. ',"start":"' .. start .. '","wait":"' .. wait .. '",'
local entered = call('HSETNX', RUNNING, e.id, found .. string.sub(ARGV[1], 2))
if entered == 0 then -- sent again: the reply to the first try was lost on its way
  local ok, entry = pcall(cjson.decode, call('HGET', RUNNING, e.id))
  if ok and type(entry) == 'table' and type(entry.start) == 'string' and type(entry.wait) == 'string' then
    if attempt > 0 then call('HINCRBY', JOB, 'jobtelemetry_attempt', -1) end
    return answer(tonumber(entry.attempt) or 0, entry.start, entry.wait)
  end
  call('HSET', RUNNING, e.id, found .. string.sub(ARGV[1], 2)) -- it was not ours to read
elseif entered then
  watch_running(1)
end
if call('HEXISTS', SET, FIELD.seen) == 0 then touch(admit()) end
if e.clock then compare_clock(own_clock, clock_known) end
return answer(attempt, start, wait)
