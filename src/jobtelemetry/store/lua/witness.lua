-- Somebody remembers what he read: a generation and a total. If Redis no longer has it, that is noted.
-- Of e: why (what he has noticed, if anything), lost (executions that he found missing); since and before, of a note
-- that is gone and that nobody has acknowledged; rq (what became of RQ's own counts).
-- Returns {generation, total, a fault or ''}.
local id, total = generation()
if id and e.why and call('HEXISTS', META, SHARED.lost_at) == 0 then
  id, total = begin_generation(total, id)
  note_loss(e.lost, e.why)
end
if id and e.since then
  call('HSET', META, SHARED.lost_at, e.since)
  call('HINCRBY', META, SHARED.lost_before, e.before)
  note_loss(0, call('HGET', META, SHARED.why) or e.why or 'the note of a loss was gone')
end
local why = id and e.rq and call('HGET', META, SHARED.why)
if why and not string.find(why, ';', 1, true) then call('HSET', META, SHARED.why, why .. '; ' .. e.rq) end
return {id or '', total or 0, fault or ''}
