-- A job was cancelled and expires like another result; RQ's registry of cancelled jobs is never cleaned by RQ. Each
-- cancellation takes away up to a hundred entries whose time has come, so the registry is bounded without anybody
-- else's help. Of e: job and ttl (seconds), or neither, only to take away. Returns how many went, or a fault.
if e.job then call('ZADD', CANCELLED, clock[1] + e.ttl, e.job) end
local expired = call('ZRANGEBYSCORE', CANCELLED, '-inf', clock[1], 'LIMIT', 0, 100) or {}
if #expired > 0 then
  call('ZREM', CANCELLED, unpack(expired))
  call('ZREM', REGISTRY, unpack(expired))
end
return fault or #expired
