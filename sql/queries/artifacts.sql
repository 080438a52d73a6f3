-- Artifacts: Functions and Assets. ../README.md explains what all query files share.

-- Creates a Function or an Asset.
-- $1 credential
-- $2 generation
-- $3 service_id
-- $4 service_unique_name
-- $5 artifact_kind
-- $6 friendly_name
-- kind: short write
PREPARE artifact_create (text, int, uuid, text, serverless.artifact_kind, text) AS
WITH scope AS (SELECT * FROM serverless.service_scope($1, $2, $3, $4)),
     created AS (
         INSERT INTO serverless.artifacts AS a
                (service_id, kind, id, friendly_name, date_created, date_updated)
         SELECT scope.service_id, $5, identity.id, $6, identity.made, identity.made
           FROM scope, serverless.new_identity() AS identity
          WHERE scope.service_id IS NOT NULL
         RETURNING a AS artifact)
SELECT serverless.outcome(scope.account_id, scope.service_id) AS outcome, resource.*
  FROM scope
  LEFT JOIN created ON true
  LEFT JOIN LATERAL serverless.artifact_resource(scope.account_id, scope.service_id, created.artifact)
         AS resource ON true;

-- Fetches a Function or an Asset.
-- $1 credential
-- $2 generation
-- $3 service_id
-- $4 service_unique_name
-- $5 artifact_id
-- $6 artifact_kind
-- kind: read
PREPARE artifact_fetch (text, int, uuid, text, uuid, serverless.artifact_kind) AS
SELECT serverless.outcome(scope.account_id, a.id) AS outcome, resource.*
  FROM serverless.service_scope($1, $2, $3, $4) AS scope
  LEFT JOIN serverless.artifacts AS a
         ON a.service_id = scope.service_id AND a.kind = $6 AND a.id = $5
  LEFT JOIN LATERAL serverless.artifact_resource(scope.account_id, scope.service_id, a)
         AS resource ON true;

-- Fetches a Function or an Asset, where the account is known to own the Service.
-- $1 account_id
-- $2 service_id
-- $3 artifact_id
-- $4 artifact_kind
-- kind: read
PREPARE artifact_fetch_owned (uuid, uuid, uuid, serverless.artifact_kind) AS
SELECT resource.sid, resource.friendly_name, resource.date_created, resource.date_updated
  FROM serverless.artifacts AS a,
       serverless.artifact_resource($1, $2, a) AS resource
 WHERE a.service_id = $2 AND a.kind = $4 AND a.id = $3;

-- Lists a Service's Functions or Assets: one page.
-- $1 credential
-- $2 generation
-- $3 service_id
-- $4 service_unique_name
-- $5 artifact_kind
-- $6 page_start
-- $7 page_end
-- $8 page_size
-- kind: read
PREPARE artifact_list (text, int, uuid, text, serverless.artifact_kind, uuid, uuid, int) AS
SELECT serverless.outcome(scope.account_id, scope.service_id) AS outcome, resource.*
  FROM serverless.service_scope($1, $2, $3, $4) AS scope
  LEFT JOIN LATERAL (
           SELECT a.*
             FROM serverless.artifacts AS a
            WHERE a.service_id = scope.service_id AND a.kind = $5
              AND a.id <= coalesce(
                      (SELECT (array_agg(newer.id))[$8]
                         FROM (SELECT id FROM serverless.artifacts
                                WHERE service_id = scope.service_id AND kind = $5 AND id > $7
                                ORDER BY id LIMIT $8) AS newer), $6)
            ORDER BY a.id DESC
            LIMIT $8 + 1) AS page ON true
  LEFT JOIN LATERAL serverless.artifact_resource(scope.account_id, scope.service_id,
                                                 ROW(page.*)::serverless.artifacts)
         AS resource ON true;

-- Lists a Service's Functions or Assets, where the account is known to own the Service.
-- $1 account_id
-- $2 service_id
-- $3 artifact_kind
-- $4 page_start
-- $5 page_end
-- $6 page_size
-- kind: read
PREPARE artifact_list_owned (uuid, uuid, serverless.artifact_kind, uuid, uuid, int) AS
SELECT resource.sid, resource.friendly_name, resource.date_created, resource.date_updated
  FROM (SELECT a.*
          FROM serverless.artifacts AS a
         WHERE a.service_id = $2 AND a.kind = $3
           AND a.id <= coalesce(
                   (SELECT (array_agg(newer.id))[$6]
                      FROM (SELECT id FROM serverless.artifacts
                             WHERE service_id = $2 AND kind = $3 AND id > $5
                             ORDER BY id LIMIT $6) AS newer), $4)
         ORDER BY a.id DESC
         LIMIT $6 + 1) AS page,
       serverless.artifact_resource($1, $2, ROW(page.*)::serverless.artifacts) AS resource;

-- Lists the Functions or Assets of one name: one page. A statement of its own, because it reads an index
-- of its own.
-- $1 credential
-- $2 generation
-- $3 service_id
-- $4 service_unique_name
-- $5 artifact_kind
-- $6 friendly_name
-- $7 page_start
-- $8 page_end
-- $9 page_size
-- kind: read
PREPARE artifact_find (text, int, uuid, text, serverless.artifact_kind, text, uuid, uuid, int) AS
SELECT serverless.outcome(scope.account_id, scope.service_id) AS outcome, resource.*
  FROM serverless.service_scope($1, $2, $3, $4) AS scope
  LEFT JOIN LATERAL (
           SELECT a.*
             FROM serverless.artifacts AS a
            WHERE a.service_id = scope.service_id AND a.kind = $5 AND a.friendly_name = $6
              AND a.id <= coalesce(
                      (SELECT (array_agg(newer.id))[$9]
                         FROM (SELECT id FROM serverless.artifacts
                                WHERE service_id = scope.service_id AND kind = $5
                                  AND friendly_name = $6 AND id > $8
                                ORDER BY id LIMIT $9) AS newer), $7)
            ORDER BY a.id DESC
            LIMIT $9 + 1) AS page ON true
  LEFT JOIN LATERAL serverless.artifact_resource(scope.account_id, scope.service_id,
                                                 ROW(page.*)::serverless.artifacts)
         AS resource ON true;

-- Lists the Functions or Assets of one name, where the account is known to own the Service.
-- $1 account_id
-- $2 service_id
-- $3 artifact_kind
-- $4 friendly_name
-- $5 page_start
-- $6 page_end
-- $7 page_size
-- kind: read
PREPARE artifact_find_owned (uuid, uuid, serverless.artifact_kind, text, uuid, uuid, int) AS
SELECT resource.sid, resource.friendly_name, resource.date_created, resource.date_updated
  FROM (SELECT a.*
          FROM serverless.artifacts AS a
         WHERE a.service_id = $2 AND a.kind = $3 AND a.friendly_name = $4
           AND a.id <= coalesce(
                   (SELECT (array_agg(newer.id))[$7]
                      FROM (SELECT id FROM serverless.artifacts
                             WHERE service_id = $2 AND kind = $3 AND friendly_name = $4 AND id > $6
                             ORDER BY id LIMIT $7) AS newer), $5)
         ORDER BY a.id DESC
         LIMIT $7 + 1) AS page,
       serverless.artifact_resource($1, $2, ROW(page.*)::serverless.artifacts) AS resource;

-- Renames a Function or an Asset.
-- $1 credential
-- $2 generation
-- $3 service_id
-- $4 service_unique_name
-- $5 artifact_id
-- $6 artifact_kind
-- $7 if_match
-- $8 friendly_name
-- kind: short write
PREPARE artifact_update (text, int, uuid, text, uuid, serverless.artifact_kind, bigint[], text) AS
WITH scope AS (SELECT * FROM serverless.service_scope($1, $2, $3, $4)),
     updated AS (
         UPDATE serverless.artifacts AS a
            SET friendly_name = $8, date_updated = serverless.next_revision(a.date_updated)
           FROM scope
          WHERE a.service_id = scope.service_id AND a.kind = $6 AND a.id = $5
            AND serverless.is_revision(a.date_updated, $7)
         RETURNING a AS artifact)
SELECT serverless.outcome(scope.account_id, (updated.artifact).id, there.id, $7) AS outcome,
       resource.*
  FROM scope
  LEFT JOIN serverless.artifacts AS there
         ON there.service_id = scope.service_id AND there.kind = $6 AND there.id = $5
  LEFT JOIN updated ON true
  LEFT JOIN LATERAL serverless.artifact_resource(scope.account_id, scope.service_id, updated.artifact)
         AS resource ON true;

-- Deletes a Function or an Asset with its Versions. Its second column is the reason for the outcome
-- "active": the Builds and Environments that need one of the Versions.
-- $1 credential
-- $2 generation
-- $3 service_id
-- $4 service_unique_name
-- $5 artifact_id
-- $6 artifact_kind
-- $7 if_match
-- kind: short write
PREPARE artifact_delete (text, int, uuid, text, uuid, serverless.artifact_kind, bigint[]) AS
WITH scope AS (SELECT * FROM serverless.service_scope($1, $2, $3, $4)),
     deleted AS (
         SELECT d.* FROM scope, serverless.delete_artifact(scope.service_id, $6, $5, $7) AS d
          WHERE scope.service_id IS NOT NULL)
SELECT CASE WHEN scope.service_id IS NULL
            THEN serverless.outcome(scope.account_id, scope.service_id)
            ELSE deleted.outcome END AS outcome, deleted.details
  FROM scope
  LEFT JOIN deleted ON true;
