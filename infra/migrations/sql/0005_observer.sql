-- The role as which operators look: Grafana's data source signs in with a login that is a member of it. It reads every tenant's rows, of named
-- columns only: ids, states, times and counts, never what customers wrote or who they are. It changes nothing.
DO $role$
DECLARE
    observer CONSTANT name := 'agentmesh_observer';
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = observer) THEN
        BEGIN
            EXECUTE format('CREATE ROLE %I NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS', observer);
        EXCEPTION
            WHEN duplicate_object OR unique_violation THEN NULL;
            WHEN insufficient_privilege THEN
                RAISE EXCEPTION 'the database user % may not create the role %. As a user who may create roles: CREATE ROLE % NOLOGIN; '
                    'then run agentmesh migrate again.', current_user, observer, observer USING ERRCODE = 'insufficient_privilege';
        END;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = observer AND (rolsuper OR pg_has_role(oid, current_user, 'MEMBER'))) THEN
        RAISE EXCEPTION 'the role % is a superuser or a member of %: it would see and change everything', observer, current_user
            USING ERRCODE = 'insufficient_privilege';
    END IF;
END
$role$;

-- Opens the tables of one read model to the observer: all tenants, and of the columns those that are named here. A name means the same in every
-- read model; one that is not here is not shown.
CREATE OR REPLACE FUNCTION mesh.show_read_model(schema_name text) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog AS $function$
DECLARE
    shown CONSTANT text[] := '{tenant_id, request_id, task_id, agent_id, stream_id, subject_id, context, version, position, sequence, event,
        event_type, event_id, kind, task_type, category, priority, status, outcome, decision, customer_tier, tier, escalated, four_eyes,
        confidence, model, calls, input_tokens, output_tokens, cost, attempt, attempts, max_attempts, error_type, task_limit,
        approval_time_limit_hours, requests_per_minute, duration_ms, at, occurred_at, created_at, updated_at, queued_at,
        assigned_at, started_at, completed_at, ended_at, deadline_at, due_at, requested_at, remind_at, escalate_at, expires_at, reminded_at,
        escalated_at, decided_at, over_at, registered_at}';
    found record;
BEGIN
    FOR found IN
        SELECT format('%I.%I', schema_name, c.relname) AS name,
               (SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) FROM pg_attribute a
                WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attname = ANY (shown)) AS columns
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = schema_name AND c.relkind IN ('r', 'p') ORDER BY c.relname
    LOOP
        EXECUTE format('DROP POLICY IF EXISTS of_observer ON %s', found.name);
        EXECUTE format('CREATE POLICY of_observer ON %s FOR SELECT TO agentmesh_observer USING (true)', found.name);
        IF found.columns IS NOT NULL THEN
            EXECUTE format('GRANT SELECT (%s) ON %s TO agentmesh_observer', found.columns, found.name);
        END IF;
    END LOOP;
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO agentmesh_observer', schema_name);
END
$function$;
REVOKE EXECUTE ON FUNCTION mesh.show_read_model(text) FROM PUBLIC;

-- Opens one context's store: how long its log is, and of its dead letters what failed where and why, without the record itself.
CREATE OR REPLACE FUNCTION mesh.show_context(context text) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog AS $function$
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO agentmesh_observer', context);
    EXECUTE format('GRANT SELECT ON %I.log_head TO agentmesh_observer', context);
    EXECUTE format('GRANT SELECT (position, aggregate_id, type_name, topic, partition, record_offset, consumer_group, cause, error_type, '
        'attempts, handler_version, first_failed_at, status, marked_at) ON %I.dead_letters TO agentmesh_observer', context);
END
$function$;
REVOKE EXECUTE ON FUNCTION mesh.show_context(text) FROM PUBLIC;

SELECT mesh.show_context(context) FROM unnest('{requests, tasks, agents, customers, tenants}'::text[]) AS context;
GRANT USAGE ON SCHEMA mesh TO agentmesh_observer;
GRANT SELECT ON mesh.relay_positions, mesh.checkpoints, mesh.read_models TO agentmesh_observer;
GRANT SELECT (projection, context, position, aggregate_id, sequence, type_name, cause, error_type, attempts, status, parked_at)
    ON mesh.parked_events TO agentmesh_observer;
GRANT SELECT (effect_id, tenant_id, task_id, name, ordinal, rule, status, attempt, calls, outcome_from, created_at, changed_at)
    ON mesh.effects TO agentmesh_observer;
