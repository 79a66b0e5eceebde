-- Moves an effect on by whoever holds its turn, while the claim of its run is live; true also when this very step was done before.
-- The claim is locked, so that nobody takes the run over before this is committed.
WITH moved AS (
    UPDATE mesh.effects e
    SET status = %(status)s::text,
        outcome = %(outcome)s::json,
        error = coalesce(%(error)s::text, e.error),
        outcome_from = %(outcome_from)s::text,
        calls = e.calls + (%(status)s::text = 'intended')::int,
        changed_at = clock_timestamp()
    FROM (
        SELECT r.host_id FROM mesh.task_runs r
        WHERE r.task_id = %(task_id)s::text AND r.attempt = %(attempt)s::int AND r.host_id = %(host_id)s::text
          AND r.finished_at IS NULL AND r.lease_until > clock_timestamp()
        FOR SHARE
    ) AS claim
    WHERE e.effect_id = %(effect_id)s::text AND e.turn = %(turn)s::text AND e.host_id = claim.host_id AND e.attempt = %(attempt)s::int
      AND (e.status = 'probing' OR e.status = 'intended' AND %(status)s::text <> 'intended')
    RETURNING 1
)
SELECT EXISTS (SELECT FROM moved)
    OR EXISTS (
        SELECT FROM mesh.effects e
        WHERE e.effect_id = %(effect_id)s::text AND e.turn = %(turn)s::text AND e.status = %(status)s::text
    )
