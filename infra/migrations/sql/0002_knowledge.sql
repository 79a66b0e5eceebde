-- What tenants have written down, for research: documents, and the passages they are cut into, each with its vector. Needs pgvector 0.8.
CREATE EXTENSION IF NOT EXISTS vector;
CREATE SCHEMA knowledge;

CREATE TABLE knowledge.documents (
    tenant_id text NOT NULL,
    document_id text COLLATE "C" NOT NULL,
    title text NOT NULL,
    source text NOT NULL,
    content_hash bytea NOT NULL,
    -- Which embedding made the vectors of its passages: those of another are not comparable, and the document is embedded anew.
    embedding text NOT NULL,
    passages int NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, document_id)
);

CREATE TABLE knowledge.passages (
    tenant_id text NOT NULL,
    document_id text COLLATE "C" NOT NULL,
    number int NOT NULL,
    text text NOT NULL,
    embedding text NOT NULL,
    vector vector(512) NOT NULL,
    PRIMARY KEY (tenant_id, document_id, number),
    FOREIGN KEY (tenant_id, document_id) REFERENCES knowledge.documents ON DELETE CASCADE
);
-- In the row itself: out of line, each comparison of an exact search would be a read of its own.
ALTER TABLE knowledge.passages ALTER COLUMN vector SET STORAGE PLAIN;
CREATE INDEX passages_vector ON knowledge.passages USING hnsw (vector vector_cosine_ops);

-- The places of a tenant's passages nearest to a vector; a place may come twice. Up to `exact_below` passages all of them are compared.
-- Beyond that the index is asked, which knows no tenants: it goes on until it has found enough of this tenant's; should it give up
-- before, as it may for a small tenant among large ones, all are compared after all.
CREATE FUNCTION knowledge.nearest(tenant text, wanted vector, made_by text, most int, exact_below int)
RETURNS TABLE (document_id text, number int, distance double precision) LANGUAGE plpgsql STABLE ROWS 10
SET hnsw.iterative_scan = 'relaxed_order' SET hnsw.ef_search = 200 SET hnsw.max_scan_tuples = 20000
-- Only the index gives its rows in order: so it is asked, whatever the planner knows of the table.
SET enable_sort = off
AS $function$
#variable_conflict use_column
DECLARE
    found int := 0;
BEGIN
    IF (SELECT count(*) FROM (SELECT FROM knowledge.passages p WHERE p.tenant_id = tenant LIMIT exact_below + 1) AS few) > exact_below THEN
        RETURN QUERY
            SELECT p.document_id::text, p.number, p.vector <=> wanted FROM knowledge.passages p
            WHERE p.tenant_id = tenant AND p.embedding = made_by ORDER BY p.vector <=> wanted LIMIT most;
        GET DIAGNOSTICS found = ROW_COUNT;
    END IF;
    IF found < most THEN
        RETURN QUERY
            WITH mine AS MATERIALIZED (
                SELECT p.document_id::text AS id, p.number AS place, p.vector <=> wanted AS far FROM knowledge.passages p
                WHERE p.tenant_id = tenant AND p.embedding = made_by
            )
            SELECT mine.id, mine.place, mine.far FROM mine ORDER BY mine.far LIMIT most;
    END IF;
END
$function$;
