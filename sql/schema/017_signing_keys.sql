-- Signing keys: the secret of an account from which the signing tokens of its Services are derived. Like the
-- values of Variables, they are encrypted before they come here: by serverless-admin, and again by httpd when
-- the key of encryption changes.

CREATE TABLE serverless.signing_keys (
    account_id   uuid        NOT NULL REFERENCES serverless.accounts ON DELETE CASCADE,
    id           uuid        NOT NULL,
    sealed_with  text COLLATE "C" NOT NULL CHECK (sealed_with ~ '^[A-Za-z0-9_-]{1,32}$'), -- a key's id
    sealed       bytea       NOT NULL CHECK (octet_length(sealed) = 12 + 64 + 16), -- nonce, hex digits, tag
    date_created timestamptz NOT NULL,
    date_expires timestamptz, -- NULL: the account's current key. Another key is valid until then
    PRIMARY KEY (account_id, id)
);

CREATE UNIQUE INDEX signing_keys_current ON serverless.signing_keys (account_id) WHERE date_expires IS NULL;
CREATE INDEX signing_keys_sealed_with ON serverless.signing_keys (sealed_with, account_id, id);

-- Returns a sealed (encrypted) key as httpd reads it: the id of the key that encrypts it, ':', the bytes in hex.
CREATE FUNCTION serverless.sealed_signing_key(k serverless.signing_keys) RETURNS text
LANGUAGE sql STABLE AS $$ SELECT k.sealed_with || ':' || encode(k.sealed, 'hex') $$;

-- Returns the id of an account, whose signing keys no other session can change until the end of the transaction.
CREATE FUNCTION serverless.lock_signing_keys(account_sid text) RETURNS uuid
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    account uuid := serverless.account_id(account_sid);
BEGIN
    PERFORM FROM serverless.accounts WHERE id = account FOR NO KEY UPDATE;
    RETURN account;
END
$$;

-- Makes httpd forget the signing tokens of an account's Services.
CREATE FUNCTION serverless.forget_signing_tokens(account uuid) RETURNS void
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
    UPDATE serverless.environments AS e
       SET context_tag = gen_random_uuid()
      FROM serverless.services AS s
     WHERE s.account_id = account AND e.service_id = s.id
$$;


-- What serverless-admin calls --------------------------------------------------------------------

-- Returns the identity that a new signing key of the account will have: its encryption is bound to both.
CREATE FUNCTION serverless.prepare_signing_key(account_sid text, OUT account uuid, OUT key uuid)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    account := serverless.account_id(account_sid);
    SELECT id INTO key FROM serverless.new_identity();
END
$$;

-- Makes an account's first signing key of an identity of prepare_signing_key().
CREATE FUNCTION serverless.create_signing_key(account_sid text, key uuid, sealed text) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    account uuid := serverless.lock_signing_keys(account_sid);
BEGIN
    IF EXISTS (SELECT FROM serverless.signing_keys
                WHERE account_id = account AND date_expires IS NULL) THEN
        RAISE EXCEPTION '% has a signing key: rotate replaces it', account_sid
              USING ERRCODE = 'unique_violation';
    END IF;
    INSERT INTO serverless.signing_keys
    VALUES (account, key, serverless.sealed_with(sealed), serverless.sealed_bytes(sealed),
            serverless.made(key));
    PERFORM serverless.forget_signing_tokens(account);
END
$$;

-- Replaces an account's signing key. The old one is valid for the overlap, and so is no more than one old key;
-- without an overlap, all old keys end at once. Returns when the old key ends.
CREATE FUNCTION serverless.rotate_signing_key(account_sid text, key uuid, sealed text,
                                              overlap interval) RETURNS timestamptz
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    account uuid := serverless.lock_signing_keys(account_sid);
    expires timestamptz := clock_timestamp() + overlap;
    latest  timestamptz;
BEGIN
    SELECT max(date_expires) INTO latest FROM serverless.signing_keys WHERE account_id = account;
    IF NOT EXISTS (SELECT FROM serverless.signing_keys
                    WHERE account_id = account AND date_expires IS NULL) THEN
        RAISE EXCEPTION '% has no signing key: create makes one', account_sid
              USING ERRCODE = 'no_data_found';
    ELSIF latest > clock_timestamp() AND overlap > interval '0' THEN
        RAISE EXCEPTION '% has an old signing key that is valid until %: wait, or rotate with 0 hours',
              account_sid, to_char(latest AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')
              USING ERRCODE = 'object_in_use';
    END IF;
    DELETE FROM serverless.signing_keys
     WHERE account_id = account AND (date_expires IS NOT NULL OR overlap <= interval '0');
    UPDATE serverless.signing_keys SET date_expires = expires WHERE account_id = account;
    INSERT INTO serverless.signing_keys
    VALUES (account, key, serverless.sealed_with(sealed), serverless.sealed_bytes(sealed),
            serverless.made(key));
    PERFORM serverless.forget_signing_tokens(account);
    RETURN expires;
END
$$;

-- Returns an account's current signing key, encrypted, with the identities that it is bound to and the id of one
-- of the account's Services, which its SID or UniqueName names.
CREATE FUNCTION serverless.current_signing_key(account_sid text, service_name text, OUT account uuid,
                                               OUT key uuid, OUT service uuid, OUT sealed text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    account := serverless.account_id(account_sid);
    SELECT s.id INTO service FROM serverless.services AS s
     WHERE s.account_id = account
       AND service_name IN (serverless.sid('ZS', s.id), s.unique_name);
    IF service IS NULL THEN
        RAISE EXCEPTION '% has no Service %', account_sid, service_name USING ERRCODE = 'no_data_found';
    END IF;
    SELECT k.id, serverless.sealed_signing_key(k) INTO key, sealed FROM serverless.signing_keys AS k
     WHERE k.account_id = account AND k.date_expires IS NULL;
    IF key IS NULL THEN
        RAISE EXCEPTION '% has no signing key: create makes one', account_sid
              USING ERRCODE = 'no_data_found';
    END IF;
END
$$;

CREATE FUNCTION serverless.list_signing_keys(account_sid text)
RETURNS TABLE (date_created timestamptz, date_expires timestamptz, key_id text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT k.date_created, k.date_expires, k.sealed_with FROM serverless.signing_keys AS k
     WHERE k.account_id = serverless.account_id(account_sid)
       AND (k.date_expires IS NULL OR k.date_expires > clock_timestamp())
     ORDER BY k.id
$$;

-- Returns how many values and signing keys are encrypted with each key.
DROP FUNCTION serverless.list_variable_keys();
CREATE FUNCTION serverless.list_variable_keys()
RETURNS TABLE (key_id text, variables bigint, signing_keys bigint)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT used.key_id, sum(used.variables)::bigint, sum(used.signing_keys)::bigint
      FROM (SELECT v.sealed_with AS key_id, count(*) AS variables, 0 AS signing_keys
              FROM serverless.variables AS v GROUP BY v.sealed_with
             UNION ALL
            SELECT k.sealed_with, 0, count(*) FROM serverless.signing_keys AS k
             GROUP BY k.sealed_with) AS used
     GROUP BY used.key_id ORDER BY used.key_id
$$;

INSERT INTO serverless.maintenance VALUES ('rekey_signing_keys', '1 minute');

INSERT INTO serverless.privileges VALUES ('signing_keys', 'SELECT, UPDATE (sealed_with, sealed)');
INSERT INTO serverless.executable VALUES ('sealed_signing_key');
