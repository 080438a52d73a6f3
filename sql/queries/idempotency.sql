-- Idempotency keys. ../README.md explains what all query files share.

-- Claims a key for the transaction that creates something. Its second column is the id of what the same
-- request has created before, or NULL.
-- $1 credential
-- $2 generation
-- $3 key_hash: SHA-256 of the key, in hex
-- $4 fingerprint: SHA-256 of the request, in hex
-- kind: write
PREPARE idempotency_key_claim (text, int, text, text) AS
WITH scope AS (SELECT account_id FROM serverless.account_scope($1, $2)),
     claimed AS (
         SELECT c.* FROM scope,
                serverless.claim_idempotency_key(scope.account_id, decode($3, 'hex'),
                                                 decode($4, 'hex')) AS c
          WHERE scope.account_id IS NOT NULL)
SELECT coalesce(claimed.outcome, 'unauthenticated') AS outcome, claimed.resource_id,
       (SELECT route_wait FROM serverless.settings) AS route_wait
  FROM scope
  LEFT JOIN claimed ON true;

-- Records what was created under a key, which this transaction has claimed.
-- $1 credential
-- $2 generation
-- $3 key_hash: SHA-256 of the key, in hex
-- $4 service_id
-- $5 resource_id: what was created
-- kind: write
PREPARE idempotency_key_record (text, int, text, uuid, uuid) AS
WITH scope AS (SELECT account_id FROM serverless.account_scope($1, $2)),
     recorded AS (
         UPDATE serverless.idempotency_keys AS k
            SET service_id = $4, resource_id = $5, date_created = clock_timestamp()
           FROM scope
          WHERE k.account_id = scope.account_id AND k.key_hash = decode($3, 'hex')
         RETURNING k.resource_id)
SELECT serverless.outcome(scope.account_id, recorded.resource_id) AS outcome
  FROM scope
  LEFT JOIN recorded ON true;

-- Deletes keys that are older than a day, and returns how many it deleted. Skips rows that another
-- session has locked.
-- $1 most: how many at most
-- kind: write
PREPARE idempotency_key_expire (int) AS
WITH expired AS (
         DELETE FROM serverless.idempotency_keys
          WHERE ctid = ANY (ARRAY(
                    SELECT old.ctid FROM serverless.idempotency_keys AS old
                     WHERE serverless.idempotency_key_expires(old.date_created)
                     ORDER BY old.date_created
                     LIMIT $1
                       FOR UPDATE SKIP LOCKED))
         RETURNING 1)
SELECT count(*) AS expired FROM expired;
