-- A reader has found that the entries do not agree, at the moment of one change. It is noted, and the books are made
-- to agree again, so that the next loss shows as well. Of e: change (its number), sets (executions in label sets),
-- accounts (of the RQ workers whose hashes are the further keys).
-- Returns {'repaired' or 'changed', a fault or ''}.
local id, total = generation()
if not id then return {'', fault} end
if (call('HGET', META, SHARED.change) or '0') ~= e.change then return {'changed', fault or ''} end
local off = call('HMGET', META, SHARED.forgotten, SHARED.written_off) or {}
local missing = total - (tonumber(off[1] or 0) or 0) - (tonumber(off[2] or 0) or 0) - e.sets
local unbalanced = total - sum_of_accounts()
if missing == 0 and unbalanced == 0 then return {'repaired', fault or ''} end
local known = tonumber(call('HGET', META, SHARED.lost) or 0) or 0
if missing < 0 then total = total - missing end
id, total = begin_generation(total, id)
if missing > 0 then
  call('HINCRBY', META, SHARED.written_off, string.format('%.0f', missing))
  note_loss(missing, 'label sets were gone')
elseif missing < 0 then
  note_loss(0, 'the ledger\'s total was gone')
else
  note_loss(0, 'accounts were gone')
  for number, account in ipairs(e.accounts) do -- the proof begins anew from what RQ has counted
    local counts = call('HMGET', KEYS[number + 3], 'successful_job_count', 'failed_job_count') or {}
    call('HSET', ACCOUNTS, account .. '|' .. COLUMN.succeeded, counts[1] or '0',
      account .. '|' .. COLUMN.failed, counts[2] or '0')
    call('HDEL', ACCOUNTS, account .. '|' .. COLUMN.succeeded_again, account .. '|' .. COLUMN.failed_again)
  end
end
unbalanced = total - sum_of_accounts()
call('HINCRBY', ACCOUNTS, '|' .. COLUMN.unbooked, string.format('%.0f', unbalanced))
return {'repaired', fault or ''}
