-- Credentials and what a fresh connection needs to know.

-- What every connection asks first: does the schema fit, and with what are page tokens signed.
-- kind: read
PREPARE session_begin AS
SELECT (SELECT max(version) FROM serverless.schema_migrations) AS version,
       encode(page_token_key, 'hex') AS page_token_key
  FROM serverless.settings;

-- kind: read
PREPARE credential_secret (text) AS
SELECT encode(secret_hash, 'hex') AS secret_hash, generation
  FROM serverless.principals
 WHERE sid = $1;

-- Answers that need no other statement still ask whether the credential holds.
-- kind: read
PREPARE credential_check (text, int) AS
SELECT serverless.outcome(scope.account_id, scope.account_id) AS outcome
  FROM serverless.account_scope($1, $2) AS scope;
