-- Until the transaction ends nobody else makes a first admin of this tenant, or takes one away.
SELECT pg_advisory_xact_lock(hashtextextended('identity.admins.' || %(tenant)s::text, 0))
