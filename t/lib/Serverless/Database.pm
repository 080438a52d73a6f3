# The test database: connections to it, and faults of it while httpd uses it.
# Where something must be undone, it is undone when the object returned goes away.
package Serverless::Database;

use strict;
use warnings FATAL => 'all';

use DBI ();
use Exporter qw(import);
use Serverless::Time;
use Time::HiRes ();

our @EXPORT = qw(db superuser connect_as database add_functions add_artifacts lock_functions slow_deletion slow_writes sleeping hold_builds own_database
    crash backends waiting kill_backends damage);

# Connections ---------------------------------------------------------------------

my %db;

# The connection to the test database as the schema's owner, and the one as a superuser, for
# what an owner may not do; a new one after the server was restarted.
sub db        { kept_connection('serverless_owner') }
sub superuser { kept_connection('postgres') }

sub kept_connection {
    my ($role) = @_;
    delete $db{$role} if $db{$role} && !$db{$role}->ping;
    return $db{$role} ||= connect_as($role);
}

# A new connection, e.g. to hold a lock in.
sub connect_as {
    my ($role, $database) = @_;
    $database = 'serverless' if !defined $database;
    return DBI->connect("dbi:Pg:host=$ENV{DATABASE};dbname=$database", $role, undef,
        { RaiseError => 1, PrintError => 0, AutoCommit => 1, AutoInactiveDestroy => 1,
          pg_server_prepare => 0 });
}

# Stops, starts or restarts PostgreSQL: database('stop'), database('start'), database('restart').
sub database {
    my ($action) = @_;
    $_->disconnect for values %db;
    %db = ();
    system("$ENV{SOURCE}/tools/cluster", $action, $ENV{CLUSTER}) == 0
        or die "tools/cluster $action failed\n";
}

# Faults and delays ---------------------------------------------------------------

# Gives a Service so many Functions (or Assets) of this name.
sub add_functions { add_artifacts('function', @_) }

sub add_artifacts {
    my ($kind, $service_sid, $count, $name) = @_;
    db()->do(<<'SQL', undef, $kind, $name, $count, $service_sid);
INSERT INTO serverless.artifacts (service_id, kind, id, friendly_name, date_created, date_updated)
SELECT s.id, ?::serverless.artifact_kind, (fresh.identity).id, ?, (fresh.identity).made, (fresh.identity).made
  FROM serverless.services AS s,
       (SELECT serverless.new_identity() AS identity FROM generate_series(1, ?::int) OFFSET 0) AS fresh
 WHERE serverless.sid('ZS', s.id) = ?
SQL
}

# No other session gets at Functions, until the lock's release().
sub lock_functions {
    my $holder = Serverless::Database::connect_as('postgres');
    $holder->begin_work;
    $holder->do('LOCK TABLE serverless.artifacts IN ACCESS EXCLUSIVE MODE');
    return bless { holder => $holder, process => $$ }, 'Serverless::Database::Lock';
}

# Deleting a Function called "slow" takes so many seconds.
sub slow_deletion {
    my ($seconds) = @_;
    my $name = "slow_deletion_$$";
    db()->do("CREATE FUNCTION public.$name() RETURNS trigger LANGUAGE plpgsql AS "
        . "'BEGIN PERFORM pg_sleep($seconds); RETURN OLD; END'");
    db()->do("CREATE TRIGGER $name BEFORE DELETE ON serverless.artifacts FOR EACH ROW "
        . "WHEN (OLD.friendly_name = 'slow') EXECUTE FUNCTION public.$name()");
    return bless { name => $name, process => $$ }, 'Serverless::Database::Slowness';
}

# Each write of a Function takes so many seconds.
sub slow_writes {
    my ($seconds) = @_;
    my $name = "slow_writes_$$";
    db()->do("CREATE FUNCTION public.$name() RETURNS trigger LANGUAGE plpgsql AS "
        . "'BEGIN PERFORM pg_catalog.pg_sleep($seconds); RETURN coalesce(NEW, OLD); END'");
    db()->do("CREATE TRIGGER $name BEFORE INSERT OR UPDATE OR DELETE ON serverless.artifacts FOR EACH ROW "
        . "EXECUTE FUNCTION public.$name()");
    return bless { name => $name, process => $$ }, 'Serverless::Database::Slowness';
}

# Builds of this Service stay `building`: each is made with a lease that nobody
# holds and that does not expire. The hold's release($sid) leaves one to httpd's
# workers, its end all of them.
sub hold_builds {
    my ($service_sid) = @_;
    my $name = "hold_builds_$service_sid";
    db()->do("CREATE FUNCTION public.$name() RETURNS trigger LANGUAGE plpgsql AS "
        . "'BEGIN NEW.lease_expires := ''infinity''; RETURN NEW; END'");
    db()->do("CREATE TRIGGER $name BEFORE INSERT ON serverless.builds FOR EACH ROW "
        . "WHEN (serverless.sid('ZS', NEW.service_id) = '$service_sid') EXECUTE FUNCTION public.$name()");
    return bless { name => $name, service => $service_sid, process => $$ }, 'Serverless::Database::Hold';
}

# One more database, with the schema and nothing else in it; no httpd knows it
# that was not told. It goes with the object. Its connect('serverless_owner'),
# connect('serverless_httpd') and connect('postgres') are new sessions.
sub own_database {
    my ($purpose) = @_;
    my $name = "serverless_${purpose}_$$";
    superuser()->do("CREATE DATABASE $name OWNER serverless_owner");
    for my $command ('schema apply', 'grant serverless_httpd') {
        system("$ENV{SOURCE}/bin/serverless-admin -d 'host=$ENV{DATABASE} dbname=$name user=serverless_owner' $command "
            . '>/dev/null') == 0 or die "serverless-admin $command failed\n";
    }
    return bless { name => $name, process => $$ }, 'Serverless::Database::Own';
}

# Does to the chunks of a Version's content what they are guarded against, such as
# 'DELETE FROM %s WHERE number = 1', and dies if there were none of these. The
# Service is to be deleted before the suite ends.
sub damage {
    my ($version, $sql, $db) = @_;
    $db ||= superuser();
    $db->begin_work;
    $db->do('SET LOCAL session_replication_role = replica'); # no triggers
    my $rows = $db->do(sprintf("$sql AND (service_id, sha256) = (SELECT service_id, content_sha256 "
        . 'FROM serverless.versions WHERE id = ?)', 'serverless.content_chunks'), undef, substr $version->{sid}, 2);
    $db->commit;
    $rows > 0 or die "nothing was damaged\n";
}

# Ends PostgreSQL at once, as a crash does: transactions that were not committed are lost.
sub crash {
    open my $in, '<', "$ENV{CLUSTER}/data/postmaster.pid" or die "postmaster.pid: $!\n";
    chomp(my $pid = <$in>);
    kill QUIT => $pid or die "PostgreSQL, process $pid: $!\n";
    wait_until { !kill 0 => $pid } or die "PostgreSQL did not end\n";
}

# httpd's sessions, as (process, ...); those that wait for a lock; those in pg_sleep.
sub backends { sessions('true') }
sub waiting  { sessions("wait_event_type = 'Lock'") }
sub sleeping { sessions("wait_event = 'PgSleep'") }

sub sessions {
    my ($condition) = @_;
    return @{ superuser()->selectcol_arrayref("SELECT pid FROM pg_stat_activity "
        . "WHERE usename = 'serverless_httpd' AND $condition") };
}

# Returns how many there were, once their connections are closed, which is when
# their processes have ended.
sub kill_backends {
    my (@pids) = @_;
    superuser()->do('SELECT pg_terminate_backend(?)', undef, $_) for @pids;
    wait_until { !grep { -e "/proc/$_" } @pids } or die "backends did not end\n";
    return scalar @pids;
}

package Serverless::Database::Lock;

sub release {
    my ($self) = @_;
    my $holder = delete $self->{holder} or return;
    $holder->rollback;
    $holder->disconnect;
}

sub DESTROY { $_[0]->release if $_[0]{process} == $$ }

package Serverless::Database::Slowness;

sub DESTROY {
    my ($self) = @_;
    return if $self->{process} != $$;
    Serverless::Database::db()->do("DROP TRIGGER $self->{name} ON serverless.artifacts");
    Serverless::Database::db()->do("DROP FUNCTION public.$self->{name}()");
}

package Serverless::Database::Hold;

sub release {
    my ($self, $build_sid) = @_;
    Serverless::Database::db()->do(<<'SQL', undef, $self->{service}, $build_sid, $build_sid);
UPDATE serverless.builds SET lease_expires = NULL
 WHERE serverless.sid('ZS', service_id) = ? AND status = 'building'
   AND coalesce(serverless.sid('ZB', id) = ?, ?::text IS NULL)
SQL
}

sub DESTROY {
    my ($self) = @_;
    return if $self->{process} != $$;
    Serverless::Database::db()->do("DROP TRIGGER $self->{name} ON serverless.builds");
    Serverless::Database::db()->do("DROP FUNCTION public.$self->{name}()");
    $self->release;
}

package Serverless::Database::Own;

sub name    { $_[0]{name} }
sub connect { Serverless::Database::connect_as($_[1], $_[0]{name}) }

# Runs a statement as a role. Returns the values of its first row, or the first value in scalar context.
sub row {
    my ($self, $role, $sql, @values) = @_;
    my $db = $self->connect($role);
    my @row = $db->selectrow_array($sql, undef, @values);
    $db->disconnect;
    return wantarray ? @row : $row[0];
}

sub DESTROY {
    my ($self) = @_;
    local $@;
    Serverless::Database::superuser()->do("DROP DATABASE $self->{name} WITH (FORCE)") if $self->{process} == $$;
}

1;
