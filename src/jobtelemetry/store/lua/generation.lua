-- A generation of numbers lasts as long as nothing of it is lost. Whoever counts sends the generation that he knows
-- and the highest total that he has seen: if Redis knows another one, none, or less, something was lost.
local function sum_of_accounts()
  local total, rows = 0, call('HGETALL', ACCOUNTS) or {}
  for i = 1, #rows, 2 do
    local column = string.match(rows[i], '|([^|]*)$')
    if column == COLUMN.succeeded or column == COLUMN.failed or column == COLUMN.unbooked then
      total = total + whole(rows[i + 1])
    end
  end
  return total
end
local function note_loss(number, why)
  call('HSETNX', META, SHARED.lost_at, now)
  call('HSET', META, SHARED.why, why)
  if number > 0 then call('HINCRBY', META, SHARED.lost, string.format('%.0f', number)) end
  -- Twice, so that the note outlives the hash that it is in.
  local noted = call('HMGET', META, SHARED.lost_at, SHARED.lost, SHARED.lost_before) or {}
  local lost = whole(noted[2] or '') + whole(noted[3] or '')
  call('HSET', ACCOUNTS, '|' .. COLUMN.noted, (noted[1] or now) .. ' ' .. string.format('%.0f', lost))
end
local function note_again()
  local at, lost = string.match(call('HGET', ACCOUNTS, '|' .. COLUMN.noted) or '', '^(%S+) (%d+)$')
  if at then call('HSET', META, SHARED.lost_at, at, SHARED.lost_before, lost) end
end
local function begin_generation(total, previous)
  local id = string.format('%.0f', now_micros)
  -- A moment before the first label set of it, so that one can tell which are older.
  local since = string.format('%.6f', now_micros / 1000000 - 0.001)
  call('HSET', META, SHARED.layout, LAYOUT, SHARED.generation, id, SHARED.since, since,
    SHARED.start, string.format('%.0f', total), SHARED.counted, string.format('%.0f', total))
  if previous and previous ~= '' then
    local kept = call('HGET', META, SHARED.previous) or ''
    call('HSET', META, SHARED.previous, string.sub(previous .. ' ' .. kept, 1, 400))
  end
  local before = whole(call('HGET', META, SHARED.lost) or '')
  if before > 0 then
    call('HINCRBY', META, SHARED.lost_before, string.format('%.0f', before))
    call('HSET', META, SHARED.lost, '0')
  end
  return id, total
end
local function is_among(id, list)
  return string.find(' ' .. (list or '') .. ' ', ' ' .. id .. ' ', 1, true) ~= nil
end
-- What a process knows is not what is here: a new generation begins, or an earlier one of its is noticed to be incomplete.
local function notice_loss(m, total)
  local id, mine, seen = m[2], e.generation or '', e.counted or 0
  if not id then
    local left = call('EXISTS', ACCOUNTS) == 1 or call('EXISTS', SETS) == 1
    -- Changes go on after the last one that the index knows, or readers would take the next ones for old.
    local last = call('ZREVRANGE', SETS, 0, 0, 'WITHSCORES') or {}
    call('HSET', META, SHARED.change, last[2] or '0')
    note_again()
    id, total = begin_generation(sum_of_accounts(), mine)
    if mine ~= '' or left then note_loss(math.max(0, seen - total), 'the generation was gone') end
  elseif mine ~= id then
    local began = whole(m[5] or '')
    if not is_among(mine, m[4]) then
      id, total = begin_generation(total, mine .. ' ' .. id)
      note_loss(math.max(0, seen - began), 'the numbers were replaced by others')
    elseif seen > began and string.find(m[4], mine, 1, true) == 1 then
      -- The newest of the earlier ones; somebody may have seen more of it than who noticed its end.
      local known = whole(call('HGET', META, SHARED.lost) or '')
      if known > 0 and seen - began > known then note_loss(seen - began - known, 'an older state came back') end
    end
  else
    local missing = seen - total
    id, total = begin_generation(total, mine)
    note_loss(missing, 'an older state came back')
  end
  return id, total
end
-- Returns the present generation, its total, and what the shared hash has in a further field; nothing if this store has
-- another layout.
local function generation(further)
  local m = call('HMGET', META, SHARED.layout, SHARED.generation, SHARED.counted, SHARED.previous, SHARED.start,
    further or SHARED.layout) or {}
  local id, total = m[2], whole(m[3] or '')
  if m[1] and m[1] ~= LAYOUT then
    fault = fault or ('the layout of ' .. META .. ' is ' .. m[1] .. ' where this jobtelemetry writes ' .. LAYOUT)
    return nil
  end
  if not id or e.generation and (e.generation ~= id or e.counted > total) then id, total = notice_loss(m, total) end
  return id, total, m[6]
end
