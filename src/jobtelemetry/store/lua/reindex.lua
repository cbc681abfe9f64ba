-- A label set whose hash is there and whose place in the index was lost gets it back.
if call('EXISTS', SET) == 1 and not call('ZSCORE', SETS, e.labels) then touch(SET, e.labels) end
return fault or 'indexed'
