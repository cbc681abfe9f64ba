-- Somebody remembers what he read: a generation and a total. If Redis no longer has it, that is noted.
-- Of e: why (what he has noticed, if anything), lost (executions that he found missing).
-- Returns {generation, total, a fault or ''}.
local id, total = generation()
if id and e.why and call('HEXISTS', META, SHARED.lost_at) == 0 then
  id, total = begin_generation(total, id)
  note_loss(e.lost, e.why)
end
return {id or '', total or 0, fault or ''}
