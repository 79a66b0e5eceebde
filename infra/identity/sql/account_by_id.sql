-- An account by its id, whatever its tenant, with its hash.
SELECT account_id, kind, tenant_id, name, role, customer_id, disabled, created_at, created_by, changed_at, changed_by, secret_hash
FROM identity.accounts
WHERE account_id = %(account_id)s::text AND kind = %(kind)s::text
