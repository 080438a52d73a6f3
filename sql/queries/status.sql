-- The state of the database, for readiness and metrics. ../README.md explains what all query files share.

-- Reads how many Builds wait for a worker, up to 10,000, and for how many seconds the oldest one does; whether a value
-- is encrypted with a key that is not among `key_ids`; the lease of routes in milliseconds; and in a row each, the tasks
-- of maintenance and when they began last, in seconds since 1970 (0: never). The keys of values are found by one look-up
-- in an index for each key.
-- $1 key_ids
-- kind: read
PREPARE node_state (text[]) AS
WITH RECURSIVE used (key_id) AS (
    (SELECT v.sealed_with FROM serverless.variables AS v ORDER BY v.sealed_with LIMIT 1)
    UNION ALL
    SELECT (SELECT v.sealed_with FROM serverless.variables AS v
             WHERE v.sealed_with > used.key_id ORDER BY v.sealed_with LIMIT 1)
      FROM used
     WHERE used.key_id IS NOT NULL
), waiting AS (
    SELECT count(*) AS builds, min(oldest.date_created) AS since
      FROM (SELECT b.date_created FROM serverless.builds AS b
             WHERE b.status = 'building' ORDER BY b.date_created LIMIT 10000) AS oldest
)
SELECT waiting.builds,
       coalesce(extract(epoch FROM clock_timestamp() - waiting.since), 0)::bigint AS oldest_seconds,
       EXISTS (SELECT FROM used WHERE used.key_id <> ALL ($1)) AS lacks_key,
       settings.route_lease,
       task.task,
       CASE WHEN task.date_begun = '-infinity' THEN 0 ELSE extract(epoch FROM task.date_begun)::bigint END AS begun
  FROM waiting, serverless.settings AS settings, serverless.maintenance AS task;
