-- Whether credentials are what they were: httpd remembers of a credential that it was good, and which
-- Services are its account's, as long as this tag is the same. It changes with whatever can take
-- something away. What is new takes nothing away. It is random, not counted, so that a database restored
-- from a backup, or a standby that lagged, does not have that of another past.

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
