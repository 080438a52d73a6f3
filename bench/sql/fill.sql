-- Fills a database that has the schema and one account: :functions Functions in :services Services,
-- a fifth of them in the first one. They are in the order of their creation, as if each Service had
-- grown with the others, and the same in every run.

CREATE EXTENSION pg_prewarm;

-- What the peers and the bench itself call the table.
CREATE SCHEMA bench;
CREATE VIEW bench.functions AS
SELECT service_id, kind, id, friendly_name, date_created, date_updated FROM serverless.artifacts
 WHERE kind = 'function';

ALTER VIEW bench.functions ALTER COLUMN kind SET DEFAULT 'function';

-- As serverless.new_identity() would have made it at that moment; every `number` has another.
CREATE FUNCTION bench.identity(made timestamptz, number int) RETURNS uuid
LANGUAGE sql IMMUTABLE AS $$
    SELECT (lpad(to_hex((extract(epoch FROM made) * 1000000)::bigint), 14, '0')
            || left(md5(number::text), 18))::uuid
$$;

GRANT USAGE ON SCHEMA bench TO serverless_httpd;
GRANT SELECT, INSERT, UPDATE, DELETE ON bench.functions TO serverless_httpd;

SET session_replication_role = replica; -- no foreign key is asked a million times

CREATE TABLE bench.services AS
SELECT number, made, bench.identity(made, -number) AS id
  FROM generate_series(1, :services) AS number,
       LATERAL (SELECT timestamptz '2026-01-01Z' + number * interval '1 second' AS made) AS at;

INSERT INTO serverless.services
       (id, account_id, unique_name, friendly_name, include_credentials, ui_editable, domain_base,
        date_created, date_updated)
SELECT s.id, (SELECT id FROM serverless.accounts), 'service-' || number, 'Service ' || number,
       true, false, 'service-' || number, made, made
  FROM bench.services AS s;

INSERT INTO bench.functions (service_id, id, friendly_name, date_created, date_updated)
SELECT s.id, bench.identity(f.made, f.number), 'Function ' || f.number, f.made, f.made
  FROM (SELECT number, timestamptz '2026-02-01Z' + number * interval '1 second' AS made,
               CASE WHEN number % 5 = 0 THEN 1
                    ELSE 2 + (number - number / 5) % (:services - 1) END AS service
          FROM generate_series(1, :functions) AS number) AS f
  JOIN bench.services AS s ON s.number = f.service
 ORDER BY f.number;

VACUUM (FREEZE, ANALYZE);
