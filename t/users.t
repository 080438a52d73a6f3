# httpd, the runner and the database as three users: nobody, daemon and postgres. Functions run as the runner's user, so that
# the files and processes of httpd and the database are out of their reach at each level of isolation; at `none`, nothing else
# protects these. tools/run-tests starts runners and database where it runs as root; this suite and its httpd are nobody's.
use strict;
use warnings FATAL => 'all';

use Apache::Test qw(-withtestmore);
use IO::Socket::UNIX ();
use Serverless::Cage;
use Serverless::Client;
use Serverless::Project;
use Serverless::Server;
use Serverless::Test;
use Test::More;

plan skip_all => 'the test run is not root\'s, and has one user' if !$ENV{USERS};

my ($sid, $token) = $ENV{USERS_ACCOUNT} =~ /\b(AC[0-9a-f]{32})\b.*?\b([0-9a-f]{32})\b/s or die "no account\n";
my $TAIL = 'functions.example.com';
my $database = slurp("$ENV{USERS}/cluster/socket") =~ s/\n//r;
my ($socket) = glob "$database/.s.PGSQL.*";

sub slurp {
    open my $file, '<', $_[0] or die "$_[0]: $!\n";
    local $/;
    return <$file>;
}

# The user that a process runs as, and its command.
sub user_of { (stat "/proc/$_[0]")[4] }
sub command_of { eval { slurp("/proc/$_[0]/cmdline") } // '' }

# Functions, each of which answers with JSON. At the level bubblewrap, a program sees no process of the machine.
my %function = (
    id      => 'done(null, { uid: process.getuid() })',
    read    => 'let r; try { r = require("fs").readFileSync(event.path, "latin1"); r = "read" } catch (e) { r = e.code } done(null, { got: r })',
    write   => 'let r; try { require("fs").writeFileSync(event.path, "x", { flag: "r+" }); r = "written" } catch (e) { r = e.code } done(null, { got: r })',
    signal  => 'let r; try { process.kill(+event.pid, 0); r = "there" } catch (e) { r = e.code } done(null, { got: r })',
    # a client of PostgreSQL: the startup message, and the first byte and the text of the answer
    sql     => 'const s = require("net").connect({ path: event.path }); const fields = ["user", event.role, "database", "serverless", ""].join("\0") + "\0";
        const head = Buffer.alloc(8); head.writeInt32BE(8 + fields.length, 0); head.writeInt32BE(196608, 4);
        s.on("connect", () => s.write(Buffer.concat([head, Buffer.from(fields)])))
         .on("data", bytes => { s.destroy(); done(null, { got: bytes.toString("latin1", 0, 1), text: bytes.toString("latin1", 5) }) })
         .on("error", e => done(null, { got: e.code }))',
);

# A project at an httpd that uses one of the runners.
sub deployed {
    my ($level) = @_;
    my $pid = slurp("$ENV{USERS}/$level.pid") + 0;
    wait_until { -S "$ENV{USERS}/$level/control" || !kill 0, $pid } ;
    -S "$ENV{USERS}/$level/control" or return { obstacle => slurp("$ENV{USERS}/$level.log") };
    my $server = Serverless::Server->start("users_$level", Serverless::Server->database(host => $database)
        . "ServerlessRunner $ENV{USERS}/$level/control\nServerlessDomain $TAIL\nServerlessExecution On\nServerlessQueueTimeout 30s\n"
        . Serverless::Server->one_child . Serverless::Server->api);
    my $project = Serverless::Project->new(Serverless::Client->client($sid, $token)->at($server->address));
    my $environment = $project->new_environment;
    $project->deploy($environment, $project->completed(map {
        $project->new_deployable(function => $_, "exports.handler = (context, event, done) => { $function{$_} };\n") } sort keys %function));
    return { server => $server, runner => $pid, host => $environment->{domain_name} =~ s/twil\.io$/$TAIL/r };
}

sub look {
    my ($at, $path) = @_;
    my $reply = Serverless::Client->client->at($at->{server}->address)->undescribed->raw_request("GET $path HTTP/1.1", host => $at->{host});
    return $reply->status == 200 ? $reply->json : { status => $reply->status, body => $reply->body };
}

# What a refusal is at each level: the user may not, or there is nothing of that name.
my %refused = (none => { file => 'EACCES', process => 'EPERM' }, bubblewrap => { file => 'ENOENT', process => 'ESRCH' });

for my $level (sort keys %refused) {
    subtest "Isolation $level" => sub {
        my $at = deployed($level);
        plan skip_all => "no such runner on this machine: $at->{obstacle}" if $at->{obstacle};
        my ($httpd) = $at->{server}->children;
        my ($postmaster) = grep { command_of($_) =~ m{\Q$ENV{USERS}/cluster/data\E} } map { m{(\d+)$} } glob '/proc/[0-9]*';
        is_deeply [ map { scalar getpwuid user_of($_) } $httpd, $at->{runner}, $postmaster ], [qw(nobody daemon postgres)],
            'httpd, runner and database are three users';
        my $uid = look($at, '/id')->{uid};
        is $uid, $level eq 'none' ? scalar getpwnam 'daemon' : 1000, 'the user that a Function sees';

        my %file = ('the file of Variables\' keys' => $ENV{VARIABLE_KEYS}, 'the key of TLS' => "$ENV{TLS}/server.key",
            'the environment of httpd' => "/proc/$httpd/environ", 'the addresses of httpd\'s memory' => "/proc/$httpd/maps");
        for my $name (sort keys %file) {
            ok length slurp($file{$name}), "outside, as httpd's user: $name";
            is_deeply look($at, "/read?path=$file{$name}"), { got => $refused{$level}{file} }, "inside: $name is refused";
        }
        my %program = ('httpd\'s log' => $at->{server}->error_log_file, 'the program of the isolate' => "$ENV{SOURCE}/runtime/isolate/main.js");
        for my $name (sort keys %program) {
            ok -w $program{$name}, "outside, as httpd's user: $name can be written";
            is_deeply look($at, "/write?path=$program{$name}"), { got => $refused{$level}{file} }, "inside: $name cannot be written";
        }
        ok kill(0, $httpd), 'outside: a signal to httpd';
        is_deeply look($at, "/signal?pid=$_->[1]"), { got => $refused{$level}{process} }, "inside: no signal to $_->[0]"
            for [ httpd => $httpd ], [ 'the database' => $postmaster ];

        ok db_works(), 'outside: a role of the database';
        for my $role (qw(serverless_httpd serverless_owner postgres)) {
            my $got = look($at, "/sql?path=$socket&role=$role");
            if ($level eq 'none') {
                is $got->{got}, 'E', "inside: the database refuses the role $role" or diag explain $got;
                like $got->{text}, qr/Peer authentication failed for user "$role"/, 'because of the user';
            }
            else {
                is_deeply $got, { got => 'ENOENT' }, "inside: no socket of the database for the role $role";
            }
        }
    };
}

# Whether httpd's user may be httpd's role.
sub db_works {
    require DBI;
    return DBI->connect("dbi:Pg:host=$database;dbname=serverless", 'serverless_httpd', '', { PrintError => 0 })->ping;
}

subtest 'the control socket' => sub {
    my $read = 'use Socket; socket my $s, PF_UNIX, SOCK_SEQPACKET, 0 or die; connect $s, pack_sockaddr_un(shift) or die "connect: $!"; send $s, "\1\0\0\0\0{\"version\":1}", 0; recv $s, my $got, 1000, 0; print length $got ? "answered" : "closed"';
    is Serverless::Cage::outside('/usr/bin/perl', '-e', $read, "$ENV{USERS}/none/control")->{output}, 'answered', 'httpd\'s user may connect';
    my ($cache) = glob "$ENV{USERS}/none/cache";
    ok !-w $cache && !opendir(my $folder, "$cache/builds"), 'httpd\'s user can neither read nor change the cache of Builds';
};

done_testing;
