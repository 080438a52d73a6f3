-- Requests to domains. ../README.md explains what all query files share.

-- Finds the Environment whose domain has a label. Returns one row always: the lease in milliseconds, whether
-- it is being changed or nobody has chosen it, and the route, which is NULL where there is no such Environment.
-- $1 domain_label: the first label of the domain
-- kind: read
PREPARE route_by_label (text) AS
SELECT s.route_lease, s.route_lease IS DISTINCT FROM s.route_lease_wanted AS is_changing, route.*
  FROM serverless.settings AS s
  LEFT JOIN serverless.environments AS e ON e.domain_label = $1
  LEFT JOIN LATERAL serverless.route_of(e) AS route ON true;

-- Finds an Environment by its ids, as route_by_label does.
-- $1 service_id
-- $2 environment_id
-- kind: read
PREPARE route_by_id (uuid, uuid) AS
SELECT s.route_lease, s.route_lease IS DISTINCT FROM s.route_lease_wanted AS is_changing, route.*
  FROM serverless.settings AS s
  LEFT JOIN serverless.environments AS e ON e.service_id = $1 AND e.id = $2
  LEFT JOIN LATERAL serverless.route_of(e) AS route ON true;

-- Has routes used under a lease of 50 ms, unless another one was chosen. Takes several calls, each a transaction
-- of its own; returns whether it is done.
-- kind: write
PREPARE route_lease_begin AS
SELECT serverless.begin_route_lease() AS is_done;

-- Lists what a Build serves: its Versions by their paths. The content is NULL where a Version was deleted, which
-- is possible as soon as the Build is not deployed. A Build without Versions is one row of NULLs, but for its
-- Runtime.
-- $1 service_id
-- $2 build_id
-- kind: large read
PREPARE build_files (uuid, uuid) AS
SELECT b.path, b.version_id, b.kind, b.visibility, encode(v.content_sha256, 'hex') AS sha256,
       c.size, v.content_type, serverless.epoch(b.date_created) AS date_created, build.runtime,
       v.artifact_id
  FROM serverless.builds AS build
  LEFT JOIN serverless.build_versions AS b
         ON b.service_id = build.service_id AND b.build_id = build.id
  LEFT JOIN serverless.versions AS v ON v.service_id = b.service_id AND v.id = b.version_id
  LEFT JOIN serverless.contents AS c
         ON c.service_id = v.service_id AND c.sha256 = v.content_sha256
 WHERE build.service_id = $1 AND build.id = $2;

-- Lists the files that an isolate has of a Build: its Functions and its private Assets. The content is NULL where
-- a Version was deleted. There is no row where the Build was deleted.
-- $1 service_id
-- $2 build_id
-- kind: large read
PREPARE build_sources (uuid, uuid) AS
SELECT b.path, b.version_id, b.kind, b.visibility, encode(v.content_sha256, 'hex') AS sha256, c.size
  FROM serverless.build_versions AS b
  LEFT JOIN serverless.versions AS v ON v.service_id = b.service_id AND v.id = b.version_id
  LEFT JOIN serverless.contents AS c
         ON c.service_id = v.service_id AND c.sha256 = v.content_sha256
 WHERE b.service_id = $1 AND b.build_id = $2 AND (b.kind = 'function' OR b.visibility = 'private');

-- Reads all Variables of an Environment, encrypted.
-- $1 service_id
-- $2 environment_id
-- kind: read
PREPARE context_variables (uuid, uuid) AS
SELECT v.key, v.id, serverless.sealed_text(v) AS sealed
  FROM serverless.variables AS v
 WHERE v.service_id = $1 AND v.environment_id = $2;

-- Finds the bundle of a Build. No row: the Build has none.
-- $1 service_id
-- $2 build_id
-- kind: read
PREPARE bundle_of_build (uuid, uuid) AS
SELECT encode(u.bundle_sha256, 'hex') AS sha256, b.size, encode(b.stored_sha256, 'hex') AS stored_sha256
  FROM serverless.build_bundles AS u
  JOIN serverless.bundles AS b ON b.service_id = u.service_id AND b.sha256 = u.bundle_sha256
 WHERE u.service_id = $1 AND u.build_id = $2;

-- Fetches a chunk of a bundle, in hex: PostgreSQL breaks base64 into lines.
-- $1 service_id
-- $2 bundle_sha256: in hex
-- $3 number
-- kind: large read
PREPARE bundle_chunk_fetch (uuid, text, int) AS
SELECT encode(k.bytes, 'hex') AS chunk
  FROM serverless.bundle_chunks AS k
 WHERE k.service_id = $1 AND k.sha256 = decode($2, 'hex') AND k.number = $3;
