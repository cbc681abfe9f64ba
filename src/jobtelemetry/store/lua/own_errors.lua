-- Errors of hooks that happened since this process last reached Redis: pairs of hook and number.
local function own_errors(series, text)
  if text == '' then return end
  for hook, number in pairs(cjson.decode(text)) do call('HINCRBY', series, 'handler_errors|' .. hook, number) end
end
