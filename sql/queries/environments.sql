-- Environments. ../README.md explains what all query files share.

-- Creates an Environment.
-- $1 credential
-- $2 generation
-- $3 service_id
-- $4 service_unique_name
-- $5 unique_name
-- $6 domain_suffix
-- kind: write
PREPARE environment_create (text, int, uuid, text, text, text) AS
WITH scope AS (SELECT * FROM serverless.service_scope($1, $2, $3, $4)),
     created AS (
         SELECT c.* FROM scope, serverless.create_environment(scope.service_id, $5, $6) AS c
          WHERE scope.service_id IS NOT NULL)
SELECT CASE WHEN scope.service_id IS NULL
            THEN serverless.outcome(scope.account_id, scope.service_id)
            ELSE created.outcome END AS outcome, resource.*
  FROM scope
  LEFT JOIN created ON true
  LEFT JOIN LATERAL serverless.environment_resource(scope.account_id, scope.service_id,
                                                    created.environment)
         AS resource ON true;

-- Fetches an Environment.
-- $1 credential
-- $2 generation
-- $3 service_id
-- $4 service_unique_name
-- $5 environment_id
-- kind: read
PREPARE environment_fetch (text, int, uuid, text, uuid) AS
SELECT serverless.outcome(scope.account_id, e.id) AS outcome, resource.*
  FROM serverless.service_scope($1, $2, $3, $4) AS scope
  LEFT JOIN serverless.environments AS e ON e.service_id = scope.service_id AND e.id = $5
  LEFT JOIN LATERAL serverless.environment_resource(scope.account_id, scope.service_id, e)
         AS resource ON true;

-- Fetches an Environment, where the account is known to own the Service.
-- $1 account_id
-- $2 service_id
-- $3 environment_id
-- kind: read
PREPARE environment_fetch_owned (uuid, uuid, uuid) AS
SELECT resource.sid, resource.build_sid, resource.unique_name, resource.domain_suffix,
       resource.domain_name, resource.date_created, resource.date_updated
  FROM serverless.environments AS e,
       serverless.environment_resource($1, $2, e) AS resource
 WHERE e.service_id = $2 AND e.id = $3;

-- Lists a Service's Environments: one page.
-- $1 credential
-- $2 generation
-- $3 service_id
-- $4 service_unique_name
-- $5 page_start
-- $6 page_end
-- $7 page_size
-- kind: read
PREPARE environment_list (text, int, uuid, text, uuid, uuid, int) AS
SELECT serverless.outcome(scope.account_id, scope.service_id) AS outcome, resource.*
  FROM serverless.service_scope($1, $2, $3, $4) AS scope
  LEFT JOIN LATERAL (
           SELECT e.*
             FROM serverless.environments AS e
            WHERE e.service_id = scope.service_id
              AND e.id <= coalesce(
                      (SELECT (array_agg(newer.id))[$7]
                         FROM (SELECT id FROM serverless.environments
                                WHERE service_id = scope.service_id AND id > $6
                                ORDER BY id LIMIT $7) AS newer), $5)
            ORDER BY e.id DESC
            LIMIT $7 + 1) AS page ON true
  LEFT JOIN LATERAL serverless.environment_resource(scope.account_id, scope.service_id,
                                                    ROW(page.*)::serverless.environments)
         AS resource ON true;

-- Lists a Service's Environments, where the account is known to own the Service.
-- $1 account_id
-- $2 service_id
-- $3 page_start
-- $4 page_end
-- $5 page_size
-- kind: read
PREPARE environment_list_owned (uuid, uuid, uuid, uuid, int) AS
SELECT resource.sid, resource.build_sid, resource.unique_name, resource.domain_suffix,
       resource.domain_name, resource.date_created, resource.date_updated
  FROM (SELECT e.*
          FROM serverless.environments AS e
         WHERE e.service_id = $2
           AND e.id <= coalesce(
                   (SELECT (array_agg(newer.id))[$5]
                      FROM (SELECT id FROM serverless.environments
                             WHERE service_id = $2 AND id > $4
                             ORDER BY id LIMIT $5) AS newer), $3)
         ORDER BY e.id DESC
         LIMIT $5 + 1) AS page,
       serverless.environment_resource($1, $2, ROW(page.*)::serverless.environments) AS resource;

-- Deletes an Environment with its Variables, Deployments and logs, of which there may be many.
-- $1 credential
-- $2 generation
-- $3 service_id
-- $4 service_unique_name
-- $5 environment_id
-- $6 if_match
-- kind: long write
PREPARE environment_delete (text, int, uuid, text, uuid, bigint[]) AS
WITH scope AS (SELECT * FROM serverless.service_scope($1, $2, $3, $4)),
     deleted AS (
         DELETE FROM serverless.environments AS e
          USING scope
          WHERE e.service_id = scope.service_id AND e.id = $5
            AND serverless.is_revision(e.date_updated, $6)
         RETURNING e.id)
SELECT serverless.outcome(scope.account_id, deleted.id, there.id, $6) AS outcome,
       (SELECT route_wait FROM serverless.settings) AS route_wait
  FROM scope
  LEFT JOIN serverless.environments AS there
         ON there.service_id = scope.service_id AND there.id = $5
  LEFT JOIN deleted ON true;
