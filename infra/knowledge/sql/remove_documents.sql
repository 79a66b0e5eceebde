-- Removes documents; their passages go with them.
DELETE FROM knowledge.documents WHERE tenant_id = %(tenant)s AND document_id = ANY (%(documents)s::text[]) RETURNING document_id::text
