-- The functions that bin/serverless-admin calls. None of them is open to httpd's role.

-- Makes a secret of 32 hex digits, as clients send it, and its hash. Only the hash is stored.
CREATE FUNCTION serverless.new_secret(OUT secret text, OUT hash bytea)
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    secret := left(encode(serverless.random_bytes(), 'hex'), 32);
    hash := sha256(convert_to(secret, 'UTF8'));
END
$$;

CREATE FUNCTION serverless.account_id(account_sid text) RETURNS uuid
LANGUAGE plpgsql STABLE AS $$
DECLARE
    found uuid;
BEGIN
    SELECT a.id INTO found FROM serverless.accounts AS a
     WHERE serverless.sid('AC', a.id) = account_sid;
    IF found IS NULL THEN
        RAISE EXCEPTION 'there is no account %', account_sid USING ERRCODE = 'no_data_found';
    END IF;
    RETURN found;
END
$$;

CREATE FUNCTION serverless.create_account(name text, OUT account_sid text, OUT auth_token text)
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    identity record;
    fresh    record;
BEGIN
    SELECT * INTO identity FROM serverless.new_identity();
    SELECT * INTO fresh FROM serverless.new_secret();
    account_sid := serverless.sid('AC', identity.id);
    auth_token := fresh.secret;
    INSERT INTO serverless.accounts (id, friendly_name, date_created)
    VALUES (identity.id, name, identity.made);
    INSERT INTO serverless.credentials (sid, account_id, friendly_name, secret_hash, date_created)
    VALUES (account_sid, identity.id, 'Auth Token', fresh.hash, identity.made);
END
$$;

CREATE FUNCTION serverless.list_accounts()
RETURNS TABLE (account_sid text, friendly_name text, status text, date_created timestamptz)
LANGUAGE sql STABLE AS $$
    SELECT serverless.sid('AC', a.id), a.friendly_name,
           CASE WHEN a.date_suspended IS NULL THEN 'active' ELSE 'suspended' END, a.date_created
      FROM serverless.accounts AS a
     ORDER BY a.id
$$;

CREATE FUNCTION serverless.suspend_account(account_sid text) RETURNS void
LANGUAGE sql VOLATILE AS $$
    UPDATE serverless.accounts SET date_suspended = coalesce(date_suspended, clock_timestamp())
     WHERE id = serverless.account_id(account_sid)
$$;

CREATE FUNCTION serverless.resume_account(account_sid text) RETURNS void
LANGUAGE sql VOLATILE AS $$
    UPDATE serverless.accounts SET date_suspended = NULL
     WHERE id = serverless.account_id(account_sid)
$$;

CREATE FUNCTION serverless.rotate_auth_token(account_sid text, OUT auth_token text)
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    account uuid := serverless.account_id(account_sid);
    fresh   record;
BEGIN
    SELECT * INTO fresh FROM serverless.new_secret();
    auth_token := fresh.secret;
    UPDATE serverless.credentials
       SET secret_hash = fresh.hash, generation = generation + 1
     WHERE sid = serverless.sid('AC', account);
END
$$;

CREATE FUNCTION serverless.create_api_key(account_sid text, name text,
                                          OUT key_sid text, OUT secret text)
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    account  uuid := serverless.account_id(account_sid);
    identity record;
    fresh    record;
BEGIN
    SELECT * INTO identity FROM serverless.new_identity();
    SELECT * INTO fresh FROM serverless.new_secret();
    key_sid := serverless.sid('SK', identity.id);
    secret := fresh.secret;
    INSERT INTO serverless.credentials (sid, account_id, friendly_name, secret_hash, date_created)
    VALUES (key_sid, account, name, fresh.hash, identity.made);
END
$$;

CREATE FUNCTION serverless.list_api_keys(account_sid text)
RETURNS TABLE (key_sid text, friendly_name text, status text, date_created timestamptz)
LANGUAGE sql STABLE AS $$
    SELECT c.sid, c.friendly_name,
           CASE WHEN c.date_revoked IS NULL THEN 'active' ELSE 'revoked' END, c.date_created
      FROM serverless.credentials AS c
     WHERE c.account_id = serverless.account_id(account_sid) AND c.sid LIKE 'SK%'
     ORDER BY c.sid
$$;

CREATE FUNCTION serverless.revoke_api_key(key_sid text) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    UPDATE serverless.credentials SET date_revoked = coalesce(date_revoked, clock_timestamp())
     WHERE sid = key_sid AND sid LIKE 'SK%';
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no API key %', key_sid USING ERRCODE = 'no_data_found';
    END IF;
END
$$;


-- Access for other roles, by duty: httpd's role, and an executor's -----------------------------

CREATE TABLE serverless.grantees (
    role name,
    duty text DEFAULT 'httpd',
    PRIMARY KEY (role, duty)
);

-- The privileges that a duty needs on each table. A later schema file adds the rows for its tables.
CREATE TABLE serverless.privileges (
    relation  text,
    privilege text NOT NULL,
    duty      text DEFAULT 'httpd',
    PRIMARY KEY (relation, duty)
);

INSERT INTO serverless.privileges VALUES
    ('schema_migrations', 'SELECT'),
    ('settings',          'SELECT'),
    ('accounts',          'SELECT'),
    ('credentials',       'SELECT'),
    ('principals',        'SELECT');

-- The functions that a duty may execute. PostgreSQL lets every role execute a new function: refresh_grants()
-- revokes that, and grants each duty its own.
CREATE TABLE serverless.executable (
    function text,
    duty     text DEFAULT 'httpd',
    PRIMARY KEY (function, duty)
);

INSERT INTO serverless.executable VALUES
    ('key_at'), ('new_identity'), ('epoch'), ('sid'), ('account_scope'), ('outcome'),
    ('is_revision'), ('next_revision');

CREATE FUNCTION serverless.refresh_grants() RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    grantee   record;
    privilege record;
    routine   record;
BEGIN
    REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA serverless FROM PUBLIC;
    FOR grantee IN SELECT * FROM serverless.grantees LOOP
        EXECUTE format('GRANT USAGE ON SCHEMA serverless TO %I', grantee.role);
        FOR privilege IN SELECT * FROM serverless.privileges AS p WHERE p.duty = grantee.duty LOOP
            EXECUTE format('GRANT %s ON serverless.%I TO %I',
                           privilege.privilege, privilege.relation, grantee.role);
        END LOOP;
        FOR routine IN SELECT p.oid::regprocedure AS signature
                         FROM pg_proc AS p
                         JOIN serverless.executable AS e ON e.function = p.proname
                        WHERE p.pronamespace = 'serverless'::regnamespace
                          AND e.duty = grantee.duty LOOP
            EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %I', routine.signature, grantee.role);
        END LOOP;
    END LOOP;
END
$$;

CREATE FUNCTION serverless.grant_access(role name, duty text DEFAULT 'httpd') RETURNS void
LANGUAGE sql VOLATILE AS $$
    INSERT INTO serverless.grantees VALUES (role, duty) ON CONFLICT DO NOTHING;
    SELECT serverless.refresh_grants();
$$;
