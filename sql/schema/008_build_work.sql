-- Leases, by which httpd's workers share the Builds. A worker claims a Build, works on it without holding a
-- connection, and finishes it only if its lease still holds.

-- Claims the oldest Build that has no lease, or one that has expired. Returns NULL if there is none. Fails
-- the Builds that were claimed most_attempts times and whose last lease has expired.
CREATE FUNCTION serverless.claim_build(seconds int, most_attempts int) RETURNS serverless.builds
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    claimed serverless.builds;
BEGIN
    UPDATE serverless.builds AS b
       SET status = 'failed', failure_reason = 'The Build could not be checked',
           lease_token = NULL, lease_expires = NULL,
           date_updated = serverless.next_revision(b.date_updated)
      FROM (SELECT w.service_id, w.id FROM serverless.builds AS w
             WHERE w.status = 'building' AND w.attempts >= most_attempts
               AND w.lease_expires < clock_timestamp()
               FOR NO KEY UPDATE SKIP LOCKED) AS hopeless
     WHERE b.service_id = hopeless.service_id AND b.id = hopeless.id;

    UPDATE serverless.builds AS b
       SET lease_token = gen_random_uuid(), attempts = b.attempts + 1,
           lease_expires = clock_timestamp() + make_interval(secs => seconds)
      FROM (SELECT w.service_id, w.id FROM serverless.builds AS w
             WHERE w.status = 'building' AND w.attempts < most_attempts
               AND (w.lease_expires IS NULL OR w.lease_expires < clock_timestamp())
             ORDER BY w.date_created
             LIMIT 1
               FOR NO KEY UPDATE SKIP LOCKED) AS waiting
     WHERE b.service_id = waiting.service_id AND b.id = waiting.id
    RETURNING b.* INTO claimed;
    RETURN claimed;
END
$$;

INSERT INTO serverless.executable VALUES ('claim_build');
