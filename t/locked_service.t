# A Service is locked for seconds, and many clients write to it: no request to a Service of another
# account waits for that, though httpd has four connections in all.
use strict;
use warnings FATAL => 'all';

use Apache::Test qw(-withtestmore);
use List::Util qw(max);
use Serverless::Database;
use Serverless::Parallel;
use Serverless::Project;
use Serverless::Server;
use Serverless::Test;
use Test::More;
use Time::HiRes qw(sleep time);

my $seconds = $ENV{FULL} ? 20 : 4; # the lock is held for so long at least

# A Service of a new account, with what the requests below need.
sub new_place {
    my ($server) = @_;
    my $project = Serverless::Project->new(Serverless::Client->account->at($server->address));
    my $function = $project->new_deployable(function => 'kept');
    my $build = $project->completed($function);
    my $environment = $project->new_environment('kept');
    return { project => $project, function => $function, build => $build, environment => $environment };
}

my $number = 0;
sub unique { sprintf 'u%d-%d-%d', $$, ++$number, rand 1e6 }

# Each kind of write that needs a lock of its Service. Each makes what it changes, so that it can be repeated.
my %writes = (
    'create an Environment' => sub { $_[0]->post($_[1]->path('/Environments'), UniqueName => unique(), DomainSuffix => 'd' . int rand 1e9) },
    'create a Function'     => sub { $_[0]->post($_[1]->path('/Functions'), FriendlyName => 'f') },
    'update a Function'     => sub { $_[0]->post($_[1]->path_of($_[2]{function}), FriendlyName => 'g') },
    'create once'           => sub { $_[0]->with('Idempotency-Key' => unique())->post($_[1]->path('/Functions'), FriendlyName => 'f') },
    'create an Asset'       => sub { $_[0]->post($_[1]->path('/Assets'), FriendlyName => 'a') },
    'upload a Version'      => sub {
        $_[1]->by($_[0])->try_version(artifact => $_[2]{function}, content => 'exports.a = ' . rand)
    },
    'create a Build'        => sub { $_[1]->by($_[0])->try_build($_[2]{function}) },
    'create a Variable'     => sub { $_[0]->post($_[1]->path_of($_[2]{environment}) . '/Variables', Key => 'K' . int rand 1e9, Value => 'v') },
    'deploy a Build'        => sub { $_[1]->by($_[0])->try_deploy($_[2]{environment}, $_[2]{build}) },
    'update the Service'    => sub { $_[0]->post($_[1]->path, FriendlyName => 'n') },
);
my %reads = (
    'fetch the Service' => sub { $_[0]->get($_[1]->path) },
    'list Functions'    => sub { $_[0]->get($_[1]->path('/Functions')) },
    'fetch a Build'     => sub { $_[0]->get($_[1]->path_of($_[2]{build})) },
);
# What only another account's client does, to what it has made for that.
my %deletions = (
    'delete a Function' => sub {
        my $made = $_[0]->post($_[1]->path('/Functions'), FriendlyName => 'f');
        return $made->status == 201 ? $_[0]->delete($_[1]->path_of($made->json)) : $made;
    },
    'delete a Service' => sub {
        my $made = $_[0]->post('/v1/Services', UniqueName => unique(), FriendlyName => 'f');
        return $made->status == 201 ? $_[0]->delete($_[1]->path_of($made->json)) : $made;
    },
);

# The second deployment of the same Build is 409, which needs the lock, too.
sub failed {
    my ($done) = @_;
    my ($name, $status) = @$done;
    return $status !~ /^2/ && !($name eq 'deploy a Build' && $status == 409);
}

# A session that holds the lock of a Service until its rollback.
sub hold_service {
    my ($sid) = @_;
    my $holder = connect_as('serverless_owner');
    $holder->begin_work;
    $holder->do(q(SELECT FROM serverless.services WHERE serverless.sid('ZS', id) = ? FOR UPDATE), undef, $sid);
    return $holder;
}

# Sends a request, again and again until the time. Returns for each its name, its status and the seconds it took.
sub repeat {
    my ($place, $name, $run, $until) = @_;
    my $client = $place->{project}->api->afresh;
    my @done;
    do {
        my $began = time;
        my $status = $run->($client, $place->{project}, $place)->status;
        push @done, [$name, $status, time - $began];
    } while (time < $until);
    return \@done;
}

for my $pipelining (qw(On Off)) {
    my $server = Serverless::Server->start("locked_$pipelining",
        Serverless::Server->workers(1, 64) . "ServerlessDBConnections 4\nServerlessPipelining $pipelining\n"
        . "ServerlessMaxRequestsPerAccount Off\n" # so that all writes to the locked Service wait at once
        . Serverless::Server->database(statement_timeout => 300_000) . Serverless::Server->api);
    my ($locked, $other) = map { new_place($server) } 1 .. 2;
    my $title = "pipelining $pipelining";

    my $holder = hold_service($locked->{project}->sid);
    my $began = time;
    my $waiting = begin_at_once(sub { repeat($locked, $_[0], $writes{ $_[0] }, 0) }, (sort keys %writes) x 3);
    ok wait_until { waiting() }, "$title: writes wait for the locked Service";
    my %others = (%writes, %reads, %deletions);
    my @done = map { @$_ } at_once(sub { repeat($other, $_[0], $others{ $_[0] }, $began + $seconds) }, sort keys %others);
    cmp_ok scalar @done, '>=', keys %others, "$title: requests of another account are answered while the Service is locked";
    is_deeply [map { "$_->[0]: $_->[1]" } grep { failed($_) } @done], [], "$title: each of them succeeds";
    diag sprintf '%s: %d requests of another account, the slowest took %.2f s (%s)', $title, scalar @done,
        max(map { $_->[2] } @done), (sort { $b->[2] <=> $a->[2] } @done)[0][0];
    $holder->rollback;
    $holder->disconnect;
    is_deeply [map { "$_->[0]: $_->[1]" } grep { failed($_) } map { @$_ } $waiting->()], [],
        "$title: each write to the locked Service succeeds once the lock is released";
    unlike $server->error_log, qr/SF0005|SF0003|SF0060/, "$title: each request had a connection in time";
}

subtest 'the API keys of an account have one attempt at a time together' => sub {
    plan skip_all => 'a child counts its own attempts, and a child of prefork has one' if Serverless::Server->is_prefork;
    my $server = Serverless::Server->start('locked_keys',
        "ServerlessDBConnections 8\nServerlessPipelining Off\nServerlessMaxRequestsPerAccount Off\n"
        . Serverless::Server->database(statement_timeout => 300_000) . Serverless::Server->api);
    my $api = Serverless::Client->account->at($server->address);
    my $project = Serverless::Project->new($api);
    my @keys = map {
        Serverless::Client->client(db()->selectrow_array('SELECT * FROM serverless.create_api_key(?, ?)', undef, $api->user, "key $_"))
            ->at($server->address)
    } 1 .. 8;
    my $create = sub { $_[0]->afresh->post($project->path('/Functions'), FriendlyName => 'f')->status };

    my $holder = hold_service($project->sid);
    my $waiting = begin_at_once($create, $api, @keys);
    ok wait_until { waiting() }, 'writes of the account and of its keys wait for the locked Service';
    # the first attempts of all may be at the same time
    ok wait_until { max(map { sleep 0.02; scalar waiting() } 1 .. 30) == 1 }, 'one of them tries at a time';
    $holder->rollback;
    is_deeply [$waiting->()], [(201) x (1 + @keys)], 'each succeeds once the lock is released';
};

subtest 'a write waits for a lock as long as its own database allows' => sub {
    my $database = sub { Serverless::Server->database(statement_timeout => 1000 * $_[0]) };
    my $patient = '127.0.0.1:' . Serverless::Server->free_port;
    my $server = Serverless::Server->start('locked_databases', $database->(1) . Serverless::Server->api
        . "Listen $patient\n<VirtualHost $patient>\n" . $database->(300) . Serverless::Server->api . "</VirtualHost>\n");
    my $api = Serverless::Client->account->at($server->address);
    my $project = Serverless::Project->new($api);
    my $create = sub { $_[0]->post($project->path('/Functions'), FriendlyName => 'f')->status };

    my $holder = hold_service($project->sid);
    my $waiting = begin_at_once($create, $api->afresh->at($patient));
    is $create->($api), 503, 'statement_timeout of a second: the write is refused';
    $holder->rollback;
    is_deeply [$waiting->()], [201], 'statement_timeout of five minutes: the write is still waiting, and succeeds';
};

done_testing;
