-- Builds. Every statement begins with the credential ($1), the generation of its secret ($2) and the
-- Service by SID ($3) or UniqueName ($4).

-- $5 the Function Versions and $6 the Asset Versions as PostgreSQL arrays, $7 Runtime, $8
-- Dependencies as JSON.
-- kind: write
PREPARE build_create (text, int, uuid, text, uuid[], uuid[], text, text) AS
WITH scope AS (SELECT * FROM serverless.service_scope($1, $2, $3, $4)),
     created AS (
         SELECT c.* FROM scope, serverless.create_build(scope.account_id, scope.service_id,
                                                        $5, $6, $7, $8) AS c
          WHERE scope.service_id IS NOT NULL)
SELECT CASE WHEN scope.service_id IS NULL
            THEN serverless.outcome(scope.account_id, scope.service_id)
            ELSE created.outcome END AS outcome, resource.*
  FROM scope
  LEFT JOIN created ON true
  LEFT JOIN LATERAL serverless.build_resource(scope.account_id, scope.service_id, created.build,
                                              created.asset_versions, created.function_versions)
         AS resource ON true;

-- kind: read
PREPARE build_fetch (text, int, uuid, text, uuid) AS
SELECT serverless.outcome(scope.account_id, b.id) AS outcome, resource.*
  FROM serverless.service_scope($1, $2, $3, $4) AS scope
  LEFT JOIN serverless.builds AS b ON b.service_id = scope.service_id AND b.id = $5
  LEFT JOIN LATERAL serverless.build_resource(
                        scope.account_id, scope.service_id, b,
                        serverless.build_contents(scope.account_id, scope.service_id, b.id, 'asset'),
                        serverless.build_contents(scope.account_id, scope.service_id, b.id,
                                                  'function'))
         AS resource ON true;

-- kind: read
PREPARE build_status (text, int, uuid, text, uuid) AS
SELECT serverless.outcome(scope.account_id, b.id) AS outcome,
       b.id AS sid, scope.account_id AS account_sid, scope.service_id AS service_sid, b.status
  FROM serverless.service_scope($1, $2, $3, $4) AS scope
  LEFT JOIN serverless.builds AS b ON b.service_id = scope.service_id AND b.id = $5;

-- Pages as in artifacts.sql: $5 begins, $6 ends, $7 is the size.
-- kind: read
PREPARE build_list (text, int, uuid, text, uuid, uuid, int) AS
SELECT serverless.outcome(scope.account_id, scope.service_id) AS outcome, resource.*
  FROM serverless.service_scope($1, $2, $3, $4) AS scope
  LEFT JOIN LATERAL (
           SELECT b
             FROM serverless.builds AS b
            WHERE b.service_id = scope.service_id
              AND b.id <= coalesce(
                      (SELECT (array_agg(newer.id))[$7]
                         FROM (SELECT id FROM serverless.builds
                                WHERE service_id = scope.service_id AND id > $6
                                ORDER BY id LIMIT $7) AS newer), $5)
            ORDER BY b.id DESC
            LIMIT $7 + 1) AS page ON true
  LEFT JOIN LATERAL serverless.build_resource(
                        scope.account_id, scope.service_id, page.b,
                        serverless.build_contents(scope.account_id, scope.service_id,
                                                  (page.b).id, 'asset'),
                        serverless.build_contents(scope.account_id, scope.service_id,
                                                  (page.b).id, 'function'))
         AS resource ON true;

-- A Build that is deployed stays: the second column says where. $6 are the revisions that it may be
-- of, or NULL.
-- kind: write
PREPARE build_delete (text, int, uuid, text, uuid, bigint[]) AS
WITH scope AS (SELECT * FROM serverless.service_scope($1, $2, $3, $4)),
     deleted AS (
         SELECT d.* FROM scope, serverless.delete_build(scope.service_id, $5, $6) AS d
          WHERE scope.service_id IS NOT NULL)
SELECT CASE WHEN scope.service_id IS NULL
            THEN serverless.outcome(scope.account_id, scope.service_id)
            ELSE deleted.outcome END AS outcome, deleted.details
  FROM scope
  LEFT JOIN deleted ON true;
