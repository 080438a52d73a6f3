# The guard in the database: SQL statements of the schema's owner or of httpd's role cannot
# break the promise of t/guard.t either. This suite uses no httpd.
use strict;
use warnings FATAL => 'all';

use Apache::Test qw(-withtestmore);
use Serverless::Consistency;
use Serverless::Database;
use Serverless::Parallel;
use Serverless::Test;
use Test::More;

my $database = own_database('guard');
my $owner = $database->connect('serverless_owner');
my $httpd = $database->connect('serverless_httpd');

# SQLSTATEs that the guard refuses with
my ($KEY, $RULE, $UNIQUE) = qw(23503 23001 23505);
# not the guard: the role may not; TRUNCATE names all tables or says CASCADE
my ($RIGHTS, $TRUNCATE) = qw(42501 0A000);


# What there is to work with -----------------------------------------------------------

my ($account_sid) = $owner->selectrow_array(q(SELECT account_sid FROM serverless.create_account('guard')));
my ($account) = $owner->selectrow_array('SELECT serverless.account_id(?)', undef, $account_sid);

# One value.
sub value { my ($db, $sql, @values) = @_; return scalar $db->selectrow_array($sql, undef, @values) }

my $unique = 0;
sub service {
    my $name = sprintf 'guard-%d', ++$unique;
    return value($owner, 'SELECT (serverless.create_service(?, ?, ?, true, false)).id', $account, $name, $name);
}

# A Function, unless told otherwise.
sub artifact {
    my ($service, $kind) = @_;
    return value($owner, <<'SQL', $service, $kind || 'function');
INSERT INTO serverless.artifacts SELECT ?, ?, id, 'a', made, made FROM serverless.new_identity() RETURNING id
SQL
}

# A Version, and whether its content was new.
sub version {
    my ($service, $artifact, $path, $content, $db) = @_;
    return ($db || $owner)->selectrow_array(<<'SQL', undef, $content, $path, $service, $artifact);
WITH content AS (SELECT convert_to(?, 'UTF8') AS bytes)
SELECT (v.version).id, v.fresh
  FROM content, serverless.artifacts AS a,
       serverless.create_version(a.service_id, a.kind, a.id, ?, 'public', 'text/plain', sha256(content.bytes),
           octet_length(content.bytes), encode(content.bytes, 'base64')) AS v
 WHERE a.service_id = ? AND a.id = ?
SQL
}

sub build {
    my ($service, $versions, $status, $db) = @_;
    $db ||= $owner;
    my ($outcome, $build) = $db->selectrow_array(<<'SQL', undef, $account, $service, ($versions) x 2);
WITH assets AS (SELECT id FROM serverless.versions WHERE kind = 'asset')
SELECT outcome, (build).id
  FROM serverless.create_build(?, ?, ARRAY(SELECT unnest(?::uuid[]) EXCEPT SELECT id FROM assets),
                               ARRAY(SELECT unnest(?::uuid[]) INTERSECT SELECT id FROM assets), 'node22', '[]')
SQL
    return $outcome if $outcome ne 'ok';
    $db->do('UPDATE serverless.builds SET status = ?, failure_reason = ? WHERE id = ?', undef,
        $status, $status eq 'failed' ? 'why' : undef, $build) if $status;
    return $build;
}

sub environment {
    my ($service, $name) = @_;
    return value($owner, 'SELECT (environment).id FROM serverless.create_environment(?, ?, ?)', $service, $name, $name);
}

sub deploy {
    my ($service, $environment, $build, $db) = @_;
    return value($db || $owner, 'SELECT outcome FROM serverless.deploy(?, ?, ?)', $service, $environment, $build);
}

sub add_log {
    my ($environment, $function) = @_;
    $owner->do(q(SELECT serverless.add_log(serverless.sid('ZE', ?), serverless.sid('ZH', ?), 'info', 'm')), undef,
        $environment, $function);
}

# A Service with something of everything. Names of its rows are those of the
# statements below, which have them as :name.
sub scene {
    my $service = service();
    my %is = (service => $service, other_service => service());
    for my $part (qw(deployed building free gone spare)) {
        $is{"${part}_function"} = artifact($service);
        ($is{"${part}_version"}) = version($service, $is{"${part}_function"}, "/$part", "// $part\n");
    }
    for my $part (qw(deployed building free)) { # of the bytes of the Function
        $is{"${part}_asset"} = artifact($service, 'asset');
        ($is{"${part}_asset_version"}) = version($service, $is{"${part}_asset"}, "/$part.js", "// $part\n");
    }
    $is{deployed_build} = build($service, [@is{qw(deployed_version deployed_asset_version)}], 'completed');
    $is{building_build} = build($service, [@is{qw(building_version building_asset_version)}]);
    $is{failed_build} = build($service, [@is{qw(free_version free_asset_version)}], 'failed');
    $is{free_build} = build($service, [@is{qw(free_version free_asset_version)}], 'completed');
    $is{incomplete_build} = build($service, [@is{qw(free_version gone_version)}], 'completed');
    $is{deployed_environment} = environment($service, 'stage');
    $is{free_environment} = environment($service, 'production');
    deploy($service, $is{deployed_environment}, $is{deployed_build}) eq 'ok' or die "no scene\n";
    add_log($is{deployed_environment}, $is{deployed_function});
    value($owner, q(SELECT outcome FROM serverless.delete_artifact(?, 'function', ?, NULL)), $service, $is{gone_function}) eq 'ok'
        or die "no scene\n";

    my $there = $is{other_service};
    $is{other_function} = artifact($there);
    ($is{other_version}) = version($there, $is{other_function}, '/other', "// deployed\n");
    $is{other_build} = build($there, [$is{other_version}], 'completed');
    $is{other_environment} = environment($there, 'stage');
    deploy($there, $is{other_environment}, $is{other_build}) eq 'ok' or die "no scene\n";
    return \%is;
}

# The statement with the scene's names filled in.
sub filled {
    my ($sql, $scene) = @_;
    $sql =~ s/(?<!:):(\w+)/defined $scene->{$1} ? "'$scene->{$1}'" : die "no $1 in the scene\n"/ge;
    return $sql;
}

# The SQLSTATE a statement ends with; '' is success. It is undone.
sub state_of {
    my ($db, $sql) = @_;
    $db->begin_work;
    my $state = eval { $db->do($sql); 1 } ? '' : $db->state;
    my $wrong = $state ? [] : inconsistencies($db);
    $db->rollback;
    return @$wrong ? "inconsistent: @$wrong" : $state;
}

my $scene = scene();
is_deeply inconsistencies($owner), [], 'the database is consistent before the first statement';


# One statement ---------------------------------------------------------------------------

# Each: the statement, and its SQLSTATE for the owner and for httpd's role.
my @refused = (
    'delete what is needed',
    ['a deployed Version',            $KEY, $RIGHTS, 'DELETE FROM serverless.versions WHERE id = :deployed_version'],
    ['a Version that is being built', $KEY, $RIGHTS, 'DELETE FROM serverless.versions WHERE id = :building_version'],
    ['all Versions',                  $KEY, $RIGHTS, 'DELETE FROM serverless.versions'],
    ['a deployed Function',            $KEY, $KEY, 'DELETE FROM serverless.artifacts WHERE id = :deployed_function'],
    ['a Function that is being built', $KEY, $KEY, 'DELETE FROM serverless.artifacts WHERE id = :building_function'],
    ['a deployed Asset',               $KEY, $KEY, 'DELETE FROM serverless.artifacts WHERE id = :deployed_asset'],
    ['an Asset that is being built',   $KEY, $KEY, 'DELETE FROM serverless.artifacts WHERE id = :building_asset'],
    ['its Version',                    $KEY, $RIGHTS, 'DELETE FROM serverless.versions WHERE id = :deployed_asset_version'],
    ['all Functions and Assets',       $KEY, $KEY, 'DELETE FROM serverless.artifacts'],
    ['all Assets',                     $KEY, $KEY, q(DELETE FROM serverless.artifacts WHERE kind = 'asset')],
    ['a deployed Build',               $KEY, $KEY, 'DELETE FROM serverless.builds WHERE id = :deployed_build'],
    ['all Builds',                     $KEY, $KEY, 'DELETE FROM serverless.builds'],
    ['contents',       $KEY,  $RIGHTS, 'DELETE FROM serverless.contents'],
    ['content_chunks', $RULE, $RIGHTS, 'DELETE FROM serverless.content_chunks WHERE service_id = :service'],
    ['build_versions', $RULE, $RIGHTS, 'DELETE FROM serverless.build_versions WHERE build_id = :deployed_build'],
    ['build_versions of a Build that is not active', $RULE, $RIGHTS,
        'DELETE FROM serverless.build_versions WHERE build_id = :free_build'],
    ['with USING', $KEY, $KEY, 'DELETE FROM serverless.artifacts AS f USING serverless.services AS s WHERE s.id = f.service_id'],
    ['with MERGE', $KEY, $KEY, <<'SQL'],
MERGE INTO serverless.artifacts AS f USING (SELECT :deployed_function::uuid AS id) AS this ON f.id = this.id
 WHEN MATCHED THEN DELETE
SQL

    'empty a table',
    (map {
        (["$_ alone", $TRUNCATE, $RIGHTS, "TRUNCATE serverless.$_"],
         ["$_ and what refers to it", $RULE, $RIGHTS, "TRUNCATE serverless.$_ CASCADE"])
    } qw(accounts services artifacts versions contents builds environments)),
    (map { [$_, $RULE, $RIGHTS, "TRUNCATE serverless.$_"] } qw(pins build_versions content_chunks)),
    ['several', $RULE, $RIGHTS, 'TRUNCATE serverless.pins, serverless.versions'],
    ['all', $RULE, $RIGHTS, 'TRUNCATE serverless.pins, serverless.versions, serverless.deployments, serverless.build_versions CASCADE'],

    'write pins',
    ['delete one',   $RULE, $RIGHTS, 'DELETE FROM serverless.pins WHERE version_id = :deployed_version'],
    ['delete none',  $RULE, $RIGHTS, 'DELETE FROM serverless.pins WHERE false'],
    ['delete all',   $RULE, $RIGHTS, 'DELETE FROM serverless.pins'],
    ['update',       $RULE, $RIGHTS, 'UPDATE serverless.pins SET version_id = :spare_version'],
    ['insert for a Build', $RULE, $RIGHTS,
        'INSERT INTO serverless.pins (service_id, version_id, build_id) VALUES (:service, :spare_version, :building_build)'],
    ['insert for an Environment', $RULE, $RIGHTS,
        'INSERT INTO serverless.pins (service_id, version_id, environment_id) VALUES (:service, :spare_version, :free_environment)'],
    ['in an anonymous block', $RULE, $RIGHTS, q(DO 'BEGIN DELETE FROM serverless.pins; END')],
    ['with a WITH', $RULE, $RIGHTS, 'WITH gone AS (DELETE FROM serverless.pins RETURNING *) SELECT count(*) FROM gone'],

    'change what is needed',
    ['the id of a Function',      $KEY, $RIGHTS, 'UPDATE serverless.artifacts SET id = gen_random_uuid() WHERE id = :deployed_function'],
    ['the Service of a Function', $KEY, $RIGHTS, 'UPDATE serverless.artifacts SET service_id = :other_service WHERE id = :deployed_function'],
    ['the kind of a Function',    $KEY, $RIGHTS, q(UPDATE serverless.artifacts SET kind = 'asset' WHERE id = :deployed_function)],
    ['the kind of an Asset',      $KEY, $RIGHTS, q(UPDATE serverless.artifacts SET kind = 'function' WHERE id = :building_asset)],
    ['the id of a Service',       $KEY, $RIGHTS, 'UPDATE serverless.services SET id = gen_random_uuid() WHERE id = :service'],
    (map { ["a Version: its $_->[0]", $RULE, $RIGHTS,
            "UPDATE serverless.versions SET $_->[1] WHERE id = :deployed_version"] }
        ['id', 'id = gen_random_uuid()'], ['Service', 'service_id = :other_service'],
        ['Function', 'artifact_id = :free_function'], ['kind', q(kind = 'asset')],
        ['Function to an Asset', q(kind = 'asset', artifact_id = :deployed_asset)], ['path', q(path = '/other')],
        ['visibility', q(visibility = 'private')], ['content', q(content_sha256 = sha256('other'))],
        ['date', 'date_created = now()']),
    ['a size of content', $RULE, $RULE,   'UPDATE serverless.contents SET size = size + 1'],
    ['a hash of content', $RULE, $RIGHTS,   q(UPDATE serverless.contents SET sha256 = sha256('other') WHERE service_id = :service)],
    ['bytes of content',  $RULE, $RIGHTS, q(UPDATE serverless.content_chunks SET bytes = 'other')],
    ['more content', $RULE, $RULE, <<'SQL'],
INSERT INTO serverless.content_chunks SELECT service_id, sha256, 1, 'more' FROM serverless.content_chunks
SQL
    (map { my ($what, $number, $bytes) = @$_; ["content in other chunks: $what", $RULE, $RULE, <<"SQL"] }
WITH new AS (INSERT INTO serverless.contents VALUES (:service, sha256('another'), 300000) RETURNING *)
INSERT INTO serverless.content_chunks SELECT service_id, sha256, $number, repeat('x', $bytes)::bytea FROM new
SQL
        ['one too short', 0, 262143], ['one too long', 0, 262145], ['too much at the end', 1, 37857],
        ['one that there is not', 2, 1], ['an empty one', 2, 0]),
    ['what a Build contains: another Version', $RULE, $RIGHTS,
        'UPDATE serverless.build_versions SET version_id = :spare_version WHERE build_id = :deployed_build'],
    ['what a Build contains: of another Build', $RULE, $RIGHTS,
        'UPDATE serverless.build_versions SET build_id = :failed_build WHERE build_id = :deployed_build'],

    'add to a Build later',
    (map { ["one that is $_", $RULE, $RULE, <<"SQL"] }
INSERT INTO serverless.build_versions
SELECT service_id, :${_}_build, id, kind, artifact_id, path, visibility, date_created
  FROM serverless.versions WHERE id = :spare_version
SQL
        qw(building deployed free failed)),
    ['first the Build, then what it contains, in one statement', $RULE, $RIGHTS, <<'SQL'],
WITH made AS (INSERT INTO serverless.builds
              SELECT :service, id, 'building', 'node22', '[]', NULL, 0, NULL, NULL, made, made
                FROM serverless.new_identity() RETURNING *)
INSERT INTO serverless.build_versions
SELECT v.service_id, made.id, v.id, v.kind, v.artifact_id, v.path, v.visibility, v.date_created
  FROM made, serverless.versions AS v WHERE v.id = :spare_version
SQL
    ['to no Build at all', $KEY, $KEY, <<'SQL'],
INSERT INTO serverless.build_versions
SELECT service_id, gen_random_uuid(), id, kind, artifact_id, path, visibility, date_created
  FROM serverless.versions WHERE id = :spare_version
SQL
    ['a Version that is not there', $KEY, $RIGHTS, <<'SQL'],
WITH new AS MATERIALIZED (SELECT * FROM serverless.new_identity()),
     contained AS (INSERT INTO serverless.build_versions
                   SELECT :service, id, gen_random_uuid(), 'function', :free_function, '/x', 'public', made FROM new RETURNING build_id)
INSERT INTO serverless.builds
SELECT :service, contained.build_id, 'building', 'node22', '[]', NULL, 0, NULL, NULL, now(), now() FROM contained
SQL

    'have a Build become what it is not',
    ['building again, completed before', $RULE, $RULE, q(UPDATE serverless.builds SET status = 'building' WHERE id = :free_build)],
    ['building again, deployed', $RULE, $RULE, q(UPDATE serverless.builds SET status = 'building' WHERE id = :deployed_build)],
    ['failed, deployed', $RULE, $RULE, q(UPDATE serverless.builds SET status = 'failed', failure_reason = 'x' WHERE id = :deployed_build)],
    ['completed, failed before', $RULE, $RULE,
        q(UPDATE serverless.builds SET status = 'completed', failure_reason = NULL WHERE id = :failed_build)],
    ['building, failed before', $RULE, $RULE,
        q(UPDATE serverless.builds SET status = 'building', failure_reason = NULL WHERE id = :failed_build)],
    ['another: its id', $RULE, $RIGHTS, 'UPDATE serverless.builds SET id = gen_random_uuid() WHERE id = :free_build'],
    ['another: its Service', $RULE, $RIGHTS, 'UPDATE serverless.builds SET service_id = :other_service WHERE id = :free_build'],

    'put on an Environment',
    ['a Build that is building', $RULE, $RULE, 'UPDATE serverless.environments SET build_id = :building_build WHERE id = :free_environment'],
    ['a Build that failed', $RULE, $RULE, 'UPDATE serverless.environments SET build_id = :failed_build WHERE id = :free_environment'],
    ['a Build of another Service', $KEY, $KEY, 'UPDATE serverless.environments SET build_id = :other_build WHERE id = :free_environment'],
    ['no Build', $KEY, $KEY, 'UPDATE serverless.environments SET build_id = gen_random_uuid() WHERE id = :free_environment'],
    ['a Build without one of its Versions', $KEY, $KEY,
        'UPDATE serverless.environments SET build_id = :incomplete_build WHERE id = :deployed_environment'],
    ['a Build that is building, on a new one', $RULE, $RIGHTS, <<'SQL'],
INSERT INTO serverless.environments SELECT :service, id, 'new', 'new', :building_build, made, made FROM serverless.new_identity()
SQL
    ['a Build that is building, by ON CONFLICT', $RULE, $RIGHTS, <<'SQL'],
INSERT INTO serverless.environments VALUES (:service, :free_environment, 'new', 'new', NULL, now(), now())
    ON CONFLICT (service_id, id) DO UPDATE SET build_id = :building_build
SQL
    ['the same Build, but as another Environment', $KEY, $RIGHTS,
        'UPDATE serverless.environments SET id = gen_random_uuid() WHERE id = :deployed_environment'],
    ['nothing, and into another Service', $KEY, $RIGHTS,
        'UPDATE serverless.environments SET service_id = :other_service, unique_name = \'x\', domain_suffix = \'x\', build_id = NULL WHERE id = :deployed_environment'],

    'put another in its place, in one statement',
    ['a Version', $KEY, $RIGHTS, <<'SQL'],
WITH gone AS (DELETE FROM serverless.versions WHERE id = :deployed_version RETURNING *)
INSERT INTO serverless.versions
SELECT service_id, kind, :free_function, id, '/changed', 'private', content_type, content_sha256, now() FROM gone
SQL
    ['a Version, deleted after', $UNIQUE, $RIGHTS, <<'SQL'],
WITH new AS (INSERT INTO serverless.versions SELECT * FROM serverless.versions WHERE id = :deployed_version RETURNING *)
DELETE FROM serverless.versions AS v USING new WHERE v.id = new.id
SQL
    ['content', $RULE, $RIGHTS, <<'SQL'],
WITH gone AS (DELETE FROM serverless.contents WHERE service_id = :service RETURNING *)
INSERT INTO serverless.contents SELECT service_id, sha256, size + 1 FROM gone
SQL
    ['a Function', $KEY, $KEY, <<'SQL'],
WITH gone AS (DELETE FROM serverless.artifacts WHERE id = :deployed_function RETURNING *)
INSERT INTO serverless.artifacts SELECT * FROM gone
SQL
    ['a Build that contains nothing', $RULE, $RIGHTS, <<'SQL'],
WITH gone AS (DELETE FROM serverless.builds WHERE id = :deployed_build RETURNING *)
INSERT INTO serverless.builds SELECT * FROM gone
SQL
    ['a Build that contains nothing, for one that is building', $RULE, $RIGHTS, <<'SQL'],
WITH gone AS (DELETE FROM serverless.builds WHERE id = :building_build RETURNING *)
INSERT INTO serverless.builds SELECT * FROM gone
SQL
);

for my $case (@refused) {
    if (!ref $case) {
        note $case;
        next;
    }
    my ($what, $for_owner, $for_httpd, $sql) = @$case;
    $sql = filled($sql, $scene);
    is state_of($owner, $sql), $for_owner, "$what: the owner of the schema is refused";
    is state_of($httpd, $sql), $for_httpd, "$what: httpd's role is refused";
}

# What may be done, and leaves all pinned that must be. Something that a statement calls may overtake
# it: what counts is the row as it is in the end.
for my $case (
    ['a Build that is building is said to be so', q(UPDATE serverless.builds SET status = 'building' WHERE id = :building_build)],
    ['a deployment overtakes another', <<'SQL'],
UPDATE serverless.environments SET build_id = :free_build WHERE id = :free_environment
RETURNING (serverless.deploy(:service, :free_environment, :deployed_build)).outcome
SQL
    ['an Environment is made again while it is deleted', <<'SQL'],
CREATE FUNCTION pg_temp.again(e serverless.environments) RETURNS void
LANGUAGE sql AS 'INSERT INTO serverless.environments SELECT e.*';
DELETE FROM serverless.environments AS e WHERE id = :deployed_environment RETURNING pg_temp.again(e)
SQL
    ['a Build is finished while it is made', <<'SQL'],
CREATE FUNCTION pg_temp.complete(b serverless.builds) RETURNS void LANGUAGE sql
AS $$UPDATE serverless.builds SET status = 'completed' WHERE id = b.id$$;
UPDATE serverless.builds AS b SET status = 'building' WHERE id = :building_build RETURNING pg_temp.complete(b)
SQL
) {
    my ($what, $sql) = @$case;
    is state_of($owner, filled($sql, $scene)), '', $what;
}

# What takes the guard itself away.
for my $sql (
    'ALTER TABLE serverless.pins DROP CONSTRAINT pins_version',
    'ALTER TABLE serverless.pins DISABLE TRIGGER ALL',
    'DROP TRIGGER builds_pin ON serverless.builds',
    'DROP TABLE serverless.pins',
    q(CREATE OR REPLACE FUNCTION serverless.pin_build() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'),
    'SET session_replication_role = replica',
    # the functions that write pins with the owner's rights, for purposes of its own
    map { "CREATE TEMP TABLE own (service_id uuid, id uuid, build_id uuid, status text) ON COMMIT DROP; "
        . "CREATE TRIGGER own AFTER INSERT ON own FOR EACH ROW EXECUTE FUNCTION serverless.$_()" }
        qw(pin_build pin_environment empty_service),
) {
    is state_of($httpd, $sql), $RIGHTS, "httpd's role may not: " . quoted($sql);
}

# Allowed statements leave the database consistent.
for my $case (
    ['undeploy and delete, in one statement', <<'SQL'],
WITH undeployed AS (UPDATE serverless.environments SET build_id = NULL WHERE id = :deployed_environment)
DELETE FROM serverless.artifacts WHERE id = :deployed_function
SQL
    ['deploy another Build', 'UPDATE serverless.environments SET build_id = :free_build WHERE id = :deployed_environment'],
    ['deploy the same again', 'UPDATE serverless.environments SET build_id = build_id'],
    ['deploy all Environments', 'UPDATE serverless.environments SET build_id = :free_build WHERE service_id = :service'],
    ['put an Environment in an Environment\'s place', <<'SQL'],
WITH gone AS (DELETE FROM serverless.environments WHERE id = :deployed_environment RETURNING *)
INSERT INTO serverless.environments (service_id, id, unique_name, domain_suffix, date_created, date_updated)
SELECT service_id, id, unique_name, domain_suffix, date_created, date_updated FROM gone
SQL
    ['delete Environments', 'DELETE FROM serverless.environments'],
    ['delete a Build that is building', 'DELETE FROM serverless.builds WHERE id = :building_build'],
    ['finish Builds', q(UPDATE serverless.builds SET status = 'completed' WHERE status = 'building')],
    ['have Builds fail', q(UPDATE serverless.builds SET status = 'failed', failure_reason = 'x' WHERE status = 'building')],
    ['delete a Function that no active Build needs', 'DELETE FROM serverless.artifacts WHERE id = :free_function'],
    ['delete an Asset that no active Build needs', 'DELETE FROM serverless.artifacts WHERE id = :free_asset'],
    ['delete a Service', 'DELETE FROM serverless.services WHERE id = :service'],
    ['delete all Services', 'DELETE FROM serverless.services'],
) {
    my ($what, $sql) = @$case;
    is state_of($_, filled($sql, $scene)), '', "$what: allowed, for the owner and for httpd's role" for $owner, $httpd;
}

# Several statements in one transaction: a refused statement stays refused.
{
    $owner->begin_work;
    my ($service, $function) = @$scene{qw(service spare_function)};
    my $build = build($service, [$scene->{spare_version}]);
    $owner->do('SAVEPOINT here');
    for my $sql ("DELETE FROM serverless.artifacts WHERE id = '$function'",
        "INSERT INTO serverless.build_versions SELECT service_id, '$build', id, kind, artifact_id, path, visibility, date_created "
        . "FROM serverless.versions WHERE id = '$scene->{free_version}'") {
        ok !eval { $owner->do($sql) }, 'the owner cannot break the guard in the transaction that made the Build';
        $owner->do('ROLLBACK TO here');
    }
    is_deeply inconsistencies($owner), [], 'the database is consistent after that transaction';
    $owner->rollback;
}


# What the deletion of a Function or an Asset says ---------------------------------------------

for my $db ($owner, $httpd) {
    my $delete = sub {
        my ($kind, $artifact) = @_;
        return [$db->selectrow_array('SELECT outcome, details::jsonb FROM serverless.delete_artifact(?, ?, ?, NULL)', undef,
            $scene->{service}, $kind, $artifact)];
    };
    my $kept = ['active', value($db, <<'SQL', @$scene{qw(deployed_build deployed_environment)})];
SELECT jsonb_build_object('builds', jsonb_build_array(serverless.sid('ZB', ?)),
                          'environments', jsonb_build_array(serverless.sid('ZE', ?)))
SQL
    is_deeply $delete->('function', $scene->{deployed_function}), $kept,
        'delete_artifact names the Build and the Environment of a Function';
    is_deeply $delete->('asset', $scene->{deployed_asset}), $kept,
        'delete_artifact names the Build and the Environment of an Asset';
    is_deeply $delete->('asset', $scene->{deployed_function}), ['not_found', undef],
        'delete_artifact does not find a Function as an Asset';
}
is_deeply inconsistencies($owner), [], 'the database is consistent after the refused statements';


# A whole Service ---------------------------------------------------------------------------------

for my $db ($owner, $httpd) {
    my $scene = scene();
    is $db->do('DELETE FROM serverless.services WHERE id = ?', undef, $scene->{service}), 1,
        'a Service with deployed Builds and a Build that is building is deleted';
    is_deeply rows_of($scene->{service}, $owner), {}, 'no row of the deleted Service is left';
    is_deeply inconsistencies($owner), [], 'the database is consistent after the deletion of a Service';
}


# Two sessions ---------------------------------------------------------------------------------------

# Has $second run its statement while $first's transaction is open, which it waits
# for, and returns what it got when that has ended so: a value or its SQLSTATE.
sub meets {
    my ($first, $second, $sql, $end) = @_;
    my $statement = $second->prepare($sql, { pg_async => 1 });
    $statement->execute;
    my $pid = $second->{pg_pid};
    my $waits = wait_until { value($owner, 'SELECT cardinality(pg_blocking_pids(?))', $pid) };
    $first->$end;
    my $got = eval { $second->pg_result; my ($value) = $statement->fetchrow_array; $statement->finish; $value // '' }
        // $second->state;
    $second->rollback if !$second->{AutoCommit};
    return $waits ? $got : "did not wait, $got";
}

my $first = $database->connect('serverless_httpd');
my $second = $database->connect('serverless_httpd');

for my $what (['function', 'a Function'], ['asset', 'an Asset']) {
    my ($kind, $one) = @$what;
    my $free = "free_$kind";
    my $only = $kind eq 'function' ? 'free_version' : 'free_asset_version';
    for my $pin (
        ['deploys', sub { deploy($_[0]{service}, $_[0]{free_environment}, $_[0]{free_build}, $first) }],
        ['builds',  sub { build($_[0]{service}, [$_[0]{$only}], undef, $first) }],
        ['sets build_id', sub { $first->do('UPDATE serverless.environments SET build_id = ? WHERE id = ?', undef,
            @{ $_[0] }{qw(free_build free_environment)}) }],
    ) {
        my ($pins, $do) = @$pin;
        for my $delete (
            ['delete_artifact', "SELECT outcome FROM serverless.delete_artifact(:service, '$kind', :$free, NULL)", 'active', 'ok'],
            ['DELETE',  "DELETE FROM serverless.artifacts WHERE id = :$free RETURNING 'ok'", $KEY, 'ok'],
        ) {
            my ($deletes, $sql, $committed, $rolled_back) = @$delete;
            for my $end (['commit', $committed], ['rollback', $rolled_back]) {
                my $scene = scene();
                $first->begin_work;
                $do->($scene);
                is meets($first, $second, filled($sql, $scene), $end->[0]), $end->[1],
                    "one $pins, the other's $deletes of $one waits, $end->[0]: $end->[1]";
                is_deeply inconsistencies($owner), [],
                    "one $pins, the other's $deletes of $one: the database is consistent";
            }
        }
    }

    my $arrays = $kind eq 'function' ? "ARRAY[:${only}::uuid], '{}'" : "ARRAY[:spare_version::uuid], ARRAY[:${only}::uuid]";
    for my $pin (
        ['deploy', q(SELECT outcome FROM serverless.deploy(:service, :free_environment, :free_build)), 'incomplete', 'ok'],
        ['create_build', "SELECT outcome FROM serverless.create_build('$account', :service, $arrays, 'node22', '[]')",
            "unknown_$kind", 'ok'],
        ['UPDATE', q(UPDATE serverless.environments SET build_id = :free_build WHERE id = :free_environment RETURNING 'ok'), $KEY, 'ok'],
    ) {
        my ($pins, $sql, $committed, $rolled_back) = @$pin;
        for my $end (['commit', $committed], ['rollback', $rolled_back]) {
            my $scene = scene();
            $first->begin_work;
            $first->do('DELETE FROM serverless.artifacts WHERE id = ?', undef, $scene->{$free});
            is meets($first, $second, filled($sql, $scene), $end->[0]), $end->[1],
                "one deletes $one, the other's $pins waits, $end->[0]: $end->[1]";
            is_deeply inconsistencies($owner), [], "one deletes $one, the other's $pins: the database is consistent";
        }
    }
}

# A Build is of all that was asked for, also where some of that goes after it has
# been looked for, and before it is written down. To have time for this, making a
# key waits for a lock.
{
    my ($new_identity) = value($owner, q(SELECT pg_get_functiondef('serverless.new_identity'::regproc)));
    my $scene = scene();
    my ($gone, $stays) = map { artifact($scene->{service}, 'asset') } 1, 2;
    ($scene->{gone_asset_version}) = version($scene->{service}, $gone, '/gone.txt', 'gone');
    ($scene->{stays_version}) = version($scene->{service}, $stays, '/stays.txt', 'stays');
    my $slow = $new_identity =~ s/clock_timestamp\(\)/(SELECT clock_timestamp() FROM (SELECT pg_advisory_xact_lock(2)) AS held)/r;
    for my $case (
        ['some of its Versions', ':gone_asset_version::uuid, :stays_version::uuid'],
        ['all of its Versions',  ':gone_asset_version::uuid'],
    ) {
        my ($what, $assets) = @$case;
        $owner->do($slow);
        $first->begin_work;
        $first->do('SELECT pg_advisory_xact_lock(2)');
        my $end = sub {
            $owner->do('DELETE FROM serverless.artifacts WHERE id = ?', undef, $gone);
            $first->commit;
        };
        is meets($first, $second, filled(
            "SELECT outcome FROM serverless.create_build('$account', :service, '{}', ARRAY[$assets], 'node22', '[]')", $scene), $end),
            'unknown_asset', "$what go while a Build is made: there is none";
        $owner->do($new_identity);
        is_deeply inconsistencies($owner), [], "$what go while a Build is made: the database is consistent";
        $gone = artifact($scene->{service}, 'asset');
        ($scene->{gone_asset_version}) = version($scene->{service}, $gone, '/gone.txt', 'gone');
    }
}

# An entry of a log, and the deletion of its Environment or Service.
my $executor = $database->connect('postgres');
my $add = q(SELECT left(serverless.add_log(serverless.sid('ZE', :free_environment), serverless.sid('ZH', :free_function),
                                           'info', 'm'), 2));
for my $deletion ('DELETE FROM serverless.environments WHERE id = :free_environment',
    'DELETE FROM serverless.services WHERE id = :service') {
    for my $end (['commit', 'P0002'], ['rollback', 'NO']) {
        my $scene = scene();
        $first->begin_work;
        $first->do(filled($deletion, $scene));
        is meets($first, $executor, filled($add, $scene), $end->[0]), $end->[1],
            "$deletion, the other's add_log waits, $end->[0]: $end->[1]";
        is_deeply inconsistencies($owner), [], "$deletion, the other's add_log: the database is consistent";
    }
    for my $end ('commit', 'rollback') {
        my $scene = scene();
        $executor->begin_work;
        $executor->do(filled($add, $scene));
        is meets($executor, $second, filled("$deletion RETURNING 'ok'", $scene), $end), 'ok',
            "add_log, the other's $deletion waits, $end: ok";
        is_deeply inconsistencies($owner), [], "add_log, the other's $deletion: the database is consistent";
    }
}

# The stricter isolation levels do not see what has been committed meanwhile; the
# guard does.
for my $level ('REPEATABLE READ', 'SERIALIZABLE') {
    my $scene = scene();
    my $begin = sub {
        $second->begin_work;
        $second->do("SET TRANSACTION ISOLATION LEVEL $level");
        $second->selectall_arrayref('SELECT FROM serverless.pins');
    };
    my $try = sub {
        my ($sql, $name) = @_;
        ok !eval { $second->do(filled($sql, $scene)); $second->commit; 1 }, "$level: $name: refused";
        $second->rollback if !$second->{AutoCommit};
        is_deeply inconsistencies($owner), [], "$level: $name: the database is consistent";
    };
    $begin->();
    deploy(@$scene{qw(service free_environment free_build)});
    $try->('DELETE FROM serverless.artifacts WHERE id = :free_function', 'a Function deployed meanwhile is deleted');
    $begin->();
    deploy($scene->{service}, $scene->{free_environment}, undef);
    $owner->do('DELETE FROM serverless.artifacts WHERE id = ?', undef, $scene->{free_function});
    $try->('UPDATE serverless.environments SET build_id = :free_build WHERE id = :free_environment',
        'a Build is deployed whose Function was deleted meanwhile');
    $begin->();
    $scene->{late_build} = build($scene->{service}, [$scene->{spare_version}]);
    $try->('INSERT INTO serverless.build_versions SELECT service_id, :late_build, id, kind, artifact_id, path, visibility, '
        . 'date_created FROM serverless.versions WHERE id = :building_version', 'a Build made meanwhile gets one more Version');
}

# A Build that is committed after the statement has looked for it, and before the
# foreign key does.
{
    my $scene = scene();
    $owner->do('SELECT pg_advisory_lock(1)');
    $first->begin_work;
    $scene->{late_build} = build($scene->{service}, [$scene->{spare_version}], undef, $first);
    my $late = filled(<<'SQL', $scene);
INSERT INTO serverless.build_versions
SELECT v.service_id, :late_build, v.id, v.kind, v.artifact_id, '/late', v.visibility, v.date_created
  FROM generate_series(1, 2) AS n, serverless.versions AS v
 WHERE v.id = :free_version AND (n = 1 OR pg_advisory_xact_lock(1)::text = 'has waited')
SQL
    my $end = sub { $first->commit; $owner->do('SELECT pg_advisory_unlock(1)') };
    is meets($first, $second, $late, $end), $RULE, 'a Version added to a Build that is just being committed: refused';
    is_deeply inconsistencies($owner), [], 'the database is consistent after that refusal';
}


# Content, which goes with its last Version ----------------------------------------------------------

# A Function whose Version alone has this content, and another for its twin.
sub twins {
    my $service = service();
    my @functions = map { artifact($service) } 1 .. 2;
    version($service, $functions[0], '/a', 'the same');
    return ($service, @functions);
}

sub content_is_there {
    my ($service, $there, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is value($owner, 'SELECT count(*) FROM serverless.contents WHERE service_id = ?', $service), $there, $name;
    is_deeply inconsistencies($owner), [], "$name: the database is consistent";
}

my $twin = q(SELECT v.fresh FROM serverless.create_version('%s', 'function', '%s', '/b', 'public', 'text/plain', sha256('the same'), 8,
                                                       encode('the same', 'base64')) AS v);

for my $case (['commit', 1, 1], ['rollback', 0, 1]) {
    my ($end, $fresh, $there) = @$case;
    my ($service, $last, $other) = twins();
    $first->begin_work;
    $first->do('DELETE FROM serverless.artifacts WHERE id = ?', undef, $last);
    is meets($first, $second, sprintf($twin, $service, $other), $end), $fresh,
        "the last Version is deleted, a twin is made, $end: its content is " . ($fresh ? 'new' : 'there');
    content_is_there($service, $there, '- there once');
}

for my $case (['commit', 1], ['rollback', 0]) {
    my ($end, $there) = @$case;
    my ($service, $last, $other) = twins();
    $first->begin_work;
    version($service, $other, '/b', 'the same', $first);
    is meets($first, $second, "DELETE FROM serverless.artifacts WHERE id = '$last' RETURNING 'ok'", $end), 'ok',
        "a twin is made, the last Version is deleted, $end";
    content_is_there($service, $there, $there ? '- the content stays' : '- the content goes');
}

for my $case (['commit', 0], ['rollback', 1]) {
    my ($end, $fresh) = @$case;
    my $service = service();
    my @functions = map { artifact($service) } 1 .. 2;
    $first->begin_work;
    version($service, $functions[0], '/a', 'the same', $first);
    is meets($first, $second, sprintf($twin, $service, $functions[1]), $end), $fresh,
        "two make the first Version with this content, $end: for the second it is " . ($fresh ? 'new' : 'there');
    content_is_there($service, 1, '- there once');
}

for my $case (['commit', 0], ['rollback', 1]) {
    my ($end, $there) = @$case;
    my ($service, @functions) = twins();
    version($service, $functions[1], '/b', 'the same');
    $first->begin_work;
    $first->do('DELETE FROM serverless.artifacts WHERE id = ?', undef, $functions[0]);
    is meets($first, $second, "DELETE FROM serverless.artifacts WHERE id = '$functions[1]' RETURNING 'ok'", $end), 'ok',
        "the last two Versions are deleted at once, $end";
    content_is_there($service, $there, $there ? '- the content stays' : '- the content goes');
}

{
    my ($service, $last, $other) = twins();
    $second->begin_work;
    $second->do('SET TRANSACTION ISOLATION LEVEL REPEATABLE READ');
    $second->selectall_arrayref('SELECT FROM serverless.versions');
    version($service, $other, '/b', 'the same');
    ok !eval { $second->do('DELETE FROM serverless.artifacts WHERE id = ?', undef, $last) },
        'a transaction that does not see the second Version cannot delete the content they share';
    $second->rollback;
    content_is_there($service, 1, '- the content stays');
}


# Claiming Builds -----------------------------------------------------------------------------------------

# The worker's own statements, as psql would prepare them.
sub prepare_work {
    my ($db) = @_;
    open my $in, '<', "$ENV{SOURCE}/sql/queries/build_work.sql" or die "build_work.sql: $!\n";
    $db->do(do { local $/; <$in> }, { pg_direct => 1 });
    return $db;
}

# The Build's id and the lease, or nothing.
sub claim {
    my ($db) = @_;
    my (undef, $build, $lease) = $db->selectrow_array('EXECUTE build_claim (60, 3)', { pg_direct => 1 });
    return defined $build ? ($build, $lease) : ();
}

# How many Builds that finished: one or none.
sub finish {
    my ($db, $service, $build, $lease, $status, $reason) = @_;
    $reason = defined $reason ? "'$reason'" : 'NULL';
    my $done = $db->selectall_arrayref("EXECUTE build_finish ('$service', '$build', '$lease', '$status', $reason)");
    return scalar @$done;
}

sub expire { $owner->do(q(UPDATE serverless.builds SET lease_expires = clock_timestamp() - interval '1 ms' WHERE id = ?), undef, @_) }

sub row_of {
    my ($build) = @_;
    return $owner->selectrow_arrayref(<<'SQL', undef, $build);
SELECT b.status, b.attempts, b.lease_token IS NOT NULL, b.failure_reason,
       (SELECT count(*) FROM serverless.pins AS p WHERE p.build_id = b.id)
  FROM serverless.builds AS b WHERE b.id = ?
SQL
}

prepare_work($_) for $first, $second;
$owner->do('DELETE FROM serverless.services');
my $service = service();
my $function = artifact($service);
my ($version) = version($service, $function, '/a', 'a');

is_deeply [claim($first)], [], 'without a Build, a claim returns none';

{
    my @builds = map { build($service, [$version]) } 1 .. 3;
    $first->begin_work;
    my ($one) = claim($first);
    my ($two) = claim($second);
    is_deeply [$one, $two], [@builds[0, 1]], 'two concurrent claims: each returns a Build, the oldest first';
    $first->rollback;
    my ($three, $lease) = claim($first);
    is $three, $builds[0], 'a claim that is rolled back leaves the Build to be claimed';
    is [claim($second)]->[0], $builds[2], 'the third Build is claimed';
    is_deeply [claim($first)], [], 'a claimed Build is not claimed again';

    is finish($second, $service, $three, $lease, 'completed'), 1, 'finish with the lease finishes the Build';
    is_deeply row_of($three), ['completed', 1, 0, undef, 0], 'the finished Build is completed, at the first attempt';
    is finish($second, $service, $three, $lease, 'failed', 'x'), 0, 'finish of a Build that is finished does nothing';
    is_deeply row_of($three), ['completed', 1, 0, undef, 0], 'the Build that was finished twice is unchanged';
    $owner->do('DELETE FROM serverless.builds');
}

{
    my $build = build($service, [$version]);
    my (undef, $stale) = claim($first);
    expire($build);
    my ($again, $lease) = claim($second);
    is $again, $build, 'a Build whose lease has expired is claimed again';
    is_deeply row_of($build), ['building', 2, 1, undef, 1],
        'the Build claimed again is at its second attempt, its Versions are still pinned';
    isnt $lease, $stale, '- with a lease of its own';
    is finish($first, $service, $build, $stale, 'failed', 'too late'), 0,
        'finish with the lease of before does nothing';
    is_deeply row_of($build), ['building', 2, 1, undef, 1],
        'finish with the lease of before leaves the Build unchanged';
    is finish($second, $service, $build, $lease, 'failed', 'why'), 1,
        'finish with the present lease finishes the Build';
    is_deeply row_of($build), ['failed', 2, 0, 'why', 0], 'the Build finished as failed has its reason';
    is finish($first, $service, $build, $stale, 'completed'), 0,
        'finish with the lease of before does nothing after that either';
    is_deeply row_of($build), ['failed', 2, 0, 'why', 0], 'the Build finished as failed is unchanged';
}

{
    my $build = build($service, [$version]);
    my ($first_lease) = (claim($first))[1];
    expire($build);
    is finish($first, $service, $build, $first_lease, 'completed'), 1,
        'finish with an expired lease finishes a Build that was not claimed again';
}

{
    my $build = build($service, [$version]);
    for (1 .. 3) {
        is [claim($first)]->[0], $build, "the Build is claimed for attempt $_";
        expire($build);
    }
    my $next = build($service, [$version]);
    is [claim($second)]->[0], $next, 'after three attempts, the Build is not claimed for a fourth';
    is_deeply row_of($build), ['failed', 3, 0, 'The Build could not be checked', 0],
        'after three attempts, the Build has failed';
    is_deeply row_of($next), ['building', 1, 1, undef, 1], 'after three attempts of a Build, the next Build is claimed';
    $owner->do('DELETE FROM serverless.builds');
}

{
    my $build = build($service, [$version]);
    my (undef, $lease) = claim($first);
    $owner->do('DELETE FROM serverless.builds WHERE id = ?', undef, $build);
    is finish($first, $service, $build, $lease, 'completed'), 0, 'finish of a deleted Build does nothing';
    is value($owner, 'SELECT count(*) FROM serverless.builds'), 0, 'finish of a deleted Build does not make it again';
}

{
    my @builds = map { build($service, [$version]) } 1 .. 60;
    my @claimed = at_once(sub {
        my $worker = prepare_work($database->connect('serverless_httpd'));
        my @mine;
        while (my ($build, $lease) = claim($worker)) {
            push @mine, $build if finish($worker, $service, $build, $lease, 'completed');
        }
        return \@mine;
    }, 1 .. 8);
    is_deeply [sort map { @$_ } @claimed], [sort @builds], 'eight workers, sixty Builds: each Build is claimed once';
    is value($owner, q(SELECT count(*) FROM serverless.builds WHERE status <> 'completed' OR attempts <> 1)), 0,
        'eight workers, sixty Builds: each Build is completed at its first attempt';
}

is_deeply inconsistencies($owner), [], 'the database is consistent at the end';
$_->disconnect for $first, $second, $executor, $httpd, $owner;

done_testing;
