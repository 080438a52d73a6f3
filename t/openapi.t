# docs/openapi.yaml: it is a valid description, it describes all of this API, and the module
# serves it. Serverless::OpenAPI, which checks each answer of every suite, finds errors.
use strict;
use warnings FATAL => 'all';

use Apache::Test qw(-withtestmore);
use Cpanel::JSON::XS ();
use IPC::Open2 qw(open2);
use Serverless::OpenAPI;
use Serverless::Project;
use Serverless::Server;
use Serverless::Test;
use Test::More;

my $json = Cpanel::JSON::XS->new->utf8->canonical->allow_nonref;
my $text = slurp("$ENV{SOURCE}/docs/openapi.yaml");
my $description = Serverless::OpenAPI::description();
my $paths = $description->{paths};

sub slurp {
    my ($file) = @_;
    open my $in, '<:raw', $file or die "$file: $!\n";
    local $/;
    return scalar <$in>;
}

# What a validator by others says: see t/sdk/json_schema.mjs.
sub others_say {
    my ($question) = @_;
    my ($node) = glob 't/sdk/node_modules/node-linux-*/bin/node';
    my $pid = open2(my $answer, my $input, $node, 't/sdk/json_schema.mjs');
    print $input $json->encode($question);
    close $input;
    my $said = do { local $/; <$answer> };
    waitpid $pid, 0;
    die "t/sdk/json_schema.mjs failed\n" if $?;
    return $json->decode($said);
}

# Each hash in a tree, with the pointer to it.
sub walk {
    my ($visit, $place, $pointer) = @_;
    if (ref $place eq 'HASH') {
        $visit->($place, $pointer);
        walk($visit, $place->{$_}, "$pointer/" . s{/}{~1}gr) for sort keys %$place;
    }
    elsif (ref $place eq 'ARRAY') {
        walk($visit, $place->[$_], "$pointer/$_") for 0 .. $#$place;
    }
}

# Each operation, as [path, method, operation, path item].
my @operations = map {
    my $path = $_;
    map { [ $path, uc $_, $paths->{$path}{$_}, $paths->{$path} ] }
        grep { $_ ne 'parameters' } sort keys %{ $paths->{$path} };
} sort keys %$paths;


# The document -----------------------------------------------------------------

is_deeply others_say({ document => $description }), [], 'docs/openapi.yaml is valid OpenAPI 3.1';

my ($release) = slurp("$ENV{SOURCE}/CHANGES") =~ /^Changes with mod_serverless_functions (\S+)/m;
is $description->{info}{version}, $release, 'docs/openapi.yaml has the version of the newest entry of CHANGES';

subtest 'docs/openapi.yaml has every component that it refers to, and no other' => sub {
    my %used;
    walk(sub {
        my ($place, $pointer) = @_;
        my $target = $place->{'$ref'} // return;
        ok eval { Serverless::OpenAPI::at($target) }, "$pointer refers to something" if !$used{$target}++;
    }, $description, '#');
    for my $kind (grep { $_ ne 'securitySchemes' } sort keys %{ $description->{components} }) {
        my @all = map { "#/components/$kind/$_" } sort keys %{ $description->{components}{$kind} };
        is_deeply [ grep { !$used{$_} } @all ], [], "$kind: nothing is left over";
    }

    my %tags = map { $_ => 1 } map { @{ $_->[2]{tags} } } @operations;
    is_deeply [ sort map { $_->{name} } @{ $description->{tags} } ], [ sort keys %tags ], 'tags';
    my %ids;
    $ids{ $_->[2]{operationId} }++ for @operations;
    is_deeply [ grep { $ids{$_} > 1 } sort keys %ids ], [], 'each operation has its own operationId';
    for my $path (sort keys %$paths) {
        my %parameters = Serverless::OpenAPI::path_parameters($paths->{$path});
        is_deeply [ sort keys %parameters ], [ sort $path =~ /\{(\w+)\}/g ], "$path: its parameters";
    }
};

subtest 'docs/openapi.yaml has no keyword beside a $ref, which many tools would ignore or take instead' => sub {
    my $references = 0;
    walk(sub {
        my ($place, $pointer) = @_;
        return if !exists $place->{'$ref'};
        $references++;
        fail "$pointer: " . join ' ', sort keys %$place if keys %$place > 1;
    }, $description, '#');
    cmp_ok $references, '>', 500, 'the references are found';
};

subtest 'the examples of docs/openapi.yaml match their schemas' => sub {
    walk(sub {
        my ($place, $pointer) = @_;
        return if $pointer =~ m{/(?:examples?|properties)$};
        my @examples = @{ $place->{examples} || [] };
        push @examples, $place->{example} if exists $place->{example};
        for my $example (@examples) {
            is_deeply [ Serverless::OpenAPI::violations($place->{schema} || $place, $example, 'example') ],
                [], $pointer;
        }
    }, $description->{components}, '#/components');
};

subtest 'docs/openapi.yaml has exactly the routes of handlers/routes.c' => sub {
    my @rows = slurp("$ENV{SOURCE}/handlers/routes.c") =~ /\{\s*M_(\w+),\s*"([^"]+)",/g;
    my @routes;
    while (my ($method, $pattern) = splice @rows, 0, 2) {
        push @routes, "$method $pattern";
    }
    ok @routes > 20, 'which can be read';
    is_deeply [ sort(Serverless::OpenAPI::routes()) ], [ sort @routes ],
        'docs/openapi.yaml and handlers/routes.c have the same routes';
};

subtest 'docs/api.md has each operation beside the published one' => sub {
    my @rows = slurp("$ENV{SOURCE}/docs/api.md")
        =~ m{^\| `([A-Z]+ /v1/\S+)` \| (?:same|more|different|ours alone) \| .*\|$}mg;
    is_deeply [ sort @rows ], [ sort map { "$_->[1] /v1$_->[0]" } @operations ],
        'the table of docs/api.md has the operations of docs/openapi.yaml';
};


# The server ---------------------------------------------------------------------

my $api = Serverless::Client->account;
my $project = Serverless::Project->new($api);
my $version = $project->new_version;
my $build = $project->completed($version);
my $environment = $project->new_environment;
my ($log) = db()->selectrow_array('SELECT serverless.add_log(?, ?, ?, ?)', undef, $environment->{sid},
    $version->{function_sid}, 'info', 'said');
my $variable = $project->create("$environment->{url}/Variables", Key => 'k', Value => 'v');
my $asset = $project->create($project->path . '/Assets', FriendlyName => 'a');
my $asset_version = $api->upload("$asset->{url}/Versions", [ Path => undef, undef, '/a' ],
    [ Visibility => undef, undef, 'public' ], [ Content => undef, undef, "\0\xff" ])->json;

# A path with SIDs of resources that exist. A Version is one of the artifact before it in the path.
sub filled {
    my ($path) = @_;
    my %there = (
        ServiceSid => $project->sid, FunctionSid => $version->{function_sid}, AssetSid => $asset->{sid},
        VersionSid => ($path =~ /Assets/ ? $asset_version : $version)->{sid},
        BuildSid => $build->{sid}, EnvironmentSid => $environment->{sid},
        VariableSid => $variable->{sid}, LogSid => $log,
        DeploymentSid => ($environment->{deployment} ||= $project->deploy($environment))->{sid},
    );
    return '/v1' . $path =~ s/\{(\w+)\}/$there{$1}/gr;
}

# A good value for each parameter of a form.
my %good = (
    UniqueName => 'limits', FriendlyName => 'F', IncludeCredentials => 'true', UiEditable => 'false',
    Path => '/f', Visibility => 'public', Content => '', DomainSuffix => 'd',
    FunctionVersions => $version->{sid}, AssetVersions => $asset_version->{sid}, Runtime => 'node20',
    Dependencies => '[]', BuildSid => $build->{sid}, Key => 'limits', Value => 'v' x 450,
);

my $form = 'application/x-www-form-urlencoded';

# The schema of an operation's form, and its type.
sub form_of {
    my ($operation) = @_;
    my $body = $operation->{requestBody} // return;
    my ($type, $media) = %{ Serverless::OpenAPI::followed($body)->{content} };
    return (Serverless::OpenAPI::followed($media->{schema}), $type);
}

# The sets of parameters that are enough for a form.
sub required {
    my ($schema) = @_;
    return $schema->{anyOf} ? map { $_->{required} } @{ $schema->{anyOf} } : $schema->{required} || [];
}

# Asks for an operation as a client, with these pairs of names and values in its form.
sub ask {
    my ($client, $method, $address, $type, @pairs) = @_;
    return $client->request($method => $address) if !$type;
    return $client->post($address, @pairs) if $type eq $form;
    my @parts;
    while (my ($name, $value) = splice @pairs, 0, 2) {
        utf8::encode($value);
        push @parts, [ $name, undef, undef, $value ];
    }
    return $client->upload($address, @parts);
}

my $service_of_none = 'ZS' . '0' x 32;
my $nobody = Serverless::Client->client;

# How a right request comes to each status: as another client, or with another body.
my %comes_about = (
    206 => sub { $_[0]->($api->with(Range => 'bytes=0-0')) },
    304 => sub { $_[0]->($api->with('If-None-Match' => '*')) },
    401 => sub { $_[0]->($nobody) },
    403 => sub { $_[0]->($nobody->on('unprotected')) },
    404 => sub { $_[0]->($api, $_[1] =~ s/ZS\w+/$service_of_none/r) },
    412 => sub { $_[0]->($api->with('If-Match' => '"another"')) },
    415 => sub { $api->request(POST => $_[1], '{}', 'application/json') },
    416 => sub { $_[0]->($api->with(Range => 'bytes=9-')) },
);

for my $case (@operations) {
    my ($path, $method, $operation) = @$case;
    my ($schema, $type) = form_of($operation);
    my ($required) = $schema ? required($schema) : [];
    my $right = sub {
        my ($client, $address) = @_;
        return ask($client, $method, $address // filled($path), $type, map { $_ => $good{$_} } @$required);
    };
    subtest "$operation->{operationId}: its answers are those that docs/openapi.yaml describes" => sub {
        if ($method eq 'GET') {
            is $right->($api)->status, 200, 'the resource';
            is $right->($api->with(Range => $_))->status, 200, "whole, for it has no $_"
                for grep { !$operation->{responses}{206} } 'bytes=0-0', 'bytes=99999-';
        }
        for my $status (grep { $operation->{responses}{$_} } sort keys %comes_about) {
            is $comes_about{$status}->($right, filled($path))->status, $status, "status $status";
        }
    };
}

subtest 'the server allows exactly the methods of docs/openapi.yaml' => sub {
    for my $path (sort keys %$paths) {
        my %has = map { uc $_ => 1 } keys %{ $paths->{$path} };
        my @allowed = grep { $has{ $_ eq 'HEAD' ? 'GET' : $_ } } qw(GET HEAD POST DELETE);
        my $allowed = join ', ', @allowed, 'OPTIONS';
        is $api->request(OPTIONS => filled($path))->header('Allow'), $allowed, "$path: $allowed";
        is $api->request(PUT => filled($path))->status, 405, 'a method that docs/openapi.yaml does not have is 405';
    }
};

# Those of which a schema cannot say everything that makes a value good.
my %says_less = map { $_ => 1 } qw(FunctionVersions AssetVersions Runtime Dependencies BuildSid Value Page
    PageToken);

# Values at the edges of a schema and beyond.
sub candidates {
    my ($schema) = @_;
    my @lengths = map { ($_, $_ + 1) } $schema->{maxLength} // ();
    my @paths = ('/', '//', '/a/', 'a/', 'a//b', './a', '/..', '/../a', 'a/.', '/a/..b', '/.a', '/...', '/a%2fb', '/%2e%2e', '\\a',
        map { "/a$_" } "\x{1}", "\x{7f}", "\x{85}", "\x{a0}", "\x{ad}", "\x{200b}", "\x{2028}", "\x{202e}", "\x{feff}",
        "\x{fffd}", "\x{fffe}", "\x{1f600}", "\x{1fffe}", "\x{e0001}");
    my @times = map { ("$_:00Z", "$_:00", "$_:00.123456789-01:30", "$_:00.Z") } '2026-11-23T23:59';
    return (@paths, @times, '', ' ', '-', '-a', 'a-', 'a', 'a.b', 'a b', '0', '1', '-1', '1.5', '1001', '9' x 20, 'true',
        'TRUE', 'False', 'yes', 'Private', "\x{e9}", 'ZS' . '0a' x 16, 'ZN' . '0A' x 16, 'ZB' . '0' x 31, 'ZH' . '0a' x 16,
        map { ('a' x $_, '/' . 'a' x ($_ - 1), "\x{e9}" x $_) } @lengths);
}

# Whether the schema allows a value, which is text on the way.
sub allowed {
    my ($schema, $text) = @_;
    my $type = $schema->{type} // '';
    return $text =~ /^(?:true|false)\z/i if $type eq 'boolean';
    return $text =~ /^-?\d+\z/ && !Serverless::OpenAPI::violations($schema, 0 + $text, 'value')
        if $type eq 'integer';
    return !Serverless::OpenAPI::violations($schema, $type eq 'array' ? [$text] : $text, 'value');
}

# Sends parameters at the edges of their schemas: valid values are accepted, invalid ones are 400.
sub is_limited {
    my ($send, $schemas, $required, @others) = @_;
    my @names = sort keys %$schemas;
    is_taken($send->(map { $_ => $good{$_} } @$_), "enough: @$_") for $required, @others;
    for my $name (@$required) {
        is $send->(map { $_ => $good{$_} } grep { $_ ne $name } @$required)->status, 400, "without $name";
    }
    for my $name (@names) {
        my %others = map { $_ => $good{$_} } grep { $_ ne $name } @$required;
        my $schema = Serverless::OpenAPI::followed($schemas->{$name});
        for my $value (candidates($schema)) {
            my $reply = $send->(%others, $name => $value);
            if (!allowed($schema, $value)) {
                is $reply->status, 400, "not $name=" . quoted($value);
            }
            elsif (!$says_less{$name}) {
                is_taken($reply, "$name=" . quoted($value));
            }
        }
        my $most = $schema->{maxItems} // next;
        is_taken($send->(%others, ($name => $good{$name}) x $most), "$most of $name");
        is $send->(%others, ($name => $good{$name}) x ($most + 1))->status, 400, 'one value more than maxItems is 400';
    }
}

# The parameters are right: the answer is no error, or one that comes after those of parameters.
sub is_taken {
    my ($reply, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    like $reply->status, qr/^(?:200|201|409)$/, $name;
}

for my $case (@operations) {
    my ($path, $method, $operation) = @$case;
    my $address = filled($path);
    my ($schema, $type) = form_of($operation);
    subtest "$operation->{operationId}: its form takes exactly the values that docs/openapi.yaml allows" => sub {
        is_limited(sub { ask($api, POST => $address, $type, @_) }, $schema->{properties}, required($schema));
    } if $schema;

    my @parameters = map { Serverless::OpenAPI::followed($_) } @{ $operation->{parameters} || [] };
    my %query = map { $_->{name} => $_->{schema} } grep { $_->{in} eq 'query' } @parameters;
    subtest "$operation->{operationId}: its query takes exactly the values that docs/openapi.yaml allows" => sub {
        is_limited(sub { $api->get($address, @_) }, \%query, []);
    } if %query;
}


# The check of answers -------------------------------------------------------------

# A schema, values that it allows, and values that it does not: for Serverless::OpenAPI and for
# others alike. JSON, and schemas without their braces.
my @cases = (
    [ '"type": "string"',             ['"a"', '""', '"1"'],    [ '1', 'true', 'null', '[]', '{}' ] ],
    [ '"type": "integer"',            ['1', '-1', '0', '1.0'], [ '"1"', '1.5', 'true', 'null' ] ],
    [ '"type": "number"',             ['1', '1.5'],            [ '"1"', 'false', 'null' ] ],
    [ '"type": "boolean"',            ['true', 'false'],       [ '1', '0', '"true"', 'null' ] ],
    [ '"type": "object"',             ['{}', '{"a": 1}'],      [ '[]', '"{}"', 'null' ] ],
    [ '"type": "array"',              ['[]', '[1, "a"]'],      [ '{}', '"[]"', 'null' ] ],
    [ '"type": "null"',               ['null'],                [ '0', '""', 'false', '{}' ] ],
    [ '"type": ["string", "null"]',   ['"a"', 'null'],         [ '1', 'false', '[]' ] ],

    [ '"enum": ["a", "b"]',           ['"a"', '"b"'],          [ '"A"', '"ab"', '1', 'null' ] ],
    [ '"const": "1"',                 ['"1"'],                 [ '1', '"2"', 'null' ] ],
    [ '"const": 1',                   ['1', '1.0'],            [ '"1"', '2', 'true' ] ],

    [ '"pattern": "^ab?$"',           ['"a"', '"ab"', '1', 'null'], [ '"b"', '"ab\\n"', '"\\na"', '"A"' ] ],
    [ '"pattern": "b"',               ['"abc"', '{}'],         [ '"ac"', '""' ] ],
    [ '"pattern": "^(a$|b)"',         ['"a"', '"bb"'],         [ '"aa"', '"a\\n"' ] ],
    [ '"minLength": 2',               ['"ab"', '1', '[]'],     [ '"a"', '""', '"\\u00e9"' ] ],
    [ '"maxLength": 2',               ['"ab"', '"\\u00e9\\ud83d\\ude00"', '123'], ['"abc"'] ],
    [ '"minimum": 1',                 ['1', '1.5', '"0"'],     [ '0', '-1', '0.5' ] ],
    [ '"maximum": 1',                 ['1', '-1', '"2"'],      [ '2', '1.5' ] ],

    [ '"items": {"type": "integer"}', ['[]', '[1, 2]', '{}', '"a"'], [ '["a"]', '[1, null]' ] ],
    [ '"maxItems": 1',                ['[]', '[1]', '"ab"'],   ['[1, 2]'] ],

    [ '"properties": {"a": {"type": "integer"}}', ['{}', '{"a": 1}', '{"b": "a"}', '[]'],
        [ '{"a": "a"}', '{"a": null}' ] ],
    [ '"required": ["a", "b"]',       ['{"a": 1, "b": null}', '"a"'], [ '{}', '{"a": 1}' ] ],
    [ '"properties": {"a": {}}, "additionalProperties": false', ['{}', '{"a": null}', '[1]'],
        [ '{"b": 1}', '{"a": 1, "b": 1}' ] ],

    [ '"anyOf": [{"type": "null"}, {"minimum": 2}]', ['null', '2', '"a"'], ['1'] ],
    [ '"allOf": [{"type": "integer"}, {"minimum": 2}]', ['2', '3'], [ '1', '"a"', '1.5' ] ],
    [ '"not": {"pattern": "a"}',      ['"b"'],                 [ '"a"', '1' ] ],

    [ '"$ref": "#/components/schemas/ServiceSid"', [ '"ZS' . '0a' x 16 . '"' ],
        [ '"ZS' . '0A' x 16 . '"', '"ZH' . '0a' x 16 . '"', '"ZS0"', 'null' ] ],
    [ '"allOf": [{"$ref": "#/components/schemas/Visibility"}, {"maxLength": 6}]', ['"public"'], [ '"private"', '"a"' ] ],
);

subtest 'Serverless::OpenAPI agrees with an independent validator' => sub {
    my (@questions, @expected);
    for my $case (@cases) {
        my ($schema, $allowed, $refused) = @$case;
        $schema = $json->decode("{$schema}");
        push @questions, map { { schema => $schema, value => $json->decode($_) } } @$allowed, @$refused;
        push @expected, (1) x @$allowed, (0) x @$refused;
    }
    my $verdicts = others_say({ components => $description->{components}, cases => \@questions });
    for my $i (0 .. $#questions) {
        my ($schema, $value) = @{ $questions[$i] }{qw(schema value)};
        my @violations = Serverless::OpenAPI::violations($schema, $value, 'value');
        is_deeply [ !@violations ? 1 : 0, $verdicts->[$i] ? 1 : 0 ], [ ($expected[$i]) x 2 ],
            $json->encode($schema) . ' and ' . $json->encode($value);
    }
    ok !eval { Serverless::OpenAPI::violations({ patern => 'a' }, 'a', 'value'); 1 },
        'a keyword that is not known is no keyword that is ignored';
};

subtest 'Serverless::OpenAPI finds answers that differ from the description' => sub {
    my ($service, $path) = ($project->service, $project->path);
    my $fetched = $api->get($path);
    my $other = sub { # the answer, but for some parts
        my (%part) = @_;
        my $headers = { %{ $fetched->{headers} }, %{ delete $part{headers} || {} } };
        delete @$headers{ grep { !defined $headers->{$_} } keys %$headers };
        $part{content} = $json->encode($part{content}) if ref $part{content};
        return bless { status => 200, content => $fetched->body, %part, headers => $headers }, ref $fetched;
    };
    my %with = (%$service, new => 1);
    my %without = %$service;
    delete $without{url};
    my %wrong = (%$service, ui_editable => 'false', links => { %{ $service->{links} }, builds => '/Builds' });
    my $error = $api->get('/v1/Services/none')->json;
    for my $case (
        [ GET => $path, $other->(), [] ],
        [ GET => "$path?a=b", $other->(), [] ],
        [ GET => "http://example.com/twilio$path", $other->(), [] ],
        [ GET => $path, $other->(status => 418),
            [qr{^status 418 is none of 200, .*, /Services/\{ServiceSid\}, fetchService$}] ],
        [ GET => $path, $other->(content => \%with), ['body.new: is not described'] ],
        [ GET => $path, $other->(content => \%without), ['body.url: is missing'] ],
        [ GET => $path, $other->(content => \%wrong),
            [qr{^body.links.builds: "/Builds" does not match}, 'body.ui_editable: is string, not boolean'] ],
        [ GET => $path, $other->(content => '{'), ['body: is no JSON'] ],
        [ GET => $path, $other->(content => ''), ['body: is no JSON'] ],
        [ GET => $path, $other->(headers => { 'content-type' => 'text/html; charset=utf-8' }),
            [q(Content-Type: 'text/html' is none of application/json)] ],
        [ GET => $path, $other->(headers => { 'twilio-request-id' => undef }),
            ['Twilio-Request-Id: is missing'] ],
        [ GET => $path, $other->(headers => { 'twilio-request-id' => 'RQ1' }),
            [qr/^Twilio-Request-Id: "RQ1" does not match/] ],
        [ HEAD => $path, $other->(content => ''), [] ],
        [ HEAD => $path, $other->(), ['body: there is none to be'] ],
        [ DELETE => $path, $other->(status => 204), ['body: there is none to be'] ],
        [ GET => "$path/none", $other->(), [qr/^status 200 is none of .*, x-unlisted, paths$/] ],
        [ PUT => $path, $other->(), [qr/^status 200 is none of .*, x-unlisted, methods$/] ],
        [ OPTIONS => $path, $other->(), [qr/^status 200 is none of .*, x-unlisted, options$/] ],
        [ GET => $path, $other->(status => 404, content => $error), [] ],
        [ GET => $path, $other->(status => 404, content => { %$error, code => 20001 }),
            ['body.code: 20001 is not 20404'] ],
        [ GET => $path, $other->(status => 503, content => { %$error, code => 20503, status => 503 }),
            ['Retry-After: is missing'] ],
        [ GET => $path, $other->(status => 503, content => { %$error, code => 20503, status => 503 },
            headers => { 'retry-after' => 'soon' }), ['Retry-After: is string, not integer'] ],
        [ GET => '/v1/ServicesX', $other->(status => 418), [] ],
        [ GET => '/elsewhere', $other->(status => 418), [] ],
    ) {
        my ($method, $url, $reply, $expected) = @$case;
        my @complaints = Serverless::OpenAPI::complaints($method, $url, $reply);
        is_deeply \@complaints, Serverless::Assertions::adapt($expected, \@complaints),
            "$method $url: " . (join('; ', @complaints) || 'nothing');
    }
};


# The document as it is served -------------------------------------------------------

subtest 'the module serves docs/openapi.yaml' => sub {
    my $anyone = Serverless::Client->client;
    my $address = '/v1/openapi.yaml';
    my $got = $anyone->get($address);
    is $got->status, 200, 'the description is answered without credentials';
    is $got->header('Content-Type'), 'application/yaml', 'as YAML';
    ok $got->body eq $text, 'the description is the file, byte for byte';
    my $head = $anyone->head($address);
    is_deeply [ $head->status, $head->body, map { $head->header($_) } qw(Content-Length ETag) ],
        [ 200, '', length $text, $got->header('ETag') ], 'HEAD';
    like $got->header('ETag'), qr/^"[0-9a-f]{64}"$/, 'the description has an ETag of its text';

    my $again = $anyone->with('If-None-Match' => $got->header('ETag'))->get($address);
    is_deeply [ $again->status, $again->body ], [ 304, '' ], 'If-None-Match with that ETag is 304';
    is $anyone->with('If-None-Match' => '"another"')->get($address)->status, 200,
        'If-None-Match with another ETag is 200';
    my $part = $anyone->with(Range => 'bytes=2-8')->get($address);
    is_deeply [ $part->status, $part->body ], [ 206, substr $text, 2, 7 ], 'a range of the description is 206';

    for my $method (qw(POST PUT DELETE)) {
        my $reply = $anyone->request($method => $address);
        is_error $reply, 405, 20004, 'Method not allowed', "$method: it is to be read only";
        is_deeply [ sort split /,\s*/, $reply->header('Allow') ], [qw(GET HEAD OPTIONS)],
            'Allow of the description has GET, HEAD and OPTIONS';
    }
    my $options = $anyone->request(OPTIONS => $address);
    is_deeply [ $options->status, $options->header('Allow') ], [ 204, 'GET, HEAD, OPTIONS' ],
        'OPTIONS of the description is 204';
    is $anyone->get($_)->status, 404, "$_ is another address" for '/v1/openapi', '/openapi.yaml';
};

subtest 'the description is served at any Location with SetHandler' => sub {
    my $server = Serverless::Server->start('description', <<'END');
<Location "/here">
    SetHandler serverless-openapi
</Location>
END
    my $got = Serverless::Client->client->at($server->address)->get('/here');
    is $got->status, 200, 'the description is answered at another path';
    ok $got->body eq $text, 'the description at another path is the same';
};

done_testing;
