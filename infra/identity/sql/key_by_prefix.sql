-- An API key by its prefix, whatever its tenant, with its digest and its owner.
SELECT k.prefix, k.tenant_id, a.kind, k.account_id, a.name, k.label, k.expires_at, k.last_used_at, k.revoked_at, k.revoked_by,
       k.created_at, k.created_by,
       k.digest, a.role, a.customer_id, a.disabled, a.created_at, a.created_by, a.changed_at, a.changed_by, a.secret_hash
FROM identity.api_keys k
JOIN identity.accounts a ON a.account_id = k.account_id
WHERE k.prefix = %(prefix)s::text
