-- Adds one ended execution to its label set. Of e: state, duration and wait (microseconds) with their buckets, family
-- and value (cancellations or errors), limited, cpu (microseconds), memory (bytes), trace ('trace_id|span_id|'). Returns whether it was counted.
local function count()
  local duration = FIELD.duration .. '|' .. e.state .. '|'
  local fields, amounts = {FIELD.executions .. '|' .. e.state}, {1}
  local function also(field, amount)
    fields[#fields + 1], amounts[#amounts + 1] = field, amount
  end
  if e.duration then
    also(duration .. e.duration_bucket, 1)
    also(duration .. 'sum', e.duration)
  end
  if e.wait then
    also(FIELD.wait .. '|' .. e.wait_bucket, 1)
    also(FIELD.wait .. '|sum', e.wait)
  end
  if e.cpu then also(FIELD.cpu, e.cpu) end
  if e.limited then also(FIELD.limited, 1) end
  put(fields, FIELD.memory_hour, FIELD.memory)
  local set, labels = add(fields, amounts, function(had, written)
    if e.state == 'completed' then put(written, FIELD.completed, now) end
    if e.memory then
      -- The largest of two hours in which it ran, so that what it needed long ago is forgotten.
      local hour, memory = string.format('%.0f', math.floor(clock[1] / 3600)), string.format('%.0f', e.memory)
      local known_hour, known = had[#amounts + 1], had[#amounts + 2] or '0'
      if known_hour ~= hour then
        put(written, FIELD.memory_hour, hour, FIELD.memory, memory, FIELD.memory_before, known)
      elseif e.memory > (tonumber(known) or 0) then
        put(written, FIELD.memory, memory)
      end
    end
  end)
  if not set then return false end
  if e.family then
    local where, detail = set, e.family .. '|' .. e.value
    if call('HSETNX', set, FIELD.created .. '|' .. detail, now) == 1
      and (call('HINCRBY', META, SHARED.distinct .. '|' .. e.family, 1) or 0) > e.limit then
      call('HINCRBY', META, SHARED.distinct .. '|' .. e.family, -1)
      call('HDEL', set, FIELD.created .. '|' .. detail)
      call('HINCRBY', META, SHARED.dropped .. '|' .. e.family, 1)
      where, detail = OTHER_SET, e.family .. '|__other__'
      call('HSETNX', where, FIELD.seen, now)
      call('HSETNX', where, FIELD.created .. '|' .. detail, now)
      touch(where, OTHER)
    end
    call('HINCRBY', where, detail, 1)
  end
  if e.trace and labels == e.labels then
    local recent = {FIELD.executions .. '|' .. e.state, e.trace .. '1000000|' .. now}
    if e.duration then
      recent[3], recent[4] = duration .. e.duration_bucket, e.trace .. e.duration .. '|' .. now
    end
    call('HSET', TRACES, unpack(recent))
  end
  return true
end
-- The second entry. It is made only after the first, so an ending that could not be counted shows as unrecorded.
local function enter(column, number)
  call('HINCRBY', ACCOUNTS, e.account .. '|' .. column, number)
end
local function recent()
  return call('HGET', ACCOUNTS, e.account .. '|' .. COLUMN.recent) or ''
end
-- As many as there is room for, and none of them cut.
local function remember_recent(list)
  local ids = list == '' and e.id or e.id .. ' ' .. list
  if #ids > 800 then ids = string.match(string.sub(ids, 1, 800), '^(.*) ') or e.id end
  call('HSET', ACCOUNTS, e.account .. '|' .. COLUMN.recent, ids)
end
-- Takes an account into that of the departed, whose sum stays right; what it counted last is still known.
local function fold(account)
  local last = call('HGET', ACCOUNTS, account .. '|' .. COLUMN.recent)
  if last then
    local before = call('HGET', ACCOUNTS, '|' .. COLUMN.recent) or ''
    -- As many as there is room for, and none of them cut.
    local kept = string.match(string.sub(last .. ' ' .. before .. ' ', 1, 4000), '^(.*)%s')
    call('HSET', ACCOUNTS, '|' .. COLUMN.recent, kept or last)
  end
  for _, column in ipairs({COLUMN.succeeded, COLUMN.failed, COLUMN.unbooked}) do
    local number = call('HGET', ACCOUNTS, account .. '|' .. column)
    if number then call('HINCRBY', ACCOUNTS, '|' .. column, string.format('%.0f', whole(number))) end
  end
  call('HDEL', ACCOUNTS, account .. '|' .. COLUMN.succeeded, account .. '|' .. COLUMN.failed,
    account .. '|' .. COLUMN.unbooked, account .. '|' .. COLUMN.succeeded_again, account .. '|' .. COLUMN.failed_again,
    account .. '|' .. COLUMN.recent, account .. '|' .. COLUMN.later)
end
