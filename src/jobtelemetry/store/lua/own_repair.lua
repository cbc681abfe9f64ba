-- A reader has found that the series of own metrics are not what was written to them, at the moment of one change. It is
-- noted, and the books are made to agree again. Of e: change (its number), observations (what the series have together).
-- Returns {'repaired' or 'changed', a fault or ''}.
if not generation() then return {'', fault} end
local m = call('HMGET', META, SHARED.own_change, SHARED.own_counted, SHARED.own_forgotten, SHARED.own_written_off) or {}
if (m[1] or '0') ~= e.change then return {'changed', fault or ''} end
for number, field in ipairs({SHARED.own_counted, SHARED.own_forgotten, SHARED.own_written_off}) do
  local found = m[number + 1] -- what is no number can never be added to
  if found and found ~= string.format('%.0f', whole(found)) then call('HDEL', META, field) end
end
local missing = whole(m[2] or '') - whole(m[3] or '') - whole(m[4] or '') - e.observations
if missing ~= 0 then
  call('HINCRBY', META, SHARED.own_written_off, string.format('%.0f', missing))
  note_loss(0, 'series of own metrics were gone')
end
return {'repaired', fault or ''}
