-- Idempotency keys. Each statement but the last begins with the credential ($1), the generation of its
-- secret ($2), and the SHA-256 of the key, in hex ($3).

-- $4 is the request's fingerprint in hex. After the outcome: what the request has created before.
-- kind: write
PREPARE idempotency_key_claim (text, int, text, text) AS
WITH scope AS (SELECT account_id FROM serverless.account_scope($1, $2)),
     claimed AS (
         SELECT c.* FROM scope,
                serverless.claim_idempotency_key(scope.account_id, decode($3, 'hex'),
                                                 decode($4, 'hex')) AS c
          WHERE scope.account_id IS NOT NULL)
SELECT coalesce(claimed.outcome, 'unauthenticated') AS outcome, claimed.resource_id
  FROM scope
  LEFT JOIN claimed ON true;

-- The key has created $5 in the Service $4.
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

-- Removes at most $1 keys that nobody can use any more, and says how many it were.
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
