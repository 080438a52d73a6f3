-- The credentials epoch (credentials_tag until 014_names.sql renames it): a value that changes whenever a
-- credential may lose a right, because credentials are updated or deleted, or a Service gets another account.
-- While it stays the same, httpd's caches of credentials, and of the Services of each, hold. A new credential
-- does not change it: nothing that a cache says becomes wrong. It is random and not a counter, so that a
-- database that was restored from a backup, or a standby that lagged, never has the value of another past.

ALTER TABLE serverless.settings ADD COLUMN credentials_tag uuid NOT NULL DEFAULT gen_random_uuid();

CREATE FUNCTION serverless.renew_credentials_tag() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE serverless.settings SET credentials_tag = gen_random_uuid();
    RETURN NULL;
END
$$;

CREATE TRIGGER credentials_change AFTER UPDATE OR DELETE OR TRUNCATE ON serverless.credentials
    FOR EACH STATEMENT EXECUTE FUNCTION serverless.renew_credentials_tag();

CREATE TRIGGER services_change_hands AFTER UPDATE OF account_id ON serverless.services
    FOR EACH STATEMENT EXECUTE FUNCTION serverless.renew_credentials_tag();
