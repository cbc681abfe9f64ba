-- Adds one ended execution to every family. Fields of e: labels, state, now, duration, duration_le, wait,
-- wait_le (integers of microseconds and bucket bounds, '' if unknown), family and value (cancellations or
-- errors), trace ('trace_id|span_id' or ''), limit.
local function count(series, exemplars, e)
  local labels = admit(series, 'executions', e.labels, e.now, e.limit)
  local field = labels .. '|' .. e.state
  call('HINCRBY', series, 'executions|' .. field, 1)
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
end
local function remember(closed, member, now)
  local added = call('ZADD', closed, 'NX', now, member)
  call('ZREMRANGEBYSCORE', closed, '-inf', now - 86400)
  call('ZREMRANGEBYRANK', closed, 0, -10001)
  return added
end
local function log(stream, size, first)
  if tonumber(size) > 0 and ARGV[first] then call('XADD', stream, 'MAXLEN', '~', size, '*', unpack(ARGV, first)) end
end
