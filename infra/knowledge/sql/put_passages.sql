-- Adds passages with their vectors, which come as pgvector writes them.
INSERT INTO knowledge.passages (tenant_id, document_id, number, text, embedding, vector)
SELECT %(tenant)s, n.document_id, n.number, n.text, %(embedding)s, n.vector::vector
FROM unnest(%(documents)s::text[], %(numbers)s::int[], %(texts)s::text[], %(vectors)s::text[]) AS n (document_id, number, text, vector)
