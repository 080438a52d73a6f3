-- Services. ../README.md explains what all query files share.

-- Creates a Service.
-- $1 credential
-- $2 generation
-- $3 unique_name
-- $4 friendly_name
-- $5 include_credentials: NULL is true
-- $6 ui_editable: NULL is false
-- kind: write
PREPARE service_create (text, int, text, text, boolean, boolean) AS
WITH scope AS (SELECT account_id FROM serverless.account_scope($1, $2)),
     created AS (
         SELECT s AS service
           FROM scope, serverless.create_service(scope.account_id, $3, $4,
                    coalesce($5, true), coalesce($6, false)) AS s
          WHERE scope.account_id IS NOT NULL)
SELECT CASE WHEN scope.account_id IS NULL THEN 'unauthenticated'
            WHEN (created.service).id IS NULL THEN 'conflict'
            ELSE 'ok' END AS outcome, resource.*
  FROM scope
  LEFT JOIN created ON true
  LEFT JOIN LATERAL serverless.service_resource(scope.account_id, created.service) AS resource
         ON true;

-- Fetches a Service.
-- $1 credential
-- $2 generation
-- $3 service_id
-- $4 service_unique_name
-- kind: read
PREPARE service_fetch (text, int, uuid, text) AS
SELECT serverless.outcome(scope.account_id, s.id) AS outcome, resource.*
  FROM serverless.service_scope($1, $2, $3, $4) AS scope
  LEFT JOIN serverless.services AS s ON s.id = scope.service_id
  LEFT JOIN LATERAL serverless.service_resource(scope.account_id, s) AS resource ON true;

-- Fetches a Service, where the account is known to own it.
-- $1 account_id
-- $2 service_id
-- kind: read
PREPARE service_fetch_owned (uuid, uuid) AS
SELECT resource.sid, resource.friendly_name, resource.unique_name, resource.include_credentials,
       resource.ui_editable, resource.domain_base, resource.date_created, resource.date_updated
  FROM serverless.services AS s,
       serverless.service_resource($1, s) AS resource
 WHERE s.id = $2;

-- Lists an account's Services: one page.
-- $1 credential
-- $2 generation
-- $3 page_start
-- $4 page_end
-- $5 page_size
-- kind: read
PREPARE service_list (text, int, uuid, uuid, int) AS
SELECT serverless.outcome(scope.account_id, scope.account_id) AS outcome, resource.*
  FROM serverless.account_scope($1, $2) AS scope
  LEFT JOIN LATERAL (
           SELECT s.*
             FROM serverless.services AS s
            WHERE s.account_id = scope.account_id
              AND s.id <= coalesce(
                      (SELECT (array_agg(newer.id))[$5]
                         FROM (SELECT id FROM serverless.services
                                WHERE account_id = scope.account_id AND id > $4
                                ORDER BY id LIMIT $5) AS newer), $3)
            ORDER BY s.id DESC
            LIMIT $5 + 1) AS page ON true
  LEFT JOIN LATERAL serverless.service_resource(scope.account_id, ROW(page.*)::serverless.services)
         AS resource ON true;

-- Changes a Service. What is NULL stays as it is.
-- $1 credential
-- $2 generation
-- $3 service_id
-- $4 service_unique_name
-- $5 if_match
-- $6 friendly_name
-- $7 include_credentials
-- $8 ui_editable
-- kind: write
PREPARE service_update (text, int, uuid, text, bigint[], text, boolean, boolean) AS
WITH scope AS (SELECT * FROM serverless.service_scope($1, $2, $3, $4)),
     updated AS (
         UPDATE serverless.services AS s
            SET friendly_name = coalesce($6, s.friendly_name),
                include_credentials = coalesce($7, s.include_credentials),
                ui_editable = coalesce($8, s.ui_editable),
                date_updated = CASE WHEN num_nonnulls($6, $7, $8) = 0 THEN s.date_updated
                                    ELSE serverless.next_revision(s.date_updated) END
           FROM scope
          WHERE s.id = scope.service_id AND serverless.is_revision(s.date_updated, $5)
         RETURNING s AS service)
SELECT serverless.outcome(scope.account_id, (updated.service).id, scope.service_id, $5) AS outcome,
       resource.*,
       CASE WHEN $7 IS NULL THEN 0
            ELSE (SELECT route_wait FROM serverless.settings) END AS route_wait
  FROM scope
  LEFT JOIN updated ON true
  LEFT JOIN LATERAL serverless.service_resource(scope.account_id, updated.service) AS resource
         ON true;

-- Deletes a Service with all that it contains.
-- $1 credential
-- $2 generation
-- $3 service_id
-- $4 service_unique_name
-- $5 if_match
-- kind: long write
PREPARE service_delete (text, int, uuid, text, bigint[]) AS
WITH scope AS (SELECT * FROM serverless.service_scope($1, $2, $3, $4)),
     deleted AS (
         DELETE FROM serverless.services AS s
          USING scope
          WHERE s.id = scope.service_id AND serverless.is_revision(s.date_updated, $5)
         RETURNING s.id)
SELECT serverless.outcome(scope.account_id, deleted.id, scope.service_id, $5) AS outcome,
       (SELECT route_wait FROM serverless.settings) AS route_wait
  FROM scope
  LEFT JOIN deleted ON true;
