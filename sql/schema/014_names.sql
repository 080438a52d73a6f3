-- Names in the field's words: what httpd's children do periodically is maintenance.

ALTER TABLE serverless.upkeep RENAME TO maintenance;
ALTER TABLE serverless.maintenance RENAME CONSTRAINT upkeep_pkey TO maintenance_pkey;
UPDATE serverless.privileges SET relation = 'maintenance' WHERE relation = 'upkeep';
