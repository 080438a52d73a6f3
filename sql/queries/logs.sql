-- Logs. Every statement begins with the credential ($1), the generation of its secret ($2), the Service
-- by SID ($3) or UniqueName ($4) and the Environment ($5).

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

-- Entries from StartDate ($6) to EndDate ($7), of one Function ($8) or of all (NULL); at the end are the
-- dates in force. Pages as in artifacts.sql: $9 begins, $10 ends, $11 is the size. A condition that
-- means "or NULL" would have no index, so there are two halves, and one of them is never run.
-- kind: read
PREPARE log_list (text, int, uuid, text, uuid, text, text, uuid, uuid, uuid, int) AS
SELECT serverless.outcome(scope.account_id, scope.environment_id) AS outcome, resource.*,
       time.start_date, time.end_date
  FROM serverless.environment_scope($1, $2, $3, $4, $5) AS scope
 CROSS JOIN serverless.log_window($6, $7) AS time
  LEFT JOIN LATERAL (
           (SELECT l.*
              FROM serverless.logs AS l
             WHERE $8 IS NULL
               AND l.service_id = scope.service_id AND l.environment_id = scope.environment_id
               AND l.id >= time.first_id
               AND l.id <= least(time.last_id, coalesce(
                       (SELECT (array_agg(newer.id))[$11]
                          FROM (SELECT id FROM serverless.logs
                                 WHERE service_id = scope.service_id
                                   AND environment_id = scope.environment_id
                                   AND id > $10 AND id <= time.last_id
                                 ORDER BY id LIMIT $11) AS newer), $9))
             ORDER BY l.id DESC
             LIMIT $11 + 1)
           UNION ALL
           (SELECT l.*
              FROM serverless.logs AS l
             WHERE $8 IS NOT NULL
               AND l.service_id = scope.service_id AND l.environment_id = scope.environment_id
               AND l.function_id = $8
               AND l.id >= time.first_id
               AND l.id <= least(time.last_id, coalesce(
                       (SELECT (array_agg(newer.id))[$11]
                          FROM (SELECT id FROM serverless.logs
                                 WHERE service_id = scope.service_id
                                   AND environment_id = scope.environment_id
                                   AND function_id = $8
                                   AND id > $10 AND id <= time.last_id
                                 ORDER BY id LIMIT $11) AS newer), $9))
             ORDER BY l.id DESC
             LIMIT $11 + 1)) AS page ON true
  LEFT JOIN LATERAL serverless.log_resource(scope.account_id, scope.service_id,
                                            scope.environment_id,
                                            ROW(page.*)::serverless.logs)
         AS resource ON true;
