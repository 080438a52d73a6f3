# A domain: requests to the domain of an Environment find what is deployed there. One subtest for each
# rule: which host, which Environment, which path, which method, which visibility; Assets; errors.
use strict;
use warnings FATAL => 'all';

use Apache::Test qw(-withtestmore);
use Serverless::Database;
use Serverless::Project;
use Serverless::Server;
use Serverless::Test;
use Test::More;

my $TAIL = 'functions.example.com';

my $api = Serverless::Client->account;
my $project = Serverless::Project->new($api, "domain-$$");

# Files of the first Build: Assets with this content, unless the row says otherwise.
sub asset {
    my ($path, $content, %with) = @_;
    return $project->new_version(kind => 'asset', path => $path, content => $content, type => 'text/html', %with);
}
my $text = join '', map { "line $_\n" } 1 .. 100;
my $large = join '', map { chr(ord('a') + $_ % 26) } 1 .. 600_000;
my @versions = (
    asset('/page.html', '<p>page</p>'), asset('/assets/index.html', '<p>index</p>'), asset('/empty', ''), asset('/guarded', 'guarded'),
    asset('/text', $text, type => 'text/plain'), asset('/large', $large), asset("/caf\xc3\xa9", 'cafe'),
    asset('/protected.html', 'secret', visibility => 'protected'),
    asset('/private.html', 'secret', visibility => 'private'),
    $project->new_version(path => '/hello', content => 'exports.handler = 1;'),
    $project->new_version(path => '/hidden', visibility => 'private', content => 'exports.handler = 1;'),
);
my $build = $project->completed(@versions);
my $environment = $project->new_environment('first', 'first');
$project->deploy($environment, $build);
my $empty = $project->new_environment('second', 'second');
my $label = $environment->{domain_name} =~ s/\..*//r;
my $host = "$label.$TAIL";

my $documents = Serverless::SharedServer::make_file("document-$$.txt", "the administrator's document\n");
my $server = Serverless::Server->start('domains', Serverless::Server->database . <<"END" . Serverless::Server->api);
ServerlessDomain     $TAIL
ServerlessExecution  On
MaxKeepAliveRequests 0
DocumentRoot         "@{[ Apache::Test::vars('documentroot') ]}"
Alias                "/alias.txt" "@{[ Apache::Test::vars('documentroot') ]}/document-$$.txt"
ProxyPass            "/proxied.txt" "http://127.0.0.1:@{[ Apache::Test::vars('port') ]}/document-$$.txt"
RewriteEngine        On
RewriteRule          "^/rewritten\.txt\$" "/alias.txt" [PT]
RewriteRule          "^/renamed\$" "/page.html" [PT]
RewriteRule          "^/moved\$" "https://www.example.com/" [R=302]
<Location "/description">
    SetHandler serverless-openapi
</Location>
<Location "/guarded">
    Require ip 192.0.2.1
</Location>
END
my $client = Serverless::Client->client->at($server->address)->undescribed;

# Sends a request to a domain; returns the answer.
sub call {
    my ($line, %with) = @_;
    $line = "GET $line" if $line =~ m{^/};
    return $client->raw_request("$line HTTP/1.1", host => $host, %with);
}

# Compares the status and the text of an error, and what each answer of a domain has.
sub is_refused {
    my ($reply, $status, $text, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is_deeply { map { $_ => $reply->$_ } qw(status body) }, { status => $status, body => "$text\n" }, $name;
    is_marked($reply, $name);
    like $reply->header('Content-Type'), qr{^text/plain}, "$name: as text";
}

sub is_marked {
    my ($reply, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    like $reply->header('Twilio-Request-Id') // '', qr/^RQ[0-9a-f]{32}$/, "$name: with a request id";
    is $reply->header('X-Content-Type-Options'), 'nosniff', "$name: with nosniff";
}

sub is_not_found {
    my ($reply, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is_refused($reply, 404, 'Nothing was found here.', $name);
}

sub is_asset {
    my ($reply, $content, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is_deeply { map { $_ => $reply->$_ } qw(status body) }, { status => 200, body => $content }, $name;
    is_marked($reply, $name);
}

subtest 'the host names the Environment: lower-cased, without port and trailing dot' => sub {
    is_asset call('/page.html', host => $_), '<p>page</p>', "Host: $_"
        for $host, uc $host, "$host:8080", "$host.", "$host.:1";
};

subtest 'a host that names no Environment, and one without a Build, are the same 404' => sub {
    my ($second) = $empty->{domain_name} =~ /^([^.]+)/;
    is_not_found call('/page.html', host => "$_.$TAIL"), "Host: $_"
        for $second, 'nobody-0000', "x.$label", '-a', 'a-', 'a_b', "$label-", 'a' x 64, 'a' x 63;
};

subtest 'a host that is not below the tail is not a domain: httpd answers' => sub {
    for my $other ('127.0.0.1', $TAIL, "x$TAIL", "$label.example.com") {
        my $reply = call("/document-$$.txt", host => $other);
        is_deeply [$reply->status, $reply->body], [200, "the administrator's document\n"], "Host: $other";
    }
};

subtest 'the path is a whole key: exact, case-sensitive' => sub {
    is_not_found call($_), $_ for '/page', '/page.html/', '/Page.html', '/page.htm', '/none', '/assets', '/assets/';
    is_asset call('/text?a=b&c'), $text, 'a query does not count';
};

subtest 'the path is decoded once' => sub {
    is_asset call('/%70age.html'), '<p>page</p>', '%70 is p';
    is_asset call('/caf%c3%a9'), 'cafe', 'UTF-8';
    is_not_found call('/%2570age.html'), '%25 is decoded once';
    is_not_found call('/assets%2Findex.html'), '%2F is 404';
};

subtest 'the root is the path /, or else the public Asset /assets/index.html' => sub {
    is_asset call('/'), '<p>index</p>', 'the index';
    is_asset call('/assets/index.html'), '<p>index</p>', 'which has its own path, too';
    is_not_found call('/index.html'), '/index.html is another path';
    my $rooted = $project->new_environment('rooted', 'rooted');
    my ($other) = $rooted->{domain_name} =~ /^([^.]+)/;
    $project->deploy($rooted, $project->completed(asset('/', 'root'), asset('/assets/index.html', 'index')));
    is_asset call('/', host => "$other.$TAIL"), 'root', 'a Version at / comes first';
    $project->deploy($rooted, $project->completed(asset('/assets/index.html', 'index', visibility => 'protected')));
    is_not_found call('/', host => "$other.$TAIL"), 'a protected index does not serve as root';
};

subtest 'OPTIONS is answered without the Function, with the three headers' => sub {
    for my $path ('/hello', '/page.html', '/protected.html') {
        my $reply = call("OPTIONS $path", headers => ['Origin: https://x.example.com', 'Access-Control-Request-Method: POST']);
        is_deeply [$reply->status, $reply->body, map { $reply->header("Access-Control-$_") }
                qw(Allow-Origin Allow-Headers Allow-Methods Max-Age Allow-Credentials)],
            [204, '', '*', '*', 'GET, POST, OPTIONS', 86400, undef], "OPTIONS $path";
        is_marked $reply, "OPTIONS $path";
    }
    is_not_found call('OPTIONS /none'), 'OPTIONS of a path that is not there';
    is_not_found call('OPTIONS /private.html'), 'OPTIONS of a private path';
};

subtest 'other methods are 405' => sub {
    for my $method (qw(PUT DELETE PATCH PROPFIND QUUX)) {
        my $reply = call("$method /hello");
        is_refused $reply, 405, 'The method is not allowed.', $method;
        is $reply->header('Allow'), 'GET, HEAD, POST, OPTIONS', "$method: Allow";
    }
};

subtest 'a GET or HEAD with a body is 403' => sub {
    is_refused call('/page.html', headers => ['Content-Length: 3'], body => 'a=b'), 403, 'Access is forbidden.', 'Content-Length: 3';
    is_refused call('/page.html', headers => ['Transfer-Encoding: chunked'], body => "0\r\n\r\n"), 403, 'Access is forbidden.', 'chunked';
    is call('HEAD /page.html', headers => ['Content-Length: 3'], body => 'a=b')->status, 403, 'HEAD';
    is_asset call('/page.html', headers => ['Content-Length: 0']), '<p>page</p>', 'Content-Length: 0 is no body';
};

subtest 'HEAD is a GET without its body' => sub {
    my $reply = call('HEAD /text');
    is_deeply [$reply->status, $reply->body, $reply->header('Content-Length')], [200, '', length $text], 'HEAD /text';
    is_deeply [map { $_->status, $_->body } call('HEAD /none')], [404, ''], 'HEAD of a path that is not there';
};

subtest 'private is never served, protected is 403' => sub {
    is_not_found call($_), "private: $_" for '/private.html', '/hidden';
    is_refused call('/protected.html'), 403, 'Access is forbidden.', 'protected';
    is_refused call('POST /protected.html', headers => ['Content-Length: 3'], body => 'a=b'), 403, 'Access is forbidden.', 'protected, POST';
};

subtest 'a Function is 503 where ServerlessRunner is not set' => sub {
    is_refused call('/hello'), 503, 'The service is temporarily unavailable.', 'GET';
    is_refused call('POST /hello', headers => ['Content-Length: 3'], body => 'a=b'), 503, 'The service is temporarily unavailable.', 'POST';
};

subtest 'an Asset: its bytes, type, validators and CORS' => sub {
    my $reply = call('/page.html');
    my ($version) = grep { $_->{path} eq '/page.html' } @versions;
    require Digest::SHA;
    is_deeply { map { $_ => $reply->header($_) } qw(Content-Type Content-Length ETag Cache-Control
            Access-Control-Allow-Origin Accept-Ranges X-Content-Type-Options) },
        { 'Content-Type' => 'text/html', 'Content-Length' => 11, 'ETag' => '"' . Digest::SHA::sha256_hex('<p>page</p>') . '"',
            'Cache-Control' => 'public, max-age=0, must-revalidate', 'Access-Control-Allow-Origin' => '*',
            'Accept-Ranges' => 'bytes', 'X-Content-Type-Options' => 'nosniff' }, 'headers';
    ok $reply->header('Last-Modified'), 'Last-Modified';
    is call('/page.html', headers => ['If-Modified-Since: ' . $reply->header('Last-Modified')])->status, 304, 'If-Modified-Since';
    is_deeply [map { $_->status, $_->body } call('/page.html', headers => ['If-None-Match: ' . $reply->header('ETag')])],
        [304, ''], 'If-None-Match';
    is_asset call('/empty'), '', 'an empty one';
    is_asset call('/large'), $large, 'one of three chunks';
    my $part = call('/text', headers => ['Range: bytes=5-9']);
    is_deeply [$part->status, $part->body, $part->header('Content-Range')], [206, substr($text, 5, 5), 'bytes 5-9/' . length $text], 'a range';
    is call('/text', headers => ['Range: bytes=99999-'])->status, 416, 'a range that is not there';
    my $across = call('/large', headers => ['Range: bytes=262140-262150']);
    is $across->body, substr($large, 262140, 11), 'a range over two chunks';
};

subtest 'a POST to an Asset is answered as a GET' => sub {
    is_asset call('POST /page.html', headers => ['Content-Length: 3'], body => 'a=b'), '<p>page</p>', 'POST';
};

subtest 'a new Deployment is served by the next request; none is 404' => sub {
    for my $round (1 .. 10) {
        $project->deploy($environment, $project->completed(asset('/page.html', "round $round")));
        is call('/page.html')->body, "round $round", "round $round";
    }
    $project->deploy($environment);
    is_not_found call('/page.html'), 'without a Build';
    $project->deploy($environment, $build);
    is_asset call('/page.html'), '<p>page</p>', 'with the first Build again';
};

subtest 'the Environment is deleted: 404 to the next request' => sub {
    my $short_lived = $project->new_environment('short', 'short');
    my ($other) = $short_lived->{domain_name} =~ /^([^.]+)/;
    $project->deploy($short_lived, $build);
    is_asset call('/page.html', host => "$other.$TAIL"), '<p>page</p>', 'it is there';
    $project->delete($short_lived);
    is_not_found call('/page.html', host => "$other.$TAIL"), 'it is not';
};

subtest "a suspended account's domains are 403" => sub {
    db()->do('SELECT serverless.suspend_account(?)', undef, $api->user);
    ok wait_until { call('/page.html')->status == 403 }, 'within the lease';
    is_refused call('/page.html'), 403, 'Access is forbidden.', 'an Asset';
    is_refused call('/none'), 403, 'Access is forbidden.', 'a path that is not there';
    db()->do('SELECT serverless.resume_account(?)', undef, $api->user);
    ok wait_until { call('/page.html')->status == 200 }, 'resumed';
};

subtest "the administrator's Alias, ProxyPass, RewriteRules and Locations, and the API's Location, win" => sub {
    is call('/alias.txt')->body, "the administrator's document\n", 'Alias';
    is call('/proxied.txt')->body, "the administrator's document\n", 'ProxyPass';
    is call('/rewritten.txt')->body, "the administrator's document\n", 'RewriteRule to an Alias';
    is call('/renamed')->body, '<p>page</p>', 'RewriteRule to another path of the domain';
    is_deeply [map { $_->status, $_->header('Location') } call('/moved')], [302, 'https://www.example.com/'], 'RewriteRule that redirects';
    is call('/guarded')->status, 403, 'Require in a Location';
    like call('/description')->body, qr/^openapi: /m, 'SetHandler in a Location';
    is call('/v1/Services')->status, 401, 'the API';
    is call('/v1/Services')->json->{code}, 20003, 'with its own errors';
};

subtest "the administrator's ErrorDocument is the answer" => sub {
    my $own = Serverless::Server->start('documents_of_domains', Serverless::Server->database . <<"END");
ServerlessDomain     $TAIL
ServerlessExecution  On
ErrorDocument 404 "not here"
ErrorDocument 405 /page.html
Alias         "/document.txt" "@{[ Apache::Test::vars('documentroot') ]}/document-$$.txt"
ErrorDocument 503 /document.txt
END
    my $there = $client->at($own->address);
    my $ask = sub { $there->raw_request("$_[0] HTTP/1.1", host => $host) };
    is_deeply [map { $_->status, $_->body } $ask->('GET /none')], [404, 'not here'], 'a text';
    is_deeply [map { $_->status, $_->body } $ask->('GET /hello')], [503, "the administrator's document\n"], 'a file';
    is_deeply [map { $_->status, $_->body } $ask->('PUT /hello')], [405, '<p>page</p>'], 'an Asset of the Environment';
    is_deeply [map { $_->status, $_->body } $ask->('GET /protected.html')], [403, "Access is forbidden.\n"], 'no document';
};

subtest 'ServerlessEnvironment makes a host of any name the Environment' => sub {
    my $own = Serverless::Server->start('own_host', Serverless::Server->database . <<"END");
<VirtualHost *>
    ServerName            www.example.org
    ServerlessExecution   On
    ServerlessEnvironment $project->{service}{sid} $environment->{sid}
</VirtualHost>
<VirtualHost *>
    ServerName            none.example.org
    ServerlessExecution   On
    ServerlessEnvironment $project->{service}{sid} ZE00000000000000000000000000000000
</VirtualHost>
END
    my $there = $client->at($own->address);
    my $ask = sub { $there->raw_request('GET /page.html HTTP/1.1', host => $_[0]) };
    is_asset $ask->('www.example.org'), '<p>page</p>', 'the Environment';
    is_not_found $ask->('none.example.org'), 'an Environment that is not there';
    $project->deploy($environment, $project->completed(asset('/page.html', 'new')));
    is_asset $ask->('www.example.org'), 'new', 'a new Deployment';
    $project->deploy($environment, $build);
};

# The answers to requests for so many invented names, sent together on one connection, which a 503 ends.
my $invented = 0;
sub unknown_names {
    my ($count) = @_;
    my @requests = map { "GET /x HTTP/1.1\r\nHost: flood-" . ++$invented . ".$TAIL\r\n" } 1 .. $count;
    my $bytes = $client->raw(join("\r\n", @requests) . "Connection: close\r\n\r\n")->bytes;
    return map { Serverless::Reply->parse($_) } split m{(?=HTTP/1\.1 \d{3} )}, $bytes;
}

subtest 'names that are not known have a budget of reads; known domains are not delayed' => sub {
    is_asset call('/page.html'), '<p>page</p>', 'a known domain';
    my (@replies, $refused);
    ok wait_until {
        push @replies, my @new = unknown_names(600);
        ($refused) = grep { $_->status == 503 } @new;
    }, 'it is used up by 600 that come faster than it grows';
    is_deeply [grep { !/^(?:404|503)$/ } map { $_->status } @replies], [],
        'unknown names are 404, or 503 when the budget is used up';
    is_asset call('/page.html'), '<p>page</p>', 'the known domain is answered';
    is_refused $refused, 503, 'The service is temporarily unavailable.', 'a name beyond the budget';
};

subtest 'no answer and no line of the log names a SID or fails' => sub {
    is_deeply [grep { /\[serverless_functions:(?:error|crit)\]/ && !/SF0080/ } split /\n/, $server->error_log], [],
        'no error in the log but that Functions need ServerlessRunner (SF0080)';
};

subtest 'PostgreSQL is away: known domains go on, others are 503' => sub {
    is_asset call('/page.html'), '<p>page</p>', 'before';
    database('stop');
    my @replies = map { call('HEAD /page.html') } 1 .. 20;
    my $unknown = call('/page.html', host => "unknown-1.$TAIL");
    database('start');
    is_deeply [map { $_->status } @replies], [(200) x 20], 'a known domain';
    is_refused $unknown, 503, 'The service is temporarily unavailable.', 'an unknown one';
    is $unknown->header('Retry-After'), 1, 'with Retry-After';
    ok wait_until { call('/page.html')->status == 200 }, 'afterwards';
};

subtest 'a lock and a wrong schema never serve an old route' => sub {
    my $impatient = Serverless::Server->start('impatient_domains',
        "ServerlessDomain $TAIL\nServerlessExecution On\n" . Serverless::Server->database(statement_timeout => 2000));
    my $there = $client->at($impatient->address);
    my $ask = sub { $there->raw_request('HEAD /page.html HTTP/1.1', host => $host)->status };
    is $ask->(), 200, 'before';
    my $holder = connect_as('postgres');
    $holder->begin_work;
    $holder->do('LOCK TABLE serverless.environments IN ACCESS EXCLUSIVE MODE');
    select undef, undef, undef, 0.1;
    is $ask->(), 503, 'locked';
    $holder->rollback;
    $holder->disconnect;
    is $ask->(), 200, 'not locked any more';
    db()->do('ALTER TABLE serverless.environments RENAME COLUMN domain_label TO elsewhere');
    select undef, undef, undef, 0.1;
    my $status = $ask->();
    db()->do('ALTER TABLE serverless.environments RENAME COLUMN elsewhere TO domain_label');
    cmp_ok $status, '>=', 500, 'another schema';
};

done_testing;
