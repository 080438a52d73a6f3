# Calls at the limits, and while children of httpd, isolates and the runner come and go.
#
# Calls are held under way by a Function that ends when a file appears, so that nothing here depends on the speed
# of the machine. How long calls take is printed, and not asserted.
use strict;
use warnings FATAL => 'all';

use Apache::Test qw(-withtestmore);
use Serverless::Client;
use Serverless::HeldCalls;
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

# An httpd with the MPM of the run, or with prefork. Two of them have more workers than an Environment may have calls at a time.
# Each child of prefork has a connection to the database.
sub server {
    my ($name, $lines, $mpm, $children) = @_;
    my $connections = $mpm ? "DBDKeep 1\nDBDMax 1\n" : ''; # of each child
    $mpm //= Serverless::Server->mpm;
    my $workers = Serverless::Server->workers(2, 24, prefork => $children // 24, restarts => $mpm ne 'prefork', mpm => $mpm);
    return Serverless::Server->start($name, $workers . Serverless::Server->database . $connections . $runner->directive
        . "ServerlessDomain $TAIL\nServerlessExecution On\n$lines" . Serverless::Server->api, mpm => $mpm);
}

# Two httpds over one runner and one database. The second one has a child for each call.
my $limits = <<'END';
ServerlessExecutionTimeout 600s
ServerlessQueueTimeout     300s
<LocationMatch "^/(?:never|spin)">
    ServerlessExecutionTimeout 2s
</LocationMatch>
<Location "/brief">
    ServerlessQueueTimeout 2s
</Location>
<Location "/hasty">
    ServerlessQueueTimeout 1ms
</Location>
<Location "/away">
    ServerlessQueueTimeout 4s
</Location>
END
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
        brief => handler(q(done(null, 'brief'))),
        hasty => handler(q(done(null, 'hasty'))),
        away  => handler(q(done(null, 'away'))),
        held  => Serverless::HeldCalls->source,
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
        ->raw_request("GET $path HTTP/1.1", host => $host, timeout => 600);
    return { status => $reply->status, body => $reply->body, retry => scalar $reply->header('Retry-After'),
        seconds => time - $begin };
}

# Calls that are held, at the servers in turn; `begun` is how many of them begin.
sub hold {
    my ($host, $count, $begun, @at) = @_;
    return Serverless::HeldCalls->begin($count, $begun, sub {
        my ($query, $number) = @_;
        return eval { get($host, "/held?$query", $at[ $number % @at ]) } // { status => 'none' };
    });
}

# Starts clients that send GETs one after the other, each to a host and a server, until `$load->()` ends them, which
# returns the numbers of answers by status.
my $loads = 0;
sub load {
    my (@clients) = @_;
    my $end = Serverless::Server->logs . "/load-end-$$-" . ++$loads;
    my $finish = begin_at_once(sub {
        my ($host, $server) = @{ $_[0] };
        my %count;
        $count{ get($host, '/hello', $server)->{status} }++ while !-e $end;
        return \%count;
    }, @clients);
    return sub {
        open my $file, '>', $end or die "$end: $!\n";
        my %sum;
        for my $count ($finish->()) { $sum{$_} += $count->{$_} for keys %$count }
        note join ', ', map { "$_ x $sum{$_}" } sort keys %sum;
        return \%sum;
    };
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

{
    my $calls = hold($one, 30, 30, @servers);
    is $runner->status->{isolates}{leased}, 30, '30 calls of an Environment at a time, at both httpds together';
    for my $server (@servers) {
        my $answer = get($one, '/brief', $server);
        is_deeply [ @$answer{qw(status retry)} ], [ 429, 1 ], 'one more is 429 after its queue time, and says when to try again';
    }
    is get($one, '/hasty')->{status}, 429, 'one that waits for less time than a child waits for its own lines: the same';
    is statuses($calls->end), '200 x 30', 'the 30 are answered';
}
{
    my $calls = hold($one, 40, 30, @servers);
    wait_until { $runner->status->{leases}{waiting} == 10 };
    is $runner->status->{leases}{waiting}, 10, 'ten more wait within their queue time';
    my @served = map { get($two, '/hello', $servers[ $_ % 2 ]) } 1 .. 40;
    is statuses(@served), '200 x 40', 'another Environment is served while one has more calls than it may have';
    is statuses($calls->end), '200 x 40', 'those that wait are answered, too';
}

# One Function that does not end, beside 20 calls of another one of the same Environment.
for my $path (qw(/never /spin)) {
    my $stuck = begin_at_once(sub { get($one, $path) }, 1);
    my @others = at_once(sub { get($one, '/sleep?ms=100', $servers[ $_[0] % 2 ]) }, 1 .. 20);
    my ($ended) = $stuck->();
    is statuses(@others), '200 x 20', "20 calls beside $path";
    is $ended->{status}, 504, "$path times out";
    note sprintf '%s took %.1f s of 2 s', $path, $ended->{seconds};
}

# The children of httpd -----------------------------------------------------------------

# The pids of a server's children that have a call of this kind cannot be told from outside: all are killed. The calls
# would go on for minutes.
my $sleeping = hold($one, 5, 5, $servers[1]);
cmp_ok $runner->status->{isolates}{leased}, '>=', 5, 'five isolates have calls';
my $killed = time;
kill KILL => $servers[1]->children;
my $isolates;
wait_until { $isolates = $runner->status->{isolates}; $isolates->{leased} == 0 };
is $isolates->{leased}, 0, 'after a SIGKILL of all children in mid-call, their leases are back';
note sprintf 'after %.1f s', time - $killed;
ok wait_until { get($one, '/hello', $servers[1])->{status} eq '200' }, 'new children serve';
is statuses(hold($one, 30, 30, @servers)->end), '200 x 30', 'and the leases of the killed children are free again';
$sleeping->end;

# Graceful restarts under load.
my $load = load(map { [ $_ % 2 ? $one : $two, $servers[0] ] } 1 .. 8);
$servers[0]->restart for 1 .. 4;
is_deeply [ keys %{ $load->() } ], ['200'], 'httpd is restarted gracefully again and again: no call fails';

# Two httpds whose children share one isolate: a line that a child keeps idle is recalled for a call of another child.
my @shared = (server('shared1', "ServerlessConcurrency 1\n$limits", undef, 8), server('shared2', "ServerlessConcurrency 1\n$limits", 'prefork', 8));
my $three = deployed();
is get($three, '/pid', $shared[0])->{status}, 200, 'the only isolate is started';
my @recalled = map { get($three, '/pid', $shared[ $_ % 2 ]) } 1 .. 100;
is statuses(@recalled), '200 x 100', 'calls of all children have the only isolate, one after the other';
my %pids = map { $_->{body} => 1 } @recalled;
is scalar(keys %pids), 1, 'the same one each time';
my @times = sort { $a <=> $b } map { $_->{seconds} } @recalled;
note sprintf 'the median is %.3f s', $times[50];
cmp_ok $times[10], '<', 1, 'the line is recalled: else each call waits for the two seconds that a child keeps an idle one';
my @crowd = map { @$_ } at_once(sub { my ($n) = @_; [ map { get($three, '/sleep?ms=5', $shared[ ($_ + $n) % 2 ]) } 1 .. 20 ] }, 1 .. 6);
is statuses(@crowd), '200 x 120', 'and six clients at once are all served in time';
undef @shared;

# The runner -----------------------------------------------------------------------------

$load = load(map { [ $one, $servers[ $_ % 2 ] ] } 1 .. 4);
wait_until { $runner->status->{calls} > 20 };
$runner->kill_now;
sleep 0.3;
$runner->run;
wait_until { $runner->status->{calls} > 20 };
my $crash = $load->();
is_deeply [ grep { !/^(?:200|500)$/ } keys %$crash ], [], 'a runner that is killed and started again within the queue time: no 503';
cmp_ok $crash->{500} // 0, '<=', 4, 'only calls that ran fail';

$load = load(map { [ $one, $servers[ $_ % 2 ] ] } 1 .. 4);
for (1 .. 3) { sleep 0.5; $runner->reload }
is_deeply [ keys %{ $load->() } ], ['200'], 'a new runner takes over again and again: no call fails';

$servers[0]->error_log;
$runner->kill_now;
my $away = time;
my @refused = map { get($one, '/away') } 1 .. 6;
is statuses(@refused), '503 x 6', 'a runner that is away';
is_deeply [ @{ $refused[-1] }{qw(body retry)} ], [ "The service is temporarily unavailable.\n", 1 ], 'with Retry-After';
my ($shortest) = sort { $a <=> $b } map { $_->{seconds} } @refused;
cmp_ok $shortest, '<', 2, 'at once, after a child has waited for the queue time of 4 s';
my @lines = $servers[0]->error_log =~ /(SF0081: [^\n]*)/g;
cmp_ok scalar @lines, '<=', 1 + (time - $away) / 60, 'the log says so, once a minute for all children';
like $lines[0], qr/^SF0081: Functions are answered with 503: cannot connect to the runner at \S+: Connection refused/, 'and why';
$runner->run;
ok wait_until { get($one, '/hello')->{status} eq '200' }, 'it comes back';

my $without = Serverless::Server->start('norunner', Serverless::Server->database
    . "ServerlessDomain $TAIL\nServerlessExecution On\n" . Serverless::Server->api);
is get($one, '/hello', $without)->{status}, 503, 'without ServerlessRunner';
like $without->error_log, qr/SF0080: Functions are answered with 503: set ServerlessRunner/, 'the log says what to do';

done_testing;
