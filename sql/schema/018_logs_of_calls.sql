-- Logs of calls: the entries that httpd itself adds, in batches, after its Functions have run. Other executors
-- add theirs by add_log().

-- Adds entries and returns how many were new. `entries` is an array of objects with the properties of a Log, as
-- the API shows them; date_created is taken from the SID, which begins with the time. httpd makes the SIDs: a
-- batch whose answer was lost can be sent again, and adds nothing twice.
--
-- Entries of an Environment that is not in the Service, because it was deleted, and those of a Function that is
-- not, are dropped; a Build or a Deployment that is not is NULL in the entry. A message is cut to what a Log can
-- have. Raises an error where an entry has no such form.
--
-- Runs with the rights of the schema's owner: httpd's role may not insert.
CREATE FUNCTION serverless.add_logs(entries jsonb) RETURNS int
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    added int;
BEGIN
    -- the Environments are there until this transaction ends
    PERFORM 1 FROM serverless.environments AS e
      WHERE e.id = ANY (ARRAY(SELECT serverless.id_in(entry ->> 'environment_sid', 'ZE', 'environment_sid')
                                FROM jsonb_array_elements(entries) AS entry))
        FOR KEY SHARE OF e;
    INSERT INTO serverless.logs AS l
           (service_id, environment_id, id, build_id, deployment_id, function_id, request_id, level,
            message, date_created)
    SELECT e.service_id, e.id, given.id, b.id, d.id, f.id, given.request, given.level,
           left(given.message, 10000),
           '1970-01-01Z'::timestamptz
           + ('x00' || left(replace(given.id::text, '-', ''), 14))::bit(64)::bigint
             * interval '1 microsecond'
      FROM (SELECT serverless.id_in(entry ->> 'sid', 'NO', 'sid') AS id,
                   serverless.id_in(entry ->> 'service_sid', 'ZS', 'service_sid') AS service,
                   serverless.id_in(entry ->> 'environment_sid', 'ZE', 'environment_sid') AS environment,
                   serverless.id_in(entry ->> 'function_sid', 'ZH', 'function_sid') AS function,
                   serverless.id_in(entry ->> 'request_sid', 'RQ', 'request_sid') AS request,
                   CASE WHEN entry ->> 'build_sid' IS NOT NULL
                        THEN serverless.id_in(entry ->> 'build_sid', 'ZB', 'build_sid') END AS build,
                   CASE WHEN entry ->> 'deployment_sid' IS NOT NULL
                        THEN serverless.id_in(entry ->> 'deployment_sid', 'ZD', 'deployment_sid') END
                       AS deployment,
                   entry ->> 'level' AS level, entry ->> 'message' AS message
              FROM jsonb_array_elements(entries) AS entry) AS given
      JOIN serverless.environments AS e
             ON e.service_id = given.service AND e.id = given.environment
      JOIN serverless.artifacts AS f
             ON f.service_id = e.service_id AND f.kind = 'function' AND f.id = given.function
      LEFT JOIN serverless.builds AS b ON b.service_id = e.service_id AND b.id = given.build
      LEFT JOIN serverless.deployments AS d
             ON d.service_id = e.service_id AND d.environment_id = e.id AND d.id = given.deployment
        ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS added = ROW_COUNT;
    RETURN added;
END
$$;

INSERT INTO serverless.executable VALUES ('add_logs');
