-- Functions. Every statement begins with the credential ($1), the generation of its secret ($2) and
-- the Service, named by its SID ($3) or by its UniqueName ($4); the other is NULL. The first column
-- says what happened.

-- kind: write
PREPARE function_create (text, int, uuid, text, text) AS
WITH scope AS (SELECT * FROM serverless.service_scope($1, $2, $3, $4)),
     created AS (
         INSERT INTO serverless.functions AS f
                (service_id, id, friendly_name, date_created, date_updated)
         SELECT scope.service_id, identity.id, $5, identity.made, identity.made
           FROM scope, serverless.new_identity() AS identity
          WHERE scope.service_id IS NOT NULL
         RETURNING f AS function)
SELECT serverless.outcome(scope.account_id, scope.service_id) AS outcome, resource.*
  FROM scope
  LEFT JOIN created ON true
  LEFT JOIN LATERAL serverless.function_resource(scope.account_id, scope.service_id, created.function)
         AS resource ON true;

-- kind: read
PREPARE function_fetch (text, int, uuid, text, uuid) AS
SELECT serverless.outcome(scope.account_id, f.id) AS outcome, resource.*
  FROM serverless.service_scope($1, $2, $3, $4) AS scope
  LEFT JOIN serverless.functions AS f ON f.service_id = scope.service_id AND f.id = $5
  LEFT JOIN LATERAL serverless.function_resource(scope.account_id, scope.service_id, f)
         AS resource ON true;

-- The page of $7 rows that begins at or below $5 or, where $6 is not NULL, the one that ends just
-- above $6; a page that has become shorter than that is the newest one. One row more tells whether
-- another page follows. The order is the index's.
-- kind: read
PREPARE function_list (text, int, uuid, text, uuid, uuid, int) AS
SELECT serverless.outcome(scope.account_id, scope.service_id) AS outcome, resource.*
  FROM serverless.service_scope($1, $2, $3, $4) AS scope
  LEFT JOIN LATERAL (
           SELECT f
             FROM serverless.functions AS f
            WHERE f.service_id = scope.service_id
              AND f.id <= coalesce(
                      (SELECT (array_agg(newer.id))[$7]
                         FROM (SELECT id FROM serverless.functions
                                WHERE service_id = scope.service_id AND id > $6
                                ORDER BY id LIMIT $7) AS newer), $5)
            ORDER BY f.id DESC
            LIMIT $7 + 1) AS page ON true
  LEFT JOIN LATERAL serverless.function_resource(scope.account_id, scope.service_id, page.f)
         AS resource ON true;

-- kind: write
PREPARE function_update (text, int, uuid, text, uuid, text) AS
WITH scope AS (SELECT * FROM serverless.service_scope($1, $2, $3, $4)),
     updated AS (
         UPDATE serverless.functions AS f
            SET friendly_name = $6, date_updated = clock_timestamp()
           FROM scope
          WHERE f.service_id = scope.service_id AND f.id = $5
         RETURNING f AS function)
SELECT serverless.outcome(scope.account_id, (updated.function).id) AS outcome, resource.*
  FROM scope
  LEFT JOIN updated ON true
  LEFT JOIN LATERAL serverless.function_resource(scope.account_id, scope.service_id, updated.function)
         AS resource ON true;

-- A Function that an active Build needs stays: the second column says who keeps it.
-- kind: write
PREPARE function_delete (text, int, uuid, text, uuid) AS
WITH scope AS (SELECT * FROM serverless.service_scope($1, $2, $3, $4)),
     deleted AS (
         SELECT d.* FROM scope, serverless.delete_function(scope.service_id, $5) AS d
          WHERE scope.service_id IS NOT NULL)
SELECT CASE WHEN scope.service_id IS NULL
            THEN serverless.outcome(scope.account_id, scope.service_id)
            ELSE deleted.outcome END AS outcome, deleted.details
  FROM scope
  LEFT JOIN deleted ON true;
