-- The schema itself, the one clock that names and dates everything, accounts and their credentials.

DO $$
BEGIN
    IF getdatabaseencoding() <> 'UTF8' THEN
        RAISE EXCEPTION 'the database must be encoded in UTF8, not %', getdatabaseencoding()
            USING HINT = 'createdb --encoding=UTF8 --template=template0';
    END IF;
END
$$;

CREATE SCHEMA serverless;

CREATE TABLE serverless.schema_migrations (
    version    int         PRIMARY KEY,
    name       text        NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
);


-- Keys and dates -----------------------------------------------------------------------------

-- Makes a key of a time: 56 bits of microseconds since 1970, then the 72 bits of `noise`, which is 18 hex
-- digits. So the order of keys is the order of their times. A time before 1970 counts as 1970, and one
-- that is too late for 56 bits as the last one that is not.
CREATE FUNCTION serverless.key_at(at timestamptz, noise text) RETURNS uuid
LANGUAGE sql STABLE AS $$
    SELECT (lpad(to_hex(least(greatest(extract(epoch FROM at) * 1000000, 0),
                              72057594037927935)::bigint), 14, '0') || noise)::uuid
$$;

-- Makes a new resource's key and its date of creation, from one reading of the database server's clock,
-- so that all httpd nodes share one clock. In PL/pgSQL, which keeps its plans for the session: a function
-- in SQL that cannot be inlined is parsed and planned in each statement.
CREATE FUNCTION serverless.new_identity(OUT id uuid, OUT made timestamptz)
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    -- a version 4 UUID has six fixed bits, all in the middle
    noise text := replace(gen_random_uuid()::text, '-', '');
BEGIN
    made := clock_timestamp();
    id := lpad(to_hex(serverless.epoch(made)), 14, '0') || left(noise, 12) || right(noise, 6);
END
$$;

CREATE FUNCTION serverless.random_bytes() RETURNS bytea
LANGUAGE sql VOLATILE AS $$
    SELECT sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())
                  || uuid_send(gen_random_uuid()))
$$;

-- Returns a date as microseconds since 1970 (APR's apr_time_t), whatever the session's DateStyle is.
-- STABLE, because date_part() of a timestamptz is STABLE: a function that promises more than the functions
-- that it calls is not inlined. The cast rounds.
CREATE FUNCTION serverless.epoch(at timestamptz) RETURNS bigint
LANGUAGE sql STABLE AS $$ SELECT (date_part('epoch', at) * 1000000)::bigint $$;

CREATE FUNCTION serverless.sid(prefix text, id uuid) RETURNS text
LANGUAGE sql IMMUTABLE AS $$ SELECT prefix || replace(id::text, '-', '') $$;


-- Settings that every httpd node shares ------------------------------------------------------

CREATE TABLE serverless.settings (
    only_row       boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    page_token_key bytea   NOT NULL CHECK (octet_length(page_token_key) = 32)
);

INSERT INTO serverless.settings (page_token_key) VALUES (serverless.random_bytes());


-- Accounts and credentials -------------------------------------------------------------------

CREATE TABLE serverless.accounts (
    id             uuid        PRIMARY KEY,
    friendly_name  text        NOT NULL CHECK (char_length(friendly_name) BETWEEN 1 AND 255),
    date_created   timestamptz NOT NULL,
    date_suspended timestamptz
);

-- An account's own credential (its SID and auth token) or one of its API keys. Secrets are long
-- and random, so a plain SHA-256 keeps them; generation grows with each new secret.
CREATE TABLE serverless.credentials (
    sid           text COLLATE "C" PRIMARY KEY CHECK (sid ~ '^(AC|SK)[0-9a-f]{32}$'),
    account_id    uuid        NOT NULL REFERENCES serverless.accounts ON DELETE CASCADE,
    friendly_name text        NOT NULL CHECK (char_length(friendly_name) BETWEEN 1 AND 255),
    secret_hash   bytea       NOT NULL CHECK (octet_length(secret_hash) = 32),
    generation    int         NOT NULL DEFAULT 1,
    date_created  timestamptz NOT NULL,
    date_revoked  timestamptz,
    is_suspended  boolean     NOT NULL DEFAULT false -- as its account is
);

CREATE INDEX credentials_account_id ON serverless.credentials (account_id);

-- These triggers keep is_suspended as the account's date_suspended says, so that a statement need not look
-- up the account besides the credential. A new credential waits for a suspension of its account that is
-- not committed yet, and a suspension waits for a new credential.
CREATE FUNCTION serverless.suspend_with_account() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    NEW.is_suspended := (SELECT a.date_suspended IS NOT NULL FROM serverless.accounts AS a
                          WHERE a.id = NEW.account_id FOR SHARE);
    RETURN NEW;
END
$$;

CREATE FUNCTION serverless.suspend_credentials() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE serverless.credentials AS c SET is_suspended = NEW.date_suspended IS NOT NULL
     WHERE c.account_id = NEW.id;
    RETURN NULL;
END
$$;

CREATE TRIGGER credentials_follow BEFORE INSERT ON serverless.credentials
    FOR EACH ROW EXECUTE FUNCTION serverless.suspend_with_account();

CREATE TRIGGER accounts_lead AFTER UPDATE OF date_suspended ON serverless.accounts
    FOR EACH ROW EXECUTE FUNCTION serverless.suspend_credentials();

-- The credentials that are valid now: not revoked, and of an account that is not suspended.
CREATE VIEW serverless.principals AS
SELECT c.sid, c.generation, c.secret_hash, c.account_id
  FROM serverless.credentials AS c
 WHERE c.date_revoked IS NULL AND NOT c.is_suspended;


-- Scope and outcome: the beginning of every statement -----------------------------------------

-- Finds the account of a valid credential. Returns one row always; account_id is NULL where there is none.
-- generation is that of the secret that the password was checked against, or NULL where another module of
-- httpd authenticated the client.
CREATE FUNCTION serverless.account_scope(credential text, generation int)
RETURNS TABLE (account_id uuid)
LANGUAGE sql STABLE ROWS 1 AS $$
    SELECT p.account_id
      FROM (VALUES (1)) AS always (one)
      LEFT JOIN serverless.principals AS p
             ON p.sid = account_scope.credential
            AND (account_scope.generation IS NULL OR p.generation = account_scope.generation)
$$;

-- Makes a statement's first column. account_id is NULL where the credential is not valid, found where the
-- resource is not there.
CREATE FUNCTION serverless.outcome(account_id uuid, found uuid) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN account_id IS NULL THEN 'unauthenticated'
                WHEN found IS NULL THEN 'not_found'
                ELSE 'ok' END
$$;

-- The same for a change under a condition (If-Match). there is NULL where the resource is not there;
-- changed is NULL where nothing was changed, because the resource did not meet the condition or was deleted
-- meanwhile.
CREATE FUNCTION serverless.outcome(account_id uuid, changed uuid, there uuid, expected bigint[])
RETURNS text
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN account_id IS NULL THEN 'unauthenticated'
                WHEN changed IS NOT NULL THEN 'ok'
                WHEN there IS NULL OR expected IS NULL THEN 'not_found'
                ELSE 'precondition_failed' END
$$;


-- Concurrent changes ----------------------------------------------------------------------------

-- Returns whether the date of a row's last update is one of the revisions that a client expects. NULL: any.
CREATE FUNCTION serverless.is_revision(updated timestamptz, expected bigint[]) RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT expected IS NULL OR serverless.epoch(updated) = ANY (expected)
$$;

-- Returns the date of an update: now, but always later than the last update, even if the clock was set
-- back.
CREATE FUNCTION serverless.next_revision(updated timestamptz) RETURNS timestamptz
LANGUAGE sql VOLATILE AS $$
    SELECT greatest(clock_timestamp(), updated + interval '1 microsecond')
$$;
