# The SQL statements and the schema, without httpd: each statement is prepared and explained
# with the rights of httpd's role, on a database with many rows.
use strict;
use warnings FATAL => 'all';

use Apache::Test qw(-withtestmore);
use Digest::SHA qw(sha256);
use JSON::PP ();
use Serverless::Test;
use Test::More;

# A database of this suite's own, filled -----------------------------------------

my $name = "serverless_statements_$$";
superuser()->do("CREATE DATABASE $name OWNER serverless_owner");
END {
    local $?;
    superuser()->do("DROP DATABASE IF EXISTS $name WITH (FORCE)") if $name;
}
for my $command ('schema apply', 'grant serverless_httpd') {
    system("$ENV{SOURCE}/bin/serverless-admin -d 'host=$ENV{DATABASE} dbname=$name user=serverless_owner' $command "
        . '>/dev/null') == 0 or die "serverless-admin $command failed\n";
}
my $owner = connect_as('postgres', $name);
my $httpd = connect_as('serverless_httpd', $name);

# Gives accounts of this name so many Services each, and those so many Functions.
sub fill {
    my ($accounts, $services, $functions) = @_;
    $owner->do(<<'SQL', undef, $services, $accounts);
INSERT INTO serverless.services
SELECT (s.fresh).id, a.id, 'service-' || s.n, 'Service ' || s.n, true, false,
       'service-' || s.n || '-' || a.id, (s.fresh).made, (s.fresh).made
  FROM serverless.accounts AS a,
       LATERAL (SELECT a.id AS account, n, serverless.new_identity() AS fresh
                  FROM generate_series(1, ?::int) AS n OFFSET 0) AS s
 WHERE a.friendly_name = ?
SQL
    $owner->do(<<'SQL', undef, $functions, $accounts);
INSERT INTO serverless.artifacts
SELECT s.id, 'function', (f.fresh).id, 'Function ' || f.n, (f.fresh).made, (f.fresh).made
  FROM serverless.services AS s JOIN serverless.accounts AS a ON a.id = s.account_id,
       LATERAL (SELECT s.id AS service, n, serverless.new_identity() AS fresh
                  FROM generate_series(1, ?::int) AS n OFFSET 0) AS f
 WHERE a.friendly_name = ?
SQL
}

# An account with 3,000 Services, and 10,000 Functions in one of them, half of them of one name; many others,
# small or idle.
my ($account) = $owner->selectrow_array(q(SELECT account_sid FROM serverless.create_account('large')));
my $account_id = substr $account, 2; # PostgreSQL reads it without dashes, too
$owner->do(q(SELECT serverless.create_account('idle') FROM generate_series(1, 4000)));
$owner->do(q(SELECT serverless.create_account('small') FROM generate_series(1, 400)));
fill('small', 2, 25);
fill('large', 3000, 1);
my $service = newest('services', "account_id = '$account_id'");
$owner->do(<<'SQL', undef, $service);
INSERT INTO serverless.artifacts
SELECT ?, 'function', (f.fresh).id, CASE WHEN n % 2 = 0 THEN 'same' ELSE 'Function ' || f.n END,
       (f.fresh).made, (f.fresh).made
  FROM (SELECT n, serverless.new_identity() AS fresh FROM generate_series(1, 10000) AS n OFFSET 0) AS f
SQL
my $function = newest('artifacts', "service_id = '$service'");

# Versions: 3,000 of one Function, one of each of a thousand others, and of the
# small accounts' first ones; contents are shared there. All triggers are in force.
$owner->do(<<'SQL', undef, $service, $function, $function);
WITH wanted AS MATERIALIZED (
         SELECT f.service_id, f.id AS artifact_id, n, n + f.number * 10000 AS source
           FROM (SELECT service_id, id, row_number() OVER (ORDER BY id DESC) AS number
                   FROM serverless.artifacts WHERE service_id = ?) AS f,
                generate_series(1, CASE WHEN f.id = ? THEN 3000 ELSE 1 END) AS n
          WHERE f.number <= 1000 OR f.id = ?
          UNION ALL
         SELECT f.service_id, f.id, 1, 1 FROM serverless.artifacts AS f
           JOIN serverless.services AS s ON s.id = f.service_id
           JOIN serverless.accounts AS a ON a.id = s.account_id
          WHERE a.friendly_name = 'small'),
     sources AS MATERIALIZED (
         SELECT DISTINCT service_id, convert_to('// ' || source, 'UTF8') AS bytes FROM wanted),
     contents AS (
         INSERT INTO serverless.contents
         SELECT service_id, sha256(bytes), octet_length(bytes) FROM sources
         RETURNING 1)
INSERT INTO serverless.versions
SELECT v.service_id, 'function', v.artifact_id, (v.fresh).id,
       '/path-' || left(v.artifact_id::text, 18) || v.n, 'public', 'application/javascript',
       sha256(convert_to('// ' || source, 'UTF8')), (v.fresh).made
  FROM (SELECT w.*, serverless.new_identity() AS fresh FROM wanted AS w,
               (SELECT count(*) FROM contents) AS written OFFSET 0) AS v
SQL
$owner->do(<<'SQL');
INSERT INTO serverless.content_chunks
SELECT DISTINCT v.service_id, v.content_sha256, 0, source.bytes
  FROM (SELECT n, convert_to('// ' || n * 10000 + 1, 'UTF8') AS bytes FROM generate_series(2, 1000) AS n
         UNION ALL
        SELECT n, convert_to('// ' || 10000 + n, 'UTF8') FROM generate_series(1, 3000) AS n
         UNION ALL
        SELECT 0, convert_to('// 1', 'UTF8')) AS source
  JOIN serverless.versions AS v ON v.content_sha256 = sha256(source.bytes)
SQL

# Builds of so many of a Service's oldest Versions, all alike.
sub fill_builds {
    my ($services, $status, $builds, $versions) = @_;
    $owner->do(<<"SQL", undef, $builds, $versions, $status);
WITH fresh AS MATERIALIZED (
         SELECT b.service_id, (b.fresh).id, (b.fresh).made
           FROM (SELECT s.id AS service_id, serverless.new_identity() AS fresh
                   FROM ($services) AS s, generate_series(1, ?) AS n OFFSET 0) AS b),
     contained AS (
         INSERT INTO serverless.build_versions
         SELECT b.service_id, b.id, v.id, v.kind, v.artifact_id, v.path, v.visibility, v.date_created
           FROM fresh AS b,
                LATERAL (SELECT * FROM serverless.versions AS v WHERE v.service_id = b.service_id
                          ORDER BY v.id LIMIT ?) AS v
         RETURNING 1)
INSERT INTO serverless.builds (service_id, id, status, runtime, dependencies, date_created, date_updated)
SELECT b.service_id, b.id, ?, 'node22', '[]', b.made, b.made
  FROM fresh AS b, (SELECT count(*) FROM contained) AS written
SQL
}
my $small = q(SELECT s.id FROM serverless.services AS s JOIN serverless.accounts AS a ON a.id = s.account_id
    WHERE a.friendly_name = 'small');
fill_builds($small, 'completed', 2, 5);
fill_builds("$small LIMIT 40", 'building', 1, 5);
fill_builds("SELECT '$service'::uuid AS id", 'completed', 3000, 3);
fill_builds("SELECT '$service'::uuid AS id", 'building', 20, 60);

# Environments, a third of which have a Build, and Deployments: 3,000 of one of them.
$owner->do(<<"SQL", undef, $service);
INSERT INTO serverless.environments
SELECT e.service_id, (e.fresh).id, 'environment-' || e.n, 'e' || e.n, NULL, (e.fresh).made, (e.fresh).made
  FROM (SELECT s.id AS service_id, n, serverless.new_identity() AS fresh
          FROM (($small) UNION ALL SELECT ?::uuid) AS s,
               generate_series(1, CASE WHEN s.id = '$service' THEN 3000 ELSE 2 END) AS n OFFSET 0) AS e
SQL
$owner->do(<<'SQL');
UPDATE serverless.environments AS e
   SET build_id = (SELECT b.id FROM serverless.builds AS b
                    WHERE b.service_id = e.service_id AND b.status = 'completed' ORDER BY b.id DESC LIMIT 1)
 WHERE right(e.unique_name, 1) IN ('1', '4', '7')
SQL
my $environment = newest('environments', "service_id = '$service' AND build_id IS NOT NULL");
my $empty_environment = newest('environments', "service_id = '$service' AND build_id IS NULL");
$owner->do(<<'SQL', undef, $environment);
INSERT INTO serverless.deployments
SELECT d.service_id, (d.fresh).id, d.id, d.build_id, (d.fresh).made, (d.fresh).made
  FROM (SELECT e.service_id, e.id, e.build_id, serverless.new_identity() AS fresh
          FROM serverless.environments AS e,
               generate_series(1, CASE WHEN e.id = ? THEN 3000 ELSE 2 END) AS n OFFSET 0) AS d
SQL

# Variables: 3,000 in one of them, which are encrypted with another key.
$owner->do(<<'SQL', undef, $environment, $environment);
INSERT INTO serverless.variables
SELECT v.service_id, (v.fresh).id, v.id, 'KEY_' || v.n, CASE WHEN v.id = ? THEN 'old' ELSE 'new' END,
       decode(repeat('00', 40), 'hex'), (v.fresh).made, (v.fresh).made
  FROM (SELECT e.service_id, e.id, n, serverless.new_identity() AS fresh
          FROM serverless.environments AS e,
               generate_series(1, CASE WHEN e.id = ? THEN 3000 ELSE 2 END) AS n OFFSET 0) AS v
SQL

# A signing key of each account, encrypted with another key in two of three.
$owner->do(<<'SQL');
INSERT INTO serverless.signing_keys
SELECT a.id, (a.fresh).id, CASE WHEN a.n % 3 = 0 THEN 'new' ELSE 'old' END, decode(repeat('00', 92), 'hex'), (a.fresh).made
  FROM (SELECT id, row_number() OVER (ORDER BY id) AS n, serverless.new_identity() AS fresh
          FROM serverless.accounts OFFSET 0) AS a
SQL

# Idempotency keys, in all the Services.
$owner->do(<<'SQL');
INSERT INTO serverless.idempotency_keys
SELECT s.account_id, sha256(uuid_send(s.id)), sha256('request'), s.id, s.id, clock_timestamp()
  FROM serverless.services AS s
SQL
my ($key, $request) = map { unpack 'H*', sha256($_) } 'key', 'request';
my ($known_key) = $owner->selectrow_array(
    q(SELECT encode(key_hash, 'hex') FROM serverless.idempotency_keys WHERE service_id = ?), undef, $service);

# Entries of logs: 20,000 of one Environment, one a second until now, half of them of
# one Function; 3,000 more that are 40 days old; and two of each other Environment.
$owner->do(<<'SQL', undef, $function, $environment);
INSERT INTO serverless.logs
SELECT l.service_id, l.id, serverless.key_at(l.at, right(replace(gen_random_uuid()::text, '-', ''), 18)),
       l.build_id, NULL, l.function_id, gen_random_uuid(), 'info', 'message ' || l.n, l.at
  FROM (SELECT e.service_id, e.id, e.build_id, n,
               CASE WHEN n % 2 = 0 THEN ?::uuid ELSE gen_random_uuid() END AS function_id,
               now() - make_interval(secs => n, days => CASE WHEN n > 20000 THEN 40 ELSE 0 END) AS at
          FROM serverless.environments AS e,
               generate_series(1, CASE WHEN e.id = ? THEN 23000 ELSE 2 END) AS n) AS l
SQL

# Bundles: one that 2,000 Builds of the Service share, with a request each; one of each other Service; and one whose
# chunk is not there yet.
my ($bundle, $chunkless) = map { unpack 'H*', sha256($_) } 'bundle', 'chunkless';
my $insert_bundle = q(INSERT INTO serverless.bundles SELECT s.id, decode(?, 'hex'), 3, sha256('z') FROM serverless.services AS s);
$owner->do($insert_bundle, undef, $bundle);
$owner->do("$insert_bundle WHERE s.id = ?", undef, $chunkless, $service);
$owner->do(q(INSERT INTO serverless.bundle_chunks SELECT service_id, sha256, 0, 'abc' FROM serverless.bundles WHERE sha256 = decode(?, 'hex')),
    undef, $bundle);
$owner->do(<<'SQL', undef, $bundle);
INSERT INTO serverless.build_bundles
SELECT b.service_id, b.id, sha256(uuid_send(b.id)), decode(?, 'hex'), '{}'
  FROM (SELECT *, row_number() OVER (PARTITION BY service_id ORDER BY id DESC) AS n
          FROM serverless.builds WHERE status = 'completed') AS b
 WHERE b.n <= 2000
SQL

# A Build one of whose Versions is gone.
my $gone = newest('artifacts', "service_id = '$service' AND id < '$function'");
my ($gone_version) = $owner->selectrow_array(
    'SELECT id FROM serverless.versions WHERE service_id = ? AND artifact_id = ?', undef, $service, $gone);
my $build_of = sub {
    my ($sql, @versions) = @_;
    my ($outcome, $id) = $owner->selectrow_array('SELECT c.outcome, (c.build).id FROM '
        . "serverless.create_build(?, ?, ?, '{}', 'node22', '[]') AS c", undef, $account_id, $service, \@versions);
    $owner->do($sql, undef, $id);
    return $id;
};
my $finish = q(UPDATE serverless.builds SET status = 'completed' WHERE id = ?);
my $whole = $build_of->($finish, newest('versions', "service_id = '$service' AND artifact_id = '$function'"));
my $incomplete = $build_of->($finish, $gone_version);
$owner->do('DELETE FROM serverless.artifacts WHERE service_id = ? AND id = ?', undef, $service, $gone);
$owner->do('VACUUM ANALYZE');

# The digits of a uuid.
sub hex_of { return $_[0] =~ tr/-//dr }

sub newest {
    my ($table, $condition) = @_;
    return $owner->selectrow_array("SELECT id FROM serverless.$table WHERE $condition ORDER BY id DESC LIMIT 1");
}

# The row that so many newer ones precede.
sub row_at {
    my ($table, $condition, $position) = @_;
    return $owner->selectrow_array(
        "SELECT id FROM serverless.$table WHERE $condition ORDER BY id DESC LIMIT 1 OFFSET $position");
}


# Every statement, with what it is run with here ------------------------------------

my $latest = 'ffffffff-ffff-ffff-ffff-ffffffffffff';
my $deep_function = row_at('artifacts', "service_id = '$service'", 9000);
my $deep_service = row_at('services', "account_id = '$account_id'", 2900);
my @by_sid = ($account, 1, $service, undef);
my @by_name = ($account, 1, undef, 'service-2000');
my $version = newest('versions', "service_id = '$service' AND artifact_id = '$function'");
my $deep_version = row_at('versions', "service_id = '$service' AND artifact_id = '$function'", 2900);
my $pinned = $owner->selectrow_array('SELECT v.artifact_id FROM serverless.pins AS p JOIN serverless.versions AS v '
    . 'ON v.service_id = p.service_id AND v.id = p.version_id WHERE p.service_id = ? LIMIT 1', undef, $service);
my $plain = newest('artifacts', "service_id = '$service' AND id < '$function' AND id NOT IN "
    . '(SELECT v.artifact_id FROM serverless.pins AS p JOIN serverless.versions AS v ON v.service_id = p.service_id '
    . 'AND v.id = p.version_id) AND id IN (SELECT artifact_id FROM serverless.versions)');
my $deep_build = row_at('builds', "service_id = '$service'", 2900);
my $deployed = $owner->selectrow_array('SELECT build_id FROM serverless.environments WHERE service_id = ? AND id = ?',
    undef, $service, $environment);
my $building = newest('builds', "service_id = '$service' AND status = 'building'");
my $deep_environment = row_at('environments', "service_id = '$service'", 2900);
my $deployment = newest('deployments', "service_id = '$service' AND environment_id = '$environment'");
my $deep_deployment = row_at('deployments', "service_id = '$service' AND environment_id = '$environment'", 2900);
my $here = "service_id = '$service' AND environment_id = '$environment'";
my $entry = newest('logs', $here);
my ($deep_entry, $deep_of_function) = map { row_at('logs', @$_) } [$here, 19000], ["$here AND function_id = '$function'", 9000];
my @in_2020 = ('2020-01-01T00:00:00.000Z', '2020-01-02T00:00:00Z');
my $label = $owner->selectrow_array('SELECT domain_label FROM serverless.environments WHERE service_id = ? AND id = ?',
    undef, $service, $environment);
my $variable = newest('variables', "service_id = '$service' AND environment_id = '$environment'");
my $deep_variable = row_at('variables', "service_id = '$service' AND environment_id = '$environment'", 2900);
my ($signing_key) = $owner->selectrow_array('SELECT id FROM serverless.signing_keys WHERE account_id = ?', undef, $account_id);
my $fresh = $owner->selectrow_array('SELECT id FROM serverless.new_identity()');
my ($sealed, $other_sealed) = ('old:' . '00' x 40, 'new:' . '01' x 40);
my $sixty = '{' . join(',', @{ $owner->selectcol_arrayref('SELECT id FROM serverless.versions AS v '
    . 'WHERE service_id = ? AND artifact_id <> ? ORDER BY id LIMIT 60', undef, $service, $function) }) . '}';
my ($bundled, $bundle_request) = $owner->selectrow_array(
    q(SELECT build_id, encode(request_sha256, 'hex') FROM serverless.build_bundles WHERE service_id = ? LIMIT 1), undef, $service);
my $lease = '01234567-89ab-cdef-0123-456789abcdef';
$owner->do('UPDATE serverless.builds SET lease_token = ?, lease_expires = now() + interval \'1 hour\', attempts = 1 '
    . 'WHERE id = ?', undef, $lease, $building);
my ($hash, $known_hash, $unfinished) = map { unpack 'H*', sha256($_) } 'new', '// 10001', 'unfinished';
$owner->do(q(INSERT INTO serverless.contents VALUES (?, decode(?, 'hex'), 262144 + 3)), undef, $service, $unfinished);
my $nobody = '00000000-0000-0000-0000-000000000000';
my %examples = (
    session_begin     => [[]],
    credentials_epoch   => [[]],
    node_state        => [['{}'], ['{old,new}']],
    credential_secret => [[$account]],
    credential_check  => [[$account, 1], [$account, undef]],
    service_create    => [[$account, 1, 'new', 'New', undef, 'f'], [$account, 1, 'service-1', 'Taken', undef, undef]],
    service_fetch     => [[@by_sid], [@by_name]],
    service_list      => [[$account, 1, $latest, undef, 50], [$account, 1, $latest, $deep_service, 50],
                          [$account, 1, $deep_service, undef, 50]],
    service_update    => [[@by_sid, undef, 'Renamed', undef, undef], [@by_name, '{1}', undef, 't', 'f']],
    service_delete    => [[@by_sid, undef], [@by_name, undef], [@by_sid, '{1}']],

    artifact_create => [[@by_sid, 'function', 'New'], [@by_name, 'asset', 'New']],
    artifact_fetch  => [[@by_sid, $function, 'function'], [@by_name, $function, 'function']],
    artifact_list   => [[@by_sid, 'function', $latest, undef, 50], [@by_sid, 'function', $latest, $deep_function, 50],
                        [@by_sid, 'function', $deep_function, undef, 50], [@by_name, 'asset', $latest, undef, 50]],
    artifact_find   => [[@by_sid, 'function', 'same', $latest, undef, 50],
                        [@by_sid, 'function', 'same', $latest, $deep_function, 50],
                        [@by_sid, 'function', 'same', $deep_function, undef, 50],
                        [@by_name, 'asset', 'same', $latest, undef, 50]],
    artifact_update => [[@by_sid, $function, 'function', undef, 'Renamed'],
                        [@by_name, $function, 'function', '{1,2}', 'Renamed']],
    artifact_delete => [[@by_sid, $plain, 'function', undef], [@by_name, $plain, 'function', undef],
                        [@by_sid, $plain, 'function', '{1}'], [@by_sid, $pinned, 'function', undef],
                        [@by_sid, $nobody, 'asset', undef]],

    version_prepare => [[@by_sid, $function, 'function'], [@by_name, $function, 'function']],
    version_create  => [
        [@by_sid, $function, 'function', '/new', 'public', 'text/plain', $hash, 3, 'bmV3'],
        [@by_name, $function, 'function', '/new', 'public', 'text/plain', $hash, 3, 'bmV3'],
        [@by_sid, $function, 'function', '/new', 'public', 'text/plain', $known_hash, 8, 'Ly8gMTAwMDE=']],
    version_fetch   => [[@by_sid, $function, $version, 'function'], [@by_name, $function, $version, 'function']],
    version_content => [[@by_sid, $function, $version, 'function'], [@by_name, $function, $version, 'function']],
    version_list    => [
        [@by_sid, $function, 'function', $latest, undef, 50], [@by_sid, $function, 'function', $latest, $deep_version, 50],
        [@by_sid, $function, 'function', $deep_version, undef, 50], [@by_name, $function, 'function', $latest, undef, 50]],

    version_content_head => [[@by_sid, $function, $version, 'function'], [@by_name, $function, $version, 'function']],
    content_chunk_add    => [[$service, $unfinished, 1, 'bmV3']],
    content_chunk_fetch  => [[$service, $known_hash, 0]],

    route_by_label    => [[$label], ['nobody-0000']],
    route_by_id       => [[$service, $environment], [$service, $nobody]],
    route_lease_begin => [[]],
    build_files       => [[$service, $deployed]],
    build_sources     => [[$service, $deployed]],
    context_variables => [[$service, $environment]],

    idempotency_key_claim  => [[$account, 1, $key, $request], [$account, 1, $known_key, $request],
                               [$account, 1, $known_key, $key]],
    idempotency_key_record => [[$account, 1, $known_key, $service, $function]],
    idempotency_key_expire => [[1000]],

    build_create  => [[@by_sid, $sixty, '{}', 'node22', '[]', 5, undef, 1], [@by_name, $sixty, undef, 'node22', '[]', undef, undef, undef],
                      [@by_sid, "{$nobody}", undef, 'node22', '[]', undef, undef, undef],
                      [@by_sid, undef, "{$version}", 'node22', '[]', 1, 1, 1],
                      [@by_sid, "{$version,$deep_version}", undef, 'node22', '[]', undef, undef, undef]],
    build_fetch   => [[@by_sid, $building], [@by_name, $building]],
    build_status  => [[@by_sid, $building], [@by_name, $building]],
    build_list    => [[@by_sid, $latest, undef, 50], [@by_sid, $latest, $deep_build, 50],
                      [@by_sid, $deep_build, undef, 50], [@by_name, $latest, undef, 50]],
    build_delete  => [[@by_sid, $building, undef], [@by_name, $building, '{1}'], [@by_sid, $deployed, undef],
                      [@by_sid, $nobody, undef]],
    build_claim   => [[30, 3]],
    build_parts   => [[$service, $building]],
    build_source  => [[$service, $version]],
    build_finish  => [[$service, $building, $lease, 'completed', undef],
                      [$service, $building, $lease, 'failed', 'why']],
    build_extend  => [[$service, $building, $lease, 60]],
    build_release => [[$service, $building, $lease]],

    bundle_find        => [[@by_sid, $bundle_request], [@by_name, $bundle_request]],
    bundle_reuse       => [[$service, $building, $lease, $bundle_request], [$service, $building, $lease, $hash]],
    bundle_keep        => [[$service, $hash, 3, $hash], [$service, $bundle, 3, $hash]],
    bundle_chunk_add   => [[$service, $chunkless, 0, 'bmV3']],
    bundle_assign      => [[$service, $building, $lease, $bundle_request, $bundle, '{}']],
    bundle_of_build    => [[$service, $bundled]],
    bundle_chunk_fetch => [[$service, $bundle, 0]],

    environment_create => [[@by_sid, 'new', 'new'], [@by_name, 'new', 'new'], [@by_sid, 'environment-1', 'other']],
    environment_fetch  => [[@by_sid, $environment], [@by_name, $environment]],
    environment_list   => [[@by_sid, $latest, undef, 50], [@by_sid, $latest, $deep_environment, 50],
                           [@by_sid, $deep_environment, undef, 50], [@by_name, $latest, undef, 50]],
    environment_delete => [[@by_sid, $environment, undef], [@by_name, $environment, '{1}']],

    deployment_target => [[@by_sid, $environment, $whole], [@by_name, $environment, $whole], [@by_sid, $environment, $nobody]],
    deployment_create => [[@by_sid, $environment, $whole], [@by_name, $environment, $whole],
                          [@by_sid, $environment, undef], [@by_sid, $empty_environment, undef],
                          [@by_sid, $environment, $deployed], [@by_sid, $environment, $building],
                          [@by_sid, $environment, $incomplete], [@by_sid, $environment, $nobody]],
    deployment_fetch  => [[@by_sid, $environment, $deployment], [@by_name, $environment, $deployment]],
    deployment_list   => [[@by_sid, $environment, $latest, undef, 50],
                          [@by_sid, $environment, $latest, $deep_deployment, 50],
                          [@by_sid, $environment, $deep_deployment, undef, 50],
                          [@by_name, $environment, $latest, undef, 50]],

    log_fetch => [[@by_sid, $environment, $entry], [@by_name, $environment, $entry]],
    log_add   => [[JSON::PP::encode_json([ map { {
        sid => 'NO' . sprintf('%032x', $_), service_sid => 'ZS' . hex_of($service), environment_sid => 'ZE' . hex_of($environment),
        build_sid => 'ZB' . hex_of($deployed), deployment_sid => 'ZD' . hex_of($deployment), function_sid => 'ZH' . hex_of($function),
        request_sid => 'RQ' . '0' x 32, level => 'INFO', message => 'a message' } } 1 .. 10 ])]],
    log_list  => [
        [@by_sid, $environment, undef, undef, undef, $latest, undef, 50],
        [@by_sid, $environment, undef, undef, undef, $latest, $deep_entry, 50],
        [@by_sid, $environment, undef, undef, undef, $deep_entry, undef, 50],
        [@by_sid, $environment, undef, undef, $function, $latest, undef, 50],
        [@by_sid, $environment, undef, undef, $function, $latest, $deep_of_function, 50],
        [@by_sid, $environment, undef, undef, $function, $deep_of_function, undef, 50],
        [@by_sid, $environment, @in_2020, undef, $latest, undef, 50],
        [@by_sid, $environment, @in_2020, $function, $latest, undef, 50],
        [@by_sid, $environment, $in_2020[0], undef, undef, $latest, undef, 50],
        [@by_name, $environment, undef, $in_2020[1], $function, $latest, undef, 50]],
    log_expire   => [[30 * 86400, 1000], [30 * 86400, 10000]],
    maintenance_begin => [[]],
    variable_prepare => [[@by_sid, $environment], [@by_name, $environment]],
    variable_create  => [[@by_sid, $environment, $fresh, 'NEW', $sealed], [@by_name, $environment, $fresh, 'NEW', $sealed],
                         [@by_sid, $environment, $fresh, 'KEY_1', $sealed]],
    variable_fetch   => [[@by_sid, $environment, $variable], [@by_name, $environment, $variable]],
    variable_list    => [[@by_sid, $environment, $latest, undef, 50],
                         [@by_sid, $environment, $latest, $deep_variable, 50],
                         [@by_sid, $environment, $deep_variable, undef, 50],
                         [@by_name, $environment, $latest, undef, 50]],
    variable_update  => [[@by_sid, $environment, $variable, undef, 'NEW', $other_sealed],
                         [@by_name, $environment, $variable, undef, undef, $other_sealed],
                         [@by_sid, $environment, $variable, undef, 'KEY_1', undef],
                         [@by_sid, $environment, $variable, undef, undef, undef],
                         [@by_sid, $environment, $variable, '{1,2}', 'NEW', undef],
                         [@by_sid, $environment, $nobody, undef, 'NEW', undef]],
    variable_delete  => [[@by_sid, $environment, $variable, undef], [@by_name, $environment, $variable, undef],
                         [@by_sid, $environment, $variable, '{1,2}']],
    variable_sealed  => [['old', $nobody, $nobody, 100], ['old', $service, $deep_variable, 100]],
    variable_reseal  => [[$service, $variable, $sealed, $other_sealed]],

    signing_secrets    => [[$service, $environment, $account_id]],
    signing_key_sealed => [['old', $nobody, $nobody, 100], ['old', $account_id, $nobody, 100]],
    signing_key_reseal => [[$account_id, $signing_key, 'old:' . '00' x 92, 'new:' . '01' x 92]],
);

# One row, and a handful: nothing is gained by an index.
my %small = map { $_ => 1 } qw(settings schema_migrations maintenance);

# The statements as the module has them, with the variants for UniqueName and for cached ownership.
my $prepare = qx('$ENV{SOURCE}/tools/compile-queries' --prepare '$ENV{SOURCE}'/sql/queries/*.sql);
my @prepared = $prepare =~ /^(PREPARE .*?;)$/msg;
my @statements = map { /^PREPARE (\w+)/ } @prepared;
my %kind_of;
$kind_of{$2} = $1 while $prepare =~ /^-- kind: ([^\n]+)\nPREPARE (\w+)/mg;
for my $i (0 .. $#prepared) {
    ok eval { $httpd->do($prepared[$i], { pg_direct => 1 }); 1 }, "httpd's role prepares $statements[$i]" or diag $@;
    unlike $prepared[$i], qr/\bOFFSET\b/i, 'which has no OFFSET';
}
for my $by_name (grep { /_by_name$/ } @statements) {
    my $by_sid = $by_name =~ s/_by_name$//r;
    my @both = @{ $examples{$by_sid} };
    $examples{$by_sid} = [grep { defined $_->[2] } @both];
    $examples{$by_name} = [grep { !defined $_->[2] } @both];
}
my $account_uuid = $account =~ s/^AC//r;
for my $owned (grep { /_owned$/ } @statements) {
    my $whole = $owned =~ s/_owned$//r;
    $examples{$owned} = [map { [$account_uuid, @$_[2, 4 .. $#$_]] } @{ $examples{$whole} }];
}
is_deeply [sort @statements], [sort keys %examples], 'every statement has its examples here';
is_deeply [grep { !@{ $examples{$_} } } sort keys %examples], [], 'every statement has at least one example';

sub execute {
    my ($statement, $values) = @_;
    my $list = join ', ', map { defined $_ ? $httpd->quote($_) : 'NULL' } @$values;
    return "EXECUTE $statement" . (@$values ? "($list)" : '');
}

# The nodes of a plan, outermost first.
sub plan_of {
    my ($options, $statement, $values) = @_;
    my ($text) = $httpd->selectrow_array(
        "EXPLAIN ($options, FORMAT JSON) " . execute($statement, $values), { pg_direct => 1 });
    my $plan = JSON::PP::decode_json($text)->[0]{Plan};
    my @nodes = ($plan);
    for (my $i = 0; $i < @nodes; $i++) {
        push @nodes, @{ $nodes[$i]{Plans} || [] };
    }
    return @nodes;
}


# NAME_owned, for a Service that is known to be the account's ------------------------

# NAME_owned leaves out the columns that httpd inserts (core/api/operation.c): all of NAME's but for the
# outcome and the ids of account and Service are there, in the order of NAME.
my %inserted = (outcome => 'ok', service_sid => $service,
    account_sid => $account_uuid =~ s/^(.{8})(.{4})(.{4})(.{4})/$1-$2-$3-$4-/r);

# The columns' names, and the rows by them.
sub columns_and_rows {
    my $run = $httpd->prepare(execute(@_), { pg_direct => 1 });
    $run->execute;
    return ([@{ $run->{NAME} }], $run->fetchall_arrayref({}));
}

for my $owned (grep { /_owned$/ } @statements) {
    my $whole = $owned =~ s/_owned$//r;
    for my $i (0 .. $#{ $examples{$whole} }) {
        my $call = execute($owned, $examples{$owned}[$i]);
        my ($few, $short) = columns_and_rows($owned, $examples{$owned}[$i]);
        my ($all, $long) = columns_and_rows($whole, $examples{$whole}[$i]);
        is_deeply $few, [grep { !$inserted{$_} } @$all], "$call has the columns of $whole but for those that httpd inserts";
        for my $row (@$long) {
            for my $column (grep { exists $row->{$_} } sort keys %inserted) {
                is delete $row->{$column}, $inserted{$column}, "and $whole has in $column what httpd inserts";
            }
        }
        is_deeply $short, $long, "$call finds the rows of $whole";
    }
    my ($account, undef, @others) = @{ $examples{$owned}[0] };
    is_deeply +(columns_and_rows($owned, [$account, $nobody, @others]))[1], [], "$owned has no row of a Service that is not there";
}


# Plans -----------------------------------------------------------------------------

# The plans are those that serve every parameter, as the module's sessions have them.
$httpd->selectrow_array('EXECUTE session_begin', { pg_direct => 1 });
is $httpd->selectrow_array('SHOW plan_cache_mode'), 'force_generic_plan', 'a session plans each statement once';

for my $statement (sort keys %examples) {
    for my $values (@{ $examples{$statement} }) {
        my $call = execute($statement, $values);
        my @nodes = plan_of('COSTS OFF', $statement, $values);
        my @slow = map { "$_->{'Node Type'} on " . ($_->{'Relation Name'} || 'rows') }
            grep { $_->{'Node Type'} =~ /Seq Scan|Sort|Bitmap/ && !$small{ $_->{'Relation Name'} || '' } } @nodes;
        is_deeply \@slow, [], "$call reads by index, in its order";
    }
}

# A function that is not inlined costs more than the row it is for. What remains are those that write,
# and functions called once for a whole answer.
for my $statement (grep { $_ ne 'build_source' } sort grep { $kind_of{$_} =~ /read$/ } keys %examples) {
    my @outputs = map { @{ $_->{Output} || [] } } plan_of('VERBOSE, COSTS OFF', $statement, $examples{$statement}[0]);
    my %called = map { $_ => 1 } map { /serverless\.(\w+)\(/g } @outputs;
    delete @called{qw(build_contents content_of)};
    is_deeply [keys %called], [], "$statement: functions of the schema are inlined";
}

# What EXPLAIN does not see: functions of the schema, and the cascade of a deletion.
for my $statement (sort keys %examples) {
    for my $values (@{ $examples{$statement} }) {
        my $call = execute($statement, $values);
        $httpd->begin_work;
        my %before = scans();
        my ($outcome) = $httpd->selectrow_array($call, { pg_direct => 1 });
        my %after = scans();
        $httpd->rollback;
        ok defined $outcome, "$call answers";
        is_deeply [grep { $after{$_} > ($before{$_} || 0) && !$small{$_} } sort keys %after], [],
            "$call scans no table";
    }
}

# The same once more in a session whose every plan is told, those inside functions,
# triggers and foreign keys too. Only what one Function has may be sorted: its
# contents, to lock them, and who keeps it.
my $may_sort = qr/^ ?(?:SELECT FROM serverless\.(?:contents AS c|bundles AS b) WHERE .* IN \(SELECT .* FROM gone\)|WITH held AS)/;
$owner->do("ALTER ROLE serverless_httpd IN DATABASE $name SET $_") for 'session_preload_libraries = auto_explain',
    'auto_explain.log_min_duration = 0', 'auto_explain.log_nested_statements = on',
    'auto_explain.log_format = json', 'auto_explain.log_level = notice',
    'plan_cache_mode = force_generic_plan';
{
    my $telling = connect_as('serverless_httpd', $name);
    $telling->{PrintWarn} = 1;
    my @told;
    local $SIG{__WARN__} = sub { push @told, @_ };
    $telling->do($_, { pg_direct => 1 }) for @prepared;
    my (%inside, %seen);
    for my $statement (sort keys %examples) {
        for my $values (@{ $examples{$statement} }) {
            my $call = execute($statement, $values);
            @told = ();
            $telling->begin_work;
            $telling->selectrow_array($call, { pg_direct => 1 });
            $telling->rollback;
            my %found;
            for my $plan (map { JSON::PP::decode_json($_) } grep { !$seen{$_}++ } map { /plan:\s*(\{.*\})/s } @told) {
                my $sql = $plan->{'Query Text'} =~ s/\s+/ /gr;
                $inside{$sql} = 1;
                my @nodes = ($plan->{Plan});
                for (my $i = 0; $i < @nodes; $i++) {
                    push @nodes, @{ $nodes[$i]{Plans} || [] };
                }
                $found{"$_->{'Node Type'} on $_->{'Relation Name'}: $sql"} = 1
                    for grep { $_->{'Node Type'} eq 'Seq Scan' && !$small{ $_->{'Relation Name'} } } @nodes;
                $found{"$_->{'Node Type'}: $sql"} = 1
                    for grep { $_->{'Node Type'} =~ /Sort/ && $sql !~ $may_sort } @nodes;
            }
            is_deeply [sort keys %found], [], "$call: no plan inside it reads a table or sorts it";
        }
    }
    cmp_ok scalar keys %inside, '>=', 40, 'at least 40 plans inside functions were seen';
}

# How often this session has read each table from end to end.
sub scans {
    my ($session) = (@_, $httpd);
    return map { @$_ } @{ $session->selectall_arrayref(
        q(SELECT relname, seq_scan FROM pg_stat_xact_user_tables WHERE schemaname = 'serverless')) };
}

# Adding an entry to a log is no statement of httpd's where another program has executed the Function.
{
    $owner->begin_work;
    my %before = scans($owner);
    my $add = q(SELECT serverless.add_log(serverless.sid('ZE', ?), serverless.sid('ZH', ?), 'info', 'message'));
    ok $owner->selectrow_array($add, undef, $environment, $function), 'add_log adds an entry';
    my %after = scans($owner);
    is_deeply [grep { $after{$_} > ($before{$_} || 0) } sort keys %after], [], 'add_log scans no table';
    $owner->rollback;
}

for my $case (
    ['service_list',  'services',  qr/account_id = .*\(id <= COALESCE/],
    ['artifact_list', 'artifacts', qr/service_id = .*kind = .*\(\w*\.?id <= COALESCE/],
    ['artifact_find', 'artifacts', qr/service_id = .*kind = .*friendly_name = .*\(\w*\.?id <= COALESCE/],
    ['build_list', 'builds', qr/service_id = .*\(\w*\.?id <= COALESCE/],
    ['environment_list', 'environments', qr/service_id = .*\(\w*\.?id <= COALESCE/],
    ['version_list', 'versions', qr/service_id = .*kind = .*artifact_id = .*\(\w*\.?id <= COALESCE/],
    ['deployment_list', 'deployments', qr/service_id = .*environment_id = .*\(\w*\.?id <= COALESCE/],
    ['variable_list', 'variables', qr/service_id = .*environment_id = .*\(\w*\.?id <= COALESCE/],
) {
    my ($statement, $table, $range) = @$case;
    my ($page) = grep { ($_->{'Relation Name'} || '') eq $table && ($_->{'Scan Direction'} || '') eq 'Backward' }
        plan_of('COSTS OFF', $statement, $examples{$statement}[0]);
    like $page->{'Index Cond'}, $range, "$statement is a range of an index, read backwards";
}

# A filter that may be left out has two plans in one: the half that is not wanted is
# never run.
for my $case ([logs_pkey => 0], [logs_function => 3]) {
    my ($index, $example) = @$case;
    my @read = grep { ($_->{'Relation Name'} || '') eq 'logs' && ($_->{'Actual Loops'} || 0) > 0
        && $_->{'Scan Direction'} eq 'Backward' } plan_of('ANALYZE', 'log_list', $examples{log_list}[$example]);
    is_deeply [map { $_->{'Index Name'} } @read], [$index], "log_list reads the index $index and no other";
    like $read[0]{'Index Cond'}, qr/service_id = .*environment_id = .*\(id >= .*\(id <= LEAST\(/,
        "log_list reads a range of times in $index";
    is $read[0]{'Actual Rows'}, 51, "log_list reads no row in $index that it does not answer";
}

sub buffers {
    my ($top) = plan_of('ANALYZE, BUFFERS', @_);
    return $top->{'Shared Hit Blocks'} + $top->{'Shared Read Blocks'};
}

# A deep page begins on one leaf of the index and may end on another. The way back
# reads the keys of the page before it reads the page.
for my $statement ('artifact_list', 'artifact_find', 'service_list', 'version_list', 'build_list',
    'environment_list', 'deployment_list', 'variable_list') {
    my ($first, $back, $deep) = map { buffers($statement, $_) } @{ $examples{$statement} };
    cmp_ok $deep, '<=', $first + 2, "$statement: a page deep in the list costs what the first costs";
    cmp_ok $back, '<=', $first + 2 + 51,
        "$statement: a page on the way back costs at most 53 buffers more than the first";
}
for my $case (['log_list', 0, 1, 2], ['log_list of a Function', 3, 4, 5]) {
    my ($what, $first, $back, $deep) = ($case->[0], map { buffers('log_list', $examples{log_list}[$_]) } @$case[1 .. 3]);
    cmp_ok $deep, '<=', $first + 4, "$what: a page deep in the list costs what the first costs";
    cmp_ok $back, '<=', $first + 4 + 51, "$what: a page on the way back costs at most 55 buffers more than the first";
}

is_deeply $owner->selectcol_arrayref(<<'SQL', { pg_direct => 1 }), [], 'every foreign key has an index that begins with it';
SELECT c.conrelid::regclass || ': ' || c.conname
  FROM pg_constraint AS c
 WHERE c.contype = 'f' AND c.connamespace = 'serverless'::regnamespace
   AND NOT EXISTS (
           SELECT FROM pg_index AS i
            WHERE i.indrelid = c.conrelid AND i.indisvalid AND i.indpred IS NULL
              AND (i.indkey::int2[])[0:cardinality(c.conkey) - 1] @> c.conkey)
SQL
cmp_ok scalar $owner->selectrow_array(
    q(SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND connamespace = 'serverless'::regnamespace)),
    '>=', 3, 'there are at least three foreign keys';


# What httpd may do ----------------------------------------------------------------------

my %tables = map { $_->[0] => $_->[1] } @{ $owner->selectall_arrayref(<<'SQL') };
SELECT c.relname, coalesce(string_agg(p.privilege, ' ' ORDER BY p.n)
           FILTER (WHERE has_table_privilege('serverless_httpd', c.oid, p.privilege)), '')
  FROM pg_class AS c,
       unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER'])
           WITH ORDINALITY AS p (privilege, n)
 WHERE c.relnamespace = 'serverless'::regnamespace AND c.relkind IN ('r', 'v', 'm', 'p', 'S')
 GROUP BY c.relname
SQL
is_deeply \%tables, {
    accounts          => 'SELECT',
    artifacts         => 'SELECT INSERT DELETE',
    build_versions    => 'SELECT INSERT',
    builds            => 'SELECT DELETE',
    content_chunks    => 'SELECT INSERT',
    contents          => 'SELECT INSERT',
    deployments       => 'SELECT INSERT',
    environments      => 'SELECT DELETE',
    pins              => 'SELECT',
    versions          => 'SELECT INSERT',
    credentials       => 'SELECT',
    executable        => '',
    logs              => 'SELECT DELETE',
    grantees          => '',
    idempotency_keys  => 'SELECT DELETE',
    principals        => 'SELECT',
    privileges        => '',
    schema_migrations => 'SELECT',
    services          => 'SELECT INSERT DELETE',
    settings          => 'SELECT',
    signing_keys      => 'SELECT', # and UPDATE of two columns
    maintenance       => 'SELECT',
    variables         => 'SELECT INSERT DELETE',
    bundles           => 'SELECT INSERT', # and UPDATE of a column, for row locks
    bundle_chunks     => 'SELECT INSERT',
    build_bundles     => 'SELECT INSERT',
}, 'httpd\'s role may do this to whole tables, and no more: t/database_security.t has their columns';

is_deeply $owner->selectcol_arrayref(<<'SQL'),
SELECT p.proname FROM pg_proc AS p
 WHERE p.pronamespace = 'serverless'::regnamespace
   AND has_function_privilege('serverless_httpd', p.oid, 'EXECUTE') ORDER BY p.proname COLLATE "C"
SQL
    [qw(account_scope add_logs artifact_resource artifact_scope begin_route_lease build_bytes build_contents build_resource claim_build
        claim_idempotency_key content_of contents_bytes create_build create_environment create_service create_variable
        create_version delete_artifact delete_build deploy deployment_resource environment_resource
        environment_scope epoch holders idempotency_key_expires is_revision keep_bundle keep_content key_at log_bytes log_resource
        log_window made missing_versions new_identity next_revision outcome outcome page_bytes reuse_bundle route_of sealed_bytes
        sealed_signing_key sealed_text sealed_with service_resource service_scope sid unknown_version update_variable
        variable_bytes variable_resource version_resource)],
    "httpd's role may call exactly these functions";

is_deeply $owner->selectcol_arrayref(<<'SQL'), [],
SELECT p.oid::regprocedure::text FROM pg_proc AS p
 WHERE p.pronamespace = 'serverless'::regnamespace
   AND has_function_privilege('public', p.oid, 'EXECUTE')
SQL
    'no function can be called by PUBLIC';

# What triggers do beyond what whoever fires them may do; nobody can call these. And
# what an executor may call, which httpd may not.
is_deeply $owner->selectall_arrayref(<<'SQL'),
SELECT p.proname, p.prorettype::regtype::text, p.proconfig,
       has_function_privilege('serverless_httpd', p.oid, 'EXECUTE')::int
  FROM pg_proc AS p
 WHERE p.pronamespace = 'serverless'::regnamespace AND p.prosecdef
 ORDER BY p.proname COLLATE "C"
SQL
    [['add_log', 'text', ['search_path=pg_catalog, pg_temp'], 0],
        ['add_logs', 'integer', ['search_path=pg_catalog, pg_temp'], 1],
        ['advance_route_lease', 'boolean', ['search_path=pg_catalog, pg_temp'], 0],
        ['begin_route_lease', 'boolean', ['search_path=pg_catalog, pg_temp'], 1],
        map { [$_, 'trigger', ['search_path=pg_catalog, pg_temp'], 0] }
        qw(drop_orphaned_bundles drop_orphaned_contents empty_service pin_build pin_environment renew_context_tag)],
    'these functions run with their owner\'s rights, and look in pg_catalog first';

for my $forbidden (
    q(SELECT serverless.create_account('mine')),
    qq(SELECT serverless.create_api_key('$account', 'mine')),
    qq(SELECT serverless.rotate_auth_token('$account')),
    qq(SELECT serverless.suspend_account('$account')),
    q(SELECT serverless.grant_access('public')),
    q(SELECT serverless.new_secret()),
    q(INSERT INTO serverless.accounts VALUES (gen_random_uuid(), 'mine', now())),
    q(UPDATE serverless.accounts SET date_suspended = NULL),
    q(UPDATE serverless.credentials SET secret_hash = sha256('mine')),
    q(DELETE FROM serverless.credentials),
    q(UPDATE serverless.settings SET page_token_key = sha256('mine')),
    q(UPDATE serverless.settings SET route_lease = 0),
    q(SELECT serverless.choose_route_lease(0)),
    q(INSERT INTO serverless.schema_migrations VALUES (99, 'mine')),
    q(UPDATE serverless.versions SET path = '/mine'),
    q(DELETE FROM serverless.versions),
    q(DELETE FROM serverless.contents),
    q(UPDATE serverless.content_chunks SET bytes = 'mine'),
    q(DELETE FROM serverless.content_chunks),
    q(UPDATE serverless.build_versions SET path = '/mine'),
    q(DELETE FROM serverless.build_versions),
    q(INSERT INTO serverless.pins SELECT * FROM serverless.pins LIMIT 1),
    q(UPDATE serverless.pins SET build_id = build_id),
    q(DELETE FROM serverless.pins),
    q(TRUNCATE serverless.pins),
    q(ALTER TABLE serverless.pins DISABLE TRIGGER ALL),
    q(ALTER TABLE serverless.pins DROP CONSTRAINT pins_version),
    q(DROP TRIGGER builds_pin ON serverless.builds),
    q(SET session_replication_role = replica),
    q(INSERT INTO serverless.logs SELECT * FROM serverless.logs LIMIT 1),
    qq(SELECT serverless.add_log('ZE$nobody', 'ZH$nobody', 'info', 'mine')),
    q(TRUNCATE serverless.logs),
    q(UPDATE serverless.deployments SET build_id = NULL),
    q(DELETE FROM serverless.deployments),
    q(SELECT serverless.refresh_grants()),
    q(TRUNCATE serverless.artifacts),
    q(ALTER TABLE serverless.artifacts DISABLE TRIGGER USER),
    q(CREATE TABLE serverless.mine ()),
    q(CREATE FUNCTION serverless.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'),
    q(DROP TABLE serverless.artifacts),
) {
    eval { $httpd->do($forbidden, { pg_direct => 1 }) };
    is $httpd->state, '42501', "httpd may not: $forbidden";
}


# Names and dates ---------------------------------------------------------------------------

my $made = $httpd->selectall_arrayref(<<'SQL');
SELECT replace((fresh.identity).id::text, '-', ''),
       lpad(to_hex((extract(epoch FROM (fresh.identity).made) * 1000000)::bigint), 14, '0')
  FROM (SELECT serverless.new_identity() AS identity FROM generate_series(1, 10000) OFFSET 0) AS fresh
SQL
my @ids = map { $_->[0] } @$made;
my %seen = map { $_ => 1 } @ids;
is scalar keys %seen, 10000, 'ten thousand identities: no two are the same';
is_deeply [grep { substr($_->[0], 0, 14) ne $_->[1] } @$made], [],
    'each identity begins with the microseconds of its date';
is_deeply [map { substr $_, 0, 14 } @ids], [sort map { substr $_, 0, 14 } @ids],
    'the microseconds of the identities ascend';

my @ones = (0) x 72;
for my $id (@ids) {
    my @bits = split //, unpack 'B72', pack 'H18', substr $id, 14;
    $ones[$_] += $bits[$_] for 0 .. $#bits;
}
is_deeply [grep { $_ < 4700 || $_ > 5300 } @ones], [], 'each of the last 72 bits of an identity is random';

my @one_by_one = map { $httpd->selectrow_array('SELECT (serverless.new_identity()).id') } 1 .. 50;
is_deeply \@one_by_one, [sort @one_by_one], 'later statements make later identities';

$_->disconnect for $owner, $httpd;
done_testing;
