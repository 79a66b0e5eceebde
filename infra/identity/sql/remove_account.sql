-- Removes an account with its keys, under the tenant's lock; no row where there is none, or where it is the last admin who can sign in.
DELETE FROM identity.accounts a
WHERE a.tenant_id = %(tenant)s::text AND a.kind = %(kind)s::text AND a.name = %(name)s::text
  AND (
      a.kind <> 'user' OR a.role <> 'admin' OR a.disabled
      OR EXISTS (
          SELECT FROM identity.accounts o
          WHERE o.tenant_id = a.tenant_id AND o.kind = 'user' AND o.role = 'admin' AND NOT o.disabled AND o.name <> a.name
      )
  )
RETURNING account_id, kind, tenant_id, name, role, customer_id, disabled, created_at, created_by, changed_at, changed_by, secret_hash
