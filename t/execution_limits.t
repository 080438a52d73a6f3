# Calls at the limits, and while children of httpd, isolates and the runner come and go.
use strict;
use warnings FATAL => 'all';

use Apache::Test qw(-withtestmore);
use IO::Socket::INET ();
use POSIX ();
use Serverless::Client;
use Serverless::Parallel;
use Serverless::Project;
use Serverless::Runner;
use Serverless::Server;
use Serverless::Test;
use Serverless::Time;
use Test::More;
use Time::HiRes qw(sleep time);

my $TAIL = 'functions.example.com';
my $account = Serverless::Client->account;
my $runner = Serverless::Runner->start('limits');

# Lines for the workers of httpd: with each MPM, more than an Environment may have calls at a time.
my %workers = (
    threads => "StartServers 2\nServerLimit 4\nThreadsPerChild 24\nMaxRequestWorkers 48\nMinSpareThreads 48\nMaxSpareThreads 48\n",
    prefork => "StartServers 24\nServerLimit 24\nMaxRequestWorkers 24\nMinSpareServers 24\nMaxSpareServers 24\n",
);

# An httpd with the MPM of the run, or with prefork.
sub server {
    my ($name, $lines, $mpm) = @_;
    my $connections = $mpm ? "DBDKeep 1\nDBDMax 1\n" : ''; # of each child
    $mpm //= 'prefork' if ($ENV{MPM} // 'event') eq 'prefork';
    return Serverless::Server->start($name, $workers{ $mpm // 'threads' } . Serverless::Server->database . $connections . $runner->directive
        . "ServerlessDomain $TAIL\nServerlessExecution On\n$lines" . Serverless::Server->api, mpm => $mpm);
}

# Two httpds over one runner and one database. The second one has a child for each call.
my $limits = "ServerlessExecutionTimeout 4s\nServerlessQueueTimeout 5s\n<Location \"/brief\">\nServerlessQueueTimeout 500ms\n</Location>\n";
my @servers = (server('limits1', $limits), server('limits2', $limits, 'prefork'));

# Functions --------------------------------------------------------------------------

sub handler { "exports.handler = (context, event, done) => { $_[0] };\n" }

# Deploys the Functions of these tests to a new Environment. Returns its host.
my @deployed;
sub deployed {
    my $project = Serverless::Project->new($account);
    my $environment = $project->new_environment;
    my %sources = (
        hello => handler(q(done(null, 'Hello'))),
        pid   => handler(q(done(null, String(process.pid)))),
        sleep => handler(q(setTimeout(() => done(null, 'slept'), Number(event.ms)))),
        brief => handler(q(setTimeout(() => done(null, 'slept'), Number(event.ms)))),
        never => handler(q()),
        spin  => handler(q(for (;;);)),
    );
    $project->deploy($environment, $project->completed(
        map { $project->new_deployable(function => $_, $sources{$_}) } sort keys %sources));
    return $environment->{domain_name} =~ s/twil\.io$/$TAIL/r;
}

# Sends a GET to one of the servers. Returns status, body, and the seconds that it took.
sub get {
    my ($host, $path, $server) = @_;
    my $begin = time;
    my $reply = Serverless::Client->client->at(($server // $servers[0])->address)->undescribed
        ->raw_request("GET $path HTTP/1.1", host => $host);
    return { status => $reply->status, body => $reply->body, retry => scalar $reply->header('Retry-After'),
        seconds => time - $begin };
}

# Sends GETs one after the other for some seconds. Returns their number by status, and the longest time.
sub stream_of {
    my ($host, $path, $seconds, $server) = @_;
    my (%count, $longest);
    my $end = time + $seconds;
    while (time < $end) {
        my $got = get($host, $path, $server);
        $count{ $got->{status} }++;
        $longest = $got->{seconds} if $got->{seconds} > ($longest // 0);
    }
    return { %count, longest => $longest };
}

# The statuses of answers, as "200 x 20, 504 x 1".
sub statuses {
    my %count;
    $count{ $_->{status} }++ for @_;
    return join ', ', map { "$_ x $count{$_}" } sort keys %count;
}

my ($one, $two) = (deployed(), deployed());
is get($one, '/hello', $_)->{body}, 'Hello', 'a call at either httpd' for @servers;

# Concurrency ------------------------------------------------------------------------

wait_until { at_once(sub { get($one, '/sleep?ms=2500', $servers[ $_[0] % 2 ]) }, 1 .. 30); (() = $runner->isolates) >= 30 };
my @answers = at_once(sub { get($one, '/brief?ms=3000', $servers[ $_[0] % 2 ]) }, 1 .. 31);
is statuses(@answers), '200 x 30, 429 x 1', '30 calls of an Environment at a time, at both httpds together';
is_deeply [ map { $_->{retry} } grep { $_->{status} == 429 } @answers ], [1], '429 says when to try again';

# A flood of one Environment while another one is served.
my $flood = begin_at_once(sub { stream_of($one, '/sleep?ms=300', 4, $servers[ $_[0] % 2 ]) }, 1 .. 40);
sleep 1;
my @served = map { get($two, '/hello', $servers[ $_ % 2 ]) } 1 .. 40;
my @flooded = $flood->();
is statuses(@served), '200 x 40', 'another Environment is served while one has a flood of calls';
my ($longest) = sort { $b <=> $a } map { $_->{seconds} } @served;
cmp_ok $longest, '<', 2, 'soon';
my %flooded;
for my $stream (@flooded) { $flooded{$_} += $stream->{$_} for grep { /^\d/ } keys %$stream }
is_deeply [ grep { !/^(?:200|429)$/ } keys %flooded ], [], 'calls of the flood are answered or refused';
cmp_ok $flooded{200} // 0, '>', 100, 'and most of them are answered';

# One Function that does not end, beside 20 calls of another one of the same Environment.
for my $path (qw(/never /spin)) {
    my $stuck = begin_at_once(sub { get($one, $path) }, 1);
    my @others = at_once(sub { get($one, '/sleep?ms=100', $servers[ $_[0] % 2 ]) }, 1 .. 20);
    my ($ended) = $stuck->();
    is statuses(@others), '200 x 20', "20 calls beside $path";
    is $ended->{status}, 504, "$path times out";
    cmp_ok $ended->{seconds}, '<', 4.5, 'within half a second of its time';
}

# The children of httpd -----------------------------------------------------------------

# The pids of a server's children that have a call of this kind cannot be told from outside: all are killed.
my $sleeping = begin_at_once(sub { eval { get($one, '/sleep?ms=3000', $servers[1]) } // { status => 'none' } }, 1 .. 5);
sleep 1;
my $leased = $runner->status->{isolates}{leased};
cmp_ok $leased, '>=', 5, 'five isolates have calls';
kill KILL => $servers[1]->children;
my $killed = time;
my $isolates;
wait_until { $isolates = $runner->status->{isolates}; $isolates->{leased} == 0 };
cmp_ok time - $killed, '<', 1, 'after a SIGKILL of all children in mid-call, their leases are back within a second';
is $isolates->{leased}, 0, 'all of them';
wait_until { get($one, '/hello', $servers[1])->{status} eq '200' };
cmp_ok time - $killed, '<', 3, 'new children serve';
is statuses(at_once(sub { get($one, "/sleep?ms=1500", $servers[0]) }, 1 .. 30)), '200 x 30',
    'and the leases of the killed children are free again';
$sleeping->();

# Graceful restarts each second under load.
my $load = begin_at_once(sub { stream_of($_[0] % 2 ? $one : $two, '/hello', 5, $servers[0]) }, 1 .. 8);
for (1 .. 4) { sleep 1; kill USR1 => $servers[0]{pid} }
my %restarted;
for my $stream ($load->()) { $restarted{$_} += $stream->{$_} for grep { /^\d/ } keys %$stream }
is_deeply [ keys %restarted ], ['200'], 'httpd is restarted gracefully each second: no call fails';
cmp_ok $restarted{200}, '>', 100, 'of many';

# Two httpds whose children share one isolate: a line that a child keeps idle is recalled for a call of another child.
my @shared = (server('shared1', "ServerlessConcurrency 1\n"), server('shared2', "ServerlessConcurrency 1\n", 'prefork'));
my $three = deployed();
is get($three, '/pid', $shared[0])->{status}, 200, 'the only isolate is started';
my @recalled = map { get($three, '/pid', $shared[ $_ % 2 ]) } 1 .. 100;
is statuses(@recalled), '200 x 100', 'calls of all children have the only isolate, one after the other';
my %pids = map { $_->{body} => 1 } @recalled;
is scalar(keys %pids), 1, 'the same one each time';
my @times = sort { $a <=> $b } map { $_->{seconds} } @recalled;
cmp_ok $times[50], '<', 0.1, 'soon: an idle line stays for two seconds if no other child wants it';
my @crowd = map { @$_ } at_once(sub { my ($n) = @_; [ map { get($three, '/sleep?ms=5', $shared[ ($_ + $n) % 2 ]) } 1 .. 20 ] }, 1 .. 6);
is statuses(@crowd), '200 x 120', 'and six clients at once are all served in time';
undef @shared;

# The runner -----------------------------------------------------------------------------

$load = begin_at_once(sub { stream_of($one, '/hello', 4, $servers[ $_[0] % 2 ]) }, 1 .. 4);
sleep 1;
$runner->kill_now;
sleep 0.3;
$runner->run;
my %crash;
for my $stream ($load->()) { $crash{$_} += $stream->{$_} for grep { /^\d/ } keys %$stream }
is_deeply [ grep { !/^(?:200|500)$/ } keys %crash ], [], 'a runner that is killed and started again within the queue time: no 503';
cmp_ok $crash{500} // 0, '<=', 4, 'only calls that ran fail';
cmp_ok $crash{200}, '>', 100, 'calls go on';

$load = begin_at_once(sub { stream_of($one, '/hello', 5, $servers[ $_[0] % 2 ]) }, 1 .. 4);
for (1 .. 3) { sleep 1; $runner->reload }
my %reloaded;
for my $stream ($load->()) { $reloaded{$_} += $stream->{$_} for grep { /^\d/ } keys %$stream }
is_deeply [ keys %reloaded ], ['200'], 'a new runner takes over each second: no call fails';

$runner->kill_now;
my @refused = map { get($one, '/hello') } 1 .. 6;
is statuses(@refused), '503 x 6', 'a runner that is away';
is_deeply [ @{ $refused[-1] }{qw(body retry)} ], [ "The service is temporarily unavailable.\n", 1 ], 'with Retry-After';
my ($shortest) = sort { $a <=> $b } map { $_->{seconds} } @refused;
cmp_ok $shortest, '<', 1, 'at once, after a child has waited for the queue time';
my @lines = $servers[0]->error_log =~ /(SF0081: [^\n]*)/g;
is scalar @lines, 1, 'the log says so, once a minute for all children';
like $lines[0], qr/^SF0081: Functions are answered with 503: cannot connect to the runner at \S+: Connection refused/, 'and why';
$runner->run;
ok wait_until { get($one, '/hello')->{status} eq '200' }, 'it comes back';

my $without = Serverless::Server->start('norunner', Serverless::Server->database
    . "ServerlessDomain $TAIL\nServerlessExecution On\n" . Serverless::Server->api);
is get($one, '/hello', $without)->{status}, 503, 'without ServerlessRunner';
like $without->error_log, qr/SF0080: Functions are answered with 503: set ServerlessRunner/, 'the log says what to do';

done_testing;
