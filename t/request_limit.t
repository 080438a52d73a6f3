# ServerlessMaxRequestsPerAccount and ServerlessMaxRequests: the requests that one account, and all
# accounts, have under way at a time in all children of an httpd.
#
# A request is kept under way by a client that reads no answer, or sends no more of its body.
use strict;
use warnings FATAL => 'all';

use Apache::Test qw(-withtestmore);
use IO::Select ();
use IO::Socket::INET ();
use Serverless::Database;
use Serverless::Download;
use Serverless::Project;
use Serverless::Server;
use Serverless::Test;
use Serverless::Time;
use Test::More;

my $ACCOUNT_LIMIT = 4;
my $LIMIT = 6;
my $TOO_MANY_OF_ACCOUNT = 'The account has too many requests at the same time';
my $TOO_MANY = 'The server has too many requests at the same time';

# Two children (16 of prefork), which count together. No body is too slow for them, and little of an answer is sent
# before the client reads.
my $workers = Serverless::Server->workers(2, 8);
my $server = Serverless::Server->start('request_limit', <<"END" . Serverless::Server->database
$workers
RequestReadTimeout  header=0 body=0
SendBufferSize      4096
ServerlessMaxRequests        $LIMIT
ServerlessMaxRequestsPerAccount $ACCOUNT_LIMIT
ServerlessDomain     functions.example.com
ServerlessExecution  On
RedirectMatch 404 "^/(?!v1/)"
<Location "/v1/openapi.yaml">
    SetHandler serverless-openapi
</Location>
END
    . Serverless::Server->api(undef, 'ServerlessCORSOrigins https://app.example.com'));

# An account at this server, with an Asset.
sub new_account {
    my $api = Serverless::Client->account->at($server->address);
    my $project = Serverless::Project->new($api);
    my $asset = $project->new_version(kind => 'asset', content => 'x' x (2 * 1024 * 1024));
    return { api => $api, project => $project, content => "$asset->{url}/Content",
        versions => $project->path("/Assets/$asset->{asset_sid}/Versions") };
}

my ($greedy, $second, $other) = map { new_account() } 1 .. 3;

# A request under way: a download that is not read.
sub begin_download {
    my ($account) = @_;
    my $download = Serverless::Download->begin($account->{api}, $account->{content});
    $download->read(1);
    die $download->reply->status, "\n" if $download->reply->status != 200;
    return $download;
}

# Another: a body of which nothing is sent. httpd answers 100 when the module reads the body. Returns the
# connection, and the first line of the answer.
sub try_body {
    my ($account, $path, $type) = @_;
    my $socket = IO::Socket::INET->new(PeerAddr => $server->address) or die "$@\n";
    $socket->syswrite(join "\r\n", "POST $path HTTP/1.1", 'Host: x', $account->{api}->authorization,
        "Content-Type: $type", 'Content-Length: 200000', 'Expect: 100-continue', 'Connection: close', '', '');
    IO::Select->new($socket)->can_read(60) or die "no answer\n";
    sysread $socket, my $answer, 1000;
    return ($socket, $answer =~ /^([^\r]*)/);
}

sub begin_body {
    my ($socket, $answer) = try_body(@_);
    die "$answer\n" if $answer !~ m{^HTTP/1\.1 100 };
    return $socket;
}

my @form = ('/v1/Services', 'application/x-www-form-urlencoded');

my %under_way = (
    'downloads that are not read' => sub { begin_download($_[0]) },
    'uploads that stand still' => sub { begin_body($_[0], $_[0]{versions}, 'multipart/form-data; boundary=b') },
    'forms that stand still'   => sub { begin_body($_[0], @form) },
);

# Whether no request is under way: then $LIMIT are taken at the same time, and one more would be one too many for
# the last account of them. Their connections are at their end on return, and so they count no more.
sub none_is_under_way {
    my @tried = map { [try_body($_, @form)] } (($greedy) x $ACCOUNT_LIMIT, ($second) x ($LIMIT - $ACCOUNT_LIMIT));
    shutdown $_->[0], 1 for @tried;
    for my $socket (map { $_->[0] } @tried) { 1 while sysread $socket, my $rest, 1000 }
    return !grep { $_->[1] !~ m{^HTTP/1\.1 100 } } @tried;
}

# Gives requests up that are under way. httpd may see later that their clients are gone.
sub give_up {
    my ($held) = @_;
    @$held = ();
    return wait_until { none_is_under_way() };
}

# The status of a request. Its connection is at its end on return, and so it counts no more.
sub status_of { my ($account) = @_; return $account->{api}->raw_request('GET /v1/Services HTTP/1.1')->status }

sub is_refused {
    my ($reply, $message, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is_error $reply, 503, 20503, $message, $name;
    is $reply->header('Retry-After'), 1, '- with Retry-After';
}

for my $what (sort keys %under_way) {
    subtest $what => sub {
        my @held = map { $under_way{$what}->($greedy) } 1 .. $ACCOUNT_LIMIT;
        is_refused $greedy->{api}->afresh->get('/v1/Services'), $TOO_MANY_OF_ACCOUNT,
            "a request besides $ACCOUNT_LIMIT of the account is refused";
        is_refused $greedy->{api}->afresh->post('/v1/Services', UniqueName => 'x', FriendlyName => 'x'),
            $TOO_MANY_OF_ACCOUNT, 'so is one that writes';
        is_deeply [ map { status_of($other) } 1 .. 20 ], [ (200) x 20 ], "another account's requests are answered";
        ok give_up(\@held), 'as many as before are taken when these are given up';
        is status_of($greedy), 200, "the account's are answered";
    };
}

subtest 'a request to a domain counts with the account of its Environment' => sub {
    my $project = $greedy->{project};
    my $environment = $project->new_environment('limited', 'limited');
    $project->deploy($environment, $project->completed(
        $project->new_version(kind => 'asset', path => '/v1/page', content => 'page')));
    my $host = $environment->{domain_name} =~ s/\..*/.functions.example.com/r;
    my $get = sub { $greedy->{api}->afresh->undescribed->raw_request('GET /v1/page HTTP/1.1', host => $host) };
    is $get->()->status, 200, 'an Asset of the domain is answered';
    my @held = map { begin_download($greedy) } 1 .. $ACCOUNT_LIMIT;
    my $refused = $get->();
    is $refused->status, 503, 'while the account has too many requests, it is refused';
    ok $refused->header('Retry-After'), 'with Retry-After';
    is status_of($other), 200, "another account's request is answered";
    ok give_up(\@held), 'as many as before are taken when these are given up';
    is $get->()->status, 200, 'it is answered again';
};

subtest 'an API key' => sub {
    my ($sid, $secret) = db()->selectrow_array('SELECT * FROM serverless.create_api_key(?, ?)', undef,
        $greedy->{api}->user, 'test');
    my $key = { %$greedy, api => Serverless::Client->client($sid, $secret)->at($server->address) };
    my @held = map { begin_download($_) } $key, $greedy, $key, $greedy;
    is_refused $_->{api}->afresh->get('/v1/Services'), $TOO_MANY_OF_ACCOUNT, 'counts with its account' for $key, $greedy;
    is status_of($other), 200, "another account's request is answered";
    ok give_up(\@held), 'as many as before are taken when these are given up';
    is status_of($key), 200, 'has its requests answered again';
};

subtest 'all accounts together' => sub {
    my @held = ((map { begin_download($greedy) } 1 .. $ACCOUNT_LIMIT),
        (map { begin_download($second) } 1 .. $LIMIT - $ACCOUNT_LIMIT));
    is_refused $second->{api}->afresh->get('/v1/Services'), $TOO_MANY,
        'an account that has some of them may have no more, although it has fewer than an account may have';
    is_deeply [ map { status_of($other) } 1 .. 20 ], [ (200) x 20 ], 'an account that has none may have one';
    my $one = begin_download($other);
    is_refused $other->{api}->afresh->get('/v1/Services'), $TOO_MANY, 'and one only';
    push @held, $one;
    undef $one;
    ok give_up(\@held), 'as many as before are taken when these are given up';
    is status_of($_), 200, 'each is answered again' for $greedy, $second, $other;
};

subtest 'children that are killed' => sub {
    my @held = map { begin_download($greedy) } 1 .. $ACCOUNT_LIMIT;
    is_refused $greedy->{api}->afresh->get('/v1/Services'), $TOO_MANY_OF_ACCOUNT, 'have counted requests';
    my @killed = $server->children;
    kill KILL => @killed;
    ok wait_until { my %now = map { $_ => 1 } $server->children; %now && !grep { $now{$_} } @killed }, 'others follow them';
    ok wait_until { eval { none_is_under_way() } }, 'their requests count no more';
};

subtest 'clients that are not authenticated' => sub {
    my $nobody = Serverless::Client->client->at($server->address);
    my @downloads = map { my $one = Serverless::Download->begin($greedy->{api}, '/v1/openapi.yaml'); $one->read(1); $one }
        1 .. $ACCOUNT_LIMIT;
    is $_->reply->status, 200, 'the description of the API is answered' for @downloads;
    is_refused $nobody->afresh->undescribed->get('/v1/openapi.yaml'), $TOO_MANY_OF_ACCOUNT, 'but not to any number at a time';
    is status_of($other), 200, "an account's request is answered";
    ok give_up(\@downloads), 'as many as before are taken when these are given up';
    is $nobody->raw_request('GET /v1/openapi.yaml HTTP/1.1')->status, 200, 'it is answered again';

    for my $case (
        [ 401, 'without credentials', 'POST /v1/Services HTTP/1.1' ],
        [ 401, 'with a wrong token', 'POST /v1/Services HTTP/1.1',
            Serverless::Client->client($greedy->{api}->user, '0' x 32)->authorization ],
        [ 404, 'outside of the API', 'POST /elsewhere HTTP/1.1' ],
        [ 204, 'of a preflight', 'OPTIONS /v1/Services HTTP/1.1', 'Origin: https://app.example.com',
            'Access-Control-Request-Method: POST' ],
    ) {
        my ($status, $what, @head) = @$case;
        for my $length ('Content-Length: 1000000', 'Transfer-Encoding: chunked') {
            # raw() fails unless the server closes the connection
            my $reply = eval { $nobody->raw(join("\r\n", @head, 'Host: x', $length, '', ''), timeout => 60) };
            is $reply && $reply->status, $status, "the body of a request $what is not waited for: $length";
        }
    }
    my $kept = $nobody->with(Authorization => 'Basic eDp5');
    is_deeply [ map { $kept->get('/v1/Services')->header('Connection') // 'kept' } 1, 2 ], [ 'kept', 'kept' ],
        'without a body, the connection of a refused request is kept';
};

subtest 'a refused upload' => sub {
    my @held = map { begin_download($greedy) } 1 .. $ACCOUNT_LIMIT;
    for my $length ('Content-Length: 1000000', 'Transfer-Encoding: chunked') {
        # raw() fails unless the server closes the connection
        my $reply = eval {
            $greedy->{api}->raw(join("\r\n", "POST $greedy->{versions} HTTP/1.1", 'Host: x', $greedy->{api}->authorization,
                'Content-Type: multipart/form-data; boundary=b', $length, '', ''), timeout => 60);
        } or fail("is answered, and the connection closed, without its body: $length"), next;
        is_refused $reply, $TOO_MANY_OF_ACCOUNT, "is answered, and the connection closed, without its body: $length";
    }
    ok give_up(\@held), 'as many as before are taken when these are given up';
};

subtest 'without the directives' => sub {
    # 16 workers: 13 requests of all accounts, 6 of one
    my $default = Serverless::Server->start('default_limits',
        $server->workers(1, 16) . "SendBufferSize 4096\n" . $server->database . $server->api, limits => 1);
    my $there = { %$greedy, api => $greedy->{api}->at($default->address) };
    my @held = map { begin_download($there) } 1 .. 6;
    is_refused $there->{api}->afresh->get('/v1/Services'), $TOO_MANY_OF_ACCOUNT,
        'an account may have two fifths of the workers';
    is $other->{api}->at($default->address)->get('/v1/Services')->status, 200, "another account's request is answered";
};

subtest 'the log' => sub {
    my $log = $server->error_log;
    like $log, qr/\[RQ[0-9a-f]{32}\] SF0060: refused: $TOO_MANY_OF_ACCOUNT\n/, 'has a line for a refused request';
    $server->restart;
    like $server->error_log, qr/SF0050: .* requests_refused=[1-9]\d* /, 'has their number when a child stops';
};

done_testing;
