-- Bundles: the packages that the Dependencies of a Build were resolved to, as an archive of node_modules.

-- Equal archives are stored once in each Service. sha256 is the hash of the archive itself; the chunks have
-- its compressed form, with the size `size` and the hash stored_sha256. A trigger deletes a bundle with the last Build that uses it, so
-- that it needs no foreign key to its Service.
CREATE TABLE serverless.bundles (
    service_id    uuid   NOT NULL,
    sha256        bytea  NOT NULL CHECK (octet_length(sha256) = 32),
    size          bigint NOT NULL CHECK (size > 0),
    stored_sha256 bytea  NOT NULL CHECK (octet_length(stored_sha256) = 32),
    PRIMARY KEY (service_id, sha256)
);

CREATE TABLE serverless.bundle_chunks (
    service_id uuid  NOT NULL,
    sha256     bytea NOT NULL,
    number     int   NOT NULL CHECK (number >= 0),
    bytes      bytea NOT NULL,
    PRIMARY KEY (service_id, sha256, number),
    FOREIGN KEY (service_id, sha256) REFERENCES serverless.bundles ON DELETE CASCADE
);

-- The bytes are compressed already.
ALTER TABLE serverless.bundle_chunks ALTER COLUMN bytes SET STORAGE EXTERNAL;

-- The bundle of a Build, and the lock file that npm wrote for it. request_sha256 is the hash of the Runtime and
-- the Dependencies: a later Build of the Service with the same ones takes the same bundle, if that is reusable.
CREATE TABLE serverless.build_bundles (
    service_id     uuid  NOT NULL,
    build_id       uuid  NOT NULL,
    request_sha256 bytea NOT NULL CHECK (octet_length(request_sha256) = 32),
    bundle_sha256  bytea NOT NULL,
    lock_file      json  NOT NULL,
    is_reusable    boolean NOT NULL DEFAULT true,
    PRIMARY KEY (service_id, build_id),
    FOREIGN KEY (service_id, build_id) REFERENCES serverless.builds ON DELETE CASCADE,
    FOREIGN KEY (service_id, bundle_sha256) REFERENCES serverless.bundles ON DELETE RESTRICT
);

CREATE INDEX build_bundles_request ON serverless.build_bundles (service_id, request_sha256, build_id)
 WHERE is_reusable;
CREATE INDEX build_bundles_bundle ON serverless.build_bundles (service_id, bundle_sha256);

CREATE TRIGGER bundles_are_final BEFORE UPDATE ON serverless.bundles
    FOR EACH ROW EXECUTE FUNCTION serverless.refuse_change();

CREATE TRIGGER bundle_chunks_are_final BEFORE UPDATE ON serverless.bundle_chunks
    FOR EACH ROW EXECUTE FUNCTION serverless.refuse_change();

-- Refuses a chunk of the wrong length, and deleting a chunk without its bundle, as refuse_other_chunks() does
-- for contents.
CREATE FUNCTION serverless.refuse_other_bundle_chunks() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF octet_length(NEW.bytes) = 0
           OR octet_length(NEW.bytes) IS DISTINCT FROM
              (SELECT least(262144, b.size - 262144::bigint * NEW.number) FROM serverless.bundles AS b
                WHERE b.service_id = NEW.service_id AND b.sha256 = NEW.sha256) THEN
            RAISE EXCEPTION 'the bundle has no such chunk' USING ERRCODE = 'restrict_violation';
        END IF;
        RETURN NEW;
    END IF;
    IF EXISTS (SELECT FROM serverless.bundles AS b
                WHERE b.service_id = OLD.service_id AND b.sha256 = OLD.sha256) THEN
        RAISE EXCEPTION 'bundle_chunks never change' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN OLD;
END
$$;

CREATE TRIGGER bundle_chunks_are_whole BEFORE INSERT OR DELETE ON serverless.bundle_chunks
    FOR EACH ROW EXECUTE FUNCTION serverless.refuse_other_bundle_chunks();

-- Deletes the bundles whose last Build was deleted, as drop_orphaned_contents() does for contents.
CREATE FUNCTION serverless.drop_orphaned_bundles() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM FROM serverless.bundles AS b
      WHERE (b.service_id, b.sha256) IN (SELECT service_id, bundle_sha256 FROM gone)
      ORDER BY b.service_id, b.sha256
        FOR UPDATE;
    DELETE FROM serverless.bundles AS b
     USING (SELECT DISTINCT service_id, bundle_sha256 FROM gone) AS g
     WHERE b.service_id = g.service_id AND b.sha256 = g.bundle_sha256
       AND NOT EXISTS (SELECT FROM serverless.build_bundles AS u
                        WHERE u.service_id = b.service_id AND u.bundle_sha256 = b.sha256);
    RETURN NULL;
END
$$;

CREATE TRIGGER build_bundles_drop_bundles AFTER DELETE ON serverless.build_bundles
    REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION serverless.drop_orphaned_bundles();

-- Inserts a bundle, or locks it if it is there, so that it stays until this transaction ends. Returns true if
-- it is new: the caller has to write its chunks in the same transaction.
CREATE FUNCTION serverless.keep_bundle(service uuid, hash bytea, bytes bigint, stored_hash bytea)
RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    LOOP
        INSERT INTO serverless.bundles VALUES (service, hash, bytes, stored_hash) ON CONFLICT DO NOTHING;
        IF FOUND THEN
            RETURN true;
        END IF;
        PERFORM FROM serverless.bundles AS b
          WHERE b.service_id = service AND b.sha256 = hash FOR KEY SHARE;
        IF FOUND THEN
            RETURN false;
        END IF;
    END LOOP;
END
$$;

-- Gives a Build the bundle of another Build of its Service with the same request, if the worker's lease of the
-- Build still holds. Returns whether there was one.
CREATE FUNCTION serverless.reuse_bundle(service uuid, build uuid, lease uuid, request bytea) RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    earlier serverless.build_bundles;
BEGIN
    PERFORM FROM serverless.builds AS b
      WHERE b.service_id = service AND b.id = build AND b.lease_token = lease FOR KEY SHARE;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    SELECT * INTO earlier FROM serverless.build_bundles AS u
     WHERE u.service_id = service AND u.request_sha256 = request AND u.is_reusable
     ORDER BY u.build_id DESC LIMIT 1;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    INSERT INTO serverless.build_bundles
    VALUES (service, build, request, earlier.bundle_sha256, earlier.lock_file)
    ON CONFLICT DO NOTHING;
    RETURN true;
EXCEPTION WHEN foreign_key_violation THEN -- the other Build was deleted in this moment
    RETURN false;
END
$$;

-- Has the next Builds of a Service resolve their Dependencies anew, for serverless-admin. Returns the number of
-- Builds whose bundle is not reused any more.
CREATE FUNCTION serverless.refresh_dependencies(service_sid text) RETURNS bigint
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    refreshed bigint;
BEGIN
    UPDATE serverless.build_bundles AS u SET is_reusable = false
     WHERE u.service_id = serverless.id_in(service_sid, 'ZS', 'service_sid') AND u.is_reusable;
    GET DIAGNOSTICS refreshed = ROW_COUNT;
    RETURN refreshed;
END
$$;

INSERT INTO serverless.privileges VALUES
    ('bundles',       'SELECT, INSERT, UPDATE (size)'), -- UPDATE for row locks; its trigger refuses more
    ('bundle_chunks', 'SELECT, INSERT'),
    ('build_bundles', 'SELECT, INSERT');
INSERT INTO serverless.executable VALUES ('keep_bundle'), ('reuse_bundle');
