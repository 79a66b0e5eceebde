-- Replaces the hash of an account's password or secret.
UPDATE identity.accounts
SET secret_hash = %(secret_hash)s::text, changed_at = clock_timestamp(), changed_by = %(by)s::text
WHERE tenant_id = %(tenant)s::text AND kind = %(kind)s::text AND name = %(name)s::text
RETURNING account_id, kind, tenant_id, name, role, customer_id, disabled, created_at, created_by, changed_at, changed_by, secret_hash
