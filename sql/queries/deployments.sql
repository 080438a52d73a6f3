-- Deployments. Every statement begins with the credential ($1), the generation of its secret ($2),
-- the Service by SID ($3) or UniqueName ($4) and the Environment ($5).

-- $6 is the Build, or NULL to deploy none. After the outcome: what is missing, if it is incomplete.
-- kind: write
PREPARE deployment_create (text, int, uuid, text, uuid, uuid) AS
WITH scope AS (SELECT * FROM serverless.environment_scope($1, $2, $3, $4, $5)),
     deployed AS (
         SELECT d.* FROM scope, serverless.deploy(scope.service_id, scope.environment_id, $6) AS d
          WHERE scope.environment_id IS NOT NULL)
SELECT CASE WHEN scope.environment_id IS NULL
            THEN serverless.outcome(scope.account_id, scope.environment_id)
            ELSE deployed.outcome END AS outcome, resource.*, deployed.details
  FROM scope
  LEFT JOIN deployed ON true
  LEFT JOIN LATERAL serverless.deployment_resource(scope.account_id, scope.service_id,
                                                   scope.environment_id, deployed.deployment)
         AS resource ON true;

-- kind: read
PREPARE deployment_fetch (text, int, uuid, text, uuid, uuid) AS
SELECT serverless.outcome(scope.account_id, d.id) AS outcome, resource.*
  FROM serverless.environment_scope($1, $2, $3, $4, $5) AS scope
  LEFT JOIN serverless.deployments AS d
         ON d.service_id = scope.service_id AND d.environment_id = scope.environment_id
        AND d.id = $6
  LEFT JOIN LATERAL serverless.deployment_resource(scope.account_id, scope.service_id,
                                                   scope.environment_id, d)
         AS resource ON true;

-- Pages as in artifacts.sql: $6 begins, $7 ends, $8 is the size.
-- kind: read
PREPARE deployment_list (text, int, uuid, text, uuid, uuid, uuid, int) AS
SELECT serverless.outcome(scope.account_id, scope.environment_id) AS outcome, resource.*
  FROM serverless.environment_scope($1, $2, $3, $4, $5) AS scope
  LEFT JOIN LATERAL (
           SELECT d
             FROM serverless.deployments AS d
            WHERE d.service_id = scope.service_id AND d.environment_id = scope.environment_id
              AND d.id <= coalesce(
                      (SELECT (array_agg(newer.id))[$8]
                         FROM (SELECT id FROM serverless.deployments
                                WHERE service_id = scope.service_id
                                  AND environment_id = scope.environment_id AND id > $7
                                ORDER BY id LIMIT $8) AS newer), $6)
            ORDER BY d.id DESC
            LIMIT $8 + 1) AS page ON true
  LEFT JOIN LATERAL serverless.deployment_resource(scope.account_id, scope.service_id,
                                                   scope.environment_id, page.d)
         AS resource ON true;
