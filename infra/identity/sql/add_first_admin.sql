-- Makes the first admin of a tenant, under the tenant's lock; no row where there is an admin, or where the login is taken.
INSERT INTO identity.accounts (account_id, kind, tenant_id, name, role, customer_id, secret_hash, created_by, changed_by)
SELECT
    %(account_id)s::text, %(kind)s::text, %(tenant)s::text, %(name)s::text, %(role)s::text, %(customer_id)s::text,
    %(secret_hash)s::text, %(by)s::text, %(by)s::text
WHERE NOT EXISTS (SELECT FROM identity.accounts a WHERE a.tenant_id = %(tenant)s::text AND a.kind = 'user' AND a.role = 'admin')
ON CONFLICT (tenant_id, kind, name) DO NOTHING
RETURNING account_id, kind, tenant_id, name, role, customer_id, disabled, created_at, created_by, changed_at, changed_by, secret_hash
