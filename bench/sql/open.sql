-- For the share of authentication: the same database where nobody is asked for. The account is known
-- beforehand, and no statement looks for a credential.
SELECT format($open$
    CREATE OR REPLACE FUNCTION serverless.account_scope(credential text, generation int)
    RETURNS TABLE (account_id uuid)
    LANGUAGE sql STABLE ROWS 1 AS $$ SELECT %L::uuid $$
$open$, id) FROM serverless.accounts \gexec

-- Were that one beside the module's own, which has other parameters by now, all would go on as before.
DO $$
BEGIN
    IF (SELECT count(*) FROM pg_proc WHERE pronamespace = 'serverless'::regnamespace
                                       AND proname = 'account_scope') <> 1 THEN
        RAISE EXCEPTION 'serverless.account_scope has changed: bench/sql/open.sql has to follow';
    END IF;
END
$$;
