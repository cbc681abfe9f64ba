-- An execution ended: it leaves the running table and is counted, once. Runs in the transaction in which RQ changes the
-- job's state, or, where nobody reported the end ('settle'), by itself.
-- Of e, besides what count.lua takes: mode ('ended', 'settle', 'stuck'), id, job, account, booked (a column, how RQ
-- counts it), again (the column if it was counted before), bookings (how often RQ counts it), log; for 'settle' what
-- the decision was made from (status, exists) and whether a reconciler asked (abandoned); own, what the job measured, or
-- unwritten, where that died with it.
-- Returns {'counted', 'late' (settled before), 'again' (reported before), 'ended', 'changed' or '' (it could not be
-- counted), a fault or '', generation, total}.
local function remember(member)
  call('ZADD', CLOSED, 'NX', now, member)
  call('ZREMRANGEBYSCORE', CLOSED, '-inf', clock[1] - 86400)
  call('ZREMRANGEBYRANK', CLOSED, 0, -10001)
  call('HSET', META, SHARED.closed_until, clock[1] + 86400)
end
-- A job that is still in RQ's intermediate queue is given up by RQ a second time, later: that is no execution.
local function expect_stuck()
  local waiting, expected = 0, 0
  for _, id in ipairs(call('LRANGE', INTERMEDIATE, 0, 999) or {}) do
    if id == e.job then waiting = waiting + 1 end
  end
  while waiting > expected and call('ZSCORE', CLOSED, 'job|' .. e.job .. '|' .. expected + 1) do expected = expected + 1 end
  if waiting > expected then remember('job|' .. e.job .. '|' .. expected + 1) end
end
local function was_expected()
  local expected = 0
  while call('ZSCORE', CLOSED, 'job|' .. e.job .. '|' .. expected + 1) do expected = expected + 1 end
  local known = expected > 0 and call('ZREM', CLOSED, 'job|' .. e.job .. '|' .. expected) == 1
  if known and call('EXISTS', CLOSED) == 0 then call('HDEL', META, SHARED.closed_until) end
  return known
end
local function closed_is_lost()
  local till = whole(call('HGET', META, SHARED.closed_until) or '')
  return till > tonumber(clock[1]) and call('EXISTS', CLOSED) == 0
end
local id, total = generation()
if not id then return {'', fault, '', 0, {}} end
local function answer(verdict)
  return {verdict, fault or '', id, total, redefined}
end
-- RQ's hash of this worker came anew under it (it had expired, or was lost), and with it RQ's counts.
if e.marked and not call('HGET', RQ_WORKER, 'jobtelemetry')
  and (e.bookings > 0 or e.later or call('EXISTS', RQ_WORKER) == 1) then
  local known = recent()
  fold(e.account)
  if known ~= '' then call('HSET', ACCOUNTS, e.account .. '|' .. COLUMN.recent, known) end
  call('HSET', RQ_WORKER, 'jobtelemetry', '{}')
end
local verdict = 'counted'
if e.mode == 'settle' then
  if not call('HGET', RUNNING, e.id) then return answer('ended') end
  if (call('HGET', JOB, 'status') or '') ~= e.status or (call('EXISTS', EXECUTION) == 1) ~= e.exists then
    return answer('changed')
  end
  if call('HDEL', RUNNING, e.id) == 1 then watch_running(-1) end
elseif e.mode == 'stuck' then
  if was_expected() then
    verdict = 'again'
  else
    -- Its worker died before, while, or right after creating an execution: if one is in the table, this is its end.
    local running = call('HGETALL', RUNNING) or {}
    for i = 1, #running, 2 do
      local ok, start = pcall(cjson.decode, running[i + 1])
      if ok and type(start) == 'table' and start.job == e.job then
        if call('HDEL', RUNNING, running[i]) == 1 then watch_running(-1) end
        break
      end
    end
  end
elseif call('HDEL', RUNNING, e.id) == 1 then
  watch_running(-1)
else
  watch_running(0)
  if is_among(e.id, recent()) or is_among(e.id, call('HGET', ACCOUNTS, '|' .. COLUMN.recent)) then
    verdict = 'again' -- the reply to the first try was lost on its way, or RQ ends it twice
  elseif call('ZSCORE', CLOSED, e.id) then
    verdict = 'late'
  elseif closed_is_lost() then
    -- It may have been settled; where RQ has forgotten it as well, it is believed to have been.
    note_loss(0, 'the key of closed executions was gone')
    if call('EXISTS', EXECUTION) == 0 then verdict = 'late' end
  end -- else the start could not be written, or the running table was lost
end
if verdict == 'counted' then
  if not count() then return answer('') end
  total = call('HINCRBY', META, SHARED.counted, 1) or total
  enter(e.booked, 1)
  if e.later then call('HSET', ACCOUNTS, e.account .. '|' .. COLUMN.later, e.id) end
  if e.bookings > 1 then enter(e.again, e.bookings - 1) end
  if e.mode == 'settle' then
    remember(e.id)
    if e.abandoned then call('HINCRBY', META, SHARED.reconciled, 1) end
  end
  if e.state == 'failure' or e.state == 'discard' or e.state == 'stopped' then
    if e.mode ~= 'stuck' then expect_stuck() end
  elseif e.state == 'completed' or e.state == 'cancelled' then
    call('HDEL', JOB, 'jobtelemetry_attempt')
  end
  if e.log then call('XADD', LOG, 'MAXLEN', '~', e.log_size, '*', 'ended', now, unpack(e.log)) end
else
  if e.bookings > 0 then enter(e.again, e.bookings) end
  if verdict == 'late' then call('HINCRBY', META, SHARED.late, 1) end
end
-- With the verdict, once: what comes again has been written, and what comes late was measured all the same.
if e.own and (verdict == 'counted' or verdict == 'late') then
  local ok, problem = pcall(own) -- whatever it is, the execution is counted
  if not ok then fault = fault or tostring(problem) end
end
if e.unwritten and verdict == 'counted' then call('HINCRBY', META, SHARED.own_unwritten, 1) end
if e.mode ~= 'settle' and verdict ~= 'again' then remember_recent(recent()) end
return answer(verdict)
