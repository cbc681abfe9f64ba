-- Up to 2.12, RQ counts a final failure for its worker in a transaction after the one in which it ended. Of e: account, id.
-- Where that is sent twice, or the ending had been counted before, RQ counts what has its place already.
if call('HGET', ACCOUNTS, e.account .. '|' .. COLUMN.later) == e.id then
  call('HDEL', ACCOUNTS, e.account .. '|' .. COLUMN.later)
  call('HINCRBY', ACCOUNTS, e.account .. '|' .. COLUMN.unbooked, -1)
  call('HINCRBY', ACCOUNTS, e.account .. '|' .. COLUMN.failed, 1)
else
  call('HINCRBY', ACCOUNTS, e.account .. '|' .. COLUMN.failed_again, 1)
end
return fault or 'booked'
