-- Keeps an API key of an account; no row where the account is not there, or the prefix is in use.
WITH k AS (
    INSERT INTO identity.api_keys (prefix, digest, tenant_id, account_id, label, expires_at, created_by)
    SELECT %(prefix)s::text, %(digest)s::bytea, o.tenant_id, o.account_id, %(label)s::text, %(expires_at)s::timestamptz, %(by)s::text
    FROM identity.accounts o
    WHERE o.tenant_id = %(tenant)s::text AND o.kind = %(kind)s::text AND o.name = %(name)s::text
    ON CONFLICT (prefix) DO NOTHING
    RETURNING *
)
SELECT k.prefix, k.tenant_id, a.kind, k.account_id, a.name, k.label, k.expires_at, k.last_used_at, k.revoked_at, k.revoked_by,
       k.created_at, k.created_by
FROM k
JOIN identity.accounts a ON a.account_id = k.account_id
