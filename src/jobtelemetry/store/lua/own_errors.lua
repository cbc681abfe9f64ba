-- Errors of our own hooks that happened since this process last reached Redis. Of e: errors (hook -> number).
if not generation() then return fault end
for hook, number in pairs(e.errors) do call('HINCRBY', META, SHARED.handler_errors .. '|' .. hook, number) end
return fault or 'counted'
