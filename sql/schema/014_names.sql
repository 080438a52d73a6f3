-- Names in the field's words: what httpd's children do periodically is maintenance, and the value that
-- changes whenever a credential loses a right is the credentials epoch, which validates caches.

ALTER TABLE serverless.upkeep RENAME TO maintenance;
ALTER TABLE serverless.maintenance RENAME CONSTRAINT upkeep_pkey TO maintenance_pkey;
UPDATE serverless.privileges SET relation = 'maintenance' WHERE relation = 'upkeep';

ALTER TABLE serverless.settings RENAME COLUMN credentials_tag TO credentials_epoch;
ALTER FUNCTION serverless.renew_credentials_tag() RENAME TO renew_credentials_epoch;

-- What the triggers credentials_change and services_change_hands run, with the new name of the column.
CREATE OR REPLACE FUNCTION serverless.renew_credentials_epoch() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE serverless.settings SET credentials_epoch = gen_random_uuid();
    RETURN NULL;
END
$$;
