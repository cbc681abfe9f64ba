-- Adds one ended execution to every family. Fields of e: labels, state, now, duration, duration_le, wait,
-- wait_le (integers of microseconds and bucket bounds, '' if unknown), family and value (cancellations or
-- errors), trace ('trace_id|span_id' or ''), limit. Returns whether the execution itself was counted.
local function count(series, exemplars, e)
  local labels = admit(series, 'executions', e.labels, e.now, e.limit)
  local field = labels .. '|' .. e.state
  local counted = call('HINCRBY', series, 'executions|' .. field, 1)
  if e.duration ~= '' then
    call('HINCRBY', series, 'duration|' .. field .. '|' .. e.duration_le, 1)
    call('HINCRBY', series, 'duration|' .. field .. '|sum', e.duration)
  end
  if e.wait ~= '' then
    call('HINCRBY', series, 'wait|' .. labels .. '|' .. e.wait_le, 1)
    call('HINCRBY', series, 'wait|' .. labels .. '|sum', e.wait)
  end
  if e.state == 'completed' then call('HSET', series, 'completed|' .. labels, e.now) end
  if e.family ~= '' then
    local detail = e.family .. '|' .. labels .. '|' .. e.value
    if call('HSETNX', series, 'created|' .. detail, e.now) == 1
      and (call('HINCRBY', series, 'sets|' .. e.family, 1) or 0) > e.limit then
      call('HINCRBY', series, 'sets|' .. e.family, -1)
      call('HDEL', series, 'created|' .. detail)
      call('HINCRBY', series, 'dropped|' .. e.family, 1)
      detail = e.family .. '|' .. OTHER .. '|__other__'
      call('HSETNX', series, 'created|' .. detail, e.now)
    end
    call('HINCRBY', series, detail, 1)
  end
  if e.trace ~= '' then
    call('HSET', exemplars, 'executions|' .. field, e.trace .. '|1000000|' .. e.now)
    if e.duration ~= '' then
      call('HSET', exemplars, 'duration|' .. field .. '|' .. e.duration_le, e.trace .. '|' .. e.duration .. '|' .. e.now)
    end
  end
  return counted and true
end
local function remember(closed, member, now)
  local added = call('ZADD', closed, 'NX', now, member)
  call('ZREMRANGEBYSCORE', closed, '-inf', now - 86400)
  call('ZREMRANGEBYRANK', closed, 0, -10001)
  return added
end
-- A job that is still in RQ's intermediate queue is given up by RQ a second time, later: that is no execution.
local function expect_stuck(intermediate, closed, job, now)
  local waiting, expected = 0, 0
  for _, id in ipairs(call('LRANGE', intermediate, 0, 999) or {}) do
    if id == job then waiting = waiting + 1 end
  end
  while waiting > expected and call('ZSCORE', closed, 'job|' .. job .. '|' .. expected + 1) do expected = expected + 1 end
  if waiting > expected then remember(closed, 'job|' .. job .. '|' .. expected + 1, now) end
end
local function was_expected(closed, job)
  local expected = 0
  while call('ZSCORE', closed, 'job|' .. job .. '|' .. expected + 1) do expected = expected + 1 end
  return expected > 0 and call('ZREM', closed, 'job|' .. job .. '|' .. expected) == 1
end
local function log(stream, size, first)
  if tonumber(size) > 0 and ARGV[first] then call('XADD', stream, 'MAXLEN', '~', size, '*', unpack(ARGV, first)) end
end
