-- What the background worker does with a Build. It acts for httpd, not for an account.

-- Takes a Build for $1 seconds; one that $2 workers have tried fails. No row's id: none waits.
-- kind: write
PREPARE build_claim (int, int) AS
SELECT claimed.service_id, claimed.id, claimed.lease_token
  FROM serverless.claim_build($1, $2) AS claimed;

-- What the Build $2 of the Service $1 contains, how large each is (NULL is gone), and whether all its
-- bytes are there.
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

-- The source of the Version $2, or NULL where its bytes are not those of its hash.
-- kind: large read
PREPARE build_source (uuid, uuid) AS
WITH stored AS MATERIALIZED ( -- read once, compared and returned
         SELECT v.content_sha256, serverless.content_of(v.service_id, v.content_sha256) AS bytes
           FROM serverless.versions AS v
          WHERE v.service_id = $1 AND v.id = $2)
SELECT CASE WHEN sha256(bytes) = content_sha256 THEN convert_from(bytes, 'UTF8') END AS source
  FROM stored;

-- Ends the Build $2 with the status $4 and, if it failed, the reason $5, if the lease $3 still holds.
-- kind: write
PREPARE build_finish (uuid, uuid, uuid, text, text) AS
UPDATE serverless.builds
   SET status = $4, failure_reason = $5, lease_token = NULL, lease_expires = NULL,
       date_updated = serverless.next_revision(date_updated)
 WHERE service_id = $1 AND id = $2 AND lease_token = $3 AND status = 'building'
RETURNING id;

-- Gives the Build $2 back unfinished, without its having been tried, if the lease $3 still holds.
-- kind: write
PREPARE build_release (uuid, uuid, uuid) AS
UPDATE serverless.builds
   SET lease_token = NULL, lease_expires = NULL, attempts = attempts - 1
 WHERE service_id = $1 AND id = $2 AND lease_token = $3 AND status = 'building'
RETURNING id;
