-- Creating once: what was created under a client's Idempotency-Key. Keys are the account's, live for a
-- day, and are kept as hashes, because nobody knows what clients put into them.

CREATE TABLE serverless.idempotency_keys (
    account_id   uuid        NOT NULL REFERENCES serverless.accounts ON DELETE CASCADE,
    key_hash     bytea       NOT NULL CHECK (octet_length(key_hash) = 32),
    fingerprint  bytea       NOT NULL CHECK (octet_length(fingerprint) = 32), -- of the request
    service_id   uuid        REFERENCES serverless.services ON DELETE CASCADE,
    resource_id  uuid,       -- what it created, which may have been deleted since
    date_created timestamptz NOT NULL,
    PRIMARY KEY (account_id, key_hash)
);

CREATE INDEX idempotency_keys_service_id ON serverless.idempotency_keys (service_id);
CREATE INDEX idempotency_keys_date_created ON serverless.idempotency_keys (date_created);

CREATE FUNCTION serverless.idempotency_key_expires(since timestamptz) RETURNS boolean
LANGUAGE sql STABLE AS $$ SELECT since < statement_timestamp() - interval '24 hours' $$;

-- Claims a key until this transaction ends; another that wants the same one waits for it. outcome is
-- ok, then with what the same request has created before, if anything, or key_reused: another request
-- had it.
CREATE FUNCTION serverless.claim_idempotency_key(account uuid, key bytea, request bytea,
                                                 OUT outcome text, OUT resource_id uuid)
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    known serverless.idempotency_keys;
BEGIN
    LOOP
        INSERT INTO serverless.idempotency_keys (account_id, key_hash, fingerprint, date_created)
        VALUES (account, key, request, clock_timestamp())
        ON CONFLICT DO NOTHING;
        EXIT WHEN FOUND;
        SELECT k.* INTO known FROM serverless.idempotency_keys AS k
         WHERE k.account_id = account AND k.key_hash = key FOR UPDATE;
        CONTINUE WHEN NOT FOUND; -- it went between the two
        IF serverless.idempotency_key_expires(known.date_created) THEN
            DELETE FROM serverless.idempotency_keys AS k
             WHERE k.account_id = account AND k.key_hash = key;
        ELSE
            outcome := CASE WHEN known.fingerprint = request THEN 'ok' ELSE 'key_reused' END;
            resource_id := known.resource_id;
            RETURN;
        END IF;
    END LOOP;
    outcome := 'ok';
END
$$;

INSERT INTO serverless.privileges VALUES
    ('idempotency_keys', 'SELECT, INSERT, UPDATE, DELETE');
INSERT INTO serverless.executable VALUES
    ('idempotency_key_expires'), ('claim_idempotency_key');
