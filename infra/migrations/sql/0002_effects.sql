-- The effects that agents made on the outside: each is intended before its call and settled after it, under the claim of its run.
--   intended     the call may be under way; without a live claim it was interrupted
--   probing      interrupted; the other side is being asked
--   interrupted  the call raised, and may have happened
--   waiting      interrupted, and its rule leaves it to a person
--   failed       nothing happened: it may be called (again)
--   recorded     it happened, this is its outcome; final
CREATE TABLE mesh.effects (
    effect_id text PRIMARY KEY,
    tenant_id text NOT NULL,
    task_id text NOT NULL,
    name text NOT NULL,
    ordinal int NOT NULL,
    input_hash text NOT NULL,
    -- Kept for a person who has to judge what happened; an effect that is simply repeated keeps only the hash.
    input json,
    rule text NOT NULL CHECK (rule IN ('repeat', 'probe', 'person')),
    status text NOT NULL CHECK (status IN ('intended', 'probing', 'interrupted', 'waiting', 'failed', 'recorded')),
    host_id text NOT NULL,
    attempt int NOT NULL,
    -- Who holds the row within its claim: each call of once() has its own turn, so that neither a repeated statement nor a paused process
    -- is taken for another.
    turn text NOT NULL,
    calls int NOT NULL,
    -- json, not jsonb: the outcome is answered as it was recorded, and may hold any character.
    outcome json,
    outcome_from text CHECK (outcome_from IN ('call', 'probe', 'person')),
    error text,
    -- Each word of a person on it: who, why, when, and whether it was done.
    settlements jsonb NOT NULL DEFAULT '[]',
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CHECK ((status = 'recorded') = (outcome IS NOT NULL))
) WITH (fillfactor = 70);
CREATE INDEX effects_of_task ON mesh.effects (task_id);
CREATE INDEX effects_unsettled ON mesh.effects (changed_at) WHERE status NOT IN ('failed', 'recorded');

-- Whether a run's claim is live: its host, its lease, its end.
CREATE FUNCTION mesh.run_is_held(id text, number int, host text) RETURNS boolean LANGUAGE sql AS $function$
    SELECT EXISTS (
        SELECT FROM mesh.task_runs r
        WHERE r.task_id = id AND r.attempt = number AND r.host_id = host AND r.finished_at IS NULL AND r.lease_until > clock_timestamp()
    )
$function$;

-- Begins an effect and answers what its run has to do: 'call' it, 'repeat' it (it was interrupted), 'probe' the other side, take what is
-- 'recorded', leave it 'waiting' for a person, wait because it is 'busy' under another live claim, or stop: its own claim is 'lost'.
-- The claim's row is locked, so that nobody takes the run over between the look and the intent. An attempt that has a successor begins
-- nothing any more, though its host may still renew its lease.
CREATE FUNCTION mesh.begin_effect(
    id text, tenant text, task text, effect_name text, number int, hash text, given json, declared text, host text, run_attempt int,
    my_turn text
) RETURNS TABLE (answer text, recorded_outcome text) LANGUAGE plpgsql AS $function$
DECLARE
    found_effect mesh.effects;
    next_status text;
BEGIN
    PERFORM FROM mesh.task_runs r
    WHERE r.task_id = task AND r.attempt = run_attempt AND r.host_id = host AND r.finished_at IS NULL
      AND r.lease_until > clock_timestamp()
      AND NOT EXISTS (SELECT FROM mesh.task_runs later WHERE later.task_id = task AND later.attempt > run_attempt)
    FOR SHARE OF r;
    IF NOT FOUND THEN
        RETURN QUERY SELECT 'lost', NULL::text;
        RETURN;
    END IF;

    INSERT INTO mesh.effects (effect_id, tenant_id, task_id, name, ordinal, input_hash, input, rule, status, host_id, attempt, turn, calls)
    VALUES (id, tenant, task, effect_name, number, hash, given, declared, 'intended', host, run_attempt, my_turn, 1)
    ON CONFLICT (effect_id) DO NOTHING;
    IF FOUND THEN
        RETURN QUERY SELECT 'call', NULL::text;
        RETURN;
    END IF;

    SELECT * INTO STRICT found_effect FROM mesh.effects e WHERE e.effect_id = id FOR UPDATE;
    IF found_effect.status = 'recorded' THEN
        RETURN QUERY SELECT 'recorded', found_effect.outcome::text;
        RETURN;
    END IF;
    IF found_effect.turn = my_turn AND found_effect.status IN ('intended', 'probing', 'waiting') THEN
        -- The same statement again: its first answer was lost on the way.
        RETURN QUERY SELECT
            CASE found_effect.status WHEN 'intended' THEN 'call' WHEN 'probing' THEN 'probe' ELSE 'waiting' END, NULL::text;
        RETURN;
    END IF;
    IF found_effect.status IN ('intended', 'probing')
       AND (found_effect.host_id, found_effect.attempt) <> (host, run_attempt)
       AND mesh.run_is_held(task, found_effect.attempt, found_effect.host_id) THEN
        RETURN QUERY SELECT 'busy', NULL::text;
        RETURN;
    END IF;

    next_status := CASE
        WHEN found_effect.status = 'failed' OR declared = 'repeat' THEN 'intended'
        WHEN declared = 'probe' THEN 'probing'
        ELSE 'waiting'
    END;
    UPDATE mesh.effects e
    SET status = next_status, rule = declared, input = coalesce(e.input, given), host_id = host, attempt = run_attempt, turn = my_turn,
        calls = e.calls + (next_status = 'intended')::int, changed_at = clock_timestamp()
    WHERE e.effect_id = id;
    RETURN QUERY SELECT
        CASE
            WHEN found_effect.status = 'failed' THEN 'call'
            WHEN next_status = 'intended' THEN 'repeat'
            WHEN next_status = 'probing' THEN 'probe'
            ELSE 'waiting'
        END,
        NULL::text;
END
$function$;
