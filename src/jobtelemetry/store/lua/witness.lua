-- Somebody remembers what he read: a generation and a total. If Redis no longer has it, that is noted.
-- Returns {generation, total, a fault or ''}.
local id, total = generation()
return {id or '', total or 0, fault or ''}
