-- Artifacts: Functions and Assets. The API treats both alike, so one table has both; the kind is part of the
-- key. The key begins with the Service, so that the table can be partitioned by Service.

CREATE TYPE serverless.artifact_kind AS ENUM ('function', 'asset');

CREATE TABLE serverless.artifacts (
    service_id    uuid        NOT NULL REFERENCES serverless.services ON DELETE CASCADE,
    kind          serverless.artifact_kind NOT NULL,
    id            uuid        NOT NULL,
    friendly_name text COLLATE "C" NOT NULL CHECK (char_length(friendly_name) BETWEEN 1 AND 255),
    date_created  timestamptz NOT NULL,
    date_updated  timestamptz NOT NULL,
    PRIMARY KEY (service_id, kind, id)
);

CREATE INDEX artifacts_friendly_name ON serverless.artifacts (service_id, kind, friendly_name, id);

-- Returns an artifact as the API shows it. account_id and service_id are the scope's, so that an empty list
-- has them, too.
CREATE FUNCTION serverless.artifact_resource(account_id uuid, service_id uuid,
                                             a serverless.artifacts)
RETURNS TABLE (sid uuid, account_sid uuid, service_sid uuid, friendly_name text,
               date_created bigint, date_updated bigint)
LANGUAGE sql STABLE ROWS 1 AS $$
    SELECT a.id, account_id, service_id, a.friendly_name,
           serverless.epoch(a.date_created), serverless.epoch(a.date_updated)
$$;

INSERT INTO serverless.privileges VALUES ('artifacts', 'SELECT, INSERT, UPDATE, DELETE');
INSERT INTO serverless.executable VALUES ('artifact_resource');
