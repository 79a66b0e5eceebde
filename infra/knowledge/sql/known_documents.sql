-- What is known of these documents: enough to tell which of them must be embedded anew.
SELECT document_id::text, content_hash, embedding FROM knowledge.documents
WHERE tenant_id = %(tenant)s AND document_id = ANY (%(documents)s::text[])
