-- Builds, and the guard: the promise that a Version in an active Build is not deleted. ../README.md explains
-- the guard as a whole.

CREATE TABLE serverless.builds (
    service_id     uuid        NOT NULL REFERENCES serverless.services ON DELETE CASCADE,
    id             uuid        NOT NULL,
    status         text        NOT NULL CHECK (status IN ('building', 'completed', 'failed')),
    runtime        text        NOT NULL,
    dependencies   json        NOT NULL,
    failure_reason text        CHECK ((failure_reason IS NOT NULL) = (status = 'failed')),
    attempts       int         NOT NULL DEFAULT 0, -- how many workers have claimed it
    lease_token    uuid,                           -- the lease of the worker that works on it
    lease_expires  timestamptz,
    date_created   timestamptz NOT NULL,
    date_updated   timestamptz NOT NULL,
    PRIMARY KEY (service_id, id)
);

CREATE INDEX builds_to_do ON serverless.builds (date_created) WHERE status = 'building';

-- The Versions in a Build, with a copy of their data that stays when a Version is deleted.
CREATE TABLE serverless.build_versions (
    service_id   uuid        NOT NULL,
    build_id     uuid        NOT NULL,
    version_id   uuid        NOT NULL,
    kind         serverless.artifact_kind NOT NULL,
    artifact_id  uuid        NOT NULL,
    path         text        NOT NULL,
    visibility   text        NOT NULL,
    date_created timestamptz NOT NULL,
    PRIMARY KEY (service_id, build_id, version_id),
    FOREIGN KEY (service_id, build_id) REFERENCES serverless.builds ON DELETE CASCADE
);

CREATE TRIGGER build_versions_are_final BEFORE UPDATE ON serverless.build_versions
    FOR EACH ROW EXECUTE FUNCTION serverless.refuse_change();

CREATE TRIGGER build_versions_stay BEFORE TRUNCATE ON serverless.build_versions
    FOR EACH STATEMENT EXECUTE FUNCTION serverless.refuse_change();

-- A pin: this Version is needed, by a Build that is building or by an Environment on which a Build is deployed.
-- The foreign key pins_version keeps the Version from being deleted. RESTRICT, because NO ACTION would let
-- one statement delete the Version and insert another one with its key.
CREATE TABLE serverless.pins (
    service_id     uuid NOT NULL,
    version_id     uuid NOT NULL,
    build_id       uuid,
    environment_id uuid,
    CHECK (num_nonnulls(build_id, environment_id) = 1),
    UNIQUE (service_id, build_id, version_id),
    UNIQUE (service_id, environment_id, version_id),
    CONSTRAINT pins_version FOREIGN KEY (service_id, version_id) REFERENCES serverless.versions
        ON DELETE RESTRICT,
    FOREIGN KEY (service_id, build_id) REFERENCES serverless.builds ON DELETE CASCADE
);

CREATE INDEX pins_version_id ON serverless.pins (service_id, version_id);

-- Refuses an INSERT, UPDATE or DELETE that no trigger makes, by any role: triggers keep pins as Builds and
-- Environments are.
CREATE FUNCTION serverless.refuse_direct_change() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF pg_trigger_depth() = 1 THEN
        RAISE EXCEPTION '% are written by triggers alone', TG_TABLE_NAME
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER pins_follow BEFORE INSERT OR UPDATE OR DELETE ON serverless.pins
    FOR EACH STATEMENT EXECUTE FUNCTION serverless.refuse_direct_change();

CREATE TRIGGER pins_stay BEFORE TRUNCATE ON serverless.pins
    FOR EACH STATEMENT EXECUTE FUNCTION serverless.refuse_change();

-- Refuses to add Versions to a Build that is there, or to delete them from it: a Version that is added later
-- would have no pin. They are inserted before the Build, in the same statement, and deleted with it.
CREATE FUNCTION serverless.refuse_while_built() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    part serverless.build_versions := coalesce(NEW, OLD);
BEGIN
    IF EXISTS (SELECT FROM serverless.builds AS b
                WHERE b.service_id = part.service_id AND b.id = part.build_id) THEN
        RAISE EXCEPTION 'a Build never changes what it contains'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN part;
END
$$;

CREATE TRIGGER build_versions_come_first BEFORE INSERT ON serverless.build_versions
    FOR EACH ROW EXECUTE FUNCTION serverless.refuse_while_built();

CREATE TRIGGER build_versions_go_last BEFORE DELETE ON serverless.build_versions
    FOR EACH ROW EXECUTE FUNCTION serverless.refuse_while_built();

-- Refuses to add Versions to a Build that another session has committed while this statement ran.
CREATE FUNCTION serverless.refuse_foreign_versions() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM added AS a -- as a join it would read all Builds there are
                WHERE (SELECT b.xmin FROM serverless.builds AS b
                        WHERE b.service_id = a.service_id AND b.id = a.build_id)
                   <> (SELECT v.xmin FROM serverless.build_versions AS v
                        WHERE v.service_id = a.service_id AND v.build_id = a.build_id
                          AND v.version_id = a.version_id)) THEN
        RAISE EXCEPTION 'a Build never changes what it contains'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER build_versions_come_along AFTER INSERT ON serverless.build_versions
    REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION serverless.refuse_foreign_versions();

-- Makes the pins of a Build that is building, and deletes those of any other. Goes by the Build's row as it
-- is now: a function that this statement calls may have changed it. Makes pins in the order of Versions, so
-- that two sessions cannot wait for each other.
CREATE FUNCTION serverless.pin_build() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    DELETE FROM serverless.pins AS p
     WHERE p.service_id = NEW.service_id AND p.build_id = NEW.id;
    INSERT INTO serverless.pins (service_id, version_id, build_id)
    SELECT v.service_id, v.version_id, v.build_id
      FROM serverless.builds AS b
      JOIN serverless.build_versions AS v ON v.service_id = b.service_id AND v.build_id = b.id
     WHERE b.service_id = NEW.service_id AND b.id = NEW.id AND b.status = 'building'
     ORDER BY v.version_id;
    RETURN NULL;
END
$$;

CREATE TRIGGER builds_pin AFTER INSERT OR UPDATE OF status ON serverless.builds
    FOR EACH ROW EXECUTE FUNCTION serverless.pin_build();

-- Refuses another status for a Build that is finished, and another key for any Build.
CREATE FUNCTION serverless.check_build_change() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF (OLD.service_id, OLD.id) <> (NEW.service_id, NEW.id)
       OR OLD.status <> 'building' AND OLD.status <> NEW.status THEN
        RAISE EXCEPTION 'a % Build stays what it is', OLD.status
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER builds_change BEFORE UPDATE ON serverless.builds
    FOR EACH ROW EXECUTE FUNCTION serverless.check_build_change();

-- Returns the Versions of a Build that were deleted, as the API's "details" show them; NULL if there are none.
CREATE FUNCTION serverless.missing_versions(service uuid, build uuid) RETURNS json
LANGUAGE sql STABLE AS $$
    SELECT json_build_object('missing_versions', json_agg(json_build_object(
               'sid', serverless.sid('ZN', b.version_id),
               b.kind || '_sid', serverless.sid('ZH', b.artifact_id),
               'path', b.path) ORDER BY b.path, b.kind))
      FROM serverless.build_versions AS b
     WHERE b.service_id = service AND b.build_id = build
       AND NOT EXISTS (SELECT FROM serverless.versions AS v
                        WHERE v.service_id = service AND v.id = b.version_id)
    HAVING count(*) > 0
$$;

-- Returns the Versions of one kind in a Build, as the API shows them. The API has visibility in upper case
-- here, and in lower case on the Version itself.
CREATE FUNCTION serverless.build_contents(account uuid, service uuid, build uuid,
                                          wanted serverless.artifact_kind) RETURNS json
LANGUAGE sql STABLE AS $$
    SELECT coalesce(json_agg(json_build_object(
               'sid', serverless.sid('ZN', v.version_id),
               'account_sid', serverless.sid('AC', account),
               'service_sid', serverless.sid('ZS', v.service_id),
               v.kind || '_sid', serverless.sid('ZH', v.artifact_id),
               'date_created', to_char(v.date_created AT TIME ZONE 'UTC',
                                       'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
               'path', v.path,
               'visibility', upper(v.visibility)) ORDER BY v.version_id), '[]'::json)
      FROM serverless.build_versions AS v
     WHERE v.service_id = service AND v.build_id = build AND v.kind = wanted
$$;

-- Checks the Versions for a Build. Returns unknown_function if one of functions is no Version of a Function,
-- or else unknown_asset if one of assets is no Version of an Asset, or NULL.
CREATE FUNCTION serverless.unknown_version(service uuid, functions uuid[], assets uuid[]) RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT max('unknown_' || w.kind)
      FROM (SELECT unnest(functions), 'function'::serverless.artifact_kind
             UNION ALL
            SELECT unnest(assets), 'asset') AS w (id, kind)
     WHERE NOT EXISTS (SELECT FROM serverless.versions AS v
                        WHERE v.service_id = service AND v.id = w.id AND v.kind = w.kind)
$$;

-- Creates a Build of these Versions. outcome is ok, not_found (the Service was deleted meanwhile),
-- unknown_function or unknown_asset (as unknown_version() says, also for a Version that was deleted
-- meanwhile), or same_path (two of the Versions have one path).
CREATE FUNCTION serverless.create_build(account uuid, service uuid, functions uuid[], assets uuid[],
                                        runtime text, dependencies text,
                                        OUT outcome text, OUT build serverless.builds,
                                        OUT asset_versions json, OUT function_versions json)
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    identity record;
    wanted   uuid[] := ARRAY(SELECT unnest(functions) UNION SELECT unnest(assets));
BEGIN
    SELECT coalesce(serverless.unknown_version(service, functions, assets),
                    CASE WHEN count(DISTINCT v.path) < count(*) THEN 'same_path' END)
      INTO outcome
      FROM serverless.versions AS v
     WHERE v.service_id = service AND v.id = ANY (wanted);
    IF outcome IS NOT NULL THEN
        RETURN;
    END IF;
    SELECT * INTO identity FROM serverless.new_identity();
    WITH contained AS (
             INSERT INTO serverless.build_versions
             SELECT service, identity.id, v.id, v.kind, v.artifact_id, v.path,
                    v.visibility, v.date_created
               FROM serverless.versions AS v
              WHERE v.service_id = service AND v.id = ANY (wanted)
             RETURNING version_id),
         made AS ( -- after all of what it contains, which the aggregate waits for, and not without
             INSERT INTO serverless.builds AS b
                    (service_id, id, status, runtime, dependencies, date_created, date_updated)
             SELECT service, identity.id, 'building', create_build.runtime,
                    create_build.dependencies::json, identity.made, identity.made
               FROM (SELECT count(*) AS parts FROM contained) AS done
              WHERE done.parts = cardinality(wanted)
             RETURNING b.*)
    SELECT * INTO build FROM made;
    IF NOT FOUND THEN
        RAISE foreign_key_violation; -- so it ends by itself if only some of them went
    END IF;
    asset_versions := serverless.build_contents(account, service, build.id, 'asset');
    function_versions := serverless.build_contents(account, service, build.id, 'function');
    outcome := 'ok';
EXCEPTION WHEN foreign_key_violation THEN -- one of them went in this moment
    outcome := CASE WHEN EXISTS (SELECT FROM serverless.services AS s WHERE s.id = service)
                    THEN serverless.unknown_version(service, functions, assets)
                    ELSE 'not_found' END;
END
$$;

-- Returns a Build as the API shows it, with its Versions. failure_reason is an addition to the API.
CREATE FUNCTION serverless.build_resource(account_id uuid, service_id uuid, b serverless.builds,
                                          asset_versions json, function_versions json)
RETURNS TABLE (sid uuid, account_sid uuid, service_sid uuid, status text, asset_versions json,
               function_versions json, dependencies json, runtime text, failure_reason text,
               date_created bigint, date_updated bigint)
LANGUAGE sql STABLE ROWS 1 AS $$
    SELECT b.id, account_id, service_id, b.status, asset_versions, function_versions,
           b.dependencies, b.runtime, b.failure_reason,
           serverless.epoch(b.date_created), serverless.epoch(b.date_updated)
$$;

INSERT INTO serverless.privileges VALUES
    ('builds',         'SELECT, INSERT, UPDATE, DELETE'),
    ('build_versions', 'SELECT, INSERT'),
    ('pins',           'SELECT');
INSERT INTO serverless.executable VALUES
    ('missing_versions'), ('unknown_version'), ('create_build'), ('build_contents'), ('build_resource');
