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
my $TAKEOVER = 5;   # the most seconds until another child does the work
my $COUNTED = 20;   # seconds in which statements are counted
my $OF_THE_BACKGROUND_CHILD = 3; # connections besides the one that each child has at its start

my $database = own_database('background');
my ($account, $token) = $database->connect('postgres')->selectrow_array(q(SELECT * FROM serverless.create_account('background')));

# PostgreSQL logs each statement of httpd's role in this database, and no other one of the run.
superuser()->do('ALTER ROLE serverless_httpd IN DATABASE ' . $database->name . q( SET log_statement = 'all'));

sub server {
    my ($name, $mpm, $children) = @_;
    my $limit = 2 * $children; # those that end after a graceful restart count, too
    my $threads = $mpm eq 'prefork' ? 1 : 8;
    my $workers = $limit * $threads;
    my $spare = $children * $threads;
    my $lines = $mpm eq 'prefork'
        ? "MinSpareServers $children\nMaxSpareServers $children\n"
        : "ThreadsPerChild $threads\nMinSpareThreads $spare\nMaxSpareThreads $workers\n";
    return Serverless::Server->start($name, "StartServers $children\nServerLimit $limit\n$lines"
        . "MaxRequestWorkers $workers\n"
        . Serverless::Server->database(database => $database->name) . "DBDExptime $EXPIRY\n"
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
    my @children = $server->{suites_log} =~ /\[pid (\d+):[^\n]* SF0096: this child does the background work$/mg;
    return @children;
}

# Waits for the next one after `count`. Returns its process id and the seconds that it took.
sub next_background_child {
    my ($server, $count) = @_;
    my $begin = time;
    wait_until { background_children($server) > $count } or die "no child does the background work\n";
    return ((background_children($server))[$count], time - $begin);
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

sub longest { return (sort { $b <=> $a } @_)[0] }


# An httpd that has nothing to do -----------------------------------------------------------------

subtest 'prefork with 30 idle children' => sub {
    my $children = 30;
    my $server = server('idle', 'prefork', $children);
    ok wait_until { $server->children == $children }, 'has 30 children';
    my ($holder) = next_background_child($server, 0);
    cmp_ok connections(), '<=', $children + $OF_THE_BACKGROUND_CHILD, 'each child has at most one connection';
    ok wait_until { connections() <= $OF_THE_BACKGROUND_CHILD }, 'the connections are closed after DBDExptime';

    my $before = statements();
    sleep $COUNTED;
    my $count = statements() - $before;
    cmp_ok $count, '<=', $COUNTED, "PostgreSQL has at most one transaction a second: $count in $COUNTED seconds";
    cmp_ok $count, '>', 0, 'PostgreSQL has the transactions of the background work';
    is_deeply [background_children($server)], [$holder], 'one child does the background work';

    my $create = build_of($server);
    my @seconds = map { seconds_of_build($server, $create) } 1 .. 10;
    cmp_ok longest(@seconds), '<', 1, 'each of ten Builds, created through any child, is completed within a second';
    is request($server, GET => '')->{meta}{page}, 0, 'a child whose connection was closed connects again';
};


# The background child ends -----------------------------------------------------------------------

for my $mpm (qw(event worker prefork)) {
    subtest "$mpm: the background child ends" => sub {
        my $server = server("background_$mpm", $mpm, 3);
        my ($first) = next_background_child($server, 0);
        ok scalar(grep { $_ == $first } $server->children), 'one child does the background work';
        my $create = build_of($server);
        cmp_ok seconds_of_build($server, $create), '<', 1, 'a Build is completed within a second';

        kill KILL => $first or die "child $first: $!\n";
        my ($second, $seconds) = next_background_child($server, 1);
        isnt $second, $first, 'the child is killed: another one does the background work';
        cmp_ok $seconds, '<', $TAKEOVER, 'the child is killed: another one takes over within seconds';
        cmp_ok seconds_of_build($server, $create), '<', 1, 'the child is killed: a Build is completed within a second';

        my $begin = time;
        $server->restart;
        my ($third) = next_background_child($server, 2);
        cmp_ok time - $begin, '<', $TAKEOVER, 'a graceful restart: a new child takes over within seconds';
        ok scalar(grep { $_ == $third } $server->children), 'a graceful restart: one of the new children does the work';
        cmp_ok seconds_of_build($server, $create), '<', 1, 'a graceful restart: a Build is completed within a second';
        is scalar(background_children($server)), 3, 'no second child ever did the work at the same time';
    };
}


# A child with a request that lasts --------------------------------------------------------------

# prefork runs the hook child_stopping after the request: the lock must not wait for that.
subtest 'prefork: a graceful restart while the background child has a request' => sub {
    my $server = server('lasting', 'prefork', 2);
    my ($first) = next_background_child($server, 0);
    my @clients = map { IO::Socket::INET->new(PeerAddr => $server->address) or die "$@\n" } 1 .. 2;
    for my $client (@clients) { # a request without its body
        print $client "POST /v1/Services HTTP/1.1\r\nHost: a\r\nAuthorization: Basic "
            . encode_base64("$account:$token", '') . "\r\nContent-Type: application/x-www-form-urlencoded\r\n"
            . "Content-Length: 100\r\n\r\nUniqueName=";
        $client->flush;
    }
    sleep 0.5;
    kill USR1 => $server->{pid} or die "kill: $!\n";
    my ($second, $seconds) = next_background_child($server, 1);
    ok -e "/proc/$first", 'the old child still has its request';
    isnt $second, $first, 'a new child does the background work';
    cmp_ok $seconds, '<', $TAKEOVER, 'the new child takes over within seconds';
    close $_ for @clients;
};

done_testing;
