-- Takes every series of one worker out of the books, and gives the places in its families back.
-- KEYS: series, exemplars · ARGV: encoded worker label, '1' if its label sets take places
-- Returns {fields removed, executions they had counted} or a fault.
local removed, executions = 0, 0
local function purge(key)
  local fields = call('HKEYS', key) or {}
  local gone = {}
  for _, field in ipairs(fields) do
    local family, rest = string.match(field, '^([^|]*)|(.*)$')
    local own = rest
    if family == 'created' then family, own = string.match(rest, '^([^|]*)|(.*)$') end
    if own and string.match(own, '^([^|]*)|') == ARGV[1] and family ~= 'sets' and family ~= 'dropped'
      and family ~= 'handler_errors' then
      gone[#gone + 1] = field
      if key == KEYS[1] then
        if rest == own and family == 'executions' then
          executions = executions + (tonumber(call('HGET', key, field)) or 0)
        elseif ARGV[2] == '1' and rest == own and family == 'seen' then
          call('HINCRBY', key, 'sets|executions', -1)
        elseif ARGV[2] == '1' and rest ~= own then
          call('HINCRBY', key, 'sets|' .. family, -1)
        end
      end
    end
  end
  for first = 1, #gone, 1000 do
    removed = removed + (call('HDEL', key, unpack(gone, first, math.min(first + 999, #gone))) or 0)
  end
end
purge(KEYS[1])
purge(KEYS[2])
return fault or {removed, executions}
