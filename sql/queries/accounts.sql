-- Credentials and what a fresh connection needs to know.

-- What every connection asks first: does the schema fit, and with what are page tokens signed. And what
-- it says: a statement is planned once in its session, not for each request's values. They make no
-- difference to these plans, while planning costs as much as running one.
-- kind: read
PREPARE session_begin AS
SELECT (SELECT max(version) FROM serverless.schema_migrations) AS version,
       encode(page_token_key, 'hex') AS page_token_key,
       set_config('plan_cache_mode', 'force_generic_plan', false)
  FROM serverless.settings;

-- kind: read
PREPARE credential_secret (text) AS
SELECT encode(secret_hash, 'hex') AS secret_hash, generation
  FROM serverless.principals
 WHERE sid = $1;

-- What a batch of reads begins with: as long as it is the same, credentials are what they were.
-- kind: read
PREPARE credentials_tag AS
SELECT credentials_tag FROM serverless.settings;

-- Answers that need no other statement still ask whether the credential holds.
-- kind: read
PREPARE credential_check (text, int) AS
SELECT serverless.outcome(scope.account_id, scope.account_id) AS outcome
  FROM serverless.account_scope($1, $2) AS scope;
