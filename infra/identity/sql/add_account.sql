-- Makes an account; no row where its name is taken.
INSERT INTO identity.accounts (account_id, kind, tenant_id, name, role, customer_id, secret_hash, created_by, changed_by)
VALUES (
    %(account_id)s::text, %(kind)s::text, %(tenant)s::text, %(name)s::text, %(role)s::text, %(customer_id)s::text,
    %(secret_hash)s::text, %(by)s::text, %(by)s::text
)
ON CONFLICT (tenant_id, kind, name) DO NOTHING
RETURNING account_id, kind, tenant_id, name, role, customer_id, disabled, created_at, created_by, changed_at, changed_by, secret_hash
