-- One label set leaves the books: forgotten on purpose, or folded into another that keeps its sums ('into').
-- Returns {fields removed, executions they had counted, a fault or ''}.
local rows, executions = call('HGETALL', SET), 0
if not rows then return {0, 0, fault or ''} end
for i = 1, #rows, 2 do
  local family, rest = string.match(rows[i], '^([^|]*)|?(.*)$')
  local number = string.match(rows[i + 1], '^%-?%d+$')
  if family == FIELD.executions then executions = executions + whole(rows[i + 1]) end
  -- What found no place of its own holds none.
  local placed = e.labels ~= '__other__|__other__' or string.match(rest, '[^|]*$') ~= '__other__'
  if family == FIELD.created and placed then call('HINCRBY', META, SHARED.distinct .. '|' .. string.match(rest, '^[^|]*'), -1) end
  if e.into and number then
    if family == FIELD.cancellations or family == FIELD.errors then
      if call('HSETNX', INTO, FIELD.created .. '|' .. family .. '|' .. e.value, now) == 1 then
        call('HINCRBY', META, SHARED.distinct .. '|' .. family, 1)
      end
      call('HINCRBY', INTO, family .. '|' .. e.value, rows[i + 1])
    elseif family == FIELD.executions or family == FIELD.duration or family == FIELD.wait or family == FIELD.enqueued
      or family == FIELD.unstarted or family == FIELD.limited or family == FIELD.cpu then
      call('HINCRBY', INTO, rows[i], rows[i + 1])
    end
  end
end
if e.into then
  call('HSETNX', INTO, FIELD.seen, now)
  call('HSET', INTO, FIELD.changed, now)
  call('ZADD', SETS, next_change(SHARED.change, SETS), e.into)
else
  call('HINCRBY', META, SHARED.forgotten, executions)
end
call('DEL', SET, TRACES)
call('ZREM', SETS, e.labels)
call('HINCRBY', META, SHARED.removed, 1)
next_change(SHARED.change, SETS)
return {#rows / 2, executions, fault or ''}
