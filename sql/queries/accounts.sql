-- Credentials, and what a new connection asks first. ../README.md explains what all query files share.

-- Reads the schema's version, the key that page tokens are signed with, and the session's
-- statement_timeout in seconds, 0 for none; and has the session plan
-- each statement once: the plans do not depend on the values, and planning costs as much as running.
-- Sets the search_path, so that names in later statements are PostgreSQL's own, whatever the settings of
-- the role or database are and whatever objects the schema "public" has. Names pg_catalog itself for the
-- same reason: it is the first statement of every connection.
-- kind: read
PREPARE session_begin AS
SELECT (SELECT pg_catalog.max(version) FROM serverless.schema_migrations) AS version,
       pg_catalog.encode(page_token_key, 'hex') AS page_token_key,
       pg_catalog.date_part('epoch', pg_catalog.current_setting('statement_timeout')::pg_catalog.interval)
           AS statement_timeout,
       pg_catalog.set_config('plan_cache_mode', 'force_generic_plan', false),
       pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', false)
  FROM serverless.settings;

-- Fetches the hash of a credential's secret, to check a password against, its account and its state: active,
-- suspended or revoked. No row: no such credential.
-- $1 credential
-- kind: read
PREPARE credential_secret (text) AS
SELECT encode(secret_hash, 'hex') AS secret_hash, generation, account_id,
       CASE WHEN date_revoked IS NOT NULL THEN 'revoked' WHEN is_suspended THEN 'suspended' ELSE 'active' END AS state
  FROM serverless.credentials
 WHERE sid = $1;

-- Reads the credentials epoch: a value that changes whenever a credential loses a right
-- (012_credentials_tag.sql). Every batch of reads begins with it.
-- kind: read
PREPARE credentials_epoch AS
SELECT credentials_epoch FROM serverless.settings;

-- Checks that a credential still holds, for answers that need no other statement.
-- $1 credential
-- $2 generation
-- kind: read
PREPARE credential_check (text, int) AS
SELECT serverless.outcome(scope.account_id, scope.account_id) AS outcome
  FROM serverless.account_scope($1, $2) AS scope;
