-- Effects by a filter, the newest change first; a null parameter does not filter. One whose run's claim is gone was interrupted.
SELECT effect_id, tenant_id, task_id, name, ordinal, input_hash, input::text, rule, state, host_id, attempt, calls, outcome::text,
       outcome_from, error, settlements, created_at, changed_at
FROM (
    SELECT e.*,
           CASE
               WHEN e.status IN ('intended', 'probing') AND NOT mesh.run_is_held(e.task_id, e.attempt, e.host_id) THEN 'interrupted'
               ELSE e.status
           END AS state
    FROM mesh.effects e
    WHERE (%(effect_id)s::text IS NULL OR e.effect_id = %(effect_id)s::text)
      AND (%(task_id)s::text IS NULL OR e.task_id = %(task_id)s::text)
      AND (%(tenant_id)s::text IS NULL OR e.tenant_id = %(tenant_id)s::text)
) AS found
WHERE %(statuses)s::text[] IS NULL OR state = ANY (%(statuses)s::text[])
ORDER BY changed_at DESC, effect_id
LIMIT %(limit)s::bigint
