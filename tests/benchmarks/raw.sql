-- The raw pipeline's tables: as wide as the product's, without what its guarantees need. The same one-statement insert.
CREATE SCHEMA raw;
CREATE TABLE raw.stored_events (
    originator_id text NOT NULL,
    originator_version bigint NOT NULL,
    topic text NOT NULL,
    state bytea NOT NULL,
    notification_id bigserial,
    PRIMARY KEY (originator_id, originator_version)
);
CREATE UNIQUE INDEX ON raw.stored_events (notification_id);
ALTER TABLE raw.stored_events ALTER COLUMN state SET STORAGE MAIN;
CREATE TABLE raw.inbox (
    aggregate_id text NOT NULL,
    command_id text NOT NULL,
    outcome text NOT NULL,
    code text,
    version bigint NOT NULL,
    position bigint,
    payload_hash bytea NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (aggregate_id, command_id)
);
CREATE FUNCTION raw.insert_batch(ids text[], command_ids text[], hashes bytea[], types text[], states bytea[])
RETURNS SETOF bigint LANGUAGE plpgsql AS $function$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('raw.stored_events', 0));
    INSERT INTO raw.inbox (aggregate_id, command_id, outcome, version, payload_hash)
    SELECT u.id, u.command_id, 'events', 1, u.hash FROM unnest(ids, command_ids, hashes) AS u (id, command_id, hash);
    RETURN QUERY INSERT INTO raw.stored_events (originator_id, originator_version, topic, state)
    SELECT u.id, 1, u.type, u.state FROM unnest(ids, types, states) AS u (id, type, state)
    RETURNING notification_id;
END
$function$;
