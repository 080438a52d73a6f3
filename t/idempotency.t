# Idempotency-Key: a create that is repeated with its key creates nothing, and is answered
# like the first.
use strict;
use warnings FATAL => 'all';

use Apache::Test qw(-withtestmore);
use Serverless::Parallel;
use Serverless::Project;
use Serverless::Server;
use Serverless::Test;
use Test::More;

my $api = Serverless::Client->account;
my $project = Serverless::Project->new($api);
my $functions = $project->path . '/Functions';
my $reused = 'Idempotency-Key was already used for another request';

my $keys = 0;
sub new_key { return sprintf 'key-%d-%d', $$, ++$keys }
sub with_key { my ($key, $client) = @_; return ($client || $api)->with('Idempotency-Key' => $key) }

sub count_of {
    my ($table, $of) = @_;
    return db()->selectrow_array("SELECT count(*) FROM serverless.$table WHERE service_id = ?", undef,
        substr $of // $project->sid, 2);
}

# With a header that the tests' HTTP client would not send.
sub raw_create {
    my ($key) = @_;
    return $api->raw_request("POST $functions HTTP/1.1", body => 'FriendlyName=x', headers => [
        "Idempotency-Key: $key", 'Content-Type: application/x-www-form-urlencoded', 'Content-Length: 14' ]);
}

# The second answer is the first one again.
sub is_replay {
    my ($second, $first, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is $first->header('Idempotent-Replayed'), undef, "$name: the first is none";
    is_reply $second, 201, $first->json, "$name: the same answer";
    is $second->header('Idempotent-Replayed'), 'true', 'which says so';
    is $second->header('Location'), $first->header('Location'), 'the replay has the Location of the first answer';
}

subtest 'every create can be repeated with an Idempotency-Key' => sub {
    my $service = $project->path;
    my $environment = $project->new_environment;
    my $version = $project->new_version;
    my $build = $project->completed($version);
    my $function = $project->new_function;
    my @upload = ([ Path => undef, undef, '/a' ], [ Visibility => undef, undef, 'public' ],
        [ Content => 'a.js', 'application/javascript', 'exports.a = 1;' ]);
    for my $create (
        [ 'a Service',  sub { $_[0]->post('/v1/Services', UniqueName => 'once', FriendlyName => 'Once') } ],
        [ 'a Function', sub { $_[0]->post($functions, FriendlyName => 'once') } ],
        [ 'an Asset',   sub { $_[0]->post("$service/Assets", FriendlyName => 'once') } ],
        [ 'a Version',  sub { $_[0]->upload("$functions/$function->{sid}/Versions", @upload) } ],
        [ 'an Environment', sub {
            $_[0]->post("$service/Environments", UniqueName => 'once', DomainSuffix => 'once') } ],
        [ 'a Deployment', sub {
            $_[0]->post("$service/Environments/$environment->{sid}/Deployments", BuildSid => $build->{sid}) } ],
    ) {
        my ($name, $once) = @$create;
        my $client = with_key(new_key());
        my ($first, $second) = map { $once->($client) } 1, 2;
        is_replay $second, $first, $name;
    }
    my $client = with_key(new_key());
    my @build = ("$service/Builds", FunctionVersions => $version->{sid});
    my $first = $client->post(@build);
    my $second = $client->post(@build);
    is $second->status, 201, 'a Build';
    is $second->json->{sid}, $first->json->{sid}, 'the replay has the SID of the first answer';
};

subtest 'a replay answers the resource as it is now' => sub {
    my $client = with_key(new_key());
    my $function = $client->post($functions, FriendlyName => 'before')->json;
    my $changed = $api->post("$functions/$function->{sid}", FriendlyName => 'after')->json;
    is_reply $client->post($functions, FriendlyName => 'before'), 201, $changed,
        'a replay after an update answers the updated Function';

    is $api->delete("$functions/$function->{sid}")->status, 204, 'deleted meanwhile';
    my $anew = $client->post($functions, FriendlyName => 'before');
    isnt $anew->json->{sid}, $function->{sid}, 'a replay after a deletion creates a new Function';
    is $anew->header('Idempotent-Replayed'), undef, 'which is no replay';
    is_replay $client->post($functions, FriendlyName => 'before'), $anew, 'the next replay answers the new Function';
};

subtest 'an Idempotency-Key of one request is refused for another request' => sub {
    my $key = new_key();
    my $client = with_key($key);
    my $first = $client->post($functions, FriendlyName => 'one');
    my $before = count_of('artifacts');
    is_error $client->post($functions, FriendlyName => 'two'), 409, 20409, $reused,
        'the key with another FriendlyName is 409';
    is_error $client->post($project->path . '/Assets', FriendlyName => 'one'), 409, 20409, $reused,
        'the key with another path is 409';
    is_error $client->post('/v1/Services', UniqueName => 'one', FriendlyName => 'one'), 409, 20409, $reused,
        'the key with another resource is 409';
    is count_of('artifacts'), $before, 'refused requests create nothing';
    is_replay $client->post($functions, FriendlyName => 'one'), $first, 'the key with its own request is replayed';
    is_replay $client->post($functions, FriendlyName => 'one', Unknown => 'x'), $first,
        'the key with an unknown parameter added is replayed';

    my ($function, $same) = map { $project->new_function } 1, 2;
    my @parts = ([ Path => undef, undef, '/a' ], [ Visibility => undef, undef, 'public' ]);
    $client = with_key(new_key());
    my $versions = "$functions/$function->{sid}/Versions";
    $client->upload($versions, @parts, [ Content => 'a.js', undef, 'exports.a = 1;' ]);
    is_error $client->upload($versions, @parts, [ Content => 'a.js', undef, 'exports.a = 2;' ]),
        409, 20409, $reused, 'the key with another content is 409';
    is_error $client->upload("$functions/$same->{sid}/Versions", @parts, [ Content => 'a.js', undef, 'exports.a = 1;' ]),
        409, 20409, $reused, 'the key with an upload to another Function is 409';
};

subtest 'an Idempotency-Key of one account is unknown to another' => sub {
    my $key = new_key();
    my $other = Serverless::Client->account;
    my $theirs = Serverless::Project->new($other);
    with_key($key)->post($functions, FriendlyName => 'mine');
    my $reply = with_key($key, $other)->post($theirs->path . '/Functions', FriendlyName => 'theirs');
    is $reply->status, 201, 'the same key of another account creates';
    is $reply->header('Idempotent-Replayed'), undef, 'the create of the other account is not a replay';
    is_error with_key($key, $other)->post($functions, FriendlyName => 'mine'), 409, 20409, $reused,
        "the other account's answer has nothing of the first account";
    my $stranger = with_key($key, Serverless::Client->account)->post($functions, FriendlyName => 'mine');
    is $stranger->status, 404, 'the same key of a third account is 404';
    my $nobody = with_key($key, Serverless::Client->client($api->user, 'wrong'));
    is_error $nobody->post($functions, FriendlyName => 'mine'), 401, 20003, 'Authenticate',
        'the same key with wrong credentials is 401';
};

subtest 'a failed create leaves no Idempotency-Key behind' => sub {
    my $client = with_key(new_key());
    is_error $client->post($functions), 400, 20001, 'Missing required parameter FriendlyName in the post body',
        'a malformed request';
    is $client->post($functions, FriendlyName => 'now')->status, 201,
        'a corrected request with the key of a refused one succeeds';

    $client = with_key(new_key());
    my @environment = ($project->path . '/Environments', UniqueName => 'taken', DomainSuffix => 'taken');
    my $there = $api->post(@environment)->json;
    is $client->post(@environment)->status, 409, 'a conflict';
    is $api->delete($there->{url})->status, 204, 'which goes';
    my $reply = $client->post(@environment);
    is $reply->status, 201, 'a repeated request whose first try failed succeeds';
    is $reply->header('Idempotent-Replayed'), undef, 'the repeated request is not a replay';

    $client = with_key(new_key());
    is $client->post("/v1/Services/ZS${\ ('0' x 32)}/Functions", FriendlyName => 'x')->status, 404, 'no such Service';
    is $client->post($functions, FriendlyName => 'x')->status, 201, 'leaves the key free';
};

subtest 'a replay that cannot read the resource is 503 without Idempotent-Replayed' => sub {
    my $server = Serverless::Server->start('locked',
        Serverless::Server->database(statement_timeout => 2000) . Serverless::Server->api);
    my $client = with_key(new_key(), $api->at($server->address));
    my $function = $client->post($functions, FriendlyName => 'locked')->json;
    my $other = connect_as('postgres');
    $other->begin_work;
    $other->do('LOCK TABLE serverless.artifacts');
    my $reply = $client->post($functions, FriendlyName => 'locked');
    $other->rollback;
    is_error $reply, 503, 20503, 'The service is temporarily unavailable', 'a replay whose resource is locked is 503';
    is $reply->header('Idempotent-Replayed'), undef, 'the 503 has no Idempotent-Replayed';
    is $client->post($functions, FriendlyName => 'locked')->json->{sid}, $function->{sid},
        'the replay after the lock answers the resource';
    $server->stop;
};

subtest 'which Idempotency-Keys are valid' => sub {
    for my $key ('k', 'k' x 255, '"8e03978e-40d5-43e8-bc93-6894a57f9324"', '~!*\'();:@&=+$,/?#[] {}|\\^`<>') {
        my $client = with_key($key);
        my $first = $client->post($functions, FriendlyName => 'key');
        is_replay $client->post($functions, FriendlyName => 'key'), $first, "'" . substr($key, 0, 40) . "'";
    }
    my $before = count_of('artifacts');
    for my $key ('', 'k' x 256, "caf\xc3\xa9", "tab\tin it") {
        is_error raw_create($key), 400, 20001,
            'Idempotency-Key must be of 1 to 255 printable ASCII characters', quoted($key);
    }
    is count_of('artifacts'), $before, 'refused requests create nothing';

    my $function = $project->new_function;
    my $client = with_key('k' x 256);
    is $client->get($function->{url})->status, 200, 'a GET ignores the header';
    is $client->post($function->{url}, FriendlyName => 'x')->status, 200, 'an update, too';
    is $client->delete($function->{url})->status, 204, 'the key with a deletion is ignored';
};

subtest 'an Idempotency-Key expires after a day, and is not stored in clear' => sub {
    my $key = new_key();
    my $client = with_key($key);
    my $first = $client->post($functions, FriendlyName => 'yesterday');
    is scalar db()->selectrow_array(q(SELECT count(*) FROM serverless.idempotency_keys AS k WHERE k::text LIKE '%' || ? || '%'),
        undef, $key), 0, 'the table does not have it';
    my $age = sub {
        db()->do(q(UPDATE serverless.idempotency_keys SET date_created = now() - ?::interval WHERE resource_id = ?),
            undef, $_[0], substr $first->json->{sid}, 2);
    };
    $age->('23 hours 59 minutes');
    is_replay $client->post($functions, FriendlyName => 'yesterday'), $first, 'a key of almost a day ago is replayed';
    $age->('24 hours 1 second');
    my $second = $client->post($functions, FriendlyName => 'yesterday');
    isnt $second->json->{sid}, $first->json->{sid}, 'a key of more than a day ago creates again';
    $age = undef;
    is $client->post($functions, FriendlyName => 'today')->status, 409, 'which has the key now';
};

subtest 'Idempotency-Keys are deleted with their Service' => sub {
    my $other = Serverless::Project->new($api);
    my $client = with_key(new_key());
    $client->post($other->path . '/Functions', FriendlyName => 'x');
    is count_of('idempotency_keys', $other->sid), 1, 'a key is kept';
    is $api->delete($other->path)->status, 204, 'the Service is deleted';
    is count_of('idempotency_keys', $other->sid), 0, 'the keys of the deleted Service are gone';
    is $client->post($functions, FriendlyName => 'y')->status, 201, 'the key of the deleted Service is free';
};

for my $round (1 .. 3) {
    my $client = with_key(new_key());
    my $name = "at once $round";
    my @replies = at_once(sub {
        my $reply = $client->afresh->post($functions, FriendlyName => $name);
        return [ $reply->status, $reply->json->{sid}, $reply->header('Idempotent-Replayed') // '' ];
    }, 1 .. 10);
    my %seen;
    $seen{ $_->[1] }++ for @replies;
    is_deeply [ map { $_->[0] } @replies ], [ (201) x 10 ], 'ten at once are all told 201';
    is scalar keys %seen, 1, 'all concurrent creates with one key answer one Function';
    is scalar(grep { $_->[2] eq '' } @replies), 1, 'which one of them has created';
    is scalar db()->selectrow_array('SELECT count(*) FROM serverless.artifacts WHERE friendly_name = ?', undef, $name),
        1, 'the concurrent creates have made one Function';
}

# Larger than a chunk, so that the first upload writes more than once while the others wait.
for my $round (1 .. 3) {
    my $client = with_key(new_key());
    my $asset = $project->new_asset;
    my $path = $project->path . "/Assets/$asset->{sid}/Versions";
    my @replies = at_once(sub {
        my $reply = $client->afresh->upload($path, [ Path => undef, undef, '/a' ], [ Visibility => undef, undef, 'public' ],
            [ Content => 'a', undef, "round $round " x 60_000 ]);
        return [ $reply->status, $reply->json->{sid}, $reply->header('Idempotent-Replayed') // '' ];
    }, 1 .. 6);
    is_deeply [ map { @$_[0, 1] } @replies ], [ (201, $replies[0][1]) x 6 ], "six uploads at once $round: one Version";
    is scalar(grep { $_->[2] eq '' } @replies), 1, 'which one of them has created';
    is scalar @{ $api->get($path)->json->{asset_versions} }, 1, 'the concurrent uploads have made one Version';
}

# Under one key, but not the same.
for my $round (1 .. 3) {
    my $client = with_key(new_key());
    my @replies = at_once(sub { $client->afresh->post($functions, FriendlyName => "either $round $_[0]") }, 1 .. 6);
    my ($winner, @more) = grep { $_->status == 201 } @replies;
    is_deeply [ scalar @more, scalar grep { $_->status == 409 } @replies ], [ 0, 5 ],
        "six requests at once $round, under one key: one has it";
    is_error $_, 409, 20409, $reused, 'the others are told' for (grep { $_->status == 409 } @replies)[0];
}

done_testing;
