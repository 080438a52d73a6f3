# The answers to wrong requests, from the module and from httpd itself: each is JSON in the
# API's form, and the request leaves nothing behind.
use strict;
use warnings FATAL => 'all';

use Apache::Test qw(-withtestmore);
use IO::Socket::INET ();
use Serverless::Test;
use Test::More;

my $access_log = Apache::Test::config()->{vars}{t_logs} . '/access_log';
my $logged_before = -s $access_log || 0;

my $api = Serverless::Client->account;
my $anonymous = Serverless::Client->client;
my $service = $api->post('/v1/Services', UniqueName => 'errors', FriendlyName => 'E')->json;
my $services = '/v1/Services';
my $functions = "$services/$service->{sid}/Functions";
my $function = $api->post($functions, FriendlyName => 'f')->json;
my $form = 'application/x-www-form-urlencoded';

my %generic = (
    400 => 'The request is malformed',
    401 => 'Authenticate',
    403 => 'Access is forbidden',
    405 => 'Method not allowed',
    408 => 'The request was not received in time',
    413 => 'The request body is too large',
    414 => 'The URL is too long',
    415 => "The content type must be $form",
);
my %code = (400 => 20001, 401 => 20003, 405 => 20004);

# All of the account's rows: no refused request may change anything.
sub rows {
    return db()->selectcol_arrayref(<<'SQL', undef, substr($api->user, 2));
WITH mine AS (SELECT * FROM serverless.services AS s WHERE s.account_id = $1::uuid)
SELECT row_to_json(mine)::text FROM mine
UNION ALL
SELECT row_to_json(f)::text FROM serverless.artifacts AS f WHERE f.service_id IN (SELECT id FROM mine)
ORDER BY 1
SQL
}
my $rows = rows();

# The answer is this error, to the byte, and nothing happened.
sub is_refused {
    my ($reply, $status, $message, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    $message //= $generic{$status};
    my $code = $code{$status} // 20000 + $status;
    my $body = qq({"code":$code,"message":"$message",)
        . qq("more_info":"https://www.twilio.com/docs/errors/$code","status":$status});
    is_deeply {
        status => $reply->status,
        body   => $reply->body,
        type   => $reply->header('Content-Type'),
        length => $reply->header('Content-Length'),
        id     => ($reply->header('Twilio-Request-Id') // 'none') =~ s/^RQ[0-9a-f]{32}$/good/r,
        rows   => rows(),
    }, {
        status => $status,
        body   => $body,
        type   => 'application/json',
        length => length $body,
        id     => 'good',
        rows   => $rows,
    }, $name // $message;
}

sub not_found { "The requested resource $_[0] was not found" }

# A form's bytes as they are.
sub form { my ($client, $path, $bytes, $type) = @_; $client->request(POST => $path, $bytes, $type // $form) }

sub chunked {
    my ($client, $path, $body) = @_;
    return $client->raw_request("POST $path HTTP/1.1",
        headers => [ "Content-Type: $form", 'Transfer-Encoding: chunked' ], body => $body);
}

sub chunk { sprintf "%x\r\n%s\r\n", length $_[0], $_[0] }

subtest '400: requests that are not HTTP' => sub {
    for my $case (
        [ 'a word',                      "NONSENSE\r\n\r\n" ],
        [ 'binary',                      "\x16\x03\x01\x02\r\n\r\n" ],
        [ 'no method',                   " $services HTTP/1.1\r\nHost: a\r\n\r\n" ],
        [ 'two spaces',                  "GET  $services HTTP/1.1\r\nHost: a\r\n\r\n" ],
        [ 'a fourth word',               "GET $services HTTP/1.1 more\r\nHost: a\r\n\r\n" ],
        [ 'a space in the target',       "GET $services/a b HTTP/1.1\r\nHost: a\r\n\r\n" ],
        [ 'a control in the target',     "GET $services/\x01 HTTP/1.1\r\nHost: a\r\n\r\n" ],
        [ 'a relative target',           "GET v1/Services HTTP/1.1\r\nHost: a\r\n\r\n" ],
        [ 'a protocol of another kind',  "GET $services FTP/1.1\r\nHost: a\r\n\r\n" ],
        [ 'no Host',                     "GET $services HTTP/1.1\r\n\r\n" ],
        [ 'two Hosts',                   "GET $services HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n" ],
        [ 'a malformed Host',            "GET $services HTTP/1.1\r\nHost: a/b\r\n\r\n" ],
        [ 'a malformed port',            "GET $services HTTP/1.1\r\nHost: a:b\r\n\r\n" ],
        [ 'a header without a colon',    "GET $services HTTP/1.1\r\nHost: a\r\nnonsense\r\n\r\n" ],
        [ 'a header without a name',     "GET $services HTTP/1.1\r\nHost: a\r\n: a\r\n\r\n" ],
        [ 'a space before the colon',    "GET $services HTTP/1.1\r\nHost: a\r\nA : b\r\n\r\n" ],
        [ 'a control in a header',       "GET $services HTTP/1.1\r\nHost: a\r\nA: \x01\r\n\r\n" ],
        [ 'too long a header',  "GET $services HTTP/1.1\r\nHost: a\r\nA: " . 'a' x 9000 . "\r\n\r\n" ],
        [ 'too many headers',   "GET $services HTTP/1.1\r\nHost: a\r\n" . "A: b\r\n" x 101 . "\r\n" ],
        [ 'HTTP/1.0, a header without a colon', "GET $services HTTP/1.0\r\nnonsense\r\n\r\n" ],
    ) {
        my ($what, $bytes) = @$case;
        is_refused $api->raw($bytes), 400, undef, $what;
    }
    for my $header ('Content-Length: a', 'Content-Length: -1', 'Content-Length: 1, 2',
        'Transfer-Encoding: nonsense') {
        is_refused $api->raw_request("POST $functions HTTP/1.1",
            headers => [ "Content-Type: $form", $header ], body => 'FriendlyName=a'),
            400, undef, $header;
    }
};

subtest '400: paths that httpd refuses' => sub {
    for my $path ("$services/%zz", "$services/%", "$services/%4", "$services/../../..",
        "$services/%2e%2e/%2e%2e/..", '/..') {
        is_refused $api->raw_request("GET $path HTTP/1.1"), 400, undef, $path;
    }
};

subtest '400: malformed forms' => sub {
    my $encoding = 'The parameters have a malformed percent-encoding';
    my $nul = 'The parameters must not contain NUL';
    my $missing = 'Missing required parameter FriendlyName in the post body';
    my $utf8 = 'FriendlyName is not valid UTF-8';
    my $twice = 'FriendlyName is given more than once';
    my @cases = (
        [ '',                                         $missing ],
        [ '&',                                        $missing ],
        [ '=',                                        $missing ],
        [ '=a',                                       $missing ],
        [ 'FriendlyName',                             $missing ],
        [ 'FriendlyName=',                            $missing ],
        [ 'friendlyname=a',                           $missing ],
        [ 'FriendlyName[]=a',                         $missing ],
        [ '+FriendlyName=a',                          $missing ],
        [ 'FriendlyName=' . 'a' x 256,        'FriendlyName must not be longer than 255 characters' ],
        [ 'FriendlyName=a&FriendlyName=b',            $twice ],
        [ 'FriendlyName=a&FriendlyName=a',            $twice ],
        [ 'FriendlyName=a&FriendlyName=',             $twice ],
        [ 'FriendlyName=&FriendlyName=a',             $twice ],
        [ 'FriendlyName=a&X=b&Friendly%4eame=c',      $twice ],
        [ 'FriendlyName=%',                           $encoding ],
        [ 'FriendlyName=%4',                          $encoding ],
        [ 'FriendlyName=%zz',                         $encoding ],
        [ 'FriendlyName=a%%41',                       $encoding ],
        [ 'FriendlyName=a&%=b',                       $encoding ],
        [ 'FriendlyName=a&X=%u0041',                  $encoding ],
        [ 'FriendlyName=%00',                         $nul ],
        [ 'FriendlyName=a%00b',                       $nul ],
        [ 'FriendlyName=a&X=%00',                     $nul ],
        [ 'FriendlyName%00=a',                        $nul ],
        [ "FriendlyName=a\0b",                        'The body must not contain NUL' ],
        [ "FriendlyName=a&X=\0",                      'The body must not contain NUL' ],
        [ "\0",                                       'The body must not contain NUL' ],
        [ 'FriendlyName=%80',                         $utf8, 'a lone continuation' ],
        [ 'FriendlyName=a%BF',                        $utf8, 'one after a letter' ],
        [ 'FriendlyName=%C3',                         $utf8, 'the end in a character of two bytes' ],
        [ 'FriendlyName=%C3a',                        $utf8, 'a letter in one' ],
        [ 'FriendlyName=%E2%82',                      $utf8, 'the end in one of three' ],
        [ 'FriendlyName=%F0%9F%98',                   $utf8, 'the end in one of four' ],
        [ 'FriendlyName=%C0%AF',                      $utf8, 'a slash, overlong in two' ],
        [ 'FriendlyName=%C0%80',                      $utf8, 'NUL, overlong in two' ],
        [ 'FriendlyName=%C1%BF',                      $utf8, 'DEL, overlong in two' ],
        [ 'FriendlyName=%E0%80%AF',                   $utf8, 'a slash, overlong in three' ],
        [ 'FriendlyName=%E0%9F%BF',                   $utf8, 'the last overlong one of three' ],
        [ 'FriendlyName=%F0%80%80%AF',                $utf8, 'a slash, overlong in four' ],
        [ 'FriendlyName=%F0%8F%BF%BF',                $utf8, 'the last overlong one of four' ],
        [ 'FriendlyName=%ED%A0%80',                   $utf8, 'the first surrogate' ],
        [ 'FriendlyName=%ED%BF%BF',                   $utf8, 'the last surrogate' ],
        [ 'FriendlyName=%ED%A0%BD%ED%B8%80',          $utf8, 'a pair of surrogates' ],
        [ 'FriendlyName=%F4%90%80%80',                $utf8, 'just above U+10FFFF' ],
        [ 'FriendlyName=%F5%80%80%80',                $utf8, 'far above it' ],
        [ 'FriendlyName=%F8%88%80%80%80',             $utf8, 'five bytes' ],
        [ 'FriendlyName=%FE',                         $utf8, 'FE' ],
        [ 'FriendlyName=%FF',                         $utf8, 'FF' ],
        [ "FriendlyName=\xe9",                        $utf8, 'Latin-1, not percent-encoded' ],
    );
    for my $path ($functions, "$functions/$function->{sid}") {
        for my $case (@cases) {
            my ($bytes, $message, $what) = @$case;
            is_refused form($api, $path, $bytes), 400, $message, $what // quoted($bytes);
        }
        is_refused $api->request(POST => "$path?FriendlyName=a", '', $form), 400, $missing,
            'a parameter in the query is none of the form';
    }
    for my $case (
        [ 'FriendlyName=a',                         'Missing required parameter UniqueName in the post body' ],
        [ 'UniqueName=a',                           'Missing required parameter FriendlyName in the post body' ],
        [ 'UniqueName=%FF&FriendlyName=a',          'UniqueName is not valid UTF-8' ],
        [ 'UniqueName=a&FriendlyName=%FF',          'FriendlyName is not valid UTF-8' ],
        [ 'UniqueName=a%00&FriendlyName=a',         $nul ],
        [ 'UniqueName=a&UniqueName=b&FriendlyName=a', 'UniqueName is given more than once' ],
        [ 'UniqueName=a&FriendlyName=a&UiEditable=%FF', 'UiEditable must be true or false' ],
        [ 'UniqueName=a&FriendlyName=a&UiEditable=true&UiEditable=true',
            'UiEditable is given more than once' ],
    ) {
        my ($bytes, $message) = @$case;
        is_refused form($api, $services, $bytes), 400, $message, quoted($bytes);
    }
};

subtest '400: malformed query strings' => sub {
    my $size = 'PageSize must be a whole number from 1 to 1000';
    for my $case (
        [ 'PageSize=abc',           $size ],
        [ 'PageSize=0',             $size ],
        [ 'PageSize=-1',            $size ],
        [ 'PageSize=',              'PageSize must not be empty' ],
        [ 'PageSize',               'PageSize must not be empty' ],
        [ 'PageSize=1&PageSize=2',  'PageSize is given more than once' ],
        [ 'PageSize=%FF',           'PageSize is not valid UTF-8' ],
        [ 'PageSize=%00',           'The parameters must not contain NUL' ],
        [ 'PageSize=%',             'The parameters have a malformed percent-encoding' ],
        [ 'X=%zz',                  'The parameters have a malformed percent-encoding' ],
        [ 'Page=1',                 'Page needs the PageToken that came with the page before it' ],
        [ 'Page=-1',                'Page must be a whole number from 0' ],
        [ 'PageToken=abc',          'PageToken is not valid for this list' ],
    ) {
        my ($query, $message) = @$case;
        is_refused $api->get("$_?$query"), 400, $message, "$query" for $services, $functions;
    }
};

subtest '400: bodies that end before their length' => sub {
    for my $case (
        [ 'shorter than its length',  'Content-Length: 100',        'FriendlyName=a' ],
        [ 'of a length, but nothing', 'Content-Length: 100',        '' ],
        [ 'chunked, without an end',  'Transfer-Encoding: chunked', chunk('FriendlyName=a') ],
        [ 'within a chunk',           'Transfer-Encoding: chunked', "ff\r\nFriendlyName=a" ],
        [ 'within a chunk\'s length', 'Transfer-Encoding: chunked', 'f' ],
    ) {
        my ($what, $header, $body) = @$case;
        is_refused $api->raw_request("POST $functions HTTP/1.1", headers =>
            [ "Content-Type: $form", $header ], body => $body, half_close => 1), 400, undef, $what;
    }
    my $good = chunk('FriendlyName=a');
    for my $chunk ("zz\r\n", "\r\n", "-1\r\n", "$good-5\r\n",
        "5\r\nFriendlyName=a\r\n0\r\n\r\n") {
        is_refused chunked($api, $functions, $chunk), 400, undef, 'malformed chunk ' . quoted($chunk);
    }
};

subtest '401: without credentials' => sub {
    for my $path ($services, $functions, "$functions/$function->{sid}", "$services/no/such/path") {
        for my $method (qw(GET POST DELETE PUT OPTIONS PROPFIND NONSENSE)) {
            my $reply = $anonymous->request($method, $path);
            is_refused $reply, 401, undef, "$method $path without credentials";
            is $reply->header('WWW-Authenticate'), 'Basic realm="Twilio API"', 'which are asked for';
        }
    }
};

subtest '403: a Location without authentication serves nothing' => sub {
    my $forgotten = $anonymous->on('unprotected');
    error_log();
    for my $method (qw(GET POST DELETE PUT OPTIONS)) {
        my $reply = $forgotten->request($method, $services);
        is_refused $reply, 403, undef, $method;
        my $id = $reply->header('Twilio-Request-Id');
        my @lines = grep /SF0007/, split /\n/, error_log();
        is scalar(@lines), 1, 'the error log has a line of it';
        like $lines[0], qr/$id.*no authentication is configured for this Location/,
            'the error log says that no authentication is configured';
    }
    is_refused $api->on('unprotected')->get($services), 403, undef,
        'credentials that nobody checks do not help';
};

subtest "404: paths that are not the API's" => sub {
    my ($zs, $zh) = ($service->{sid}, $function->{sid});
    for my $case (
        # the path as sent, as answered where that differs
        [ '/Services/' ],
        [ "/Services/$zs/" ],
        [ "/Services/$zs/Functions/" ],
        [ "/Services/$zs/Functions/$zh/" ],
        [ "/Services/$zs/functions" ],
        [ "/Services/$zs/Nothing" ],
        [ "/Services/$zs/Functions/$zh/Nothing" ],
        [ "/Services/$zs/Functions/$zh/Versions/Nothing/More/Of/It" ],
        [ '/Services/ZS' . '0' x 32 ],
        [ '/Services/ZS' . '0' x 31 ],
        [ '/Services/ZS' . '0' x 33 ],
        [ '/Services/ZS' . 'g' x 32 ],
        [ '/Services/zs' . substr $zs, 2 ],
        [ '/Services/ZH' . substr $zs, 2 ],
        [ '/Services/' . substr $zs, 2 ],
        [ "/Services/$zh" ],
        [ "/Services/$zs/Functions/ZH" . '0' x 32 ],
        [ "/Services/$zs/Functions/ZH" . '0' x 31 ],
        [ "/Services/$zs/Functions/ZH" . 'g' x 32 ],
        [ "/Services/$zs/Functions/zh" . substr $zh, 2 ],
        [ "/Services/$zs/Functions/ZS" . substr $zh, 2 ],
        [ "/Services/$zs/Functions/$zs" ],
        [ "/Services/$zs/Functions/f" ],
        [ '/Services/undefined' ],
        [ '/Services/' . 'a' x 51 ],
        [ '/Services/-' ],
        [ '/Services/...' ],
        [ '/Services/a%20b' ],
        [ '/Services/%22%5c',      '/Services/%22%5c' ],
        [ '/Services/%C3%A9',      '/Services/%c3%a9' ],
        [ '/Services/%FF',         '/Services/%ff' ],
        [ '/Services/%C0%AF',      '/Services/%c0%af' ],
        [ '/Services/%ED%A0%80',   '/Services/%ed%a0%80' ],
        [ '/Services/errors%01',   '/Services/errors%01' ],
        [ '/Services/errors;a=b' ],
        [ "/Services/x/../$zs/Nothing", "/Services/$zs/Nothing" ],
        [ "/Services/./$zs/Nothing",    "/Services/$zs/Nothing" ],
        [ "/Services//$zs///Nothing",   "/Services/$zs/Nothing" ],
        [ "/Services/$zs/..",           '/Services/' ],
    ) {
        my ($sent, $answered) = @$case;
        is_refused $api->raw_request("GET /v1$sent HTTP/1.1"), 404, not_found($answered // $sent),
            "GET $sent";
    }
    for my $path (
        "/Services/$zs/", '/Services/ZS' . '0' x 31, "/Services/$zs/Functions/ZH" . '0' x 31,
        "/Services/$zs/Functions/$zs", "/Services/$zs/Nothing",
    ) {
        is_refused form($api, "/v1$path", 'FriendlyName=a'), 404, not_found($path), "POST $path";
        is_refused $api->delete("/v1$path"), 404, not_found($path), "DELETE $path";
    }
};

subtest '404: paths that httpd refuses with 404' => sub {
    for my $case (
        # httpd has decoded the path when it refuses it
        [ "$services/a%2Fb",      '/Services/a/b' ],
        [ "$services/a%2fb",      '/Services/a/b' ],
        [ "$services%2Ferrors",   '/Services/errors' ],
        [ "$services/errors%00",  '/Services/errors' ],
    ) {
        my ($path, $answered) = @$case;
        my $reply = $api->raw_request("GET $path HTTP/1.1");
        is_refused $reply, 404, not_found($answered), $path;
    }
};

subtest "404: paths of the API's virtual host outside the API" => sub {
    for my $path ('/nothing', '/v1', '/v1/', '/v1/Service', '/v1/ServicesX', '/v1/services',
        '/v2/Services', '/Services') {
        (my $answered = $path) =~ s{^/v1(?=/)}{};
        is_refused $api->get($path), 404, not_found($answered), $path;
        is_refused $anonymous->get($path), 404, not_found($answered), "$path, without credentials";
    }
};

subtest '405: methods that a path does not have' => sub {
    my %allowed = (
        $services                         => 'GET, HEAD, POST, OPTIONS',
        "$services/$service->{sid}"       => 'GET, HEAD, POST, DELETE, OPTIONS',
        "$services/errors"                => 'GET, HEAD, POST, DELETE, OPTIONS',
        $functions                        => 'GET, HEAD, POST, OPTIONS',
        "$functions/$function->{sid}"     => 'GET, HEAD, POST, DELETE, OPTIONS',
    );
    for my $path (sort keys %allowed) {
        my @methods = qw(PUT PATCH PROPFIND LOCK MERGE NONSENSE get);
        push @methods, 'DELETE' if $allowed{$path} !~ /DELETE/;
        for my $method (@methods) {
            my $reply = $api->raw_request("$method $path HTTP/1.1",
                headers => [ "Content-Type: $form", 'Content-Length: 14' ], body => 'FriendlyName=x');
            is_refused $reply, 405, undef, "$method $path";
            is $reply->header('Allow'), $allowed{$path}, "Allow: $allowed{$path}";
        }
    }
    my $reply = $api->raw_request("TRACE $services HTTP/1.1");
    is_refused $reply, 405, undef, "TRACE $services";
    is $reply->header('Allow'), $allowed{$services}, "Allow: $allowed{$services}";
    $reply = $api->raw_request('TRACE /nothing HTTP/1.1');
    is_refused $reply, 405, undef, 'TRACE elsewhere';
    is $reply->header('Allow'), '', 'Allow is empty where no method is allowed';
};

# Both wait for their time to pass: they do so together.
subtest '408: requests whose sender stalls' => sub {
    my $hasty = $api->on('impatient');
    my ($host) = $hasty->base =~ m{//(.*)};
    my $authorization = $api->authorization;
    my %stalled = (
        'within the headers' => "POST $functions HTTP/1.1\r\nHost: $host\r\n$authorization\r\nContent",
        'within the body'    => "POST $functions HTTP/1.1\r\nHost: $host\r\n$authorization\r\n"
            . "Content-Type: $form\r\nContent-Length: 100\r\n\r\nFriendlyName=a",
        'within a chunk'     => "POST $functions HTTP/1.1\r\nHost: $host\r\n$authorization\r\n"
            . "Content-Type: $form\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nFriendlyName=a",
    );
    my %socket;
    for my $where (keys %stalled) {
        $socket{$where} = IO::Socket::INET->new(PeerAddr => $host) or die "$@\n";
        $socket{$where}->syswrite($stalled{$where});
    }
    for my $where (sort keys %socket) {
        my $answer = '';
        1 while sysread $socket{$where}, $answer, 65536, length $answer;
        is_refused(Serverless::Reply->parse($answer), 408, undef, $where);
    }
};

subtest '413: bodies above the limit' => sub {
    my $limit = 256 * 1024;
    my $too_long = 'FriendlyName must not be longer than 255 characters';
    my $full = 'FriendlyName=' . 'a' x ($limit - 13);
    is_refused form($api, $functions, $full), 400, $too_long, 'a form of 256 KiB is read';
    is_refused form($api, $functions, $full . 'a'), 413, undef, 'a form one byte above the limit is 413';
    is_refused chunked($api, $functions, chunk($full) . "0\r\n\r\n"), 400, $too_long,
        'a chunked form one byte above the limit is 413';
    is_refused chunked($api, $functions, chunk($full) . chunk('a') . "0\r\n\r\n"), 413, undef,
        'a Content-Length one byte above the limit is 413';
    is_refused chunked($api, $functions, chunk('FriendlyName=a') . "FFFFFFFFFFFFFFFFFF\r\n"), 413,
        undef, 'a chunk that no computer holds';

    my $frugal = $api->on('frugal');
    $full = 'FriendlyName=' . 'a' x (1000 - 13);
    is_refused form($frugal, $functions, $full), 400, $too_long, 'LimitRequestBody: as much is read';
    is_refused form($frugal, $functions, $full . 'a'), 413, undef, 'a form one byte above LimitRequestBody is 413';
    is_refused chunked($frugal, $functions, chunk($full) . "0\r\n\r\n"), 400, $too_long,
        'a chunked form one byte above LimitRequestBody is 413';
    is_refused chunked($frugal, $functions, chunk($full) . chunk('a') . "0\r\n\r\n"), 413, undef,
        'a Content-Length one byte above LimitRequestBody is 413';
};

subtest '414: URLs above the limit' => sub {
    for my $target ("$services/" . 'a' x 9000, "$services?" . 'a' x 9000, '/' . 'a' x 9000) {
        is_refused $api->raw("GET $target HTTP/1.1\r\nHost: a\r\n\r\n"), 414, undef,
            quoted($target);
    }
};

subtest "415: content types other than the form's" => sub {
    for my $type ('application/json', 'multipart/form-data; boundary=a', 'text/plain', 'text/plain',
        'application/octet-stream', 'application/x-www-form-urlencodedx', 'nonsense',
        'application/x-www-form-urlencoded,text/plain') {
        for my $path ($services, $functions, "$functions/$function->{sid}") {
            is_refused form($api, $path, 'UniqueName=a&FriendlyName=a', $type), 415, undef,
                "$type, $path";
        }
    }
    is_refused form($api, $functions, '', 'application/json'), 415, undef, 'another content type without a body is 415';
    is_refused $api->raw_request("POST $functions HTTP/1.1",
        headers => ['Content-Length: 14'], body => 'FriendlyName=a'), 415, undef,
        'a body without a type';
    is_refused $api->raw_request("POST $functions HTTP/1.1",
        headers => [ 'Content-Length: 14', 'Content-Type:' ], body => 'FriendlyName=a'), 415, undef,
        'a body of an empty type';
    is_refused $api->raw_request("POST $functions HTTP/1.1",
        headers => ['Transfer-Encoding: chunked'], body => chunk('FriendlyName=a') . "0\r\n\r\n"),
        415, undef, 'a chunked body without a type';
    is_refused form($api, "$services/none/none", '{}', 'application/json'), 404,
        not_found('/Services/none/none'), '404 takes precedence over 415';
};

subtest '415: bodies with a Content-Encoding' => sub {
    my $message = 'The body must not have a Content-Encoding other than identity';
    my $body = 'UniqueName=a&FriendlyName=a';
    my $post = sub {
        my ($path, $coding) = @_;
        return $api->with('Content-Encoding' => $coding)->request(POST => $path, $body, $form);
    };
    for my $path ($services, $functions, "$functions/$function->{sid}") {
        for my $coding (qw(gzip GZIP x-gzip deflate br zstd compress nonsense), 'gzip, identity', 'identity, gzip') {
            my $reply = $post->($path, $coding);
            is_refused $reply, 415, $message, "$coding, $path";
            is $reply->header('Accept-Encoding'), 'identity', 'the answer says what is accepted';
        }
    }
    is_refused $api->raw_request("POST $functions HTTP/1.1", body => chunk($body) . "0\r\n\r\n",
        headers => [ "Content-Type: $form", 'Content-Encoding: gzip', 'Transfer-Encoding: chunked' ]),
        415, $message, 'a chunked body';
    is_refused $api->raw_request("POST $functions HTTP/1.1", body => $body, headers => [ "Content-Type: $form",
        'Content-Length: ' . length $body, 'Content-Encoding: identity', 'Content-Encoding: gzip' ]),
        415, $message, 'two headers';
    is_refused $api->with('Content-Encoding' => 'gzip')->request(POST => "$services/none/none", $body, $form), 404,
        not_found('/Services/none/none'), '404 takes precedence over a Content-Encoding';

    my $own = Serverless::Client->account;
    my $n = 0;
    for my $coding ('identity', 'Identity', '') {
        is $own->with('Content-Encoding' => $coding)->post($services, UniqueName => 'coded-' . ++$n, FriendlyName => 'a')->status,
            201, "'$coding' is no coding";
    }
};

subtest '417: unknown expectations' => sub {
    is_refused $api->raw_request("POST $functions HTTP/1.1", headers =>
        [ "Content-Type: $form", 'Content-Length: 14', 'Expect: nonsense' ], body => 'FriendlyName=a'),
        417, 'Expectation Failed', 'Expect: nonsense';
};

subtest 'HEAD of an error has the headers of GET and no body' => sub {
    for my $case (
        [ $api,       "$services/none",       404 ],
        [ $api,       "$services?PageSize=a", 400 ],
        [ $anonymous, $services,              401 ],
        [ $api,       '/nothing',             404 ],
        [ $api,       "$services/a%2Fb",      404 ],
        [ $api,       "$services/%zz",        400 ],
    ) {
        my ($client, $path, $status) = @$case;
        my ($head, $get) = map { $client->raw_request("$_ $path HTTP/1.1") } qw(HEAD GET);
        is $head->status, $status, "$path is $status";
        is $head->body, '', 'without a body';
        my %of = map { $_ => [ $head->header($_), $get->header($_) ] }
            qw(Content-Type Content-Length WWW-Authenticate Allow);
        is $of{$_}[0], $of{$_}[1], "$_ is that of GET" for sort keys %of;
        like $head->header('Twilio-Request-Id'), qr/^RQ[0-9a-f]{32}$/, 'HEAD of an error has a request id';
    }
};

subtest "a virtual host's ErrorDocument does not replace the API's errors" => sub {
    make_file('document.txt', 'a document');
    my ($documents, $stranger) = map { $_->on('documents') } $api, $anonymous;
    is_refused $documents->get("$services?PageSize=a"), 400,
        'PageSize must be a whole number from 1 to 1000', 'ErrorDocument does not replace the body of 400';
    is_refused $stranger->get($services), 401, undef, 'ErrorDocument does not replace the body of 401';
    is_refused $documents->get("$services/none"), 404, not_found('/Services/none'),
        'ErrorDocument does not replace the body of 404';
    is_refused $documents->request(PUT => $services), 405, undef, 'ErrorDocument does not replace the body of 405';
    is_refused form($documents, $functions, 'a' x (256 * 1024 + 1)), 413, undef,
        'ErrorDocument does not replace the body of 413';
    is_refused form($documents, $functions, 'a', 'text/plain'), 415, undef,
        'ErrorDocument does not replace the body of 415';
    is_refused $documents->raw_request("GET $services/%zz HTTP/1.1"), 400, undef, "of httpd's own 400";
    is_refused $documents->raw_request("GET $services/a%2Fb HTTP/1.1"), 404,
        not_found('/Services/a/b'), "of httpd's own 404";
    is $documents->get('/v2')->body, 'a document', 'ErrorDocument applies outside the API';
};

subtest 'unusual requests that are valid' => sub {
    my $before = @$rows;
    for my $case (
        [ 'a type with a charset',        'FriendlyName=a', "$form; charset=UTF-8" ],
        [ 'without a space',              'FriendlyName=a', "$form;charset=utf-8" ],
        [ 'in capitals',                  'FriendlyName=a', uc $form ],
        [ 'unknown parameters',           'X=1&FriendlyName=a&Y=', $form ],
        [ 'repeated ones',                'X=1&X=2&X=3&FriendlyName=a&X', $form ],
        [ 'those with brackets',          'X[name]=1&X[]=2&FriendlyName=a', $form ],
        [ 'one that is not UTF-8',        'X=%FF&FriendlyName=a', $form ],
        [ 'an encoded name',              'Friendly%4Eame=a', $form ],
        [ 'empty pairs',                  '&&FriendlyName=a&&', $form ],
        [ 'bytes that are not encoded',   "FriendlyName=a", $form ],
    ) {
        my ($what, $bytes, $type) = @$case;
        my $reply = form($api, $functions, $bytes, $type);
        is $reply->status, 201, $what;
        is $reply->json->{friendly_name}, 'a', 'FriendlyName of the unusual form is read';
        is $api->delete("$functions/" . $reply->json->{sid})->status, 204, '(and gone again)';
    }
    is form($api, $functions, "FriendlyName=caf\xc3\xa9")->json->{friendly_name}, "caf\x{e9}",
        'UTF-8 that is not percent-encoded';
    is form($api, $functions, 'FriendlyName=a=b+c;d')->json->{friendly_name}, 'a=b c;d',
        'only the first = parts name and value, + is a space, ; is nothing';

    my $url = "$services/$service->{sid}";
    for my $headers ([], ['Content-Length: 0'], [ "Content-Type: $form", 'Content-Length: 0' ],
        ["Content-Type: $form"]) {
        is $api->raw_request("POST $url HTTP/1.1", headers => $headers)->status, 200,
            'POST with neither body nor type is an empty form: ' . join ', ', @$headers;
    }
    is $api->get("$services?X=1&X=2&page_size=a&PageSize=1")->status, 200,
        'unknown parameters of a query';
};

subtest 'the requests of this suite caused no internal error' => sub {
    open my $log, '<', $access_log or die "$access_log: $!\n";
    seek $log, $logged_before, 0;
    my @lines = <$log>;
    ok @lines > 100, 'the access log has them';
    is_deeply [ grep / HTTP[^"]*" 5\d\d /, @lines ], [], 'the access log has no status of 500 or more';
};

done_testing;
