-- The passages nearest to a vector, with what their documents are called. A passage without anything in common is none.
SELECT p.document_id::text, p.number, d.title, p.text, d.source, 1 - n.distance
FROM (
    SELECT DISTINCT document_id, number, distance
    FROM knowledge.nearest(%(tenant)s::text, %(vector)s::text::vector, %(embedding)s::text, %(limit)s::int, %(exact_below)s::int)
) n
JOIN knowledge.passages p ON p.tenant_id = %(tenant)s AND p.document_id = n.document_id AND p.number = n.number
JOIN knowledge.documents d ON d.tenant_id = %(tenant)s AND d.document_id = n.document_id
WHERE n.distance < 1
ORDER BY n.distance, p.document_id, p.number
LIMIT %(limit)s
