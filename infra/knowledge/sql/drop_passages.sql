-- Removes the passages of documents that are about to get others.
DELETE FROM knowledge.passages WHERE tenant_id = %(tenant)s AND document_id = ANY (%(documents)s::text[])
