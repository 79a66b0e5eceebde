-- Row-level security of the read models: the role as which the gateway reads, and the function that protects the tables of one read model.
-- A role is of the whole cluster, so it may be there already, or be made by the migration of another database at this moment.
DO $role$
DECLARE
    reader CONSTANT name := 'agentmesh_reader';
    advice CONSTANT text := format(
        'As a user who may create roles: CREATE ROLE %I NOLOGIN; GRANT %1$I TO %I; then run agentmesh migrate again.', reader, current_user);
    -- PostgreSQL 15 tells membership and the right to act as the role not apart.
    is_15 CONSTANT boolean := current_setting('server_version_num')::int < 160000;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = reader) THEN
        BEGIN
            EXECUTE format('CREATE ROLE %I NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS', reader);
        EXCEPTION
            WHEN duplicate_object OR unique_violation THEN NULL;
            WHEN insufficient_privilege THEN
                RAISE EXCEPTION 'the database user % may not create the role %. %', current_user, reader, advice
                    USING ERRCODE = 'insufficient_privilege';
        END;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = reader AND (rolsuper OR rolbypassrls OR pg_has_role(oid, current_user, 'MEMBER'))) THEN
        RAISE EXCEPTION 'the role % is a superuser, has BYPASSRLS or is a member of %: it would see every tenant', reader, current_user
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    -- Who migrates runs the workers too, and the gateway's sessions put their role down to the reader's.
    IF NOT pg_has_role(current_user, reader, CASE WHEN is_15 THEN 'MEMBER' ELSE 'SET' END) THEN
        BEGIN
            EXECUTE format('GRANT %I TO %I', reader, current_user) || CASE WHEN is_15 THEN '' ELSE ' WITH INHERIT FALSE, SET TRUE' END;
        EXCEPTION
            WHEN duplicate_object OR unique_violation THEN NULL;
            WHEN insufficient_privilege THEN
                RAISE EXCEPTION 'the database user % may not act as the role %. %', current_user, reader, advice
                    USING ERRCODE = 'insufficient_privilege';
        END;
    END IF;
END
$role$;

-- The owner, which the workers are, sees and changes all: a policy that is always true is planned away. The reader sees the rows of the
-- tenant that its transaction has set, and none where it has set none; a table without tenants it does not see at all.
CREATE OR REPLACE FUNCTION mesh.protect_read_model(schema_name text) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog AS $function$
DECLARE
    found record;
BEGIN
    FOR found IN
        SELECT format('%I.%I', schema_name, c.relname) AS name, pg_get_userbyid(c.relowner) AS owner,
               EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped) AS of_tenants
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = schema_name AND c.relkind IN ('r', 'p') ORDER BY c.relname
    LOOP
        EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', found.name);
        EXECUTE format('DROP POLICY IF EXISTS of_owner ON %s', found.name);
        EXECUTE format('CREATE POLICY of_owner ON %s TO %I USING (true) WITH CHECK (true)', found.name, found.owner);
        IF found.of_tenants THEN
            EXECUTE format('DROP POLICY IF EXISTS of_tenant ON %s', found.name);
            EXECUTE format('CREATE POLICY of_tenant ON %s FOR SELECT TO agentmesh_reader '
                'USING (tenant_id = current_setting(''agentmesh.tenant_id'', true))', found.name);
            EXECUTE format('GRANT SELECT ON %s TO agentmesh_reader', found.name);
            EXECUTE format('GRANT USAGE ON SCHEMA %I TO agentmesh_reader', schema_name);
        END IF;
    END LOOP;
END
$function$;
REVOKE EXECUTE ON FUNCTION mesh.protect_read_model(text) FROM PUBLIC;
