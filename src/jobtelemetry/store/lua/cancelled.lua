-- A cancelled job expires like another result, and its entry in RQ's registry with it. Each cancellation takes
-- away up to a hundred entries whose time has come, so the registry is bounded without anybody else's help.
-- KEYS: cancelled jobs of this queue by expiry, RQ's registry of them · ARGV: job id, now, expiry
call('ZADD', KEYS[1], ARGV[3], ARGV[1])
local expired = call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[2], 'LIMIT', 0, 100) or {}
if #expired > 0 then
  call('ZREM', KEYS[1], unpack(expired))
  call('ZREM', KEYS[2], unpack(expired))
end
return fault or #expired
