-- A page of a tenant's documents, by id.
SELECT document_id::text, title, source, passages, updated_at FROM knowledge.documents
WHERE tenant_id = %(tenant)s AND document_id > %(after)s ORDER BY document_id LIMIT %(limit)s
