# A runner that cannot be used, as calls, the error log and the readiness of the node tell: it is away, it refuses httpd's
# user, it is of another release, it hangs; and Builds whose content is deleted while they are sent to it.
use strict;
use warnings FATAL => 'all';

use Apache::Test qw(-withtestmore);
use LWP::UserAgent ();
use POSIX ();
use Serverless::Client;
use Serverless::Database;
use Serverless::Parallel;
use Serverless::Project;
use Serverless::Runner;
use Serverless::Server;
use Serverless::Test;
use Serverless::Time;
use Socket qw(PF_UNIX SOCK_SEQPACKET);
use Test::More;
use Time::HiRes qw(sleep time);

my $TAIL = 'functions.example.com';
my $database = own_database('runner_away');
my $owner = $database->connect('postgres');
my ($account, $token) = $owner->selectrow_array(q(SELECT * FROM serverless.create_account('runner')));
my $agent = LWP::UserAgent->new(timeout => 120);
my $children = Serverless::Server->workers(2, 8, prefork => 4);

# An httpd with a directive, in which calls wait for `patience`. Where no isolate can be had, that is short.
sub server {
    my ($name, $directive, $patience) = @_;
    $patience //= '500ms';
    return Serverless::Server->start($name, $children . Serverless::Server->database(database => $database->name) . $directive
        . "ServerlessDomain $TAIL\nServerlessExecution On\nServerlessQueueTimeout $patience\n" . Serverless::Server->api
        . qq(<Location "/-/health">\n    SetHandler serverless-status\n</Location>\n));
}

my $runner = Serverless::Runner->start('runner_away');
my $server = server('runner_away', $runner->directive, '60s');
my $api = Serverless::Client->client($account, $token)->at($server->address);

sub host_of { return $_[0]{domain_name} =~ s/twil\.io$/$TAIL/r }

sub answer_of { return "exports.handler = (context, event, done) => done(null, '$_[0]');\n" }

sub get {
    my ($host, $path, $at) = @_;
    my $begin = time;
    my $reply = Serverless::Client->client->at(($at // $server)->address)->undescribed->raw_request("GET $path HTTP/1.1", host => $host);
    return { status => $reply->status, body => $reply->body, seconds => time - $begin };
}

sub ready {
    my ($at) = @_;
    my $reply = $agent->get('http://' . $at->address . '/-/health/ready');
    return $reply->code . ' ' . $reply->content;
}

my $project = Serverless::Project->new($api);
my $environment = $project->new_environment;
my $host = host_of($environment);
$project->deploy($environment, $project->completed($project->new_deployable(function => 'hello', answer_of('Hello'))));
is get($host, '/hello')->{body}, 'Hello', 'a call';

# A runner that answers HELLO as `version`, and hangs then. Returns its process id and a function that returns how often it was
# connected to.
sub false_runner {
    my ($path, $version) = @_;
    unlink $path;
    socket my $listener, PF_UNIX, SOCK_SEQPACKET, 0 or die "socket: $!\n";
    bind $listener, Socket::pack_sockaddr_un($path) or die "$path: $!\n";
    listen $listener, 64 or die "listen: $!\n";
    pipe my $in, my $out or die "pipe: $!\n";
    my $pid = fork // die "fork: $!\n";
    if (!$pid) {
        alarm 900; # whatever happens to the suite
        my @open;
        while (accept my $child, $listener) {
            syswrite $out, '.';
            recv $child, my $hello, 65536, 0;
            send $child, pack('CNa*', 1, 0, qq({"version":$version,"runtimes":[],"isolation":"none","egress":"host"})), 0;
            push @open, $child;
        }
        POSIX::_exit(0);
    }
    close $out;
    $in->blocking(0);
    return ($pid, sub { my $count = sysread $in, my $marks, 65536; $count // 0 });
}

subtest 'a runner that is away' => sub {
    my $hasty = server('runner_hasty', $runner->directive);
    ok wait_until { ready($hasty) eq "200 ready\n" }, 'ready before';
    $runner->kill_now;
    my $away = time;
    ok wait_until { ready($hasty) eq "503 runner\n" }, '/ready: runner';
    is get($host, '/hello', $hasty)->{status}, 503, "call $_" for 1 .. 8;
    at_once(sub { get($host, '/hello', $hasty) }, 1 .. 8) for 1 .. 3;
    my @lines = $hasty->error_log =~ /(SF0081: [^\n]*)/g;
    cmp_ok scalar @lines, '<=', 1 + (time - $away) / 60, 'one line a minute for all children';
    like $lines[0], qr/^SF0081: Functions are answered with 503: cannot connect to the runner at \S+: Connection refused/, 'with the reason';
    $runner->run;
    ok wait_until { ready($hasty) eq "200 ready\n" }, 'ready as soon as it is back';
    ok wait_until { get($host, '/hello')->{status} == 200 }, 'and calls are answered';
};

subtest "a runner that refuses httpd's user" => sub {
    my $strange = Serverless::Runner->start('runner_strange', client => 'daemon');
    my $refused = server('runner_strange', $strange->directive);
    is ready($refused), "503 runner\n", '/ready: runner';
    my @calls = map { get($host, '/hello', $refused) } 1 .. 6;
    is_deeply [ map { $_->{status} } @calls ], [ (503) x 6 ], 'calls are 503';
    like $refused->error_log, qr/SF0081: .*: Connection reset by peer \(is serverless-runner running, and is httpd's user in its configuration\?\)/, 'SF0081';
};

subtest 'a runner of another release' => sub {
    my $socket = Serverless::Server->logs . '/runner_other.sock';
    my ($pid, $connections) = false_runner($socket, 2);
    my $other = server('runner_other', "ServerlessRunner $socket\n");
    $connections->();
    my $begin = time;
    my @calls = map { get($host, '/hello', $other) } 1 .. 6;
    is_deeply [ map { $_->{status} } @calls ], [ (503) x 6 ], 'calls are 503';
    cmp_ok $connections->(), '<=', 80 + 20 * (time - $begin), 'httpd does not connect in a tight loop';
    is ready($other), "503 runner\n", '/ready: runner';
    my $log = $other->error_log;
    is_deeply [ $log =~ /(SF0083: [^\n]*)/g ], ['SF0083: the runner has version 2 of its protocol, and httpd has 1: install both from one release'],
        'SF0083, once';
    unlike $log, qr/SF0081/, 'and no other reason';
    kill KILL => $pid;
    waitpid $pid, 0;
};

# Begins calls, of which there are `count`, of a new Build in a new Environment, whose content cannot be read yet: the table of
# contents is locked. Returns the Environment and the answers of the calls.
sub calls_of_locked_build {
    my ($count, $at, @parts) = @_;
    my $new = $project->new_environment;
    $project->deploy($new, $project->completed(@parts));
    $owner->begin_work;
    $owner->do('LOCK TABLE serverless.content_chunks');
    my $replies = begin_at_once(sub { get(host_of($new), '/f', $at) }, 1 .. $count);
    my $waits = wait_until {
        $owner->selectrow_array(q(SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'serverless.content_chunks'::regclass))
    };
    ok $waits, 'the Build is being sent, and waits for its content';
    return ($new, $replies);
}

sub call_of_locked_build { calls_of_locked_build(1, undef, @_) }

subtest 'a Build whose delivery takes longer than a call waits for an isolate' => sub {
    my $limit = "ServerlessDBTimeout 60s\n" . Serverless::Server->database(database => $database->name, statement_timeout => 60_000);
    my $slow = server('runner_slow', $runner->directive . $limit, '10s');
    my @parts = ($project->new_deployable(function => 'f', answer_of('late')),
        map { $project->new_version(kind => 'asset', path => "/$_", visibility => 'private', content => "part $_") } 1 .. 4);
    my (undef, $replies) = calls_of_locked_build(2, $slow, @parts);
    my ($holder, $next) = ($owner, $database->connect('postgres'));
    for (1 .. 4) { # together longer than ServerlessQueueTimeout and the second that the runner adds; each shorter than its patience
        sleep 3.5;
        $next->begin_work;
        $next->do('LOCK TABLE serverless.content_chunks', { pg_async => 1 }); # waits behind the Build's next part
        $holder->commit;
        $next->pg_result;
        ($holder, $next) = ($next, $holder);
    }
    $holder->commit;
    is_deeply [ map { "$_->{status} $_->{body}" } $replies->() ], [ ('200 late') x 2 ],
        'the call that sends the Build is answered, and the one that waits for it';
};

subtest 'a Build whose content is deleted while it is sent' => sub {
    my $function = $project->new_deployable(function => 'f', answer_of('old'));
    my $newer = $project->new_version(artifact => $function, path => '/f', content => answer_of('new'));
    my $next = $project->completed($newer);
    my ($new, $replies) = call_of_locked_build($function);
    $project->deploy($new, $next);
    $owner->do('SET LOCAL session_replication_role = replica');
    is $owner->do(q(DELETE FROM serverless.content_chunks WHERE bytes = convert_to(?, 'UTF8')), undef, answer_of('old')), 1, 'its content is deleted';
    $owner->commit;
    my ($reply) = $replies->();
    is "$reply->{status} $reply->{body}", '200 new', 'the call is answered by the Build that the Environment has now';
    is $runner->status->{cache}{builds}, 3, 'the runner has that one, and the Builds of the calls before, and no part of the other one';
};

subtest 'a runner that does not take a Build' => sub {
    my $large = $project->new_version(kind => 'asset', path => '/large', visibility => 'private', type => 'application/octet-stream',
        content => join '', map { chr int rand 256 } 1 .. 2_000_000);
    my ($new, $replies) = call_of_locked_build($project->new_deployable(function => 'f', answer_of('late')), $large);
    kill STOP => $runner->pid;
    $owner->commit;
    my ($reply) = $replies->();
    is $reply->{status}, 503, 'the call is 503';
    note sprintf 'after %.1f s; a runner has five', $reply->{seconds};
    like $server->error_log, qr/SF0084: the runner does not take the files of a Build/, 'SF0084';
    is ready($server), "503 runner\n", '/ready: runner';
    kill CONT => $runner->pid;
    ok wait_until { get(host_of($new), '/f')->{body} eq 'late' }, 'the next call sends the Build again';
};

$owner->disconnect;

done_testing;
