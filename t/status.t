# The state of a node: readiness, metrics in the format of Prometheus, the section of mod_status, the parts of requests in
# the access log and the error log, and the notice of a good start.
use strict;
use warnings FATAL => 'all';

use Apache::Test qw(-withtestmore);
use IPC::Open2 qw(open2);
use JSON::PP ();
use LWP::UserAgent ();
use Serverless::Database;
use Serverless::HeldCalls;
use Serverless::Parallel;
use Serverless::Project;
use Serverless::Runner;
use Serverless::Server;
use Serverless::Test;
use Test::More;
use Time::HiRes qw(sleep time);

my $class = 'Serverless::Server';
my $agent = LWP::UserAgent->new(timeout => 120);
my $database = own_database('status');
my $owner = $database->connect('serverless_owner');
my @account = $owner->selectrow_array(q(SELECT * FROM serverless.create_account('status')));
my $label = $database->name . "\@$ENV{DATABASE}";
my ($modules) = do { local (@ARGV, $/) = "$ENV{SOURCE}/modules.conf"; <> =~ m{^LoadModule \S+ +(/\S+)/mod_alias\.so}m };

my $locations = <<"END";
LoadModule status_module $modules/mod_status.so
<Location "/-/health">
    SetHandler serverless-status
</Location>
<Location "/-/metrics">
    SetHandler serverless-metrics
</Location>
<Location "/-/server-status">
    SetHandler server-status
</Location>
END
my $access_log = $class->logs . '/status_access_log';
my $logs = <<"END";
LoadModule log_config_module $modules/mod_log_config.so
LogFormat "%>s %{serverless-operation}n|%{serverless-statements}n|%{serverless-database-time}n|%{serverless-queue-time}n|%D" parts
CustomLog "$access_log" parts
LogLevel serverless_functions:debug
END
$logs =~ s/^LoadModule.*\n// if !-e "$modules/mod_log_config.so"; # Debian's httpd has it built in

my $TAIL = 'functions.example.com';
my $runner = Serverless::Runner->start('status');
my $execution = $runner->directive . <<"END";
ServerlessDomain           $TAIL
ServerlessExecution        On
ServerlessExecutionTimeout 600s
ServerlessConcurrency      1
<Location "/never">
    ServerlessExecutionTimeout 1s
</Location>
<Location "/brief">
    ServerlessQueueTimeout 1s
</Location>
END

sub start {
    my ($name, $lines, %option) = @_;
    return $class->start($name, $class->database(database => $database->name, %option) . $class->api . $locations . $lines, %option);
}

my $server = start('status', $execution . $logs);
my $client = Serverless::Client->client(@account)->at($server->address);

sub ask {
    my ($path, $of) = @_;
    return $agent->get('http://' . ($of || $server)->address . $path);
}

# The metrics as "name{labels}" => value, on the connection of a client: httpd counts a request after its answer, and before
# it reads the next request of the connection.
sub metrics {
    my ($by) = @_;
    my $reply = ($by || $client)->undescribed->get('/-/metrics');
    is $reply->status . ' ' . $reply->header('Content-Type'), '200 text/plain; version=0.0.4; charset=utf-8', 'the metrics are there';
    return { map { /^(\w+(?:\{.*\})?) (\S+)$/ ? ($1 => $2) : () } split /\n/, $reply->body };
}


# Readiness --------------------------------------------------------------------------------------

sub is_state {
    my ($of, $status, $word, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $reply;
    wait_until { $reply = ask('/-/health/ready', $of); $reply->code == $status && $reply->content eq "$word\n" };
    is $reply->code . ' ' . $reply->content, "$status $word\n", $name;
}

subtest 'readiness' => sub {
    my $reply = ask('/-/health/live');
    is_deeply [$reply->code, $reply->content, $reply->header('Cache-Control'), $reply->header('Content-Type')],
        [200, "live\n", 'no-store', 'text/plain; charset=utf-8'], '/live';
    is_state $server, 200, 'ready', '/ready: the node can serve';
    is ask("/-/health$_")->code, 404, "no other path: $_" for '', '/', '/x', '/ready/x';
    is $agent->post('http://' . $server->address . '/-/health/ready')->code, 405, 'no POST';

    my $before = ask('/-/metrics')->content =~ /^serverless_statements_total (\d+)$/m ? $1 : die;
    my $began = time;
    ask('/-/health/ready') for 1 .. 200;
    my $after = ask('/-/metrics')->content =~ /^serverless_statements_total (\d+)$/m ? $1 : die;
    my $seconds = int(time - $began) + 2;
    cmp_ok $after - $before, '<=', 8 * $seconds, "200 requests of /ready cost the database a statement a second";
};

subtest 'not ready' => sub {
    my $other = own_database('unready');
    my $unready = start('unready', '', database => $other->name);
    is_state $unready, 200, 'ready', 'ready at first';
    my $superuser = $other->connect('postgres');
    $superuser->do('REVOKE USAGE ON SCHEMA serverless FROM serverless_httpd');
    is_state $unready, 503, 'schema', 'the schema is not open to the role: schema';
    $superuser->do('GRANT USAGE ON SCHEMA serverless TO serverless_httpd');
    is_state $unready, 200, 'ready', 'ready again';

    my ($account) = $superuser->selectrow_array(q(SELECT * FROM serverless.create_account('keys')));
    $superuser->do('SET session_replication_role = replica');
    $superuser->do(q(INSERT INTO serverless.variables (service_id, environment_id, id, key, sealed_with, sealed, date_created, date_updated)
        SELECT gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 'K', 'unknown-key', decode(repeat('00', 40), 'hex'), now(), now()));
    is_state $unready, 503, 'keys', 'a Variable has a key that the node does not know: keys';
    $superuser->do('DELETE FROM serverless.variables');
    is_state $unready, 200, 'ready', 'ready again';
    is $other->name =~ /\w/ && superuser()->do('ALTER DATABASE ' . $other->name . ' ALLOW_CONNECTIONS false') ? 1 : 0, 1, 'the database is closed';
    superuser()->do('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = ? AND usename = ?', undef, $other->name, 'serverless_httpd');
    is_state $unready, 503, 'database', 'the database takes no connections: database';
    is ask('/-/health/live', $unready)->code, 200, '/live is 200 nevertheless';
    superuser()->do('ALTER DATABASE ' . $other->name . ' ALLOW_CONNECTIONS true');
    $superuser->disconnect;
};


# Metrics ----------------------------------------------------------------------------------------

my $service = $client->post('/v1/Services', UniqueName => 'shop', FriendlyName => 'Shop')->json;
my $at = "/v1/Services/$service->{sid}";

subtest 'metrics count requests and statements' => sub {
    my $before = metrics();
    is $client->get($at)->status, 200, 'a GET' for 1 .. 5;
    is $client->get('/v1/Services/ZS' . '0' x 32)->status, 404, 'a GET of a Service that is missing';
    is $client->get('/v1/Services/ZS' . '0' x 32 . '/none')->status, 404, 'a path without a route';
    my $after = metrics();
    my $gained = sub { ($after->{ $_[0] } // 0) - ($before->{ $_[0] } // 0) };
    is $gained->('serverless_requests_total{method="GET",route="/Services/{ZS}",status="200"}'), 5, 'five requests of the route';
    is $gained->('serverless_requests_total{method="GET",route="/Services/{ZS}",status="404"}'), 1, 'one that is 404';
    is $gained->('serverless_requests_total{method="",route="none",status="404"}'), 1, 'one without a route';
    is $gained->('serverless_request_duration_seconds_count'), 7, 'seven durations of requests';
    cmp_ok $gained->('serverless_statements_total'), '>=', 6, 'a statement for each request that has one';
    is $after->{'serverless_request_duration_seconds_bucket{le="+Inf"}'}, $after->{serverless_request_duration_seconds_count},
        'the last bucket has all of them';
    cmp_ok $gained->('serverless_statement_duration_seconds_sum'), '>', 0, 'statements take time';
    is $after->{"serverless_ready{database=\"$label\"}"}, 1, 'the node is ready';
    like $after->{"serverless_maintenance_last_start_timestamp_seconds{database=\"$label\",task=\"expire_logs\"}"}, qr/^\d+$/,
        'each task of maintenance has its last start';
};

subtest 'counters are those of all children, and outlive a graceful restart' => sub {
    my $before = metrics()->{'serverless_requests_total{method="GET",route="/Services/{ZS}",status="200"}'};
    $server->restart;
    my $fresh = $client->afresh;
    is $fresh->get($at)->status, 200, 'a GET of a new child';
    is metrics($fresh)->{'serverless_requests_total{method="GET",route="/Services/{ZS}",status="200"}'}, $before + 1,
        'is added to those of the children that have ended';
};

subtest 'a wait for a connection' => sub {
    plan skip_all => 'a child of prefork has one request at a time' if Serverless::Server->is_prefork;
    my $narrow = start('status_narrow', "ServerlessPipelining Off\nServerlessDBConnections 1\nServerlessDBTimeout 2s\n$logs", statement_timeout => 300_000);
    my $own = Serverless::Client->client(@account)->at($narrow->address);
    is $own->get($at)->status, 200, 'a GET';
    my $lock = $database->connect('postgres');
    $lock->begin_work;
    $lock->do('LOCK TABLE serverless.services');
    my $replies = begin_at_once(sub { $own->afresh->get($at)->status }, 1 .. 2);
    my @shown;
    wait_until { @shown = ask('/-/server-status?auto', $narrow)->content =~ /^Serverless(ConnectionsInUse|State): (\w+)$/mg; "@shown" =~ /connections/ };
    is_deeply \@shown, ['State', 'connections', 'ConnectionsInUse', 1],
        'the connection is in use, and the state says that none is free';
    wait_until { ask('/-/metrics', $narrow)->content =~ m{^serverless_requests_total\{.*status="503"\} 1$}m };
    $lock->rollback;
    $lock->disconnect;
    is_deeply [sort $replies->()], [200, 503], 'of two requests, the one that waits too long for the connection is 503';
    is_state $narrow, 200, 'ready', 'the node is ready again';
    my $sum = 0;
    $sum += $_ for ask('/-/metrics', $narrow)->content =~ /^serverless_queue_duration_seconds_sum (\S+)$/mg;
    cmp_ok $sum, '>', 1.5, 'the one that waited was in the queue';
};

subtest 'calls of Functions by outcome' => sub {
    my $project = Serverless::Project->new($client->afresh);
    my $environment = $project->new_environment;
    my %sources = (hello => q(done(null, 'Hello')), brief => q(done(null, 'brief')), fails => q(throw new Error('bad')), exits => 'process.exit(3)', never => '',
        headers => q(const r = new Twilio.Response(); for (let i = 0; i < 100; i++) r.appendHeader('X-' + i, 'v'); done(null, r)));
    $project->deploy($environment, $project->completed($project->new_deployable(function => 'held', Serverless::HeldCalls->source), map {
        $project->new_deployable(function => $_, "exports.handler = (context, event, done) => { $sources{$_} };\n") } sort keys %sources));
    my $host = $environment->{domain_name} =~ s/twil\.io$/$TAIL/r;
    my $call = sub {
        my ($line, @with) = @_;
        return Serverless::Client->client->at($server->address)->undescribed->raw_request("$line HTTP/1.1", host => $host, @with)->status;
    };
    my $before = metrics();
    is $call->('GET /hello'), 200, 'a call' for 1 .. 3;
    is $call->('GET /fails'), 500, 'a Function that fails';
    is $call->('GET /headers'), 431, 'an answer with too many headers';
    is $call->('GET /exits'), 500, 'a Function that ends its process';
    is $call->('POST /hello', headers => ['Content-Type: application/json', 'Content-Length: 1'], body => '{'), 400, 'a body that is no event';
    my $held = Serverless::HeldCalls->begin(1, 1, sub { $call->("GET /held?$_[0]") });
    is $call->('GET /brief'), 429, 'a call beyond ServerlessConcurrency';
    is_deeply [$held->end], [200], 'the call beside it';
    is $call->('GET /never'), 504, 'a call without an answer';
    my $after = metrics();
    my $gained = sub { ($after->{ $_[0] } // 0) - ($before->{ $_[0] } // 0) };
    my $outcome = sub { $gained->(qq(serverless_calls_total{outcome="$_[0]"})) };
    is_deeply { map { $_ => $outcome->($_) } qw(failed bad_request refused timed_out) }, { failed => 3, bad_request => 1, refused => 1, timed_out => 1 },
        'calls that were not answered, by outcome';
    is $outcome->('answered'), 4, 'calls that were answered';
    cmp_ok $gained->('serverless_cold_calls_total'), '>=', 2, 'an isolate was started for the first call, and after the one that had ended';
    is $gained->('serverless_call_duration_seconds_count'), 9, 'durations of all calls that had an isolate';
    cmp_ok $gained->('serverless_call_duration_seconds_sum'), '>', 0.9, 'the one without an answer took its time';
    cmp_ok $gained->('serverless_isolate_wait_duration_seconds_sum'), '>', 0.9, 'the one that was refused has waited';
    my %status = map { $_ => $gained->(qq(serverless_domain_requests_total{status="$_"})) } qw(400 429 431 504 other);
    is_deeply \%status, { 400 => 1, 429 => 1, 431 => 1, 504 => 1, other => 0 }, 'requests to domains, by status';

    $runner->kill_now;
    ok wait_until { $call->('GET /brief') == 503 }, 'a call without a runner';
    cmp_ok metrics()->{'serverless_calls_total{outcome="unavailable"}'}, '>=', 1, 'is unavailable';
    $runner->run;
    ok wait_until { $call->('GET /hello') == 200 }, 'a call of the next runner';
};

# Checks what metrics and mod_status say of the runner. A runner that does not answer in half a second is away.
sub is_shown {
    my ($value, $word) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $shown;
    wait_until {
        $shown = join ' ', ask('/-/metrics')->content =~ /^serverless_runner_ready (\d)$/m,
            ask('/-/server-status?auto')->content =~ /^ServerlessRunner: (\w+)$/m;
        $shown eq "$value $word";
    };
    is $shown, "$value $word", 'serverless_runner_ready and mod_status';
}

subtest 'readiness and the runner' => sub {
    is_state $server, 200, 'ready', 'the runner answers';
    is_shown 1, 'ready';
    my $isolates = sub {
        my $now = metrics();
        return join ', ', map { "$_ " . $now->{qq(serverless_isolates{state="$_"})} } qw(starting idle leased ending);
    };
    my $idle = 'starting 0, idle 1, leased 0, ending 0';
    ok wait_until { $isolates->() eq $idle }, 'serverless_isolates, by state' or diag $isolates->();
    is metrics()->{serverless_leases_waiting}, 0, 'serverless_leases_waiting';
    ok wait_until { ask('/-/server-status?auto')->content =~ /^ServerlessIsolatesIdle: 1\nServerlessIsolatesLeased: 0$/m },
        'mod_status has the isolates';
    $runner->kill_now;
    is_state $server, 503, 'runner', 'it is away: runner';
    is_shown 0, 'away';
    is $isolates->(), 'starting 0, idle 0, leased 0, ending 0', 'no isolates are known then';
    $runner->run;
    is_state $server, 200, 'ready', 'ready again';
    kill STOP => $runner->pid;
    is_state $server, 503, 'runner', 'it hangs: runner';
    my $began = time;
    is_deeply [at_once(sub { ask('/-/health/ready')->code }, 1 .. 8)], [(503) x 8], 'eight requests at once';
    note sprintf 'they take %.1f s', time - $began;
    kill CONT => $runner->pid;
    is_state $server, 200, 'ready', 'ready again';
};

subtest 'the format' => sub {
    my $text = ask('/-/metrics')->content;
    my ($linter) = grep { -x } map { "$_/promtool" } split /:/, $ENV{PATH};
    plan skip_all => 'promtool is not installed' if !$linter;
    my $pid = open2(my $out, my $in, "$linter check metrics 2>&1");
    print $in $text;
    close $in;
    my $said = do { local $/; <$out> } // '';
    waitpid $pid, 0;
    is_deeply [$? >> 8, $said], [0, ''], 'promtool has nothing to complain of';
    is scalar `$linter check rules $ENV{SOURCE}/conf/monitoring/alerts.yml` =~ /SUCCESS: (\d+) rules/, 1, 'the alert rules are valid';
};

subtest 'dashboard and alert rules name metrics that exist' => sub {
    my $text = ask('/-/metrics')->content;
    my %type = $text =~ /^# TYPE (\w+) (\w+)$/mg;
    my %there = map { my $name = $_; map { ("$name$_" => 1) } $type{$name} eq 'histogram' ? ('_bucket', '_sum', '_count') : ('') } keys %type;
    my %shown;
    for my $file ('grafana.json', 'alerts.yml') {
        my $source = do { local (@ARGV, $/) = "$ENV{SOURCE}/conf/monitoring/$file"; <> };
        JSON::PP::decode_json($source) if $file =~ /json/;
        my @named = $source =~ /\b(serverless_\w+)/g;
        cmp_ok scalar @named, '>', 8, "$file names metrics";
        is_deeply [grep { !$there{$_} } @named], [], "$file: each of them exists";
        $shown{$_} = 1 for map { s/_(?:bucket|sum|count)$//r } @named;
    }
    is_deeply [grep { !$shown{$_} } sort keys %type], [], 'each metric is shown by one of them';
    my $manual = do { local (@ARGV, $/) = "$ENV{SOURCE}/docs/operations/monitoring.md"; <> };
    is_deeply [grep { $manual !~ /`$_`/ } sort keys %type], [], 'docs/operations/monitoring.md has each metric';
};


# mod_status and logs ----------------------------------------------------------------------------

subtest 'mod_status' => sub {
    my $text = ask('/-/server-status?auto')->content;
    like $text, qr/^ServerlessDatabase: \Q$label\E\nServerlessState: ready\nServerlessBuildsWaiting: 0\n/m, 'lines of ?auto';
    like $text, qr/^ServerlessStatements: [1-9]\d*$/m, 'with the counters';
    my $page = ask('/-/server-status')->content;
    like $page, qr{<h1>mod_serverless_functions</h1>.*<td>state</td><td>ready</td>.*<td>statements</td><td>\d+</td>}s, 'a table of the page';
};

subtest 'parts of a request in the logs' => sub {
    $server->error_log;
    is $client->get($at)->status, 200, 'a GET';
    my @lines;
    metrics(); # on the same connection, so the GET is logged
    @lines = grep { /^200 GET/ } do { local @ARGV = $access_log; <> };
    my ($operation, $statements, $database_time, $queue_time, $duration) = $lines[-1] =~ /^200 (.*)\|(\d+)\|(\d+)\|(\d+)\|(\d+)$/;
    is $operation, 'GET /Services/{ZS}', 'serverless-operation';
    cmp_ok $statements, '>=', 1, 'serverless-statements';
    cmp_ok $database_time, '>', 0, 'serverless-database-time';
    cmp_ok $database_time, '<=', $duration, 'is a part of the whole';
    cmp_ok $queue_time, '<=', $database_time, 'serverless-queue-time is a part of that';
    my $log = '';
    ok wait_until { ($log .= $server->error_log)
        =~ m{\[RQ[0-9a-f]{32}\] SF0106: GET /Services/\{ZS\}: 200 in \d+ us, of which $statements statements $database_time us, of which waits $queue_time us$}m },
        'at level debug, the error log has a line with the parts' or diag $log;
};

subtest 'the notice of a good start' => sub {
    my $version = do { local (@ARGV, $/) = "$ENV{SOURCE}/VERSION"; <> =~ s/\n//r };
    my $started = start('start_notice', Serverless::Server->workers(2, 16, prefork => 2));
    my $log = '';
    wait_until { ($log .= $started->error_log) =~ /SF0105/ };
    sleep 0.5;
    $log .= $started->error_log;
    my @notices = $log =~ /SF0105: (.*)$/mg;
    is scalar @notices, 1, 'one line';
    my $pipelining = ($ENV{PIPELINING} // 'On') eq 'On' && !Serverless::Server->is_prefork ? 'on' : 'off';
    like $notices[0], qr/^mod_serverless_functions \Q$version\E serves: schema \d+, database \Q$label\E, 1 keys of Variables, node none, pipelining $pipelining, 4 connections in each child, Functions are not executed$/,
        'with versions, database, keys, node and connections';
    undef $started;
    my %notice = ("runner @{[ $runner->directive =~ /(\S+)$/ ]} with isolation none" => $runner->directive,
        'runner /nowhere/control, which does not answer: No such file or directory' => "ServerlessRunner /nowhere/control\n");
    for my $text (sort keys %notice) {
        my $said;
        ok wait_until { # a runner that does not answer in half a second is away
            my $executing = start('start_runner', $notice{$text});
            $said = '';
            wait_until { ($said .= $executing->error_log) =~ /SF0105/ };
            $said =~ /SF0105: .* connections in each child, \Q$text\E$/m;
        }, $text or diag $said;
    }
};

undef $server;
$owner->disconnect;

done_testing;
