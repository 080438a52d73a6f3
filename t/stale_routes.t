# Which failures of the database let a known domain go on with its last route, and which do not. PostgreSQL that
# stands still, as with a hung disk, is away: the domain goes on for ServerlessStaleRoutes, then it is 503. Where all
# connections are in use, or PostgreSQL refuses further ones, it is not away: 503, because another node may
# have seen a Deployment that this one cannot read.
use strict;
use warnings FATAL => 'all';

use Apache::Test qw(-withtestmore);
use List::Util qw(max);
use Serverless::Cluster;
use Serverless::Parallel;
use Serverless::Project;
use Serverless::Server;
use Serverless::Test;
use Test::More;
use Time::HiRes qw(sleep time);

my $TAIL = 'functions.example.com';
my ($statement_timeout, $db_timeout, $connect_timeout) = (1, 0.3, 2); # seconds
my $STALE_ROUTES = 10;

my $cluster = Serverless::Cluster->start('stale');
my $superuser = $cluster->connect('postgres'); # sees what all sessions do

# One connection, so that one request can take all of them; without pipelining, which has connections besides.
sub server {
    my ($name, $statement_timeout) = @_;
    return Serverless::Server->start($name, "ServerlessDomain $TAIL\nServerlessExecution On\n"
        . "ServerlessStaleRoutes ${STALE_ROUTES}s\nServerlessDBTimeout 300ms\nServerlessPipelining Off\nServerlessDBConnections 1\n"
        . Serverless::Server->database(host => $cluster->host, statement_timeout => 1000 * $statement_timeout)
        . Serverless::Server->api, mpm => 'event');
}

my $server = server('stale_routes', $statement_timeout);
my $api = Serverless::Client->client($superuser->selectrow_array(q(SELECT * FROM serverless.create_account('stale'))))
    ->at($server->address);

my $project = Serverless::Project->new($api, 'stale');
my $environment = $project->new_environment('stale', 'stale');
my $host = $environment->{domain_name};

sub build {
    my ($content) = @_;
    return $project->completed($project->new_version(kind => 'asset', path => '/page', content => $content));
}

my @builds = map { build($_) } qw(first second);
$project->deploy($environment, $builds[0]);

# Asks for the page's head, which needs no content from the database. Returns the status and the length of the page.
sub ask {
    my ($at) = @_;
    my $reply = $api->at(($at // $server)->address)->undescribed->raw_request('HEAD /page HTTP/1.1', host => $host);
    return { status => $reply->status, length => $reply->header('Content-Length'), retry => $reply->header('Retry-After') };
}

sub statuses { join ' ', map { $_->{status} } @_ }

# Asks until a request has begun after the time; returns the answers with their times.
sub ask_until {
    my ($until) = @_;
    my @answers;
    do {
        my $began = time;
        push @answers, { %{ ask() }, began => $began, ended => scalar time };
        sleep 0.05;
    } while $answers[-1]{began} <= $until;
    return @answers;
}

sub is_serving {
    my ($content, $name, $at) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $answer;
    ok wait_until { $answer = ask($at); $answer->{status} == 200 && $answer->{length} == length $content }, $name
        or diag explain $answer;
}

subtest 'all connections are in use: 503, and no older route' => sub {
    my $patient = server('stale_patient', 300); # the request that waits has the connection until its lock is released
    is_serving 'first', 'before', $patient;
    my $holder = $cluster->connect('postgres');
    $holder->begin_work;
    $holder->do('LOCK TABLE serverless.artifacts IN ACCESS EXCLUSIVE MODE');
    my $finish = begin_at_once(sub { $api->at($patient->address)->get($project->path('/Functions'))->status }, 1);
    ok wait_until { $superuser->selectrow_array(q(SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock')) }, 'one request has the connection';
    sleep 0.2; # the lease has passed
    my @answers = map { ask($patient) } 1 .. 3;
    $holder->rollback;
    $holder->disconnect;
    $finish->();
    is statuses(@answers), '503 503 503', 'the domain meanwhile';
    is $answers[0]{retry}, 1, 'with Retry-After';
    is_serving 'first', 'afterwards', $patient;
};

subtest 'PostgreSQL refuses further connections: 503, and no older route' => sub {
    $superuser->do('ALTER ROLE serverless_httpd CONNECTION LIMIT 0');
    $superuser->do(q(SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'serverless_httpd'));
    ok wait_until { !$superuser->selectrow_array(q(SELECT count(*) FROM pg_stat_activity WHERE usename = 'serverless_httpd')) }, 'httpd has no connection';
    my @answers = ask_until(time + 1.5);
    $superuser->do('ALTER ROLE serverless_httpd CONNECTION LIMIT -1');
    is_deeply [grep { $_->{status} != 503 } @answers], [], 'the domain meanwhile: ' . @answers . ' answers';
    is_serving 'first', 'afterwards';
};

subtest 'PostgreSQL stands still: the last route for ServerlessStaleRoutes, then 503' => sub {
    is_serving 'first', 'before';
    sleep 0.2; # the lease has passed
    my $read = time;
    ask(); # reads the route, after this time and before PostgreSQL stands still
    $cluster->freeze;
    my $frozen = time;
    my @answers = ask_until($frozen + $STALE_ROUTES);
    $cluster->thaw;
    is $answers[0]{status}, 200, 'the first request';
    note sprintf 'the longest takes %.1f s of %.1f s, which are configured', max(map { $_->{ended} - $_->{began} } @answers),
        $db_timeout + $statement_timeout + 1 + $connect_timeout;
    my @known = grep { $_->{ended} < $read + $STALE_ROUTES } @answers;
    cmp_ok scalar @known, '>', 0, 'there are answers before the end of ServerlessStaleRoutes: ' . @known;
    is_deeply [grep { $_->{status} != 200 } @known], [], 'each of them is by the last route';
    my @late = grep { $_->{began} > $frozen + $STALE_ROUTES } @answers;
    cmp_ok scalar @late, '>', 0, 'there are answers after it: ' . @late;
    is_deeply [grep { $_->{status} != 503 || ($_->{retry} // '') ne '1' } @late], [], 'each of them is 503 with Retry-After';
};

subtest 'PostgreSQL goes on: the next Deployment is served by the next request' => sub {
    is_serving 'first', 'the domain';
    $project->deploy($environment, $builds[1]);
    is_deeply [map { ask()->{length} } 1 .. 5], [(length 'second') x 5], 'the new Build';
};

done_testing;
