-- RQ registers a worker, whose counts begin at nothing: so does its account. Of e: account, mark.
-- Returns {generation, total}.
local id, total = generation()
if not id then return {'', 0, fault} end
fold(e.account)
call('HSET', RQ_WORKER, 'jobtelemetry', e.mark)
return {id, total, fault or ''}
