-- Adds what was measured in users' own metrics. Of e.own: at (the number of its first key: the families, then the index,
-- then for each family the series that takes what it has no room for, then each series), most (families), limit (series
-- of each), families ({name, digest, definition, the full one's series or '' for a gauge, whose value has no sum}), series
-- ({family (its number), id, observations, add, count, set, exemplars}), left_out (observations of which nothing is here).
-- Names and former definitions of those that this call defined in another way than they were, one after the other.
local redefined = {}
local function own()
  local o = e.own
  if o.left_out then call('HINCRBY', META, SHARED.own_left_out, o.left_out) end
  local families, index = KEYS[o.at], KEYS[o.at + 1]
  if not call('HGET', META, SHARED.own_change) then
    -- Changes go on after the last one that the index knows, or readers would take the next ones for old.
    local last = call('ZREVRANGE', index, 0, 0, 'WITHSCORES') or {}
    if last[2] then call('HSET', META, SHARED.own_change, last[2]) end
  end
  local closed, total = {}, 0
  for number, family in ipairs(o.families) do
    local name = family[1]
    local known = call('HGET', families, FAMILY.definition .. '|' .. name)
    if not known and (tonumber(call('HGET', families, FAMILY.families) or 0) or 0) >= o.most then
      closed[number] = true
    elseif known ~= family[3] and call('HSETNX', families, FAMILY.defined .. '|' .. name .. '|' .. family[2], now) == 1 then
      -- One that was there before is an older deploy's, and changes nothing.
      if not known then call('HINCRBY', families, FAMILY.families, 1) end
      call('HSET', families, FAMILY.definition .. '|' .. name, family[3])
      if known then
        table.insert(redefined, name)
        table.insert(redefined, known)
      end
    end
  end
  for number, one in ipairs(o.series) do
    local family = o.families[one.family]
    local set, id = KEYS[o.at + 1 + #o.families + number], one.id
    local full = closed[one.family]
    if not full and call('HEXISTS', set, SERIES.seen) ~= 1 then
      if call('ZSCORE', index, id) then
        note_loss(0, 'a series of an own metric was gone')
      elseif (call('HINCRBY', families, FAMILY.series .. '|' .. family[1], 1) or 0) > o.limit then
        call('HINCRBY', families, FAMILY.series .. '|' .. family[1], -1)
        full = true
      end
    end
    if full then
      call('HINCRBY', META, SHARED.own_dropped .. '|' .. (closed[one.family] and '__other__' or family[1]), one.observations)
      set, id = KEYS[o.at + 1 + one.family], family[4]
    end
    if not (full and (closed[one.family] or id == '')) then
      call('HSETNX', set, SERIES.seen, now)
      for field, amount in pairs(one.add or {}) do
        local before = one.gauge and call('HGET', set, field) or '0'
        -- What is added to no number, or to infinity, changes nothing.
        if not string.find(before, 'n') then call('HINCRBYFLOAT', set, field, amount) end
      end
      for field, amount in pairs(one.count or {}) do call('HINCRBY', set, field, amount) end
      for field, value in pairs(one.set or {}) do call('HSET', set, field, value) end
      for field, exemplar in pairs(one.exemplars or {}) do
        if not full then call('HSET', set, SERIES.exemplar .. '|' .. field, exemplar .. '|' .. now) end
      end
      call('HINCRBY', set, SERIES.observations, one.observations)
      call('ZADD', index, next_change(SHARED.own_change, index), id)
      total = total + one.observations
    end
  end
  if total > 0 then call('HINCRBY', META, SHARED.own_counted, total) end
end
