# The Build resource: create, the result of a Build, list, fetch, Status and delete.
use strict;
use warnings FATAL => 'all';

use Apache::Test qw(-withtestmore);
use IO::Socket::INET ();
use Serverless::Database;
use Serverless::Project;
use Serverless::Server;
use Serverless::Test;
use Test::More;
use Time::HiRes ();

my $api = Serverless::Client->account;
my $project = Serverless::Project->new($api);
my $builds = $project->path . '/Builds';

# The answer is a Build, whole, of these Versions in the order that they were made in.
sub is_build {
    my ($reply, $status, $versions, $given, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $sid = ($reply->json || {})->{sid} // '';
    my $url = $project->service->{links}{builds} . "/$sid";
    is_reply $reply, $status, {
        sid               => sid('ZB'),
        account_sid       => $api->user,
        service_sid       => $project->sid,
        status            => 'building',
        asset_versions    => [ map { inside($_) } grep { $_->{asset_sid} } @$versions ],
        function_versions => [ map { inside($_) } grep { $_->{function_sid} } @$versions ],
        dependencies      => [],
        runtime           => 'node22',
        failure_reason    => undef,
        date_created      => date,
        date_updated      => date,
        url               => $url,
        links             => { build_status => "$url/Status" },
        %$given,
    }, $name;
}

# A Version as a Build shows it: capitals, and no addresses.
sub inside {
    my ($version) = @_;
    my %shown = (%$version, visibility => uc $version->{visibility});
    delete @shown{qw(url links)};
    return \%shown;
}

sub create { my (@form) = @_; return $api->post($builds, @form) }

sub of { Serverless::Project::parameters(@_) }

sub new_asset { my (%with) = @_; return $project->new_version(kind => 'asset', %with) }

# How many Builds the Service has, and Versions in them.
sub rows {
    return join ' ', map {
        db()->selectrow_array("SELECT count(*) FROM serverless.$_ WHERE service_id = ?", undef,
            substr $project->sid, 2)
    } qw(builds build_versions);
}


# Create -------------------------------------------------------------------------

subtest 'create a Build' => sub {
    my @versions = map { $project->new_version(visibility => $_) } qw(public protected private);
    my $hold = hold_builds($project->sid);
    my $before = now;
    my $reply = create(of(@versions));
    my $after = now;

    is_build $reply, 201, \@versions, {}, 'the answer is the Build, building';
    my $build = $reply->json;
    is $reply->header('Location'), $build->{url}, 'Location is the url of the new resource';
    is $build->{date_updated}, $build->{date_created}, 'date_updated of a new resource is its date_created';
    my ($created) = db()->selectrow_array(
        'SELECT extract(epoch FROM ?::timestamptz)', undef, $build->{date_created});
    ok $before <= $created && $created <= $after, 'date_created is the present, in UTC';
    is_reply $api->get($build->{url}), 200, $build, 'a fetch afterwards returns the same';

    my $status = {
        sid => $build->{sid}, account_sid => $api->user, service_sid => $project->sid,
        status => 'building', url => $build->{links}{build_status},
    };
    is_reply $api->get($build->{links}{build_status}), 200, $status, 'Status says that it is building';
    $hold = undef;
    $project->finished($build);
    is_build $api->get($build->{url}), 200, \@versions,
        { status => 'completed', date_created => $build->{date_created} }, 'the Build is completed in the end';
    is_reply $api->get($build->{links}{build_status}), 200, { %$status, status => 'completed' },
        'Status says so, too';

    my $by_name = '/v1/Services/' . $project->service->{unique_name} . '/Builds';
    is_build $api->post($by_name, of(@versions)), 201, \@versions, {}, 'under a Service named by UniqueName';
};

subtest 'the JSON of a Build, byte for byte' => sub {
    my $version = $project->new_version(path => "/caf\xc3\xa9", visibility => 'private');
    my $reply = create(of($version), Dependencies => '[{"name":"a/b","version":"1"}]', Runtime => 'node20');
    my %is = %{ $reply->json };
    my $expected = <<"JSON";
{"sid":"$is{sid}","account_sid":"@{[ $api->user ]}","service_sid":"@{[ $project->sid ]}",
"status":"building","asset_versions":[],"function_versions":[
{"sid":"$version->{sid}","account_sid":"@{[ $api->user ]}","service_sid":"@{[ $project->sid ]}",
"function_sid":"$version->{function_sid}","date_created":"$version->{date_created}",
"path":"/caf\xc3\xa9","visibility":"PRIVATE"}],
"dependencies":[{"name":"a/b","version":"1"}],"runtime":"node20","failure_reason":null,
"date_created":"$is{date_created}","date_updated":"$is{date_updated}","url":"$is{url}",
"links":{"build_status":"$is{url}/Status"}}
JSON
    $expected =~ s/\n//g;
    is $reply->body, $expected, 'the JSON has its properties in the documented order, and no white space';
    my $build = $project->finished($reply->json);
    $expected =~ s/"status":"building"/"status":"completed"/;
    $expected =~ s/("date_updated":")[^"]+/$1$build->{date_updated}/;
    is $api->get($build->{url})->body, $expected, 'a fetch has the same JSON';
    like $api->get($builds, PageSize => 1)->body, qr/^\Q{"builds":[$expected],"meta":\E/, 'and a list';
};

subtest 'create a Build of Functions and of Assets' => sub {
    my @functions = map { $project->new_version(visibility => $_) } qw(public private);
    my @assets = map { new_asset(visibility => $_, type => 'image/png', content => "\x89PNG\0\xff") } qw(public protected private);
    for my $case (
        [ 'both',                      @functions, @assets ],
        [ 'both, in another order',    map { $assets[$_], $functions[$_] // () } 2, 0, 1 ],
        [ 'Assets only',               @assets ],
        [ 'one Asset',                 $assets[0] ],
    ) {
        my ($what, @versions) = @$case;
        my @contained = sort { $a->{sid} cmp $b->{sid} } @versions;
        my $reply = create(of(@versions));
        is_build $reply, 201, \@contained, {}, $what;
        is_build $api->get($reply->json->{url}), 200, \@contained, { status => qr/^(?:building|completed)$/ }, 'fetched';
        is_deeply $project->finished($reply->json)->{status}, 'completed',
            'the Build of Assets completes, whatever bytes they have';
    }
    is_deeply [ map { scalar @{ $_->{asset_versions} } } @{ $api->get($builds, PageSize => 4)->json->{builds} } ],
        [ 1, 3, 3, 3 ], 'the list has them, too';

    my $asset = $project->new_asset;
    my ($first, $second) = map { $project->new_version(artifact => $asset, path => "/own-asset-$_") } 1, 2;
    is_build create(of($first, $second)), 201, [ $first, $second ], {}, 'a Build of two Versions of one Asset';
    is_build create(of($first, $first), AssetVersions => 'ZN' . uc substr $first->{sid}, 2), 201, [$first], {},
        'an Asset Version given three times, once in upper case, is contained once';

    my $before = rows();
    my $other = Serverless::Project->new($api);
    my $elsewhere = $other->new_version(kind => 'asset');
    my ($function) = @functions;
    my $no_function = 'Some FunctionVersions are not Versions of Functions in this Service.';
    my $no_asset = 'Some AssetVersions are not Versions of Assets in this Service.';
    my $same_path = 'Two Versions in a Build must not have the same Path.';
    my $malformed = 'AssetVersions must be a SID that begins with ZN';
    for my $case (
        [ 'an Asset Version as a Function Version', $no_function, FunctionVersions => $first->{sid} ],
        [ 'a Function Version as an Asset Version', $no_asset, AssetVersions => $function->{sid} ],
        [ 'each as the other',        $no_function, FunctionVersions => $first->{sid}, AssetVersions => $function->{sid} ],
        [ 'an Asset Version as both', $no_function, of($first), FunctionVersions => $first->{sid} ],
        [ 'a Function Version as both', $no_asset, of($function), AssetVersions => $function->{sid} ],
        [ 'an unknown one',           $no_asset, of(@functions, @assets), AssetVersions => 'ZN' . '0' x 32 ],
        [ 'another Service\'s',       $no_asset, of($elsewhere) ],
        [ 'the path of another Asset', $same_path, of($first, new_asset(path => $first->{path})) ],
        [ 'the path of a Function',   $same_path, of($function, new_asset(path => $function->{path})) ],
        [ 'an Asset',                 $malformed, AssetVersions => $asset->{sid} ],
        [ 'a digit less',             $malformed, AssetVersions => 'ZN' . '0' x 31 ],
        [ 'empty',                    $malformed, of($function), AssetVersions => '' ],
        [ 'a thousand and one',       'AssetVersions must not be given more than 1000 times',
            map { (AssetVersions => $first->{sid}) } 0 .. 1000 ],
    ) {
        my ($what, $message, @form) = @$case;
        is_error create(@form), 400, 20001, $message, $what;
    }
    is rows(), $before, 'refused requests leave the number of rows unchanged';
};

subtest 'the JSON of a Build with Assets, byte for byte' => sub {
    my $version = new_asset(path => '/logo.png', visibility => 'protected');
    my $reply = create(of($version));
    my %is = %{ $reply->json };
    my $expected = <<"JSON";
{"sid":"$is{sid}","account_sid":"@{[ $api->user ]}","service_sid":"@{[ $project->sid ]}",
"status":"building","asset_versions":[
{"sid":"$version->{sid}","account_sid":"@{[ $api->user ]}","service_sid":"@{[ $project->sid ]}",
"asset_sid":"$version->{asset_sid}","date_created":"$version->{date_created}",
"path":"/logo.png","visibility":"PROTECTED"}],
"function_versions":[],"dependencies":[],"runtime":"node22","failure_reason":null,
"date_created":"$is{date_created}","date_updated":"$is{date_updated}","url":"$is{url}",
"links":{"build_status":"$is{url}/Status"}}
JSON
    $expected =~ s/\n//g;
    (my $body = $reply->body) =~ s/ ?([:,]) (?=["{\[n])/$1/g;
    is $body, $expected, 'the JSON has its properties in the documented order';
};

subtest 'FunctionVersions and AssetVersions of a new Build' => sub {
    my @versions = map { $project->new_version } 1 .. 3;
    is_build create(of(reverse @versions)), 201, \@versions, {}, 'FunctionVersions in another order';
    is_build create(of(@versions, $versions[1], $versions[1])), 201, \@versions, {},
        'a Function Version given three times is contained once';
    (my $capitals = $versions[0]{sid}) =~ s/^ZN(.*)/'ZN' . uc $1/e;
    is_build create(FunctionVersions => $capitals), 201, [ $versions[0] ], {}, 'a SID in capitals';

    my $function = $project->new_function;
    my ($first, $second) = map { $project->new_version(artifact => $function, path => "/own-$_") } 1, 2;
    is_build create(of($first, $second)), 201, [ $first, $second ], {}, 'a Build of two Versions of one Function';
    is_build create(of($first), FriendlyName => 'x', functionversions => 'y', 'FunctionVersions[]' => 'z'),
        201, [$first], {}, 'unknown parameters are ignored';

    my $before = rows();
    my $other = Serverless::Project->new($api);
    my $stranger = Serverless::Project->new(Serverless::Client->account);
    my ($elsewhere, $theirs) = map { $_->new_version } $other, $stranger;
    my $same_path = $project->new_version(path => $first->{path});
    my $unknown = 'Some FunctionVersions are not Versions of Functions in this Service.';
    my $malformed = 'FunctionVersions must be a SID that begins with ZN';
    my $none = 'At least one Function Version or Asset Version is required for Build.';
    for my $case (
        [ 'none',                          $none ],
        [ 'none, but else everything',     $none, Runtime => 'node20', Dependencies => '[]' ],
        [ 'under another case',            $none, functionVersions => $first->{sid} ],
        [ 'unknown',                       $unknown, FunctionVersions => 'ZN' . '0' x 32 ],
        [ 'one that is unknown',           $unknown, of(@versions), FunctionVersions => 'ZN' . '0' x 32 ],
        [ 'another Service\'s',            $unknown, of($first, $elsewhere) ],
        [ 'another account\'s',            $unknown, of($first, $theirs) ],
        [ 'a Function',                    $malformed, FunctionVersions => $function->{sid} ],
        [ 'a digit less',                  $malformed, FunctionVersions => 'ZN' . '0' x 31 ],
        [ 'a digit more',                  $malformed, FunctionVersions => 'ZN' . '0' x 33 ],
        [ 'not hexadecimal',               $malformed, FunctionVersions => 'ZN' . 'g' x 32 ],
        [ 'small letters in front',        $malformed, FunctionVersions => 'zn' . '0' x 32 ],
        [ 'empty',                         $malformed, of($first), FunctionVersions => '' ],
        [ 'with a comma',                  $malformed, FunctionVersions => "$first->{sid},$second->{sid}" ],
        [ 'what an array is made of',      $malformed, FunctionVersions => "{$first->{sid}}" ],
        [ 'of Assets, which there are none of',
            'Some AssetVersions are not Versions of Assets in this Service.',
            of($first), AssetVersions => $second->{sid} ],
        [ 'two of the same path',          'Two Versions in a Build must not have the same Path.',
            of($first, $same_path) ],
    ) {
        my ($what, $message, @form) = @$case;
        is_error create(@form), 400, 20001, $message, $what;
    }
    is rows(), $before, 'refused requests leave the number of rows unchanged';
};

subtest 'the most Assets of a new Build, by visibility' => sub {
    my %limits = (public => 3, protected => 2, private => 1);
    my $limited = Serverless::Server->start('limited_builds', Serverless::Server->database . Serverless::Server->api
        . join '', map { "ServerlessMax\u$_" . "Assets $limits{$_}\n" } keys %limits);
    my $there = $api->at($limited->address);
    my %assets = map {
        my $visibility = $_;
        ($_ => [map { $project->new_version(kind => 'asset', visibility => $visibility) } 0 .. $limits{$_}])
    } keys %limits;
    my @allowed = map { @{ $assets{$_} }[1 .. $limits{$_}] } keys %limits;
    is $there->post($builds, of(@allowed))->status, 201, 'as many as the limits allow';
    is $there->post($builds, of(@allowed, map { $project->new_version } 1 .. 5))->status, 201, 'Functions do not count';
    my $before = rows();
    for my $visibility (sort keys %limits) {
        is_error $there->post($builds, of(@{ $assets{$visibility} })), 400, 20001,
            "AssetVersions has more $visibility Assets than a Build may have.", "one $visibility Asset more";
        is_error $there->with('Idempotency-Key' => "$visibility-$$")->post($builds, of(@{ $assets{$visibility} })), 400, 20001,
            "AssetVersions has more $visibility Assets than a Build may have.", "the same with an Idempotency-Key";
    }
    is_error $there->post($builds, of(@{ $assets{private} }, $project->new_version), FunctionVersions => 'ZN' . '0' x 32), 400, 20001,
        'AssetVersions has more private Assets than a Build may have.', 'with an unknown Function, too';
    is_error $there->post('/v1/Services/ZS' . '0' x 32 . '/Builds', of(@{ $assets{private} })), 404, 20404,
        'The requested resource /Services/ZS' . '0' x 32 . '/Builds was not found', 'in a Service that is not there';
    is rows(), $before, 'refused requests leave the number of rows unchanged';
    is create(of(map { @$_ } values %assets))->status, 201, 'without the directives, a Build may have any number';
};

subtest 'Runtime of a new Build' => sub {
    my $version = $project->new_version;
    for my $runtime (qw(node8 node10 node12 node14 node16 node18 node20 node22 node24)) {
        is_build create(of($version), Runtime => $runtime), 201, [$version], { runtime => $runtime }, $runtime;
    }
    my $before = rows();
    my $unknown = 'Runtime is not one that this server offers (node8 node10 node12 node14 node16 node18 node20 node24 node22)';
    for my $case (
        [ 'node6',  $unknown ], [ 'node26', $unknown ], [ 'Node22', $unknown ], [ 'node22 ', $unknown ],
        [ 'node',   $unknown ], [ 'python3', $unknown ], [ 'node2', $unknown ],
        [ '',       'Runtime must not be empty' ],
        [ 'n' x 65, 'Runtime must not be longer than 64 characters' ],
    ) {
        my ($runtime, $message) = @$case;
        is_error create(of($version), Runtime => $runtime), 400, 20001, $message, quoted($runtime);
    }
    is_error create(of($version), Runtime => 'node20', Runtime => 'node20'), 400, 20001,
        'Runtime is given more than once', 'twice';
    is rows(), $before, 'refused requests leave the number of rows unchanged';

    my $own = $api->on('own_domain');
    is $own->post($builds, of($version))->json->{runtime}, 'node24',
        'ServerlessRuntimes: its last is the default';
    is $own->post($builds, of($version), Runtime => 'node20')->json->{runtime}, 'node20',
        'ServerlessRuntimes: a configured Runtime is accepted';
    is_error $own->post($builds, of($version), Runtime => 'node22'), 400, 20001,
        'Runtime is not one that this server offers (node20 node24)',
        'ServerlessRuntimes: a Runtime that is not configured is refused';
};

subtest 'Dependencies of a new Build' => sub {
    my $version = $project->new_version;
    my @one = ({ name => 'lodash', version => '4.17.21' });
    for my $case (
        # the value sent, the value answered
        [ '[]',                                           [] ],
        [ '"[]"',                                         [] ],
        [ '[{"name":"lodash","version":"4.17.21"}]',      \@one ],
        [ '"[{"name":"lodash","version":"4.17.21"}]"',    \@one ], # as the toolkit sends it
        [ qq( [ {\n"version" : "4.17.21", "name" : "lodash"} ] ), \@one ],
        [ '[{"name":"lodash","version":"4.17.21","x":[1]}]', \@one ],
        [ '[{"name":"lodash","version":""}]',             [ { name => 'lodash', version => '*' } ] ],
        [ '"[{"name":"lodash","version":""}]"',           [ { name => 'lodash', version => '*' } ] ],
        [ '[{"name":"lodash"}]',                          [ { name => 'lodash', version => '*' } ] ],
        [ '[{"name":"b","version":"^1.0.0"},{"name":"@a/b","version":">=1 <2 || ~3"}]',
            [ { name => 'b', version => '^1.0.0' }, { name => '@a/b', version => '>=1 <2 || ~3' } ] ],
        [ '[{"name":"\u00e9\ud83d\ude00\"\\\\/","version":"1"}]',
            [ { name => "\x{e9}\x{1f600}\"\\/", version => '1' } ] ],
        [ "[{\"name\":\"\x{e9}\x{1f600}\",\"version\":\"1\"}]", [ { name => "\x{e9}\x{1f600}", version => '1' } ] ],
        # halves of a character, which no UTF-8 can say
        (map { my ($half, $is) = @$_; [ qq([{"name":"a$half","version":"$half"}]), [ { name => "a$is", version => $is } ] ] }
            [ '\ud800', "\x{fffd}" ], [ '\udfff', "\x{fffd}" ], [ '\ud800x', "\x{fffd}x" ], [ '\udc00\ud800', "\x{fffd}\x{fffd}" ],
            [ '\ud800\ud83d\ude00', "\x{fffd}\x{1f600}" ]),
        # what else is JSON
        [ '[{"name":"a","version":"1","version":"2"}]',   [ { name => 'a', version => '2' } ] ],
        [ '[{"name":"a\/b","version":"\t"}]',             [ { name => 'a/b', version => "\t" } ] ],
        [ "\r\n\t[\t]\r\n",                             [] ],
        [ '[{"name":"a","x":[0,-0,10,1.50,-1.5e3,1E+2,1e999,' . '9' x 400 . ',true,false,null,"\ud800",{"":{}}]}]',
            [ { name => 'a', version => '*' } ] ],
        [ '[{"name":"a","x":' . '[' x 28 . ']' x 28 . '}]', [ { name => 'a', version => '*' } ] ],
        [ '[' . join(',', map { qq({"name":"package-$_","version":"$_"}) } 1 .. 500) . ']',
            [ map { { name => "package-$_", version => "$_" } } 1 .. 500 ] ],
    ) {
        my ($sent, $is) = @$case;
        my $reply = create(of($version), Dependencies => $sent);
        is_build $reply, 201, [$version], { dependencies => $is }, quoted($sent);
        is_deeply $api->get($reply->json->{url})->json->{dependencies}, $is,
            'the Dependencies are fetched as they were answered';
    }
    is_build create(of($version), 'Dependencies[name]' => 'a', 'Dependencies[version]' => '1'), 201,
        [$version], {}, 'FunctionVersions[] and AssetVersions[] are unknown parameters';

    my $before = rows();
    my $garbage = 'Dependencies must be a JSON array of objects with name and version';
    for my $case (
        # RFC 8259 has none of these, wherever they stand
        (map { my $value = $_; map { [ $_, $garbage ] } $value, "[$value]", qq([{"name":"a","x":$value}]) }
            'Infinity', '-Infinity', 'NaN', '-NaN', '+1', '01', '1.', '.5', '1e', '0x1', '-', 'True', 'nul', 'undefined',
            "'a'", "\"\t\"", "\"\n\"", "\"\x01\"", "\"\x1f\"", '"\x41"', '"\u12"', '"a" /* b */', "1 // a\n", '1,', '[1,]', '{"a":1,}',
            '{a:1}', "{'a':1}", '"\u0000"', '{"\u0000":1}', "\xc2\xa01"),
        [ "[{\"name\":\"a\tb\"}]", $garbage ],
        [ '[{"name\u0000x":"a"}]', $garbage ],
        [ '[{"name":"a","x":' . '[' x 29 . ']' x 29 . '}]', $garbage ],
        (map { [ $_, $garbage ] }
            'garbage', '"', '""', '"garbage"', '[', '{}', 'null', '1', 'true', '"a"', '[1]', '[null]', '["a"]', '[[]]',
            '{"name":"a","version":"1"}', '[{}]', '[{"version":"1"}]', '[{"name":"","version":"1"}]',
            '[{"name":1,"version":"1"}]', '[{"name":"a","version":1}]', '[{"name":"a","version":null}]',
            '[{"Name":"a","version":"1"}]', '[{"name":"a","version":"1"}', '[{"name":"a","version":"1"}]]',
            '[] garbage', '[{"name":"a","version":"1"}]garbage', '[{"name":"a","version":"1"},]',
            "[{'name':'a','version':'1'}]", '[{"name":"a","version":"1"},{"name":"b","version":{}}]',
            '[{"name":"a\u0000b","version":"1"}]', '[{"name":"a","version":"1\u0000"}]',
            '[{"name":"a","version":"\u0000"}]', '""[]""', '"[]', '[]"', '[' x 100 . ']' x 100, '[NaN]'),
        [ '',           'Dependencies must not be empty' ],
        [ 'x' x 32_001, 'Dependencies must not be longer than 32000 characters' ],
    ) {
        my ($sent, $message) = @$case;
        is_error create(of($version), Dependencies => $sent), 400, 20001, $message, quoted($sent);
    }
    is_error create(of($version), Dependencies => '[]', Dependencies => '[]'), 400, 20001,
        'Dependencies is given more than once', 'twice';
    is rows(), $before, 'refused requests leave the number of rows unchanged';
};


# What becomes of them --------------------------------------------------------------

# The Build of these sources, at /0, /1, ..., once it is finished.
sub build_of {
    my (@sources) = @_;
    my $number = 0;
    my @versions = map { $project->new_version(content => $_, path => '/' . $number++) } @sources;
    return $project->finished($project->new_build(@versions));
}

sub is_completed {
    my ($build, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is_deeply [ @$build{qw(status failure_reason)} ], [ 'completed', undef ], $name;
}

sub is_failed {
    my ($build, $reason, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is_deeply [ @$build{qw(status failure_reason)} ], [ 'failed', $reason ], $name;
}

subtest 'a Build of JavaScript that compiles completes' => sub {
    for my $case (
        [ 'nothing',                '' ],
        [ 'a handler',              'exports.handler = (context, event, callback) => callback(null, 1);' ],
        [ 'what Node.js puts around it', 'module.exports = [exports, require, module, __filename, __dirname];' ],
        [ 'return, as in any CommonJS module', 'return 1;' ],
        [ 'names of its own for those', 'var exports = {}, module;' ],
        [ 'a line that a shell reads', "#!/usr/bin/env node\nexports.a = 1;" ],
        [ 'nothing but that line',  '#!/usr/bin/env node' ],
        [ 'a byte order mark',      "\xef\xbb\xbfexports.a = 1;" ],
        [ 'import()',               "exports.a = () => import('x');" ],
        [ 'what is new',            'class A { #b = 1n; static { } c() { return this.#b ?? this?.d; } }' ],
        [ 'what fails when it runs', 'throw new Error("no");' ],
        [ 'what never ends when it runs', 'for (;;) { }' ],
        [ 'what is not there',      "require('not-there'); undefinedName();" ],
        [ 'any characters',         "exports.a = '\xf0\x9f\x98\x80\xe2\x80\xa8'; // \x01\x7f" ],
        [ 'CRLF',                   "// a\r\nexports.a = 1;\r\n" ],
        [ '600 KB',                 "exports.a = 1;\n" x 40_000 ],
    ) {
        is_completed build_of($case->[-1]), $case->[0];
    }
};

subtest 'a Build of JavaScript that does not compile fails with the place of the error' => sub {
    my $too_deep = '/0: RangeError: Maximum call stack size exceeded';
    for my $case (
        # source, reason
        [ 'exports.handler = (;',  "/0 line 1: SyntaxError: Unexpected token ';'" ],
        [ "// a\n\n\n  const const;", "/0 line 4: SyntaxError: Unexpected token 'const'" ],
        [ "#!/bin/sh\nlet a; let a;", "/0 line 2: SyntaxError: Identifier 'a' has already been declared" ],
        [ "import fs from 'fs';",  '/0 line 1: SyntaxError: Cannot use import statement outside a module' ],
        [ 'export default 1;',     "/0 line 1: SyntaxError: Unexpected token 'export'" ],
        [ 'await x;', '/0 line 1: SyntaxError: await is only valid in async functions and '
            . 'the top level bodies of modules' ],
        [ '}); process.exit(); (function(){', "/0 line 1: SyntaxError: Unexpected token '}'" ],
        [ '} process.exit(); {',   "/0 line 1: SyntaxError: Unexpected token '}'" ],
        [ "'use strict'; with (a) {}",
            '/0 line 1: SyntaxError: Strict mode code may not include a with statement' ],
        [ "a = 'b",                '/0 line 1: SyntaxError: Invalid or unexpected token' ],
        [ '/(/',                   '/0 line 1: SyntaxError: Invalid regular expression: /(/: Unterminated group' ],
        [ "//# sourceURL=/etc/passwd\nlet let;",
            '/0 line 2: SyntaxError: let is disallowed as a lexically bound name' ],
        [ "<?php echo 1;",         "/0 line 1: SyntaxError: Unexpected token '<'" ],
        [ '(' x 200_000,           $too_deep ],
        [ '[' x 1_000_000,         $too_deep ],
        [ '!' x 1_000_000,         $too_deep ],
        [ 'function f(){' x 80_000, $too_deep ],
    ) {
        my ($source, $reason) = @$case;
        my $build = build_of($source);
        is_failed $build, $reason, quoted($source);
        unlike $build->{failure_reason}, qr/node|tmp|\[eval|evalmachine|passwd/,
            'the failure reason has nothing of the server';
    }

    is_failed build_of('a;', 'b b', 'c;', 'd d'), "/1 line 1: SyntaxError: Unexpected identifier 'b'",
        'the failure reason names the first of several Functions that fail';

    # a reason is not longer than 1000 bytes, and cut between characters
    utf8::encode(my $path = '/' . "\x{1f600}" x 240);
    my $version = $project->new_version(content => 'const const;', path => $path);
    my $reason = substr "$path line 1: SyntaxError: Unexpected token 'const'", 0, 1000;
    utf8::decode($reason);
    my $build = $project->finished($project->new_build($version));
    is_failed $build, $reason, 'a path of 961 bytes';
    for my $letters (300 .. 303) { # characters of 3 bytes, at each place that they can be cut at
        my $identifier = 'a' x $letters . "\x{51fd}" x 500;
        utf8::encode(my $source = "let $identifier; let $identifier;");
        $build = build_of($source);
        is $build->{status}, 'failed', "an identifier that does not fit, $letters bytes before";
        like $build->{failure_reason}, qr{^/0 line 1: SyntaxError: Identifier 'a{$letters}\x{51fd}+\z},
            'a long failure reason is cut between characters';
    }
};

subtest 'a Build of a failing Function can be read, listed and deleted like any' => sub {
    my $version = $project->new_version(content => 'let let;', path => '/fails');
    my $build = $project->finished($project->new_build($version));
    my $is = { status => 'failed',
        failure_reason => '/fails line 1: SyntaxError: let is disallowed as a lexically bound name' };
    is_build $api->get($build->{url}), 200, [$version], $is, 'a failed Build is fetched whole';
    is_reply $api->get("$build->{url}/Status"), 200, {
        sid => $build->{sid}, account_sid => $api->user, service_sid => $project->sid,
        status => 'failed', url => "$build->{url}/Status",
    }, 'Status has no reason';
    is $api->get($builds, PageSize => 1)->json->{builds}[0]{failure_reason}, $is->{failure_reason}, 'the list has';
    is $api->delete($build->{url})->status, 204, 'a failed Build can be deleted';
};

subtest 'a Build runs none of the JavaScript that it checks' => sub {
    my $listener = IO::Socket::INET->new(Listen => 5, LocalAddr => '127.0.0.1') or die "$@\n";
    my $port = $listener->sockport;
    my $file = "/tmp/serverless-builds-$$.txt";
    my $act = "require('fs').writeFileSync('$file', 'run'); require('net').connect($port, '127.0.0.1');";
    is_completed build_of(
        $act,
        "(() => { $act })();",
        "exports.a = class { static { $act } };",
        "process.exit(3);",
        "process.stdout.write('/x: SyntaxError: no\\n');",
        "globalThis.constructor.constructor('return process')().kill(0, 'SIGKILL');",
        "Object.prototype.path = 'x'; Array.prototype[Symbol.iterator] = null; String.prototype.replace = null;",
        "`\${(() => { $act })()}`",
        "import('data:text/javascript,' + encodeURIComponent(\"$act\"));",
    ), 'Functions that would act when they are loaded compile';
    $listener->blocking(0);
    is $listener->accept, undef, 'none of the Functions opened a connection';
    ok !-e $file, 'none of the Functions wrote a file';
    is_failed build_of("$act }); $act (function () {"), "/0 line 1: SyntaxError: Unexpected token '}'",
        "a Function that closes the wrapping function's braces is not run";
    is $listener->accept, undef, 'no connection';
    ok !-e $file, 'no file';
};

subtest 'a Build of a Function with damaged content fails' => sub {
    my $large = "exports.a = 'a';\n" x 30_000; # two chunks
    for my $case (
        [ 'a byte changed',  'UPDATE %s SET bytes = set_byte(bytes, 10, 33) WHERE number = 0' ],
        [ 'bytes that are no text', 'UPDATE %s SET bytes = set_byte(bytes, 10, 255) WHERE number = 1' ],
        [ 'cut off',         'UPDATE %s SET bytes = substr(bytes, 1, 100) WHERE number = 1' ],
        [ 'a chunk missing', 'DELETE FROM %s WHERE number = 1' ],
        [ 'all missing',     'DELETE FROM %s WHERE true' ],
    ) {
        my ($what, $damage) = @$case;
        my $mine = Serverless::Project->new($api);
        my ($whole, $damaged) = ($mine->new_version(content => 'a;'),
            $mine->new_version(content => $large, path => '/damaged'));
        damage($damaged, $damage);
        is_failed $mine->finished($mine->new_build($whole, $damaged)), '/damaged: the content is damaged',
            "$what: the Build fails";
        is_completed $mine->finished($mine->new_build($whole)), 'a Build without the damaged Version completes';
        is $api->delete($mine->path)->status, 204, 'the Service with the damaged content is deleted';
    }
};

# An Asset may be large: a Build checks only its size and the sizes of its chunks.
subtest 'a Build of an Asset with damaged content fails' => sub {
    my $large = "\xff\0" x 150_000; # two chunks
    for my $case (
        [ 'failed',    'cut off',         'UPDATE %s SET bytes = substr(bytes, 1, 100) WHERE number = 1' ],
        [ 'failed',    'a chunk missing', 'DELETE FROM %s WHERE number = 1' ],
        [ 'failed',    'all missing',     'DELETE FROM %s WHERE true' ],
        [ 'completed', 'a byte changed',  'UPDATE %s SET bytes = set_byte(bytes, 10, 33) WHERE number = 0' ],
    ) {
        my ($status, $what, $damage) = @$case;
        my $mine = Serverless::Project->new($api);
        my @parts = (kind => 'asset', path => '/damaged', content => $large);
        my ($function, $damaged) = ($mine->new_version, $mine->new_version(@parts));
        damage($damaged, $damage);
        my $build = $mine->finished($mine->new_build($function, $damaged));
        is_deeply [ @$build{qw(status failure_reason)} ],
            [ $status, $status eq 'failed' ? '/damaged: the content is damaged' : undef ], "$what: $status";
        is_completed $mine->finished($mine->new_build($function)), 'a Build without the damaged Version completes';
        is $api->delete($mine->path)->status, 204, 'the Service with the damaged content is deleted';
    }
};

subtest 'a Build of a Function larger than the present limit completes' => sub {
    my $own = own_database('limits');
    my ($sid, $token) = $own->connect('postgres')->selectrow_array(
        q(SELECT * FROM serverless.create_account('limits')));
    my $start = sub {
        my ($limits) = @_;
        return Serverless::Server->start('limits', $limits . Serverless::Server->database(database => $own->name)
            . Serverless::Server->api);
    };
    my $client = Serverless::Client->client($sid, $token);
    my $server = $start->('');
    my $there = Serverless::Project->new($client->at($server->address));
    my %version = map { $_ => $there->new_version(kind => $_, path => "/$_", content => 'a' x 1000) } qw(function asset);
    $server->stop;
    for my $case ([ asset => "ServerlessAssetLimit 999\n" ], [ function => "ServerlessFunctionLimit 999\n" ]) {
        my ($kind, $limit) = @$case;
        $server = $start->($limit);
        my $at = $client->at($server->address);
        my $build = $at->post($there->path . '/Builds', of(@version{qw(function asset)}))->json;
        my $path = $build->{url} =~ s{^http://[^/]+}{}r;
        wait_until { ($build = $at->get($path)->json)->{status} ne 'building' };
        is_failed $build, "/$kind: larger than 999 bytes", "a Build fails whose $kind is larger than is allowed by now";
        $server->stop;
    }
};

subtest 'a Build of 60 Functions completes' => sub {
    my $line = "exports.handler = (context, event, callback) => callback(null, 'hello');\n";
    my @versions = map { $project->new_version(content => $line x 50 . "// $_\n") } 1 .. 60;
    my $build = $project->new_build(@versions);
    is_build $api->get($build->{url}), 200, \@versions, { status => qr/^(?:building|completed)$/ },
        'a Build of 60 Functions is created';
    my $begin = Time::HiRes::time();
    is_completed $project->finished($project->new_build(@versions)), 'a Build of 60 Functions completes';
    note sprintf 'after %.1f s', Time::HiRes::time() - $begin; # two seconds on an idle machine
};

subtest 'without Node.js, Builds are not compiled, but checked otherwise' => sub {
    my $own = own_database('builds');
    my ($sid, $token) = $own->connect('postgres')->selectrow_array(
        q(SELECT * FROM serverless.create_account('builds')));
    my $server = Serverless::Server->start('no_node',
        Serverless::Server->database(database => $own->name) . Serverless::Server->api);
    my $client = Serverless::Client->client($sid, $token)->at($server->address);
    my $there = Serverless::Project->new($client);

    is_completed $there->finished($there->new_build($there->new_version(content => 'let let;'))),
        'without Node.js, a Function that does not compile completes';
    my $version = $there->new_version(content => 'a;', path => '/damaged');
    damage($version, 'DELETE FROM %s WHERE true', $own->connect('postgres'));
    is_failed $there->finished($there->new_build($version)), '/damaged: the content is damaged',
        'without Node.js, a damaged Function fails';
    $server->stop;
};


# List, fetch and delete ---------------------------------------------------------------

subtest 'list Builds' => sub {
    my $mine = Serverless::Project->new($api);
    my $list = $mine->path . '/Builds';
    my $page = $mine->service->{links}{builds} . '?PageSize=50&Page=0';
    my $meta = {
        first_page_url => $page, key => 'builds', next_page_url => undef, page => 0,
        page_size => 50, previous_page_url => undef, url => $page,
    };
    is_reply $api->get($list), 200, { builds => [], meta => $meta }, 'the list is empty before anything was created';
    my @made = map { $mine->completed($mine->new_version) } 1 .. 3;
    is_reply $api->get($list), 200, { builds => [ reverse @made ], meta => $meta },
        'the list has every resource as a fetch returns it, newest first';
    my $first = $api->get("$list?PageSize=2")->json;
    my $second = $api->get($first->{meta}{next_page_url})->json;
    is_deeply [ map { $_->{sid} } @{ $first->{builds} }, @{ $second->{builds} } ],
        [ map { $_->{sid} } reverse @made ], 'the pages together have every resource, newest first';
    is $second->{meta}{next_page_url}, undef, 'the second page of Builds is the last';
};

subtest 'a Build has at most 1000 Versions, and a page of Builds a bounded size' => sub {
    is $api->get($project->path . '/Builds', PageSize => 1000)->json->{meta}{page_size}, 50,
        'PageSize above 50 lists 50 Builds';
    my $version = $project->new_version;
    my @many = map { (FunctionVersions => $version->{sid}) } 1 .. 1000;
    my $reply = create(@many);
    is $reply->status, 201, 'a thousand FunctionVersions' or diag $reply->body;
    is_error create(@many, FunctionVersions => $version->{sid}), 400, 20001,
        'FunctionVersions must not be given more than 1000 times',
            'one FunctionVersions more than a thousand is refused';
};

subtest 'a Build keeps its list of Versions after its Functions are deleted' => sub {
    my @versions = map { $project->new_version } 1, 2;
    my $build = $project->completed(@versions);
    is $api->delete($project->path . "/Functions/$_->{function_sid}")->status, 204, 'a Function is deleted'
        for @versions;
    is_reply $api->get($build->{url}), 200, $build, 'the Build is as it was';
    is_error create(of(@versions)), 400, 20001,
        'Some FunctionVersions are not Versions of Functions in this Service.',
            'a new Build of the deleted Versions is refused';
};

subtest 'delete a Build' => sub {
    my $version = $project->new_version;
    my ($build, $bystander) = map { $project->completed($version) } 1, 2;
    my $before = rows();
    my $reply = $api->delete($build->{url});
    is $reply->status, 204, 'a Build is deleted';
    is $reply->body, '', 'the answer has no body';
    isnt rows(), $before, 'the row of the deleted Build is gone';
    (my $path = $build->{url}) =~ s{^http://[^/]+/v1}{};
    is_error $api->get("/v1$_"), 404, 20404, "The requested resource $_ was not found", $_
        for $path, "$path/Status";
    is_error $api->delete("/v1$path"), 404, 20404, "The requested resource $path was not found",
        'a second delete of the Build is 404';
    is_reply $api->get($bystander->{url}), 200, $bystander, 'another resource of the same kind is unchanged';
    is $api->get($project->path . "/Functions/$version->{function_sid}")->status, 200,
        'the Function of the deleted Build is unchanged';

    my $hold = hold_builds($project->sid);
    $build = $project->new_build($version);
    is $api->get("$build->{url}/Status")->json->{status}, 'building', 'a Build is building';
    is $api->delete($build->{url})->status, 204, 'a Build that is building can be deleted';
    is_error $api->get("/v1/Services/" . $project->sid . "/Builds/$build->{sid}"), 404, 20404,
        qr/was not found$/, 'the deleted Build that was building is not found';
    $hold = undef;
    $build = $project->new_build($version);
    is $api->delete($build->{url})->status, 204, 'a Build that a worker checks can be deleted';
};

subtest 'a Build is not found under another Service or by another account' => sub {
    my $version = $project->new_version;
    my $build = $project->completed($version);
    my $other = Serverless::Project->new($api);
    my $stranger = Serverless::Client->account;
    my $theirs = Serverless::Project->new($stranger);
    for my $case (
        [ 'another Service',            $api,      $other->sid, $build->{sid} ],
        [ 'another account',            $stranger, $project->sid, $build->{sid} ],
        [ 'another account\'s Service', $stranger, $theirs->sid, $build->{sid} ],
        [ 'no such Build',              $api,      $project->sid, 'ZB' . '0' x 32 ],
        [ 'a malformed SID',            $api,      $project->sid, 'ZB' . '0' x 31 ],
        [ 'a SID of another kind',      $api,      $project->sid, $version->{sid} ],
    ) {
        my ($what, $client, $service, $sid) = @$case;
        my $path = "/Services/$service/Builds/$sid";
        is_error $client->get("/v1$_"), 404, 20404, "The requested resource $_ was not found", "$what: get $_"
            for $path, "$path/Status";
        is_error $client->delete("/v1$path"), 404, 20404, "The requested resource $path was not found",
            "$what: delete";
    }
    my $list = '/Services/' . $project->sid . '/Builds';
    is_error $stranger->get("/v1$list"), 404, 20404, "The requested resource $list was not found", 'its list is not found by another account';
    is_error $stranger->post("/v1$list", of($version)), 404, 20404,
        "The requested resource $list was not found", 'another account cannot create there: 404';
    is_reply $api->get($build->{url}), 200, $build, 'refused requests leave the resource unchanged';

    for my $case (
        [ 'POST',   $build->{url},          'GET, HEAD, DELETE, OPTIONS' ],
        [ 'PUT',    $build->{url},          'GET, HEAD, DELETE, OPTIONS' ],
        [ 'POST',   "$build->{url}/Status", 'GET, HEAD, OPTIONS' ],
        [ 'DELETE', "$build->{url}/Status", 'GET, HEAD, OPTIONS' ],
        [ 'DELETE', $builds,                'GET, HEAD, POST, OPTIONS' ],
    ) {
        my ($method, $path, $allowed) = @$case;
        my $reply = $api->request($method, $path);
        is_error $reply, 405, 20004, 'Method not allowed', "$method is none of its operations";
        is $reply->header('Allow'), $allowed, 'Allow has the methods of the path';
    }
};

done_testing;
