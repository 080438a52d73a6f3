-- Pages that are bounded in bytes, for lists whose rows may be large: Builds, Logs and Variables.
-- ../README.md#pages-bounded-in-bytes explains how their statements use these functions.

-- The most bytes of a page's rows, by the functions ..._bytes below.
CREATE FUNCTION serverless.page_bytes() RETURNS bigint
LANGUAGE sql IMMUTABLE AS $$ SELECT 1048576::bigint $$;

-- The bytes of a row's JSON, in UTF-8 before escaping, with 800 for its SIDs, dates, names and URLs; but at
-- most page_bytes(), so that one row of any size fits a page.
CREATE FUNCTION serverless.log_bytes(l serverless.logs) RETURNS bigint
LANGUAGE sql STABLE AS $$
    SELECT least(octet_length(l.message) + octet_length(l.level) + 800, serverless.page_bytes())
$$;

CREATE FUNCTION serverless.variable_bytes(v serverless.variables) RETURNS bigint
LANGUAGE sql STABLE AS $$
    SELECT least(octet_length(v.sealed) + octet_length(v.key) + 800, serverless.page_bytes())
$$;


-- Builds -----------------------------------------------------------------------------------------

-- The bytes of the JSON of a Build's Versions: for each, its path, and 310 for all else. A Build never
-- changes what it contains, so neither does this number. Lists would read 1,000 rows for each Build without
-- it.
ALTER TABLE serverless.builds ADD COLUMN contents_bytes int NOT NULL DEFAULT 0;

CREATE FUNCTION serverless.contents_bytes(service uuid, build uuid) RETURNS int
LANGUAGE sql STABLE AS $$
    SELECT coalesce(sum(octet_length(v.path) + 310), 0)::int
      FROM serverless.build_versions AS v
     WHERE v.service_id = service AND v.build_id = build
$$;

-- Measures what a new Build contains, which was inserted before it.
CREATE FUNCTION serverless.measure_build() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    NEW.contents_bytes := serverless.contents_bytes(NEW.service_id, NEW.id);
    RETURN NEW;
END
$$;

CREATE TRIGGER builds_measure BEFORE INSERT ON serverless.builds
    FOR EACH ROW EXECUTE FUNCTION serverless.measure_build();

UPDATE serverless.builds AS b SET contents_bytes = serverless.contents_bytes(b.service_id, b.id);

CREATE FUNCTION serverless.build_bytes(b serverless.builds) RETURNS bigint
LANGUAGE sql STABLE AS $$
    SELECT least(b.contents_bytes + octet_length(b.dependencies::text)
                 + coalesce(octet_length(b.failure_reason), 0) + 800, serverless.page_bytes())
$$;

INSERT INTO serverless.executable VALUES
    ('page_bytes'), ('log_bytes'), ('variable_bytes'), ('contents_bytes'), ('build_bytes');
