-- Taking away again: API keys, accounts with all that they have, and the access of a role.

-- Deletes an API key. A revoked key stays in the list of keys; a deleted one is gone.
CREATE FUNCTION serverless.delete_api_key(key_sid text) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    DELETE FROM serverless.credentials WHERE sid = key_sid AND sid LIKE 'SK%';
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no API key %', key_sid USING ERRCODE = 'no_data_found';
    END IF;
END
$$;

-- Does one step of deleting an account, and returns whether the account is gone. A step deletes at most `max_rows`
-- entries of logs or idempotency keys, one Environment, a tenth of `max_rows` Builds, a tenth of `max_rows` Functions
-- and Assets, or a Service that has little left. The account must be suspended, so that no client adds anything.
CREATE FUNCTION serverless.delete_account_step(account_sid text, max_rows int DEFAULT 1000) RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    account uuid := serverless.account_id(account_sid);
    service uuid;
BEGIN
    IF (SELECT a.date_suspended IS NULL FROM serverless.accounts AS a WHERE a.id = account FOR UPDATE) THEN
        RAISE EXCEPTION 'the account % is active: suspend it first', account_sid
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    SELECT s.id INTO service FROM serverless.services AS s WHERE s.account_id = account ORDER BY s.id LIMIT 1;
    IF service IS NULL THEN
        DELETE FROM serverless.idempotency_keys AS k
         WHERE k.ctid = ANY (ARRAY(SELECT i.ctid FROM serverless.idempotency_keys AS i
                                    WHERE i.account_id = account LIMIT max_rows));
        IF FOUND THEN
            RETURN false;
        END IF;
        DELETE FROM serverless.accounts WHERE id = account;
        RETURN true;
    END IF;
    DELETE FROM serverless.logs AS l
     WHERE l.service_id = service
       AND l.ctid = ANY (ARRAY(SELECT i.ctid FROM serverless.logs AS i WHERE i.service_id = service LIMIT max_rows));
    IF FOUND THEN
        RETURN false;
    END IF;
    DELETE FROM serverless.environments AS e
     WHERE e.service_id = service
       AND e.id = (SELECT i.id FROM serverless.environments AS i WHERE i.service_id = service ORDER BY i.id LIMIT 1);
    IF FOUND THEN
        RETURN false;
    END IF;
    -- Builds that are building go with the Service: until then, a worker may have them
    DELETE FROM serverless.builds AS b
     WHERE b.service_id = service
       AND b.id = ANY (ARRAY(SELECT i.id FROM serverless.builds AS i
                              WHERE i.service_id = service AND i.status <> 'building' LIMIT greatest(max_rows / 10, 1)));
    IF FOUND THEN
        RETURN false;
    END IF;
    IF NOT EXISTS (SELECT FROM serverless.builds AS b WHERE b.service_id = service) THEN
        DELETE FROM serverless.artifacts AS a
         WHERE a.service_id = service
           AND a.id = ANY (ARRAY(SELECT i.id FROM serverless.artifacts AS i
                                  WHERE i.service_id = service LIMIT greatest(max_rows / 10, 1)));
        IF FOUND THEN
            RETURN false;
        END IF;
    END IF;
    DELETE FROM serverless.services WHERE id = service;
    RETURN false;
END
$$;

-- Takes all duties from a role, and all rights in the schema: the role can be dropped then, as far as this schema is
-- concerned. A role that was dropped is forgotten.
CREATE FUNCTION serverless.revoke_access(role_name name) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF role_name = current_user THEN
        RAISE EXCEPTION '% owns the schema, and keeps its rights', role_name
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    DELETE FROM serverless.grantees AS g WHERE g.role = role_name;
    IF NOT FOUND AND NOT EXISTS (SELECT FROM pg_roles AS r WHERE r.rolname = role_name) THEN
        RAISE EXCEPTION 'there is no role %', role_name USING ERRCODE = 'undefined_object';
    END IF;
    IF EXISTS (SELECT FROM pg_roles AS r WHERE r.rolname = role_name) THEN
        EXECUTE format('REVOKE ALL ON SCHEMA serverless FROM %I', role_name);
        EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA serverless FROM %I', role_name);
        EXECUTE format('REVOKE ALL ON ALL SEQUENCES IN SCHEMA serverless FROM %I', role_name);
        EXECUTE format('REVOKE ALL ON ALL ROUTINES IN SCHEMA serverless FROM %I', role_name);
    END IF;
END
$$;

-- Figures for "serverless-admin status", a row each.
CREATE FUNCTION serverless.status() RETURNS TABLE (name text, value text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT 'schema', max(version)::text FROM serverless.schema_migrations
     UNION ALL SELECT 'roles', coalesce(string_agg(g.role || ' (' || g.duty || ')', ', ' ORDER BY g.role, g.duty), 'none')
                 FROM serverless.grantees AS g
     UNION ALL SELECT 'accounts', count(*) || ', suspended ' || count(date_suspended) FROM serverless.accounts
     UNION ALL SELECT 'services', count(*)::text FROM serverless.services
     UNION ALL SELECT 'environments', count(*) || ', with a Build ' || count(build_id) FROM serverless.environments
     UNION ALL SELECT 'builds waiting', count(*) || coalesce(', the oldest since '
                      || to_char(min(date_created) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), '')
                 FROM serverless.builds WHERE status = 'building'
     UNION ALL SELECT 'maintenance ' || task, CASE WHEN date_begun = '-infinity' THEN 'never'
                      ELSE to_char(date_begun AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') END
                 FROM serverless.maintenance
     UNION ALL SELECT 'size of the schema', pg_size_pretty(sum(pg_total_relation_size(c.oid)))
                 FROM pg_class AS c WHERE c.relnamespace = 'serverless'::regnamespace AND c.relkind IN ('r', 'm')
$$;
