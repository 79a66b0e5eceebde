-- Locks an account out or lets it in, under the tenant's lock; no row where it is so already, or is the last admin who can sign in.
UPDATE identity.accounts a
SET disabled = %(disabled)s::boolean, changed_at = clock_timestamp(), changed_by = %(by)s::text
WHERE a.tenant_id = %(tenant)s::text AND a.kind = %(kind)s::text AND a.name = %(name)s::text AND a.disabled <> %(disabled)s::boolean
  AND (
      NOT %(disabled)s::boolean OR a.kind <> 'user' OR a.role <> 'admin'
      OR EXISTS (
          SELECT FROM identity.accounts o
          WHERE o.tenant_id = a.tenant_id AND o.kind = 'user' AND o.role = 'admin' AND NOT o.disabled AND o.name <> a.name
      )
  )
RETURNING account_id, kind, tenant_id, name, role, customer_id, disabled, created_at, created_by, changed_at, changed_by, secret_hash
