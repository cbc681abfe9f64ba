-- RQ registers a worker, whose counts begin at nothing: so does its account. Of e: account, mark, clock.
-- Returns {generation, total}.
local id, total = generation()
if not id then return {'', 0, fault} end
fold(e.account)
call('HSET', RQ_WORKER, 'jobtelemetry', e.mark)
if e.clock then compare_clock(CLOCKS .. 'rq_worker|' .. e.account, true) end
return {id, total, fault or ''}
