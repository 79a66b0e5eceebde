-- What belongs to no single context: how far the relay and the read models got.
CREATE SCHEMA mesh;

-- How far each context's log has reached Kafka. epoch grows with each leader; the position moves by compare-and-set on both.
CREATE TABLE mesh.relay_positions (
    context text PRIMARY KEY,
    epoch bigint NOT NULL DEFAULT 0,
    position bigint NOT NULL DEFAULT 0,
    moved_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 10);

-- How far each read model has applied a partition: the next offset to read and the last position applied. The only truth; group offsets
-- in Kafka are ignored.
CREATE TABLE mesh.checkpoints (
    projection text NOT NULL,
    topic text NOT NULL,
    partition int NOT NULL,
    next_offset bigint NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (projection, topic, partition)
) WITH (fillfactor = 10);

-- Which definition of each read model its tables hold.
CREATE TABLE mesh.read_models (
    projection text PRIMARY KEY,
    version int NOT NULL,
    built_at timestamptz NOT NULL DEFAULT now()
);

-- Events that a read model could not apply, and the later ones of the same aggregate behind them.
CREATE TABLE mesh.parked_events (
    projection text NOT NULL,
    context text NOT NULL,
    position bigint NOT NULL,
    aggregate_id text NOT NULL,
    sequence bigint NOT NULL,
    type_name text NOT NULL,
    state bytea NOT NULL,
    cause text NOT NULL CHECK (cause IN ('defect', 'behind')),
    error_type text NOT NULL,
    error_message text NOT NULL,
    stack text NOT NULL,
    attempts int NOT NULL,
    status text NOT NULL DEFAULT 'parked' CHECK (status IN ('parked', 'requeued')),
    parked_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (projection, context, position)
);
CREATE INDEX parked_events_aggregate ON mesh.parked_events (projection, aggregate_id, position);

-- Moves a read model's checkpoints by compare-and-set on the next offset. A worker whose partitions were taken over fails here, and its whole
-- transaction with it. Every transaction that writes rows of a read model begins with this, also one that moves no checkpoint: it shares a
-- lock that a rebuild takes alone while it compares and switches, so that no row goes to the tables that are about to be dropped.
CREATE FUNCTION mesh.advance_checkpoints(
    name text, topics text[], partitions int[], expected bigint[], next_offsets bigint[], positions bigint[]
) RETURNS void LANGUAGE plpgsql AS $function$
DECLARE
    moved int;
BEGIN
    PERFORM pg_advisory_xact_lock_shared(hashtextextended('agentmesh.read_model.' || name, 0));
    UPDATE mesh.checkpoints c SET next_offset = n.next_offset, position = greatest(c.position, n.position)
    FROM unnest(topics, partitions, expected, next_offsets, positions) AS n (topic, partition, expected, next_offset, position)
    WHERE c.projection = name AND c.topic = n.topic AND c.partition = n.partition AND c.next_offset = n.expected;
    GET DIAGNOSTICS moved = ROW_COUNT;
    IF moved <> cardinality(topics) THEN
        RAISE EXCEPTION 'the checkpoints of % were moved by another worker', name USING ERRCODE = 'AM001';
    END IF;
END
$function$;
