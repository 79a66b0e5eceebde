-- The admins of a tenant who can sign in, by login.
SELECT account_id, kind, tenant_id, name, role, customer_id, disabled, created_at, created_by, changed_at, changed_by, secret_hash
FROM identity.accounts
WHERE tenant_id = %(tenant)s::text AND kind = 'user' AND role = 'admin' AND NOT disabled
ORDER BY name
