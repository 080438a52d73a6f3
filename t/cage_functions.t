# Functions in the cage, called through httpd. A Function that harms its isolate ends one call, with the cause in the log,
# while 20 calls of another Function of the same Environment succeed. t/cage.t has the cage itself.
use strict;
use warnings FATAL => 'all';

use Apache::Test qw(-withtestmore);
use Serverless::Cage;
use Serverless::Client;
use Serverless::Parallel;
use Serverless::Project;
use Serverless::Runner;
use Serverless::Server;
use Serverless::Test;
use Test::More;

my $obstacle = Serverless::Cage->new->obstacle;
plan skip_all => "no cage on this machine: $obstacle" if defined $obstacle;

my $TAIL = 'functions.example.com';
my $account = Serverless::Client->account;
my $runner = Serverless::Runner->start('cage', isolation => 'bubblewrap', egress => 'none');
my $server = Serverless::Server->start('cage', Serverless::Server->database . $runner->directive . <<"END" . Serverless::Server->api);
ServerLimit 1
StartServers 1
ThreadsPerChild 50
MaxRequestWorkers 50
MinSpareThreads 50
MaxSpareThreads 50
ServerlessDomain $TAIL
ServerlessExecution On
ServerlessMemory 134217728
ServerlessExecutionTimeout 5s
ServerlessQueueTimeout 30s
END

sub handler { "exports.handler = (context, event, done) => { $_[0] };\n" }

# Each Function that does harm: its code, the status of the call, and the cause in the log.
my %harm = (
    exit      => [ 'process.exit(3)', 500, qr/exit 3/ ],
    suicide   => [ 'process.kill(process.pid, 9)', 500, qr/signal 9/ ],
    objects   => [ 'const a = []; for (;;) a.push({ a: [], b: {} })', 500, qr/memory/ ],
    array     => [ 'const a = []; for (;;) a.push(1.5)', 500, qr/memory|signal/ ],
    json      => [ 'JSON.parse("[" + "[1,2],".repeat(1e7) + "1]"); done(null, "parsed")', 500, qr/memory|signal/ ],
    buffers   => [ 'done(null, String(Buffer.alloc(2 ** 30).length))', 500, qr/allocation failed/ ],
    pbkdf2    => [ 'require("crypto").pbkdf2Sync("a", "b", 2e7, 64, "sha512"); done(null, "ready")', 504, qr/timed out/ ],
    command   => [ 'require("child_process").execSync("sleep 30"); done(null, "slept")', 504, qr/timed out/ ],
    regex     => [ '/^(a+)+$/.test("a".repeat(40) + "b"); done(null, "matched")', 504, qr/timed out/ ],
    loop      => [ 'for (;;);', 504, qr/timed out/ ],
);

# Functions that look around. Each answers with JSON.
my %look = (
    read     => 'let r; try { r = require("fs").readFileSync(event.path, "latin1") } catch (e) { r = e.code } done(null, { got: r })',
    connect  => 'const s = require("net").connect(event.path ? { path: event.path } : { port: +event.port, host: "127.0.0.1" }); s.on("connect", () => done(null, { got: "connected" })).on("error", e => done(null, { got: e.code }))',
    signal   => 'let r; try { process.kill(+event.pid, 0); r = "there" } catch (e) { r = e.code } done(null, { got: r })',
    around   => 'const fs = require("fs"); done(null, { root: fs.readdirSync("/").sort(), task: fs.readdirSync("/var/task").sort(), processes: fs.readdirSync("/proc").filter(n => /^\d+$/.test(n)).length, environment: process.env })',
    bomb     => 'const { spawn } = require("child_process"); let n = 0, open = 200; for (let i = 0; i < 200; i++) spawn("sleep", ["20"]).on("spawn", () => { n++; next() }).on("error", next); function next() { if (--open === 0) done(null, { got: n }) }',
    fill     => 'const fs = require("fs"); let n = 0; try { for (let i = 0; i < 100; i++) { fs.writeFileSync("/tmp/" + i, Buffer.alloc(2 ** 20)); n++ } } catch (e) { var code = e.code } done(null, { got: n, code })',
);

my $project = Serverless::Project->new($account);
my $environment = $project->new_environment;
$project->deploy($environment, $project->completed(
    map { $project->new_deployable(function => $_->[0], handler($_->[1])) }
        [ hello => 'done(null, "Hello")' ], (map { [ $_, $harm{$_}[0] ] } sort keys %harm), map { [ $_, $look{$_} ] } sort keys %look));
my $host = $environment->{domain_name} =~ s/twil\.io$/$TAIL/r;

sub get {
    my ($path) = @_;
    return Serverless::Client->client->at($server->address)->undescribed->raw_request("GET $path HTTP/1.1", host => $host);
}

sub look { get($_[0])->json }

is get('/hello')->body, 'Hello', 'a Function in a cage';

subtest 'what a Function sees' => sub {
    my $around = look('/around');
    is_deeply [ grep { !/^(?:bin|dev|etc|lib\w*|opt|proc|sbin|tmp|usr|var)$/ } @{ $around->{root} } ], [], 'no other folders than those of the cage';
    is_deeply $around->{task}, [qw(files handlers manifest.json sha256sums)], 'its Build';
    is $around->{processes}, 2, 'its own process, and the first one of the cage';
    is_deeply [ grep { !/^PWD$/ } keys %{ $around->{environment} } ], [], 'an empty environment';
    my ($folder) = glob "$runner->{folder}/*/manifest.json";
    ($folder) = glob "$runner->{folder}/*/*/manifest.json" if !$folder;
    ok -r $folder, 'outside: the Build is in the cache of the runner';
    my %file = ("the key file" => $ENV{VARIABLE_KEYS}, "the runner's configuration" => $runner->{config}, "the cache of Builds" => $folder);
    is_deeply look("/read?path=$file{$_}"), { got => 'ENOENT' }, "not $_" for sort keys %file;
    my ($socket) = glob "$ENV{DATABASE}/.s.PGSQL.*";
    is_deeply look("/connect?path=$_->[1]"), { got => 'ENOENT' }, "not the socket of the $_->[0]"
        for [ database => $socket ], [ runner => "$runner->{socket}" ];
    my ($port) = $server->address =~ /:(\d+)/;
    is_deeply look("/connect?port=$port"), { got => 'ECONNREFUSED' }, 'not httpd at loopback';
    is_deeply look("/signal?pid=$_->[1]"), { got => 'ESRCH' }, "not the process of the $_->[0]" for [ runner => $runner->pid ], [ suite => $$ ];
};

subtest 'amounts' => sub {
    my $bomb = look('/bomb')->{got};
    ok $bomb > 0 && $bomb < 64, "200 processes: $bomb are started";
    my $fill = look('/fill');
    ok $fill->{got} <= 64 && $fill->{code} eq 'ENOSPC', 'files in /tmp: 64 MB' or diag explain $fill;
};

# Runs one call that does harm beside 20 that do not.
for my $name (sort keys %harm) {
    my (undef, $status, $cause) = @{ $harm{$name} };
    my @got = at_once(sub { my $reply = get($_[0]); return { status => $reply->status, body => $reply->body } }, "/$name", ('/hello') x 20);
    is $got[0]{status}, $status, "$name: $status" or diag explain $got[0];
    is_deeply [ grep { $_->{body} ne 'Hello' } @got[ 1 .. 20 ] ], [], "$name: 20 calls beside it succeed";
    ok wait_until { logs() =~ $cause }, "$name: the log has the cause" or diag logs();
    delete_logs();
}

my %seen;
sub entries { @{ $account->get("/v1/Services/$environment->{service_sid}/Environments/$environment->{sid}/Logs?PageSize=100")->json->{logs} } }
sub logs { join "\n", map { $_->{message} } grep { !$seen{ $_->{sid} } } entries() }
sub delete_logs { $seen{ $_->{sid} } = 1 for entries() }

done_testing;
