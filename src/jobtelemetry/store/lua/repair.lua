-- A reader has found that the entries do not agree, at the moment of one change. It is noted, and the books are made
-- to agree again, so that the next loss shows as well. Of e: change (its number), sets (executions in label sets),
-- accounts (of the RQ workers whose hashes are the further keys).
-- Returns {'repaired' or 'changed', a fault or ''}.
local id, total = generation()
if not id then return {'', fault} end
if (call('HGET', META, SHARED.change) or '0') ~= e.change then return {'changed', fault or ''} end
local off = call('HMGET', META, SHARED.forgotten, SHARED.written_off) or {}
local missing = total - whole(off[1] or '') - whole(off[2] or '') - e.sets
local unbalanced = total - sum_of_accounts()
if missing == 0 and unbalanced == 0 then return {'repaired', fault or ''} end
if missing < 0 then total = total - missing end
id, total = begin_generation(total, id)
if missing > 0 then
  call('HINCRBY', META, SHARED.written_off, string.format('%.0f', missing))
  note_loss(missing, 'label sets were gone')
elseif missing < 0 then
  note_loss(0, 'the ledger\'s total was gone')
else
  note_loss(0, 'accounts were gone')
  for number, account in ipairs(e.accounts) do begin_anew(account, KEYS[number + 3]) end
end
balance(total)
return {'repaired', fault or ''}
