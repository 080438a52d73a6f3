-- Builds. ../README.md explains what all query files share.

-- Creates a Build, which a worker then finishes (build_work.sql).
-- $1 credential
-- $2 generation
-- $3 service_id
-- $4 service_unique_name
-- $5 function_versions: their ids, or NULL
-- $6 asset_versions: their ids, or NULL
-- $7 runtime
-- $8 dependencies: JSON
-- $9 max_public: how many public Assets the Build may have, NULL for any number
-- $10 max_protected
-- $11 max_private
-- kind: write
PREPARE build_create (text, int, uuid, text, uuid[], uuid[], text, text, int, int, int) AS
WITH scope AS (SELECT * FROM serverless.service_scope($1, $2, $3, $4)),
     crowd AS (
         SELECT CASE WHEN count(*) FILTER (WHERE v.visibility = 'public') > $9 THEN 'too_many_public'
                     WHEN count(*) FILTER (WHERE v.visibility = 'protected') > $10 THEN 'too_many_protected'
                     WHEN count(*) FILTER (WHERE v.visibility = 'private') > $11 THEN 'too_many_private'
                END AS outcome
           FROM scope
           JOIN serverless.versions AS v ON v.service_id = scope.service_id AND v.id = ANY ($6)
          WHERE num_nonnulls($9, $10, $11) > 0),
     allowed AS MATERIALIZED ( -- before the function below, which inserts
         SELECT scope.* FROM scope, crowd WHERE scope.service_id IS NOT NULL AND crowd.outcome IS NULL),
     created AS (
         SELECT c.* FROM allowed, serverless.create_build(allowed.account_id, allowed.service_id,
                                                          $5, $6, $7, $8) AS c)
SELECT CASE WHEN scope.service_id IS NULL
            THEN serverless.outcome(scope.account_id, scope.service_id)
            WHEN crowd.outcome IS NOT NULL THEN crowd.outcome
            ELSE created.outcome END AS outcome, resource.*
  FROM scope
  CROSS JOIN crowd
  LEFT JOIN created ON true
  LEFT JOIN LATERAL serverless.build_resource(scope.account_id, scope.service_id, created.build,
                                              created.asset_versions, created.function_versions)
         AS resource ON true;

-- Fetches a Build with what it contains.
-- $1 credential
-- $2 generation
-- $3 service_id
-- $4 service_unique_name
-- $5 build_id
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

-- Fetches a Build with what it contains, where the account is known to own the Service.
-- $1 account_id
-- $2 service_id
-- $3 build_id
-- kind: read
PREPARE build_fetch_owned (uuid, uuid, uuid) AS
SELECT resource.sid, resource.status, resource.asset_versions, resource.function_versions,
       resource.dependencies, resource.runtime, resource.failure_reason, resource.date_created,
       resource.date_updated
  FROM serverless.builds AS b,
       serverless.build_resource($1, $2, b,
                                 serverless.build_contents($1, $2, b.id, 'asset'),
                                 serverless.build_contents($1, $2, b.id, 'function')) AS resource
 WHERE b.service_id = $2 AND b.id = $3;

-- Whether a Service has a bundle for Dependencies, which a new Build then takes (bundle_reuse).
-- $1 credential
-- $2 generation
-- $3 service_id
-- $4 service_unique_name
-- $5 request_sha256: in hex
-- kind: read
PREPARE bundle_find (text, int, uuid, text, text) AS
SELECT serverless.outcome(scope.account_id, scope.service_id) AS outcome,
       EXISTS (SELECT FROM serverless.build_bundles AS u
                WHERE u.service_id = scope.service_id AND u.request_sha256 = decode($5, 'hex')
                  AND u.is_reusable) AS is_there
  FROM serverless.service_scope($1, $2, $3, $4) AS scope;

-- Fetches a Build's Status.
-- $1 credential
-- $2 generation
-- $3 service_id
-- $4 service_unique_name
-- $5 build_id
-- kind: read
PREPARE build_status (text, int, uuid, text, uuid) AS
SELECT serverless.outcome(scope.account_id, b.id) AS outcome,
       b.id AS sid, scope.account_id AS account_sid, scope.service_id AS service_sid, b.status
  FROM serverless.service_scope($1, $2, $3, $4) AS scope
  LEFT JOIN serverless.builds AS b ON b.service_id = scope.service_id AND b.id = $5;

-- Fetches a Build's Status, where the account is known to own the Service.
-- $1 account_id: unused
-- $2 service_id
-- $3 build_id
-- kind: read
PREPARE build_status_owned (uuid, uuid, uuid) AS
SELECT b.id AS sid, b.status
  FROM serverless.builds AS b
 WHERE b.service_id = $2 AND b.id = $3;

-- Lists a Service's Builds: one page.
-- $1 credential
-- $2 generation
-- $3 service_id
-- $4 service_unique_name
-- $5 page_start
-- $6 page_end
-- $7 page_size
-- kind: read
PREPARE build_list (text, int, uuid, text, uuid, uuid, int) AS
SELECT serverless.outcome(scope.account_id, scope.service_id) AS outcome, resource.*,
       page.on_page, previous.has_newer
  FROM serverless.service_scope($1, $2, $3, $4) AS scope
 CROSS JOIN LATERAL
       (SELECT (array_agg(near.id))[(count(*) FILTER (WHERE near.fits))::int] AS page_start,
               NOT bool_and(near.fits) AS has_newer
          FROM (SELECT newer.id,
                       row_number() OVER run <= $7
                       AND sum(newer.bytes) OVER run <= serverless.page_bytes() AS fits
                  FROM (SELECT b.id, serverless.build_bytes(b) AS bytes
                          FROM serverless.builds AS b
                         WHERE b.service_id = scope.service_id
                           AND b.id > $6
                         ORDER BY b.id
                         LIMIT $7 + 1) AS newer
                WINDOW run AS (ROWS UNBOUNDED PRECEDING)) AS near) AS previous
  LEFT JOIN LATERAL
       (SELECT measured.*,
               measured.total <= serverless.page_bytes()
               AND (previous.page_start IS NULL OR measured.id > $6) AS on_page
          FROM (SELECT rows.*, sum(rows.bytes) OVER (ROWS UNBOUNDED PRECEDING) AS total
                  FROM (SELECT b.*, serverless.build_bytes(b) AS bytes
                          FROM serverless.builds AS b
                         WHERE b.service_id = scope.service_id
                           AND b.id <= coalesce(previous.page_start, $5)
                         ORDER BY b.id DESC
                         LIMIT $7 + 1) AS rows) AS measured
         WHERE measured.total - measured.bytes <= serverless.page_bytes()) AS page ON true
  LEFT JOIN LATERAL serverless.build_resource(
                        scope.account_id, scope.service_id,
                        ROW(page.service_id, page.id, page.status, page.runtime, page.dependencies,
                            page.failure_reason, page.attempts, page.lease_token, page.lease_expires,
                            page.date_created, page.date_updated, page.contents_bytes)::serverless.builds,
                        serverless.build_contents(scope.account_id, scope.service_id,
                                                  CASE WHEN page.on_page THEN page.id END, 'asset'),
                        serverless.build_contents(scope.account_id, scope.service_id,
                                                  CASE WHEN page.on_page THEN page.id END,
                                                  'function'))
         AS resource ON true;

-- Lists a Service's Builds, where the account is known to own the Service.
-- $1 account_id
-- $2 service_id
-- $3 page_start
-- $4 page_end
-- $5 page_size
-- kind: read
PREPARE build_list_owned (uuid, uuid, uuid, uuid, int) AS
SELECT resource.sid, resource.status, resource.asset_versions, resource.function_versions,
       resource.dependencies, resource.runtime, resource.failure_reason, resource.date_created,
       resource.date_updated, page.on_page, previous.has_newer
  FROM (SELECT (array_agg(near.id))[(count(*) FILTER (WHERE near.fits))::int] AS page_start,
               NOT bool_and(near.fits) AS has_newer
          FROM (SELECT newer.id,
                       row_number() OVER run <= $5
                       AND sum(newer.bytes) OVER run <= serverless.page_bytes() AS fits
                  FROM (SELECT b.id, serverless.build_bytes(b) AS bytes
                          FROM serverless.builds AS b
                         WHERE b.service_id = $2
                           AND b.id > $4
                         ORDER BY b.id
                         LIMIT $5 + 1) AS newer
                WINDOW run AS (ROWS UNBOUNDED PRECEDING)) AS near) AS previous
 CROSS JOIN LATERAL
       (SELECT measured.*,
               measured.total <= serverless.page_bytes()
               AND (previous.page_start IS NULL OR measured.id > $4) AS on_page
          FROM (SELECT rows.*, sum(rows.bytes) OVER (ROWS UNBOUNDED PRECEDING) AS total
                  FROM (SELECT b.*, serverless.build_bytes(b) AS bytes
                          FROM serverless.builds AS b
                         WHERE b.service_id = $2
                           AND b.id <= coalesce(previous.page_start, $3)
                         ORDER BY b.id DESC
                         LIMIT $5 + 1) AS rows) AS measured
         WHERE measured.total - measured.bytes <= serverless.page_bytes()) AS page
 CROSS JOIN LATERAL serverless.build_resource(
                        $1, $2,
                        ROW(page.service_id, page.id, page.status, page.runtime, page.dependencies,
                            page.failure_reason, page.attempts, page.lease_token, page.lease_expires,
                            page.date_created, page.date_updated, page.contents_bytes)::serverless.builds,
                        serverless.build_contents($1, $2, CASE WHEN page.on_page THEN page.id END,
                                                  'asset'),
                        serverless.build_contents($1, $2, CASE WHEN page.on_page THEN page.id END,
                                                  'function'))
         AS resource;

-- Deletes a Build. Its second column is the reason for the outcome "active": the Environments on which the
-- Build is deployed.
-- $1 credential
-- $2 generation
-- $3 service_id
-- $4 service_unique_name
-- $5 build_id
-- $6 if_match
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
