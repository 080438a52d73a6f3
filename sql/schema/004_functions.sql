-- Functions. The key begins with the Service, so that the table can be partitioned by it.

CREATE TABLE serverless.functions (
    service_id    uuid        NOT NULL REFERENCES serverless.services ON DELETE CASCADE,
    id            uuid        NOT NULL,
    friendly_name text        NOT NULL CHECK (char_length(friendly_name) BETWEEN 1 AND 255),
    date_created  timestamptz NOT NULL,
    date_updated  timestamptz NOT NULL,
    PRIMARY KEY (service_id, id)
);

-- A Function as the API shows it. Account and Service come from the scope, so that they are known
-- of an empty list too.
CREATE FUNCTION serverless.function_resource(account_id uuid, service_id uuid,
                                             f serverless.functions)
RETURNS TABLE (sid uuid, account_sid uuid, service_sid uuid, friendly_name text,
               date_created bigint, date_updated bigint)
LANGUAGE sql STABLE ROWS 1 AS $$
    SELECT f.id, account_id, service_id, f.friendly_name,
           serverless.epoch(f.date_created), serverless.epoch(f.date_updated)
$$;

INSERT INTO serverless.privileges VALUES ('functions', 'SELECT, INSERT, UPDATE, DELETE');
INSERT INTO serverless.executable VALUES ('function_resource');
