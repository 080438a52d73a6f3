-- Logs: what Functions wrote while they ran, and the periodic tasks. An executor of Functions adds entries by
-- add_log().

-- An entry is history: its Function, Build and Deployment may have been deleted. It is deleted with its
-- Environment, or when it is old. The key begins with the time, so that a range of times is a range of keys.
-- date_created is the same time; its index finds old entries of all Environments.
CREATE TABLE serverless.logs (
    service_id     uuid        NOT NULL,
    environment_id uuid        NOT NULL,
    id             uuid        NOT NULL,
    build_id       uuid,       -- deployed when the entry was added, as is deployment_id
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

-- add_log() has an Environment's SID, and not its Service's.
CREATE INDEX environments_id ON serverless.environments (id);


-- Adding ---------------------------------------------------------------------------------------

-- Returns the uuid in a SID of the kind `prefix`. Raises an error that names the parameter if it is no such
-- SID.
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

-- Adds an entry to the log of an Environment and returns its SID. The entry has the Build and the Deployment
-- that the Environment has now, and a new request_sid unless the caller gives one. A time in the future
-- counts as now, so that clocks need not agree. Raises 22023 (invalid_parameter_value) for an argument that
-- is not valid, and P0002 (no_data_found) if there is no such Environment, or no such Function in its
-- Service.
--
-- Runs with the rights of the schema's owner, because an executor has no right but to call this function.
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

-- Returns the times between which a list shows entries, and the first and last key between them. start_date is
-- a day ago if it is NULL, end_date is now. A time includes all of the second, or the part of a second, that
-- it names: 20:00:00Z as end_date includes every entry whose date_created the API shows as 20:00:00Z.
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

-- Returns an entry as the API shows it.
CREATE FUNCTION serverless.log_resource(account_id uuid, service_id uuid, environment_id uuid,
                                        l serverless.logs)
RETURNS TABLE (sid uuid, account_sid uuid, service_sid uuid, environment_sid uuid, build_sid uuid,
               deployment_sid uuid, function_sid uuid, request_sid uuid, level text, message text,
               date_created bigint)
LANGUAGE sql STABLE ROWS 1 AS $$
    SELECT l.id, account_id, service_id, environment_id, l.build_id, l.deployment_id, l.function_id,
           l.request_id, l.level, l.message, serverless.epoch(l.date_created)
$$;


-- Maintenance ----------------------------------------------------------------------------------

-- The tasks that httpd's children do periodically: how often, and when each was last begun. The child that
-- sets the date of a task that is due does the task. (014_names.sql renames the table to maintenance.)
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
