-- Versions and their content. A Version never changes, and is deleted with its Function or Asset.

-- Content: equal bytes are stored once in each Service, in chunks that are written and read one by one. A
-- trigger deletes a content with the last Version that references it (drop_orphaned_contents() below), so
-- that it needs no foreign key to its Service.
CREATE TABLE serverless.contents (
    service_id uuid   NOT NULL,
    sha256     bytea  NOT NULL CHECK (octet_length(sha256) = 32),
    size       bigint NOT NULL CHECK (size >= 0),
    PRIMARY KEY (service_id, sha256)
);

CREATE TABLE serverless.content_chunks (
    service_id uuid  NOT NULL,
    sha256     bytea NOT NULL,
    number     int   NOT NULL CHECK (number >= 0),
    bytes      bytea NOT NULL,
    PRIMARY KEY (service_id, sha256, number),
    FOREIGN KEY (service_id, sha256) REFERENCES serverless.contents ON DELETE CASCADE
);

-- PostgreSQL compresses chunks, except those that would not become smaller.
ALTER TABLE serverless.content_chunks ALTER COLUMN bytes SET COMPRESSION lz4;

CREATE TABLE serverless.versions (
    service_id     uuid        NOT NULL,
    kind           serverless.artifact_kind NOT NULL,
    artifact_id    uuid        NOT NULL,
    id             uuid        NOT NULL,
    path           text        NOT NULL CHECK (char_length(path) BETWEEN 1 AND 255),
    visibility     text        NOT NULL CHECK (visibility IN ('public', 'protected', 'private')),
    content_type   text        NOT NULL CHECK (char_length(content_type) BETWEEN 1 AND 255),
    content_sha256 bytea       NOT NULL,
    date_created   timestamptz NOT NULL,
    PRIMARY KEY (service_id, id),
    UNIQUE (service_id, kind, artifact_id, id),
    FOREIGN KEY (service_id, kind, artifact_id) REFERENCES serverless.artifacts ON DELETE CASCADE,
    FOREIGN KEY (service_id, content_sha256) REFERENCES serverless.contents ON DELETE RESTRICT
);

CREATE INDEX versions_content ON serverless.versions (service_id, content_sha256);

CREATE FUNCTION serverless.refuse_change() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% never change', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END
$$;

CREATE TRIGGER versions_are_final BEFORE UPDATE ON serverless.versions
    FOR EACH ROW EXECUTE FUNCTION serverless.refuse_change();

CREATE TRIGGER contents_are_final BEFORE UPDATE ON serverless.contents
    FOR EACH ROW EXECUTE FUNCTION serverless.refuse_change();

CREATE TRIGGER content_chunks_are_final BEFORE UPDATE ON serverless.content_chunks
    FOR EACH ROW EXECUTE FUNCTION serverless.refuse_change();

CREATE TRIGGER content_chunks_stay BEFORE TRUNCATE ON serverless.content_chunks
    FOR EACH STATEMENT EXECUTE FUNCTION serverless.refuse_change();

-- Refuses a chunk of the wrong length, and deleting a chunk without its content. Each chunk has 256 KiB
-- (SF_CHUNK_BYTES in httpd), except the last, which has the rest. So a chunk's number and the content's size
-- give its length, and a content cannot have more chunks than it should.
CREATE FUNCTION serverless.refuse_other_chunks() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF octet_length(NEW.bytes) = 0
           OR octet_length(NEW.bytes) IS DISTINCT FROM
              (SELECT least(262144, c.size - 262144::bigint * NEW.number) FROM serverless.contents AS c
                WHERE c.service_id = NEW.service_id AND c.sha256 = NEW.sha256) THEN
            RAISE EXCEPTION 'the content has no such chunk' USING ERRCODE = 'restrict_violation';
        END IF;
        RETURN NEW;
    END IF;
    IF EXISTS (SELECT FROM serverless.contents AS c
                WHERE c.service_id = OLD.service_id AND c.sha256 = OLD.sha256) THEN
        RAISE EXCEPTION 'content_chunks never change' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN OLD;
END
$$;

CREATE TRIGGER content_chunks_are_whole BEFORE INSERT OR DELETE ON serverless.content_chunks
    FOR EACH ROW EXECUTE FUNCTION serverless.refuse_other_chunks();

-- Deletes the contents whose last Version was deleted. Locks them first, and looks for Versions afterwards,
-- with a new snapshot. So it either sees a Version that another session has made meanwhile, or that session
-- (keep_content) finds the content deleted.
CREATE FUNCTION serverless.drop_orphaned_contents() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    PERFORM FROM serverless.contents AS c
      WHERE (c.service_id, c.sha256) IN (SELECT service_id, content_sha256 FROM gone)
      ORDER BY c.service_id, c.sha256
        FOR UPDATE;
    DELETE FROM serverless.contents AS c
     USING (SELECT DISTINCT service_id, content_sha256 FROM gone) AS g
     WHERE c.service_id = g.service_id AND c.sha256 = g.content_sha256
       AND NOT EXISTS (SELECT FROM serverless.versions AS v
                        WHERE v.service_id = c.service_id AND v.content_sha256 = c.sha256);
    RETURN NULL;
END
$$;

CREATE TRIGGER versions_drop_contents AFTER DELETE ON serverless.versions
    REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION serverless.drop_orphaned_contents();

-- Inserts a content, or locks it if it is there, so that it stays until this transaction ends. Returns true
-- if it is new: the caller has to write its chunks.
CREATE FUNCTION serverless.keep_content(service uuid, hash bytea, bytes bigint) RETURNS boolean
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    LOOP
        INSERT INTO serverless.contents VALUES (service, hash, bytes) ON CONFLICT DO NOTHING;
        IF FOUND THEN
            RETURN true;
        END IF;
        PERFORM FROM serverless.contents AS c
          WHERE c.service_id = service AND c.sha256 = hash FOR KEY SHARE;
        IF FOUND THEN
            RETURN false;
        END IF;
    END LOOP;
END
$$;

CREATE FUNCTION serverless.content_of(service uuid, hash bytea) RETURNS bytea
LANGUAGE sql STABLE AS $$
    SELECT coalesce(string_agg(c.bytes, ''::bytea ORDER BY c.number), ''::bytea)
      FROM serverless.content_chunks AS c
     WHERE c.service_id = service AND c.sha256 = hash
$$;

-- Finds the account, the Service and an artifact of the Service. Returns one row always, with NULL for what
-- is not there.
CREATE FUNCTION serverless.artifact_scope(credential text, generation int, service_id uuid,
                                          unique_name text, artifact_id uuid,
                                          kind serverless.artifact_kind)
RETURNS TABLE (account_id uuid, service_id uuid, artifact_id uuid)
LANGUAGE sql STABLE ROWS 1 AS $$
    SELECT scope.account_id, scope.service_id, a.id
      FROM serverless.service_scope($1, $2, $3, $4) AS scope
      LEFT JOIN serverless.artifacts AS a
             ON a.service_id = scope.service_id AND a.kind = $6 AND a.id = $5
$$;

-- Creates a Version of an artifact. version is NULL if the artifact was deleted meanwhile. chunk is the
-- content's first chunk, in base64; fresh is true if the caller has to write the other chunks.
CREATE FUNCTION serverless.create_version(service uuid, kind serverless.artifact_kind, artifact uuid,
                                          path text, visibility text, content_type text,
                                          hash bytea, size bigint, chunk text,
                                          OUT version serverless.versions, OUT fresh boolean)
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    identity record;
BEGIN
    PERFORM FROM serverless.artifacts AS a
      WHERE a.service_id = service AND a.kind = create_version.kind AND a.id = artifact
        FOR KEY SHARE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    fresh := serverless.keep_content(service, hash, size);
    IF fresh AND size > 0 THEN
        INSERT INTO serverless.content_chunks VALUES (service, hash, 0, decode(chunk, 'base64'));
    END IF;
    SELECT * INTO identity FROM serverless.new_identity();
    INSERT INTO serverless.versions AS v
    VALUES (service, kind, artifact, identity.id, path, visibility, content_type, hash,
            identity.made)
    RETURNING v.* INTO version;
END
$$;

-- Returns a Version as the API shows it.
CREATE FUNCTION serverless.version_resource(account_id uuid, service_id uuid, artifact_id uuid,
                                            v serverless.versions)
RETURNS TABLE (sid uuid, account_sid uuid, service_sid uuid, artifact_sid uuid, path text,
               visibility text, date_created bigint)
LANGUAGE sql STABLE ROWS 1 AS $$
    SELECT v.id, account_id, service_id, artifact_id, v.path, v.visibility,
           serverless.epoch(v.date_created)
$$;

INSERT INTO serverless.privileges VALUES
    ('contents',       'SELECT, INSERT, UPDATE'), -- UPDATE for row locks; its trigger refuses more
    ('content_chunks', 'SELECT, INSERT'),
    ('versions',       'SELECT, INSERT');
INSERT INTO serverless.executable VALUES
    ('keep_content'), ('content_of'), ('artifact_scope'), ('create_version'), ('version_resource');
