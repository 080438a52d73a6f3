# The Variable resource: create, list, fetch, update and delete. Values are in clear in
# answers only. t/variable_keys.t has the change of encryption keys.
use strict;
use warnings FATAL => 'all';

use Apache::Test qw(-withtestmore);
use Serverless::Database;
use Serverless::Parallel;
use Serverless::Project;
use Serverless::Test;
use Test::More;

my $api = Serverless::Client->account;
my $project = Serverless::Project->new($api);
my $environment = $project->new_environment;
my $variables = $project->path . "/Environments/$environment->{sid}/Variables";
my $taken = 'Variable with this Key already exists.';

# The answer is a Variable, whole, that differs from the usual one as given.
sub is_variable {
    my ($reply, $status, $given, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $sid = ($reply->json || {})->{sid} // '';
    is_reply $reply, $status, {
        sid             => sid('ZV'),
        account_sid     => $api->user,
        service_sid     => $project->sid,
        environment_sid => $environment->{sid},
        key             => 'TOKEN',
        value           => 'secret',
        date_created    => date,
        date_updated    => date,
        url             => "$environment->{links}{variables}/$sid",
        %$given,
    }, $name;
}

sub create { my (@form) = @_; return $api->post($variables, @form) }
sub made   { my ($key, $value) = @_; return $project->create($variables, Key => $key, Value => $value) }

sub remove_all {
    db()->do('DELETE FROM serverless.variables WHERE service_id = ?', undef, substr $project->sid, 2);
}

# Of a Variable, as the database has it.
sub stored {
    my ($variable, $columns) = @_;
    return db()->selectrow_array(
        "SELECT $columns FROM serverless.variables WHERE serverless.sid('ZV', id) = ?", undef, $variable->{sid});
}

sub rows {
    return db()->selectrow_array('SELECT count(*) FROM serverless.variables WHERE service_id = ?',
        undef, substr $project->sid, 2);
}

# As if the last change of all of them had been long ago.
sub age {
    db()->do("UPDATE serverless.variables SET date_created = date_created - interval '1 hour', "
        . "date_updated = date_updated - interval '1 hour' WHERE service_id = ?", undef, substr $project->sid, 2);
}

subtest 'create a Variable' => sub {
    my $before = now;
    my $reply = create(Key => 'TOKEN', Value => 'secret');
    my $after = now;
    is_variable $reply, 201, {}, 'the answer has the value in clear';
    my $variable = $reply->json;
    is $reply->header('Location'), $variable->{url}, 'Location is the url of the new resource';
    is $variable->{date_updated}, $variable->{date_created}, 'date_updated of a new resource is its date_created';
    my ($created) = db()->selectrow_array('SELECT extract(epoch FROM ?::timestamptz)', undef, $variable->{date_created});
    ok $before <= $created && $created <= $after, 'date_created is the present, in UTC';
    is stored($variable, 'date_created = serverless.made(id)'), 1, 'date_created is the time in the SID';
    remove_all;

    (my $by_name = $variables) =~ s{[^/]+(?=/Environments)}{$project->service->{unique_name}}e;
    is_variable $api->post($by_name, Key => 'TOKEN', Value => 'secret', Environment => 'ignored'), 201, {},
        'under a Service named by UniqueName';
    remove_all;
};

subtest 'the JSON of a Variable, byte for byte' => sub {
    my $reply = create(Key => "/caf\x{e9} \"1\"", Value => "a\\\"\x{e9}\n\t\x{1f600}/");
    my %is = %{ $reply->json };
    my $expected = <<"JSON";
{"sid":"$is{sid}","account_sid":"@{[ $api->user ]}","service_sid":"@{[ $project->sid ]}",
"environment_sid":"$environment->{sid}","key":"/caf\xc3\xa9 \\"1\\"",
"value":"a\\\\\\"\xc3\xa9\\n\\t\xf0\x9f\x98\x80/",
"date_created":"$is{date_created}","date_updated":"$is{date_updated}","url":"$is{url}"}
JSON
    $expected =~ s/\n//g;
    is $reply->body, $expected, 'the JSON has its properties in the documented order';
    remove_all;
};

subtest 'the Value of a Variable comes back exactly as it was sent' => sub {
    for my $value ('a', ' ', "\n", '0', 'x' x 450, "\x{e9}" x 225, "\x{20ac}" x 150, "\x{1f600}" x 112 . 'xx',
        "line\r\nline", '<a href="b">&amp;</a>', '{"a":[1]}', "\x01\x1f\x7f", "\x{10ffff}", 'a=b&c=d;%41+') {
        my $reply = create(Key => 'TOKEN', Value => $value);
        is_variable $reply, 201, { value => $value }, quoted($value);
        is_variable $api->get($reply->json->{url}), 200, { value => $value }, 'a fetch afterwards returns the same';
        is_deeply [ map { $_->{value} } @{ $api->get($variables)->json->{variables} } ], [$value],
            'the Value is listed as it was sent';
        $api->post($reply->json->{url}, Value => 'another');
        is_variable $api->post($reply->json->{url}, Value => $value), 200, { value => $value },
            'the Value is updated as it was sent';
        remove_all;
    }
};

subtest 'invalid Keys and Values of a Variable are refused' => sub {
    my $variable = made('OTHER', 'value');
    my $characters = 'Key must not be longer than 128 characters';
    my $bytes = 'Value must not be longer than 450 bytes';
    my @too_long = ('x' x 451, "\x{e9}" x 225 . 'x', 'x' . "\x{20ac}" x 150, "\x{1f600}" x 113);
    for my $case (
        [ 'Key of 129 characters', $characters, Key => 'x' x 129, Value => 'v' ],
        [ 'Key of 129 emoji',      $characters, Key => "\x{1f600}" x 129, Value => 'v' ],
        (map { [ 'Value of ' . length() . ' characters', $bytes, Key => 'K', Value => $_ ] } @too_long),
        [ 'Key twice',             'Key is given more than once', Key => 'K', Key => 'K', Value => 'v' ],
        [ 'Value twice',           'Value is given more than once', Key => 'K', Value => 'v', Value => 'v' ],
    ) {
        my ($what, $message, @form) = @$case;
        is_error create(@form), 400, 20001, $message, "$what: create";
        is_error $api->post($variable->{url}, @form), 400, 20001, $message, "$what: update";
    }
    for my $case (
        [ 'NUL in Value',           'The parameters must not contain NUL', 'Key=K&Value=a%00b' ],
        [ 'NUL in Key',             'The parameters must not contain NUL', 'Key=a%00b&Value=v' ],
        [ 'Latin-1',                'Value is not valid UTF-8', 'Key=K&Value=caf%E9' ],
        [ 'an overlong form',       'Value is not valid UTF-8', 'Key=K&Value=%C0%AF' ],
        [ 'a surrogate',            'Value is not valid UTF-8', 'Key=K&Value=%ED%A0%80' ],
        [ 'half a character',       'Value is not valid UTF-8', 'Key=K&Value=' . 'x' x 448 . '%F0%9F' ],
        [ 'above U+10FFFF',         'Value is not valid UTF-8', 'Key=K&Value=%F4%90%80%80' ],
        [ 'Latin-1 in Key',         'Key is not valid UTF-8', 'Key=caf%E9&Value=v' ],
        [ 'a malformed %',          'The parameters have a malformed percent-encoding', 'Key=K&Value=100%' ],
    ) {
        my ($what, $message, $form) = @$case;
        for my $path ($variables, $variable->{url}) {
            my $reply = $api->request(POST => $path, $form, 'application/x-www-form-urlencoded');
            is_error $reply, 400, 20001, $message, $path eq $variables ? "$what: create" : "$what: update";
        }
    }

    my ($no_key, $no_value) = map { "Missing required parameter $_ in the post body" } 'Key', 'Value';
    for my $case (
        [ 'nothing',              $no_key ],
        [ 'no Key',               $no_key, Value => 'v' ],
        [ 'no Value',             $no_value, Key => 'K' ],
        [ 'an empty Key',         $no_key, Key => '', Value => 'v' ],
        [ 'an empty Value',       $no_value, Key => 'K', Value => '' ],
        [ 'in lower case',        $no_key, key => 'K', value => 'v' ],
    ) {
        my ($what, $message, @form) = @$case;
        is_error create(@form), 400, 20001, $message, "create with $what";
    }
    is_error $api->post($variable->{url}, $_ => ''), 400, 20001, "$_ must not be empty", "update with an empty $_"
        for 'Key', 'Value';
    is_error $api->request(POST => $variables, '{"Key":"K","Value":"v"}', 'application/json'), 415, 20415,
        'The content type must be application/x-www-form-urlencoded', 'create with JSON';
    is rows(), 1, 'refused requests leave the number of rows unchanged';
    is_reply $api->get($variable->{url}), 200, $variable, 'refused updates change nothing';
    remove_all;

    is_variable create(Key => $_, Value => 'v'), 201, { key => $_, value => 'v' }, 'Key ' . quoted($_)
        for 'x' x 128, "\x{1f600}" x 128, 'with space', "\x{e9}", '1', '-';
    remove_all;
};

subtest 'list and fetch Variables' => sub {
    my $page = "$environment->{links}{variables}?PageSize=50&Page=0";
    my $meta = {
        first_page_url => $page, key => 'variables', next_page_url => undef, page => 0,
        page_size => 50, previous_page_url => undef, url => $page,
    };
    is_reply $api->get($variables), 200, { variables => [], meta => $meta }, 'the list is empty before anything was created';
    my @made = map { made("KEY_$_", "value $_") } 1 .. 3;
    is_reply $api->get($variables), 200, { variables => [ reverse @made ], meta => $meta },
        'the list has every resource as a fetch returns it, newest first';
    my $first = $api->get("$variables?PageSize=2")->json;
    my $second = $api->get($first->{meta}{next_page_url})->json;
    is_deeply [ @{ $first->{variables} }, @{ $second->{variables} } ], [ reverse @made ], 'the pages together have every resource, newest first';

    my $variable = $made[0];
    (my $capitals = $variable->{sid}) =~ s/^ZV(.*)/'ZV' . uc $1/e;
    is_reply $api->get($variable->{url}), 200, $variable, 'fetched by the url it has';
    is_reply $api->get("$variables/$capitals"), 200, $variable, 'fetched by SID in upper case';
    is_error $api->get("$variables/$variable->{key}"), 404, 20404, qr/was not found$/, 'a Variable is not found by Key';
    is $api->get("$environment->{url}")->json->{links}{variables}, "$environment->{url}/Variables",
        'the Environment says where they are';
    remove_all;
};

subtest 'update a Variable' => sub {
    my $variable = made('TOKEN', 'secret');
    age();
    my $old = $api->get($variable->{url})->json;
    my $sealed = stored($variable, 'encode(sealed, $$hex$$)');

    is_reply $api->post($variable->{url}), 200, $old,
        'an update without parameters changes nothing, not even date_updated';
    is_reply $api->post($variable->{url}, Other => 'x'), 200, $old, 'an update with unknown parameters changes nothing';
    is stored($variable, 'encode(sealed, $$hex$$)'), $sealed,
        'an update without parameters leaves the stored bytes unchanged';

    my $reply = $api->post($variable->{url}, Value => 'changed');
    is_variable $reply, 200, { %$old, value => 'changed', date_updated => date }, 'Value';
    isnt $reply->json->{date_updated}, $old->{date_updated}, 'which date_updated tells';
    is_reply $api->get($variable->{url}), 200, $reply->json, 'a fetch afterwards returns the same';

    age();
    $old = $api->get($variable->{url})->json;
    $sealed = stored($variable, 'encode(sealed, $$hex$$)');
    $reply = $api->post($variable->{url}, Key => 'RENAMED');
    is_variable $reply, 200, { %$old, key => 'RENAMED', date_updated => date }, 'Key, which leaves the value';
    isnt $reply->json->{date_updated}, $old->{date_updated}, 'date_updated tells it, too';
    is stored($variable, 'encode(sealed, $$hex$$)'), $sealed, 'an update of the Key leaves the stored Value unchanged';

    $reply = $api->post($variable->{url}, Key => 'TOKEN', Value => "\x{1f600}" x 112);
    is_variable $reply, 200, { %$old, value => "\x{1f600}" x 112, date_updated => date }, 'an update of Key and Value';
    is_variable $api->post($variable->{url}, Key => 'TOKEN'), 200, { %$old, value => "\x{1f600}" x 112,
        date_updated => date }, 'an update to the present Key';
    (my $by_name = $variables) =~ s{[^/]+(?=/Environments)}{$project->service->{unique_name}}e;
    is_variable $api->post("$by_name/$variable->{sid}", Value => 'by name'), 200,
        { %$old, value => 'by name', date_updated => date }, 'under a Service named by UniqueName';
    is_variable $api->get($variable->{url}), 200, { %$old, value => 'by name', date_updated => date },
        'the update under a Service named by UniqueName is stored';
    remove_all;
};

subtest 'conditional requests of a Variable' => sub {
    my $reply = create(Key => 'TOKEN', Value => 'secret');
    my ($variable, $first) = ($reply->json, $reply->header('ETag'));
    ok $first, 'a Variable has a tag';
    is $api->get($variable->{url})->header('ETag'), $first, 'the ETag of a create is that of a fetch';
    my $same = $api->with('If-None-Match' => $first)->get($variable->{url});
    is_deeply [ $same->status, $same->body ], [ 304, '' ], 'which saves fetching it again';
    my $second = $api->with('If-Match' => $first)->post($variable->{url}, Value => 'changed');
    is_variable $second, 200, { value => 'changed' }, 'an update with the ETag in If-Match succeeds';
    isnt $second->header('ETag'), $first, 'the update changes the ETag';
    my $changed = 'The resource is not in the state that the request expects';
    my $late = $api->with('If-Match' => $first);
    is_error $late->post($variable->{url}, Value => 'late'), 412, 20412, $changed,
        'an update with the ETag of before is 412';
    is_error $late->post($variable->{url}), 412, 20412, $changed,
        'an update without parameters, with the ETag of before, is 412';
    is_error $late->delete($variable->{url}), 412, 20412, $changed, 'a delete with the ETag of before is 412';
    is_error $late->post("$variables/ZV" . '0' x 32, Value => 'v'), 404, 20404, qr/was not found$/,
        'an update with If-Match of a Variable that does not exist is 404';
    is_error $late->delete("$variables/ZV" . '0' x 32), 404, 20404, qr/was not found$/, 'deleted, too';
    is_reply $api->get($variable->{url}), 200, $second->json, 'refused requests leave the resource unchanged';

    my @replies = at_once(sub { $api->afresh->with('If-Match' => $second->header('ETag'))->post($variable->{url}, Value => $_[0]) },
        1 .. 10);
    is_deeply [ sort map { $_->status } @replies ], [ 200, (412) x 9 ],
        'of ten concurrent updates with one ETag, one succeeds';
    my ($winner) = grep { $_->status == 200 } @replies;
    is $api->with('If-Match' => $winner->header('ETag'))->delete($variable->{url})->status, 204,
        'a delete with the ETag in If-Match succeeds';
    is rows(), 0, 'the row of the deleted Variable is gone';
};

subtest 'create a Variable with an Idempotency-Key' => sub {
    my $once = $api->with('Idempotency-Key' => "variable-$$");
    my $first = $once->post($variables, Key => 'ONCE', Value => 'secret');
    is_variable $first, 201, { key => 'ONCE' }, 'a create with a key';
    my $again = $once->post($variables, Value => 'secret', Key => 'ONCE');
    is_reply $again, 201, $first->json, 'a second time it is the same Variable';
    is $again->header('Idempotent-Replayed'), 'true', 'the replay has Idempotent-Replayed';
    my $reused = 'Idempotency-Key was already used for another request';
    is_error $once->post($variables, Key => 'ONCE', Value => 'other'), 409, 20409, $reused,
        'the key with another Value is 409';
    is_error $once->post($variables, Key => 'OTHER', Value => 'secret'), 409, 20409, $reused,
        'the key with another Key is 409';
    is rows(), 1, 'the requests with one Idempotency-Key have made one Variable';
    my $twin = $api->with('Idempotency-Key' => "twin-$$");
    my @replies = at_once(sub { $twin->afresh->post($variables, Key => 'TWIN', Value => 'secret') }, 1 .. 10);
    is_deeply [ map { $_->json->{sid} } @replies ], [ ($replies[0]->json->{sid}) x 10 ], 'ten at once: one Variable';
    remove_all;
};

subtest 'a Key is unique in an Environment' => sub {
    my ($first, $second) = map { made($_, $_) } 'FIRST', 'SECOND';
    is_error create(Key => 'FIRST', Value => 'other'), 409, 20409, $taken, 'create';
    is_error $api->post($second->{url}, Key => 'FIRST', Value => 'other'), 409, 20409, $taken, 'update';
    is_reply $api->get($_->{url}), 200, $_, "$_->{key} is as it was" for $first, $second;
    is_variable create(Key => 'first', Value => 'v'), 201, { key => 'first', value => 'v' },
        'a Key in other case is another Key';

    my $other = $project->new_environment;
    my $there = $api->post("$other->{url}/Variables", Key => 'FIRST', Value => 'there');
    is_variable $there, 201, { environment_sid => $other->{sid}, key => 'FIRST', value => 'there',
        url => "$other->{url}/Variables/" . $there->json->{sid} }, 'a Key taken in one Environment is free in another';
    is $api->delete($first->{url})->status, 204, 'the Variable of the Key is deleted';
    is create(Key => 'FIRST', Value => 'v')->status, 201, 'the Key of a deleted Variable is free';
    remove_all;
};

subtest 'delete a Variable' => sub {
    my ($bystander, $variable) = map { made($_, 'v') } 'BYSTANDER', 'GOES';
    my $reply = $api->delete($variable->{url});
    is $reply->status, 204, 'delete answers 204';
    is $reply->body, '', 'the answer has no body';
    (my $path = $variable->{url}) =~ s{^http://[^/]+/v1}{};
    is_error $api->$_("/v1$path"), 404, 20404, "The requested resource $path was not found",
        "$_ of the deleted Variable is 404"
        for qw(get post delete);
    is_error $api->post("/v1$path", Value => 'v'), 404, 20404, "The requested resource $path was not found",
        'POST with a Value to the deleted Variable is 404';
    is_reply $api->get($bystander->{url}), 200, $bystander, 'another resource of the same kind is unchanged';

    my $other = $project->new_environment;
    my $there = $project->create("$other->{url}/Variables" =~ s{^http://[^/]+}{}r, Key => 'K', Value => 'v');
    is $api->delete($other->{url})->status, 204, 'an Environment is deleted';
    (my $list = $other->{links}{variables}) =~ s{^http://[^/]+/v1}{};
    is_error $api->get("/v1$list"), 404, 20404, "The requested resource $list was not found",
        'the Variables of the deleted Environment are gone';
    is_error $api->post("/v1$list", Key => 'K', Value => 'v'), 404, 20404,
        "The requested resource $list was not found", 'a create in the deleted Environment is 404';
    is rows(), 1, 'the database has none of them';

    my $whole = Serverless::Project->new($api);
    my $its = $whole->new_environment;
    $whole->create("$its->{url}/Variables" =~ s{^http://[^/]+}{}r, Key => 'K', Value => 'v');
    is $api->delete($whole->path)->status, 204, 'a Service is deleted';
    is db()->selectrow_array('SELECT count(*) FROM serverless.variables WHERE service_id = ?', undef,
        substr $whole->sid, 2), 0, 'the Variables of the deleted Service are gone';
    remove_all;
};

subtest 'a Variable is not found under another Environment or Service, or by another account' => sub {
    my $variable = made('TOKEN', 'secret');
    my $sibling = $project->new_environment;
    my $other = Serverless::Project->new($api);
    my $others = $other->new_environment;
    my $stranger = Serverless::Client->account;
    my $theirs = Serverless::Project->new($stranger);
    my $nobody = '0' x 32;
    for my $case (
        [ 'another Environment',           $api,      $project->sid, $sibling->{sid},     $variable->{sid} ],
        [ 'another Service',               $api,      $other->sid,   $environment->{sid}, $variable->{sid} ],
        [ 'another Service\'s Environment', $api,     $other->sid,   $others->{sid},      $variable->{sid} ],
        [ 'another account',               $stranger, $project->sid, $environment->{sid}, $variable->{sid} ],
        [ 'another account\'s Service',    $stranger, $theirs->sid,  $environment->{sid}, $variable->{sid} ],
        [ 'no such Variable',              $api,      $project->sid, $environment->{sid}, "ZV$nobody" ],
        [ 'no such Environment',           $api,      $project->sid, "ZE$nobody",         $variable->{sid} ],
        [ 'a malformed SID',               $api,      $project->sid, $environment->{sid}, 'ZV' . '0' x 31 ],
        [ 'a SID of another kind',         $api,      $project->sid, $environment->{sid}, $environment->{sid} ],
    ) {
        my ($what, $client, @sids) = @$case;
        my $path = "/Services/$sids[0]/Environments/$sids[1]/Variables/$sids[2]";
        is_error $client->$_("/v1$path"), 404, 20404, "The requested resource $path was not found", "$what: $_"
            for qw(get post delete);
        is_error $client->post("/v1$path", Key => 'K', Value => 'v'), 404, 20404,
            "The requested resource $path was not found", "$what: post with Key and Value";
    }
    (my $list = $variables) =~ s{^/v1}{};
    is_error $stranger->get($variables), 404, 20404, "The requested resource $list was not found", 'its list is not found by another account';
    is_error $stranger->post($variables, Key => 'K', Value => 'v'), 404, 20404,
        "The requested resource $list was not found", 'another account cannot create there: 404';
    is_reply $api->get($variable->{url}), 200, $variable, 'refused requests leave the resource unchanged';

    my $reply = $api->request(PUT => $variable->{url});
    is_error $reply, 405, 20004, 'Method not allowed', 'other methods of a Variable are 405';
    is $reply->header('Allow'), 'GET, HEAD, POST, DELETE, OPTIONS', 'than Allow says';
    remove_all;
};

subtest 'ten concurrent creates and updates of Variables' => sub {
    my @made = at_once(sub { $api->afresh->post($variables, Key => "KEY_$_[0]", Value => "value $_[0]") }, 1 .. 10);
    is_deeply [ map { $_->status } @made ], [ (201) x 10 ], 'ten Variables are created, as a deployment does';
    is_deeply { map { ($_->{key} => $_->{value}) } @{ $api->get($variables)->json->{variables} } },
        { map { ("KEY_$_" => "value $_") } 1 .. 10 }, 'the ten Variables are listed';
    my @updated = at_once(sub { $api->afresh->post($_[0]->json->{url}, Value => $_[0]->json->{key}) }, @made);
    is_deeply [ map { [ $_->status, $_->json->{value} ] } @updated ], [ map { [ 200, "KEY_$_" ] } 1 .. 10 ],
        'ten concurrent updates of different Variables succeed';
    remove_all;

    for my $round (1 .. 3) {
        my @replies = at_once(sub { $api->afresh->post($variables, Key => 'ONE', Value => $_[0]) }, 1 .. 10);
        my ($winner, @more) = grep { $_->status == 201 } @replies;
        my @losers = grep { $_->status == 409 } @replies;
        is_deeply [ scalar @more, scalar @losers ], [ 0, 9 ], "round $round: of ten that want one Key, one has it";
        is_error $losers[0], 409, 20409, $taken, 'the others are told';
        is_reply $api->get($winner->json->{url}), 200, $winner->json, 'the create that succeeded has its own Value';
        remove_all;
    }

    my @mine = map { made("MINE_$_", 'v') } 1 .. 10;
    my @replies = at_once(sub { $api->afresh->post($_[0]{url}, Key => 'ONE') }, @mine);
    is_deeply [ sort map { $_->status } @replies ], [ 200, (409) x 9 ],
        'of ten concurrent renames to one Key, one succeeds';
    remove_all;

    for my $round (1 .. 3) {
        my @two = map { made($_, 'v') } 'LEFT', 'RIGHT';
        @replies = at_once(sub { $api->afresh->post($_[0][0]{url}, Key => $_[0][1]) },
            [ $two[0], 'RIGHT' ], [ $two[1], 'LEFT' ]);
        is_deeply [ grep { $_->status != 409 } @replies ], [], "round $round: two that want each other's Key: neither has it";
        remove_all;
    }

    my $variable = made('SHARED', 'v');
    my @values = map { $_ x 400 } 'a' .. 'j';
    @replies = at_once(sub { $api->afresh->post($variable->{url}, Value => $_[0]) }, @values);
    is_deeply [ map { [ $_->status, $_->json->{value} ] } @replies ], [ map { [ 200, $_ ] } @values ],
        'ten updates of one value: each is told its own';
    my $left = $api->get($variable->{url})->json->{value};
    is scalar(grep { $_ eq $left } @values), 1, 'after concurrent updates, the Value is that of one of them';
    remove_all;
};

# Secrecy against a reader of the database, a backup or a log.
subtest 'Values are in clear in no table, log or file' => sub {
    my @secrets = map { "s3cret-$_-" . join '', map { ('a' .. 'z')[rand 26] } 1 .. 20 } 1 .. 3;
    superuser()->do('ALTER ROLE serverless_httpd SET log_min_duration_statement = 0');
    kill_backends(backends());
    my $variable = made('LOGGED', $secrets[0]);
    $api->post($variable->{url}, Value => $secrets[1]);
    $api->get($variable->{url});
    $api->get($variables);
    $api->post("$variable->{url}?Value=$secrets[2]", Key => 'LOGGED');
    $api->post($variable->{url}, Value => $secrets[2] . 'x' x 450);
    superuser()->do('ALTER ROLE serverless_httpd RESET log_min_duration_statement');
    kill_backends(backends());

    my $logs = Apache::Test::config()->{vars}{t_logs};
    my %text = (
        'the table'          => join("\n", map { join ' ', map { $_ // '' } @$_ }
            @{ db()->selectall_arrayref('SELECT v.*, encode(sealed, $$escape$$) FROM serverless.variables AS v') }),
        'a dump'             => scalar `pg_dump -h $ENV{DATABASE} -U postgres serverless`,
        'PostgreSQL\'s log'  => slurp("$ENV{CLUSTER}/postgresql.log"),
        'httpd\'s error log' => slurp("$logs/error_log"),
        'its access log'     => slurp("$logs/access_log"),
    );
    my ($key) = slurp($ENV{VARIABLE_KEYS}) =~ /\s([0-9a-f]{64})$/m;
    for my $place (sort keys %text) {
        my @found = grep { my ($hex, $base64) = (unpack('H*', $_), substr Serverless::Client::base64($_), 0, 20);
            $text{$place} =~ /\Q$_\E|\Q$hex\E|\Q$base64\E/i } @secrets;
        is_deeply \@found, [], "$place does not have them";
        unlike $text{$place}, qr/$key/i, "no place has the encryption key: $place";
    }
    like $text{'the table'}, qr/$variable->{sid}|LOGGED/, 'the table has the Variable';
    like $text{'a dump'}, qr/\bLOGGED\b/, 'the dump, too';
    like $text{'PostgreSQL\'s log'}, qr/serverless_variable_$_\b/, "PostgreSQL's log has the statement for $_"
        for qw(create update fetch list);

    my $sealed = stored($variable, 'encode(sealed, $$hex$$)');
    is length($sealed) / 2, 12 + length($secrets[1]) + 16, 'stored are a nonce, as many bytes as the value has, and a tag';
    my ($id) = slurp($ENV{VARIABLE_KEYS}) =~ /^(\S+)/;
    is stored($variable, 'sealed_with'), $id, 'the row has the id of the encryption key';
    my %nonces = map { ($api->post($variable->{url}, Value => 'the same'),
        substr stored($variable, 'encode(sealed, $$hex$$)'), 0, 24) } 1 .. 20;
    my %times;
    $times{$_}++ for values %nonces;
    is scalar keys %times, 20, 'the same Value twenty times has twenty nonces';
    remove_all;
};

sub slurp {
    my ($file) = @_;
    open my $in, '<', $file or die "$file: $!\n";
    local $/;
    return scalar <$in>;
}

# A writer to the table cannot make the API answer a Value that was not set there.
subtest 'a Value that was changed in the database is not shown' => sub {
    my $other = $project->new_environment;
    my ($victim, $mine) = map { made($_, "value of $_") } 'VICTIM', 'MINE';
    my $elsewhere = $project->create("$other->{url}/Variables" =~ s{^http://[^/]+}{}r, Key => 'E', Value => 'elsewhere');
    my $change = sub {
        my ($set) = @_;
        db()->do("UPDATE serverless.variables AS v SET $set WHERE serverless.sid('ZV', id) = ?", undef, $mine->{sid});
    };
    my $of = sub { my ($variable) = @_;
        "(SELECT sealed FROM serverless.variables WHERE serverless.sid('ZV', id) = '$variable->{sid}')" };
    my ($key) = stored($mine, 'sealed_with');
    my $size = stored($mine, 'octet_length(sealed)');
    my $changed = 'it is not what was written there';
    for my $case (
        [ 'another Variable\'s value',               'sealed = ' . $of->($victim) ],
        [ 'a value of another Environment',          'sealed = ' . $of->($elsewhere) ],
        (map { [ "another bit in byte $_", "sealed = set_byte(sealed, $_, get_byte(sealed, $_) \# 1)" ] }
            0, 11, 12, $size - 17, $size - 16, $size - 1),
        [ 'a byte less',                             'sealed = substr(sealed, 1, octet_length(sealed) - 1)' ],
        [ 'a byte more',                             q(sealed = sealed || '\x00') ],
        [ 'the least there is',                      'sealed = substr(sealed, 1, 29)' ],
        [ 'the most there is',                       q(sealed = decode(repeat('ab', 478), 'hex')) ],
        [ 'an unknown key',                          q(sealed_with = 'lost'), 'lost', 'the key is not known' ],
    ) {
        my ($what, $set, $id, $why) = @$case;
        my $original = stored($mine, 'encode(sealed, $$hex$$)');
        $change->($set);
        for my $request ([ 'fetch', $mine->{url} ], [ 'list', $variables ]) {
            my ($verb, $path) = @$request;
            error_log();
            my $reply = $api->get($path);
            is_error $reply, 500, 20500, 'An internal error occurred', "$what: $verb";
            my @lines = grep { /SF0018/ } split /\n/, error_log();
            is scalar @lines, 1, 'the error log has one line about the Variable';
            my $id_of = $id // $key;
            my $reason = $why // $changed;
            like $lines[0], qr/\[@{[ $reply->header('Twilio-Request-Id') ]}\] SF0018: Variable $mine->{sid}, key "$id_of": cannot be decrypted: $reason$/,
                'by SID and key id, under the request\'s id';
        }
        is_reply $api->get($victim->{url}), 200, $victim, 'another Variable is still answered';
        $change->("sealed_with = '$key', sealed = decode('$original', 'hex')");
        is_reply $api->get($mine->{url}), 200, $mine, 'the Variable with its own bytes again is answered';
    }

    # The whole row moved to another Environment, and two that changed places.
    $change->("environment_id = (SELECT id FROM serverless.environments WHERE serverless.sid('ZE', id) = '$other->{sid}')");
    is_error $api->get("$other->{url}/Variables/$mine->{sid}"), 500, 20500, 'An internal error occurred',
        'the whole Variable in another Environment';
    db()->do("DELETE FROM serverless.variables WHERE serverless.sid('ZV', id) = ?", undef, $mine->{sid});

    # The way out.
    my ($broken) = map { $mine = made($_, 'value') } 'BROKEN';
    $change->(q(sealed = set_byte(sealed, 12, get_byte(sealed, 12) # 1)));
    is_error $api->post($broken->{url}, Key => 'RENAMED'), 500, 20500, 'An internal error occurred',
        'a new Key does not mend it';
    is_variable $api->post($broken->{url}, Value => 'new'), 200, { key => 'RENAMED', value => 'new' }, 'a new Value does';
    $change->(q(sealed_with = 'lost'));
    is $api->delete($broken->{url})->status, 204, 'a Variable that cannot be decrypted can be deleted';
    is $api->get($variables)->status, 200, 'which mends the list';
    unlike error_log(), qr/value of|elsewhere/, 'no value was logged';
    remove_all;
};

done_testing;
