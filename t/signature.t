# Visibility: requests to protected paths need X-Twilio-Signature. Signatures are made by Twilio's own library
# (t/sdk/sign.js), under the signing token of the Service or the Environment's Variable AUTH_TOKEN.
use strict;
use warnings FATAL => 'all';

use Apache::Test qw(-withtestmore);
use Digest::SHA qw(sha256_hex);
use IPC::Open2 qw(open2);
use JSON::PP ();
use Serverless::Database;
use Serverless::Project;
use Serverless::Server;
use Serverless::Test;
use Test::More;

my $TAIL = 'functions.example.com';
my $NO_FUNCTION = 503; # the answer for a Function that the request may call, without a runner

my $api = Serverless::Client->account;
my $project = Serverless::Project->new($api, "signature-$$");

sub asset {
    my ($path, $visibility) = @_;
    return $project->new_version(kind => 'asset', path => $path, content => "content of $path", type => 'text/plain',
        visibility => $visibility);
}
my $build = $project->completed(asset('/hook', 'protected'), asset("/caf\xc3\xa9", 'protected'), asset('/open', 'public'),
    asset('/closed', 'private'),
    $project->new_version(path => '/p', visibility => 'protected', content => 'exports.handler = (c, e, d) => d(null, e.From);'),
    $project->new_version(path => '/lib', visibility => 'private', content => 'exports.add = (a, b) => a + b;'));
my $environment = $project->new_environment('first', 'first');
$project->deploy($environment, $build);
my $host = $environment->{domain_name} =~ s/\..*/.$TAIL/r;
my $variables = $project->path_of($environment) . '/Variables';
my ($account, $service) = ($environment->{account_sid}, $environment->{service_sid});

my $domain = "ServerlessDomain $TAIL\nServerlessExecution On\n";
my $server = Serverless::Server->start('signature',
    Serverless::Server->one_child . Serverless::Server->database . $domain . Serverless::Server->api);

sub admin {
    my (@arguments) = @_;
    my $output = `'$ENV{SOURCE}/bin/serverless-admin' -d 'host=$ENV{DATABASE} dbname=serverless user=serverless_owner' -k '$ENV{VARIABLE_KEYS}' @arguments`;
    $? == 0 or die "serverless-admin @arguments failed\n";
    return $output;
}

sub token_of { return admin('signing-key', 'show', $account, $_[0]) =~ s/\ASIGNING_TOKEN=(\S+)\n\z/$1/r }

# The library's signatures of requests: { token, url, params }.
sub signatures {
    my (@requests) = @_;
    my ($node) = glob 't/sdk/node_modules/node-linux-*/bin/node';
    my $pid = open2(my $output, my $input, $node, 't/sdk/sign.js');
    print $input JSON::PP->new->ascii->encode(\@requests);
    close $input;
    my $signatures = JSON::PP->new->decode(do { local $/; <$output> });
    waitpid $pid, 0;
    $? == 0 or die "t/sdk/sign.js failed\n";
    return @$signatures;
}

# Sends a request with a signature, or with none. The body has a type unless it is undef.
sub call {
    my ($line, $signature, %with) = @_;
    $line = "GET $line" if $line =~ m{^/};
    my @headers = @{ $with{headers} // [] };
    push @headers, "X-Twilio-Signature: $signature" if defined $signature;
    push @headers, "Content-Type: $with{type}" if defined $with{type};
    push @headers, 'Content-Length: ' . length $with{body} if defined $with{body};
    return Serverless::Client->client->at(($with{server} // $server)->address)->undescribed
        ->raw_request("$line HTTP/1.1", host => $with{host} // $host, headers => \@headers, body => $with{body} // '');
}

sub is_passed {
    my ($reply, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is_deeply [ $reply->status, $reply->body ], [ 200, 'content of /hook' ], $name;
}

sub is_refused {
    my ($reply, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is_deeply [ $reply->status, $reply->body ], [ 403, "Access is forbidden.\n" ], $name;
}

my $form = 'application/x-www-form-urlencoded';
my $url = "https://$host/hook";


subtest 'without a secret' => sub {
    my ($signature) = signatures({ token => '', url => $url });
    is_refused call('/hook', $signature), 'under an empty token' for 1 .. 3;
    my $log = $server->error_log;
    is scalar(() = $log =~ /SF0071: protected paths of $environment->{sid} are answered with 403: it has no Variables AUTH_TOKEN and ACCOUNT_SID, and $account has no signing key \(serverless-admin signing-key create\)$/mg),
        1, 'the error log says once what to do';
};

admin('signing-key', 'create', $account);
my $token = token_of($service);
my ($signature_of_hook) = signatures({ token => $token, url => $url });
ok wait_until { call('/hook', $signature_of_hook)->status == 200 }, 'httpd uses a new signing key without a restart';

subtest 'visibility' => sub {
    my ($signature) = signatures({ token => $token, url => "https://$host/closed" });
    is call('/closed', $signature)->status, 404, 'a private Asset: 404, though signed';
    is call('/lib')->status, 404, 'a private Function: 404';
    is call('/open')->status, 200, 'a public Asset: 200 without a signature';
    is_refused call('/hook'), 'a protected Asset without a signature';
    is_refused call('/p'), 'a protected Function without a signature';
    is call('OPTIONS /hook')->status, 204, 'a preflight needs no signature';
    my $reply = call('/hook', $signature_of_hook);
    is_passed $reply, 'a protected Asset with a signature';
    is_deeply [ map { $reply->header($_) } 'Cache-Control', 'Access-Control-Allow-Origin' ], [ 'private, no-store', undef ],
        'no cache may keep it, and no other origin may read it';
    is_deeply [ map { $_->status, $_->header('Content-Length') } call('HEAD /hook', $signature_of_hook) ], [ 200, 16 ], 'HEAD';
};

# The test case of the contract.
subtest 'a form to a protected Function' => sub {
    my ($signature) = signatures({ token => $token, url => "https://$host/p", params => { To => '+1', From => '+2', Body => 'hi there' } });
    my @post = (type => $form, body => 'To=%2B1&From=%2B2&Body=hi+there');
    is call('POST /p', undef, @post)->status, 403, 'without a signature';
    is call('POST /p', $signature, @post)->status, $NO_FUNCTION, 'with its signature';
    is call('POST /p', $signature, type => $form, body => 'To=%2B1&From=%2B2&Body=hi')->status, 403, 'with another Body';
};

subtest 'what the library signs' => sub {
    my $json = '{"x":1}';
    my $hash = sha256_hex($json);
    my $query = "bodySHA256=$hash";
    my $long = 'v' x (1024 * 1024 - 2);
    my @cases = (
        [ 'a query', 'GET /hook?b=2&a=1', '/hook?b=2&a=1' ],
        [ 'an encoded path and query', 'GET /caf%C3%A9?q=%2F+%27', '/caf%C3%A9?q=%2F+%27' ],
        [ 'a path that is encoded although it need not be', 'GET /%68ook', '/%68ook' ],
        [ 'a whole URL in the request line', "GET http://$host/hook?a=1", '/hook?a=1' ],
        [ 'an empty form', 'POST /hook', '/hook', {}, type => $form, body => '' ],
        [ 'no body and no type', 'POST /hook', '/hook', {}, body => '' ],
        [ 'an empty body of another type', 'POST /hook', '/hook', {}, type => 'application/json', body => '' ],
        [ 'a form', 'POST /hook?q=1', '/hook?q=1', { To => '+1', From => '+2', Body => 'hi there' },
            type => $form, body => 'To=%2B1&From=%2B2&Body=hi+there' ],
        [ 'a form with a charset', 'POST /hook', '/hook', { a => '1' }, type => "$form; charset=UTF-8", body => 'a=1' ],
        [ 'a repeated parameter', 'POST /hook', '/hook', { a => [ '2', '1', '2' ] }, type => $form, body => 'a=2&a=1&a=2' ],
        [ 'parameters without a value or a name', 'POST /hook', '/hook', { a => '', '' => 'v' }, type => $form, body => '&a&&=v&' ],
        [ 'names in the order of UTF-16', 'POST /hook', '/hook',
            { "\x{10000}" => 'x', "\x{FFFD}" => 'y', "\x{E000}" => 'z', "\x{D7FF}" => 'w', a => 'v', B => 'u' },
            type => $form, body => '%F0%90%80%80=x&%EF%BF%BD=y&%EE%80%80=z&%ED%9F%BF=w&a=v&B=u' ],
        [ 'unencoded UTF-8', 'POST /hook', '/hook', { n => "\x{E9}" }, type => $form, body => "n=\xC3\xA9" ],
        [ '1,000 parameters', 'POST /hook', '/hook', { map { ("p$_" => 'v') } 1 .. 1000 },
            type => $form, body => join '&', map { "p$_=v" } 1 .. 1000 ],
        [ 'a form of 1 MB', 'POST /hook', '/hook', { a => $long }, type => $form, body => "a=$long" ],
        [ 'JSON', "POST /hook?$query", "/hook?$query", {}, type => 'application/json', body => $json ],
        [ 'JSON, and more in the query', "POST /hook?a=1&$query&b=2", "/hook?a=1&$query&b=2", {}, type => 'application/json', body => $json ],
        [ 'a hash in capitals', 'POST /hook?bodySHA256=' . uc $hash, '/hook?bodySHA256=' . uc $hash, {}, type => 'text/plain', body => $json ],
        [ 'a form with a hash', "POST /hook?$query", "/hook?$query", {}, type => $form, body => $json ],
        [ 'bytes with NUL', 'POST /hook?bodySHA256=' . sha256_hex("\0\xFF"), '/hook?bodySHA256=' . sha256_hex("\0\xFF"), {},
            type => 'application/octet-stream', body => "\0\xFF" ],
        [ 'chunks', 'POST /hook', '/hook', { a => '1' }, type => $form, headers => ['Transfer-Encoding: chunked'],
            chunks => "3\r\na=1\r\n0\r\n\r\n" ],
    );
    my @signatures = signatures(map { { token => $token, url => "https://$host$_->[2]", params => $_->[3] } } @cases);
    my ($other) = signatures({ token => $token, url => "https://$host/other" });
    for my $case (@cases) {
        my ($name, $line, undef, undef, %with) = @$case;
        my $signature = shift @signatures;
        my $send = sub {
            my ($given) = @_;
            return call($line, $given, %with) if !$with{chunks};
            return Serverless::Client->client->at($server->address)->undescribed->raw_request("$line HTTP/1.1", host => $host,
                headers => [ @{ $with{headers} }, "Content-Type: $with{type}", "X-Twilio-Signature: $given" ], body => $with{chunks});
        };
        is $send->($signature)->status, 200, "$name: with its signature";
        is $send->($other)->status, 403, "$name: with another one";
    }
};

subtest 'with its port and without' => sub {
    my @urls = map { "https://$host$_/hook" } '', ':443', ':8443', ':8444';
    my ($none, $standard, $own, $other) = signatures(map { { token => $token, url => $_ } } @urls);
    is_passed call('/hook', $none, host => "$host:8443"), 'signed without the port';
    is_passed call('/hook', $own, host => "$host:8443"), 'signed with the port';
    is_passed call('/hook', $standard), 'signed with the port of https';
    is_passed call('/hook', $none, host => "$host:443"), 'the port of https, signed without it';
    is_refused call('/hook', $other, host => "$host:8443"), 'signed with another port';
    is_refused call('/hook', $own), 'signed with a port that was not called';
    my ($elsewhere, $plain) = signatures({ token => $token, url => "https://x.$TAIL/hook" }, { token => $token, url => "http://$host/hook" });
    is_refused call('/hook', $elsewhere), 'signed for another host';
    is_refused call('/hook', $elsewhere, headers => [ "X-Forwarded-Host: x.$TAIL" ]), 'X-Forwarded-Host does not count';
    is_refused call('/hook', $plain), 'signed for http';
    is_refused call('/hook', $plain, headers => ['X-Forwarded-Proto: http']), 'X-Forwarded-Proto does not count';
};

subtest 'ServerlessSignatureScheme http' => sub {
    my $plain = Serverless::Server->start('signature_http', Serverless::Server->database . $domain
        . "ServerlessSignatureScheme https\n<VirtualHost *>\nServerName $TAIL\nServerAlias *.$TAIL\n"
        . "ServerlessSignatureScheme http\n</VirtualHost>\n" . Serverless::Server->api);
    my @signatures = signatures(map { { token => $token, url => $_ } } "http://$host/hook", "http://$host:80/hook", $url);
    is_passed call('/hook', $signatures[0], server => $plain), 'signed for http';
    is_passed call('/hook', $signatures[1], server => $plain), 'signed for http, with its port';
    is_refused call('/hook', $signatures[2], server => $plain), 'signed for https';
};

subtest 'signatures that are none' => sub {
    is_refused call('/hook', $_), "'$_'" for '', '=', substr($signature_of_hook, 1), "$signature_of_hook=", 'A' x 27 . '=', 'x' x 28,
        lc $signature_of_hook, "\xFF" x 28, 'x' x 4000;
    is_refused call('/hook', undef, headers => [ ("X-Twilio-Signature: $signature_of_hook") x 2 ]), 'a valid one twice';
    is_refused call('POST /hook', 'short', type => $form, headers => ['Expect: 100-continue'], body => ''), 'the body is not asked for';
};

subtest 'bodies that are not covered, or malformed' => sub {
    my $json = '{"x":1}';
    my $empty = sha256_hex('');
    my @targets = ('/hook', '/hook?bodySHA256=' . sha256_hex($json), "/hook?bodySHA256=$empty", '/hook?bodySHA256=', '/hook?bodySHA256=x');
    my ($plain, $hashed, $of_nothing, $without, $no_hash) = signatures(map { { token => $token, url => "https://$host$_" } } @targets);
    my @json = (type => 'application/json', body => $json);
    is_refused call('POST /hook', $plain, @json), 'JSON without bodySHA256';
    is_refused call('POST /hook', $plain, body => $json), 'a body without a type';
    is_refused call('POST /hook', $plain, type => 'multipart/form-data; boundary=x', body => "--x--\r\n"), 'multipart/form-data';
    is_refused call("POST $targets[1]", $hashed, type => 'application/json', body => '{"x":2}'), 'another body than the hash says';
    is_refused call("POST $targets[1]", $hashed, type => 'application/json', body => ''), 'no body where there is a hash';
    is_refused call("POST $targets[1]", $hashed, type => $form, body => ''), 'an empty form where there is a hash';
    is_refused call($targets[1], $hashed), 'a GET where there is a hash';
    is_passed call($targets[2], $of_nothing), 'a GET with the hash of nothing';
    is_refused call("POST $targets[3]", $without, @json), 'an empty hash';
    is_refused call("POST $targets[4]", $no_hash, @json), 'a hash that is none';
    my @post = (type => $form);
    is call('POST /hook', $plain, @post, body => $_)->status, 400, "a malformed form: $_" for 'a=%', 'a=%4', 'a=%zz', '%=1', 'a=1&b=%';
    is call('POST /hook', $plain, @post, body => $_)->status, 400, 'a form with NUL' for "a=\0", 'a=%00', '%00=1', "a=1&\0";
    is call('POST /hook', $plain, @post, body => join '&', ('a') x 1001)->status, 413, '1,001 parameters';
    is call('POST /hook', $plain, @post, body => 'a=' . 'v' x (1024 * 1024 - 1))->status, 413, 'a form of 1 MB and a byte';
    is call('POST /hook', $plain, @json, body => 'v' x (1024 * 1024 + 1))->status, 413, 'another body of 1 MB and a byte';
    is call('POST /hook', 'x', @post, body => 'a=' . 'v' x (1024 * 1024))->status, 403, 'without a signature, its size does not matter';
};

subtest 'tokens of others' => sub {
    my $second = Serverless::Project->new($api, "signature-second-$$");
    my ($of_second) = signatures({ token => token_of($second->sid), url => $url });
    is_refused call('/hook', $of_second), 'the token of another Service of the account';
    my ($of_account) = signatures({ token => $api->password, url => $url });
    is_refused call('/hook', $of_account), 'the auth token of the account';
    my $status = Serverless::Client->client($account, $token)->get('/v1/Services')->status;
    is $status, 401, 'the signing token is no credential of the API';
};

subtest 'the Variables AUTH_TOKEN and ACCOUNT_SID' => sub {
    my $own = 'f' x 450;
    my ($signature, $other) = signatures({ token => $own, url => $url }, { token => 'new', url => $url });
    my $auth_token = $project->create($variables, Key => 'AUTH_TOKEN', Value => $own);
    is_passed call('/hook', $signature_of_hook), 'AUTH_TOKEN alone: the token of the Service';
    is_refused call('/hook', $signature), 'AUTH_TOKEN alone is not used';
    my $account_sid = $project->create($variables, Key => 'ACCOUNT_SID', Value => 'AC' . '0' x 32);
    is_passed call('/hook', $signature), 'both: AUTH_TOKEN';
    is_refused call('/hook', $signature_of_hook), 'both: the token of the Service is not used';
    $api->post($project->path_of($auth_token), Value => 'new')->status == 200 or die;
    is_passed call('/hook', $other), 'AUTH_TOKEN is changed: the next request';
    is_refused call('/hook', $signature), 'the old one is not used';
    my $damage = sub {
        db()->do(q(UPDATE serverless.variables SET sealed = set_byte(sealed, 12, get_byte(sealed, 12) # 1),
            date_updated = date_updated + interval '1 microsecond' WHERE serverless.sid('ZV', id) = ?), undef, $auth_token->{sid});
    };
    $server->error_log;
    $damage->();
    ok wait_until { call('/hook', $other)->status == 403 }, 'a value that cannot be decrypted: 403';
    is_refused call('/hook', $signature_of_hook), 'nor is the token of the Service used';
    is scalar(() = $server->error_log =~ /SF0018: Variable $auth_token->{sid}, key "\S+": cannot be decrypted/g), 1,
        'the error log says so once';
    $damage->(); # twice is not at all
    ok wait_until { call('/hook', $other)->status == 200 }, 'the value is restored';
    $project->delete($auth_token)->status == 204 or die;
    is_passed call('/hook', $signature_of_hook), 'AUTH_TOKEN is deleted: the token of the Service';
    $project->delete($account_sid);
    is_passed call('/hook', $signature_of_hook), 'both are deleted: the token of the Service';
};

subtest 'rotation' => sub {
    admin('signing-key', 'rotate', $account);
    my ($new) = signatures({ token => token_of($service), url => $url });
    ok wait_until { call('/hook', $new)->status == 200 }, 'a signature under the new key';
    is_passed call('/hook', $signature_of_hook), 'one under the old key, before it ends';
    db()->do(q(UPDATE serverless.signing_keys SET date_expires = clock_timestamp() + interval '1 second'
        WHERE date_expires IS NOT NULL AND serverless.sid('AC', account_id) = ?), undef, $account);
    db()->do(q(SELECT serverless.forget_signing_tokens(?)), undef, substr $account, 2);
    is_passed call('/hook', $signature_of_hook), 'one under the old key, just before it ends';
    ok wait_until { call('/hook', $signature_of_hook)->status == 403 }, 'one under the old key, when it has ended';
    is_passed call('/hook', $new), 'one under the new key stays';
    admin('signing-key', 'rotate', $account, 0);
    my ($newest) = signatures({ token => token_of($service), url => $url });
    ok wait_until { call('/hook', $new)->status == 403 }, 'rotate with 0 hours ends the old key';
    is_passed call('/hook', $newest), 'one under the newest key';
    $signature_of_hook = $newest;
};

subtest 'a signing key that cannot be decrypted' => sub {
    my $change = sub {
        db()->do(q(UPDATE serverless.signing_keys SET sealed = set_byte(sealed, 12, get_byte(sealed, 12) # 1)
            WHERE serverless.sid('AC', account_id) = ?), undef, $account);
        db()->do(q(SELECT serverless.forget_signing_tokens(?)), undef, substr $account, 2);
    };
    $server->error_log;
    $change->();
    ok wait_until { call('/hook', $signature_of_hook)->status == 403 }, 'the request is refused';
    like $server->error_log, qr/SF0018: signing key of account $account, key "\S+": cannot be decrypted: it is not what was written there$/m,
        'the error log says so';
    $change->();
    ok wait_until { call('/hook', $signature_of_hook)->status == 200 }, 'the key is restored: the request passes';
};

subtest 'the database does not answer' => sub {
    my $holder = Serverless::Database::connect_as('postgres');
    $holder->begin_work;
    $holder->do('LOCK TABLE serverless.signing_keys IN ACCESS EXCLUSIVE MODE');
    is_passed call('/hook', $signature_of_hook), 'a child that knows the secret goes on';
    my $fresh = Serverless::Server->start('signature_database',
        Serverless::Server->database(statement_timeout => 2000) . $domain . Serverless::Server->api);
    my $reply = call('/hook', $signature_of_hook, server => $fresh);
    is_deeply [ $reply->status, $reply->body ], [ 503, "The service is temporarily unavailable.\n" ], 'another one answers 503';
    ok $reply->header('Retry-After'), 'with Retry-After';
    is_refused call('/hook', undef, server => $fresh), 'without a signature, nothing is read';
    $holder->rollback;
    is_passed call('/hook', $signature_of_hook, server => $fresh), 'and goes on afterwards';
};

subtest 'without ServerlessVariableKeys' => sub {
    my $keyless = Serverless::Server->start('signature_keyless', Serverless::Server->one_child . Serverless::Server->database . $domain . Serverless::Server->api,
        keyless => 1);
    is_refused call('/hook', $signature_of_hook, server => $keyless), 'a protected path' for 1 .. 3;
    is call('/open', undef, server => $keyless)->status, 200, 'a public path';
    is scalar(() = $keyless->error_log =~ /SF0072: protected paths are answered with 403: without ServerlessVariableKeys, signatures cannot be checked$/mg),
        1, 'the error log says once what to do';
};

{
    open my $log, '<', $server->error_log_file or die;
    my $text = do { local $/; <$log> };
    my $secrets = join '|', map { quotemeta } $token, token_of($service), $signature_of_hook;
    unlike $text, qr/$secrets/, 'the error log has neither tokens nor signatures';
}

done_testing;
