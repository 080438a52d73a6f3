# Maintenance: httpd's children delete old log entries and idempotency keys in the background.
#
# The httpds here have a database of their own, so that no other does their work.
# A child runs the tasks that are due when it starts, and every five seconds.
use strict;
use warnings FATAL => 'all';

use Apache::Test qw(-withtestmore);
use JSON::PP ();
use Serverless::Database;
use Serverless::Server;
use Serverless::Test;
use Test::More;

# Whatever happens here, the suites after this one need the database.
END { local $?; database('start') }

my $database = own_database('maintenance');

# One value, and a statement without any, as the owner, on a connection that outlives nothing.
sub sql { my (@statement) = @_; return as_owner(sub { scalar $_[0]->selectrow_array(shift @statement, undef, @statement) }) }
sub run { my ($sql) = @_; as_owner(sub { $_[0]->do($sql) }) }

sub as_owner {
    my ($act) = @_;
    my $db = $database->connect('postgres');
    my $result = $act->($db);
    $db->disconnect;
    return $result;
}

# An Environment and a Function, as SIDs.
my $account = sql(q(SELECT substr(account_sid, 3) FROM serverless.create_account('maintenance')));
my $service = sql(q(SELECT (serverless.create_service(?, 's', 's', true, false)).id), $account);
my $environment = sql(q(SELECT serverless.sid('ZE', (environment).id) FROM serverless.create_environment(?, 'e', 'e')), $service);
my $function = sql(<<'SQL', $service);
INSERT INTO serverless.artifacts SELECT ?, 'function', id, 'f', made, made FROM serverless.new_identity()
RETURNING serverless.sid('ZH', id)
SQL

# Adds so many entries of this age, which is their message, too.
sub add {
    my ($count, $age) = @_;
    sql(<<'SQL', $environment, $function, $age, $age, $count);
SELECT count(serverless.add_log(?, ?, 'info', ?, at => now() - ?::interval)) FROM generate_series(1, ?::int)
SQL
}

# How many entries there are of each age.
sub ages {
    return JSON::PP::decode_json(sql(<<'SQL'));
SELECT coalesce(json_object_agg(message, count), '{}')
  FROM (SELECT message, count(*) FROM serverless.logs GROUP BY message) AS counted
SQL
}

# From now on everything is due.
sub due { run(q(UPDATE serverless.maintenance SET date_begun = '-infinity')) }
sub begun { sql(q(SELECT count(*) FROM serverless.maintenance WHERE date_begun > '-infinity')) }

my $limits = Serverless::Server->workers(2, 32, prefork => 4);

sub server {
    my ($name, $lines) = @_;
    return Serverless::Server->start($name, $limits . Serverless::Server->database(database => $database->name)
        . Serverless::Server->api . ($lines // ''));
}

# The numbers in its log of entries removed.
sub removed { return $_[0]->error_log =~ /SF0014: (\d+) old log entries removed/g }


# Ages -----------------------------------------------------------------------------------

{
    add(2500, '31 days');
    add(10, '29 days');
    add(10, '0 days');
    my $server = server('retention');
    ok wait_until { !ages()->{'31 days'} }, 'log entries of 31 days are deleted, all 2500 of them';
    is_deeply ages(), { '29 days' => 10, '0 days' => 10 }, 'log entries younger than 30 days are kept';
    my @removed;
    ok wait_until { push @removed, removed($server); @removed }, 'the error log says how many log entries were deleted';
    is_deeply \@removed, [2500], 'one child deletes the log entries, with one line in the error log';
}

{
    add(10, '2 hours');
    add(10, '30 minutes');
    due();
    my $server = server('short_retention', "ServerlessLogRetention 1h\n");
    ok wait_until { !ages()->{'2 hours'} }, 'ServerlessLogRetention 1h: log entries of two hours are deleted';
    is_deeply ages(), { '30 minutes' => 10, '0 days' => 10 },
        'ServerlessLogRetention 1h: log entries of 30 minutes are kept';
    run('DELETE FROM serverless.logs');
}

{
    for my $age ('23 hours', '25 hours') {
        sql(<<'SQL', $account, $age, $age);
INSERT INTO serverless.idempotency_keys (account_id, key_hash, fingerprint, date_created)
SELECT ?, sha256(convert_to(? || n, 'UTF8')), sha256('request'), now() - ?::interval FROM generate_series(1, 1500) AS n
RETURNING 1
SQL
    }
    due();
    my $server = server('keys');
    my $old = q(SELECT count(*) FROM serverless.idempotency_keys WHERE date_created < now() - interval '24 hours');
    ok wait_until { !sql($old) }, 'idempotency keys are deleted after 24 hours';
    is sql('SELECT count(*) FROM serverless.idempotency_keys'), 1500, 'idempotency keys younger than 24 hours are kept';
    my $log = '';
    ok wait_until { ($log .= $server->error_log) =~ /SF0014: 1500 idempotency keys of yesterday removed/ },
        'the error log says how many idempotency keys were deleted';
}

{
    add(10, '4000 days');
    due();
    my $server = server('no_retention', "ServerlessLogRetention Off\n");
    ok wait_until { begun() }, 'ServerlessLogRetention Off: the task still runs';
    $server->stop;
    is_deeply ages(), { '4000 days' => 10 }, 'ServerlessLogRetention Off: log entries of 4000 days are kept';
    unlike $server->error_log, qr/SF0014|SF0015/,
        'ServerlessLogRetention Off: the error log has no line of maintenance';
    run('DELETE FROM serverless.logs');
}


# More than one httpd ----------------------------------------------------------------------

{
    add(5500, '31 days');
    due();
    my @servers = map { server($_) } 'maintenance_left', 'maintenance_right';
    ok wait_until { !ages()->{'31 days'} }, 'two httpds: old log entries are deleted';
    my @removed;
    wait_until { push @removed, map { removed($_) } @servers; @removed };
    is_deeply \@removed, [5500], 'two httpds: one child of one httpd deletes all log entries';
}

# A transaction that deletes an Environment has its entries locked; maintenance does not wait for it.
{
    add(1500, '31 days');
    my $holder = $database->connect('postgres');
    $holder->begin_work;
    $holder->do(q(DELETE FROM serverless.logs WHERE ctid IN (SELECT ctid FROM serverless.logs LIMIT 7)));
    due();
    my $server = server('maintenance_beside');
    my @removed;
    ok wait_until { push @removed, removed($server); @removed },
        'log entries that another transaction is deleting: the others are deleted';
    is_deeply \@removed, [1493], 'log entries that another transaction is deleting are skipped';
    $holder->rollback;
    is_deeply ages(), { '31 days' => 7 }, 'log entries whose deletion was rolled back are kept until the next run';
    due();
    ok wait_until { !%{ ages() } }, 'log entries whose deletion was rolled back are deleted by the next run';
    $holder->disconnect;
}


# Trouble ----------------------------------------------------------------------------------

# Without the right to delete; due at each look. In another database of the same httpd, all is well.
{
    my $other = own_database('maintenance_other');
    my $beside = $other->connect('postgres');
    $beside->do(q(UPDATE serverless.maintenance SET period = '0'));
    $beside->disconnect;
    my $address = '127.0.0.1:' . Serverless::Server->free_port;
    add(10, '31 days');
    due();
    run('REVOKE DELETE ON serverless.logs FROM serverless_httpd');
    run(q(UPDATE serverless.maintenance SET period = '0'));
    my $server = server('maintenance_fails', Serverless::Server->one_child
        . "Listen $address\n<VirtualHost $address>\n" . Serverless::Server->database(database => $other->name)
        . Serverless::Server->api . "</VirtualHost>\n");
    my $log = '';
    my $failures = sub { $log .= $server->error_log; scalar(() = $log =~ /SF0003: \w+ serverless_log_expire failed/g) };
    wait_until { $failures->() > 2 };
    cmp_ok $failures->(), '>=', 3, 'a task that fails is tried again when it is due';
    is scalar(() = $log =~ /SF0015: expire_logs fails, and is tried again when it is due/g), 1,
        'a task that fails again and again is explained in the error log once';
    is_deeply ages(), { '31 days' => 10 }, 'a task that fails deletes nothing';
    run('GRANT DELETE ON serverless.logs TO serverless_httpd');
    ok wait_until { !%{ ages() } }, 'a task that failed succeeds when the right to delete is granted';
    run(q(UPDATE serverless.maintenance SET period = '1 minute'));
}

{
    add(10, '31 days');
    due();
    database('stop');
    my $server = server('maintenance_without_database', Serverless::Server->one_child);
    my $client = Serverless::Client->client('AC' . '0' x 32, 'x')->at($server->address);
    is $client->get('/v1/Services')->status, 503, 'without a database, httpd starts and answers 503';
    SKIP: {
        skip 'httpd logs no thread with prefork', 1 if Serverless::Server->is_prefork;
        my %threads;
        ok wait_until { $threads{$_} = 1 for $server->error_log =~ /\[pid (\d+:tid \d+)\] SF0001: no connection/g; keys %threads == 3 },
            'without a database, the child and both of its background threads try to connect at the start';
    }
    database('start');
    is_deeply ages(), { '31 days' => 10 }, 'without a database, no log entry is deleted';
    ok wait_until { $client->get('/v1/Services')->status == 401 }, 'the child answers when the database is back';
    kill USR1 => $server->{pid};
    ok wait_until { !%{ ages() } }, 'the next child does the maintenance that is due';
}

undef $database;
done_testing;
