-- Reads every table and index of the module into shared_buffers. A copied database has none of them
-- there.
SELECT sum(pg_prewarm(c.oid)) FROM pg_class AS c
 WHERE c.relnamespace = 'serverless'::regnamespace AND c.relkind IN ('r', 'i', 't');
