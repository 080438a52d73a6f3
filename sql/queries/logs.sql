-- Logs. ../README.md explains what all query files share.

-- Fetches an entry of a log.
-- $1 credential
-- $2 generation
-- $3 service_id
-- $4 service_unique_name
-- $5 environment_id
-- $6 log_id
-- kind: read
PREPARE log_fetch (text, int, uuid, text, uuid, uuid) AS
SELECT serverless.outcome(scope.account_id, l.id) AS outcome, resource.*
  FROM serverless.environment_scope($1, $2, $3, $4, $5) AS scope
  LEFT JOIN serverless.logs AS l
         ON l.service_id = scope.service_id AND l.environment_id = scope.environment_id
        AND l.id = $6
  LEFT JOIN LATERAL serverless.log_resource(scope.account_id, scope.service_id,
                                            scope.environment_id, l)
         AS resource ON true;

-- Lists an Environment's log: one page of the entries of a time, of one Function or of all. Its last two
-- columns are the times in force.
-- A condition "$8 IS NULL OR function_id = $8" has no plan that reads an index for both cases. So each
-- range is a UNION ALL of two halves, each under a condition on the parameter alone; PostgreSQL looks at
-- that first, and never runs the other half.
-- $1 credential
-- $2 generation
-- $3 service_id
-- $4 service_unique_name
-- $5 environment_id
-- $6 start_date: NULL is a day ago
-- $7 end_date: NULL is now
-- $8 function_id: NULL is all Functions
-- $9 page_start
-- $10 page_end
-- $11 page_size
-- kind: read
PREPARE log_list (text, int, uuid, text, uuid, text, text, uuid, uuid, uuid, int) AS
SELECT serverless.outcome(scope.account_id, scope.environment_id) AS outcome, resource.*,
       page.on_page, previous.has_newer, time.start_date, time.end_date
  FROM serverless.environment_scope($1, $2, $3, $4, $5) AS scope
 CROSS JOIN serverless.log_window($6, $7) AS time
 CROSS JOIN LATERAL
       (SELECT (array_agg(near.id))[(count(*) FILTER (WHERE near.fits))::int] AS page_start,
               NOT bool_and(near.fits) AS has_newer
          FROM (SELECT newer.id,
                       row_number() OVER run <= $11
                       AND sum(newer.bytes) OVER run <= serverless.page_bytes() AS fits
                  FROM ((SELECT l.id, serverless.log_bytes(l) AS bytes
                           FROM serverless.logs AS l
                          WHERE $8 IS NULL
                            AND l.service_id = scope.service_id
                            AND l.environment_id = scope.environment_id
                            AND l.id > $10 AND l.id <= time.last_id
                          ORDER BY l.id
                          LIMIT $11 + 1)
                        UNION ALL
                        (SELECT l.id, serverless.log_bytes(l) AS bytes
                           FROM serverless.logs AS l
                          WHERE $8 IS NOT NULL
                            AND l.service_id = scope.service_id
                            AND l.environment_id = scope.environment_id
                            AND l.function_id = $8
                            AND l.id > $10 AND l.id <= time.last_id
                          ORDER BY l.id
                          LIMIT $11 + 1)) AS newer
                WINDOW run AS (ROWS UNBOUNDED PRECEDING)) AS near) AS previous
  LEFT JOIN LATERAL
       (SELECT measured.*,
               measured.total <= serverless.page_bytes()
               AND (previous.page_start IS NULL OR measured.id > $10) AS on_page
          FROM (SELECT rows.*, sum(rows.bytes) OVER (ROWS UNBOUNDED PRECEDING) AS total
                  FROM ((SELECT l.*, serverless.log_bytes(l) AS bytes
                           FROM serverless.logs AS l
                          WHERE $8 IS NULL
                            AND l.service_id = scope.service_id
                            AND l.environment_id = scope.environment_id
                            AND l.id >= time.first_id
                            AND l.id <= least(time.last_id, coalesce(previous.page_start, $9))
                          ORDER BY l.id DESC
                          LIMIT $11 + 1)
                        UNION ALL
                        (SELECT l.*, serverless.log_bytes(l) AS bytes
                           FROM serverless.logs AS l
                          WHERE $8 IS NOT NULL
                            AND l.service_id = scope.service_id
                            AND l.environment_id = scope.environment_id
                            AND l.function_id = $8
                            AND l.id >= time.first_id
                            AND l.id <= least(time.last_id, coalesce(previous.page_start, $9))
                          ORDER BY l.id DESC
                          LIMIT $11 + 1)) AS rows) AS measured
         WHERE measured.total - measured.bytes <= serverless.page_bytes()) AS page ON true
  LEFT JOIN LATERAL serverless.log_resource(
                        scope.account_id, scope.service_id, scope.environment_id,
                        ROW(page.service_id, page.environment_id, page.id, page.build_id,
                            page.deployment_id, page.function_id, page.request_id, page.level,
                            page.message, page.date_created)::serverless.logs)
         AS resource ON true;

-- Adds the entries of calls, which have their SIDs already. A batch may be added again.
-- $1 entries: a JSON array of Logs
-- kind: write
PREPARE log_add (jsonb) AS
SELECT serverless.add_logs($1) AS added;
