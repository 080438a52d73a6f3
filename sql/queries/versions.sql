-- Versions of Functions and of Assets. Every statement begins with the credential ($1), the generation
-- of its secret ($2), the Service by SID ($3) or UniqueName ($4), the artifact ($5), the Version where
-- there is one, and the kind of artifact.

-- Whether the artifact is there, before its Version's bytes are taken in.
-- kind: read
PREPARE version_prepare (text, int, uuid, text, uuid, serverless.artifact_kind) AS
SELECT serverless.outcome(scope.account_id, scope.artifact_id) AS outcome
  FROM serverless.artifact_scope($1, $2, $3, $4, $5, $6) AS scope;

-- $7 Path, $8 Visibility, $9 the type of the content, $10 its SHA-256 in hex, $11 its size, $12 its
-- first chunk in base64. After the resource's columns: whether the other chunks are wanted.
-- kind: write
PREPARE version_create (text, int, uuid, text, uuid, serverless.artifact_kind, text, text, text, text,
                        bigint, text) AS
WITH scope AS (SELECT * FROM serverless.artifact_scope($1, $2, $3, $4, $5, $6)),
     created AS (
         SELECT c.* FROM scope,
                serverless.create_version(scope.service_id, $6, scope.artifact_id, $7, $8, $9,
                                          decode($10, 'hex'), $11, $12) AS c
          WHERE scope.artifact_id IS NOT NULL)
SELECT serverless.outcome(scope.account_id, (created.version).id) AS outcome, resource.*,
       created.fresh
  FROM scope
  LEFT JOIN created ON true
  LEFT JOIN LATERAL serverless.version_resource(scope.account_id, scope.service_id,
                                                scope.artifact_id, created.version)
         AS resource ON true;

-- One more chunk ($4, base64) of the content with the hash $2 in the Service $1.
-- kind: write
PREPARE content_chunk_add (uuid, text, int, text) AS
INSERT INTO serverless.content_chunks (service_id, sha256, number, bytes)
VALUES ($1, decode($2, 'hex'), $3, decode($4, 'base64'))
RETURNING number;

-- Chunk $3 of the content with the hash $2 in the Service $1, in hex: PostgreSQL breaks base64 into lines.
-- kind: large read
PREPARE content_chunk_fetch (uuid, text, int) AS
SELECT encode(k.bytes, 'hex') AS chunk
  FROM serverless.content_chunks AS k
 WHERE k.service_id = $1 AND k.sha256 = decode($2, 'hex') AND k.number = $3;

-- kind: read
PREPARE version_fetch (text, int, uuid, text, uuid, uuid, serverless.artifact_kind) AS
SELECT serverless.outcome(scope.account_id, v.id) AS outcome, resource.*
  FROM serverless.artifact_scope($1, $2, $3, $4, $5, $7) AS scope
  LEFT JOIN serverless.versions AS v
         ON v.service_id = scope.service_id AND v.kind = $7
        AND v.artifact_id = scope.artifact_id AND v.id = $6
  LEFT JOIN LATERAL serverless.version_resource(scope.account_id, scope.service_id,
                                                scope.artifact_id, v)
         AS resource ON true;

-- With the content as text.
-- kind: large read
PREPARE version_content (text, int, uuid, text, uuid, uuid, serverless.artifact_kind) AS
SELECT serverless.outcome(scope.account_id, v.id) AS outcome,
       v.id AS sid, scope.account_id AS account_sid, scope.service_id AS service_sid,
       scope.artifact_id AS artifact_sid,
       convert_from(serverless.content_of(v.service_id, v.content_sha256), 'UTF8') AS content
  FROM serverless.artifact_scope($1, $2, $3, $4, $5, $7) AS scope
  LEFT JOIN serverless.versions AS v
         ON v.service_id = scope.service_id AND v.kind = $7
        AND v.artifact_id = scope.artifact_id AND v.id = $6;

-- What is to be known of the content before its bytes are read, chunk by chunk.
-- kind: read
PREPARE version_content_head (text, int, uuid, text, uuid, uuid, serverless.artifact_kind) AS
SELECT serverless.outcome(scope.account_id, v.id) AS outcome, scope.service_id,
       encode(c.sha256, 'hex') AS sha256, c.size, v.content_type,
       serverless.epoch(v.date_created) AS date_created
  FROM serverless.artifact_scope($1, $2, $3, $4, $5, $7) AS scope
  LEFT JOIN serverless.versions AS v
         ON v.service_id = scope.service_id AND v.kind = $7
        AND v.artifact_id = scope.artifact_id AND v.id = $6
  LEFT JOIN serverless.contents AS c
         ON c.service_id = v.service_id AND c.sha256 = v.content_sha256;

-- Pages as in artifacts.sql: $7 begins, $8 ends, $9 is the size.
-- kind: read
PREPARE version_list (text, int, uuid, text, uuid, serverless.artifact_kind, uuid, uuid, int) AS
SELECT serverless.outcome(scope.account_id, scope.artifact_id) AS outcome, resource.*
  FROM serverless.artifact_scope($1, $2, $3, $4, $5, $6) AS scope
  LEFT JOIN LATERAL (
           SELECT v.*
             FROM serverless.versions AS v
            WHERE v.service_id = scope.service_id AND v.kind = $6
              AND v.artifact_id = scope.artifact_id
              AND v.id <= coalesce(
                      (SELECT (array_agg(newer.id))[$9]
                         FROM (SELECT id FROM serverless.versions
                                WHERE service_id = scope.service_id AND kind = $6
                                  AND artifact_id = scope.artifact_id AND id > $8
                                ORDER BY id LIMIT $9) AS newer), $7)
            ORDER BY v.id DESC
            LIMIT $9 + 1) AS page ON true
  LEFT JOIN LATERAL serverless.version_resource(scope.account_id, scope.service_id,
                                                scope.artifact_id, ROW(page.*)::serverless.versions)
         AS resource ON true;
