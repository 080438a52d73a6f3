# CORS: the headers that tell a browser which other sites' pages may use the API.
use strict;
use warnings FATAL => 'all';

use Apache::Test qw(-withtestmore);
use Serverless::Project;
use Serverless::Server;
use Serverless::Test;
use Test::More;

my $services = '/v1/Services';
my $origin = 'https://app.example.com';
my $account = Serverless::Client->account->on('cors');
my $api = $account->with(Origin => $origin);
my $anonymous = Serverless::Client->client->on('cors');
my $page = $anonymous->with(Origin => $origin);
my $service = $api->post($services, UniqueName => 'cors', FriendlyName => 'C')->json;
my $functions = "$services/$service->{sid}/Functions";

# What a page of that origin is told, with every answer.
sub told {
    my ($origin) = @_;
    return {
        'access-control-allow-credentials' => 'true',
        'access-control-allow-headers'     => 'Accept, Authorization, Content-Type, If-Match, '
            . 'If-Modified-Since, If-None-Match, If-Unmodified-Since, Idempotency-Key, If-Range, Range',
        'access-control-allow-methods'     => 'GET, POST, DELETE, OPTIONS',
        'access-control-allow-origin'      => $origin,
        'access-control-expose-headers'    => 'ETag, Accept-Ranges, Allow, Content-Range, '
            . 'Idempotent-Replayed, Location, Retry-After, Twilio-Request-Id',
        'vary'                             => 'Origin',
    };
}

# These headers of an answer.
sub cors {
    my ($reply) = @_;
    return { map { $_ => $reply->header($_) } grep { /^access-control-|^vary$/ } keys %{ $reply->{headers} } };
}

# What a browser asks before it sends a request that a form could not make.
sub preflight {
    my ($client, $path, %headers) = @_;
    %headers = ('Access-Control-Request-Method' => 'DELETE',
        'Access-Control-Request-Headers' => 'authorization', %headers);
    return $client->with(%headers)->request(OPTIONS => $path);
}

# All of a preflight's answer.
sub is_allowed {
    my ($reply, $origin, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my %headers = %{ $reply->{headers} };
    like delete $headers{'twilio-request-id'}, qr/^RQ[0-9a-f]{32}$/, 'an id';
    delete @headers{qw(date server connection keep-alive)};
    is_deeply [$reply->status, $reply->body, \%headers],
        [204, '', { %{ told($origin) }, 'access-control-max-age' => 7200, 'x-content-type-options' => 'nosniff' }], $name;
}

# It is as if there had been no CORS, but that caches are told of the Origin.
sub is_unauthenticated {
    my ($reply, $cors, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is_error $reply, 401, 20003, 'Authenticate', $name;
    is $reply->header('WWW-Authenticate'), 'Basic realm="Twilio API"', 'credentials are asked for';
    is_deeply cors($reply), $cors, 'CORS headers: ' . join ', ', sort keys %$cors;
}

my $nobody = { vary => 'Origin' };

subtest 'every answer to an allowed origin has the CORS headers' => sub {
    make_file('alias.txt', 'of Alias');
    make_file('proxied.txt', 'of another server');
    my $key = Serverless::Client->client(db()->selectrow_array(
        'SELECT * FROM serverless.create_api_key(?, ?)', undef, $account->user, 'test'))->on('cors');
    is $key->get($services)->status, 200, '(a key)';
    db()->do('SELECT serverless.revoke_api_key(?)', undef, $key->user);
    my $made = $api->post($functions, FriendlyName => 'f');
    my $modified = $account->undescribed->get("$services/alias")->header('Last-Modified');
    my $form = 'application/x-www-form-urlencoded';
    my $content = Serverless::Project->new($api)->new_version(kind => 'asset', content => 'abc')->{url} . '/Content';
    my $tag = $account->get($content)->header('ETag');
    my $absent = Serverless::Server->start('absent', "ServerlessCORSOrigins $origin\n"
        . Serverless::Server->database(database => 'absent') . Serverless::Server->api);

    for my $case (
        [ 200, 'a resource',                       $api->get("$services/cors") ],
        [ 200, 'its HEAD',                         $api->head("$services/cors") ],
        [ 200, 'a list',                           $api->get($functions) ],
        [ 201, 'a new resource',                   $made ],
        [ 204, 'a deletion',                       $api->delete($made->json->{url}) ],
        [ 204, 'OPTIONS',                          $api->request(OPTIONS => $services) ],
        [ 200, 'a file',                           $api->undescribed->get("$services/alias") ],
        [ 304, 'what has not changed',
            $api->undescribed->with('If-Modified-Since' => $modified)->get("$services/alias") ],
        [ 200, 'the content of an Asset',          $api->get($content) ],
        [ 206, 'a part of it',                     $api->with(Range => 'bytes=0-0')->get($content) ],
        [ 304, 'which the page has',               $api->with('If-None-Match' => $tag)->get($content) ],
        [ 400, 'a parameter',                      $api->get($services, PageSize => 'a') ],
        [ 400, 'a body that is no HTTP',           $api->raw_request("POST $services HTTP/1.1", body => "nonsense\r\n",
            headers => [ "Origin: $origin", 'Transfer-Encoding: chunked', "Content-Type: $form" ]) ],
        [ 401, 'no credentials',                   $page->get($services) ],
        [ 401, 'wrong ones',                       $page->with(Authorization => 'Basic QUM6eA==')->get($services) ],
        [ 401, 'a revoked key',                    $key->with(Origin => $origin)->get($services) ],
        [ 403, 'httpd denies it to everybody',     $api->get("/denied$services") ],
        [ 404, 'no such path',                     $api->get("$services/none/none") ],
        [ 404, 'no such resource',                 $api->get("$services/none") ],
        [ 404, 'an encoded slash',                 $api->get("$services/a%2Fb") ],
        [ 405, 'no such method',                   $api->request(PUT => $services) ],
        [ 409, 'a conflict',                       $api->post($services, UniqueName => 'cors', FriendlyName => 'C') ],
        [ 412, 'a Service that is another by now',
            $api->with('If-Match' => '"another"')->post("$services/cors", FriendlyName => 'D') ],
        [ 412, 'and such a content',               $api->with('If-Match' => '"another"')->get($content) ],
        [ 413, 'a large form',                     $api->request(POST => $services, 'a' x 501, $form) ],
        [ 413, 'a body that is too large for httpd', $api->request(POST => $services, 'a' x 1001, $form) ],
        [ 415, 'another type',                     $api->request(POST => $services, '{}', 'application/json') ],
        [ 416, 'a part that is not there',         $api->with(Range => 'bytes=9-')->get($content) ],
        [ 503, 'no database',                      $api->at($absent->address)->get($services) ],
    ) {
        my ($status, $name, $reply) = @$case;
        is $reply->status, $status, "$status: $name";
        is_deeply cors($reply), told($origin), "with the headers: $name";
    }
    is_allowed preflight($page->at($absent->address), $services), $origin,
        'a preflight does not need the database';
};

subtest 'which origins ServerlessCorsOrigins allows' => sub {
    for my $case (
        [ 'the first',                $origin,                          told($origin) ],
        [ 'the second, in its lower-case form', 'http://localhost:3000', told('http://localhost:3000') ],
        [ 'none',                     undef,                            $nobody ],
        [ 'an empty one',             '',                               $nobody ],
        [ 'a page without one',       'null',                           $nobody ],
        [ 'anybody',                  '*',                              $nobody ],
        [ 'None, which is no origin', 'None',                           $nobody ],
        [ 'another site',             'https://example.org',            $nobody ],
        [ 'another scheme',           'http://app.example.com',         $nobody ],
        [ 'another port',             'https://app.example.com:8443',   $nobody ],
        [ 'no port',                  'http://localhost',               $nobody ],
        [ 'capitals',                 'https://APP.example.com',        $nobody ],
        [ 'a subdomain',              'https://a.app.example.com',      $nobody ],
        [ 'the domain above',         'https://example.com',            $nobody ],
        [ 'what begins like it',      'https://app.example.com.evil.org', $nobody ],
        [ 'what ends like it',        'https://evilapp.example.com',    $nobody ],
        [ 'a slash',                  'https://app.example.com/',       $nobody ],
        [ 'the name alone',           'app.example.com',                $nobody ],
        [ 'two in one',               "$origin $origin",                $nobody ],
        [ 'two',                      [ $origin, $origin ],             $nobody ],
    ) {
        my ($name, $from, $expected) = @$case;
        my %header = defined $from ? (Origin => $from) : ();
        my $reply = $account->with(%header)->get("$services/cors");
        is_reply $reply, 200, $service, "$name: the answer is the same";
        is_deeply cors($reply), $expected, "$name: the CORS headers of the answer";
        next if $expected != $nobody;
        is_unauthenticated preflight($anonymous->with(%header), $services), $nobody, "$name: a preflight is refused";
    }
};

subtest 'a preflight is answered without credentials' => sub {
    for my $path ($services, "$services/cors", "$services/$service->{sid}", $functions, "$services/none",
        "$services/none/none", "$services/") {
        is_allowed preflight($page, $path, 'Access-Control-Request-Method' => $_), $origin, "$_ $path"
            for qw(GET POST DELETE PUT NONSENSE);
    }
    is_allowed preflight($anonymous, $services, Origin => 'http://localhost:3000'), 'http://localhost:3000',
        'a preflight of the second allowed origin is answered';
    is_allowed preflight($page, $services, Authorization => 'Basic QUM6eA=='), $origin,
        'credentials that it has are not looked at';
    is_allowed preflight($page, "/x/..$services"), $origin, 'a path with dots';
    is preflight($page, "/varied$services")->header('X-Always'), 'set', 'mod_headers may add to the answer';

    my $head = "Host: a\r\nOrigin: $origin\r\nAccess-Control-Request-Method: GET\r\n";
    my $replies = $page->raw("OPTIONS $services HTTP/1.1\r\n${head}Content-Length: 4\r\n\r\nbody"
        . "OPTIONS $services HTTP/1.1\r\n${head}\r\n");
    is_deeply [ $replies->bytes =~ m{^(HTTP/1\.1 .*)\r\n}mg ], ['HTTP/1.1 204 No Content'],
        'a body is not read: the connection is closed after the answer';
};

subtest 'requests other than a preflight need credentials' => sub {
    my $ask = { Origin => $origin, 'Access-Control-Request-Method' => 'GET',
        'Access-Control-Request-Headers' => 'authorization' };
    is_unauthenticated $anonymous->with(%$ask)->request($_ => "$services/cors"), told($origin), "$_ with its headers"
        for qw(GET POST DELETE PUT PATCH PROPFIND NONSENSE);
    is $anonymous->with(%$ask)->head("$services/cors")->status, 401, 'HEAD with its headers';
    is_unauthenticated $page->request(OPTIONS => $services), told($origin), 'OPTIONS without a method to ask for';
    my $reply = $api->request(OPTIONS => "$services/cors");
    is_deeply [$reply->status, $reply->header('Allow'), cors($reply)],
        [204, 'GET, HEAD, POST, DELETE, OPTIONS', told($origin)], 'OPTIONS with credentials is what it was';
    is $api->get("$services/cors")->status, 200, 'none of these requests changed the Service';
};

subtest 'preflights of paths that httpd maps outside the API' => sub {
    is $account->undescribed->get("$services/alias")->body, 'of Alias', 'a file';
    is_unauthenticated preflight($page, "$services/alias"), told($origin),
        'a preflight of an aliased path needs credentials';
    is $account->undescribed->get("$services/proxied")->body, 'of another server', 'another server';
    is_allowed preflight($page, "$services/proxied"), $origin, 'a preflight of a proxied path is answered by httpd';
};

subtest 'a preflight is subject to the rules of the Location that need no user' => sub {
    for my $prefix ('/address', '/denied') {
        my $reply = preflight($page, "$prefix$services");
        is_error $reply, 403, 20403, 'Access is forbidden', $prefix;
        is_deeply cors($reply), told($origin), 'the answer has the CORS headers';
    }
};

subtest 'Vary of answers with and without CORS' => sub {
    is $account->get("/varied$services")->header('Vary'), 'Origin,Accept-Language', 'names all, and each once';
    is $account->get("/varied$services/none")->header('Vary'), 'Origin,Accept-Language', 'Vary of an error has Origin';
    is $anonymous->get("/varied$services")->header('Vary'), 'Origin', 'Vary of a 401 of httpd has Origin';
};

subtest 'without ServerlessCorsOrigins no answer has a CORS header' => sub {
    is_deeply cors($_), {}, 'no header tells of it: ' . $_->status
        for $api->get("/none$services"), $api->get("/none$services/none"), $page->get("/none$services"),
        $api->get('/nothing'), $api->get('/none'), $api->on('api')->get($services),
        $api->raw("GET $services HTTP/1.1\r\nOrigin: $origin\r\n\r\n"),
        $api->get("$services/%zz");
    is_unauthenticated preflight($page, "/none$services"), {}, 'without ServerlessCorsOrigins a preflight is 401';
    is_unauthenticated preflight($page->on('api'), $services), {},
        'on a host without ServerlessCorsOrigins a preflight is 401';
    is preflight($page->on('unprotected'), $services)->status, 403, 'without authentication a preflight is 403';
};

done_testing;
