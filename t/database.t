# PostgreSQL is down, restarted, hangs, is out of connections or lacks the schema: each client
# gets an answer in time, no acknowledged write is lost, and httpd recovers without a restart.
use strict;
use warnings FATAL => 'all';

use Apache::Test qw(-withtestmore);
use IO::Select ();
use IO::Socket::INET ();
use Serverless::Database;
use Serverless::Parallel;
use Serverless::Server;
use Serverless::Test;
use Serverless::Project;
use Socket qw(SO_RCVBUF SOL_SOCKET inet_aton pack_sockaddr_in);
use Test::More;
use Time::HiRes qw(sleep time);

# Whatever happens here, the suites after this one need the database.
END { local $?; database('start') }

# Expectations ------------------------------------------------------------------

# What a client is told while the database cannot be used: all of it, to the byte.
my $unavailable = '{"code":20503,"message":"The service is temporarily unavailable",'
    . '"more_info":"https://www.twilio.com/docs/errors/20503","status":503}';

sub is_unavailable {
    my ($reply, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    (my $body = $reply->body) =~ s/([:,]) /$1/g;
    is_deeply
        [$reply->status, $body, $reply->header('Retry-After'), $reply->header('Content-Type'),
            scalar $reply->header('Twilio-Request-Id') =~ /^RQ[0-9a-f]{32}$/],
        [503, $unavailable, '1', 'application/json', 1], $name;
}

# A reply, and how many seconds it took. What a request takes at least is asserted, and where it waits for the suite, that it is
# answered before the suite goes on. How much longer it takes is a figure of speed, which is noted.
sub timed {
    my ($request) = @_;
    my $begin = time;
    my $reply = $request->();
    return ($reply, time - $begin);
}

# How often each status came.
sub tally {
    my %times;
    $times{ $_->status }++ for @_;
    return \%times;
}


# What there is to work with -----------------------------------------------------

my $api = Serverless::Client->account;

# A Service with one Function, and each operation on them by name.
sub service_with_function {
    my ($client, $name) = @_;
    my $service = $client->post('/v1/Services', UniqueName => $name, FriendlyName => $name)->json;
    my $functions = "/v1/Services/$service->{sid}/Functions";
    my $function = $client->post($functions, FriendlyName => 'first')->json;
    die "no Function\n" if !$function->{sid};
    return { service => $service, functions => $functions, function => $function,
        path => "$functions/$function->{sid}" };
}

my @operations = (
    ['list Services',     200, sub { $_[0]->get('/v1/Services') }],
    ['fetch a Service',   200, sub { $_[0]->get("/v1/Services/$_[1]{service}{sid}") }],
    ['create a Service',  201, sub { $_[0]->post('/v1/Services', UniqueName => unique(), FriendlyName => 'b') }],
    ['update a Service',  200, sub { $_[0]->post("/v1/Services/$_[1]{service}{sid}", FriendlyName => 'c') }],
    ['list Functions',    200, sub { $_[0]->get($_[1]{functions}) }],
    ['fetch a Function',  200, sub { $_[0]->get($_[1]{path}) }],
    ['create a Function', 201, sub { $_[0]->post($_[1]{functions}, FriendlyName => 'second') }],
    ['update a Function', 200, sub { $_[0]->post($_[1]{path}, FriendlyName => 'third') }],
    ['delete a Function', 204, sub { $_[0]->delete($_[1]{path}) }],
    ['delete a Service',  204, sub { $_[0]->delete("/v1/Services/$_[1]{service}{sid}") }],
);

# The same with a Version of another Function, a completed Build of it, and an
# Environment; and the operations on these.
sub service_with_build {
    my ($client, $name) = @_;
    my $at = service_with_function($client, $name);
    my $project = Serverless::Project->of_service($client, $at->{service});
    my $kept = $project->new_deployable(function => 'kept');
    my $environment = $project->new_environment('stage');
    $at->{version} = $kept->{version}{sid};
    $at->{versions} = $project->path_of($kept) . '/Versions';
    $at->{build} = $project->completed($kept)->{sid};
    $at->{builds} = $project->path('/Builds');
    $at->{environments} = $project->path('/Environments');
    $at->{environment} = $project->path_of($environment);
    $project->deploy($environment, $project->completed($kept));
    $at->{deployments} = "$at->{environment}/Deployments";
    $at->{deployment} = $client->get($at->{deployments})->json->{deployments}[0]{sid};
    return $at;
}

my @more = (
    ['upload a Version', 201, sub {
        $_[0]->upload($_[1]{versions}, [Path => undef, undef, '/new'], [Visibility => undef, undef, 'private'],
            [Content => 'new.js', 'application/javascript', '1'])
    }],
    ['upload a large Version', 201, sub {
        $_[0]->upload($_[1]{versions}, [Path => undef, undef, '/new'], [Visibility => undef, undef, 'private'],
            [Content => 'new.js', 'application/javascript', '1;' x 400_000])
    }],
    ['list Versions',             200, sub { $_[0]->get($_[1]{versions}) }],
    ['fetch a Version',           200, sub { $_[0]->get("$_[1]{versions}/$_[1]{version}") }],
    ['fetch the content',         200, sub { $_[0]->get("$_[1]{versions}/$_[1]{version}/Content") }],
    ['create a Build',            201, sub { $_[0]->post($_[1]{builds}, FunctionVersions => $_[1]{version}) }],
    ['list Builds',               200, sub { $_[0]->get($_[1]{builds}) }],
    ['fetch a Build',             200, sub { $_[0]->get("$_[1]{builds}/$_[1]{build}") }],
    ['fetch the status',          200, sub { $_[0]->get("$_[1]{builds}/$_[1]{build}/Status") }],
    ['create an Environment',     201, sub { $_[0]->post($_[1]{environments}, UniqueName => 'new') }],
    ['list Environments',         200, sub { $_[0]->get($_[1]{environments}) }],
    ['fetch an Environment',      200, sub { $_[0]->get($_[1]{environment}) }],
    ['deploy',                    201, sub { $_[0]->post($_[1]{deployments}, BuildSid => $_[1]{build}) }],
    ['list Deployments',          200, sub { $_[0]->get($_[1]{deployments}) }],
    ['fetch a Deployment',        200, sub { $_[0]->get("$_[1]{deployments}/$_[1]{deployment}") }],
    ['delete an Environment',     204, sub { $_[0]->delete($_[1]{environment}) }],
    ['delete a Build',            204, sub { $_[0]->delete("$_[1]{builds}/$_[1]{build}") }],
    ['delete it all',             204, sub { $_[0]->delete("/v1/Services/$_[1]{service}{sid}") }],
);

# Has this connection's session prepare every statement.
sub warm_up {
    my ($client) = @_;
    my $at = service_with_function($client, unique());
    $_->[2]->($client, $at) for @operations;
}

my $unique = 0;
sub unique { sprintf 'unique-%d-%d', $$, ++$unique }

# Reads and writes from many clients at once, so that every child of httpd has
# several of them: all must succeed.
sub every_request_succeeds {
    my ($at, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my @replies = at_once(sub {
        my $client = $api->afresh;
        return [
            $client->get($at->{path})->status,
            $client->post($at->{functions}, FriendlyName => "one of many")->status,
            $client->get($at->{functions})->status,
        ];
    }, 1 .. 16);
    is_deeply \@replies, [([200, 201, 200]) x 16], $name;
}


# Dead, and back -----------------------------------------------------------------

{
    my $at = service_with_build($api, 'dead');
    my $patient = Serverless::Server->start('patient', "ServerlessDBTimeout 100s\n" . Serverless::Server->database . Serverless::Server->api);
    my $client = $api->at($patient->address);
    database('stop');
    for my $operation (@operations, @more) {
        my ($name, undef, $run) = @$operation;
        my ($reply, $seconds) = timed(sub { $run->($client->afresh, $at) });
        cmp_ok $seconds, '<', 50, "without a database, an answer is quick, and does not wait for a connection: $name";
        is_unavailable $reply, "without a database: $name is 503";
    }
    undef $patient;
    is $api->head($at->{path})->status, 503, 'without a database: HEAD is 503';
    is_unavailable $api->get('/v1/Services/nowhere/Nothing'),
        'without a database: a path that the API does not have is 503, not 404';
    is_unavailable(Serverless::Client->client($api->user, 'wrong')->get('/v1/Services'),
        'without a database: a wrong password is 503, not 401');
    is_error(Serverless::Client->client->get('/v1/Services'), 401, 20003, 'Authenticate',
        'without a database: a request without credentials is 401');

    database('start');
    every_request_succeeds($at, 'the database is back: every request succeeds, in every child');

    is $api->get($at->{path})->status, 200, 'a request before a restart of PostgreSQL is answered';
    database('restart');
    is $api->get($at->{path})->status, 200, 'the next request after a restart of PostgreSQL is answered';
    every_request_succeeds($at, 'every request after a restart of PostgreSQL succeeds, in every child');

    cmp_ok kill_backends(backends()), '>', 0, 'every session of httpd is killed';
    every_request_succeeds($at, 'every request after the sessions were killed succeeds');
}


# Without requests ---------------------------------------------------------------------

# The workers use the database, and log no more than one line at each try.
{
    my $idle = Serverless::Server->start('idle', Serverless::Server->database . Serverless::Server->api);
    select undef, undef, undef, 1.5;
    unlike $idle->error_log, qr/serverless_functions:(?!.* SF0(?:096|105): )/, 'a worker that finds nothing to do is quiet';
    database('stop');
    my ($began, $log) = (time, '');
    my (@lines, @ours);
    ok wait_until {
        @lines = grep { !/^\[[^]]*\] \[mpm_\w+:/ } split /\n/, $log .= $idle->error_log;
        @ours = grep { /\[serverless_functions:/ } @lines;
        2 <= grep { /\] SF000[12]: / } @ours;
    }, 'without a database, the worker logs it';
    cmp_ok scalar @ours, '<=', 2 + (time - $began) / 5,
        'without a database, the worker logs one line every five seconds';
    is_deeply [grep { !/\[serverless_functions:|\[dbd:/ } @lines], [],
        'without a database, only the worker and mod_dbd log lines';
    cmp_ok @lines - @ours, '<=', 2 * @ours,
        "without a database, mod_dbd logs at most two lines for each of the worker's";
    database('start');
    my $project = Serverless::Project->new($api->at($idle->address), 'idle');
    $began = time;
    is $project->completed($project->new_deployable(function => 'hello'))->{status}, 'completed',
        'the database is back: a Build is finished';
    note sprintf 'after %.1f s', time - $began;
    $idle->error_log;
    select undef, undef, undef, 6;
    unlike $idle->error_log, qr/serverless_functions:/, 'with the database back, the worker logs nothing';
}


# A session is lost before each operation -----------------------------------------

{
    my $one = Serverless::Server->start('one', Serverless::Server->database . Serverless::Server->api);
    my $client = $api->at($one->address);
    my $kept = service_with_build($client, unique());
    for my $operation (@operations, @more) {
        my ($name, $status, $run) = @$operation;
        my $at = $name =~ /delete/ ? service_with_build($client, unique()) : $kept;
        kill_backends(backends());
        is $run->($client, $at)->status, $status, "the session was killed before: $name";
    }
}


# A session is lost while its statement runs ----------------------------------------

# The worker looks for Builds at any moment: with one connection only, it cannot have
# the one on which a client's statements are prepared, and leave another.
my $one_connection = "ServerlessDBConnections 1\n" . Serverless::Server->one_child;

# Runs a read into a lock, kills its session there, and lets the rest happen.
sub interrupted {
    my ($client, $run, $at) = @_;
    warm_up($client);
    my $lock = lock_functions();
    my $finish = begin_at_once(sub { $run->($client->afresh, $at) }, 1);
    my $since; # a read that waits for longer than lock_timeout
    wait_until { waiting() ? time - ($since //= time) > 1 : ($since = undef) } or die "nothing waits for the lock\n";
    kill_backends(waiting());
    select undef, undef, undef, 0.1;
    $lock->release;
    return ($finish->())[0];
}

# The same for a write, which sleeps instead, since it holds no session while it waits for a lock.
sub interrupted_write {
    my ($client, $run, $at) = @_;
    warm_up($client);
    my $sleep = slow_writes(60);
    my $finish = begin_at_once(sub { $run->($client->afresh, $at) }, 1);
    wait_until { sleeping() } or die "no write sleeps\n";
    kill_backends(sleeping());
    undef $sleep;
    return ($finish->())[0];
}

{
    my $one = Serverless::Server->start('one',
        $one_connection . Serverless::Server->database . Serverless::Server->api);
    my $client = $api->at($one->address);
    my $at = service_with_function($client, 'interrupted');
    my $before = $at->{function};

    for my $case (
        ['fetch',  sub { $_[0]->get($_[1]{path}) }],
        ['list',   sub { $_[0]->get("$_[1]{functions}?PageSize=1") }],
    ) {
        my ($name, $run) = @$case;
        my $expected = $run->($client, $at)->json;
        $one->error_log;
        is_reply interrupted($client, $run, $at), 200, $expected, "repeated after its session was killed: $name";
        like $one->error_log, qr/executing serverless_artifact_$name failed: SQLSTATE 57P01: /,
            "$name: its statement had begun when the session was killed";
    }

    for my $case (
        ['artifact_update', sub { $_[0]->post($_[1]{path}, FriendlyName => 'changed') }],
        ['artifact_create', sub { $_[0]->post($_[1]{functions}, FriendlyName => 'new') }],
        ['artifact_delete', sub { $_[0]->delete($_[1]{path}) }],
        ['service_delete',  sub { $_[0]->delete("/v1/Services/$_[1]{service}{sid}") }],
    ) {
        my ($name, $run) = @$case;
        $one->error_log;
        is_unavailable interrupted_write($client, $run, $at),
            "$name is not repeated, because it may have been committed: 503";
        like $one->error_log, qr/executing serverless_$name failed: SQLSTATE 57P01: /,
            "$name: its statement had begun when the session was killed";
        is_deeply $client->get($at->{functions})->json->{functions}, [$before],
            "$name: the killed statement changed nothing";
    }
}


# A statement takes too long ---------------------------------------------------------

my $secret = 'Personal-Data';

{
    my $hasty = Serverless::Server->start('hasty', $one_connection
        . Serverless::Server->database(statement_timeout => 1000) . Serverless::Server->api);
    my $client = $api->at($hasty->address);
    warm_up($client);
    my $at = service_with_function($client, 'hasty');
    $hasty->error_log;

    my $lock = lock_functions();
    my %replies;
    for my $case (
        ['fetch',  sub { $client->get($at->{path}) }],
        ['list',   sub { $client->get($at->{functions}, PageSize => 7) }],
        ['create', sub { $client->post($at->{functions}, FriendlyName => $secret) }],
        ['update', sub { $client->post($at->{path}, FriendlyName => $secret) }],
        ['delete', sub { $client->delete($at->{path}) }],
    ) {
        my ($name, $run) = @$case;
        my ($reply, $seconds) = timed($run);
        is_unavailable $reply, "longer than statement_timeout: $name";
        cmp_ok $seconds, '>=', 1, "$name: it is tried for as long as statement_timeout";
        note sprintf '%s: it ends after %.1f s, before the lock is released', $name, $seconds;
        $replies{"serverless_artifact_$name"} = $reply->header('Twilio-Request-Id');
    }
    $lock->release;
    is_deeply $client->get($at->{functions})->json->{functions}, [$at->{function}],
        'statements that exceed statement_timeout change nothing';

    my $log = $hasty->error_log;
    for my $statement (sort keys %replies) {
        my $state = $statement =~ /fetch|list/ ? '57014' : '55P03'; # writes give up the connection as they wait
        like $log, qr/\[$replies{$statement}\] SF0003: executing $statement failed: SQLSTATE $state: \S/,
            "the log has the request's id, the statement $statement and the SQLSTATE";
    }
    unlike_any($log, 'a statement that took too long');

    # PostgreSQL's messages may quote parameters; these must not reach a log or a client.
    db()->do("ALTER TABLE serverless.artifacts ADD CONSTRAINT harmless CHECK (friendly_name <> '$secret')");
    is_error $client->post($at->{functions}, FriendlyName => $secret), 500, 20500,
        'An internal error occurred', 'a row that the database refuses';
    db()->do('ALTER TABLE serverless.artifacts DROP CONSTRAINT harmless');
    $log = $hasty->error_log;
    like $log, qr/\[RQ[0-9a-f]{32}\] SF0003: executing serverless_artifact_create failed: SQLSTATE 23514: .*"harmless"/,
        'the log names the constraint';
    unlike_any($log, 'a violated constraint');

    db()->do("ALTER TABLE serverless.artifacts ADD CONSTRAINT harmless CHECK (friendly_name::int > 0) NOT VALID");
    is_error $client->post($at->{functions}, FriendlyName => $secret), 500, 20500,
        'An internal error occurred', 'a value that the database cannot read';
    db()->do('ALTER TABLE serverless.artifacts DROP CONSTRAINT harmless');
    $log = $hasty->error_log;
    like $log, qr/\[RQ[0-9a-f]{32}\] SF0003: executing serverless_artifact_create failed: SQLSTATE 22P02: \(text withheld/,
        'the log says so, but not which';
    unlike_any($log, 'an unreadable value');
}

# The log has no user's data, and none of PostgreSQL's details.
sub unlike_any {
    my ($log, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my @told = grep { $log =~ /\Q$_/ }
        $secret, $api->password, 'DETAIL', 'CONTEXT', 'STATEMENT', 'SELECT', 'friendly_name';
    is_deeply \@told, [], "$name: the log has no parameter, name or detail";
}


# Every connection is taken ------------------------------------------------------------

SKIP: {
    skip 'a child of prefork has one request and one connection: none waits for another', 1 if Serverless::Server->is_prefork;
    my $small = Serverless::Server->start('small', "ServerlessDBConnections 2\nServerlessDBTimeout 1s\n"
        . Serverless::Server->database(statement_timeout => 300_000) . Serverless::Server->api);
    my $client = $api->at($small->address);
    my $at = service_with_function($client, 'small');
    my $before = $client->get($at->{path})->json;

    my $lock = lock_functions();
    my $finish = begin_at_once(sub { $client->afresh->get($at->{path}) }, 1 .. 2);
    # a read that has waited for 50 ms begins to wait anew, without a limit
    ok wait_until { waiting() == 2 && do { sleep 1; waiting() == 2 } },
        'both connections are held by statements that wait for a lock';

    my $stranger = Serverless::Client->client($api->user, 'wrong')->at($small->address);
    my @requests = (
        (sub { $client->afresh->get($at->{path}) }) x 3,
        (sub { $client->afresh->post($at->{path}, FriendlyName => 'x') }) x 3,
        (sub { $client->afresh->get('/v1/Services') }) x 3,
        (sub { $stranger->afresh->get('/v1/Services') }) x 3);
    my @answers = at_once(sub { my ($request) = @_; return [timed($request)] }, @requests);
    is_unavailable $_->[0], 'a request without a free connection is 503' for @answers;
    my @seconds = sort { $a <=> $b } map { $_->[1] } @answers;
    cmp_ok $seconds[0], '>=', 1, 'a request without a free connection waits for ServerlessDBTimeout';
    note sprintf 'they wait %.1f to %.1f s, and are answered while no connection is free', @seconds[0, -1];
    is scalar waiting(), 2, 'requests without a free connection open none';
    like $small->error_log, qr/\[RQ[0-9a-f]{32}\] SF0005: no database connection was free in time$/m,
        'the log says that no connection was free';

    $lock->release;
    is_reply $_, 200, $before, 'the requests that held the connections are answered' for $finish->();
    $lock = lock_functions();
    $finish = begin_at_once(sub { $client->afresh->get($at->{path}) }, 1 .. 2);
    ok wait_until { waiting() == 2 }, 'both connections can be used again';
    $lock->release;
    is_deeply tally($finish->(), map { $client->afresh->get($at->{path}) } 1 .. 10), { 200 => 12 },
        'every request after the release is answered';
}


# Deletions of Services, which may take long, leave places for the others.
{
    my $server = Serverless::Server->start('long', "ServerlessDBConnections 2\nServerlessDBTimeout 10s\n"
        . Serverless::Server->workers(1, 32, prefork => 8)
        . Serverless::Server->database . Serverless::Server->api);
    my $client = $api->at($server->address);
    my ($at, $doomed) = map { service_with_function($client, $_) } qw(stays goes);
    is $client->get($at->{path})->status, 200, 'a request with two connections is answered';

    my $lock = connect_as('postgres');
    $lock->begin_work;
    $lock->do(q(SELECT FROM serverless.services WHERE serverless.sid('ZS', id) = ? FOR UPDATE), undef,
        $doomed->{service}{sid});
    my $finish = begin_at_once(sub { $client->afresh->delete("/v1/Services/$doomed->{service}{sid}") }, 1 .. 3);
    ok wait_until { waiting() }, 'three concurrent deletions of a locked Service wait for it';
    is $client->afresh->get($at->{path})->status, 200,
        'during these deletions, another request has a connection' for 1 .. 5;
    $lock->rollback;
    $lock->disconnect;
    is_deeply tally($finish->()), { 204 => 1, 404 => 2 }, 'of three concurrent deletions, one is 204 and two are 404';
    unlike $server->error_log, qr/SF0005/, 'each of three concurrent deletions of a locked Service had a connection';

    $doomed = service_with_function($client, 'goes-slowly');
    $client->post($doomed->{functions}, FriendlyName => 'slow');
    my $slowly = slow_deletion(2);
    $finish = begin_at_once(sub { $client->afresh->delete("/v1/Services/$doomed->{service}{sid}") }, 1 .. 3);
    ok wait_until { sleeping() }, 'a deletion of a Service takes long';
    is $client->afresh->get($at->{path})->status, 200,
        'during a long deletion, another request uses the other connection' for 1 .. 5;
    $finish->();
}


# Clients that do not read ------------------------------------------------------------

{
    my $server = Serverless::Server->start('unread', "ServerlessDBConnections 2\nServerlessDBTimeout 10s\n"
        . Serverless::Server->workers(1, 32, prefork => 8)
        . Serverless::Server->database . Serverless::Server->api);
    my $client = $api->at($server->address);
    my $at = service_with_function($client, 'unread');
    add_functions($at->{service}{sid}, 1000, "\x01" x 255); # six bytes of JSON for each
    my $answer = length $client->get($at->{functions}, PageSize => 1000)->body;
    my $requests = 2 + int(kernel_keeps() / $answer);

    my @idle = map { without_reading($server->address, $at->{functions}, $requests) } 1 .. 6;
    ok wait_until { @idle == (() = IO::Select->new(@idle)->can_read(0)) }, 'six clients do not read lists of a thousand rows';
    is_deeply tally(map { $client->afresh->get($at->{path}) } 1 .. 12), { 200 => 12 },
        'slow readers hold no connection: every request beside them is 200';
    is_deeply [map { scalar read_all($_) } @idle], [($requests) x 6],
        'the slow readers get every list whole';
}

# As many lists asked for on one connection as the kernel cannot keep for the client.
sub without_reading {
    my ($address, $path, $times) = @_;
    my ($host, $port) = split /:/, $address;
    socket my $socket, Socket::PF_INET(), Socket::SOCK_STREAM(), 0 or die "socket: $!\n";
    setsockopt $socket, SOL_SOCKET, SO_RCVBUF, 4096 or die "setsockopt: $!\n";
    connect $socket, pack_sockaddr_in($port, inet_aton($host)) or die "connect: $!\n";
    my $head = "Host: $address\r\n" . $api->authorization . "\r\n";
    my $get = "GET $path?PageSize=1000 HTTP/1.1\r\n$head";
    syswrite $socket, ("$get\r\n" x ($times - 1)) . "${get}Connection: close\r\n\r\n" or die "write: $!\n";
    return $socket;
}

# How many whole lists come out of it.
sub read_all {
    my ($socket) = @_;
    setsockopt $socket, SOL_SOCKET, SO_RCVBUF, 1 << 20 or die "setsockopt: $!\n";
    my $text = '';
    1 while sysread $socket, $text, 1 << 20, length $text;
    return scalar(() = $text =~ /"meta":\{[^{}]*\}\}/g);
}

# The most bytes that Linux buffers for sending on one socket.
sub kernel_keeps {
    open my $in, '<', '/proc/sys/net/ipv4/tcp_wmem' or return 4 << 20;
    return (split ' ', <$in>)[2];
}


# A schema that is not the one -----------------------------------------------------------

# Two databases without a schema, and one that has it: its sessions do not make the others' lines repeat.
{
    my @names = map { "serverless_empty_${_}_$$" } 1, 2;
    superuser()->do("CREATE DATABASE $_ OWNER serverless_owner") for @names;
    my %host = map { ($_ => '127.0.0.1:' . Serverless::Server->free_port) } @names, 'serverless';
    my $server = Serverless::Server->start('empty', join '', Serverless::Server->one_child, map {
        "Listen $host{$_}\n<VirtualHost $host{$_}>\n" . Serverless::Server->database(database => $_)
            . Serverless::Server->api . "</VirtualHost>\n"
    } sort keys %host);
    my $client = Serverless::Client->account;
    for my $time ('first', 'second') {
        is_unavailable $client->at($host{$_})->afresh->get('/v1/Services'), "a database without a schema, the $time time" for @names;
        my @replies = at_once(sub { $client->at($host{serverless})->afresh->get('/v1/Services')->status }, 1 .. 8);
        is_deeply [grep { $_ != 200 } @replies], [], '- the other database is used';
    }
    is scalar(() = $server->error_log =~ /\] SF0004: /g), 2, 'each database without a schema has one log line';
    undef $server;
    superuser()->do("DROP DATABASE $_ WITH (FORCE)") for @names;
}

{
    my $name = "serverless_other_$$";
    my @versions = sort { $a <=> $b } map { m{/0*(\d+)_[^/]*$} } glob "$ENV{SOURCE}/sql/schema/*.sql";
    my ($earlier, $version) = @versions[-2, -1];
    my $later = $version + 1;
    superuser()->do("CREATE DATABASE $name OWNER serverless_owner");
    my $owner = connect_as('postgres', $name);
    my $server = Serverless::Server->start('other', Serverless::Server->one_child
        . Serverless::Server->database(database => $name) . Serverless::Server->api);
    my $client = Serverless::Client->client('AC' . '0' x 32, 'secret')->at($server->address);

    my $administer = sub {
        system("$ENV{SOURCE}/bin/serverless-admin -d 'host=$ENV{DATABASE} dbname=$name user=serverless_owner' "
            . "@_ >/dev/null") == 0 or die "serverless-admin @_ failed\n";
    };
    # Whatever is wrong with the schema: 503, and one line for all requests.
    my $complains = sub {
        my ($found, $todo, $name) = @_;
        local $Test::Builder::Level = $Test::Builder::Level + 1;
        is_unavailable $_, $name for map { $client->afresh->get('/v1/Services') } 1 .. 3;
        my $log = $server->error_log;
        is_deeply [$log =~ /\] SF0004: (.*)/g],
            ["$found, this module needs version $version: $todo"], "$name: one log line says what to do";
        cmp_ok scalar(() = $log =~ /\] SF(?!0096)\d+: /g), '<=', 2, "$name: at most one more log line has PostgreSQL's message";
    };
    my $works = sub {
        my ($name) = @_;
        local $Test::Builder::Level = $Test::Builder::Level + 1;
        my @replies = map { $client->afresh->get('/v1/Services') } 1 .. 3;
        is_deeply tally(@replies), { 200 => 3 }, $name;
        unlike $server->error_log, qr/SF0004/, "$name: the log has no line about the schema";
    };

    # httpd checks the schema when it starts, so the line is there before the first request
    my $apply = 'run "serverless-admin schema apply" and "serverless-admin grant ROLE" with the role in '
        . 'DBDParams';
    my $upgrade = 'install the module that was made for it';
    my $absent = 'the database schema is not there, or not open to httpd\'s role';
    $complains->($absent, $apply, 'a database without a schema');
    $administer->('schema', 'apply');
    is_unavailable $client->get('/v1/Services'), "with a schema but without a grant to httpd's role: 503";
    $administer->('grant', 'serverless_httpd');
    my ($sid, $token) = $owner->selectrow_array(q(SELECT * FROM serverless.create_account('other')));
    $client = Serverless::Client->client($sid, $token)->at($server->address);
    $works->('it works as soon as the schema is there');

    for my $case (
        ['a schema of a later version', "the database schema is version $later", $upgrade,
            "INSERT INTO serverless.schema_migrations VALUES ($later, 'later')",
            "DELETE FROM serverless.schema_migrations WHERE version = $later"],
        ['a schema of an earlier version', "the database schema is version $earlier", $apply,
            "DELETE FROM serverless.schema_migrations WHERE version = $version",
            "INSERT INTO serverless.schema_migrations VALUES ($version, 'as it was')"],
        ['a schema without its settings', 'the database schema is empty', $apply,
            q(DELETE FROM serverless.settings),
            q(INSERT INTO serverless.settings (page_token_key) VALUES (serverless.random_bytes()))],
        ['a role without grants', $absent, $apply,
            q(REVOKE USAGE ON SCHEMA serverless FROM serverless_httpd),
            q(GRANT USAGE ON SCHEMA serverless TO serverless_httpd)],
        ['a role that may not read', $absent, $apply,
            q(REVOKE SELECT ON serverless.settings FROM serverless_httpd),
            q(GRANT SELECT ON serverless.settings TO serverless_httpd)],
    ) {
        my ($wrong, $found, $todo, $do, $undo) = @$case;
        $owner->do($do);
        kill_backends(backends()); # it is with a new session that httpd looks
        $complains->($found, $todo, $wrong);
        $owner->do($undo);
        $works->("$wrong: it works again as soon as that is put right");
    }

    undef $server;
    $owner->disconnect;
    superuser()->do("DROP DATABASE $name WITH (FORCE)");
}


# Deleting a whole Service ------------------------------------------------------------------

{
    my $server = Serverless::Server->start('deletion', "ServerlessDeleteTimeout 6s\n$one_connection"
        . Serverless::Server->database(statement_timeout => 500) . Serverless::Server->api);
    my $client = $api->at($server->address);
    my $service = sub {
        my ($functions) = @_;
        my $at = service_with_function($client, unique());
        $client->post($at->{functions}, FriendlyName => 'slow') for 1 .. $functions;
        return $at;
    };
    # a tenth of ServerlessDeleteTimeout, but on a busy machine not each time
    my $own_limit_holds = sub {
        my ($at, $name) = @_;
        my $lock = lock_functions();
        my $reply;
        is_within { $reply = $client->get($at->{path}) } 6, "$name: it ends before the limit of a deletion";
        $lock->release;
        is_unavailable $reply, $name;
    };
    my $slowly = slow_deletion(1);
    my $other = $service->(0);

    my $one = $service->(1);
    is $client->delete("/v1/Services/$one->{service}{sid}")->status, 204,
        'a deletion of a Service may take longer than statement_timeout';
    is $client->get("/v1/Services/$one->{service}{sid}")->status, 404, 'the deleted Service is not found';
    $own_limit_holds->($other, 'a fetch after a long deletion has statement_timeout as its limit');

    my $many = $service->(9);
    my $before = $client->get($many->{functions})->json->{functions};
    my ($reply, $seconds) = timed(sub { $client->delete("/v1/Services/$many->{service}{sid}") });
    is_unavailable $reply, 'a deletion of a Service may not take longer than ServerlessDeleteTimeout';
    cmp_ok $seconds, '>=', 6, 'a deletion of a Service is tried for ServerlessDeleteTimeout';
    note sprintf 'it ends after %.1f s', $seconds;
    is_reply $client->get("/v1/Services/$many->{service}{sid}"), 200, $many->{service},
        'the Service of the ended deletion is unchanged';
    is_deeply $client->get($many->{functions})->json->{functions}, $before,
        'the Service of the ended deletion has all of its Functions';
    $own_limit_holds->($other, 'a fetch after an ended deletion has statement_timeout as its limit');

    is_unavailable $client->delete($before->[0]{url} =~ s/^http:..[^\/]*//r),
        'deleting a single Function has no time but statement_timeout';
}


# What was acknowledged ---------------------------------------------------------------------

{
    my $at = service_with_function($api, 'acknowledged');
    my $latest = time + 120;
    my $finish = begin_at_once(sub {
        my $client = $api->afresh;
        my @created;
        while (time < $latest) {
            my $reply = $client->post($at->{functions}, FriendlyName => 'acknowledged');
            push @created, $reply->json->{sid} if $reply->status == 201;
            last if $reply->status != 201;
        }
        return \@created;
    }, 1 .. 6);
    # at most one of each client's is not acknowledged yet
    wait_until { 12 <= db()->selectrow_array(
        q(SELECT count(*) FROM serverless.artifacts WHERE friendly_name = 'acknowledged')) };
    crash();
    my @acknowledged = map { @$_ } $finish->();
    database('start');

    cmp_ok scalar @acknowledged, '>=', 6, 'clients created Functions until PostgreSQL crashed';
    my %there = map { $_ => 1 } @{ db()->selectcol_arrayref(
        q(SELECT serverless.sid('ZH', f.id) FROM serverless.artifacts AS f)) };
    is_deeply [grep { !$there{$_} } @acknowledged], [], 'every acknowledged Function is stored after the crash';
    is_reply $api->get($at->{path}), 200, $at->{function}, 'the next request sees what was there before';
    every_request_succeeds($at, 'every request after the crash succeeds');
}

# A database of another encoding could not hold every FriendlyName.
{
    superuser()->do(q(CREATE DATABASE latin OWNER serverless_owner ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0));
    my $said = `$ENV{SOURCE}/bin/serverless-admin -d "host=$ENV{DATABASE} dbname=latin user=serverless_owner" schema apply 2>&1`;
    isnt $?, 0, 'the schema is not applied to a database that is not UTF-8';
    like $said, qr/the database must be encoded in UTF8, not SQL_ASCII/, 'the error names the encoding';
    superuser()->do('DROP DATABASE latin');
}

# A development database, of which a part has been renamed since.
{
    my $apply = qq($ENV{SOURCE}/bin/serverless-admin -d "host=$ENV{DATABASE} dbname=serverless user=serverless_owner" schema apply 2>&1);
    db()->do(q(UPDATE serverless.schema_migrations SET name = 'functions' WHERE version = 4));
    my $said = `$apply`;
    isnt $?, 0, 'a schema with another part 4 is not built upon';
    is $said, "serverless-admin: this database was not made by a release: its part 4 is not 004_artifacts. Start with a new one\n",
        'the error names the part of the schema';
    db()->do(q(UPDATE serverless.schema_migrations SET name = 'artifacts' WHERE version = 4));
    is `$apply`, '', 'a schema that is complete is applied again without output';
    is $?, 0, 'a schema that is complete is applied again with success';
}

done_testing;
