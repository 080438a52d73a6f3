-- Domains: what httpd reads to answer a request to an Environment's domain, and the lease under which its nodes
-- use what they have read. docs/execution.md explains the lease.

-- Times in milliseconds. A node uses a route for route_lease after it was read; an answer that reveals a change
-- of a route waits for route_wait after the change. route_wait is never less than route_lease.
ALTER TABLE serverless.settings
    ADD COLUMN route_lease         int NOT NULL DEFAULT 0 CHECK (route_lease BETWEEN 0 AND 10000),
    ADD COLUMN route_wait          int NOT NULL DEFAULT 0 CHECK (route_wait BETWEEN 0 AND 10000),
    -- what both are to become; NULL: nobody has chosen
    ADD COLUMN route_lease_wanted  int CHECK (route_lease_wanted BETWEEN 0 AND 10000),
    -- while the lease is lengthened: the transactions that may have read the old route_wait
    ADD COLUMN route_wait_readers  text[],
    ADD COLUMN route_lease_changed timestamptz;

-- Returns the running transactions of other sessions that read settings, as pg_locks names them. A statement
-- takes its lock on the table before its snapshot.
CREATE FUNCTION serverless.settings_readers() RETURNS text[]
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(array_agg(DISTINCT l.virtualtransaction), '{}')
      FROM pg_locks AS l
     WHERE l.locktype = 'relation' AND l.relation = 'serverless.settings'::regclass
       AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
       AND l.pid IS DISTINCT FROM pg_backend_pid()
$$;

-- Goes one step towards route_lease_wanted, and returns whether route_lease and route_wait are equal to it. Each
-- call must be a transaction of its own. Callers repeat it, some times a second.
--
-- To lengthen the lease: (1) route_wait grows; (2) the transactions that may have read the old route_wait are
-- noted; (3) when all of them have ended, route_lease grows. To shorten it: (1) route_lease shrinks; (2) after
-- the old lease, and a second for the clock, route_wait shrinks.
CREATE FUNCTION serverless.advance_route_lease() RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    s serverless.settings;
BEGIN
    SELECT * INTO s FROM serverless.settings FOR UPDATE;
    IF s.route_wait < s.route_lease_wanted THEN
        UPDATE serverless.settings
           SET route_wait = s.route_lease_wanted, route_wait_readers = NULL;
    ELSIF s.route_lease < s.route_lease_wanted THEN
        IF s.route_wait_readers IS NULL THEN
            UPDATE serverless.settings SET route_wait_readers = serverless.settings_readers();
        ELSIF NOT s.route_wait_readers && serverless.settings_readers() THEN
            UPDATE serverless.settings
               SET route_lease = s.route_lease_wanted, route_wait_readers = NULL,
                   route_lease_changed = clock_timestamp();
        END IF;
    ELSIF s.route_lease > s.route_lease_wanted THEN
        UPDATE serverless.settings
           SET route_lease = s.route_lease_wanted, route_wait_readers = NULL,
               route_lease_changed = clock_timestamp();
    ELSIF s.route_wait > s.route_lease_wanted
          AND clock_timestamp() > s.route_lease_changed + interval '1 second'
                                  + s.route_wait * interval '1 millisecond' THEN
        UPDATE serverless.settings SET route_wait = s.route_lease_wanted;
    END IF;
    RETURN (SELECT s.route_lease_wanted IS NULL
                   OR (now.route_lease, now.route_wait) = (s.route_lease_wanted, s.route_lease_wanted)
              FROM serverless.settings AS now);
END
$$;

-- Chooses the lease, for serverless-admin, which then calls advance_route_lease() until it returns true.
CREATE FUNCTION serverless.choose_route_lease(milliseconds int) RETURNS void
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
    UPDATE serverless.settings SET route_lease_wanted = milliseconds
$$;

-- Does the same for an httpd that serves domains: a lease of 50 ms, unless one was chosen.
CREATE FUNCTION serverless.begin_route_lease() RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE serverless.settings SET route_lease_wanted = 50 WHERE route_lease_wanted IS NULL;
    RETURN serverless.advance_route_lease();
END
$$;


-- Routes ------------------------------------------------------------------------------------------

-- Changes whenever a Variable of the Environment is created, changed or deleted: caches of Variables are by it.
-- httpd's role may not write it.
ALTER TABLE serverless.environments ADD COLUMN context_tag uuid NOT NULL DEFAULT gen_random_uuid();

CREATE FUNCTION serverless.renew_context_tag() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE serverless.environments AS e SET context_tag = gen_random_uuid()
     WHERE (e.service_id, e.id) = (NEW.service_id, NEW.environment_id);
    IF TG_OP <> 'INSERT' THEN
        UPDATE serverless.environments AS e SET context_tag = gen_random_uuid()
         WHERE (e.service_id, e.id) = (OLD.service_id, OLD.environment_id)
           AND (OLD.service_id, OLD.environment_id) IS DISTINCT FROM
               (NEW.service_id, NEW.environment_id);
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER variables_come_or_go AFTER INSERT OR DELETE ON serverless.variables
    FOR EACH ROW EXECUTE FUNCTION serverless.renew_context_tag();

-- Another key of encryption (variable_reseal) leaves date_updated, and the value, as they are.
CREATE TRIGGER variables_change AFTER UPDATE ON serverless.variables
    FOR EACH ROW WHEN (OLD.date_updated IS DISTINCT FROM NEW.date_updated)
    EXECUTE FUNCTION serverless.renew_context_tag();

-- Returns an Environment's route: what decides about a request to its domain. No row for NULL.
CREATE FUNCTION serverless.route_of(e serverless.environments)
RETURNS TABLE (environment_id uuid, service_id uuid, account_id uuid, build_id uuid,
               deployment_id uuid, context_tag uuid, is_suspended boolean,
               include_credentials boolean)
LANGUAGE sql STABLE ROWS 1 AS $$
    SELECT e.id, e.service_id, s.account_id, e.build_id,
           (SELECT d.id FROM serverless.deployments AS d
             WHERE d.service_id = e.service_id AND d.environment_id = e.id
             ORDER BY d.id DESC LIMIT 1),
           e.context_tag, a.date_suspended IS NOT NULL, s.include_credentials
      FROM serverless.services AS s
      JOIN serverless.accounts AS a ON a.id = s.account_id
     WHERE s.id = e.service_id
$$;

INSERT INTO serverless.executable VALUES ('begin_route_lease'), ('route_of');
