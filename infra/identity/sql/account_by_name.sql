-- An account by its name in its tenant, with its hash.
SELECT account_id, kind, tenant_id, name, role, customer_id, disabled, created_at, created_by, changed_at, changed_by, secret_hash
FROM identity.accounts
WHERE tenant_id = %(tenant)s::text AND kind = %(kind)s::text AND name = %(name)s::text
