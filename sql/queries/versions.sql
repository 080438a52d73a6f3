-- Versions of Functions and Assets, and their content. ../README.md explains what all query files share.

-- Checks that the artifact is there, before the upload of its Version is read.
-- $1 credential
-- $2 generation
-- $3 service_id
-- $4 service_unique_name
-- $5 artifact_id
-- $6 artifact_kind
-- kind: read
PREPARE version_prepare (text, int, uuid, text, uuid, serverless.artifact_kind) AS
SELECT serverless.outcome(scope.account_id, scope.artifact_id) AS outcome
  FROM serverless.artifact_scope($1, $2, $3, $4, $5, $6) AS scope;

-- Creates a Version, with the first chunk of its content. Its last column says whether the other chunks are
-- wanted: they are not, where the Service has the same content already.
-- $1 credential
-- $2 generation
-- $3 service_id
-- $4 service_unique_name
-- $5 artifact_id
-- $6 artifact_kind
-- $7 path
-- $8 visibility
-- $9 content_type
-- $10 sha256: of the content, in hex
-- $11 size: of the content, in bytes
-- $12 chunk: the first 256 KiB of the content, in base64
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

-- Adds a chunk of a content.
-- $1 service_id
-- $2 sha256: of the content, in hex
-- $3 number: from 0
-- $4 chunk: base64
-- kind: write
PREPARE content_chunk_add (uuid, text, int, text) AS
INSERT INTO serverless.content_chunks (service_id, sha256, number, bytes)
VALUES ($1, decode($2, 'hex'), $3, decode($4, 'base64'))
RETURNING number;

-- Fetches a chunk of a content, in hex: PostgreSQL breaks base64 into lines.
-- $1 service_id
-- $2 sha256: of the content, in hex
-- $3 number: from 0
-- kind: large read
PREPARE content_chunk_fetch (uuid, text, int) AS
SELECT encode(k.bytes, 'hex') AS chunk
  FROM serverless.content_chunks AS k
 WHERE k.service_id = $1 AND k.sha256 = decode($2, 'hex') AND k.number = $3;

-- Fetches a Version.
-- $1 credential
-- $2 generation
-- $3 service_id
-- $4 service_unique_name
-- $5 artifact_id
-- $6 version_id
-- $7 artifact_kind
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

-- Fetches a Version's content as text.
-- $1 credential
-- $2 generation
-- $3 service_id
-- $4 service_unique_name
-- $5 artifact_id
-- $6 version_id
-- $7 artifact_kind
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

-- Fetches what httpd needs to know of a Version's content before it reads the chunks.
-- $1 credential
-- $2 generation
-- $3 service_id
-- $4 service_unique_name
-- $5 artifact_id
-- $6 version_id
-- $7 artifact_kind
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

-- Lists a Function's or Asset's Versions: one page.
-- $1 credential
-- $2 generation
-- $3 service_id
-- $4 service_unique_name
-- $5 artifact_id
-- $6 artifact_kind
-- $7 page_start
-- $8 page_end
-- $9 page_size
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
