-- Accounts of RQ workers that are gone go into that of the departed. Of e: accounts.
for _, account in ipairs(e.accounts) do fold(account) end
return fault or #e.accounts
