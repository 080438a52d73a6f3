# The error log during an outage: of the lines that every refused request would write, a child writes
# one a second, and counts the other ones.
use strict;
use warnings FATAL => 'all';

use Apache::Test qw(-withtestmore);
use Serverless::Cluster;
use Serverless::Parallel;
use Serverless::Server;
use Serverless::Test;
use Test::More;
use Time::HiRes qw(time);

my $cluster = Serverless::Cluster->start('outage');
my $client = Serverless::Client->client(
    $cluster->connect->selectrow_array(q(SELECT * FROM serverless.create_account('outage'))));
# without batches, each refused request has one line to write
my $server = Serverless::Server->start('outage', "ServerlessPipelining Off\n"
    . Serverless::Server->one_child . Serverless::Server->database(host => $cluster->host) . Serverless::Server->api);
$client = $client->at($server->address);
is $client->get('/v1/Services')->status, 200, 'a request before the outage succeeds';

# Sends requests from several clients until each has had so many answers. Returns how often each status came.
sub refused {
    my ($clients, $requests) = @_;
    my %tally;
    $tally{$_}++ for map { @$_ } at_once(sub {
        my $own = $client->afresh;
        return [map { $own->get('/v1/Services')->status } 1 .. $requests];
    }, 1 .. $clients);
    return \%tally;
}

# What the log tells of requests: how many lines stand in it, and how many were left out.
sub told {
    my ($log) = @_;
    my $lines = () = $log =~ /\[RQ[0-9a-f]{32}\] SF\d{4}: /g;
    my $left_out = 0;
    $left_out += $_ for $log =~ /\] SF\d{4}: [^\n]* \(left out (\d+) times\)$/mg;
    return ($lines, $left_out);
}

my $log = '';

sub adds_up {
    my ($requests, $name) = @_;
    my ($lines, $left_out);
    ok wait_until { $log .= $server->error_log; ($lines, $left_out) = told($log); $lines + $left_out >= $requests },
        "$name: the log accounts for each refused request";
    is $lines + $left_out, $requests, "$name: the log accounts for no more than these";
    return $lines;
}

subtest 'PostgreSQL is down' => sub {
    $server->error_log;
    $cluster->tool('stop');
    my $began = time;
    my $tally = refused(8, 500);
    is_deeply $tally, { 503 => 4000 }, 'each of 4,000 requests is refused';
    my $lines = adds_up(4000, 'PostgreSQL is down');
    my $seconds = 1 + int(time - $began);
    cmp_ok $lines, '<=', 2 * ($seconds + 1), 'of two different lines, each stands in the log once a second at most';
    my $all = () = $log =~ /\n/g;
    cmp_ok $all, '<=', 10 * ($seconds + 2), 'the whole log has ten lines a second at most, mod_dbd\'s and the workers\' included';
    diag "$all lines, @{[ length $log ]} bytes in $seconds s for 4000 refused requests";
};

subtest 'PostgreSQL is there again' => sub {
    $cluster->tool('start');
    ok wait_until { $client->get('/v1/Services')->status == 200 }, 'a request after the outage succeeds';
    $server->error_log;
    is_deeply refused(4, 10), { 200 => 40 }, 'each request after the outage succeeds';
    unlike $server->error_log, qr/SF0(?!050)/, 'requests that succeed write no line';
};

done_testing;
