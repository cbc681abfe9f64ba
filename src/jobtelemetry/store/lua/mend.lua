-- A reader has found that a table is gone that holds no counts: an execution that ends without a word may be missed.
-- Returns a fault or ''.
if not generation() then return fault end
watch_running(0)
local till = whole(call('HGET', META, SHARED.closed_until) or '')
if till > tonumber(clock[1]) and call('EXISTS', CLOSED) == 0 then
  note_loss(0, 'the key of closed executions was gone')
  call('HDEL', META, SHARED.closed_until)
end
return fault or ''
