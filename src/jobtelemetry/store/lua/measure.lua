-- What a process measured outside of a job, or after its end, batch by batch. Of e: own, writer, batch (their numbers
-- follow one another; one that comes again was written, and its reply was lost on the way).
-- Returns {'counted' or 'again', a fault or '', what was defined differently}.
if not generation() then return {'', fault, {}} end
if call('ZADD', BATCHES, 'NX', now, e.writer .. '|' .. e.batch) ~= 1 then return {fault and '' or 'again', fault or '', {}} end
call('ZREM', BATCHES, e.writer .. '|' .. e.batch - 1)
call('ZREMRANGEBYSCORE', BATCHES, '-inf', clock[1] - 86400)
call('ZREMRANGEBYRANK', BATCHES, 0, -10001)
own()
return {'counted', fault or '', redefined}
