# Authentication: accounts, API keys, and the authentication providers of other modules.
use strict;
use warnings FATAL => 'all';

use Apache::Test qw(-withtestmore);
use Digest::SHA qw(sha1_base64 sha256_hex);
use MIME::Base64 qw(encode_base64);
use Serverless::Parallel;
use Serverless::Test;
use Test::More;

my $services = '/v1/Services';
my $api = Serverless::Client->account;
my $other = Serverless::Client->account;
my ($sid, $token) = ($api->user, $api->password);
my $service = $api->post($services, UniqueName => 'auth', FriendlyName => 'A')->json;
my $their_service = $other->post($services, UniqueName => 'theirs', FriendlyName => 'T')->json;

# Everything that is secret in this suite: looked for in the end.
my @secrets = ($token, $other->password);

# One of the schema's functions for the administrator.
sub administer {
    my ($function, @arguments) = @_;
    my $places = join ', ', ('?') x @arguments;
    return db()->selectrow_array("SELECT * FROM serverless.$function($places)", undef, @arguments);
}

sub client { my (@credentials) = @_; return Serverless::Client->client(@credentials) }

sub new_key {
    my ($account) = @_;
    my ($key, $secret) = administer('create_api_key', $account, 'test');
    push @secrets, $secret;
    return client($key, $secret);
}

sub is_authenticated {
    my ($client, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is_reply $client->get("$services/$service->{sid}"), 200, $service, $name;
}

sub is_refused {
    my ($reply, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is_error $reply, 401, 20003, 'Authenticate', $name;
    is $reply->header('WWW-Authenticate'), 'Basic realm="Twilio API"', 'credentials are asked for';
}

subtest 'authentication by account SID and auth token' => sub {
    is_authenticated $api, 'the right token';
    is_authenticated client("AC" . uc substr($sid, 2), $token), 'the SID in capitals';

    for my $case (
        [ 'another token',                client($sid, 'f' x 32) ],
        [ "another account's token",      client($sid, $other->password) ],
        [ 'an empty token',               client($sid, '') ],
        [ 'the token, less its end',      client($sid, substr $token, 0, -1) ],
        [ 'the token and more',           client($sid, "${token}0") ],
        [ 'the token in capitals',        client($sid, uc($token) . ' ') ],
        [ 'the hash of the token',        client($sid, sha256_hex($token)) ],
        [ 'its SID for a token',          client($sid, $sid) ],
        [ 'an account that is not there', client('AC' . '0' x 32, $token) ],
        [ 'an empty user',                client('', $token) ],
        [ 'a name for a user',            client('admin', $token) ],
        [ 'the SID, less its end',        client(substr($sid, 0, -1), $token) ],
        [ 'the SID and more',             client("${sid}0", $token) ],
        [ 'the SID with a small prefix',  client(lc $sid, $token) ],
        [ 'a SID of another kind',        client('ZS' . substr($sid, 2), $token) ],
        [ 'a SID that SQL would like',    client("' OR '1'='1", "' OR '1'='1") ],
        [ 'the UniqueName of a Service',  client('auth', $token) ],
    ) {
        my ($what, $client) = @$case;
        is_refused $client->get($services), $what;
    }
};

subtest 'the Authorization headers that are accepted and refused' => sub {
    my $good = encode_base64("$sid:$token", '');
    for my $case (
        [ 'none',                        undef ],
        [ 'empty',                       '' ],
        [ 'another scheme',              "Bearer $token" ],
        [ 'another, with our value',     "Digest $good" ],
        [ 'no scheme',                   $good ],
        [ 'no value',                    'Basic' ],
        [ 'no base64',                   "Basic $sid:$token" ],
        [ 'no colon',                    'Basic ' . encode_base64($sid, '') ],
        [ 'a NUL before the colon',      'Basic ' . encode_base64("$sid\0:$token", '') ],
        [ 'a NUL after the token',       'Basic ' . encode_base64("$sid:$token\0", '') ],
        [ 'a NUL and more',              'Basic ' . encode_base64("$sid:$token\0abc", '') ],
        [ 'the same, after more spaces', 'Basic   ' . encode_base64("$sid:$token\0abc", '') ],
        [ 'a NUL within the token',      'Basic ' . encode_base64("$sid:\0$token", '') ],
        [ 'bytes that are no UTF-8',     'Basic ' . encode_base64("\xff\xfe:\xff", '') ],
        [ 'a long user',                 'Basic ' . encode_base64('A' x 4000 . ':a', '') ],
        [ 'a long token',                'Basic ' . encode_base64("$sid:" . 'a' x 4000, '') ],
    ) {
        my ($what, $header) = @$case;
        my $anonymous = client();
        $anonymous = $anonymous->with(Authorization => $header) if defined $header;
        is_refused $anonymous->get($services), $what;
    }
    is_authenticated client()->with(Authorization => "basic $good"), 'a scheme in small letters';
};

subtest 'authentication by API key SID and secret' => sub {
    my $key = new_key($sid);
    is_authenticated $key, 'acts as its account';
    my $made = $key->post($services, UniqueName => 'by-key', FriendlyName => 'K');
    is $made->status, 201, 'a key acts as its account in creating a Service';
    is $made->json->{account_sid}, $sid, 'whose SID it says';
    is_reply $api->get("$services/by-key"), 200, $made->json, 'the account sees what the key made';
    is $key->get("$services/$their_service->{sid}")->status, 404, "but nothing of another account's";

    my $their_key = new_key($other->user);
    is $their_key->get("$services/$service->{sid}")->status, 404,
        "nor does another account's key see ours";
    is $their_key->delete("$services/$service->{sid}")->status, 404, "another account's key cannot delete the Service";

    is_refused client($key->user, $token)->get($services), "with its account's token";
    is_refused client($key->user, $their_key->password)->get($services), "with another key's secret";
    is_refused client($sid, $key->password)->get($services), 'the account with the secret of its key';
    is_refused client('SK' . substr($sid, 2), $token)->get($services), "the account's SID as a key";

    administer('revoke_api_key', $key->user);
    is_refused $key->get($services), 'a revoked key is refused in a GET';
    is_refused $key->post($services, UniqueName => 'late', FriendlyName => 'L'), 'a revoked key is refused in a POST';
    is $api->get("$services/late")->status, 404, 'the refused POST created nothing';
    is_authenticated $api, 'the account is not';
    is $their_key->get($services)->status, 200, "another account's key is still accepted";
};

subtest 'a suspended account is refused at once, until it is resumed' => sub {
    my $key = new_key($sid);
    my $function = $api->post("$services/$service->{sid}/Functions", FriendlyName => 'f')->json;
    administer('suspend_account', $sid);
    for my $client ($api, $key) {
        my $who = substr $client->user, 0, 2;
        for my $case (
            [ 'get',    $services ],
            [ 'post',   $services, UniqueName => 'suspended', FriendlyName => 'S' ],
            [ 'get',    "$services/$service->{sid}" ],
            [ 'post',   "$services/$service->{sid}", FriendlyName => 'S' ],
            [ 'delete', "$services/$service->{sid}" ],
            [ 'get',    "$services/$service->{sid}/Functions" ],
            [ 'delete', $function->{url} ],
        ) {
            my ($method, $path, @form) = @$case;
            is_refused $client->$method($path, @form), "$who, $method $path";
        }
    }
    is $other->get($services)->status, 200, 'an account that is not suspended is accepted';
    my $late_key = new_key($sid);
    is_refused $late_key->get($services), 'a key that is made meanwhile';

    administer('resume_account', $sid);
    is_authenticated $_, 'resumed: ' . substr $_->user, 0, 2 for $api, $key, $late_key;
    is_reply $api->get($function->{url}), 200, $function, 'requests of the suspended account changed nothing';
    is $api->get("$services/suspended")->status, 404, 'requests of the suspended account created nothing';
};

subtest 'an API key is created and its account suspended concurrently' => sub {
    my $account = Serverless::Client->account->user;
    my $suspend = "SELECT serverless.suspend_account('$account')";
    my $make_key = "SELECT key_sid FROM serverless.create_api_key('$account', 'late')";
    for my $case (['the suspension first', $suspend, $make_key], ['the key first', $make_key, $suspend]) {
        my ($name, @sql) = @$case;
        my $first = connect_as('postgres');
        $first->begin_work;
        $first->selectall_arrayref($sql[0]);
        my $second = begin_at_once(sub { connect_as('postgres')->selectall_arrayref($sql[1]); 1 }, 1);
        ok wait_until {
            superuser()->selectrow_array(q(SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock')) },
            "$name: the other waits";
        $first->commit;
        $second->();
        is scalar db()->selectrow_array(
            q(SELECT count(*) FROM serverless.credentials WHERE account_id = ? AND NOT is_suspended), undef,
            substr $account, 2), 0, "$name: every credential is suspended";
        administer('resume_account', $account);
    }
};

subtest 'a rotated auth token replaces the old one at once' => sub {
    my $old = Serverless::Client->account;
    my $key = new_key($old->user);
    is $old->get($services)->status, 200, 'the old one works';
    my ($fresh) = administer('rotate_auth_token', $old->user);
    push @secrets, $old->password, $fresh;
    isnt $fresh, $old->password, 'the new auth token differs from the old one';
    is_refused $old->get($services), 'the old auth token is refused at once';
    is client($old->user, $fresh)->get($services)->status, 200, 'the new auth token is accepted';
    is $key->get($services)->status, 200, 'an API key of the account is accepted after the rotation';
};

subtest '401 takes precedence over every other error' => sub {
    my $wrong = client($sid, 'wrong');
    for my $path ("$services/no/such/path", "$services/", "$services/$service->{sid}",
        "$services?PageSize=abc", "$services/a%20b") {
        is_refused $wrong->request($_, $path), "$_ $path"
            for qw(GET POST DELETE PUT OPTIONS PROPFIND NONSENSE);
    }
    is_refused $wrong->post($services, UniqueName => ''), 'a form that lacks something';
    is_refused $wrong->request(POST => $services, '{}', 'application/json'), 'a form that is none';
};

# Users of this host are those of a file: httpd's own modules authenticate them.
subtest 'other authentication providers of httpd' => sub {
    my $key = new_key($sid);
    my $dead_key = new_key($sid);
    my $suspended = Serverless::Client->account;
    my %users = map { $_ => "password of $_" } $sid, $key->user, $dead_key->user, $suspended->user,
        $other->user, 'AC' . '0' x 32, 'SK' . '0' x 32, 'ZS' . substr($sid, 2), 'alice',
        uc substr($sid, 0, 2) . uc substr $sid, 2;
    open my $file, '>', Apache::Test::config()->{vars}{t_logs} . '/users' or die "users: $!\n";
    # a line as htpasswd -s writes it
    print $file "$_:{SHA}", sha1_base64($users{$_}), "=\n" for sort keys %users;
    close $file or die "users: $!\n";
    administer('suspend_account', $suspended->user);
    administer('revoke_api_key', $dead_key->user);

    my $as = sub { client($_[0], $users{ $_[0] })->on('file_users') };
    my $here = $as->($sid);
    my $seen = { %$service, map { $_ => rebased($service->{$_}, $here) } qw(url links) };
    is_reply $here->get("$services/$service->{sid}"), 200, $seen, 'a user named as an account is it';
    is_reply $as->($key->user)->get("$services/$service->{sid}"), 200, $seen,
        "a user whom another provider calls by an API key's SID acts as its account";
    is_reply $as->('AC' . uc substr $sid, 2)->get("$services/$service->{sid}"), 200, $seen,
        'capitals do not matter';
    is $as->($other->user)->get("$services/$service->{sid}")->status, 404,
        'what that user created is not found by another account';

    for my $case (
        [ 'an account that is not there', 'AC' . '0' x 32 ],
        [ 'a key that is not there',      'SK' . '0' x 32 ],
        [ 'a suspended account',          $suspended->user ],
        [ 'a revoked key',                $dead_key->user ],
        [ 'a SID of another kind',        'ZS' . substr $sid, 2 ],
        [ 'no SID at all',                'alice' ],
    ) {
        my ($what, $user) = @$case;
        my $client = $as->($user);
        is_refused $client->get($services), "$what: list";
        is_refused $client->post($services, UniqueName => 'file', FriendlyName => 'F'), 'create';
        is_refused $client->post($services), 'a form that lacks something';
        is_refused $client->get("$services/no/such/path"), 'no such path';
        is_refused $client->request(PUT => $services), 'no such method';
        is_refused $client->request(OPTIONS => $services), 'OPTIONS';
    }
    is_refused client($sid, 'wrong')->on('file_users')->get($services), 'a password of neither';
    is_refused $api->on('file_users')->get($services), 'our token is none of its passwords';
};

# An address, or a hash of them, as it is on the host of another client.
sub rebased {
    my ($value, $client) = @_;
    return { map { $_ => rebased($value->{$_}, $client) } keys %$value } if ref $value;
    my ($here, $there) = ($api->base, $client->base);
    return $value =~ s/^\Q$here/$there/r;
}

subtest 'auth tokens and key secrets are long and random' => sub {
    like $_, qr/^[0-9a-f]{32}$/, '32 hexadecimal digits' for @secrets;
    my %different = map { $_ => 1 } @secrets, map { new_key($sid)->password } 1 .. 20;
    is scalar(keys %different), scalar(do { my %u = map { $_ => 1 } @secrets; keys %u }),
        'no two are the same';
};

subtest 'auth tokens and key secrets are stored as hashes only' => sub {
    for my $case ([ account => $api ], [ 'API key' => new_key($sid) ]) {
        my ($what, $client) = @$case;
        my ($hash) = db()->selectrow_array(
            q(SELECT encode(secret_hash, 'hex') FROM serverless.credentials WHERE sid = ?), undef,
            $client->user);
        is $hash, sha256_hex($client->password), "SHA-256, of an $what";
    }

    my $tables = db()->selectcol_arrayref(
        q(SELECT table_name FROM information_schema.tables WHERE table_schema = 'serverless'));
    ok @$tables > 5, 'every table is searched for secrets';
    for my $table (sort @$tables) {
        my $rows = db()->selectcol_arrayref("SELECT t::text FROM serverless.$table AS t");
        # as text, and as bytes in PostgreSQL's notation
        my @found = grep { my $secret = $_; grep { index($_, $secret) >= 0 } @$rows }
            map { ($_, unpack 'H*', $_) } @secrets;
        is_deeply \@found, [], "the table has no secret in clear: $table";
    }
};

subtest 'cached credentials are checked in the database again where no statement of the API follows' => sub {
    my $account = Serverless::Client->account;
    my $key = new_key($account->user)->on('shared')->undescribed; # a Service's path has a list
    for my $path ($services, "$services/old") {
        is $key->get($path)->status, 200, "before: $path" for 1 .. 3;
    }
    is $key->get('/private')->status, 404, 'before the revocation: a path outside the API is 404' for 1 .. 3;
    administer('revoke_api_key', $key->user);
    is $key->get('/private')->status, 401, 'after the revocation: a path outside the API is 401' for 1 .. 3;
    is $key->get($services)->status, 401, 'after the revocation: a path of the API is 401' for 1 .. 3;

    $account = $account->on('shared')->undescribed;
    is $account->get("$services/old")->status, 200, 'an internal redirect leads into the API' for 1 .. 3;
    push @secrets, administer('rotate_auth_token', $account->user);
    is $account->get("$services/old")->status, 401,
        'the internal redirect with a token that was replaced is 401' for 1 .. 3;
};

subtest 'auth tokens and key secrets are not in the error log' => sub {
    my $log = error_log();
    like $log, qr/\Q$sid\E: authentication failure/, 'which tells of failures';
    my @written = map { ($_, "password of $sid") } @secrets;
    push @written, map { substr encode_base64($_->user . ':' . $_->password, ''), 48 } $api, $other;
    is_deeply [ grep { index($log, $_) >= 0 } @written ], [], 'the log has none of the secrets that were sent';
    unlike $log, qr/Authorization/, 'the log has no Authorization header';
};

done_testing;
