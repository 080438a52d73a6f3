-- Environments and Deployments; the guard's other half, with the functions that delete.

CREATE TABLE serverless.environments (
    service_id    uuid        NOT NULL REFERENCES serverless.services ON DELETE CASCADE,
    id            uuid        NOT NULL,
    unique_name   text COLLATE "C" NOT NULL CHECK (char_length(unique_name) BETWEEN 1 AND 100),
    domain_suffix text COLLATE "C" CHECK (char_length(domain_suffix) BETWEEN 1 AND 16),
    build_id      uuid,       -- the one that is deployed here
    date_created  timestamptz NOT NULL,
    date_updated  timestamptz NOT NULL,
    domain_label  text COLLATE "C" NOT NULL UNIQUE, -- unique among all Services: it becomes a host name
    PRIMARY KEY (service_id, id),
    UNIQUE (service_id, unique_name),
    CONSTRAINT environments_build FOREIGN KEY (service_id, build_id) REFERENCES serverless.builds
);

-- Sets domain_label: the Service's domain and the suffix. Two Environments of a Service with the same suffix,
-- or two without one, would have the same label, which is unique.
CREATE FUNCTION serverless.label_environment() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    NEW.domain_label := (SELECT s.domain_base FROM serverless.services AS s
                          WHERE s.id = NEW.service_id)
                        || coalesce('-' || lower(NEW.domain_suffix), '');
    RETURN NEW;
END
$$;

CREATE TRIGGER environments_label
    BEFORE INSERT OR UPDATE OF service_id, domain_suffix, domain_label ON serverless.environments
    FOR EACH ROW EXECUTE FUNCTION serverless.label_environment();

CREATE INDEX environments_build_id ON serverless.environments (service_id, build_id);

ALTER TABLE serverless.pins
    ADD FOREIGN KEY (service_id, environment_id) REFERENCES serverless.environments
        ON DELETE CASCADE;

CREATE TABLE serverless.deployments (
    service_id     uuid        NOT NULL,
    id             uuid        NOT NULL,
    environment_id uuid        NOT NULL,
    build_id       uuid,       -- history: the Build may have been deleted
    date_created   timestamptz NOT NULL,
    date_updated   timestamptz NOT NULL,
    PRIMARY KEY (service_id, id),
    UNIQUE (service_id, environment_id, id),
    FOREIGN KEY (service_id, environment_id) REFERENCES serverless.environments ON DELETE CASCADE
);

-- Refuses to deploy a Build that is not completed, and replaces the Environment's pins by those of the Build
-- that is deployed. Goes by the Environment's row as it is now: a function that this statement calls may
-- have changed it.
CREATE FUNCTION serverless.pin_environment() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
    changed serverless.environments := coalesce(NEW, OLD);
    build   uuid;
BEGIN
    SELECT e.build_id INTO build FROM serverless.environments AS e
     WHERE e.service_id = changed.service_id AND e.id = changed.id;
    DELETE FROM serverless.pins AS p
     WHERE p.service_id = changed.service_id AND p.environment_id = changed.id;
    IF build IS NOT NULL THEN
        PERFORM FROM serverless.builds AS b
          WHERE b.service_id = changed.service_id AND b.id = build AND b.status = 'completed';
        IF NOT FOUND THEN
            RAISE EXCEPTION 'only a completed Build can be deployed'
                USING ERRCODE = 'restrict_violation';
        END IF;
        INSERT INTO serverless.pins (service_id, version_id, environment_id)
        SELECT v.service_id, v.version_id, changed.id FROM serverless.build_versions AS v
         WHERE v.service_id = changed.service_id AND v.build_id = build
         ORDER BY v.version_id;
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER environments_pin
    AFTER INSERT OR DELETE OR UPDATE OF service_id, id, build_id ON serverless.environments
    FOR EACH ROW EXECUTE FUNCTION serverless.pin_environment();

-- Deletes what a Service contains, before the Service, in the order that the guard allows: pins before
-- Versions. The cascades of foreign keys alone would have no such order.
CREATE FUNCTION serverless.empty_service() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    DELETE FROM serverless.environments AS e WHERE e.service_id = OLD.id;
    DELETE FROM serverless.builds AS b WHERE b.service_id = OLD.id;
    DELETE FROM serverless.artifacts AS a WHERE a.service_id = OLD.id;
    RETURN OLD;
END
$$;

CREATE TRIGGER services_empty BEFORE DELETE ON serverless.services
    FOR EACH ROW EXECUTE FUNCTION serverless.empty_service();

-- Returns the Builds and Environments whose pins keep the Versions of an artifact, as the API's "details" show
-- them; NULL if there are none.
CREATE FUNCTION serverless.holders(service uuid, kind serverless.artifact_kind, artifact uuid)
RETURNS json
LANGUAGE sql STABLE AS $$
    WITH held AS (
             SELECT p.build_id, p.environment_id
               FROM serverless.pins AS p
               JOIN serverless.versions AS v
                 ON v.service_id = p.service_id AND v.id = p.version_id
              WHERE p.service_id = service AND v.kind = holders.kind AND v.artifact_id = artifact),
         deployed AS (
             SELECT DISTINCT e.id, e.build_id FROM serverless.environments AS e
               JOIN held ON held.environment_id = e.id
              WHERE e.service_id = service),
         active AS (
             SELECT build_id FROM held WHERE build_id IS NOT NULL
             UNION
             SELECT build_id FROM deployed)
    SELECT json_build_object(
               'builds', (SELECT json_agg(serverless.sid('ZB', build_id) ORDER BY build_id)
                            FROM active),
               'environments', (SELECT coalesce(json_agg(serverless.sid('ZE', id) ORDER BY id),
                                                '[]'::json)
                                  FROM deployed))
     WHERE EXISTS (SELECT FROM active)
$$;

-- Deletes an artifact that has one of the expected revisions (NULL: any). outcome is ok, not_found,
-- precondition_failed, or active; details are then those of holders(). The foreign key pins_version decides;
-- holders() is asked after it has refused. If there are no holders any more, the deletion is tried again.
CREATE FUNCTION serverless.delete_artifact(service uuid, kind serverless.artifact_kind, artifact uuid,
                                           expected bigint[], OUT outcome text, OUT details json)
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    FOR attempt IN 1 .. 10 LOOP
        BEGIN
            DELETE FROM serverless.artifacts AS a
             WHERE a.service_id = service AND a.kind = delete_artifact.kind AND a.id = artifact
               AND serverless.is_revision(a.date_updated, expected);
            outcome := CASE WHEN FOUND THEN 'ok'
                            WHEN expected IS NOT NULL
                                 AND EXISTS (SELECT FROM serverless.artifacts AS a
                                              WHERE a.service_id = service
                                                AND a.kind = delete_artifact.kind
                                                AND a.id = artifact)
                            THEN 'precondition_failed'
                            ELSE 'not_found' END;
            RETURN;
        EXCEPTION WHEN foreign_key_violation OR restrict_violation THEN
            details := serverless.holders(service, kind, artifact);
        END;
        IF details IS NOT NULL THEN
            outcome := 'active';
            RETURN;
        END IF;
    END LOOP;
    RAISE EXCEPTION 'kept by something that cannot be seen' USING ERRCODE = 'serialization_failure';
END
$$;

-- Deletes a Build in the same way. details are the Environments on which it is deployed.
CREATE FUNCTION serverless.delete_build(service uuid, build uuid, expected bigint[],
                                        OUT outcome text, OUT details json)
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    FOR attempt IN 1 .. 10 LOOP
        BEGIN
            DELETE FROM serverless.builds AS b
             WHERE b.service_id = service AND b.id = build
               AND serverless.is_revision(b.date_updated, expected);
            outcome := CASE WHEN FOUND THEN 'ok'
                            WHEN expected IS NOT NULL
                                 AND EXISTS (SELECT FROM serverless.builds AS b
                                              WHERE b.service_id = service AND b.id = build)
                            THEN 'precondition_failed'
                            ELSE 'not_found' END;
            RETURN;
        EXCEPTION WHEN foreign_key_violation THEN
            SELECT json_build_object('environments',
                                     json_agg(serverless.sid('ZE', e.id) ORDER BY e.id))
              INTO details
              FROM serverless.environments AS e
             WHERE e.service_id = service AND e.build_id = build
            HAVING count(*) > 0;
        END;
        IF details IS NOT NULL THEN
            outcome := 'active';
            RETURN;
        END IF;
    END LOOP;
    RAISE EXCEPTION 'kept by something that cannot be seen' USING ERRCODE = 'serialization_failure';
END
$$;

-- Creates an Environment. outcome is ok, not_found (the Service was deleted meanwhile) or conflict.
CREATE FUNCTION serverless.create_environment(service uuid, unique_name text, domain_suffix text,
                                              OUT outcome text,
                                              OUT environment serverless.environments)
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    identity record;
BEGIN
    SELECT * INTO identity FROM serverless.new_identity();
    INSERT INTO serverless.environments AS e
           (service_id, id, unique_name, domain_suffix, date_created, date_updated)
    VALUES (service, identity.id, unique_name, domain_suffix, identity.made, identity.made)
    ON CONFLICT DO NOTHING
    RETURNING e.* INTO environment;
    outcome := CASE WHEN FOUND THEN 'ok' ELSE 'conflict' END;
EXCEPTION WHEN foreign_key_violation THEN
    outcome := 'not_found';
END
$$;

-- Deploys a Build to an Environment, or none (wanted is NULL). outcome is ok, not_found (there is no such
-- Environment), unknown_build, not_completed, incomplete (details are then those of missing_versions()), or
-- unchanged: the Build is deployed already, or none is wanted and the last Deployment had none.
CREATE FUNCTION serverless.deploy(service uuid, environment uuid, wanted uuid,
                                  OUT outcome text, OUT details json,
                                  OUT deployment serverless.deployments)
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    target   serverless.environments;
    build    serverless.builds;
    identity record;
BEGIN
    SELECT e.* INTO target FROM serverless.environments AS e
     WHERE e.service_id = service AND e.id = environment FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        outcome := 'not_found';
        RETURN;
    END IF;
    IF wanted IS NOT NULL THEN
        SELECT b.* INTO build FROM serverless.builds AS b
         WHERE b.service_id = service AND b.id = wanted;
        outcome := CASE WHEN NOT FOUND THEN 'unknown_build'
                        WHEN target.build_id = wanted THEN 'unchanged'
                        WHEN build.status <> 'completed' THEN 'not_completed' END;
    ELSIF target.build_id IS NULL THEN
        PERFORM FROM serverless.deployments AS d
          WHERE d.service_id = service AND d.environment_id = environment;
        outcome := CASE WHEN FOUND THEN 'unchanged' END;
    END IF;
    IF outcome IS NOT NULL THEN
        RETURN;
    END IF;

    SELECT * INTO identity FROM serverless.new_identity();
    UPDATE serverless.environments AS e
       SET build_id = wanted, date_updated = serverless.next_revision(e.date_updated)
     WHERE e.service_id = service AND e.id = environment;
    INSERT INTO serverless.deployments AS d
    VALUES (service, identity.id, environment, wanted, identity.made, identity.made)
    RETURNING d.* INTO deployment;
    outcome := 'ok';
EXCEPTION WHEN foreign_key_violation THEN
    deployment := NULL;
    details := serverless.missing_versions(service, wanted);
    outcome := CASE WHEN details IS NULL THEN 'unknown_build' ELSE 'incomplete' END;
END
$$;

-- Returns an Environment as the API shows it. httpd adds ServerlessDomain to the domain name.
CREATE FUNCTION serverless.environment_resource(account_id uuid, service_id uuid,
                                                e serverless.environments)
RETURNS TABLE (sid uuid, account_sid uuid, service_sid uuid, build_sid uuid, unique_name text,
               domain_suffix text, domain_name text, date_created bigint, date_updated bigint)
LANGUAGE sql STABLE ROWS 1 AS $$
    SELECT e.id, account_id, service_id, e.build_id, e.unique_name, e.domain_suffix, e.domain_label,
           serverless.epoch(e.date_created), serverless.epoch(e.date_updated)
$$;

-- Finds the account, the Service and an Environment of the Service. Returns one row always, with NULL for
-- what is not there.
CREATE FUNCTION serverless.environment_scope(credential text, generation int, service_id uuid,
                                             unique_name text, environment_id uuid)
RETURNS TABLE (account_id uuid, service_id uuid, environment_id uuid)
LANGUAGE sql STABLE ROWS 1 AS $$
    SELECT scope.account_id, scope.service_id, e.id
      FROM serverless.service_scope($1, $2, $3, $4) AS scope
      LEFT JOIN serverless.environments AS e ON e.service_id = scope.service_id AND e.id = $5
$$;

-- Returns a Deployment as the API shows it.
CREATE FUNCTION serverless.deployment_resource(account_id uuid, service_id uuid,
                                               environment_id uuid, d serverless.deployments)
RETURNS TABLE (sid uuid, account_sid uuid, service_sid uuid, environment_sid uuid, build_sid uuid,
               date_created bigint, date_updated bigint)
LANGUAGE sql STABLE ROWS 1 AS $$
    SELECT d.id, account_id, service_id, environment_id, d.build_id,
           serverless.epoch(d.date_created), serverless.epoch(d.date_updated)
$$;

INSERT INTO serverless.privileges VALUES
    ('environments', 'SELECT, INSERT, UPDATE, DELETE'),
    ('deployments',  'SELECT, INSERT');
INSERT INTO serverless.executable VALUES
    ('holders'), ('delete_artifact'), ('delete_build'), ('create_environment'), ('deploy'),
    ('environment_resource'), ('environment_scope'), ('deployment_resource');
