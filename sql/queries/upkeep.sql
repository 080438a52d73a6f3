-- What httpd's children do in the background besides Builds. They act for httpd, not for an account.

-- Takes the tasks that are due, and says in how many seconds they are again; whoever comes next finds
-- them begun.
-- kind: write
PREPARE upkeep_begin AS
UPDATE serverless.upkeep
   SET date_begun = clock_timestamp()
 WHERE date_begun + period < clock_timestamp()
RETURNING task, extract(epoch FROM period)::int AS seconds;

-- Removes at most $2 entries of logs that are older than $1 seconds, and says how many it were. Those
-- that somebody else is removing are left to him.
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
