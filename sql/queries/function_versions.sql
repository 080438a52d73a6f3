-- Function Versions. Every statement begins with the credential ($1), the generation of its secret
-- ($2), the Service by SID ($3) or UniqueName ($4) and the Function ($5).

-- Whether the Function is there, before its Version's bytes are taken in.
-- kind: read
PREPARE function_version_prepare (text, int, uuid, text, uuid) AS
SELECT serverless.outcome(scope.account_id, scope.function_id) AS outcome
  FROM serverless.function_scope($1, $2, $3, $4, $5) AS scope;

-- $6 Path, $7 Visibility, $8 SHA-256 in hex, $9 size, $10 the first chunk in base64. After the
-- resource's columns: whether the other chunks are wanted.
-- kind: write
PREPARE function_version_create (text, int, uuid, text, uuid, text, text, text, bigint, text) AS
WITH scope AS (SELECT * FROM serverless.function_scope($1, $2, $3, $4, $5)),
     created AS (
         SELECT c.* FROM scope,
                serverless.create_version(scope.service_id, scope.function_id, $6, $7,
                                          decode($8, 'hex'), $9, $10) AS c
          WHERE scope.function_id IS NOT NULL)
SELECT serverless.outcome(scope.account_id, (created.version).id) AS outcome, resource.*,
       created.fresh
  FROM scope
  LEFT JOIN created ON true
  LEFT JOIN LATERAL serverless.function_version_resource(scope.account_id, scope.service_id,
                                                         scope.function_id, created.version)
         AS resource ON true;

-- One more chunk ($4, base64) of the content with the hash $2 in the Service $1.
-- kind: write
PREPARE content_chunk_add (uuid, text, int, text) AS
INSERT INTO serverless.content_chunks (service_id, sha256, number, bytes)
VALUES ($1, decode($2, 'hex'), $3, decode($4, 'base64'))
RETURNING number;

-- kind: read
PREPARE function_version_fetch (text, int, uuid, text, uuid, uuid) AS
SELECT serverless.outcome(scope.account_id, v.id) AS outcome, resource.*
  FROM serverless.function_scope($1, $2, $3, $4, $5) AS scope
  LEFT JOIN serverless.versions AS v
         ON v.service_id = scope.service_id AND v.function_id = scope.function_id AND v.id = $6
  LEFT JOIN LATERAL serverless.function_version_resource(scope.account_id, scope.service_id,
                                                         scope.function_id, v)
         AS resource ON true;

-- kind: read
PREPARE function_version_content (text, int, uuid, text, uuid, uuid) AS
SELECT serverless.outcome(scope.account_id, v.id) AS outcome,
       v.id AS sid, scope.account_id AS account_sid, scope.service_id AS service_sid,
       scope.function_id AS function_sid,
       convert_from(serverless.content_of(v.service_id, v.content_sha256), 'UTF8') AS content
  FROM serverless.function_scope($1, $2, $3, $4, $5) AS scope
  LEFT JOIN serverless.versions AS v
         ON v.service_id = scope.service_id AND v.function_id = scope.function_id AND v.id = $6;

-- Pages as in functions.sql: $6 begins, $7 ends, $8 is the size.
-- kind: read
PREPARE function_version_list (text, int, uuid, text, uuid, uuid, uuid, int) AS
SELECT serverless.outcome(scope.account_id, scope.function_id) AS outcome, resource.*
  FROM serverless.function_scope($1, $2, $3, $4, $5) AS scope
  LEFT JOIN LATERAL (
           SELECT v
             FROM serverless.versions AS v
            WHERE v.service_id = scope.service_id AND v.function_id = scope.function_id
              AND v.id <= coalesce(
                      (SELECT (array_agg(newer.id))[$8]
                         FROM (SELECT id FROM serverless.versions
                                WHERE service_id = scope.service_id
                                  AND function_id = scope.function_id AND id > $7
                                ORDER BY id LIMIT $8) AS newer), $6)
            ORDER BY v.id DESC
            LIMIT $8 + 1) AS page ON true
  LEFT JOIN LATERAL serverless.function_version_resource(scope.account_id, scope.service_id,
                                                         scope.function_id, page.v)
         AS resource ON true;
