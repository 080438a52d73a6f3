-- Variables. httpd encrypts and decrypts their values: PostgreSQL sees neither a key nor a value in clear.

CREATE TABLE serverless.variables (
    service_id     uuid        NOT NULL,
    id             uuid        NOT NULL,
    environment_id uuid        NOT NULL,
    key            text COLLATE "C" NOT NULL CHECK (char_length(key) BETWEEN 1 AND 128),
    sealed_with    text COLLATE "C" NOT NULL CHECK (sealed_with ~ '^[A-Za-z0-9_-]{1,32}$'), -- a key's id
    sealed         bytea       NOT NULL -- nonce, ciphertext as long as the value, tag
                   CHECK (octet_length(sealed) BETWEEN 12 + 1 + 16 AND 12 + 450 + 16),
    date_created   timestamptz NOT NULL,
    date_updated   timestamptz NOT NULL,
    PRIMARY KEY (service_id, id),
    UNIQUE (service_id, environment_id, id),
    CONSTRAINT variables_key UNIQUE (service_id, environment_id, key),
    FOREIGN KEY (service_id, environment_id) REFERENCES serverless.environments ON DELETE CASCADE
);

CREATE INDEX variables_sealed_with ON serverless.variables (sealed_with, service_id, id);

-- Returns the time at which new_identity() made a key.
CREATE FUNCTION serverless.made(id uuid) RETURNS timestamptz
LANGUAGE sql STABLE AS $$
    SELECT timestamptz 'epoch' + interval '1 microsecond'
           * ('x00' || left(replace(id::text, '-', ''), 14))::bit(64)::bigint
$$;

-- Returns a sealed (encrypted) value as httpd writes and reads it: the key's id, ':', the bytes in hex.
CREATE FUNCTION serverless.sealed_text(v serverless.variables) RETURNS text
LANGUAGE sql STABLE AS $$ SELECT v.sealed_with || ':' || encode(v.sealed, 'hex') $$;

CREATE FUNCTION serverless.sealed_with(sealed text) RETURNS text
LANGUAGE sql IMMUTABLE AS $$ SELECT split_part(sealed, ':', 1) $$;

CREATE FUNCTION serverless.sealed_bytes(sealed text) RETURNS bytea
LANGUAGE sql IMMUTABLE AS $$ SELECT decode(split_part(sealed, ':', 2), 'hex') $$;

-- Creates a Variable with a key of new_identity(). outcome is ok, not_found (the Environment was deleted
-- meanwhile) or conflict.
CREATE FUNCTION serverless.create_variable(service uuid, environment uuid, id uuid, key text,
                                           sealed text, OUT outcome text,
                                           OUT variable serverless.variables)
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    INSERT INTO serverless.variables AS v
    VALUES (service, id, environment, key, serverless.sealed_with(sealed),
            serverless.sealed_bytes(sealed), serverless.made(id), serverless.made(id))
    ON CONFLICT ON CONSTRAINT variables_key DO NOTHING
    RETURNING v.* INTO variable;
    outcome := CASE WHEN FOUND THEN 'ok' ELSE 'conflict' END;
EXCEPTION WHEN foreign_key_violation THEN
    outcome := 'not_found';
END
$$;

-- Changes a Variable that has one of the expected revisions (NULL: any). new_key or new_sealed is NULL to keep
-- the old one. outcome is ok, not_found, precondition_failed or conflict.
CREATE FUNCTION serverless.update_variable(service uuid, environment uuid, variable uuid,
                                           expected bigint[], new_key text, new_sealed text,
                                           OUT outcome text, OUT updated serverless.variables)
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    UPDATE serverless.variables AS v
       SET key = coalesce(new_key, v.key),
           sealed_with = coalesce(serverless.sealed_with(new_sealed), v.sealed_with),
           sealed = coalesce(serverless.sealed_bytes(new_sealed), v.sealed),
           date_updated = CASE WHEN num_nonnulls(new_key, new_sealed) = 0 THEN v.date_updated
                               ELSE serverless.next_revision(v.date_updated) END
     WHERE v.service_id = service AND v.environment_id = environment AND v.id = variable
       AND serverless.is_revision(v.date_updated, expected)
    RETURNING v.* INTO updated;
    outcome := CASE WHEN FOUND THEN 'ok'
                    WHEN expected IS NOT NULL
                         AND EXISTS (SELECT FROM serverless.variables AS v
                                      WHERE v.service_id = service
                                        AND v.environment_id = environment AND v.id = variable)
                    THEN 'precondition_failed'
                    ELSE 'not_found' END;
EXCEPTION WHEN unique_violation THEN
    outcome := 'conflict';
END
$$;

-- Returns a Variable as the API shows it, except for the value, which httpd decrypts.
CREATE FUNCTION serverless.variable_resource(account_id uuid, service_id uuid, environment_id uuid,
                                             v serverless.variables)
RETURNS TABLE (sid uuid, account_sid uuid, service_sid uuid, environment_sid uuid, key text,
               value text, date_created bigint, date_updated bigint)
LANGUAGE sql STABLE ROWS 1 AS $$
    SELECT v.id, account_id, service_id, environment_id, v.key, serverless.sealed_text(v),
           serverless.epoch(v.date_created), serverless.epoch(v.date_updated)
$$;

-- Returns how many values are encrypted with each key, for serverless-admin.
CREATE FUNCTION serverless.list_variable_keys() RETURNS TABLE (key_id text, variables bigint)
LANGUAGE sql STABLE AS $$
    SELECT v.sealed_with, count(*) FROM serverless.variables AS v
     GROUP BY v.sealed_with ORDER BY v.sealed_with
$$;

INSERT INTO serverless.upkeep VALUES ('rekey_variables', '1 minute');

INSERT INTO serverless.privileges VALUES ('variables', 'SELECT, INSERT, UPDATE, DELETE');
INSERT INTO serverless.executable VALUES
    ('made'), ('sealed_text'), ('sealed_with'), ('sealed_bytes'), ('create_variable'),
    ('update_variable'), ('variable_resource');
