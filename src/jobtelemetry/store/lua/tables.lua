-- The running table is gone if it has fewer entries than were put into it and not taken out again.
local function watch_running(more)
  local expected = call('HINCRBY', META, SHARED.running, more)
  if not expected then return call('HSET', META, SHARED.running, call('HLEN', RUNNING) or 0) end -- it was no number
  if more < 0 and expected >= 0 then return end
  local entries = call('HLEN', RUNNING) or expected
  if entries < expected then note_loss(0, 'the running table was gone') end
  if entries < expected or expected < 0 then call('HSET', META, SHARED.running, entries) end
end
