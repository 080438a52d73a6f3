-- Services: the container of everything else.

CREATE TABLE serverless.services (
    id                  uuid        PRIMARY KEY,
    account_id          uuid        NOT NULL REFERENCES serverless.accounts,
    unique_name         text COLLATE "C" NOT NULL CHECK (char_length(unique_name) BETWEEN 1 AND 50),
    friendly_name       text        NOT NULL CHECK (char_length(friendly_name) BETWEEN 1 AND 255),
    include_credentials boolean     NOT NULL,
    ui_editable         boolean     NOT NULL,
    domain_base         text COLLATE "C" NOT NULL UNIQUE,
    date_created        timestamptz NOT NULL,
    date_updated        timestamptz NOT NULL,
    UNIQUE (account_id, id),
    UNIQUE (account_id, unique_name)
);

-- Finds the account of a credential and a Service of the account, named by SID or by UniqueName (the other
-- is NULL). Returns one row always, with NULL for what is not there or belongs to another account.
CREATE FUNCTION serverless.service_scope(credential text, generation int,
                                         service_id uuid, unique_name text)
RETURNS TABLE (account_id uuid, service_id uuid)
LANGUAGE sql STABLE ROWS 1 AS $$
    SELECT scope.account_id, named.id
      FROM serverless.account_scope(service_scope.credential, service_scope.generation) AS scope
      LEFT JOIN LATERAL (
               SELECT s.id FROM serverless.services AS s
                WHERE s.id = $3 AND s.account_id = scope.account_id
               UNION ALL
               SELECT s.id FROM serverless.services AS s
                WHERE s.unique_name = $4 AND s.account_id = scope.account_id) AS named ON true
$$;

-- Returns a Service as the API shows it. account_id is the scope's, so that an empty list has it, too.
CREATE FUNCTION serverless.service_resource(account_id uuid, s serverless.services)
RETURNS TABLE (sid uuid, account_sid uuid, friendly_name text, unique_name text,
               include_credentials boolean, ui_editable boolean, domain_base text,
               date_created bigint, date_updated bigint)
LANGUAGE sql STABLE ROWS 1 AS $$
    SELECT s.id, account_id, s.friendly_name, s.unique_name,
           s.include_credentials, s.ui_editable, s.domain_base,
           serverless.epoch(s.date_created), serverless.epoch(s.date_updated)
$$;

-- Creates a Service. Returns NULL if the account has one of that UniqueName. domain_base is the UniqueName as
-- a host label, with random digits behind: four, and after 20 attempts that met a domain_base that is taken,
-- more. The name is cut so that the suffix of an Environment, of 16 characters at most, fits into the 63
-- characters of a label, too.
CREATE FUNCTION serverless.create_service(account_id uuid, unique_name text, friendly_name text,
                                          include_credentials boolean, ui_editable boolean)
RETURNS serverless.services
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    label    text := trim(BOTH '-' FROM left(regexp_replace(lower(unique_name), '[^a-z0-9]+', '-', 'g'),
                                             40));
    attempt  int := 0;
    digits   text;
    identity record;
    service  serverless.services;
BEGIN
    LOOP
        SELECT * INTO identity FROM serverless.new_identity();
        digits := floor(random() * 10 ^ (4 + attempt / 20))::bigint;
        INSERT INTO serverless.services AS s
        VALUES (identity.id, account_id, unique_name, friendly_name,
                include_credentials, ui_editable,
                label || '-' || lpad(digits, greatest(4, length(digits)), '0'),
                identity.made, identity.made)
        ON CONFLICT DO NOTHING
        RETURNING s.* INTO service;
        EXIT WHEN FOUND;
        EXIT WHEN EXISTS (SELECT FROM serverless.services AS s
                           WHERE s.account_id = create_service.account_id
                             AND s.unique_name = create_service.unique_name);
        attempt := attempt + 1;
    END LOOP;
    RETURN service;
END
$$;

INSERT INTO serverless.privileges VALUES ('services', 'SELECT, INSERT, UPDATE, DELETE');
INSERT INTO serverless.executable VALUES
    ('service_scope'), ('service_resource'), ('create_service');
