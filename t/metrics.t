# Metrics: a child of httpd counts its responses, statements, Builds and maintenance, and logs the
# counters as line SF0050 when it stops.
#
# The httpd here has one child and a database of its own, so that no other child takes its Build or
# its maintenance. A graceful restart stops the child.
use strict;
use warnings FATAL => 'all';

use Apache::Test qw(-withtestmore);
use HTTP::Tiny ();
use JSON::PP ();
use MIME::Base64 qw(encode_base64);
use Serverless::Database;
use Serverless::Parallel;
use Serverless::Server;
use Serverless::Test ();
use Serverless::Time;
use Test::More;

# Under prefork, the child has one request at a time, and no batches of several.
my $prefork = Serverless::Server->is_prefork;
my $CLIENTS = $prefork ? 1 : 8;
my $workers = Serverless::Server->workers(1, 25, prefork => 1);

my $database = own_database('metrics');
my $owner = $database->connect('postgres');
my ($account, $token) = $owner->selectrow_array(q(SELECT * FROM serverless.create_account('metrics')));

my $server = Serverless::Server->start('metrics',
    $workers . Serverless::Server->database(database => $database->name, statement_timeout => 60_000) . Serverless::Server->api);

# The responses by the class of their status, as this suite has seen them.
my %seen = map { $_ => 0 } 2 .. 5;

sub request {
    my ($method, $path, %options) = @_;
    my %headers = (Authorization => 'Basic ' . encode_base64("$account:$token", ''), %{ $options{headers} || {} });
    my $reply = HTTP::Tiny->new(timeout => 120)->request($method, 'http://' . $server->address . "/v1/Services$path",
        { %options, headers => \%headers });
    $seen{ substr $reply->{status}, 0, 1 }++;
    return $reply;
}

sub post_form {
    my ($path, %form) = @_;
    return request('POST', $path, content => HTTP::Tiny->new->www_form_urlencode(\%form),
        headers => { 'Content-Type' => 'application/x-www-form-urlencoded' });
}

sub post_version {
    my ($path, %part) = @_;
    my $body = join '', map { qq(--b\r\nContent-Disposition: form-data; name="$_"\r\n\r\n$part{$_}\r\n) } sort keys %part;
    return request('POST', $path, content => "$body--b--\r\n",
        headers => { 'Content-Type' => 'multipart/form-data; boundary=b' });
}

sub sid_of { return JSON::PP::decode_json($_[0]{content})->{sid} }

sub blocked_backends {
    return $owner->selectcol_arrayref(<<'SQL');
SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
SQL
}

# Begins GETs of a Service whose table is locked; returns when statements wait for the lock.
sub blocked_reads {
    my ($count, $path) = @_;
    $owner->begin_work;
    $owner->do('LOCK TABLE serverless.services');
    my $replies = begin_at_once(sub { request('GET', $path)->{status} }, 1 .. $count);
    ok wait_until { @{ blocked_backends() } }, "$count reads wait for a lock";
    return $replies;
}

my $service = sid_of(post_form('', UniqueName => 'shop', FriendlyName => 'shop'));

subtest 'a response of each class' => sub {
    my $get = request('GET', "/$service");
    is $get->{status}, 200, 'a read is 200';
    is request('GET', "/$service", headers => { 'If-None-Match' => $get->{headers}{etag} })->{status}, 304,
        'the same with its ETag is 304';
    is request('GET', '/ZS' . '0' x 32)->{status}, 404, 'a Service that is missing is 404';
    is request('GET', '', headers => { Authorization => 'Basic eDp5' })->{status}, 401, 'a wrong password is 401';
    my $replies = blocked_reads(1, '');
    $owner->do('SELECT pg_cancel_backend(?)', undef, $_) for @{ blocked_backends() };
    is_deeply [$replies->()], [503], 'a read that is cancelled, as by statement_timeout, is 503';
    $seen{5}++; # in a process of its own
    $owner->rollback;
};

subtest 'a Build' => sub {
    my $function = sid_of(post_form("/$service/Functions", FriendlyName => 'hello'));
    my $version = sid_of(post_version("/$service/Functions/$function/Versions",
        Path => '/hello', Visibility => 'public', Content => 'exports.handler = () => {};'));
    my $build = sid_of(post_form("/$service/Builds", FunctionVersions => $version));
    ok wait_until {
        JSON::PP::decode_json(request('GET', "/$service/Builds/$build")->{content})->{status} eq 'completed'
    }, 'the worker completes it';
};

subtest 'a read that loses its connection' => sub {
    my $replies = blocked_reads(1, '');
    $owner->do('SELECT pg_terminate_backend(?)', undef, $_) for @{ blocked_backends() };
    $owner->rollback;
    is_deeply [$replies->()], [200], 'is repeated';
    $seen{2}++;
};

subtest 'reads at the same time' => sub {
    my $replies = blocked_reads($CLIENTS, "/$service");
    $owner->rollback;
    is_deeply [$replies->()], [(200) x $CLIENTS], 'are answered';
    $seen{2} += $CLIENTS;
};

subtest 'the log line of the child' => sub {
    is_deeply [$server->error_log =~ /SF0050/g], [], 'is not there while the child runs';
    $server->restart;
    my ($line) = $server->error_log =~ /SF0050: this child since its start:((?: \w+=\d+)+)$/m;
    ok $line, 'is there when the child has stopped' or diag $server->error_log;
    my %counted = ($line // '') =~ /(\w+)=(\d+)/g;

    is $counted{"responses_${_}xx"}, $seen{$_}, "responses_${_}xx is the number of responses" for 2 .. 5;
    cmp_ok $counted{statements}, '>=', $seen{2}, 'statements is at least one for each successful request';
    cmp_ok $counted{retries}, '>=', 1, 'retries counts the read that lost its connection';
    is $counted{builds_completed}, 1, 'builds_completed counts the Build';
    is $counted{builds_failed}, 0, 'builds_failed counts none';
    cmp_ok $counted{maintenance_batches}, '>=', 3, 'maintenance_batches counts one for each task at least';
    if ($prefork || ($ENV{PIPELINING} // 'On') eq 'Off') {
        is $counted{batches}, 0, 'batches counts none without pipelining or threads';
    }
    else {
        cmp_ok $counted{batches}, '>=', 1, 'batches counts those of the reads at the same time';
    }
};

$owner->disconnect;
undef $server;

done_testing;
