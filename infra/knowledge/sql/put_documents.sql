-- Adds or replaces documents. It goes first: the rows it locks keep another writer of the same documents away until the passages are there.
INSERT INTO knowledge.documents AS d (tenant_id, document_id, title, source, content_hash, embedding, passages)
SELECT %(tenant)s, n.* FROM unnest(
    %(documents)s::text[], %(titles)s::text[], %(sources)s::text[], %(hashes)s::bytea[], %(embeddings)s::text[], %(counts)s::int[]
) AS n
ON CONFLICT (tenant_id, document_id) DO UPDATE SET
    title = excluded.title, source = excluded.source, content_hash = excluded.content_hash, embedding = excluded.embedding,
    passages = excluded.passages, updated_at = now()
