-- Maintenance: what httpd's children do periodically, besides Builds. They act for httpd and not for an
-- account, so there is no credential and no outcome.

-- Takes the tasks that are due: sets the time at which they were begun, so that no other child takes them,
-- and returns in how many seconds they are due again.
-- kind: write
PREPARE maintenance_begin AS
UPDATE serverless.maintenance
   SET date_begun = clock_timestamp()
 WHERE date_begun + period < clock_timestamp()
RETURNING task, extract(epoch FROM period)::int AS seconds;

-- Deletes old entries of logs, and returns how many it deleted. Skips rows that another session has locked.
-- $1 seconds: how old an entry may be
-- $2 most: how many at most
-- kind: write
PREPARE log_expire (int, int) AS
WITH expired AS (
         DELETE FROM serverless.logs
          WHERE ctid = ANY (ARRAY(
                    SELECT old.ctid FROM serverless.logs AS old
                     WHERE old.date_created < statement_timestamp() - make_interval(secs => $1)
                     ORDER BY old.date_created
                     LIMIT $2
                       FOR UPDATE SKIP LOCKED))
         RETURNING 1)
SELECT count(*) AS expired FROM expired;
