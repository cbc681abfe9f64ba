-- Whose clock differs from Redis's by more than a second: in a field of the shared hash for each process, '<seconds>
-- <since when it is known>', taken away once that process has the right time. Of processes that are gone it is dropped
-- after an hour, of RQ workers after a day; who reads knows which of those live.
local CLOCKS = SHARED.clock .. '|'
local function note_clock(field, off)
  local count, least, smallest = 0, nil, math.huge
  local rows = call('HGETALL', META) or {}
  for i = 1, #rows, 2 do
    if string.sub(rows[i], 1, #CLOCKS) == CLOCKS and rows[i] ~= field then
      local known, seen = string.match(rows[i + 1], '^(%S+) (%S+)$')
      local memory = string.find(rows[i], '|rq_worker|', 1, true) and 86400 or 3600
      known, seen = math.abs(tonumber(known or '') or 0), tonumber(seen or '') or 0
      if now_micros / 1000000 - seen > memory then
        call('HDEL', META, rows[i])
      else
        count = count + 1
        if known < smallest then least, smallest = rows[i], known end
      end
    end
  end
  if count >= 50 then
    if math.abs(off) <= smallest then return end
    call('HDEL', META, least)
  end
  call('HSET', META, field, string.format('%.3f %.0f', off, now_micros / 1000000))
end
-- Of e: clock, the process's own Unix time when it sent this; known, what its field has. What is on its way for long looks
-- like a clock that is behind, until the same process sends the next one.
local function compare_clock(field, known)
  local off = e.clock - now_micros / 1000000
  if math.abs(off) > 1 then note_clock(field, off) elseif known then call('HDEL', META, field) end
end
-- A job was enqueued in the future, by somebody who is not instrumented. The largest lead is kept while such jobs go on
-- to come; a lesser one is not its echo.
local function ahead_of(queue, seconds)
  local field = CLOCKS .. 'jobs|' .. queue
  local known, seen = string.match(call('HGET', META, field) or '', '^(%S+) (%S+)$')
  if seconds >= 0.9 * (tonumber(known or '') or 0) or now_micros / 1000000 - (tonumber(seen or '') or 0) > 3600 then
    note_clock(field, seconds)
  end
end
