-- Logs: what Functions said while they ran. Whatever runs them adds entries by add_log().

-- Entries are history: the Function, Build and Deployment that one names may be gone. They go with
-- their Environment, or when they are old. The key tells the time, so that a range of times is one of
-- keys; date_created is the same time, for those who look for old entries of all Environments.
CREATE TABLE serverless.logs (
    service_id     uuid        NOT NULL,
    environment_id uuid        NOT NULL,
    id             uuid        NOT NULL,
    build_id       uuid,       -- what was deployed when the entry was added
    deployment_id  uuid,
    function_id    uuid        NOT NULL,
    request_id     uuid        NOT NULL,
    level          text        NOT NULL CHECK (char_length(level) BETWEEN 1 AND 32),
    message        text        NOT NULL CHECK (char_length(message) <= 10000),
    date_created   timestamptz NOT NULL,
    PRIMARY KEY (service_id, environment_id, id),
    FOREIGN KEY (service_id, environment_id) REFERENCES serverless.environments ON DELETE CASCADE
);

CREATE INDEX logs_function ON serverless.logs (service_id, environment_id, function_id, id);
CREATE INDEX logs_date_created ON serverless.logs (date_created);

ALTER TABLE serverless.logs ALTER COLUMN message SET COMPRESSION lz4;

CREATE TRIGGER logs_are_final BEFORE UPDATE ON serverless.logs
    FOR EACH ROW EXECUTE FUNCTION serverless.refuse_change();

-- Who adds entries knows an Environment by its SID alone.
CREATE INDEX environments_id ON serverless.environments (id);


-- Adding ---------------------------------------------------------------------------------------

-- The uuid in a SID of the kind `prefix`; what is not one is refused by the name of its parameter.
CREATE FUNCTION serverless.id_in(sid text, prefix text, parameter text) RETURNS uuid
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF sid IS NULL OR sid !~ ('^' || prefix || '[0-9A-Fa-f]{32}$') THEN
        RAISE EXCEPTION '% must be a SID that begins with %', parameter, prefix
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    RETURN substr(sid, 3)::uuid;
END
$$;

CREATE FUNCTION serverless.check_log(level text, message text, at timestamptz) RETURNS void
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    complaint text := CASE
        WHEN level IS NULL OR char_length(level) NOT BETWEEN 1 AND 32 OR level ~ '[[:cntrl:]]'
        THEN 'level must have 1 to 32 characters, and no control characters'
        WHEN message IS NULL OR char_length(message) > 10000
        THEN 'message must have at most 10000 characters'
        WHEN at < '1970-01-01Z'
        THEN 'at must not be before 1970'
    END;
BEGIN
    IF complaint IS NOT NULL THEN
        RAISE EXCEPTION '%', complaint USING ERRCODE = 'invalid_parameter_value';
    END IF;
END
$$;

-- Adds an entry to the log of an Environment and returns its SID. It records the Build and the
-- Deployment that are there now. Without request_sid it gets one of its own; a time that has not come
-- yet counts as now, so that clocks need not agree. What is wrong with an argument is SQLSTATE 22023;
-- an Environment that is not there, or a Function not in its Service, is P0002 (no_data_found).
--
-- An executor may do this and nothing else, so it is done with the rights of the schema's owner.
CREATE FUNCTION serverless.add_log(environment_sid text, function_sid text, level text, message text,
                                   request_sid text DEFAULT NULL,
                                   at timestamptz DEFAULT clock_timestamp())
RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
    environment uuid := serverless.id_in(environment_sid, 'ZE', 'environment_sid');
    function    uuid := serverless.id_in(function_sid, 'ZH', 'function_sid');
    request     uuid := CASE WHEN request_sid IS NULL THEN gen_random_uuid()
                             ELSE serverless.id_in(request_sid, 'RQ', 'request_sid') END;
    current     record;
    identity    record;
BEGIN
    PERFORM serverless.check_log(level, message, at);
    SELECT e.service_id, e.build_id,
           (SELECT d.id FROM serverless.deployments AS d
             WHERE d.service_id = e.service_id AND d.environment_id = e.id
             ORDER BY d.id DESC LIMIT 1) AS deployment_id,
           (SELECT f.id FROM serverless.artifacts AS f
             WHERE f.service_id = e.service_id AND f.kind = 'function' AND f.id = function)
               AS function_id
      INTO current
      FROM serverless.environments AS e WHERE e.id = environment
       FOR KEY SHARE OF e; -- it is there until this transaction ends
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no Environment %', environment_sid USING ERRCODE = 'no_data_found';
    ELSIF current.function_id IS NULL THEN
        RAISE EXCEPTION 'there is no Function % in the Service of the Environment', function_sid
            USING ERRCODE = 'no_data_found';
    END IF;

    SELECT * INTO identity FROM serverless.new_identity();
    IF at < identity.made THEN
        identity.made := at;
        identity.id := serverless.key_at(at, right(replace(identity.id::text, '-', ''), 18));
    END IF;
    INSERT INTO serverless.logs
    VALUES (current.service_id, environment, identity.id, current.build_id, current.deployment_id,
            function, request, level, message, identity.made);
    RETURN serverless.sid('NO', identity.id);
END
$$;


-- Reading --------------------------------------------------------------------------------------

-- The times between which a list shows entries, as it got them or, where it got none, one day ago and
-- now; and the first and last key that is between them. A time means all of what it names: EndDate
-- 20:00:00Z takes in the whole of that second, which is what date_created shows of its entries.
CREATE FUNCTION serverless.log_window(start_date text, end_date text)
RETURNS TABLE (start_date text, end_date text, first_id uuid, last_id uuid)
LANGUAGE sql STABLE ROWS 1 AS $$
    SELECT bounds.first, bounds.last,
           serverless.key_at(bounds.first::timestamptz, repeat('0', 18)),
           serverless.key_at((left(bounds.last, -1) || substr('.999999', length(bounds.last) - 19)
                              || 'Z')::timestamptz, repeat('f', 18))
      FROM (SELECT coalesce($1, to_char((statement_timestamp() - interval '1 day')
                                        AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')),
                   coalesce($2, to_char(statement_timestamp()
                                        AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')))
        AS bounds (first, last)
$$;

-- An entry as the API shows it.
CREATE FUNCTION serverless.log_resource(account_id uuid, service_id uuid, environment_id uuid,
                                        l serverless.logs)
RETURNS TABLE (sid uuid, account_sid uuid, service_sid uuid, environment_sid uuid, build_sid uuid,
               deployment_sid uuid, function_sid uuid, request_sid uuid, level text, message text,
               date_created bigint)
LANGUAGE sql STABLE ROWS 1 AS $$
    SELECT l.id, account_id, service_id, environment_id, l.build_id, l.deployment_id, l.function_id,
           l.request_id, l.level, l.message, serverless.epoch(l.date_created)
$$;


-- Upkeep ---------------------------------------------------------------------------------------

-- What httpd's children do in the background, how often, and when it was last begun. Who finds a task
-- due and sets its date does it.
CREATE TABLE serverless.upkeep (
    task       text        PRIMARY KEY,
    period     interval    NOT NULL,
    date_begun timestamptz NOT NULL DEFAULT '-infinity'
);

INSERT INTO serverless.upkeep VALUES
    ('expire_logs',             '1 minute'),
    ('expire_idempotency_keys', '10 minutes');

INSERT INTO serverless.privileges VALUES
    ('logs',   'SELECT, UPDATE, DELETE'), -- UPDATE for row locks; its trigger refuses more
    ('upkeep', 'SELECT, UPDATE');
INSERT INTO serverless.executable VALUES
    ('log_window'), ('log_resource');
INSERT INTO serverless.executable VALUES ('add_log', 'executor');
