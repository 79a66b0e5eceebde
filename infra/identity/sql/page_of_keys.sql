-- The API keys of a tenant by prefix, from behind a prefix; of one owner where a name is given.
SELECT k.prefix, k.tenant_id, a.kind, k.account_id, a.name, k.label, k.expires_at, k.last_used_at, k.revoked_at, k.revoked_by,
       k.created_at, k.created_by
FROM identity.api_keys k
JOIN identity.accounts a ON a.account_id = k.account_id
WHERE k.tenant_id = %(tenant)s::text AND k.prefix > %(after)s::text AND (%(owner)s::text IS NULL OR a.name = %(owner)s::text)
ORDER BY k.prefix
LIMIT %(limit)s::bigint
