# Background work: one child of an httpd does it, the one that holds a lock. Another child takes the lock
# over when that one ends, also by SIGKILL. A child that has no request gives its connections up.
#
# The httpds here have databases of their own, so that what the database counts is theirs alone.
use strict;
use warnings FATAL => 'all';

use Apache::Test qw(-withtestmore);
use HTTP::Tiny ();
use IO::Socket::INET ();
use JSON::PP ();
use MIME::Base64 qw(encode_base64);
use Serverless::Database;
use Serverless::Server;
use Serverless::Test;
use Test::More;
use Time::HiRes qw(sleep time);

my $EXPIRY = 4;     # DBDExptime, in seconds
my $COUNTED = 10;   # seconds in which statements are counted
# The worker looks for Builds every two seconds, and at once when a request of its httpd has created one. A Build that is
# created when another one has just been completed has this limit of seconds only where the request wakes the worker.
my $WOKEN = 1.5;
my $OF_THE_BACKGROUND_CHILD = 3; # connections besides the one that each child has at its start

my $database = own_database('background');
my ($account, $token) = $database->connect('postgres')->selectrow_array(q(SELECT * FROM serverless.create_account('background')));

# PostgreSQL logs each statement of httpd's role in this database, and no other one of the run.
superuser()->do('ALTER ROLE serverless_httpd IN DATABASE ' . $database->name . q( SET log_statement = 'all'));

sub server {
    my ($name, $mpm, $children, $further) = @_;
    return Serverless::Server->start($name,
        Serverless::Server->workers($children, 8, prefork => $children, restarts => 1, mpm => $mpm)
        . Serverless::Server->database(database => $database->name) . "DBDExptime $EXPIRY\n" . ($further // '')
        . Serverless::Server->api, mpm => $mpm);
}

# The connections of httpd's role to the database of this suite.
sub connections {
    return superuser()->selectrow_array(<<'SQL', undef, $database->name);
SELECT count(*) FROM pg_stat_activity WHERE datname = ? AND usename = 'serverless_httpd'
SQL
}

# The statements until now. Each is a transaction of its own, but in those that requests make.
sub statements {
    open my $in, '<', "$ENV{CLUSTER}/postgresql.log" or die "postgresql.log: $!\n";
    return scalar grep { / LOG:  (?:execute|statement)/ } <$in>;
}

# The process ids of the children that have begun with the background work, in their order.
sub background_children {
    my ($server) = @_;
    $server->{suites_log} .= $server->error_log;
    my @children = $server->{suites_log} =~ /\[pid (\d+)[^\n]* SF0096: this child does the background work$/mg;
    return @children;
}

# Waits for the next one after `count`. Returns its process id. How long it took is a figure of speed, and no assertion.
sub next_background_child {
    my ($server, $count) = @_;
    my $begin = time;
    wait_until { background_children($server) > $count } or die "no child does the background work\n";
    note sprintf 'a child does the background work after %.1f s', time - $begin;
    return (background_children($server))[$count];
}

# A request on a connection of its own, so that any child may have it.
sub request {
    my ($server, $method, $path, $type, $body) = @_;
    my %headers = (Authorization => 'Basic ' . encode_base64("$account:$token", ''));
    $headers{'Content-Type'} = $type if $type;
    my $reply = HTTP::Tiny->new(keep_alive => 0)->request($method, 'http://' . $server->address . "/v1/Services$path",
        { headers => \%headers, defined $body ? (content => $body) : () });
    $reply->{success} or die "$method $path: $reply->{status} $reply->{content}\n";
    return JSON::PP::decode_json($reply->{content});
}

my $unique = 0;

# Makes a Service with a Function, and returns what creates a Build of it.
sub build_of {
    my ($server) = @_;
    my $form = 'application/x-www-form-urlencoded';
    my $name = 'background-' . ++$unique;
    my $service = request($server, POST => '', $form, "UniqueName=$name&FriendlyName=$name")->{sid};
    my $function = request($server, POST => "/$service/Functions", $form, 'FriendlyName=hello')->{sid};
    my %part = (Path => '/hello', Visibility => 'public', Content => 'exports.handler = () => {};');
    my $version = request($server, POST => "/$service/Functions/$function/Versions", 'multipart/form-data; boundary=b',
        join('', map { qq(--b\r\nContent-Disposition: form-data; name="$_"\r\n\r\n$part{$_}\r\n) } sort keys %part)
        . "--b--\r\n")->{sid};
    return sub { ($service, request($server, POST => "/$service/Builds", $form, "FunctionVersions=$version")->{sid}) };
}

# Creates a Build and returns the seconds until it is completed.
sub seconds_of_build {
    my ($server, $create) = @_;
    my $begin = time;
    my ($service, $build) = $create->();
    wait_until { request($server, GET => "/$service/Builds/$build/Status")->{status} eq 'completed' }
        or die "the Build $build is not completed\n";
    return time - $begin;
}

# Checks that the creation of a Build wakes the worker: of three of five Builds, since the machine may be busy.
sub wakes_the_worker {
    my ($server, $create, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my (undef, @seconds) = map { seconds_of_build($server, $create) } 0 .. 5;
    note 'seconds of Builds: ' . join ' ', map { sprintf '%.2f', $_ } @seconds;
    cmp_ok +(sort { $a <=> $b } @seconds)[2], '<', $WOKEN, $name;
}


# An httpd that has nothing to do -----------------------------------------------------------------

subtest 'prefork with 30 idle children' => sub {
    my $children = 30;
    my $server = server('idle', 'prefork', $children);
    ok wait_until { $server->children == $children }, 'has 30 children';
    my $holder = next_background_child($server, 0);
    cmp_ok connections(), '<=', $children + $OF_THE_BACKGROUND_CHILD, 'each child has at most one connection';
    ok wait_until { connections() <= $OF_THE_BACKGROUND_CHILD }, 'the connections are closed after DBDExptime';

    my ($before, $begin) = (statements(), time);
    sleep $COUNTED;
    my $count = statements() - $before;
    my $counted = time - $begin;
    cmp_ok $count, '<=', $counted, sprintf "PostgreSQL has at most one transaction a second: $count in %.1f seconds", $counted;
    cmp_ok $count, '>', 0, 'PostgreSQL has the transactions of the background work';
    is_deeply [background_children($server)], [$holder], 'one child does the background work';

    my $create = build_of($server);
    wakes_the_worker($server, $create, 'the creation of a Build, through any child, wakes the worker');
    is request($server, GET => '')->{meta}{page}, 0, 'a child whose connection was closed connects again';
};


# The background child ends -----------------------------------------------------------------------

for my $mpm (qw(event worker prefork)) {
    subtest "$mpm: the background child ends" => sub {
        my $server = server("background_$mpm", $mpm, 3);
        my $first = next_background_child($server, 0);
        ok scalar(grep { $_ == $first } $server->children), 'one child does the background work';
        my $create = build_of($server);
        wakes_the_worker($server, $create, 'the creation of a Build wakes the worker');

        kill KILL => $first or die "child $first: $!\n";
        my $second = next_background_child($server, 1);
        isnt $second, $first, 'the child is killed: another one does the background work';
        wakes_the_worker($server, $create, 'the child is killed: the creation of a Build wakes the worker');

        $server->restart;
        my $third = next_background_child($server, 2);
        ok scalar(grep { $_ == $third } $server->children), 'a graceful restart: one of the new children does the work';
        wakes_the_worker($server, $create, 'a graceful restart: the creation of a Build wakes the worker');
        is scalar(background_children($server)), 3, 'no second child ever did the work at the same time';
    };
}


# A child with a request that lasts --------------------------------------------------------------

# Begins a request without its body. Returns the connection when a child waits for the body.
sub request_without_body {
    my ($server) = @_;
    my $client = IO::Socket::INET->new(PeerAddr => $server->address) or die "$@\n";
    print $client "POST /v1/Services HTTP/1.1\r\nHost: a\r\nAuthorization: Basic "
        . encode_base64("$account:$token", '') . "\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        . "Content-Length: 100\r\nExpect: 100-continue\r\n\r\n";
    my $line = <$client> // '';
    $line =~ / 100 / or die "no request for the body: $line\n";
    return $client;
}

# Whether a process has the other end of a connection.
sub has_connection {
    my ($pid, $client) = @_;
    my $ports = sprintf ':%04X \S+:%04X', $client->peerport, $client->sockport;
    open my $in, '<', '/proc/net/tcp' or die "/proc/net/tcp: $!\n";
    my ($inode) = map { /^\s*\d+: \S+$ports (?:\S+ +){6}(\d+)/ } <$in>;
    return scalar grep { (readlink // '') eq "socket:[$inode]" } glob "/proc/$pid/fd/*";
}

# prefork runs the hook child_stopping after the request: the lock must not wait for that.
subtest 'prefork: a graceful restart while the background child has a request' => sub {
    my $server = server('lasting', 'prefork', 2, "RequestReadTimeout header=0 body=0\nTimeout 600\n");
    my $first = next_background_child($server, 0);
    my @clients;
    until (grep { has_connection($first, $_) } @clients) { # another child may accept it
        @clients < 3 or die "the child $first gets no request\n";
        push @clients, request_without_body($server);
    }
    kill USR1 => $server->{pid} or die "kill: $!\n";
    my $second = next_background_child($server, 1);
    ok -e "/proc/$first", 'the old child still has its request';
    isnt $second, $first, 'a new child does the background work';
    close $_ for @clients;
};

done_testing;
