# The Service resource: the five operations, by SID and by UniqueName.
use strict;
use warnings FATAL => 'all';

use Apache::Test qw(-withtestmore);
use JSON::PP ();
use Serverless::Test;
use Test::More;

my ($true, $false) = (JSON::PP::true, JSON::PP::false);
my $services = '/v1/Services';
my $api = Serverless::Client->account;
my $other = Serverless::Client->account;

# The answer is a Service, whole, that differs from the usual one as given.
sub is_service {
    my ($reply, $status, $given, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $sid = ($reply->json || {})->{sid} // '';
    my $url = $api->base . "$services/$sid";
    is_reply $reply, $status, {
        sid                 => sid('ZS'),
        account_sid         => $api->user,
        friendly_name       => 'A Service',
        unique_name         => 'a-service',
        include_credentials => $true,
        ui_editable         => $false,
        domain_base         => qr/^a-service-\d{4,}$/,
        date_created        => date,
        date_updated        => date,
        url                 => $url,
        links               => {
            environments => "$url/Environments",
            functions    => "$url/Functions",
            assets       => "$url/Assets",
            builds       => "$url/Builds",
        },
        %$given,
    }, $name;
}

# One that the test does not care about.
my $made = 0;
sub new_service {
    my ($client) = @_;
    my $reply = $client->post($services, UniqueName => 'any-' . ++$made, FriendlyName => 'Any');
    $reply->status == 201 or die 'no Service: ' . $reply->body;
    return $reply->json;
}

# The row behind a SID, as text; undef if there is none.
sub row {
    my ($sid) = @_;
    return db()->selectrow_array(
        'SELECT row_to_json(s) FROM serverless.services AS s WHERE id = ?', undef, substr $sid, 2);
}

# Makes a Service look as if nothing had happened to it since.
sub set_back {
    my ($sid) = @_;
    db()->do(<<'SQL', undef, substr $sid, 2);
UPDATE serverless.services
   SET date_created = '2020-01-02 03:04:05.999+00', date_updated = '2020-02-03 04:05:06.999+00'
 WHERE id = ?
SQL
}

subtest 'create a Service' => sub {
    my $before = now;
    my $reply = $api->post($services, UniqueName => 'a-service', FriendlyName => 'A Service');
    my $after = now;

    is_service $reply, 201, {}, 'the answer is the Service';
    my $service = $reply->json;
    is $reply->header('Location'), $service->{url}, 'Location is the url of the new resource';
    is $reply->header('Content-Type'), 'application/json', 'Content-Type is application/json';
    is $service->{date_updated}, $service->{date_created}, 'date_updated of a new resource is its date_created';

    my ($created) = db()->selectrow_array(
        'SELECT extract(epoch FROM ?::timestamptz)', undef, $service->{date_created});
    ok $before <= $created && $created <= $after, 'date_created is the present, in UTC';
};

subtest 'the JSON of a Service, byte for byte' => sub {
    my $reply = $api->post($services,
        UniqueName => 'bytes', FriendlyName => "/a \"b\" \x{e9}", UiEditable => 'true');
    my %is = %{ $reply->json };
    my $expected = <<"JSON";
{"sid":"$is{sid}","account_sid":"@{[ $api->user ]}","friendly_name":"/a \\"b\\" \xc3\xa9",
"unique_name":"bytes","include_credentials":true,"ui_editable":true,
"domain_base":"$is{domain_base}",
"date_created":"$is{date_created}","date_updated":"$is{date_updated}","url":"$is{url}",
"links":{"environments":"$is{url}/Environments","functions":"$is{url}/Functions",
"assets":"$is{url}/Assets","builds":"$is{url}/Builds"}}
JSON
    $expected =~ s/\n//g;
    is $reply->body, $expected, 'properties in the documented order, true and false unquoted';
    is $reply->header('Content-Length'), length $expected, 'Content-Length is the length of the JSON';
};

subtest 'create a Service: IncludeCredentials and UiEditable' => sub {
    for my $case (
        [ 'true',  $true ],
        [ 'false', $false ],
        [ 'TRUE',  $true ],
        [ 'False', $false ],
        [ 'tRuE',  $true ],
    ) {
        my ($sent, $is) = @$case;
        for my $flag ([ IncludeCredentials => 'include_credentials' ], [ UiEditable => 'ui_editable' ]) {
            my ($parameter, $property) = @$flag;
            my $name = lc "$parameter-$sent-" . ++$made;
            is_service $api->post($services, UniqueName => $name, FriendlyName => 'Flags',
                $parameter => $sent),
                201,
                { unique_name => $name, friendly_name => 'Flags', domain_base => qr/^$name-\d{4,}$/,
                    $property => $is },
                "$parameter=$sent";
        }
    }
    for my $parameter (qw(IncludeCredentials UiEditable)) {
        for my $wrong ('1', 'yes', 't', 'truee', ' true') {
            is_error $api->post($services, UniqueName => 'flag', FriendlyName => 'F',
                $parameter => $wrong),
                400, 20001, "$parameter must be true or false", "$parameter='$wrong'";
        }
        is_error $api->post($services, UniqueName => 'flag', FriendlyName => 'F', $parameter => ''),
            400, 20001, "$parameter must not be empty", "$parameter=''";
    }
    is $api->get("$services/flag")->status, 404, 'refused creates make nothing';
};

subtest 'create a Service: UniqueName' => sub {
    my $name = 'a' . 'b' x 49;
    for my $case (
        # UniqueName, the label its domain begins with
        [ 'x',                                    'x' ],
        [ '7',                                    '7' ],
        [ $name,                                  substr($name, 0, 40) ], # a label has 63, with a suffix
        [ 'With-Capitals',                        'with-capitals' ],
        [ 'under_score.and.dot',                  'under-score-and-dot' ],
        [ 'end-',                                 'end' ],
        [ 'a__b--c..d',                           'a-b-c-d' ],
        [ 'b1f5a9c0-5c0e-4b5e-9f58-2f6f0c3c7a11', 'b1f5a9c0-5c0e-4b5e-9f58-2f6f0c3c7a11' ],
        [ 'ZSnot-a-sid',                          'zsnot-a-sid' ],
        [ 'ZH' . '0' x 32,                        'zh' . '0' x 32 ],
    ) {
        my ($unique_name, $label) = @$case;
        my %is = (unique_name => $unique_name, domain_base => qr/^$label-\d{4,}$/);
        is_service $api->post($services, UniqueName => $unique_name, FriendlyName => 'A Service'),
            201, \%is, "'$unique_name' is a name";
        is_service $api->get("$services/$unique_name"), 200, \%is, 'the Service is fetched by that UniqueName';
    }

    my $characters = q(must begin with a letter or digit and consist of )
        . q(letters, digits, '-', '_' and '.');
    for my $case (
        [ '',                  'Missing required parameter UniqueName in the post body' ],
        [ $name . 'c',         'UniqueName must not be longer than 50 characters' ],
        [ '-a',                "UniqueName $characters" ],
        [ '.',                 "UniqueName $characters" ],
        [ '..',                "UniqueName $characters" ],
        [ '_a',                "UniqueName $characters" ],
        [ 'a b',               "UniqueName $characters" ],
        [ 'a/b',               "UniqueName $characters" ],
        [ 'a%2Fb',             "UniqueName $characters" ],
        [ "a\n",               "UniqueName $characters" ],
        [ "caf\x{e9}",         "UniqueName $characters" ],
        [ 'ZS' . '0' x 32,     'UniqueName must not look like a SID' ],
        [ 'ZS' . 'aB' x 16,    'UniqueName must not look like a SID' ],
    ) {
        my ($unique_name, $message) = @$case;
        is_error $api->post($services, UniqueName => $unique_name, FriendlyName => 'F'),
            400, 20001, $message, quoted($unique_name) . " is none";
    }
    is_error $api->post($services, FriendlyName => 'F'), 400, 20001,
        'Missing required parameter UniqueName in the post body', 'UniqueName is required';
};

subtest 'create a Service: FriendlyName' => sub {
    my $longest = "\x{1f600}" x 255;
    is_service $api->post($services, UniqueName => 'longest', FriendlyName => $longest),
        201, { unique_name => 'longest', friendly_name => $longest,
            domain_base => qr/^longest-\d{4,}$/ }, '255 characters of four bytes each';
    is_error $api->post($services, UniqueName => 'longer', FriendlyName => "${longest}a"), 400, 20001,
        'FriendlyName must not be longer than 255 characters', '256 characters';
    is_error $api->post($services, UniqueName => 'none'), 400, 20001,
        'Missing required parameter FriendlyName in the post body', 'FriendlyName is required';
    is_error $api->post($services, UniqueName => 'none', FriendlyName => ''), 400, 20001,
        'Missing required parameter FriendlyName in the post body', 'FriendlyName must not be empty';
};

subtest 'create a Service: a UniqueName that is taken' => sub {
    my $service = new_service($api);
    my $before = row($service->{sid});
    is_error $api->post($services, UniqueName => $service->{unique_name}, FriendlyName => 'Other'),
        409, 20409, 'Service with this UniqueName already exists.', 'a UniqueName that is taken in the account is 409';
    is row($service->{sid}), $before, 'the Service is as it was';

    my $same = $other->post($services, UniqueName => $service->{unique_name}, FriendlyName => 'Any');
    is $same->status, 201, 'a UniqueName taken in one account is free in another';
    isnt $same->json->{sid}, $service->{sid}, "the other account's Service has its own SID";
    isnt $same->json->{domain_base}, $service->{domain_base}, "the other account's Service has its own domain";
    is $api->post($services, UniqueName => uc $service->{unique_name}, FriendlyName => 'A')->status,
        201, 'capitals make it another name';
};

subtest 'create a Service: its domain when every one of four digits is taken' => sub {
    db()->do(<<'SQL', undef, substr $other->user, 2);
INSERT INTO serverless.services
SELECT gen_random_uuid(), ?::uuid, 'crowd-' || n, 'Crowd', true, true,
       'crowd-' || lpad(n::text, 4, '0'), now(), now()
  FROM generate_series(0, 9999) AS n
SQL
    my $reply = $other->post($services, UniqueName => 'crowd', FriendlyName => 'Crowd');
    is $reply->status, 201, 'with all domains of four digits taken, a Service is created';
    like $reply->json->{domain_base}, qr/^crowd-\d{5,}$/, 'its domain has five digits';
    db()->do("DELETE FROM serverless.services WHERE unique_name LIKE 'crowd%'");
};

subtest 'fetch a Service' => sub {
    my $service = new_service($api);
    my ($sid, $name) = @$service{qw(sid unique_name)};
    (my $capitals = $sid) =~ s/^ZS(.*)/'ZS' . uc $1/e;

    is_reply $api->get("$services/$sid"), 200, $service, 'by SID';
    is_reply $api->get("$services/$name"), 200, $service, 'by UniqueName';
    is_reply $api->get($service->{url}), 200, $service, 'fetched by its url property';
    is_reply $api->get("$services/$capitals"), 200, $service,
        'fetched by SID in upper case; the answer has the SID in lower case';

    set_back $sid;
    is_reply $api->get("$services/$sid"), 200,
        { %$service, date_created => '2020-01-02T03:04:05Z', date_updated => '2020-02-03T04:05:06Z' },
        'dates are in UTC, without fractions';
};

subtest 'list Services' => sub {
    my $mine = Serverless::Client->account;
    my ($first, $second) = (new_service($mine), new_service($mine));
    my $page = $mine->base . "$services?PageSize=50&Page=0";
    is_reply $mine->get($services), 200, {
        services => [ $second, $first ],
        meta     => {
            first_page_url => $page, key => 'services', next_page_url => undef, page => 0,
            page_size => 50, previous_page_url => undef, url => $page,
        },
    }, 'the account\'s own, as each is fetched, newest first';
};

subtest 'update a Service' => sub {
    for my $by (qw(sid unique_name)) {
        for my $case (
            [ [ FriendlyName       => 'B' ],     { friendly_name       => 'B' } ],
            [ [ IncludeCredentials => 'false' ], { include_credentials => $false } ],
            [ [ IncludeCredentials => 'TRUE' ],  { include_credentials => $true } ],
            [ [ UiEditable         => 'True' ],  { ui_editable         => $true } ],
            [ [ UiEditable         => 'false' ], { ui_editable         => $false } ],
            [
                [ FriendlyName => 'C', IncludeCredentials => 'false', UiEditable => 'true' ],
                { friendly_name => 'C', include_credentials => $false, ui_editable => $true },
            ],
        ) {
            my ($form, $change) = @$case;
            my $service = new_service($api);
            my $url = "$services/$service->{$by}";
            set_back $service->{sid};
            my %updated = (%$service, date_created => '2020-01-02T03:04:05Z', date_updated => date,
                %$change);

            my $reply = $api->post($url, @$form);
            is_reply $reply, 200, \%updated, "@$form, by $by";
            isnt $reply->json->{date_updated}, '2020-02-03T04:05:06Z', 'date_updated is now';
            is $reply->header('Location'), undef, 'an update has no Location';
            is_reply $api->get($url), 200, $reply->json, 'a fetch afterwards returns the same';
        }
    }
};

subtest 'update a Service without parameters' => sub {
    my $service = new_service($api);
    my $url = "$services/$service->{sid}";
    set_back $service->{sid};
    my %same = (%$service,
        date_created => '2020-01-02T03:04:05Z', date_updated => '2020-02-03T04:05:06Z');

    is_reply $api->post($url), 200, \%same, 'an empty form changes nothing, not even date_updated';
    is_reply $api->post($url, UniqueName => 'another'), 200, \%same, 'an update with UniqueName changes nothing';
    is_reply $api->get($url), 200, \%same, 'a fetch afterwards returns the same';
    is $api->get("$services/another")->status, 404, 'an update with UniqueName makes no Service of that name';

    for my $case (
        [ [ FriendlyName => '' ],         'FriendlyName must not be empty' ],
        [ [ FriendlyName => 'a' x 256 ],  'FriendlyName must not be longer than 255 characters' ],
        [ [ UiEditable => 'maybe' ],      'UiEditable must be true or false' ],
        [ [ IncludeCredentials => '' ],   'IncludeCredentials must not be empty' ],
    ) {
        my ($form, $message) = @$case;
        is_error $api->post($url, FriendlyName2 => 'x', @$form), 400, 20001, $message, $message;
    }
    is_reply $api->get($url), 200, \%same, 'a fetch afterwards returns the same';
};

subtest 'delete a Service' => sub {
    for my $by (qw(sid unique_name)) {
        my $service = new_service($api);
        my $url = "$services/$service->{$by}";
        my $bystander = new_service($api);
        for my $sid ($service->{sid}, $bystander->{sid}) {
            $api->post("$services/$sid/Functions", FriendlyName => $_) for 1 .. 3;
        }
        my $count = sub {
            my ($sid) = @_;
            return db()->selectrow_array(
                'SELECT count(*) FROM serverless.artifacts WHERE service_id = ?', undef,
                substr $sid, 2);
        };
        is $count->($service->{sid}), 3, "a Service with Functions, by $by";

        my $reply = $api->delete($url);
        is $reply->status, 204, 'delete answers 204';
        is $reply->body, '', 'the answer has no body';
        is $reply->header($_), undef, "the answer to delete has no $_" for qw(Content-Type Content-Length);
        is $count->($service->{sid}), 0, 'the Functions of the deleted Service are gone';
        is $count->($bystander->{sid}), 3, 'the Functions of another Service are unchanged';

        is_error $api->$_($url), 404, 20404,
            "The requested resource /Services/$service->{$by} was not found", "$_ after delete answers 404"
            for qw(get delete post);
        is $api->get("$url/Functions")->status, 404, 'the list of Functions of the deleted Service is 404';
    }

    my $service = new_service($api);
    $api->delete("$services/$service->{sid}");
    my $again = $api->post($services, UniqueName => $service->{unique_name}, FriendlyName => 'Any');
    is $again->status, 201, 'the name is free again';
    isnt $again->json->{sid}, $service->{sid}, 'the UniqueName of a deleted Service makes a new Service';
};

subtest 'a Service is not found by another account' => sub {
    my $service = new_service($api);
    my $function = $api->post("$services/$service->{sid}/Functions", FriendlyName => 'f')->json;
    my $before = row($service->{sid});

    for my $by (qw(sid unique_name)) {
        my $path = "/Services/$service->{$by}";
        for my $case (
            [ 'fetch',             'get',    $path ],
            [ 'update',            'post',   $path, FriendlyName => 'mine' ],
            [ 'empty update',      'post',   $path ],
            [ 'delete',            'delete', $path ],
            [ 'list Functions',    'get',    "$path/Functions" ],
            [ 'create a Function', 'post',   "$path/Functions", FriendlyName => 'mine' ],
            [ 'fetch a Function',  'get',    "$path/Functions/$function->{sid}" ],
            [ 'update a Function', 'post',   "$path/Functions/$function->{sid}",
                FriendlyName => 'mine' ],
            [ 'delete a Function', 'delete', "$path/Functions/$function->{sid}" ],
        ) {
            my ($name, $method, $address, @form) = @$case;
            is_error $other->$method("/v1$address", @form), 404, 20404,
                "The requested resource $address was not found", "$name, by $by";
        }
    }
    is row($service->{sid}), $before, 'requests of another account leave the Service unchanged';
    is_deeply $api->get("$services/$service->{sid}/Functions")->json->{functions}, [$function],
        'requests of another account leave its Functions unchanged';

    my $listed = $other->get($services, PageSize => 1000)->json->{services};
    is scalar(grep { $_->{account_sid} ne $other->user } @$listed), 0, 'no list shows it';
};

subtest 'a Service that does not exist is not found' => sub {
    for my $name ('ZS' . '0' x 32, 'no-such-name', 'ZS' . '0' x 31, 'zs' . '0' x 32) {
        for my $method (qw(get post delete)) {
            is_error $api->$method("$services/$name"), 404, 20404,
                "The requested resource /Services/$name was not found", "$method $name";
        }
    }
};

done_testing;
