# HTTP itself: methods, headers, connections and paths of the API, and how other directives
# of httpd apply to it.
use strict;
use warnings FATAL => 'all';

use Apache::Test qw(-withtestmore);
use IO::Compress::Gzip qw(gzip $GzipError);
use IO::Socket::INET ();
use Serverless::Server;
use Serverless::Test;
use Test::More;

my $services = '/v1/Services';
my $form = 'application/x-www-form-urlencoded';
my $api = Serverless::Client->account;
my $anonymous = Serverless::Client->client;
my $service = $api->post($services, UniqueName => 'http', FriendlyName => 'H')->json;
my $functions = "$services/$service->{sid}/Functions";
my $function = $api->post($functions, FriendlyName => 'f')->json;

my $single = 'GET, HEAD, POST, DELETE, OPTIONS';
my $list = 'GET, HEAD, POST, OPTIONS';
my %allowed = (
    $services                     => $list,
    "$services/$service->{sid}"   => $single,
    "$services/http"              => $single,
    $functions                    => $list,
    "$functions/$function->{sid}" => $single,
);

# All headers but those that differ from answer to answer.
sub headers {
    my ($reply) = @_;
    my %headers = %{ $reply->{headers} };
    delete @headers{qw(date twilio-request-id)};
    return \%headers;
}

# The headers that raw requests need, as lines.
sub lines { join '', map "$_\r\n", @_ }

subtest 'HEAD is GET without the body' => sub {
    for my $path (sort keys %allowed) {
        my ($head, $get) = ($api->head($path), $api->get($path));
        is $head->status, 200, "HEAD $path";
        is $head->body, '', 'has no body';
        is_deeply headers($head), headers($get), 'HEAD has the headers of GET';
        is $head->header('Content-Length'), length $get->body, 'Content-Length too';
    }
    my $reply = $api->raw("HEAD $services HTTP/1.1\r\n" . lines('Host: a', $api->authorization)
        . "\r\nGET $services/http HTTP/1.1\r\n"
        . lines('Host: a', 'Connection: close', $api->authorization) . "\r\n");
    like $reply->bytes, qr/\r\n\r\nHTTP\/1\.1 200 OK\r\n/, 'the next answer follows its headers';
};

subtest 'OPTIONS answers the allowed methods of each path' => sub {
    for my $path (sort keys %allowed) {
        my $reply = $api->request(OPTIONS => $path);
        is $reply->status, 204, "OPTIONS $path";
        is $reply->header('Allow'), $allowed{$path}, "Allow: $allowed{$path}";
        is $reply->body, '', 'the answer to OPTIONS has no body';
    }
    is_error $api->request(OPTIONS => "$services/none/none"), 404, 20404,
        'The requested resource /Services/none/none was not found', 'OPTIONS of a path that does not exist is 404';
    is $api->raw_request('OPTIONS * HTTP/1.1')->status, 200, 'OPTIONS * is answered by httpd';
};

# httpd would cut it out of any success, and say 416 of an update that it has let through.
subtest 'Range is ignored for JSON' => sub {
    my $address = "$functions/$function->{sid}";
    for my $name ('Range', 'Request-Range') {
        for my $range ('bytes=0-9', 'bytes=-1', 'bytes=5-,0-1', 'bytes=99999-') {
            my $client = $api->with($name => $range);
            is_reply $client->get($address), 200, { %$function, date_updated => date }, "$name: $range: a resource";
            is_deeply headers($client->head($address)), headers($api->head($address)), '- its HEAD';
            is $client->get($functions)->body, $api->get($functions)->body, '- a list';
            my $updated = $client->post($address, FriendlyName => 'f');
            is_reply $updated, 200, { %$function, date_updated => date }, '- an update';
            is $updated->header('Content-Range'), undef, '- which tells of no range';
        }
    }
    is $api->with('If-Range' => '"a"', Range => 'bytes=0-9')->get($address)->status, 200,
        'If-Range is ignored for JSON';
};

subtest 'every answer has a request id' => sub {
    my %seen;
    my $made = $api->post($services, UniqueName => 'id', FriendlyName => 'I');
    for my $case (
        [ 200, $api->get($services) ],
        [ 200, $api->head($services) ],
        [ 200, $api->post("$services/id", FriendlyName => 'J') ],
        [ 201, $made ],
        [ 204, $api->delete("$services/id") ],
        [ 204, $api->request(OPTIONS => $services) ],
        [ 400, $api->get($services, PageSize => 'a') ],
        [ 400, $api->raw("NONSENSE\r\n\r\n") ],
        [ 401, $anonymous->get($services) ],
        [ 403, $anonymous->on('unprotected')->get($services) ],
        [ 404, $api->get("$services/none") ],
        [ 404, $api->get('/nothing') ],
        [ 405, $api->request(PUT => $services) ],
        [ 415, $api->request(POST => $services, '{}', 'application/json') ],
    ) {
        my ($status, $reply) = @$case;
        is $reply->status, $status, "an answer of $status";
        like $reply->header('Twilio-Request-Id'), qr/^RQ[0-9a-f]{32}$/, 'has an id';
        ok !$seen{ $reply->header('Twilio-Request-Id') // '' }++, 'every answer has a request id of its own';
    }
    my $mine = 'RQ' . '0' x 32;
    isnt $api->with('Twilio-Request-Id' => $mine)->get($services)->header('Twilio-Request-Id'), $mine,
        'which is not the client\'s to choose';
    is $api->on('elsewhere')->get('/')->header('Twilio-Request-Id'), undef,
        'a host without the API has none';
};

subtest 'the error log has the request id of the answer' => sub {
    error_log();
    my $wrong = Serverless::Client->client($api->user, 'wrong');
    for my $case (
        [ 'the module',     qr/SF0007/, sub { $anonymous->on('unprotected')->get($services) } ],
        [ 'mod_auth_basic', qr/AH01617/, sub { $wrong->get($services) } ],
        [ "httpd's core",   qr/AH00026/, sub { $api->raw_request("GET $services/a%2Fb HTTP/1.1") } ],
    ) {
        my ($whose, $line, $ask) = @$case;
        my $id = $ask->()->header('Twilio-Request-Id');
        my @lines = grep { /$line/ } split /\n/, error_log();
        is scalar(@lines), 1, "$whose logs a line";
        like $lines[0] // '', qr/\[\Q$id\E\]/, 'the log line has the request id of the answer';
    }
};

subtest "directives in the API's Location apply to the API" => sub {
    make_file('alias.txt', 'of Alias');
    make_file('proxied.txt', 'of ProxyPass');
    make_file('rewritten.txt', 'of RewriteRule');
    my $crowded = $api->on('crowded');
    my $others = $crowded->undescribed;
    is $others->get("$services/alias")->body, 'of Alias', 'Alias';
    is $others->get("$services/proxy")->body, 'of ProxyPass', 'ProxyPass';
    is $others->get("$services/rewrite")->body, 'of RewriteRule', 'RewriteRule';
    is_error $anonymous->on('crowded')->get("$services/$_"), 401, 20003, 'Authenticate',
        "the Location's authentication holds for $_" for qw(alias proxy rewrite);
    is_reply $crowded->get("$services/http"), 200,
        { %$service, url => qr{/$service->{sid}$}, links => $crowded->get("$services/http")->json->{links} },
        "every other path of the Location is the API's";
};

subtest 'directives for files do not apply to the API' => sub {
    make_file('fallback.txt', 'of FallbackResource');
    my $crowded = $api->on('crowded');
    for my $name (qw(a.gz b.fr c.html d.fr.gz)) {
        my $made = $crowded->post($services, UniqueName => $name, FriendlyName => 'F');
        my $fetched = $crowded->get("$services/$name");
        is_reply $fetched, 200, $made->json, "a Service named $name";
        for my $reply ($made, $fetched, $crowded->get("$services/none.gz")) {
            is $reply->header('Content-Type'), 'application/json',
                'an answer of the API has JSON as its type, whatever is configured for files';
            is $reply->header($_), undef, "without $_"
                for qw(Content-Encoding Content-Language Content-Location Vary);
        }
        is $crowded->delete("$services/$name")->status, 204, 'a Service that is named like a file can be deleted';
    }
    is $crowded->get('/none')->body, 'of FallbackResource', 'FallbackResource works elsewhere';
    is_error $crowded->get("$services/none"), 404, 20404,
        'The requested resource /Services/none was not found', 'FallbackResource does not apply to the API';

    is $crowded->get('/fallback.txt')->header('X-Directory'), 'walked', 'a directory of a file';
    is $crowded->get("$services$_")->header('X-Directory'), undef,
        "no file is looked for after the path $services$_" for '', '/http', '/none', '/http/Functions';
};

# A 400 would end it: httpd takes that for a client it does not understand.
subtest 'several requests on one connection' => sub {
    my @requests = (
        [ "GET $services/http HTTP/1.1",    '' ],
        [ "POST $functions HTTP/1.1",       'FriendlyName=kept' ],
        [ "GET $functions?PageSize=1 HTTP/1.1", 'a body that GET has no use for' ],
        [ "PUT $services HTTP/1.1",         'nor has a method that is not allowed' ],
        [ "POST $services/none/none HTTP/1.1", 'FriendlyName=lost' ],
        [ "DELETE $services/none HTTP/1.1", 'nor DELETE' ],
        [ "OPTIONS $services HTTP/1.1",     '' ],
        [ "HEAD $services/http HTTP/1.1",   '' ],
    );
    my @expected = (200, 201, 200, 405, 404, 404, 204, 200, 200);
    my $bytes = join '', map {
        my ($line, $body) = @$_;
        "$line\r\n" . lines('Host: a', $api->authorization, "Content-Type: $form",
            'Content-Length: ' . length $body) . "\r\n$body";
    } @requests;
    $bytes .= "GET $services HTTP/1.1\r\n" . lines('Host: a', 'Connection: close', $api->authorization)
        . "\r\n";
    my @statuses = $api->raw($bytes)->bytes =~ m{HTTP/1\.1 (\d{3}) }g;
    is_deeply \@statuses, \@expected, 'pipelined requests are answered in order';
};

subtest 'requests of HTTP/1.0' => sub {
    my $url = $api->base . "$services/$service->{sid}";
    my $reply = $api->raw("GET $services/http HTTP/1.0\r\n" . $api->authorization . "\r\n\r\n");
    is_reply $reply, 200,
        { %$service, url => qr{^http://[^/]+\Q$services/$service->{sid}\E$},
            links => $reply->json->{links} }, 'a resource, without Host';
    is_reply $api->raw("GET $services/http HTTP/1.0\r\n"
        . lines("Host: $api->{host}", $api->authorization) . "\r\n"), 200, $service, 'a request of HTTP/1.0 with Host';

    my $page = $api->raw("GET $functions HTTP/1.0\r\n"
        . lines("Host: $api->{host}", $api->authorization) . "\r\n");
    is $page->header('Transfer-Encoding'), undef, 'a list is not chunked';
    is_deeply $page->json, $api->get($functions)->json, 'a list of HTTP/1.0 is the same';

    my $made = $api->raw("POST $functions HTTP/1.0\r\n" . lines($api->authorization,
        "Content-Type: $form", 'Content-Length: 14') . "\r\nFriendlyName=0");
    is $made->status, 201, 'a form';
};

subtest 'a request with an absolute URL as its target' => sub {
    my $reply = $api->raw_request("GET http://api.example.com:99$services/http HTTP/1.1",
        host => 'other.example.com');
    is $reply->status, 200, 'an absolute URL as target is answered like its path';
    is $reply->json->{url}, "http://api.example.com:99$services/$service->{sid}",
        'url has the host of the absolute URL, not of Host';
};

subtest 'repeated slashes and dot segments in paths' => sub {
    for my $path ("/v1//Services///http", "/./v1/../v1/Services/./http", '/%76%31/Services/%68ttp',
        "$services/x/../http", "$services/x/%2e%2e/http") {
        is_reply $api->raw_request("GET $path HTTP/1.1"), 200, $service, "$path is $services/http";
    }
};

subtest 'the API at another path than /v1/Services' => sub {
    my $prefixed = $api->on('prefixed');
    my $base = $prefixed->base . "/twilio$services";
    my $made = $prefixed->post("/twilio$services", UniqueName => 'prefixed', FriendlyName => 'P');
    is $made->status, 201, 'create';
    my $sid = $made->json->{sid};
    is $made->header('Location'), "$base/$sid", 'Location has the prefix';
    is $made->json->{url}, "$base/$sid", 'url too';
    is_deeply $made->json->{links}, {
        environments => "$base/$sid/Environments",
        functions    => "$base/$sid/Functions",
        assets       => "$base/$sid/Assets",
        builds       => "$base/$sid/Builds",
    }, 'links have the other prefix';
    is_reply $prefixed->get($made->json->{url}), 200, $made->json, 'fetch';

    $prefixed->post($made->json->{links}{functions}, FriendlyName => $_) for 1, 2;
    my $page = $prefixed->get($made->json->{links}{functions}, PageSize => 1)->json;
    is $page->{meta}{url}, "$base/$sid/Functions?PageSize=1&Page=0", 'meta of a list';
    is scalar(@{ $prefixed->get($page->{meta}{next_page_url})->json->{functions} }), 1,
        'whose next page is there';
    my ($token) = $page->{meta}{next_page_url} =~ /PageToken=(.*)/;
    is $api->get("$services/$sid/Functions", PageToken => $token)->status, 200,
        'a PageToken is valid for the same list under another prefix';

    is_error $prefixed->get("/twilio$services/none"), 404, 20404,
        'The requested resource /Services/none was not found', 'messages do not have it';
    is_error $prefixed->undescribed->get($services), 404, 20404, qr/^The requested resource .* was not found$/,
        'without the prefix, the path is 404';
};

subtest 'requests with chunked bodies' => sub {
    my %sent = (
        'in one'          => "11\r\nFriendlyName=part\r\n0\r\n\r\n",
        'byte by byte'    => join('', map { "1\r\n$_\r\n" } split //, 'FriendlyName=part') . "0\r\n\r\n",
        'with extensions' => "D;a=b;c=\"d\"\r\nFriendlyName=\r\n004\r\npart\r\n0\r\n\r\n",
        'with a trailer'  => "11\r\nFriendlyName=part\r\n0\r\nX: y\r\n\r\n",
    );
    for my $how (sort keys %sent) {
        my $reply = $api->raw_request("POST $functions HTTP/1.1", headers =>
            [ "Content-Type: $form", 'Transfer-Encoding: chunked' ], body => $sent{$how});
        is $reply->status, 201, $how;
        is eval { $reply->json->{friendly_name} }, 'part', 'a chunked form is read';
    }
    is $api->raw_request("POST $services/http HTTP/1.1", headers => ['Transfer-Encoding: chunked'],
        body => "0\r\n\r\n")->status, 200, 'an empty chunked body is an empty form';
};

subtest 'a create with Expect: 100-continue' => sub {
    my $ask = sub {
        my ($client, $path) = @_;
        my $socket = IO::Socket::INET->new(PeerAddr => $api->{host}, Timeout => 120) or die "$@\n";
        $socket->syswrite("POST $path HTTP/1.1\r\n" . lines("Host: $api->{host}",
            'Connection: close', defined $client->user ? $client->authorization : (),
            "Content-Type: $form", 'Content-Length: 14', 'Expect: 100-continue') . "\r\n");
        sysread $socket, my $answer, 65536;
        return ($socket, $answer);
    };
    my ($socket, $answer) = $ask->($api, $functions);
    is $answer, "HTTP/1.1 100 Continue\r\n\r\n", 'the body is asked for';
    $socket->syswrite('FriendlyName=a');
    $answer = '';
    1 while sysread $socket, $answer, 65536, length $answer;
    is(Serverless::Reply->parse($answer)->status, 201, 'the body after 100 Continue is read');

    (undef, $answer) = $ask->($anonymous, $functions);
    like $answer, qr{^HTTP/1\.1 401 }, 'without credentials, Expect: 100-continue is answered 401';
    (undef, $answer) = $ask->($api, "$services/none/none");
    like $answer, qr{^HTTP/1\.1 404 }, 'for a path that does not exist, Expect: 100-continue is answered 404';
};

subtest 'SetInputFilter DEFLATE: mod_deflate decodes the bodies of requests' => sub {
    my $server = Serverless::Server->start('input_filter',
        Serverless::Server->database . Serverless::Server->api(undef, 'SetInputFilter DEFLATE'));
    my $there = $api->at($server->address)->with('Content-Encoding' => 'gzip');
    my $plain = 'FriendlyName=packed';
    gzip(\$plain, \my $packed) or die $GzipError;
    my $reply = $there->request(POST => $functions, $packed, $form);
    is $reply->status, 201, 'a form with Content-Encoding: gzip is decoded';
    is $reply->json->{friendly_name}, 'packed', 'and read';
    is $api->with('Content-Encoding' => 'gzip')->request(POST => $functions, $packed, $form)->status, 415,
        'without the filter it is 415';
};

done_testing;
