-- What the background worker does with a Build. It acts for httpd and not for an account, so there is no
-- credential and no outcome.

-- Takes the oldest Build that waits for a worker, under a lease. The row's id is NULL where none waits.
-- $1 seconds: how long the lease lasts
-- $2 most_attempts: after so many leases the Build fails instead
-- kind: write
PREPARE build_claim (int, int) AS
SELECT claimed.service_id, claimed.id, claimed.lease_token, claimed.runtime, claimed.dependencies
  FROM serverless.claim_build($1, $2) AS claimed;

-- Lists the Versions in a Build with the size of their content, and whether all its bytes are there. Both
-- are NULL for a Version that was deleted.
-- $1 service_id
-- $2 build_id
-- kind: read
PREPARE build_parts (uuid, uuid) AS
SELECT b.version_id, b.path, c.size, b.kind,
       c.size = (SELECT coalesce(sum(octet_length(k.bytes)), 0) FROM serverless.content_chunks AS k
                  WHERE k.service_id = c.service_id AND k.sha256 = c.sha256) AS is_whole
  FROM serverless.build_versions AS b
  LEFT JOIN serverless.versions AS v ON v.service_id = b.service_id AND v.id = b.version_id
  LEFT JOIN serverless.contents AS c
         ON c.service_id = v.service_id AND c.sha256 = v.content_sha256
 WHERE b.service_id = $1 AND b.build_id = $2
 ORDER BY b.version_id;

-- Fetches a Version's content as text, or NULL where the bytes do not have the hash that they should.
-- $1 service_id
-- $2 version_id
-- kind: large read
PREPARE build_source (uuid, uuid) AS
WITH stored AS MATERIALIZED ( -- read once, compared and returned
         SELECT v.content_sha256, serverless.content_of(v.service_id, v.content_sha256) AS bytes
           FROM serverless.versions AS v
          WHERE v.service_id = $1 AND v.id = $2)
SELECT CASE WHEN sha256(bytes) = content_sha256 THEN convert_from(bytes, 'UTF8') END AS source
  FROM stored;

-- Ends a Build, if the worker's lease still holds. No row: it does not.
-- $1 service_id
-- $2 build_id
-- $3 lease_token: what build_claim returned
-- $4 status: completed or failed
-- $5 failure_reason: NULL unless it failed
-- kind: write
PREPARE build_finish (uuid, uuid, uuid, text, text) AS
UPDATE serverless.builds
   SET status = $4, failure_reason = $5, lease_token = NULL, lease_expires = NULL,
       date_updated = serverless.next_revision(date_updated)
 WHERE service_id = $1 AND id = $2 AND lease_token = $3 AND status = 'building'
RETURNING id;

-- Lets the lease of a Build last for so many seconds from now on, if it still holds. No row: it does not.
-- $1 service_id
-- $2 build_id
-- $3 lease_token: what build_claim returned
-- $4 seconds
-- kind: write
PREPARE build_extend (uuid, uuid, uuid, int) AS
UPDATE serverless.builds
   SET lease_expires = clock_timestamp() + make_interval(secs => $4)
 WHERE service_id = $1 AND id = $2 AND lease_token = $3 AND status = 'building'
RETURNING id;

-- Gives a Build back unfinished, if the lease still holds, and does not count the attempt. No row: it does
-- not hold.
-- $1 service_id
-- $2 build_id
-- $3 lease_token: what build_claim returned
-- kind: write
PREPARE build_release (uuid, uuid, uuid) AS
UPDATE serverless.builds
   SET lease_token = NULL, lease_expires = NULL, attempts = attempts - 1
 WHERE service_id = $1 AND id = $2 AND lease_token = $3 AND status = 'building'
RETURNING id;

-- Gives a Build the bundle of an earlier Build with the same Runtime and Dependencies, if the lease still holds.
-- $1 service_id
-- $2 build_id
-- $3 lease_token: what build_claim returned
-- $4 request_sha256: in hex
-- kind: write
PREPARE bundle_reuse (uuid, uuid, uuid, text) AS
SELECT serverless.reuse_bundle($1, $2, $3, decode($4, 'hex')) AS is_reused;

-- Inserts a bundle, or locks the one that is there. The row says whether it is new, and its chunks are to be
-- written by this transaction.
-- $1 service_id
-- $2 bundle_sha256: in hex
-- $3 size: of the compressed archive, in bytes
-- $4 stored_sha256: of the compressed archive, in hex
-- kind: write
PREPARE bundle_keep (uuid, text, bigint, text) AS
SELECT serverless.keep_bundle($1, decode($2, 'hex'), $3, decode($4, 'hex')) AS is_new;

-- Adds a chunk of a bundle.
-- $1 service_id
-- $2 bundle_sha256: in hex
-- $3 number
-- $4 chunk: base64
-- kind: write
PREPARE bundle_chunk_add (uuid, text, int, text) AS
INSERT INTO serverless.bundle_chunks (service_id, sha256, number, bytes)
VALUES ($1, decode($2, 'hex'), $3, decode($4, 'base64'))
RETURNING number;

-- Gives a Build its bundle, if the worker's lease still holds. No row: it does not.
-- $1 service_id
-- $2 build_id
-- $3 lease_token: what build_claim returned
-- $4 request_sha256: in hex
-- $5 bundle_sha256: in hex
-- $6 lock_file: JSON
-- kind: write
PREPARE bundle_assign (uuid, uuid, uuid, text, text, text) AS
INSERT INTO serverless.build_bundles AS u
SELECT b.service_id, b.id, decode($4, 'hex'), decode($5, 'hex'), $6::json
  FROM serverless.builds AS b
 WHERE b.service_id = $1 AND b.id = $2 AND b.lease_token = $3 AND b.status = 'building'
   FOR KEY SHARE
RETURNING u.build_id;
