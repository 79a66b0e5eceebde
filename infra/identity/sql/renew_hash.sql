-- Puts a stronger hash of the same secret in the place of the old one, unless the secret was changed meanwhile. Nobody changed the account.
UPDATE identity.accounts
SET secret_hash = %(new_hash)s::text
WHERE account_id = %(account_id)s::text AND secret_hash = %(old_hash)s::text
