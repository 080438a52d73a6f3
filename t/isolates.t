# How many isolates an Environment has while calls come: another one where calls wait without a break, a spare one beside a
# call that lasts, one in place of one that was killed; and calls go on where another one does not start.
#
# t/unit/isolate_pool_test.c has the runner's part.
use strict;
use warnings FATAL => 'all';

use Apache::Test qw(-withtestmore);
use HTTP::Tiny ();
use Serverless::Client;
use Serverless::HeldCalls;
use Serverless::Parallel;
use Serverless::Project;
use Serverless::Runner;
use Serverless::Server;
use Serverless::Test;
use Serverless::Time;
use Test::More;

my $TAIL = 'functions.example.com';
my $CLIENTS = 8;
my $prefork = Serverless::Server->is_prefork;
my $account = Serverless::Client->account;

# Isolates that do not start as long as a file is there.
my $mark = Serverless::Server->logs . "/isolates-mark-$$";
my $program = "$ENV{HOME}/isolates.js";
write_file($program, "if (require('fs').existsSync('$mark')) { process.exit(4); }\n"
    . "process.argv.splice(1, 1, '$ENV{SOURCE}/runtime/isolate/main.js');\nrequire('$ENV{SOURCE}/runtime/isolate/main.js');\n");
my $runner = Serverless::Runner->start('isolates', isolate => $program);

my $server = Serverless::Server->start('isolates', Serverless::Server->workers(1, 24, prefork => 24) . Serverless::Server->database
    . $runner->directive . "ServerlessDomain $TAIL\nServerlessExecution On\nServerlessExecutionTimeout 600s\nServerlessQueueTimeout 300s\n"
    . qq(<Location "/never">\n    ServerlessExecutionTimeout 2s\n</Location>\n) . Serverless::Server->api);

my $project = Serverless::Project->new($account);

sub write_file {
    my ($path, $text) = @_;
    open my $file, '>', $path or die "$path: $!\n";
    print $file $text;
    close $file or die "$path: $!\n";
}

sub handler { "exports.handler = (context, event, done) => { $_[0] };\n" }

# A new Environment with the Functions of these tests. Returns its host.
sub deployed {
    my $environment = $project->new_environment;
    my %sources = (
        hello => handler(q(done(null, 'Hello'))),
        # Takes a processor for two milliseconds: eight such calls, one after the other, wait for less than an isolate takes to start.
        short => handler(q(const end = process.hrtime.bigint() + 2000000n; while (process.hrtime.bigint() < end); done(null, 'short'))),
        held  => Serverless::HeldCalls->source,
        never => handler(q()),
    );
    $project->deploy($environment, $project->completed(map { $project->new_deployable(function => $_, $sources{$_}) } sort keys %sources));
    return $environment->{domain_name} =~ s/twil\.io$/$TAIL/r;
}

# The isolates of the runner: starting, idle and leased ones.
sub isolates {
    my $isolates = $runner->status->{isolates};
    return $isolates->{starting} + $isolates->{idle} + $isolates->{leased};
}

# Sends a GET with the connection of a client. Returns the status.
my ($port) = $server->address =~ /:(\d+)$/;
sub get {
    my ($http, $host, $path) = @_;
    return $http->get("http://$host:$port$path", { peer => '127.0.0.1' })->{status};
}

sub client { return HTTP::Tiny->new(keep_alive => 1, timeout => 650) }

# Has clients call a Function, each one call after the other, while the code waits for something. Returns what the code has
# returned, and the statuses of the calls.
sub beside_calls {
    my ($host, $path, $code) = @_;
    my $end = Serverless::Server->logs . "/isolates-end-$$-$host";
    my $finish = begin_at_once(sub {
        my $http = client();
        my %count;
        $count{ get($http, $host, $path) }++ while !-e $end;
        return \%count;
    }, 1 .. $CLIENTS);
    my $result = $code->();
    write_file($end, '');
    my %sum;
    for my $count ($finish->()) { $sum{$_} += $count->{$_} for keys %$count }
    note join ', ', map { "$_ x $sum{$_}" } sort keys %sum;
    return $result, join ' ', sort keys %sum;
}

# Ends all isolates.
sub end_isolates {
    $runner->kill_now;
    $runner->run;
    return;
}

my $processors = () = do { open my $in, '<', '/proc/cpuinfo' or die; join '', <$in> } =~ /^processor\b/mg;

SKIP: {
    skip 'each child of prefork has one call', 1 if $prefork;
    skip 'another isolate would have no processor', 1 if $processors < 2;

    my $host = deployed();
    my ($started, $statuses) = beside_calls($host, '/short', sub { wait_until { isolates() >= 2 } });
    ok $started, 'calls that wait without a break, each for less than a start takes: another isolate';
    is $statuses, '200', 'and all are answered';
}

SKIP: {
    skip 'each child of prefork has one call', 1 if $prefork;

    end_isolates();
    my $host = deployed();
    my $held = Serverless::HeldCalls->begin(1, 1, sub { get(client(), $host, "/held?$_[0]") });
    is isolates(), 1, 'a call that lasts has an isolate';
    is get(client(), $host, '/hello'), 200, 'another call has a second one';
    ok wait_until { isolates() == 3 }, 'a third one is there for the calls that come if the next long call takes the second one';
    is_deeply [ $held->end ], [200], 'the long call is answered';
}

{
    end_isolates();
    my $host = deployed();
    is get(client(), $host, '/never'), 504, 'a call that does not end';
    ok wait_until { $runner->status->{isolates}{idle} == 1 }, 'another isolate takes the place of the killed one before the next call';
    my $starts = $runner->status->{starts};
    is get(client(), $host, '/hello'), 200, 'a call';
    is $runner->status->{starts}, $starts, 'has that one';
}

SKIP: {
    skip 'each child of prefork has one call', 1 if $prefork;
    skip 'another isolate would have no processor', 1 if $processors < 2;

    end_isolates();
    my $host = deployed();
    is get(client(), $host, '/hello'), 200, 'an isolate';
    write_file($mark, '');
    my ($again, $statuses) = beside_calls($host, '/short', sub {
        wait_until { $runner->status->{leases}{refused} >= 2 } or return 0;
        unlink $mark;
        return wait_until { isolates() >= 2 };
    });
    ok $again, 'another isolate that does not start is asked for again and again';
    is $statuses, '200', 'meanwhile, calls wait for the isolate that is there';
    like $server->error_log, qr/SF0082: the runner refuses an isolate: start: /, 'and the log says why';
}

done_testing;
