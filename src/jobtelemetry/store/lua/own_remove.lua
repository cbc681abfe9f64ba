-- Series of an own metric are forgotten on purpose, and with the last ones its definition. Of e: family, series (their
-- ids; their hashes are the keys from the sixth on), last. Returns {observations that they had, a fault or ''}.
local gone, removed = 0, 0
for number, id in ipairs(e.series) do
  local set = KEYS[number + 5]
  gone = gone + whole(call('HGET', set, SERIES.observations) or '')
  removed = removed + 1
  call('DEL', set)
  call('ZREM', INDEX, id)
end
if removed > 0 then
  call('HINCRBY', META, SHARED.own_forgotten, string.format('%.0f', gone))
  call('HINCRBY', FAMILIES, FAMILY.series .. '|' .. e.family, -removed)
end
if e.last then
  if call('HDEL', FAMILIES, FAMILY.definition .. '|' .. e.family) == 1 then call('HINCRBY', FAMILIES, FAMILY.families, -1) end
  call('HDEL', FAMILIES, FAMILY.series .. '|' .. e.family, unpack(e.defined))
end
call('HINCRBY', META, SHARED.own_removed, 1)
next_change(SHARED.own_change, INDEX)
return {gone, fault or ''}
