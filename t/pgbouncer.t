# PostgreSQL behind pgbouncer in session mode: the sample's DBDParams work, and the time limit of statements, a setting of
# httpd's role, is in force.
use strict;
use warnings FATAL => 'all';

use Apache::Test qw(-withtestmore);
use Serverless::Database;
use Serverless::Parallel;
use Serverless::Server;
use Serverless::Test;
use Test::More;
use Time::HiRes qw(time);

my ($program) = grep { -x } '/usr/sbin/pgbouncer', map { "$_/pgbouncer" } split /:/, $ENV{PATH};
$program or plan skip_all => 'pgbouncer is not installed';

my $class = 'Serverless::Server';
my $database = own_database('pgbouncer');
my $owner = $database->connect('serverless_owner');
my @account = $owner->selectrow_array(q(SELECT * FROM serverless.create_account('pgbouncer')));
superuser()->do(sprintf q(ALTER ROLE serverless_httpd IN DATABASE %s SET statement_timeout = '3s'), $database->name);

# Starts pgbouncer, which ends with the suite. Returns the directory of its socket.
sub start_pgbouncer {
    my $directory = "/tmp/pgbouncer.$$";
    mkdir $directory, 0700 or die "$directory: $!\n";
    my %files = (
        'users.txt' => qq("serverless_httpd" ""\n),
        'pgbouncer.ini' => <<"END",
[databases]
@{[ $database->name ]} = host=$ENV{DATABASE}
[pgbouncer]
listen_port = 6432
unix_socket_dir = $directory
auth_type = trust
auth_file = $directory/users.txt
pool_mode = session
default_pool_size = 40
logfile = @{[ $class->logs ]}/pgbouncer_log
END
    );
    for my $name (sort keys %files) {
        open my $out, '>', "$directory/$name" or die "$name: $!\n";
        print $out $files{$name};
        close $out or die "$name: $!\n";
    }
    defined(my $pid = fork) or die "fork: $!\n";
    if (!$pid) {
        exec 'setpriv', '--pdeathsig', 'TERM', $program, '-q', "$directory/pgbouncer.ini";
        die "setpriv: $!\n";
    }
    wait_until { -S "$directory/.s.PGSQL.6432" } or die "pgbouncer did not start\n";
    return ($directory, $pid);
}

my ($directory, $pgbouncer) = start_pgbouncer();
my $parent = $$;
END {
    if ($pgbouncer && $parent == $$) {
        local $?;
        kill TERM => $pgbouncer;
        waitpid $pgbouncer, 0;
        system 'rm', '-rf', $directory;
    }
}

# The DBD lines of the sample, with the place of pgbouncer.
my ($dbd) = do { local (@ARGV, $/) = "$ENV{SOURCE}/conf/serverless_api.conf"; <> =~ /^(    DBDriver.*?DBDExptime  300\n)/ms };
$dbd =~ s{/var/run/postgresql dbname=serverless }{"$directory port=6432 dbname=" . $database->name . ' '}e or die "the sample has another DBDParams\n";

my $server = $class->start('pgbouncer', $dbd . $class->api);
my $client = Serverless::Client->client(@account)->at($server->address);

subtest 'the API works' => sub {
    my $service = $client->post('/v1/Services', UniqueName => 'shop', FriendlyName => 'Shop')->json;
    my $at = "/v1/Services/$service->{sid}";
    is_deeply [ map { @$_ } at_once(sub {
        my ($number) = @_;
        my $own = $client->afresh;
        return [ map { ($own->post("$at/Functions", FriendlyName => "f$number-$_")->status, $own->get($at)->status) } 1 .. 10 ];
    }, 1 .. 8) ], [ (201, 200) x 80 ], 'reads and writes of eight clients at the same time';
    is scalar @{ $client->get("$at/Functions?PageSize=100")->json->{functions} }, 80, 'each write is there';
    is $client->delete($at)->status, 204, 'a long statement with a time limit of its own';
};

subtest "the role's time limit of statements" => sub {
    my $lock = $database->connect('postgres');
    $lock->begin_work;
    $lock->do('LOCK TABLE serverless.services');
    my $began = time;
    is $client->get('/v1/Services')->status, 503, 'a read that waits longer is 503';
    cmp_ok time - $began, '<', 20, 'after about the three seconds that the role may wait, and not after the 30 s of the module';
    $lock->rollback;
    $lock->disconnect;
    like $server->error_log, qr/SF0003: (?:preparing|executing) serverless_service_list failed: SQLSTATE 57014/, 'PostgreSQL has cancelled it';
    is $client->get('/v1/Services')->status, 200, 'a read after that succeeds';
};

subtest '"options" in DBDParams' => sub {
    my $refused = $class->start('pgbouncer_options', $dbd =~ s/connect_timeout=2/connect_timeout=2 options='-c statement_timeout=5000'/r
        . $class->api);
    is $client->at($refused->address)->get('/v1/Services')->status, 503, 'is refused by pgbouncer';
    like $refused->error_log, qr/SF0001: no connection to the database: .*unsupported startup parameter.*options/,
        'and the log line says so';
};

undef $server;
$owner->disconnect;

done_testing;
