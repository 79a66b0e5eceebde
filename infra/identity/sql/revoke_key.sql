-- Ends an API key for good; the first revocation stands.
WITH k AS (
    UPDATE identity.api_keys
    SET revoked_at = coalesce(revoked_at, clock_timestamp()), revoked_by = coalesce(revoked_by, %(by)s::text)
    WHERE tenant_id = %(tenant)s::text AND prefix = %(prefix)s::text
    RETURNING *
)
SELECT k.prefix, k.tenant_id, a.kind, k.account_id, a.name, k.label, k.expires_at, k.last_used_at, k.revoked_at, k.revoked_by,
       k.created_at, k.created_by
FROM k
JOIN identity.accounts a ON a.account_id = k.account_id
