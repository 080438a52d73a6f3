# Functions in the cage, called through httpd. An attack ends one call, with the cause in the log, while 20 calls of another
# Function of the same Environment succeed; t/lib/Serverless/Attacks.pm has how. t/cage.t has the cage itself, and
# t/egress_functions.t attacks by the network.
use strict;
use warnings FATAL => 'all';

use Apache::Test qw(-withtestmore);
use Cpanel::JSON::XS qw(decode_json);
use IO::Socket::INET ();
use IO::Socket::UNIX ();
use Serverless::Attacks;
use Serverless::Cage;
use Serverless::Client;
use Serverless::Cluster;
use Serverless::Runner;
use Serverless::Server;
use Serverless::Test;
use Test::More;

my $obstacle = Serverless::Cage->new->obstacle;
plan skip_all => "no cage on this machine: $obstacle" if defined $obstacle;

my $TAIL = 'functions.example.com';
my $account = Serverless::Client->account;
my $runner = Serverless::Runner->start('cage', isolation => 'bubblewrap', egress => 'none');

# The calls of Functions that do not end are ended early; the others have time on a slow machine, too.
my $workers = Serverless::Server->workers(1, 50, prefork => 32);
my $server = Serverless::Server->start('cage', Serverless::Server->database . $runner->directive . <<"END" . Serverless::Server->api);
$workers
ServerlessDomain $TAIL
ServerlessExecution On
ServerlessMemory 134217728
ServerlessConcurrency 20
ServerlessExecutionTimeout 60s
ServerlessQueueTimeout 60s
<LocationMatch "^/endless-">
    ServerlessExecutionTimeout 4s
</LocationMatch>
END


# Amounts ------------------------------------------------------------------------------

# Functions that use up as much as their event has in `n`: the code, how much does no harm and how much does, the status of the
# call, and its cause. Those whose names begin with "endless" do not end.
my %amount = (
    exit              => [ 'if (+event.n) process.exit(+event.n); done(null, "done")', 0, 3, 500, qr/exit 3/ ],
    suicide           => [ 'process.kill(process.pid, +event.n); done(null, "done")', 0, 9, 500, qr/signal 9/ ],
    objects           => [ 'const a = []; for (let i = 0; i < +event.n; i++) a.push({ a: [], b: {} }); done(null, "done")', 1000, 1e9, 500, qr/memory/ ],
    array             => [ 'const a = []; for (let i = 0; i < +event.n; i++) a.push(1.5); done(null, "done")', 1000, 1e9, 500, qr/memory|signal/ ],
    json              => [ 'JSON.parse("[" + "[1,2],".repeat(+event.n) + "1]"); done(null, "done")', 1000, 1e7, 500, qr/memory|signal/ ],
    buffers           => [ 'Buffer.alloc(+event.n); done(null, "done")', 1024, 2**30, 500, qr/allocation failed/ ],
    processes         => [ 'const { spawn } = require("child_process"); const all = []; let open = +event.n;'
        . ' for (let i = 0; i < +event.n; i++) all.push(spawn("sleep", ["600"]).on("spawn", () => { if (--open === 0) { all.forEach(c => c.kill(9)); done(null, "done") } }))',
        3, 200, 500, qr/spawn sleep EAGAIN/ ],
    mounts            => [ 'const fs = require("fs"); const failed = [];
        const mounts = fs.readFileSync("/proc/self/mounts", "utf8").trim().split("\n").map(line => line.split(" "));
        for (const [, folder, type, options] of mounts) {
            if (type === "proc" || !/^rw\b/.test(options) || !fs.statSync(folder).isDirectory()) continue;
            let i = 0;
            try { for (; i < +event.n; i++) fs.writeFileSync(`${folder}/fill-${i}`, Buffer.alloc(2 ** 20)) } catch (error) { failed.push(`${folder} ${error.code} after ${i} MB`) }
            while (i >= 0) fs.rmSync(`${folder}/fill-${i--}`, { force: true });
        }
        if (failed.length) throw new Error(failed.join(", ")); done(null, "done")', 10, 100, 500, qr{Error: /tmp ENOSPC after 6[0-4] MB$}m ],
    'endless-pbkdf2'  => [ 'require("crypto").pbkdf2Sync("a", "b", +event.n, 64, "sha512"); done(null, "done")', 1000, 2e7, 504, qr/timed out/ ],
    'endless-command' => [ 'require("child_process").execSync("sleep " + event.n); done(null, "done")', 0, 600, 504, qr/timed out/ ],
    'endless-regex'   => [ '/^(a+)+$/.test("a".repeat(+event.n) + "b"); done(null, "done")', 5, 40, 504, qr/timed out/ ],
    'endless-loop'    => [ 'for (let i = 0; i !== +event.n; i++); done(null, "done")', 1000, -1, 504, qr/timed out/ ],
    'endless-forks'   => [ 'require("child_process").execFileSync("/usr/bin/perl", ["-e", "for (my $i = 0; $i != $ARGV[0]; $i++) { fork }", event.n]); done(null, "done")',
        2, 1e9, 504, qr/timed out/ ],
);

my %variables = (variable => 'if (!context.SECRET) throw new Error("there is no SECRET"); done(null, context.SECRET)');
my %look = (
    around => 'const fs = require("fs"); done(null, { root: fs.readdirSync("/").sort(), task: fs.readdirSync("/var/task").sort(), processes: fs.readdirSync("/proc").filter(n => /^\d+$/.test(n)).length, environment: process.env })',
    sql    => 'const s = require("net").connect(event.path ? { path: event.path } : { host: "127.0.0.1", port: +event.port }); const fields = ["user", "serverless_httpd", "database", "serverless", ""].join("\0") + "\0";
        const head = Buffer.alloc(8); head.writeInt32BE(8 + fields.length, 0); head.writeInt32BE(196608, 4);
        s.on("connect", () => s.write(Buffer.concat([head, Buffer.from(fields)]))).on("data", bytes => { s.destroy(); done(null, "answered") }).on("error", done)',
);

my $attacks = Serverless::Attacks->deploy($server, $account, $TAIL, Serverless::Attacks::accesses(), %variables, %look,
    map { $_ => $amount{$_}[0] } keys %amount);
is $attacks->call('hello')->{body}, 'Hello', 'a Function in a cage';

subtest 'what a Function sees' => sub {
    my $around = decode_json($attacks->call('around')->{body});
    is_deeply [ grep { !/^(?:bin|dev|etc|lib\w*|opt|proc|sbin|tmp|usr|var)$/ } @{ $around->{root} } ], [], 'no other folders than those of the cage';
    is_deeply $around->{task}, [qw(files handlers manifest.json sha256sums)], 'its Build';
    is $around->{processes}, 2, 'its own process, and the first one of the cage';
    is_deeply [ grep { !/^PWD$/ } keys %{ $around->{environment} } ], [], 'an empty environment';
};

subtest 'accesses' => sub {
    # another tenant's Build and its isolate
    my $other = Serverless::Attacks->deploy($server, $account, $TAIL, %variables);
    my %before = map { $_ => 1 } $runner->isolates;
    is $other->call('hello')->{body}, 'Hello', 'another Build';
    my ($isolate) = grep { !$before{$_} } $runner->isolates;
    my ($node) = grep { slurp("/proc/$_/cmdline") =~ m{^[^\0]*/node\0} } descendants($isolate); # 24 has another name as a thread

    my ($httpd) = grep { slurp("/proc/$_/environ") ne '' } $server->children;
    my $database = (glob "$ENV{DATABASE}/.s.PGSQL.*")[0];
    local $ENV{PGPORT} = Serverless::Server->free_port;
    my $cluster = Serverless::Cluster->start('port', '-c', 'listen_addresses=127.0.0.1');
    my $listener = IO::Socket::UNIX->new(Local => "\0serverless-test-$$", Listen => 5) or die "abstract socket: $!\n";
    my ($port) = $server->address =~ /:(\d+)/;
    my %file = (
        'the key file' => $ENV{VARIABLE_KEYS}, 'the configuration of the runner' => $runner->{config},
        "another Build's folder" => $runner->builds . "/$other->{build}{sid}/manifest.json",
        "another Environment's isolate: its files" => "/proc/$node/root/var/task/manifest.json",
        "another Environment's isolate: its memory" => "/proc/$node/maps",
        "another process's /proc" => "/proc/$$/status", 'the environment of httpd' => "/proc/$httpd/environ",
    );
    my $connect = q{/usr/bin/perl -MSocket -e 'socket my $s, PF_UNIX, SOCK_%s, 0 or die; connect $s, pack_sockaddr_un(%s) or die "connect: $!\n"'};
    my %command = (
        'a new user namespace' => [ '/usr/bin/unshare --user /bin/true', qr/unshare failed: Operation not permitted/ ],
        'a mount' => [ '/usr/bin/unshare -rm /bin/mount -t tmpfs none /mnt', qr/unshare failed: Operation not permitted/ ],
        'the control socket' => [ sprintf($connect, 'SEQPACKET', qq("$runner->{socket}")), qr/connect: No such file or directory/ ],
        'an abstract socket' => [ sprintf($connect, 'STREAM', qq("\\0serverless-test-$$")), qr/connect: Connection refused/ ],
    );
    my %pid = (httpd => $httpd, 'the runner' => $runner->pid, 'the suite' => $$, "another Environment's isolate" => $node);
    $attacks->refuse([],
        (map { { name => $_, function => 'read', event => { path => $file{$_} }, outside => 'read', cause => qr/ENOENT.*'\Q$file{$_}\E'/ } } sort keys %file),
        (map { { name => $_, function => 'command', event => { line => $command{$_}[0] }, outside => 'done', cause => $command{$_}[1] } } sort keys %command),
        (map { { name => "a signal to $_", function => 'signal', event => { pid => $pid{$_} }, outside => 'there', cause => qr/kill ESRCH/ } } sort keys %pid),
        { name => 'the socket of the database', function => 'sql', event => { path => $database }, outside => 'answered', cause => qr/ENOENT \Q$database\E/ },
        { name => 'the port of the database', function => 'sql', event => { port => $ENV{PGPORT} }, outside => 'answered', cause => qr/ECONNREFUSED 127.0.0.1:$ENV{PGPORT}/ },
        { name => 'httpd at loopback', function => 'connect', event => { host => '127.0.0.1', port => $port }, outside => 'connected', cause => qr/ECONNREFUSED 127.0.0.1:$port/ },
    );
    my $secret = $attacks->add_environment(SECRET => 'of another Environment');
    is $attacks->call('variable', {}, $secret)->{body}, 'of another Environment', 'a Variable, in its own Environment';
    $attacks->expect({ name => "another Environment's Variable", function => 'variable', status => 500, cause => qr/there is no SECRET/ });
};

sub slurp {
    open my $file, '<', $_[0] or return '';
    local $/;
    return <$file> // '';
}

# A process and those below it.
sub descendants {
    my ($pid) = @_;
    return ($pid, map { descendants($_) } split ' ', slurp("/proc/$pid/task/$pid/children"));
}

subtest 'amounts' => sub {
    is_deeply { map { $_ => $attacks->call($_, { n => $amount{$_}[1] }) } keys %amount },
        { map { $_ => { status => 200, body => 'done' } } keys %amount }, 'small ones do no harm';
    for my $name (sort keys %amount) {
        my (undef, undef, $much, $status, $cause) = @{ $amount{$name} };
        $attacks->expect({ name => $name, function => $name, event => { n => $much }, status => $status, cause => $cause });
    }
};

done_testing;
