-- Somebody has seen what was lost. What RQ counted for its live workers is from now on what their accounts have.
-- Of e: accounts (of the RQ workers whose hashes are the further keys). Returns {fields of the note, a fault or ''}.
local id, total = generation()
if not id then return {0, fault} end
local noted = call('HDEL', META, SHARED.lost_at, SHARED.lost, SHARED.lost_before, SHARED.why)
call('HDEL', ACCOUNTS, '|' .. COLUMN.noted)
call('HSET', META, SHARED.acknowledged, now)
for number, account in ipairs(e.accounts) do
  if call('HGET', KEYS[number + 3], 'jobtelemetry') then begin_anew(account, KEYS[number + 3]) end
end
balance(total)
return {noted or 0, fault or ''}
