-- The secrets that signatures of requests to protected paths are checked with. They are encrypted:
-- core/crypto/README.md has the form. ../README.md explains what all query files share. httpd acts here for
-- itself, so there is no credential and no outcome.

-- Reads the secrets of an Environment: its Variables AUTH_TOKEN and ACCOUNT_SID, whose name is in the first
-- column, and its account's signing keys, with an empty first column and the milliseconds left to an old key.
-- $1 service_id
-- $2 environment_id
-- $3 account_id
-- kind: read
PREPARE signing_secrets (uuid, uuid, uuid) AS
SELECT v.key AS variable, v.id, serverless.sealed_text(v) AS sealed, NULL::bigint AS milliseconds
  FROM serverless.variables AS v
 WHERE v.service_id = $1 AND v.environment_id = $2 AND v.key IN ('AUTH_TOKEN', 'ACCOUNT_SID')
 UNION ALL
SELECT '', k.id, serverless.sealed_signing_key(k),
       (1000 * extract(epoch FROM k.date_expires - clock_timestamp()))::bigint
  FROM serverless.signing_keys AS k
 WHERE k.account_id = $3 AND (k.date_expires IS NULL OR k.date_expires > clock_timestamp());

-- Reads signing keys that are encrypted with a key, in the order of account and id, as variable_sealed does.
-- $1 key_id: the key
-- $2 account_id: begin behind this signing key
-- $3 signing_key_id
-- $4 most: how many at most
-- kind: read
PREPARE signing_key_sealed (text, uuid, uuid, int) AS
SELECT k.account_id, k.id, k.account_id AS bound_to, serverless.sealed_signing_key(k) AS sealed
  FROM serverless.signing_keys AS k
 WHERE k.sealed_with = $1 AND (k.account_id, k.id) > ($2, $3)
 ORDER BY k.account_id, k.id
 LIMIT $4;

-- Replaces an encrypted signing key by the same key, encrypted with another one, if it is still the same.
-- $1 account_id
-- $2 signing_key_id
-- $3 sealed: the encrypted signing key that was read
-- $4 resealed: the one in its place
-- kind: write
PREPARE signing_key_reseal (uuid, uuid, text, text) AS
UPDATE serverless.signing_keys AS k
   SET sealed_with = serverless.sealed_with($4), sealed = serverless.sealed_bytes($4)
 WHERE k.account_id = $1 AND k.id = $2 AND serverless.sealed_signing_key(k) = $3
RETURNING k.id;
