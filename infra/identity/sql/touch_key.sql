-- Notes that an API key was used, at most once a minute.
UPDATE identity.api_keys
SET last_used_at = %(at)s::timestamptz
WHERE prefix = %(prefix)s::text AND (last_used_at IS NULL OR last_used_at <= %(at)s::timestamptz - interval '1 minute')
