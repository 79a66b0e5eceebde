-- Who runs which attempt of a task, and what came of it. A host claims a run before it starts it, and renews its claims in bulk.
CREATE TABLE mesh.task_runs (
    task_id text NOT NULL,
    attempt int NOT NULL,
    host_id text NOT NULL,
    lease_until timestamptz NOT NULL,
    result_type text,
    result jsonb,
    finished_at timestamptz,
    PRIMARY KEY (task_id, attempt)
) WITH (fillfactor = 70);
CREATE INDEX task_runs_of_host ON mesh.task_runs (host_id) WHERE finished_at IS NULL;

-- Claims runs: answers for each whether it may start ('claimed'), was finished before (with its result), or is held by a live host ('held').
-- A lease that ran out is taken over; a host gets its own runs again, because it asks only when it does not run them.
CREATE FUNCTION mesh.claim_runs(ids text[], attempts int[], host text, lease_seconds double precision)
RETURNS TABLE (task_id text, attempt int, answer text, result_type text, result jsonb) LANGUAGE sql AS $function$
    WITH wanted AS (
        SELECT w.id, w.attempt FROM unnest(ids, attempts) AS w (id, attempt) ORDER BY w.id, w.attempt
    ), claimed AS (
        INSERT INTO mesh.task_runs AS r (task_id, attempt, host_id, lease_until)
        SELECT w.id, w.attempt, host, clock_timestamp() + make_interval(secs => lease_seconds) FROM wanted w
        ON CONFLICT (task_id, attempt) DO UPDATE SET host_id = excluded.host_id, lease_until = excluded.lease_until
        WHERE r.finished_at IS NULL AND (r.lease_until < clock_timestamp() OR r.host_id = excluded.host_id)
        RETURNING r.task_id, r.attempt
    )
    SELECT w.id, w.attempt,
           CASE WHEN c.task_id IS NOT NULL THEN 'claimed' WHEN r.finished_at IS NOT NULL THEN 'finished' ELSE 'held' END,
           r.result_type, r.result
    FROM wanted w
    LEFT JOIN claimed c ON c.task_id = w.id AND c.attempt = w.attempt
    LEFT JOIN mesh.task_runs r ON r.task_id = w.id AND r.attempt = w.attempt
$function$;
