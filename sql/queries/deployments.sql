-- Deployments. ../README.md explains what all query files share.

-- Deploys a Build to an Environment, or takes away the one that is deployed. The column behind the resource is
-- the reason for the outcome "incomplete": the Versions that were deleted since the Build was made.
-- $1 credential
-- $2 generation
-- $3 service_id
-- $4 service_unique_name
-- $5 environment_id
-- $6 build_id: NULL to deploy none
-- kind: write
PREPARE deployment_create (text, int, uuid, text, uuid, uuid) AS
WITH scope AS (SELECT * FROM serverless.environment_scope($1, $2, $3, $4, $5)),
     deployed AS (
         SELECT d.* FROM scope, serverless.deploy(scope.service_id, scope.environment_id, $6) AS d
          WHERE scope.environment_id IS NOT NULL)
SELECT CASE WHEN scope.environment_id IS NULL
            THEN serverless.outcome(scope.account_id, scope.environment_id)
            ELSE deployed.outcome END AS outcome, resource.*, deployed.details,
       (SELECT route_wait FROM serverless.settings) AS route_wait
  FROM scope
  LEFT JOIN deployed ON true
  LEFT JOIN LATERAL serverless.deployment_resource(scope.account_id, scope.service_id,
                                                   scope.environment_id, deployed.deployment)
         AS resource ON true;

-- Finds what a Deployment would put where: the Build if it is completed, and the Environment has another one. Else
-- the Build is NULL.
-- $1 credential
-- $2 generation
-- $3 service_id
-- $4 service_unique_name
-- $5 environment_id
-- $6 build_id
-- kind: read
PREPARE deployment_target (text, int, uuid, text, uuid, uuid) AS
SELECT serverless.outcome(scope.account_id, scope.environment_id) AS outcome, scope.account_id,
       scope.service_id, scope.environment_id, b.id AS build_id, b.runtime
  FROM serverless.environment_scope($1, $2, $3, $4, $5) AS scope
  LEFT JOIN serverless.environments AS e
         ON e.service_id = scope.service_id AND e.id = scope.environment_id
  LEFT JOIN serverless.builds AS b
         ON b.service_id = scope.service_id AND b.id = $6 AND b.status = 'completed'
        AND b.id <> e.build_id;

-- Fetches a Deployment.
-- $1 credential
-- $2 generation
-- $3 service_id
-- $4 service_unique_name
-- $5 environment_id
-- $6 deployment_id
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

-- Lists an Environment's Deployments: one page.
-- $1 credential
-- $2 generation
-- $3 service_id
-- $4 service_unique_name
-- $5 environment_id
-- $6 page_start
-- $7 page_end
-- $8 page_size
-- kind: read
PREPARE deployment_list (text, int, uuid, text, uuid, uuid, uuid, int) AS
SELECT serverless.outcome(scope.account_id, scope.environment_id) AS outcome, resource.*
  FROM serverless.environment_scope($1, $2, $3, $4, $5) AS scope
  LEFT JOIN LATERAL (
           SELECT d.*
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
                                                   scope.environment_id,
                                                   ROW(page.*)::serverless.deployments)
         AS resource ON true;
