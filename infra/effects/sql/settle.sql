-- Settles an interrupted effect by a person's word: with its outcome, or as not done. Not while a live run may still be at it.
-- Its turn ends, so that a paused process cannot take the person's word for its own.
UPDATE mesh.effects
SET status = CASE WHEN %(outcome)s::json IS NULL THEN 'failed' ELSE 'recorded' END,
    outcome = %(outcome)s::json,
    outcome_from = CASE WHEN %(outcome)s::json IS NULL THEN NULL ELSE 'person' END,
    settlements = settlements || jsonb_build_object(
        'who', %(who)s::text, 'why', %(why)s::text, 'at', clock_timestamp(), 'done', %(outcome)s::json IS NOT NULL
    ),
    turn = '',
    changed_at = clock_timestamp()
WHERE effect_id = %(effect_id)s::text
  AND (status IN ('interrupted', 'waiting') OR status IN ('intended', 'probing') AND NOT mesh.run_is_held(task_id, attempt, host_id))
RETURNING 1
