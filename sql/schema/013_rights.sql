-- What the schema's functions find when a session has other ideas of it, and what httpd's role may write,
-- column by column.

-- Which columns httpd's statements write. A row lock (FOR UPDATE, FOR KEY SHARE) needs the right to update
-- one column: where a table's rows never change, a trigger refuses to update that column.
UPDATE serverless.privileges AS p
   SET privilege = new.privilege
  FROM (VALUES
        ('services',
         'SELECT, INSERT, UPDATE (friendly_name, include_credentials, ui_editable, date_updated), DELETE'),
        ('artifacts',
         'SELECT, INSERT, UPDATE (friendly_name, date_updated), DELETE'),
        ('contents',
         'SELECT, INSERT, UPDATE (size)'),
        ('builds',
         'SELECT, INSERT (service_id, id, status, runtime, dependencies, date_created, date_updated), '
         'UPDATE (status, failure_reason, attempts, lease_token, lease_expires, date_updated), DELETE'),
        ('environments',
         'SELECT, INSERT (service_id, id, unique_name, domain_suffix, date_created, date_updated), '
         'UPDATE (build_id, date_updated), DELETE'),
        ('idempotency_keys',
         'SELECT, INSERT (account_id, key_hash, fingerprint, date_created), '
         'UPDATE (service_id, resource_id, date_created), DELETE'),
        ('logs',
         'SELECT, UPDATE (message), DELETE'),
        ('upkeep',
         'SELECT, UPDATE (date_begun)'),
        ('variables',
         'SELECT, INSERT, UPDATE (key, sealed_with, sealed, date_updated), DELETE'))
       AS new (relation, privilege)
 WHERE p.relation = new.relation AND p.duty = 'httpd';

-- Gives each remembered role what its duties need, and takes from it and from PUBLIC whatever else they may
-- do in the schema: an earlier version's privileges, and what default privileges have added. A role that
-- was dropped is passed over, and the schema's owner keeps what it has.
CREATE OR REPLACE FUNCTION serverless.refresh_grants() RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    grantee   record;
    privilege record;
    routine   record;
BEGIN
    FOR grantee IN SELECT 'PUBLIC' AS name
                    UNION ALL
                   SELECT DISTINCT format('%I', g.role) FROM serverless.grantees AS g
                     JOIN pg_roles AS r ON r.rolname = g.role
                    WHERE g.role <> current_user LOOP
        EXECUTE format('REVOKE ALL ON SCHEMA serverless FROM %s', grantee.name);
        EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA serverless FROM %s', grantee.name);
        EXECUTE format('REVOKE ALL ON ALL SEQUENCES IN SCHEMA serverless FROM %s', grantee.name);
        EXECUTE format('REVOKE ALL ON ALL ROUTINES IN SCHEMA serverless FROM %s', grantee.name);
    END LOOP;
    FOR grantee IN SELECT g.role, g.duty FROM serverless.grantees AS g
                     JOIN pg_roles AS r ON r.rolname = g.role LOOP
        EXECUTE format('GRANT USAGE ON SCHEMA serverless TO %I', grantee.role);
        FOR privilege IN SELECT * FROM serverless.privileges AS p WHERE p.duty = grantee.duty LOOP
            EXECUTE format('GRANT %s ON serverless.%I TO %I',
                           privilege.privilege, privilege.relation, grantee.role);
        END LOOP;
        FOR routine IN SELECT p.oid::regprocedure AS signature
                         FROM pg_proc AS p
                         JOIN serverless.executable AS e ON e.function = p.proname
                        WHERE p.pronamespace = 'serverless'::regnamespace
                          AND e.duty = grantee.duty LOOP
            EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %I', routine.signature, grantee.role);
        END LOOP;
    END LOOP;
END
$$;

-- Gives a role a duty. It must be there, which refresh_grants does not ask.
CREATE OR REPLACE FUNCTION serverless.grant_access(role name, duty text DEFAULT 'httpd') RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM format('%I', role)::regrole;
    INSERT INTO serverless.grantees VALUES (role, duty) ON CONFLICT DO NOTHING;
    PERFORM serverless.refresh_grants();
END
$$;

-- A function without a search_path of its own takes the session's, and so would find the types, tables and
-- operators of whoever set that. Functions that run with the owner's rights must not: SECURITY DEFINER ones,
-- triggers, which a foreign key's cascade fires as the owner, and what these call. PL/pgSQL keeps the types of a
-- function's variables for the session, so a function that was first called from outside matters, too.
-- pg_temp is named, because PostgreSQL otherwise searches it first for types and tables.
--
-- Left out are the functions in SQL that httpd's statements call: with a setting of its own, a function is not
-- inlined. They keep nothing between calls, and have the search_path of the statement or function around them,
-- which is one of these two: httpd's sessions begin by setting the same one (session_begin).
--
-- A function that is made or replaced in a later file says the same in its CREATE FUNCTION.
DO $$
DECLARE
    routine record;
BEGIN
    FOR routine IN SELECT p.oid::regprocedure AS signature
                     FROM pg_proc AS p
                     JOIN pg_language AS l ON l.oid = p.prolang
                    WHERE p.pronamespace = 'serverless'::regnamespace
                      AND (l.lanname <> 'sql' OR p.prosecdef
                           OR p.proname NOT IN (SELECT e.function FROM serverless.executable AS e
                                                 WHERE e.duty = 'httpd')) LOOP
        EXECUTE format('ALTER FUNCTION %s SET search_path = pg_catalog, pg_temp', routine.signature);
    END LOOP;
END
$$;
