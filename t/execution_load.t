# Calls under load while Deployments, Variables, children of httpd, isolates, the runner and PostgreSQL change: what is
# answered is never older than what was answered before, and only calls that ran in what was killed fail.
#
# No assertion is about speed: queues and time limits here are longer than a slow machine takes.
use strict;
use warnings FATAL => 'all';

use Apache::Test qw(-withtestmore);
use HTTP::Tiny ();
use Serverless::Database;
use Serverless::Parallel;
use Serverless::Project;
use Serverless::Runner;
use Serverless::Server;
use Serverless::Test;
use Test::More;
use Time::HiRes qw(sleep time);

# Whatever happens here, the suites after this one need the database.
END { local $?; database('start') }

my $TAIL = 'functions.example.com';
my $CLIENTS = 16;
my $SECONDS = $ENV{FULL} ? 30 : 3;
my $PAUSE = 0.2;   # between two changes

my $database = own_database('execution_load');
my ($account, $token) = $database->connect('postgres')->selectrow_array(q(SELECT * FROM serverless.create_account('load')));
my $runner = Serverless::Runner->start('load');

# Lines for the workers of httpd: three children with eight threads, or as many children as clients.
my $children = Serverless::Server->workers(3, 8, prefork => $CLIENTS, restarts => 1);
my $one_child = Serverless::Server->workers(1, 32, prefork => 4);
my $patient = "ServerlessQueueTimeout 30s\nServerlessExecutionTimeout 120s\n";

# An httpd that executes with a runner.
sub server {
    my ($name, $lines, $by) = @_;
    return Serverless::Server->start($name, Serverless::Server->database(database => $database->name)
        . ($by // $runner)->directive . "ServerlessDomain $TAIL\nServerlessExecution On\n$patient$lines" . Serverless::Server->api);
}

# Two httpds serve calls; a third one, which nothing here ends, serves the API.
my @servers = map { server("load_$_", $children) } 1, 2;
my $api_server = server('load_api', $one_child);
my $api = Serverless::Client->client($account, $token)->at($api_server->address);
my $project = Serverless::Project->new($api);

# Functions and Environments --------------------------------------------------------------------------

sub handler { "exports.handler = (context, event, done) => { $_[0] };\n" }

# A Build of Functions, path => body of the handler.
sub built { my (%body) = @_; return $project->completed(map { $project->new_deployable(function => $_, handler($body{$_})) } sort keys %body) }

sub host_of { my ($environment) = @_; return $environment->{domain_name} =~ s/twil\.io$/$TAIL/r }

# A new Environment with a Build.
sub deployed {
    my ($build) = @_;
    my $environment = $project->new_environment;
    $project->deploy($environment, $build);
    return $environment;
}

my $steady = deployed(built(
    hello => q(console.log('hello'); done(null, 'hello')),
    sleep => q(setTimeout(() => done(null, String(process.pid)), Number(event.ms))),
    pid   => q(done(null, String(process.pid))),
    says  => q(console.log(event.text); done(null, 'said')),
    count => q(const rest = ' ' + 'x'.repeat(500); for (let i = 0; i < Number(event.n); i++) console.log(i + rest); done(null, 'counted')),
));

# Routes are used under a lease from here on.
ok wait_until {
    get(http(), $_, host_of($steady), '/hello') for @servers;
    '50 50' eq join ' ', $database->connect('postgres')->selectrow_array('SELECT route_lease, route_wait FROM serverless.settings');
}, 'each node uses routes for 50 ms';

# Clients -----------------------------------------------------------------------------------------------

# A client with a connection that it keeps.
sub http { return HTTP::Tiny->new(keep_alive => 1, timeout => 150) }

# Sends a GET. Returns { sent, answered, status, body }.
sub get {
    my ($http, $server, $host, $path) = @_;
    my $sent = time;
    my ($port) = $server->address =~ /:(\d+)$/;
    my $response = $http->get("http://$host:$port$path", { peer => '127.0.0.1' });
    return { sent => $sent, answered => time, status => $response->{status}, body => $response->{content} };
}

# Calls a path at the servers in turn as long as `goes_on` is true. Returns the answers.
sub call_while {
    my ($seed, $goes_on, $host, $path, @at) = @_;
    my @http = map { http() } @at;
    my @answers;
    while ($goes_on->()) {
        my $i = $seed++ % @at;
        push @answers, get($http[$i], $at[$i], $host, $path);
    }
    return \@answers;
}

# Starts clients for some seconds. Returns a function that waits for them, and returns the answers.
sub begin_calls {
    my ($seconds, $host, $path, @at) = @_;
    my $until = time + $seconds;
    my $finish = begin_at_once(sub { call_while($_[0], sub { time < $until }, $host, $path, @at) }, 1 .. $CLIENTS);
    return sub { map { @$_ } $finish->() };
}

# The answers that are no success, as texts.
sub failed { return map { "$_->{status}: $_->{body}" } grep { $_->{status} ne '200' } @_ }

# Runs `act` every `pause` seconds, until the time is over.
sub every {
    my ($pause, $seconds, $act) = @_;
    my $until = time + $seconds;
    while (time < $until) {
        my $begin = time;
        $act->();
        my $left = $pause - (time - $begin);
        sleep $left if $left > 0;
    }
    return;
}

# Changes that are seen -----------------------------------------------------------------------------------

# Answers that are older than the last change that was answered before they were sent. `changes` are
# [time of the answer, number].
sub old {
    my ($answers, $changes) = @_;
    my @old;
    for my $answer (grep { $_->{status} eq '200' } @$answers) {
        my ($last) = grep { $_->[0] < $answer->{sent} } reverse @$changes;
        push @old, sprintf '%s after %d, %.1f ms after its answer', $answer->{body}, $last->[1], 1000 * ($answer->{sent} - $last->[0])
            if $last && $answer->{body} < $last->[1];
    }
    return @old;
}

# Changes a number again and again under load; `change` makes the n-th change. `beside` runs in a process of its own
# meanwhile. No call may fail, and no answer may be older than the last change that was answered.
sub is_consistent {
    my ($name, $host, $change, $beside) = @_;
    my $finish = begin_calls($SECONDS, $host, '/number', @servers);
    my $others = begin_at_once($beside // sub { 1 }, 1);
    my @changes;
    my $number = 0;
    every($PAUSE, $SECONDS, sub { push @changes, [time, $number] if $change->(++$number) });
    $others->();
    my @answers = $finish->();
    note scalar(@answers), ' answers, ', scalar(@changes), ' changes';
    cmp_ok scalar @answers, '>', 0, "$name: there are answers";
    cmp_ok scalar @changes, '>', 0, "$name: there are changes";
    is_deeply [ old(\@answers, \@changes) ], [], "$name: no answer is older than the last change that was answered before";
    is_deeply [ failed(@answers) ], [], "$name: no call fails";
    return;
}

# An Environment whose Function answers the number of its Build, and a function that deploys the n-th Build. Builds
# are made before, since that takes longer than deploying them.
sub numbered {
    my $count = $SECONDS / $PAUSE + 1;
    my @builds = map { @$_ } at_once(sub {
        my ($part) = @_;
        my $own = $project->by($api->afresh);
        [ map { [$_, $own->completed($own->new_deployable(function => 'number', handler("done(null, '$_')")))] }
            grep { $_ % 4 == $part } 0 .. $count ];
    }, 0 .. 3);
    my %build = map { @$_ } @builds;
    my $environment = deployed($build{0});
    return (host_of($environment), sub {
        my $build = $build{ $_[0] } or return 0;
        $project->deploy($environment, $build);
        return 1;
    });
}

is_consistent 'Deployments', numbered();

is_consistent 'Deployments while httpd is restarted gracefully each second', numbered(), sub {
    every(1, $SECONDS - 1, sub { kill USR1 => $_->{pid} for @servers });
    return 1;
};

{
    my $environment = deployed(built(number => q(done(null, context.NUMBER))));
    my $variable = $project->create($project->path_of($environment) . '/Variables', Key => 'NUMBER', Value => '0');
    is_consistent 'a Variable', host_of($environment), sub {
        my $reply = $api->post($project->path_of($variable), Value => $_[0]);
        die $reply->status if $reply->status != 200;
        return 1;
    };
}

# A Deployment under load ---------------------------------------------------------------------------------

# A percentile of the seconds that answers took.
sub percentile {
    my ($part, @answers) = @_;
    my @seconds = sort { $a <=> $b } map { $_->{answered} - $_->{sent} } @answers;
    return $seconds[ $part * $#seconds ];
}

{
    my @builds = map { built(number => "done(null, '$_')") } 0 .. 3;
    my $environment = deployed($builds[0]);
    my $host = host_of($environment);
    my $log = Serverless::Server->logs . '/load_cold';
    my $one = server('load_deployments', qq(${one_child}CustomLog "$log" "%{serverless-cold}n"\n));
    # one client: further ones may need further isolates, which a Deployment does not start
    pipe my $switches, my $switch or die "pipe: $!\n"; # has a byte for each Build that has answered
    my $finish = begin_at_once(sub {
        my $http = http();
        my (@answers, %seen);
        my $last = time + 600;
        while (time < $last) {
            push @answers, get($http, $one, $host, '/number');
            next if $seen{ $answers[-1]{body} }++;
            syswrite $switch, '.';
            $last = time + 0.3 if $answers[-1]{body} eq '3';
        }
        return \@answers;
    }, 1);
    close $switch;
    my @deployed;
    for my $build (@builds[1 .. 3]) {
        sysread $switches, my $byte, 1 or die "the client has ended\n";
        sleep 0.3;
        my $begin = time;
        $project->deploy($environment, $build);
        push @deployed, [$begin, time];
    }
    my @answers = map { @$_ } $finish->();
    is_deeply [ failed(@answers) ], [], 'Deployments under load: no call fails';
    my @numbers;
    for my $number (map { $_->{body} } @answers) { push @numbers, $number if !@numbers || $numbers[-1] != $number }
    is_deeply \@numbers, [0 .. 3], 'Deployments under load: calls switch to each Build, once';
    undef $one;
    open my $in, '<', $log or die "$log: $!\n";
    my @cold = grep { /^1/ } <$in>;
    is scalar @cold, 1, 'Deployments under load: the first call has waited for an isolate, and none since';
    my @near = grep { my $sent = $_->{sent}; grep { $sent >= $_->[0] - 0.1 && $sent < $_->[1] + 0.1 } @deployed } @answers;
    note sprintf 'p50 %.1f ms, p99 %.1f ms; at Deployments p50 %.1f ms, p99 %.1f ms, longest %.1f ms',
        map { 1000 * $_ } percentile(0.5, @answers), percentile(0.99, @answers), percentile(0.5, @near), percentile(0.99, @near), percentile(1, @near);
}

# What is killed ------------------------------------------------------------------------------------------

# Kills by `kill` once a second under load, which returns how many calls may have run there. Only those fail, and none
# that is sent two seconds after each server has answered a call again.
sub is_bounded {
    my ($name, $path, $kill) = @_;
    my $end = Serverless::Server->logs . "/load-end-$$-" . time;
    my $calls = begin_at_once(sub { call_while($_[0], sub { !-e $end }, host_of($steady), $path, @servers) }, 1 .. $CLIENTS);
    my $bound = 0;
    sleep 0.5;
    every(1, $SECONDS - 1, sub { $bound += $kill->() });
    for my $server (@servers) {
        wait_until { get(http(), $server, host_of($steady), $path)->{status} eq '200' };
    }
    sleep 2; # in which each child finds out
    my $recovered = time;
    sleep 0.5;
    open my $file, '>', $end or die "$end: $!\n";
    my @answers = map { @$_ } $calls->();
    my @failed = grep { $_->{status} ne '200' } @answers;
    note scalar(@answers), ' answers, ', scalar(@failed), " failed, of $bound at most";
    cmp_ok scalar @failed, '<=', $bound, "$name: only calls that ran there fail" or diag explain [failed(@answers)];
    is_deeply [ failed(grep { $_->{sent} > $recovered } @failed) ], [], "$name: none fails two seconds after each server answers again";
    is_deeply [ failed(map { get(http(), $_, host_of($steady), $path) } @servers) ], [], "$name: calls go on";
    return;
}

is_bounded 'SIGKILL of a child of httpd', '/sleep?ms=20', sub {
    my @children = $servers[0]->children;
    kill KILL => $children[0];
    return $CLIENTS; # each may have had a call there
};

is_bounded 'SIGKILL of an isolate', '/sleep?ms=20', sub {
    my ($isolate) = $runner->isolates;
    return $isolate ? kill KILL => $isolate : 0;
};

is_bounded 'SIGKILL of the runner', '/sleep?ms=20', sub {
    $runner->kill_now;
    $runner->run;
    return $CLIENTS;
};

{
    my $finish = begin_calls($SECONDS + 1, host_of($steady), '/hello', @servers);
    every(1, $SECONDS, sub { $runner->reload });
    my @answers = $finish->();
    is_deeply [ failed(@answers) ], [], 'the runner hands over each second: no call fails';
    cmp_ok scalar @answers, '>', 0, 'the runner hands over each second: there are answers';
}

# PostgreSQL is stopped --------------------------------------------------------------------------------

# The messages of the Logs that begin with a name, with their numbers.
sub messages {
    my ($name) = @_;
    my $rows = eval { $database->connect('postgres')->selectcol_arrayref(
        'SELECT message FROM serverless.logs WHERE starts_with(message, ?)', undef, $name) } or return {};
    my %count;
    $count{$_}++ for @$rows;
    return \%count;
}

{
    my $one = server('load_one', $one_child);
    my $host = host_of($steady);
    # each child knows the route and the Build
    at_once(sub { get(http(), $one, $host, '/sleep?ms=500'); 1 }, 1 .. $CLIENTS);
    my $until = time + $SECONDS + 2;
    my $finish = begin_at_once(sub {
        my ($client) = @_;
        my $http = http();
        my %status;
        for (my $i = 0; time < $until; $i++) {
            my $answer = get($http, $one, $host, "/says?text=stopped-$client-$i");
            $status{"stopped-$client-$i"} = "$answer->{status}: $answer->{body}";
            sleep 0.05;
        }
        return \%status;
    }, 1 .. $CLIENTS);
    sleep 1;
    database('stop');
    my $stopped = time;
    sleep $SECONDS;
    database('start');
    my %status = map { %$_ } $finish->();
    is_deeply [ grep { $_ ne '200: said' } values %status ], [], 'PostgreSQL is stopped: calls of known domains go on';
    my @called = sort keys %status;
    note scalar(@called), ' calls';
    wait_until { keys %{ messages('stopped-') } >= @called };
    is_deeply messages('stopped-'), { map { $_ => 1 } @called }, 'PostgreSQL is back: each entry is there once, and none is missing';
}

# The disk is full ---------------------------------------------------------------------------------------

{
    my $full = Serverless::Runner->start('load_full', under => [ 'prlimit', '--fsize=100000' ]);
    my $one = server('load_disk', $one_child, $full);
    my $large = deployed(built(hello => "done(null, 'large'); // " . 'x' x 200_000 . "\n"));
    my @answers = at_once(sub {
        my $http = http();
        [ map { get($http, $one, host_of($_[0] % 2 ? $steady : $large), '/hello') } 1 .. 10 ];
    }, 1 .. 8);
    is_deeply [ map { $_->{status} } map { @$_ } @answers[1, 3, 5, 7] ], [ (503) x 40 ], 'the disk is full: the Build that does not fit is 503';
    is_deeply [ failed(map { @$_ } @answers[0, 2, 4, 6]) ], [], 'the disk is full: others are served';
}

# Much output --------------------------------------------------------------------------------------------

{
    my $lines = $ENV{FULL} ? 1_000_000 : 100_000;
    my $limit = 16_384; # ServerlessCallLog
    my $one = server('load_lines', $one_child);
    my $host = host_of($steady);
    get(http(), $one, $host, '/hello');
    my $before = $one->peak_memory;
    is get(http(), $one, $host, "/count?n=$lines")->{body}, 'counted', "$lines lines from one call: it is answered";
    cmp_ok $one->peak_memory - $before, '<', 16 * 1024 * 1024, "$lines lines from one call: httpd's memory stays" if !$ENV{SANITIZE};
    my @entries;
    wait_until {
        @entries = @{ $database->connect('postgres')->selectcol_arrayref(
            q(SELECT message FROM serverless.logs WHERE message ~ '^\d+ (x+|earlier)' ORDER BY id)) };
        @entries && $entries[-1] =~ /^@{[ $lines - 1 ]} /;
    };
    my ($dropped) = $entries[0] =~ /^(\d+) earlier entries were dropped$/;
    is_deeply [ map { /^(\d+) x{500}$/ ? $1 : $_ } @entries[1 .. $#entries] ], [ $dropped // 0 .. $lines - 1 ],
        "$lines lines from one call: the last ones, after the number of those before";
    my $bytes = 0;
    $bytes += length for @entries;
    cmp_ok $bytes, '<=', $limit, "$lines lines from one call: within ServerlessCallLog";
    cmp_ok $bytes, '>', $limit / 2, "$lines lines from one call: not much less";
}

# Many Environments ----------------------------------------------------------------------------------------

{
    my ($count, $isolates, $rounds) = $ENV{FULL} ? (1000, 64, 2) : (20, 8, 2);
    my $small = Serverless::Runner->start('load_small');
    my $one = server('load_many', "${one_child}ServerlessIsolates $isolates\n", $small);
    my $build = built(pid => q(done(null, String(process.pid))));
    my @hosts = map { host_of(deployed($build)) } 1 .. $count;
    my @answers = map { @$_ } at_once(sub {
        my ($client) = @_;
        my $http = http();
        my @own = grep { $_ % 4 == $client } 0 .. $count - 1;
        [ map { get($http, $one, $hosts[$_], '/pid') } (@own) x $rounds ];
    }, 0 .. 3);
    is_deeply [ failed(@answers) ], [], "$count Environments on $isolates isolates: none fails";
    my $status = $small->status;
    cmp_ok $status->{isolates}{idle} + $status->{isolates}{leased} + $status->{isolates}{starting}, '<=', $isolates,
        "$count Environments on $isolates isolates: there are no more";
    my $http = http();
    my %pid = map { $_ => get($http, $one, $hosts[$_], '/pid')->{body} } 0 .. $count - 1;
    my @last = $count - $isolates / 2 .. $count - 1;
    my $same = grep { get($http, $one, $hosts[$_], '/pid')->{body} eq $pid{$_} } @last;
    cmp_ok $same, '>=', @last / 2, 'most of the isolates used last are there';
    isnt get($http, $one, $hosts[0], '/pid')->{body}, $pid{0}, 'the isolate used longest ago has made room';
}

done_testing;
