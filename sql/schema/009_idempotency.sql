-- Idempotency keys: which resource was created under a client's Idempotency-Key. A key belongs to an account
-- and lives for a day. It is stored as a hash, because a client may put anything into it.

CREATE TABLE serverless.idempotency_keys (
    account_id   uuid        NOT NULL REFERENCES serverless.accounts ON DELETE CASCADE,
    key_hash     bytea       NOT NULL CHECK (octet_length(key_hash) = 32),
    fingerprint  bytea       NOT NULL CHECK (octet_length(fingerprint) = 32), -- of the request
    service_id   uuid        REFERENCES serverless.services ON DELETE CASCADE,
    resource_id  uuid,       -- the resource that was created; it may have been deleted since
    date_created timestamptz NOT NULL,
    PRIMARY KEY (account_id, key_hash)
);

CREATE INDEX idempotency_keys_service_id ON serverless.idempotency_keys (service_id);
CREATE INDEX idempotency_keys_date_created ON serverless.idempotency_keys (date_created);

CREATE FUNCTION serverless.idempotency_key_expires(since timestamptz) RETURNS boolean
LANGUAGE sql STABLE AS $$ SELECT since < statement_timestamp() - interval '24 hours' $$;

-- Claims a key until this transaction ends; another transaction that claims it waits. outcome is ok, or
-- key_reused if another request had the key. resource_id is what the same request has created before, or
-- NULL.
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
