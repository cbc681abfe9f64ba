-- The proof of an RQ worker begins anew from what RQ has counted for it, and the accounts together are the total again.
local function begin_anew(account, rq_worker)
  local counts = call('HMGET', rq_worker, 'successful_job_count', 'failed_job_count') or {}
  call('HSET', ACCOUNTS, account .. '|' .. COLUMN.succeeded, string.format('%.0f', whole(counts[1] or '')),
    account .. '|' .. COLUMN.failed, string.format('%.0f', whole(counts[2] or '')))
  call('HDEL', ACCOUNTS, account .. '|' .. COLUMN.unbooked, account .. '|' .. COLUMN.succeeded_again,
    account .. '|' .. COLUMN.failed_again)
end
local function balance(total)
  for _, column in ipairs({COLUMN.succeeded, COLUMN.failed, COLUMN.unbooked}) do
    local field = '|' .. column
    local found = call('HGET', ACCOUNTS, field)
    if found and found ~= string.format('%.0f', whole(found)) then call('HDEL', ACCOUNTS, field) end
  end
  call('HINCRBY', ACCOUNTS, '|' .. COLUMN.unbooked, string.format('%.0f', total - sum_of_accounts()))
end
