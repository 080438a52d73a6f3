# PostgreSQL stands still: its processes are there and take connections, and nothing is answered, as
# with a hung disk. Each request is 503 within the time limits of the configuration; as soon as
# PostgreSQL goes on, requests succeed; no write is stored twice, and none that was acknowledged is lost.
use strict;
use warnings FATAL => 'all';

use Apache::Test qw(-withtestmore);
use List::Util qw(max);
use Serverless::Cluster;
use Serverless::Parallel;
use Serverless::Server;
use Serverless::Test;
use Test::More;
use Time::HiRes qw(sleep time);

my $cluster = Serverless::Cluster->start('silent');
my $owner = $cluster->connect;
my @credential = $owner->selectrow_array(q(SELECT * FROM serverless.create_account('silent')));

# The seconds of the configuration: a statement has statement_timeout and one more; then the request is
# answered. Before that it may wait for a connection, or connect in vain. PostgreSQL stands still for much
# longer than all of them together.
my ($statement_timeout, $db_timeout, $connect_timeout, $silence) = (1, 1, 2, $ENV{FULL} ? 30 : 14);

sub server {
    my ($name, $pipelining) = @_;
    return Serverless::Server->start($name, "ServerlessPipelining $pipelining\n"
        . "ServerlessDBTimeout ${db_timeout}s\nServerlessDeleteTimeout 2s\nServerlessMaxRequestsPerAccount Off\n"
        . Serverless::Server->database(host => $cluster->host, statement_timeout => 1000 * $statement_timeout)
        . Serverless::Server->api);
}

# The sessions of httpd, by process id: the superuser sees them all.
sub sessions { @{ $owner->selectcol_arrayref("SELECT pid FROM pg_stat_activity WHERE usename = 'serverless_httpd'") } }

sub stored { $owner->selectrow_array('SELECT count(*) FROM serverless.artifacts WHERE friendly_name = ?', undef, @_) }

# What clients do, each for itself and one after the other. A write makes a Function of the name given.
my %kinds = (
    'fetch'                         => sub { my ($client, $at) = @_; $client->get($at->{path}) },
    'list'                          => sub { my ($client, $at) = @_; $client->get($at->{functions}) },
    'create'                        => sub { my ($client, $at, $name) = @_; $client->post($at->{functions}, FriendlyName => $name) },
    'create with Idempotency-Key'   => sub {
        my ($client, $at, $name) = @_;
        $client->with('Idempotency-Key' => $name)->post($at->{functions}, FriendlyName => $name);
    },
    'delete a Service that is not there' => sub { my ($client) = @_; $client->delete('/v1/Services/ZS' . '0' x 32) },
);

# Sends requests of one kind until the time `until`. Returns what became of each.
sub requests_of {
    my ($client, $at, $kind, $number, $until) = @_;
    my @done;
    while (time < $until) {
        my $name = join '-', 'silent', $number, scalar @done, int rand 1e9;
        my $began = time;
        my $reply = $kinds{$kind}->($client, $at, $name);
        push @done, { kind => $kind, name => $name, began => $began, ended => scalar time,
            status => $reply->status, retry => $reply->header('Retry-After') };
        sleep 0.02;
    }
    return \@done;
}

sub succeeded { my ($done) = @_; return $done->{status} =~ /^2/ || ($done->{kind} =~ /^delete/ && $done->{status} == 404) }

# Whether each kind of request succeeds, three times.
sub all_succeed {
    my ($client, $at) = @_;
    return !grep { !succeeded($_) } map { @$_ } at_once(sub {
        my ($kind) = @_;
        return [map { @{ requests_of($client->afresh, $at, $kind, 'after', time + 0.001) } } 1 .. 3];
    }, sort keys %kinds);
}

for my $pipelining (qw(On Off)) {
    my $server = server("silent_$pipelining", $pipelining);
    my $client = Serverless::Client->client(@credential)->at($server->address);
    my $service = $client->post('/v1/Services', UniqueName => "silent-$pipelining", FriendlyName => 'a')->json;
    my $at = { functions => "/v1/Services/$service->{sid}/Functions" };
    $at->{path} = "$at->{functions}/" . $client->post($at->{functions}, FriendlyName => 'first')->json->{sid};
    my $title = "pipelining $pipelining";

    ok wait_until { all_succeed($client, $at) }, "$title: requests succeed before PostgreSQL stands still";
    my ($frozen, $thawed);
    my $until = time + 2 + $silence + 5;
    my $finish = begin_at_once(sub {
        my ($client, $kind, $number) = @{ $_[0] };
        return requests_of($client->afresh, $at, $kind, $number, $until);
    }, map { my $kind = $_; map { [$client, $kind, "$pipelining-$_"] } 1 .. 4 } sort keys %kinds);
    sleep 1;
    $frozen = time;
    $cluster->freeze;
    my $all_frozen = time;
    sleep $silence;
    $thawed = time;
    $cluster->thaw;

    my @clients = $finish->();
    my @done = map { @$_ } @clients;
    my @silent = grep { $_->{began} > $all_frozen && $_->{ended} < $thawed } @done;
    cmp_ok scalar @silent, '>=', @clients, "$title: requests are answered while PostgreSQL stands still";
    is_deeply [grep { $_->{status} != 503 || ($_->{retry} // '') ne '1' } @silent], [],
        "$title: each of these answers is 503 with Retry-After";
    is_deeply [grep { my $one = $_; !grep { $_->{began} < $thawed - 7 && $_->{ended} > $frozen && $_->{ended} < $thawed } @$one } @clients], [],
        "$title: each client is answered while PostgreSQL stands still";
    is_deeply [grep { $_->{ended} - $_->{began} > $silence } @done], [],
        "$title: no request waits until PostgreSQL goes on";
    diag sprintf '%s: %d answers in %d s of silence; the slowest took %.1f s (%d s + %d s + %d s are configured), '
        . '%d %% took less than 0.1 s', $title, scalar @silent, $silence,
        max(map { $_->{ended} - $_->{began} } @done), $statement_timeout + 1, $db_timeout, $connect_timeout,
        100 * (grep { $_->{ended} - $_->{began} < 0.1 } @silent) / @silent;

    ok wait_until { all_succeed($client, $at) }, "$title: every kind of request succeeds once PostgreSQL goes on";
    my @writes = grep { $_->{kind} =~ /^create/ } @done;
    is_deeply [grep { stored($_->{name}) != 1 } grep { $_->{status} == 201 } @writes], [],
        "$title: each acknowledged write is stored once";
    is_deeply [grep { stored($_->{name}) > 1 } @writes], [], "$title: no write is stored twice";
    ok scalar($server->error_log =~ /\] SF0032: [^:]+: no answer from the database in 2000 ms$/m),
        "$title: the log says that a statement had no answer";

    # Only the sessions that httpd has at this moment stand still; new ones work.
    my @stuck = sessions();
    $cluster->freeze(@stuck);
    my @answers = at_once(sub { $client->afresh->get($at->{path})->status }, 1 .. 8);
    ok wait_until { all_succeed($client, $at) },
        "$title: while old sessions stand still, requests succeed in new ones";
    is_deeply [grep { Serverless::Cluster::state_of($_) ne 'T' } @stuck], [],
        "$title: the old sessions still stand still then";
    is_deeply [grep { !/^(200|503)$/ } @answers], [], "$title: requests to the old sessions were 503 at worst";
    $cluster->thaw;
}

done_testing;
