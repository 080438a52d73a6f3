# Conditional requests. The ETag of an answer names the revision of the resource. A GET with
# If-None-Match of that revision is answered 304; an update or delete with If-Match is refused
# with 412 if another client has changed the resource since.
use strict;
use warnings FATAL => 'all';

use Apache::Test qw(-withtestmore);
use IO::Uncompress::Gunzip qw(gunzip $GunzipError);
use Serverless::Database;
use Serverless::Parallel;
use Serverless::Project;
use Serverless::Server;
use Serverless::Test;
use Test::More;
use Time::HiRes ();

my $api = Serverless::Client->account;
my $project = Serverless::Project->new($api);

my $long_ago = 'Sun, 06 Nov 1994 08:49:37 GMT';
my $tag_form = qr/^"[0-9a-f]+-[0-9a-f]{16}"$/;
my $message = 'The resource is not in the state that the request expects';

sub tag_of { $_[0]->header('ETag') }

# The number before one of 64 bits.
sub before { no warnings 'portable'; return hex($_[0]) - 1 }

# Twelve clients or twenty, at the same moment.
sub race {
    my (@requests) = @_;
    my $start = Time::HiRes::time() + 0.2;
    return at_once(sub {
        my ($request) = @_;
        my $client = $api->afresh;
        $client->head('/v1/Services'); # have the connection
        Time::HiRes::sleep($start - Time::HiRes::time()) if Time::HiRes::time() < $start;
        return $request->($client);
    }, @requests);
}

sub tally { my %times; $times{ $_->status }++ for @_; return \%times }


# What can be changed or deleted, each: its name, what makes a new one, what
# changes it (a form), and whether its address may have the Service's UniqueName.
my $version = $project->new_version;
my @changeable = (
    [ 'Service',     sub { Serverless::Project->new($api)->service }, [ FriendlyName => 'changed' ] ],
    [ 'Function',    sub { $project->new_function }, [ FriendlyName => 'changed' ] ],
    [ 'Asset',       sub { $project->new_asset },    [ FriendlyName => 'changed' ] ],
    [ 'Build',       sub { $project->completed($version) } ],
    [ 'Environment', sub { $project->new_environment } ],
);

# The request that changes it, or deletes it.
sub change {
    my ($client, $resource, $form) = @_;
    return $form ? $client->post($resource->{url}, @$form) : $client->delete($resource->{url});
}

# Every change of each: [what, what makes one, what changes it, the status].
my @changes = map {
    my ($what, $make, $form) = @$_;
    ([ "delete a $what", $make, undef, 204 ], $form ? [ "update a $what", $make, $form, 200 ] : ())
} @changeable;

# Makes its next revision, behind the API's back.
my %table = (ZS => 'services', ZH => 'artifacts', ZB => 'builds', ZE => 'environments');
sub touch {
    my ($resource) = @_;
    my ($prefix, $id) = $resource->{sid} =~ /^(..)(.*)/;
    db()->do("UPDATE serverless.$table{$prefix} SET date_updated = serverless.next_revision(date_updated) WHERE id = ?",
        undef, $id) == 1 or die "nothing to touch\n";
}


# Tags ------------------------------------------------------------------------------

# Everything single, as it was answered when it was made, and its address.
my $environment_reply = $api->post($project->path . '/Environments', UniqueName => 'tags', DomainSuffix => 'tags');
my $asset_version = $project->new_version(kind => 'asset');
my $build = $project->completed($version, $asset_version);
my @upload = ([ Path => undef, undef, '/tags' ], [ Visibility => undef, undef, 'public' ],
    [ Content => 'f', 'text/plain', 'a;' ]);
my %created = (
    Service      => $api->post('/v1/Services', UniqueName => 'tags', FriendlyName => 'Tags'),
    Function     => $api->post($project->path . '/Functions', FriendlyName => 'f'),
    Asset        => $api->post($project->path . '/Assets', FriendlyName => 'a'),
    'Function Version' => $api->upload($project->path . "/Functions/$version->{function_sid}/Versions", @upload),
    'Asset Version'    => $api->upload($project->path . "/Assets/$asset_version->{asset_sid}/Versions", @upload),
    Environment  => $environment_reply,
    Deployment   => $api->post($environment_reply->json->{links}{deployments}, BuildSid => $build->{sid}),
);
my %single = (
    (map { $_ => $created{$_}->json->{url} } grep { $_ ne 'Environment' } keys %created), # which has a Build by now
    Environment => $project->new_environment->{url},
    Build       => $build->{url},
    'Build Status' => $build->{links}{build_status},
    'Function Version Content' => "$version->{url}/Content",
);

for my $what (sort keys %created) {
    my $reply = $created{$what};
    is $reply->status, 201, "$what: created";
    like tag_of($reply), $tag_form, "$what: the answer to its create has an ETag";
    next if $what eq 'Environment';
    my $fetched = $api->get($single{$what});
    is tag_of($fetched), tag_of($reply), "$what: the ETag of its create is that of a fetch";
    is $fetched->header('Last-Modified'), $reply->header('Last-Modified'),
        "$what: the Last-Modified of its create is that of a fetch";
}

for my $what (sort keys %single) {
    my $url = $single{$what};
    my $reply = $api->get($url);
    my $tag = tag_of($reply);
    my $modified = $reply->header('Last-Modified');
    my $has_date = $what !~ /Status|Content/;
    is $reply->status, 200, "$what: fetched";
    like $tag, $tag_form, "$what: the answer to a fetch has an ETag";
    my $cached = $what =~ /Content/ ? 'no-store' : 'no-cache';
    is $reply->header('Cache-Control'), $cached, "$what: a fetch has Cache-Control: $cached";
    if ($has_date) {
        my $json = $reply->json;
        my ($difference) = db()->selectrow_array(
            'SELECT extract(epoch FROM ?::timestamptz) - extract(epoch FROM ?::timestamptz)', undef,
            $modified =~ s/^\w+, //r, $json->{date_updated} // $json->{date_created});
        is $difference + 0, 0, "$what: Last-Modified is date_updated or date_created";
    }
    else {
        is $modified, undef, "$what: a resource without dates has no Last-Modified";
    }
    is tag_of($api->get($url)), $tag, "$what: a second fetch has the same ETag";
    is tag_of($api->afresh->get($url)), $tag, "$what: a fetch from another child of httpd has the same ETag";

    my $head = $api->head($url);
    is_deeply [ $head->status, $head->body, tag_of($head), $head->header('Content-Length') ],
        [ 200, '', $tag, length $reply->body ], '- HEAD says the same';

    for my $condition (
        [ 304, 'If-None-Match' => $tag ],
        [ 304, 'If-None-Match' => "W/$tag" ],
        [ 304, 'If-None-Match' => qq("a", W/"b", $tag , "c") ],
        [ 304, 'If-None-Match' => '*' ],
        [ 200, 'If-None-Match' => '"a"' ],
        [ 200, 'If-None-Match' => $tag =~ tr/"//dr ],
        [ 200, 'If-None-Match' => '"a"', 'If-Modified-Since' => $modified // $long_ago ],
        [ 200, 'If-Match' => $tag ],
        [ 200, 'If-Match' => qq("a", $tag) ],
        [ 200, 'If-Match' => '*' ],
        [ 412, 'If-Match' => '"a"' ],
        [ 412, 'If-Match' => "W/$tag" ],
        $has_date ? (
            [ 304, 'If-Modified-Since' => $modified ],
            [ 200, 'If-Modified-Since' => $long_ago ],
            [ 200, 'If-Modified-Since' => 'yesterday' ],
            [ 200, 'If-Unmodified-Since' => $modified ],
            [ 412, 'If-Unmodified-Since' => $long_ago ],
        ) : (),
    ) {
        my ($status, %headers) = @$condition;
        my $name = '- ' . join ', ', map { "$_: $headers{$_}" } sort keys %headers;
        if ($status == 412) {
            is_error $api->with(%headers)->get($url), 412, 20412, $message, $name;
            next;
        }
        my $answer = $api->with(%headers)->get($url);
        is_deeply [ $answer->status, $answer->body ], [ $status, $status == 304 ? '' : $reply->body ], $name;
        is $api->with(%headers)->head($url)->status, $status, "$name: HEAD has the same status";
    }
}

{
    my $url = $single{Function};
    my $reply = $api->get($url);
    my $raw = $api->raw_request("GET $project->{service}{url} HTTP/1.1" =~ s{http://[^/]+}{}r,
        headers => [ 'If-None-Match: ' . tag_of($api->get($project->service->{url})) ]);
    is $raw->status, 304, '304: the status of the raw answer';
    is $raw->body, '', '304: the raw answer has no body';
    is_deeply [ map { $raw->header($_) } qw(Content-Length Content-Type Transfer-Encoding) ], [ undef, undef, undef ],
        '304: the raw answer has no header about a body';
    like $raw->header($_), $_ eq 'ETag' ? $tag_form : qr/./, "304: the raw answer has $_"
        for qw(ETag Cache-Control Last-Modified Date Twilio-Request-Id);
}

for my $list (map { $project->service->{links}{$_} } qw(environments functions assets builds)) {
    my $reply = $api->with('If-None-Match' => '*', 'If-Match' => '"a"', 'If-Modified-Since' => 'Fri, 01 Jan 2100 00:00:00 GMT')
        ->get($list);
    is_deeply [ $reply->status, tag_of($reply), $reply->header('Last-Modified') ], [ 200, undef, undef ],
        "lists have no ETag, and no conditions: $list";
}


# Each change is a revision -------------------------------------------------------------

for my $case (grep { $_->[2] } @changeable) {
    my ($what, $make, $form) = @$case;
    my $resource = $make->();
    my %seen = (tag_of($api->get($resource->{url})) => 1);
    for (1 .. 20) {
        my $reply = $api->post($resource->{url}, @$form);
        is tag_of($api->get($resource->{url})), tag_of($reply), "$what: the tag of an update is that of the new revision"
            if $_ == 1;
        $seen{ tag_of($reply) }++;
    }
    is scalar keys %seen, 21, "$what: twenty updates to the same, within a second or so, are twenty revisions";

    my ($id) = $resource->{sid} =~ /^..(.*)/;
    db()->do("UPDATE serverless.$table{ substr $resource->{sid}, 0, 2 } SET date_updated = '2100-01-01' WHERE id = ?",
        undef, $id);
    my $future = $api->get($resource->{url});
    like $future->header('Last-Modified'), qr/ (?!2100)\d{4} /,
        "$what: Last-Modified of a date in the future is not in the future";
    my $next = $api->with('If-Match' => tag_of($future))->post($resource->{url}, @$form);
    is $next->status, 200, "$what: an update with the ETag of a date in the future succeeds";
    isnt tag_of($next), tag_of($future), "$what: that update has a new ETag, although its date is earlier";
}

{
    my $service = Serverless::Project->new($api)->service;
    my $tag = tag_of($api->get($service->{url}));
    my $nothing = $api->with('If-Match' => $tag)->post($service->{url});
    is_deeply [ $nothing->status, tag_of($nothing) ], [ 200, $tag ],
        'an update of a Service without parameters leaves its ETag unchanged';
    is_error $api->with('If-Match' => '"1-1"')->post($service->{url}), 412, 20412, $message,
        'an update of a Service without parameters obeys If-Match';
}

{
    my $hold = hold_builds($project->sid);
    my $slow = $project->new_build($version);
    my $building = tag_of($api->get($slow->{url}));
    my $status = tag_of($api->get($slow->{links}{build_status}));
    $hold->release($slow->{sid});
    $project->finished($slow);
    isnt tag_of($api->get($slow->{url})), $building, 'a Build that is finished is a new revision';
    isnt tag_of($api->get($slow->{links}{build_status})), $status,
        'the Status of a Build that completed has another ETag';
    is_error $api->with('If-Match' => $building)->delete($slow->{url}), 412, 20412, $message,
        'a completed Build is not deleted with the ETag it had while building';

    my $environment = $project->new_environment;
    my $before = tag_of($api->get($environment->{url}));
    $project->deploy($environment, $slow);
    isnt tag_of($api->get($environment->{url})), $before, 'a Deployment is a new revision of its Environment';
    is_error $api->with('If-Match' => $before)->delete($environment->{url}), 412, 20412, $message,
        'an Environment is not deleted with the ETag it had before its Deployment';
}


# If-Match --------------------------------------------------------------------------------

for my $case (@changes) {
    my ($what, $make, $form, $status) = @$case;
    my $resource = $make->();
    my $url = $resource->{url};
    my $was = $api->get($url);
    my $tag = tag_of($was);
    my $other = tag_of($api->get($make->()->{url}));
    my ($revision) = $tag =~ /"(\w+)-/;

    for my $match (
        [ "another's tag",               $other ],
        [ 'a stale tag',                 sprintf('"%x-0123456789abcdef"', before($revision)) ],
        [ 'the tag, but weak',           "W/$tag" ],
        [ 'in small letters',            "w/$tag" ],
        [ 'no quotes',                   $tag =~ tr/"//dr ],
        [ 'nothing',                     '' ],
        [ 'an empty tag',                '""' ],
        [ 'a revision alone',            qq("$revision") ],
        [ 'a hash alone',                $tag =~ s/\w+-/-/r ],
        [ 'a negative one',              qq("-$revision-1") ],
        [ 'more than any number',        '"' . 'f' x 15 . '-1"' ],
        [ 'more digits than a number has', '"' . 'f' x 40 . '-1"' ],
        [ 'what SQL is made of',         q("1-1"'; DROP TABLE serverless.artifacts; --, {}, NULL) ],
        [ 'an asterisk as a tag',        '"*"' ],
        [ 'commas',                      ', ,,' ],
        [ 'half a tag',                  '"' ],
        [ 'several that are not it',     qq($other, "a", W/$tag) ],
    ) {
        my ($how, $value) = @$match;
        is_error change($api->with('If-Match' => $value), $resource, $form), 412, 20412, $message, "$what: $how";
    }
    my $is = $api->get($url);
    is_deeply [ $is->body, tag_of($is) ], [ $was->body, $tag ], "$what: refused conditional requests change nothing";

    my ($method, $body) = $form ? (POST => Serverless::Client::form(@$form)) : ('DELETE');
    my $nobody = Serverless::Client->client($api->user, 'wrong');
    my $stranger = Serverless::Client->account;
    is_error change($nobody->with('If-Match' => $_), $resource, $form), 401, 20003, 'Authenticate',
        "- nobody learns whether $_ is it" for '"a"', $tag;
    my $path = $url =~ s{^http://[^/]+/v1}{}r;
    for my $missing ([ $stranger, $url, 'to another account' ],
        [ $api, $url =~ s/(..)[0-9a-f]{32}$/$1 . '0' x 32/er, 'which there never was' ]) {
        my ($client, $at, $why) = @$missing;
        my $shown = $at =~ s{^http://[^/]+/v1}{}r;
        is_error change($client->with('If-Match' => $_), { url => $at }, $form), 404, 20404,
            "The requested resource $shown was not found", "- $why, it is not there: $_" for '"a"', '*', $tag;
    }
    if ($form) {
        is_error $api->with('If-Match' => '"a"')->post($url, FriendlyName => 'x' x 256), 400, 20001,
            'FriendlyName must not be longer than 255 characters',
                "$what: an invalid parameter takes precedence over If-Match";
        is tag_of($api->get($url)), $tag, "$what: a request with an invalid parameter changes nothing";
    }

    is change($api->with('If-Match' => $tag), $resource, $form)->status, $status,
        "$what: with its ETag in If-Match, the request succeeds";
    for my $match (
        [ 'any',                       sub { '*' } ],
        [ 'a list that has it',        sub { qq("a", W/"b",$_[0] , $other) } ],
        [ 'twice',                     sub { "$_[0], $_[0]" } ],
        [ 'as mod_deflate has it',     sub { $_[0] =~ s/"$/-gzip"/r } ],
    ) {
        my ($how, $value) = @$match;
        my $again = $make->();
        my $now = tag_of($api->get($again->{url}));
        is change($api->with('If-Match' => $value->($now)), $again, $form)->status, $status,
            "$what: the request succeeds with If-Match: $how";
    }
    my $third = $make->();
    my $now = tag_of($api->get($third->{url}));
    touch($third);
    is_error change($api->with('If-Match' => $now), $third, $form), 412, 20412, $message,
        "$what: with an ETag of before an update, the request is 412";
    is change($api->with('If-Unmodified-Since' => $long_ago, 'If-None-Match' => '*'), $third, $form)->status, $status,
        "$what: If-Unmodified-Since and If-None-Match do not apply to writes";
}

# A resource has one revision, the same at each of its paths and in each encoding.
for my $case (grep { $_->[0] !~ /^Service/ } @changeable) {
    my ($what, $make, $form) = @$case;
    my $resource = $make->();
    (my $by_name = $resource->{url}) =~ s/\Q@{[ $project->sid ]}/$project->service->{unique_name}/e;
    my $tag = tag_of($api->get($by_name));
    is $tag, tag_of($api->get($resource->{url})), "$what: it has one tag, by SID and by UniqueName of the Service";
    my $elsewhere = tag_of($api->on('fixed_url')->get($resource->{url} =~ s{^http://[^/]+}{}r));
    isnt $elsewhere, $tag, '- where its addresses look different, it has another';
    is change($api->with('If-Match' => $elsewhere), { url => $by_name }, $form)->status, $form ? 200 : 204,
        "$what: the ETag by UniqueName names the same revision as the one by SID";
}
{
    my $service = Serverless::Project->new($api)->service;
    my $tag = tag_of($api->get("/v1/Services/$service->{unique_name}"));
    is $api->with('If-Match' => $tag)->post($service->{url}, FriendlyName => 'a')->status, 200,
        'a Service is updated by SID with the ETag of a fetch by UniqueName';
    is_error $api->with('If-Match' => $tag)->delete("/v1/Services/$service->{unique_name}"), 412, 20412, $message,
        'a Service is not deleted by UniqueName with the ETag of before an update';
}

{
    my $environment = $project->new_environment;
    my $kept = $project->new_version(kind => 'asset');
    my $asset = $project->path . "/Assets/$kept->{asset_sid}";
    my $active = $project->completed($kept);
    $project->deploy($environment, $active);
    for my $url ($asset, $active->{url}) {
        my $tag = tag_of($api->get($url));
        is $api->with('If-Match' => $tag)->delete($url)->status, 409,
            'with the right ETag, a delete that the guard refuses is 409';
        is $api->with('If-Match' => '"a"')->delete($url)->status, 412,
            'with a wrong ETag, a delete that the guard would refuse is 412';
    }
}

# A creation has none.
for my $case (
    [ '/v1/Services', UniqueName => 'unconditional', FriendlyName => 'U' ],
    [ $project->path . '/Assets', FriendlyName => 'a' ],
    [ $project->path . '/Builds', FunctionVersions => $version->{sid} ],
) {
    my ($path, @form) = @$case;
    is $api->with('If-Match' => '"a"', 'If-None-Match' => '*')->post($path, @form)->status, 201,
        "a create ignores If-Match and If-None-Match: $path";
}


# At once -------------------------------------------------------------------------------------

for my $case (grep { $_->[2] } @changeable) {
    my ($what, $make) = @$case;
    my $resource = $make->();
    my $tag = tag_of($api->get($resource->{url}));
    my @names = map { "client $_" } 1 .. 20;
    my @replies = race(map { my $name = $_;
        sub { $_[0]->with('If-Match' => $tag)->post($resource->{url}, FriendlyName => $name) } } @names);
    is_deeply tally(@replies), { 200 => 1, 412 => 19 }, "$what: of twenty updates of one revision, one is done";
    my ($winner) = grep { $_->status == 200 } @replies;
    my $left = $api->get($resource->{url});
    is_deeply [ $left->body, tag_of($left) ], [ $winner->body, tag_of($winner) ],
        "$what: the revision after twenty updates is that of the one that succeeded";
    is $winner->json->{friendly_name}, $names[ (grep { $replies[$_]->status == 200 } 0 .. 19)[0] ],
        "$what: the update that succeeded has its own name";
    is_error $_, 412, 20412, $message, "$what: the other updates are 412" for (grep { $_->status == 412 } @replies)[0];
}

for my $case (@changeable) {
    my ($what, $make, $form) = @$case;
    my $resource = $make->();
    my $tag = tag_of($api->get($resource->{url}));
    my @replies = race((sub { $_[0]->with('If-Match' => $tag)->delete($resource->{url}) }) x 8);
    my $times = tally(@replies);
    is delete $times->{204}, 1, "$what: of eight deletions of one revision, one is done";
    is_deeply [ grep { !/^(404|412)$/ } keys %$times ], [], "$what: the other deletions are 404 or 412";
    next if !$form;

    for my $round (1 .. 3) {
        my $contended = $make->();
        my $known = tag_of($api->get($contended->{url}));
        my ($deleted, @updated) = race(
            sub { $_[0]->with('If-Match' => $known)->delete($contended->{url}) },
            (sub { $_[0]->with('If-Match' => $known)->post($contended->{url}, @$form) }) x 5);
        my $done = grep { $_->status =~ /^20[04]$/ } $deleted, @updated;
        is $done, 1, "$what: a deletion and five updates of one revision, round $round: one is done";
        is_deeply [ grep { !/^(200|204|404|412)$/ } map { $_->status } $deleted, @updated ], [],
            "$what: the other requests of the round are 404 or 412";
        is $api->get($contended->{url})->status, $deleted->status == 204 ? 404 : 200,
            "$what: the resource is as the successful request of the round left it";
    }
}

# Whoever meets a revision that is not committed yet waits for it, and goes by what
# became of it.
for my $case (@changes) {
    my ($what, $make, $form, $status) = @$case;
    for my $end ([ 'commit', 412 ], [ 'rollback', $status ]) {
        my ($finish, $expected) = @$end;
        my $resource = $make->();
        my $below = $what =~ /Service/ ? $project->create("$resource->{url}/Functions", FriendlyName => 'below') : undef;
        my $tag = tag_of($api->get($resource->{url}));
        my ($prefix, $id) = $resource->{sid} =~ /^(..)(.*)/;
        my $session = connect_as('postgres');
        $session->begin_work;
        $session->do("UPDATE serverless.$table{$prefix} SET date_updated = serverless.next_revision(date_updated) WHERE id = ?",
            undef, $id);
        my $reply = begin_at_once(sub { change($api->afresh->with('If-Match' => $tag), $resource, $form) }, 1);
        ok wait_until { waiting() }, "$what while another transaction changes the row: the request waits";
        $session->$finish;
        is +($reply->())[0]->status, $expected, "$what while another transaction changes the row, $finish: $expected";
        is $api->get($below->{url})->status, $expected == 204 ? 404 : 200,
            "$what while another transaction changes the row: the Function in it has the same fate" if $below;
    }
}


# As much as a header may have, and other modules --------------------------------------------------------------------

{
    my $server = Serverless::Server->start('conditional', Serverless::Server->database . Serverless::Server->api(undef, 'SetOutputFilter DEFLATE'));
    my $there = $api->at($server->address);
    my $asset = $project->new_asset;
    my $path = $asset->{url} =~ s{^http://[^/]+}{}r;
    my $tag = tag_of($there->get($path));

    my $reply = $there->with('If-Match' => ('"1-",' x 1600) . $tag)->post($path, FriendlyName => 'many');
    is $reply->status, 200, 'If-Match with many tags, the last of which is right, succeeds';

    my $packed = $there->undescribed->with('Accept-Encoding' => 'gzip')->get($path);
    gunzip(\$packed->body => \my $body) or die "gunzip: $GunzipError\n";
    is $body, $there->get($path)->body, 'a body that mod_deflate compressed is the same JSON';
    like tag_of($packed), qr/-gzip"$/, 'a body that mod_deflate compressed has an ETag ending in -gzip';
    is $there->with('If-Match' => tag_of($packed))->post($path, FriendlyName => 'gzip')->status, 200,
        'If-Match with the -gzip ETag succeeds';
    is_error $there->with('If-Match' => tag_of($packed))->post($path, FriendlyName => 'again'), 412, 20412, $message,
        'If-Match with the -gzip ETag of before an update is 412';
    is $there->undescribed->with('Accept-Encoding' => 'gzip', 'If-None-Match' => tag_of($there->get($path)))->get($path)->status, 304,
        'If-None-Match with the ETag without -gzip is 304 for a compressed answer';
    $server->stop;

    my $unaltered = Serverless::Server->start('unaltered', "DeflateAlterETag NoChange\n" . Serverless::Server->database
        . Serverless::Server->api(undef, 'SetOutputFilter DEFLATE'));
    my $client = $api->at($unaltered->address)->undescribed->with('Accept-Encoding' => 'gzip');
    my $same = $client->get($path);
    is $same->header('Content-Encoding'), 'gzip', 'with DeflateAlterETag NoChange, the body is compressed';
    is $client->with('If-None-Match' => tag_of($same))->get($path)->status, 304,
        'with DeflateAlterETag NoChange, If-None-Match with the one ETag is 304';
    $unaltered->stop;
}

unlike error_log(), qr/SF0003/, 'the error log has no failed statement';

done_testing;
