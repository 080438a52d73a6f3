-- For the share of authentication: the same database where nobody is asked for. The account is known
-- beforehand, and no statement looks for a credential.
SELECT format($open$
    CREATE OR REPLACE FUNCTION serverless.account_scope(credential text, generation int)
    RETURNS TABLE (account_id uuid)
    LANGUAGE sql STABLE ROWS 1 AS $$ SELECT %L::uuid $$
$open$, id) FROM serverless.accounts \gexec
