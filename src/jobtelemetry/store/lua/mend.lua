-- A reader has found that a table is gone that holds no counts, so that an execution that ends without a word may be
-- missed, or label sets that their index still has. Of e: labels (whose hashes are the further keys).
-- Returns a fault or ''.
if not generation() then return fault end
watch_running(0)
local till = whole(call('HGET', META, SHARED.closed_until) or '')
if till > tonumber(clock[1]) and call('EXISTS', CLOSED) == 0 then
  note_loss(0, 'the key of closed executions was gone')
  call('HDEL', META, SHARED.closed_until)
end
for number, labels in ipairs(e.labels) do
  if call('EXISTS', KEYS[number + 5]) == 0 and call('ZREM', SETS, labels) == 1 then
    note_loss(0, 'label sets were gone')
  end
end
return fault or ''
