-- Variables. httpd encrypts and decrypts their values: core/crypto/secret.h has the form of an encrypted
-- one. ../README.md explains what all query files share.

-- Makes the identity that a new Variable will have, and finds its Environment: httpd binds the encrypted
-- value to both. Writes nothing.
-- $1 credential
-- $2 generation
-- $3 service_id
-- $4 service_unique_name
-- $5 environment_id
-- kind: read
PREPARE variable_prepare (text, int, uuid, text, uuid) AS
SELECT serverless.outcome(scope.account_id, scope.environment_id) AS outcome,
       identity.id, scope.environment_id
  FROM serverless.environment_scope($1, $2, $3, $4, $5) AS scope,
       serverless.new_identity() AS identity;

-- Creates a Variable.
-- $1 credential
-- $2 generation
-- $3 service_id
-- $4 service_unique_name
-- $5 environment_id
-- $6 variable_id: from variable_prepare
-- $7 key
-- $8 sealed: the encrypted value
-- kind: write
PREPARE variable_create (text, int, uuid, text, uuid, uuid, text, text) AS
WITH scope AS (SELECT * FROM serverless.environment_scope($1, $2, $3, $4, $5)),
     created AS (
         SELECT c.* FROM scope,
                serverless.create_variable(scope.service_id, scope.environment_id, $6, $7, $8) AS c
          WHERE scope.environment_id IS NOT NULL)
SELECT CASE WHEN scope.environment_id IS NULL
            THEN serverless.outcome(scope.account_id, scope.environment_id)
            ELSE created.outcome END AS outcome, resource.*,
       (SELECT route_wait FROM serverless.settings) AS route_wait
  FROM scope
  LEFT JOIN created ON true
  LEFT JOIN LATERAL serverless.variable_resource(scope.account_id, scope.service_id,
                                                 scope.environment_id, created.variable)
         AS resource ON true;

-- Fetches a Variable.
-- $1 credential
-- $2 generation
-- $3 service_id
-- $4 service_unique_name
-- $5 environment_id
-- $6 variable_id
-- kind: read
PREPARE variable_fetch (text, int, uuid, text, uuid, uuid) AS
SELECT serverless.outcome(scope.account_id, v.id) AS outcome, resource.*
  FROM serverless.environment_scope($1, $2, $3, $4, $5) AS scope
  LEFT JOIN serverless.variables AS v
         ON v.service_id = scope.service_id AND v.environment_id = scope.environment_id
        AND v.id = $6
  LEFT JOIN LATERAL serverless.variable_resource(scope.account_id, scope.service_id,
                                                 scope.environment_id, v)
         AS resource ON true;

-- Lists an Environment's Variables: one page.
-- $1 credential
-- $2 generation
-- $3 service_id
-- $4 service_unique_name
-- $5 environment_id
-- $6 page_start
-- $7 page_end
-- $8 page_size
-- kind: read
PREPARE variable_list (text, int, uuid, text, uuid, uuid, uuid, int) AS
SELECT serverless.outcome(scope.account_id, scope.environment_id) AS outcome, resource.*,
       page.on_page, previous.has_newer
  FROM serverless.environment_scope($1, $2, $3, $4, $5) AS scope
 CROSS JOIN LATERAL
       (SELECT (array_agg(near.id))[(count(*) FILTER (WHERE near.fits))::int] AS page_start,
               NOT bool_and(near.fits) AS has_newer
          FROM (SELECT newer.id,
                       row_number() OVER run <= $8
                       AND sum(newer.bytes) OVER run <= serverless.page_bytes() AS fits
                  FROM (SELECT v.id, serverless.variable_bytes(v) AS bytes
                          FROM serverless.variables AS v
                         WHERE v.service_id = scope.service_id
                           AND v.environment_id = scope.environment_id
                           AND v.id > $7
                         ORDER BY v.id
                         LIMIT $8 + 1) AS newer
                WINDOW run AS (ROWS UNBOUNDED PRECEDING)) AS near) AS previous
  LEFT JOIN LATERAL
       (SELECT measured.*,
               measured.total <= serverless.page_bytes()
               AND (previous.page_start IS NULL OR measured.id > $7) AS on_page
          FROM (SELECT rows.*, sum(rows.bytes) OVER (ROWS UNBOUNDED PRECEDING) AS total
                  FROM (SELECT v.*, serverless.variable_bytes(v) AS bytes
                          FROM serverless.variables AS v
                         WHERE v.service_id = scope.service_id
                           AND v.environment_id = scope.environment_id
                           AND v.id <= coalesce(previous.page_start, $6)
                         ORDER BY v.id DESC
                         LIMIT $8 + 1) AS rows) AS measured
         WHERE measured.total - measured.bytes <= serverless.page_bytes()) AS page ON true
  LEFT JOIN LATERAL serverless.variable_resource(
                        scope.account_id, scope.service_id, scope.environment_id,
                        ROW(page.service_id, page.id, page.environment_id, page.key,
                            page.sealed_with, page.sealed, page.date_created,
                            page.date_updated)::serverless.variables)
         AS resource ON true;

-- Changes a Variable. What is NULL stays as it is.
-- $1 credential
-- $2 generation
-- $3 service_id
-- $4 service_unique_name
-- $5 environment_id
-- $6 variable_id
-- $7 if_match
-- $8 key
-- $9 sealed: the encrypted value
-- kind: write
PREPARE variable_update (text, int, uuid, text, uuid, uuid, bigint[], text, text) AS
WITH scope AS (SELECT * FROM serverless.environment_scope($1, $2, $3, $4, $5)),
     changed AS (
         SELECT c.* FROM scope,
                serverless.update_variable(scope.service_id, scope.environment_id, $6, $7, $8, $9) AS c
          WHERE scope.environment_id IS NOT NULL)
SELECT CASE WHEN scope.environment_id IS NULL
            THEN serverless.outcome(scope.account_id, scope.environment_id)
            ELSE changed.outcome END AS outcome, resource.*,
       (SELECT route_wait FROM serverless.settings) AS route_wait
  FROM scope
  LEFT JOIN changed ON true
  LEFT JOIN LATERAL serverless.variable_resource(scope.account_id, scope.service_id,
                                                 scope.environment_id, changed.updated)
         AS resource ON true;

-- Deletes a Variable.
-- $1 credential
-- $2 generation
-- $3 service_id
-- $4 service_unique_name
-- $5 environment_id
-- $6 variable_id
-- $7 if_match
-- kind: write
PREPARE variable_delete (text, int, uuid, text, uuid, uuid, bigint[]) AS
WITH scope AS (SELECT * FROM serverless.environment_scope($1, $2, $3, $4, $5)),
     deleted AS (
         DELETE FROM serverless.variables AS v
          USING scope
          WHERE v.service_id = scope.service_id AND v.environment_id = scope.environment_id
            AND v.id = $6 AND serverless.is_revision(v.date_updated, $7)
         RETURNING v.id)
SELECT serverless.outcome(scope.account_id, deleted.id, there.id, $7) AS outcome,
       (SELECT route_wait FROM serverless.settings) AS route_wait
  FROM scope
  LEFT JOIN serverless.variables AS there
         ON there.service_id = scope.service_id AND there.environment_id = scope.environment_id
        AND there.id = $6
  LEFT JOIN deleted ON true;

-- Reads values that are encrypted with a key, in the order of Service and Variable, with what each is bound
-- to. For httpd itself, which encrypts them with another key.
-- $1 key_id: the key
-- $2 service_id: begin behind this Service and Variable
-- $3 variable_id
-- $4 most: how many at most
-- kind: read
PREPARE variable_sealed (text, uuid, uuid, int) AS
SELECT v.service_id, v.id, v.environment_id, serverless.sealed_text(v) AS sealed
  FROM serverless.variables AS v
 WHERE v.sealed_with = $1 AND (v.service_id, v.id) > ($2, $3)
 ORDER BY v.service_id, v.id
 LIMIT $4;

-- Replaces an encrypted value by the same value under another key, if it is still the same. date_updated
-- stays, because the Variable is the same for its owner.
-- $1 service_id
-- $2 variable_id
-- $3 sealed: the encrypted value that was read
-- $4 resealed: the one in its place
-- kind: write
PREPARE variable_reseal (uuid, uuid, text, text) AS
UPDATE serverless.variables AS v
   SET sealed_with = serverless.sealed_with($4), sealed = serverless.sealed_bytes($4)
 WHERE v.service_id = $1 AND v.id = $2 AND serverless.sealed_text(v) = $3
RETURNING v.id;
