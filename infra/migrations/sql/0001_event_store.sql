-- One context's event store: the eventsourcing recorder's table, and beside it what a batch writes in the same transaction.
-- {schema} is the context's name; the migration fills it in.
CREATE SCHEMA {schema};

-- The table of the eventsourcing library's application recorder with text originator ids. notification_id is the position in the
-- context's log; it has no default because positions are drawn from log_head under the append lock.
CREATE TABLE {schema}.stored_events (
    originator_id text NOT NULL,
    originator_version bigint NOT NULL,
    topic text NOT NULL,
    state bytea NOT NULL,
    notification_id bigint NOT NULL,
    PRIMARY KEY (originator_id, originator_version)
) WITH (autovacuum_vacuum_insert_scale_factor = 0.2, autovacuum_analyze_scale_factor = 0.05);
CREATE UNIQUE INDEX stored_events_notification_id ON {schema}.stored_events (notification_id);
ALTER TABLE {schema}.stored_events ALTER COLUMN state SET STORAGE MAIN;

-- The counter that events, rejections and dead letters draw their positions from. One row, changed only under the append lock, so
-- positions are contiguous and become visible in order.
CREATE TABLE {schema}.log_head (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    position bigint NOT NULL
) WITH (fillfactor = 10, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);
INSERT INTO {schema}.log_head (position) VALUES (0);

-- One row for each accepted command: what became of it. Lives as long as its stream.
CREATE TABLE {schema}.inbox (
    aggregate_id text NOT NULL,
    command_id text NOT NULL,
    outcome text NOT NULL CHECK (outcome IN ('events', 'unchanged', 'rejected', 'parked')),
    code text,
    version bigint NOT NULL,
    position bigint,
    payload_hash bytea NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (aggregate_id, command_id)
);

-- Refused commands, in the form in which the relay publishes them.
CREATE TABLE {schema}.rejections (
    position bigint PRIMARY KEY,
    aggregate_id text NOT NULL,
    command_id text NOT NULL,
    state bytea NOT NULL
);

-- Parked records: the original, why, and what became of it. A record blocks its aggregate while it is parked or requeued.
CREATE TABLE {schema}.dead_letters (
    position bigint PRIMARY KEY,
    aggregate_id text,
    command_id text,
    type_name text,
    topic text NOT NULL,
    partition int NOT NULL,
    record_offset bigint NOT NULL,
    record_timestamp bigint NOT NULL,
    record_key bytea,
    record_value bytea,
    record_headers bytea NOT NULL,
    consumer_group text NOT NULL,
    cause text NOT NULL CHECK (cause IN ('defect', 'behind', 'undecodable')),
    error_type text NOT NULL,
    error_message text NOT NULL,
    stack text NOT NULL,
    attempts int NOT NULL,
    handler_version text NOT NULL,
    first_failed_at timestamptz NOT NULL DEFAULT now(),
    status text NOT NULL DEFAULT 'parked' CHECK (status IN ('parked', 'requeued', 'redriven', 'discarded')),
    marked_by text,
    marked_reason text,
    marked_at timestamptz,
    UNIQUE (topic, partition, record_offset)
);
CREATE INDEX dead_letters_waiting ON {schema}.dead_letters (aggregate_id, position) WHERE status IN ('parked', 'requeued');
CREATE INDEX dead_letters_requeued ON {schema}.dead_letters (position) WHERE status = 'requeued';

-- Attempts of records that failed by a defect, or that were in work when their worker died.
CREATE TABLE {schema}.attempts (
    topic text NOT NULL,
    partition int NOT NULL,
    record_offset bigint NOT NULL,
    attempts int NOT NULL,
    last_error text NOT NULL,
    PRIMARY KEY (topic, partition, record_offset)
);

-- Who consumes a partition, and whether the last one that did said goodbye: if not, its batch is replayed record by record.
CREATE TABLE {schema}.partition_owners (
    consumer_group text NOT NULL,
    topic text NOT NULL,
    partition int NOT NULL,
    owner text NOT NULL,
    clean boolean NOT NULL,
    PRIMARY KEY (consumer_group, topic, partition)
);

-- Which of the given aggregates may not be written now, and why: 'version' (the stream has moved), 'known' (a command has an outcome by
-- now), 'parked' (it has parked records), 'not_parked' (it has none any more), 'not_head' (another record is its head). Called by append
-- under the lock. modes: 0 apply, 1 park behind, 2 redrive of the dead letter heads[i]; the arrays are parallel, agg is 1-based. A dead letter
-- that nobody could read belongs to no aggregate: its turn is when the one that it is found to be of has no parked records.
CREATE FUNCTION {schema}.refused(
    ids text[], versions bigint[], modes smallint[], heads bigint[], command_aggs int[], command_ids text[]
) RETURNS TABLE (agg int, reason text) LANGUAGE sql STABLE AS $function$
    SELECT a.ord::int, 'version'
    FROM unnest(ids, versions) WITH ORDINALITY AS a (id, version, ord)
    WHERE coalesce((SELECT e.originator_version FROM {schema}.stored_events e WHERE e.originator_id = a.id
                    ORDER BY e.originator_version DESC LIMIT 1), 0) <> a.version
    UNION ALL
    SELECT c.agg, 'known'
    FROM unnest(command_aggs, command_ids) AS c (agg, command_id)
    JOIN {schema}.inbox i ON i.aggregate_id = ids[c.agg] AND i.command_id = c.command_id
    WHERE NOT (modes[c.agg] = 2 AND i.outcome = 'parked')
    UNION ALL
    SELECT a.ord::int, CASE a.mode WHEN 0 THEN 'parked' WHEN 1 THEN 'not_parked' ELSE 'not_head' END
    FROM unnest(ids, modes, heads) WITH ORDINALITY AS a (id, mode, head, ord)
    LEFT JOIN LATERAL (
        SELECT d.position FROM {schema}.dead_letters d
        WHERE d.aggregate_id = a.id AND d.status IN ('parked', 'requeued') ORDER BY d.position LIMIT 1
    ) w ON true
    WHERE CASE a.mode
        WHEN 0 THEN w.position IS NOT NULL
        WHEN 1 THEN w.position IS NULL
        ELSE NOT EXISTS (
            SELECT 1 FROM {schema}.dead_letters h WHERE h.position = a.head AND h.status = 'requeued'
            AND CASE WHEN h.aggregate_id IS NULL THEN w.position IS NULL ELSE h.aggregate_id = a.id AND h.position = w.position END) END
$function$;

-- The whole outcome of a batch in one transaction. Aggregates that `refused` names are left out as a whole and returned with the
-- reason; everything of the others is written. agg columns are 1-based indexes into ids; 0 is a record without an aggregate.
-- command_positions point into the events (n > 0), or into the rejections (n < 0), for the position in the inbox row; 0 is none.
CREATE FUNCTION {schema}.append(
    ids text[], versions bigint[], modes smallint[], heads bigint[],
    command_aggs int[], command_ids text[], command_outcomes text[], command_codes text[], command_versions bigint[],
    command_positions int[], command_hashes bytea[],
    event_aggs int[], event_versions bigint[], event_types text[], event_states bytea[],
    rejection_aggs int[], rejection_commands text[], rejection_states bytea[],
    parked_aggs int[], parked jsonb
) RETURNS TABLE (agg int, reason text) LANGUAGE plpgsql AS $function$
DECLARE
    bad int[];
    reasons text[];
BEGIN
    -- Before any position is drawn: whoever commits later also draws later, so a reader that has seen position n never meets a smaller
    -- new one. The statements below see everything that the previous holder committed.
    PERFORM pg_advisory_xact_lock(hashtextextended('{schema}.stored_events', 0));
    IF parked IS NULL AND 0 = ALL (modes) AND {schema}.append_all(
        ids, versions, command_aggs, command_ids, command_outcomes, command_codes, command_versions, command_positions, command_hashes,
        event_aggs, event_versions, event_types, event_states, rejection_aggs, rejection_commands, rejection_states) THEN
        RETURN;
    END IF;
    SELECT coalesce(array_agg(r.agg), '{}'), coalesce(array_agg(r.reason), '{}') INTO bad, reasons
    FROM {schema}.refused(ids, versions, modes, heads, command_aggs, command_ids) r;
    PERFORM {schema}.append_part(
        bad, ids, modes, command_aggs, command_ids, command_outcomes, command_codes, command_versions, command_positions,
        command_hashes, event_aggs, event_versions, event_types, event_states, rejection_aggs, rejection_commands, rejection_states,
        parked_aggs, parked);
    IF 2 = ANY (modes) THEN
        PERFORM {schema}.release(heads[m.ord]) FROM unnest(modes) WITH ORDINALITY AS m (mode, ord)
        WHERE m.mode = 2 AND NOT (m.ord::int = ANY (bad)) AND NOT (m.ord::int = ANY (parked_aggs));
    END IF;
    RETURN QUERY SELECT b.agg, b.reason FROM unnest(bad, reasons) AS b (agg, reason);
END
$function$;

-- The common form of append: writes all or nothing, and answers whether it did. Nothing is asked first that a primary key proves: an event
-- row proves that nobody else wrote this version, an inbox row that the command was unknown. Only an aggregate that gets no event needs
-- its version looked up, and parked records are looked for only while there are any. Runs under append's lock.
CREATE FUNCTION {schema}.append_all(
    ids text[], versions bigint[],
    command_aggs int[], command_ids text[], command_outcomes text[], command_codes text[], command_versions bigint[],
    command_positions int[], command_hashes bytea[],
    event_aggs int[], event_versions bigint[], event_types text[], event_states bytea[],
    rejection_aggs int[], rejection_commands text[], rejection_states bytea[]
) RETURNS boolean LANGUAGE plpgsql AS $function$
DECLARE
    base bigint;
    event_count int := cardinality(event_aggs);
    rejection_count int := cardinality(rejection_aggs);
BEGIN
    IF EXISTS (SELECT 1 FROM {schema}.dead_letters d WHERE d.status IN ('parked', 'requeued') AND d.aggregate_id IS NOT NULL)
       AND EXISTS (SELECT 1 FROM unnest(ids) AS a (id) JOIN {schema}.dead_letters d ON d.aggregate_id = a.id
                   WHERE d.status IN ('parked', 'requeued')) THEN
        RETURN false;
    END IF;
    IF rejection_count > 0 OR 'unchanged' = ANY (command_outcomes) THEN
        IF EXISTS (
            SELECT 1 FROM unnest(ids, versions) WITH ORDINALITY AS a (id, version, ord)
            WHERE a.ord::int NOT IN (SELECT unnest(event_aggs)) AND a.version <> coalesce((
                SELECT e.originator_version FROM {schema}.stored_events e WHERE e.originator_id = a.id
                ORDER BY e.originator_version DESC LIMIT 1), 0)) THEN
            RETURN false;
        END IF;
    END IF;
    UPDATE {schema}.log_head h SET position = h.position + event_count + rejection_count
    RETURNING h.position - event_count - rejection_count INTO base;
    INSERT INTO {schema}.stored_events (originator_id, originator_version, topic, state, notification_id)
    SELECT ids[e.agg], e.version, e.type, e.state, base + e.ord
    FROM unnest(event_aggs, event_versions, event_types, event_states) WITH ORDINALITY AS e (agg, version, type, state, ord);
    IF rejection_count > 0 THEN
        INSERT INTO {schema}.rejections (position, aggregate_id, command_id, state)
        SELECT base + event_count + r.ord, ids[r.agg], r.command_id, r.state
        FROM unnest(rejection_aggs, rejection_commands, rejection_states) WITH ORDINALITY AS r (agg, command_id, state, ord);
    END IF;
    INSERT INTO {schema}.inbox (aggregate_id, command_id, outcome, code, version, position, payload_hash)
    SELECT ids[c.agg], c.command_id, c.outcome, c.code, c.version,
           CASE WHEN c.pos > 0 THEN base + c.pos WHEN c.pos < 0 THEN base + event_count - c.pos END, c.hash
    FROM unnest(command_aggs, command_ids, command_outcomes, command_codes, command_versions, command_positions, command_hashes)
         AS c (agg, command_id, outcome, code, version, pos, hash);
    RETURN true;
EXCEPTION WHEN unique_violation THEN
    -- Everything of this block is undone; the caller finds out whose it was.
    RETURN false;
END
$function$;

-- The rarer form of append: some aggregates are left out, or records are parked or redriven. Runs under append's lock. A failed redrive (mode 2 with a
-- parked row of the same record) puts its record back to parked with the new error.
CREATE FUNCTION {schema}.append_part(
    bad int[], ids text[], modes smallint[],
    command_aggs int[], command_ids text[], command_outcomes text[], command_codes text[], command_versions bigint[],
    command_positions int[], command_hashes bytea[],
    event_aggs int[], event_versions bigint[], event_types text[], event_states bytea[],
    rejection_aggs int[], rejection_commands text[], rejection_states bytea[],
    parked_aggs int[], parked jsonb
) RETURNS void LANGUAGE plpgsql AS $function$
DECLARE
    base bigint;
    event_positions bigint[];
    rejection_positions bigint[];
    drawn bigint;
    event_count bigint;
    rejection_count bigint;
BEGIN
    SELECT h.position INTO base FROM {schema}.log_head h FOR UPDATE;
    SELECT array_agg(CASE WHEN x.written THEN base + x.rank END ORDER BY x.ord), count(*) FILTER (WHERE x.written)
    INTO event_positions, event_count
    FROM (SELECT e.ord, e.agg <> ALL (bad) AS written,
                 count(*) FILTER (WHERE e.agg <> ALL (bad)) OVER (ORDER BY e.ord) AS rank
          FROM unnest(event_aggs) WITH ORDINALITY AS e (agg, ord)) x;
    SELECT array_agg(CASE WHEN x.written THEN base + event_count + x.rank END ORDER BY x.ord), count(*) FILTER (WHERE x.written)
    INTO rejection_positions, rejection_count
    FROM (SELECT r.ord, r.agg <> ALL (bad) AS written,
                 count(*) FILTER (WHERE r.agg <> ALL (bad)) OVER (ORDER BY r.ord) AS rank
          FROM unnest(rejection_aggs) WITH ORDINALITY AS r (agg, ord)) x;
    drawn := base + event_count + rejection_count;

    INSERT INTO {schema}.stored_events (originator_id, originator_version, topic, state, notification_id)
    SELECT ids[e.agg], e.version, e.type, e.state, event_positions[e.ord]
    FROM unnest(event_aggs, event_versions, event_types, event_states) WITH ORDINALITY AS e (agg, version, type, state, ord)
    WHERE e.agg <> ALL (bad);
    INSERT INTO {schema}.rejections (position, aggregate_id, command_id, state)
    SELECT rejection_positions[r.ord], ids[r.agg], r.command_id, r.state
    FROM unnest(rejection_aggs, rejection_commands, rejection_states) WITH ORDINALITY AS r (agg, command_id, state, ord)
    WHERE r.agg <> ALL (bad);
    INSERT INTO {schema}.inbox (aggregate_id, command_id, outcome, code, version, position, payload_hash)
    SELECT ids[c.agg], c.command_id, c.outcome, c.code, c.version,
           CASE WHEN c.pos > 0 THEN event_positions[c.pos] WHEN c.pos < 0 THEN rejection_positions[-c.pos] END, c.hash
    FROM unnest(command_aggs, command_ids, command_outcomes, command_codes, command_versions, command_positions, command_hashes)
         AS c (agg, command_id, outcome, code, version, pos, hash)
    WHERE c.agg <> ALL (bad)
    ON CONFLICT (aggregate_id, command_id) DO UPDATE SET outcome = excluded.outcome, code = excluded.code,
           version = excluded.version, position = excluded.position, recorded_at = now()
    WHERE inbox.outcome = 'parked';

    IF parked IS NOT NULL THEN
        -- A record that is parked behind requeued ones drains with them: it takes over the status of the aggregate's last waiting record.
        WITH wanted AS (
            SELECT p.*, parked_aggs[p.ord] AS agg
            FROM jsonb_to_recordset(parked) AS p (
                command_id text, type_name text, topic text, partition int, record_offset bigint, record_timestamp bigint,
                record_key text, record_value text, record_headers text, consumer_group text, cause text, error_type text,
                error_message text, stack text, attempts int, handler_version text, ord int)
            WHERE parked_aggs[p.ord] <> ALL (bad)
        ), written AS (
            INSERT INTO {schema}.dead_letters AS d (
                position, aggregate_id, command_id, type_name, topic, partition, record_offset, record_timestamp, record_key,
                record_value, record_headers, consumer_group, cause, error_type, error_message, stack, attempts, handler_version, status)
            SELECT drawn + row_number() OVER (ORDER BY w.ord), ids[w.agg], w.command_id, w.type_name, w.topic, w.partition,
                   w.record_offset, w.record_timestamp, decode(w.record_key, 'base64'), decode(w.record_value, 'base64'),
                   decode(w.record_headers, 'base64'), w.consumer_group, w.cause, w.error_type, w.error_message, w.stack, w.attempts,
                   w.handler_version,
                   CASE WHEN w.cause = 'behind' AND (
                       SELECT t.status FROM {schema}.dead_letters t WHERE t.aggregate_id = ids[w.agg] AND t.status IN ('parked', 'requeued')
                       ORDER BY t.position DESC LIMIT 1) = 'requeued' THEN 'requeued' ELSE 'parked' END
            FROM wanted w
            WHERE NOT EXISTS (SELECT 1 FROM {schema}.dead_letters o WHERE o.topic = w.topic AND o.partition = w.partition
                              AND o.record_offset = w.record_offset)
            ON CONFLICT (topic, partition, record_offset) DO NOTHING
            RETURNING 1
        ), again AS (
            UPDATE {schema}.dead_letters d SET status = 'parked', cause = w.cause, error_type = w.error_type,
                   error_message = w.error_message, stack = w.stack, attempts = d.attempts + w.attempts, handler_version = w.handler_version,
                   aggregate_id = coalesce(d.aggregate_id, ids[w.agg]), command_id = coalesce(d.command_id, w.command_id),
                   type_name = coalesce(d.type_name, w.type_name)
            FROM wanted w
            WHERE d.topic = w.topic AND d.partition = w.partition AND d.record_offset = w.record_offset AND d.status = 'requeued'
            RETURNING 1
        )
        SELECT drawn + (SELECT count(*) FROM written) + 0 * (SELECT count(*) FROM again) INTO drawn;
    END IF;
    UPDATE {schema}.log_head h SET position = drawn WHERE h.position <> drawn;
END
$function$;

-- Frees what waits behind a record that was redriven or discarded: the records parked behind it, up to the next one with a defect of its
-- own, are requeued. Called under the append lock.
CREATE FUNCTION {schema}.release(head bigint, new_status text DEFAULT 'redriven') RETURNS void LANGUAGE sql AS $function$
    UPDATE {schema}.dead_letters SET status = new_status, marked_at = now() WHERE position = head;
    UPDATE {schema}.dead_letters b SET status = 'requeued', marked_at = now()
    FROM {schema}.dead_letters h
    WHERE h.position = head AND b.aggregate_id = h.aggregate_id AND b.status = 'parked' AND b.cause = 'behind'
      AND NOT EXISTS (SELECT 1 FROM {schema}.dead_letters d WHERE d.aggregate_id = h.aggregate_id
                      AND d.status = 'parked' AND d.cause <> 'behind' AND d.position < b.position)
$function$;

-- A person gives up a parked record: a rejection is recorded in its place, in one transaction with the mark. False when it is not waiting.
CREATE FUNCTION {schema}.discard(head bigint, who text, why text, rejection_state bytea) RETURNS boolean LANGUAGE plpgsql AS $function$
DECLARE
    record {schema}.dead_letters;
    drawn bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('{schema}.stored_events', 0));
    SELECT * INTO record FROM {schema}.dead_letters d WHERE d.position = head AND d.status IN ('parked', 'requeued') FOR UPDATE;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    IF record.command_id IS NOT NULL THEN
        UPDATE {schema}.log_head h SET position = h.position + 1 RETURNING h.position INTO drawn;
        INSERT INTO {schema}.rejections (position, aggregate_id, command_id, state)
        VALUES (drawn, record.aggregate_id, record.command_id, rejection_state);
        UPDATE {schema}.inbox i SET outcome = 'rejected', code = 'DISCARDED', position = drawn, recorded_at = now()
        WHERE i.aggregate_id = record.aggregate_id AND i.command_id = record.command_id AND i.outcome = 'parked';
    END IF;
    UPDATE {schema}.dead_letters d SET marked_by = who, marked_reason = why WHERE d.position = head;
    PERFORM {schema}.release(head, 'discarded');
    RETURN true;
END
$function$;
