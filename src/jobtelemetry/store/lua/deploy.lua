-- A version of the application begins to run. Of e: version and by (both encoded), asked: 'always', 'new' (mark it if
-- none of the marks is of this version) or 'returned' (if the newest is not), most (how many marks are kept).
-- Returns {'marked', 'newest' or 'earlier' (there is such a mark), a fault or ''}.
local found = ''
for number, member in ipairs(call('ZREVRANGE', DEPLOYS, 0, -1) or {}) do
  if string.match(member, '^[^|]*|([^|]*)|') == e.version then
    found = number == 1 and 'newest' or 'earlier'
    break
  end
end
if fault or (found == 'newest' and e.asked ~= 'always') or (found == 'earlier' and e.asked == 'new') then
  return {found, fault or ''}
end
call('ZADD', DEPLOYS, now, table.concat({now, e.version, e.by}, '|'))
call('ZREMRANGEBYRANK', DEPLOYS, 0, -1 - e.most)
return {'marked', fault or ''}
