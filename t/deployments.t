# The Deployment resource: it puts a Build on an Environment, or removes the present one.
use strict;
use warnings FATAL => 'all';

use Apache::Test qw(-withtestmore);
use Serverless::Database;
use Serverless::Project;
use Serverless::Test;
use Test::More;

my $api = Serverless::Client->account;
my $project = Serverless::Project->new($api);
my $version = $project->new_version;
my ($build, $second) = map { $project->completed($version) } 1, 2;
my $unchanged = 'Environment already has requested deployment';

# An Environment of the test's own, and the list of its Deployments.
my ($environment, $deployments);
sub new_environment {
    $environment = $project->new_environment;
    $deployments = $project->path . "/Environments/$environment->{sid}/Deployments";
    return $environment;
}

# The answer is a Deployment, whole, of the last new_environment.
sub is_deployment {
    my ($reply, $status, $build_sid, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $sid = ($reply->json || {})->{sid} // '';
    is_reply $reply, $status, {
        sid             => sid('ZD'),
        account_sid     => $api->user,
        service_sid     => $project->sid,
        environment_sid => $environment->{sid},
        build_sid       => $build_sid,
        date_created    => date,
        date_updated    => date,
        url             => "$environment->{links}{deployments}/$sid",
    }, $name;
}

sub deploy { my (@form) = @_; return $api->post($deployments, @form) }

# The Environment is as it was, but for the Build on it and the date.
sub is_on_it {
    my ($build_sid, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is_reply $api->get($environment->{url}), 200,
        { %$environment, build_sid => $build_sid, date_updated => date }, $name;
}

sub count { scalar @{ $api->get($deployments)->json->{deployments} } }


subtest 'deploy a Build to an Environment' => sub {
    new_environment();
    db()->do("UPDATE serverless.environments SET date_updated = '2020-01-01' WHERE id = ?", undef,
        substr $environment->{sid}, 2);
    my $before = now;
    my $reply = deploy(BuildSid => $build->{sid});
    my $after = now;
    is_deployment $reply, 201, $build->{sid}, 'the answer is the Deployment';
    my $deployment = $reply->json;
    is $reply->header('Location'), $deployment->{url}, 'Location is the url of the new resource';
    is $deployment->{date_updated}, $deployment->{date_created}, 'date_updated of a new resource is its date_created';
    my ($created) = db()->selectrow_array(
        'SELECT extract(epoch FROM ?::timestamptz)', undef, $deployment->{date_created});
    ok $before <= $created && $created <= $after, 'date_created is the present, in UTC';
    is_on_it $build->{sid}, 'the Environment has the Build';
    is $api->get($environment->{url})->json->{date_updated}, $deployment->{date_created}, 'since now';

    is_error deploy(BuildSid => $build->{sid}), 409, 20409, $unchanged, 'the same Build again is 409';
    is count(), 1, 'the refused Deployment is not stored';
    is_deployment deploy(BuildSid => $second->{sid}), 201, $second->{sid}, 'another Build is deployed';
    is_on_it $second->{sid}, 'takes its place';
    is_deployment deploy(BuildSid => 'ZB' . uc substr $build->{sid}, 2), 201, $build->{sid},
        'the first again, its SID in capitals';
    is_on_it $build->{sid}, 'the first Build is deployed again';
    is count(), 3, 'three Deployments';

    new_environment();
    is_deployment deploy(BuildSid => $build->{sid}), 201, $build->{sid}, 'one Build can be on two Environments';
    (my $by_name = $deployments) =~ s/\Q@{[ $project->sid ]}/$project->service->{unique_name}/e;
    is_deployment $api->post($by_name, BuildSid => $second->{sid}), 201, $second->{sid},
        'under a Service named by UniqueName';
};

subtest 'the JSON of a Deployment, byte for byte' => sub {
    new_environment();
    for my $case ([ $build->{sid}, qq("$build->{sid}") ], [ undef, 'null' ]) {
        my ($sid, $text) = @$case;
        my $reply = deploy($sid ? (BuildSid => $sid) : ());
        my %is = %{ $reply->json };
        my $expected = <<"JSON";
{"sid":"$is{sid}","account_sid":"@{[ $api->user ]}","service_sid":"@{[ $project->sid ]}",
"environment_sid":"$environment->{sid}","build_sid":$text,
"date_created":"$is{date_created}","date_updated":"$is{date_updated}","url":"$is{url}"}
JSON
        $expected =~ s/\n//g;
        is $reply->body, $expected, $sid ? 'the JSON of a Deployment with a Build' : 'the JSON of a Deployment without a Build';
    }
};

subtest 'a Deployment without BuildSid removes the Build from the Environment' => sub {
    new_environment();
    deploy(BuildSid => $build->{sid});
    is_deployment deploy(), 201, undef, 'without BuildSid, none is deployed';
    is_on_it undef, 'the Environment has none';
    is_error deploy(), 409, 20409, $unchanged, 'without a Build on the Environment, removing it is 409';
    is_deployment deploy(BuildSid => $build->{sid}), 201, $build->{sid}, 'the Build that was removed is deployed again';
    is_deployment deploy(IsPlugin => 'false'), 201, undef, 'the Build is removed again';
    is count(), 4, 'four Deployments';

    new_environment();
    is_deployment deploy(), 201, undef, 'a new Environment: removing its Build is the first Deployment';
    is_error deploy(), 409, 20409, $unchanged, 'a new Environment: removing its Build a second time is 409';
    is_on_it undef, 'a new Environment has no Build';

    new_environment();
    is_deployment $api->request(POST => $deployments), 201, undef,
        'a Deployment without a body and content type removes the Build';
};

subtest 'Builds that cannot be deployed' => sub {
    new_environment();
    deploy(BuildSid => $build->{sid});
    my $other = Serverless::Project->new($api);
    my $elsewhere = $other->completed($other->new_version);
    my $stranger = Serverless::Project->new(Serverless::Client->account);
    my $theirs = $stranger->completed($stranger->new_version);
    my $failed = $project->finished($project->new_build($project->new_version(content => 'let let;')));
    is $failed->{status}, 'failed', 'a Build has failed';
    my $deleted = $project->completed($version);
    $api->delete($deleted->{url});
    my $hold = hold_builds($project->sid);
    my $building = $project->new_build($version);

    my $unknown = 'BuildSid is not a Build in this Service.';
    my $not_completed = 'Only a completed Build can be deployed.';
    my $malformed = 'BuildSid must be a SID that begins with ZB';
    for my $case (
        [ 'a Build that is building',  $not_completed, $building->{sid} ],
        [ 'a Build that failed',       $not_completed, $failed->{sid} ],
        [ 'another Service\'s',        $unknown, $elsewhere->{sid} ],
        [ 'another account\'s',        $unknown, $theirs->{sid} ],
        [ 'one that was deleted',      $unknown, $deleted->{sid} ],
        [ 'an unknown one',            $unknown, 'ZB' . '0' x 32 ],
        [ 'a digit less',              $malformed, 'ZB' . '0' x 31 ],
        [ 'a digit more',              $malformed, $build->{sid} . '0' ],
        [ 'a Version',                 $malformed, $version->{sid} ],
        [ 'null',                      $malformed, 'null' ],
        [ 'empty',                     'BuildSid must not be empty', '' ],
    ) {
        my ($what, $message, $sid) = @$case;
        is_error deploy(BuildSid => $sid), 400, 20001, $message, $what;
    }
    is_error deploy(BuildSid => $build->{sid}, BuildSid => $build->{sid}), 400, 20001,
        'BuildSid is given more than once', 'twice';
    is count(), 1, 'refused requests leave the number of rows unchanged';
    is_on_it $build->{sid}, 'after refused Deployments, the Environment has its Build';
    $hold = undef;
    $project->finished($building);
    is_deployment deploy(BuildSid => $building->{sid}), 201, $building->{sid},
        'a Build that was refused while building is deployed when it has completed';
};

subtest 'a Build whose Versions were deleted cannot be deployed' => sub {
    new_environment();
    my @gone = map { $project->new_version(kind => $_) } qw(function asset function asset);
    my $incomplete = $project->completed($version, @gone);
    for my $gone (@gone) {
        my $is = Serverless::Project::kind_of($gone);
        is $api->delete($project->path . "/$is->{list}/$gone->{ $is->{sid} }")->status, 204, "a $is->{name} is deleted";
    }
    my $refusal = deploy(BuildSid => $incomplete->{sid});
    is_reply $refusal, 400, {
        code => 20001, message => 'Cannot deploy Build because some of its Versions have been deleted.',
        more_info => 'https://www.twilio.com/docs/errors/20001', status => 400,
        details => { missing_versions => [ map {
            my $of = Serverless::Project::kind_of($_)->{sid};
            { sid => $_->{sid}, $of => $_->{$of}, path => $_->{path} }
        } sort { $a->{path} cmp $b->{path} } @gone ] },
    }, 'the refusal names each missing Function and Asset Version';
    my $missing = join ',', map {
        my $of = Serverless::Project::kind_of($_)->{sid};
        qq({"sid":"$_->{sid}","$of":"$_->{$of}","path":"$_->{path}"})
    } sort { $a->{path} cmp $b->{path} } @gone;
    is $refusal->body, '{"code":20001,"message":"Cannot deploy Build because some of its Versions have been deleted.",'
        . '"more_info":"https://www.twilio.com/docs/errors/20001","status":400,'
        . qq("details":{"missing_versions":[$missing]}}), 'the JSON of the refusal, byte for byte';
    is count(), 0, 'no Deployment';
    is_on_it undef, 'after the refusal, the Environment has no Build';
};

subtest 'deploy a Build of Assets' => sub {
    new_environment();
    my $assets = $project->completed(map { $project->new_version(kind => 'asset') } 1, 2);
    is_deployment deploy(BuildSid => $assets->{sid}), 201, $assets->{sid}, 'a Build of Assets is deployed';
    is_on_it $assets->{sid}, 'the Environment has it';
    is_deployment deploy(BuildSid => $build->{sid}), 201, $build->{sid},
        'a Build of Functions is deployed in its place';
};

subtest 'IsPlugin and unknown parameters of a Deployment change nothing' => sub {
    new_environment();
    for my $case ([ IsPlugin => 'true' ], [ IsPlugin => 'False' ], [ Other => 'x' ], [ buildsid => 'x' ]) {
        is_deployment deploy(BuildSid => $build->{sid}, @$case), 201, $build->{sid}, "@$case changes nothing";
        deploy();
    }
};

subtest 'list and fetch Deployments' => sub {
    new_environment();
    my $page = "$environment->{links}{deployments}?PageSize=50&Page=0";
    my $meta = {
        first_page_url => $page, key => 'deployments', next_page_url => undef, page => 0,
        page_size => 50, previous_page_url => undef, url => $page,
    };
    is_reply $api->get($deployments), 200, { deployments => [], meta => $meta }, 'the list is empty before anything was created';
    my $temporary = $project->completed($version);
    my @made = map { $project->deploy($environment, $_) } $build, $temporary, undef, $build;
    my $other = $project->new_environment;
    $project->deploy($other, $build);
    is_reply $api->get($deployments), 200, { deployments => [ reverse @made ], meta => $meta },
        'the Environment\'s own, as each is fetched, newest first';
    my $first = $api->get("$deployments?PageSize=3")->json;
    my $next = $api->get($first->{meta}{next_page_url})->json;
    is_deeply [ @{ $first->{deployments} }, @{ $next->{deployments} } ], [ reverse @made ], 'the pages together have every resource, newest first';

    is_reply $api->get($_->{url}), 200, $_, 'each Deployment is fetched by its url property' for @made;
    (my $capitals = $made[0]{sid}) =~ s/^ZD(.*)/'ZD' . uc $1/e;
    is_reply $api->get("$deployments/$capitals"), 200, $made[0], 'fetched by SID in upper case';

    is $api->delete($temporary->{url})->status, 204, 'a Build that was deployed once is deleted';
    is_reply $api->get($made[1]{url}), 200, $made[1], 'the Deployment of a deleted Build still names it';
};

subtest 'a deployed Build cannot be deleted' => sub {
    my ($one, $two) = map { $project->new_environment } 1, 2;
    my $mine = $project->completed($version);
    $project->deploy($_, $mine) for $one, $two;
    my $refusal = sub {
        return {
            code => 20409, message => "Cannot delete Build because it's part of an active Deployment.",
            more_info => 'https://www.twilio.com/docs/errors/20409', status => 409,
            details => { environments => [ map { $_->{sid} } @_ ] },
        };
    };
    is_reply $api->delete($mine->{url}), 409, $refusal->($one, $two),
        'a Build on two Environments is not deleted: 409 names both';
    $project->deploy($one, $build);
    is_reply $api->delete($mine->{url}), 409, $refusal->($two), 'superseded on one';
    $project->deploy($two);
    is $api->delete($mine->{url})->status, 204, 'a Build removed from both Environments is deleted';
};

subtest 'a Deployment is not found under another Environment or Service, or by another account' => sub {
    new_environment();
    my $deployment = deploy(BuildSid => $build->{sid})->json;
    my $sibling = $project->new_environment;
    my $other = Serverless::Project->new($api);
    my $elsewhere = $other->new_environment;
    my $stranger = Serverless::Client->account;
    my ($s, $e, $d) = ($project->sid, $environment->{sid}, $deployment->{sid});
    for my $case (
        [ 'another Environment',           $api,      $s, $sibling->{sid}, $d ],
        [ 'another Service',               $api,      $other->sid, $e, $d ],
        [ 'another Service\'s Environment', $api,     $other->sid, $elsewhere->{sid}, $d ],
        [ 'another account',               $stranger, $s, $e, $d ],
        [ 'no such Deployment',            $api,      $s, $e, 'ZD' . '0' x 32 ],
        [ 'a malformed SID',               $api,      $s, $e, 'ZD' . '0' x 31 ],
        [ 'a SID of another kind',         $api,      $s, $e, $e ],
        [ 'no such Environment',           $api,      $s, 'ZE' . '0' x 32, $d ],
    ) {
        my ($what, $client, @sids) = @$case;
        my $path = sprintf '/Services/%s/Environments/%s/Deployments/%s', @sids;
        is_error $client->get("/v1$path"), 404, 20404, "The requested resource $path was not found", $what;
    }
    for my $case (
        [ 'another Service',     $api,      $other->sid, $e ],
        [ 'another account',     $stranger, $s, $e ],
        [ 'no such Environment', $api,      $s, 'ZE' . '0' x 32 ],
    ) {
        my ($what, $client, @sids) = @$case;
        my $path = sprintf '/Services/%s/Environments/%s/Deployments', @sids;
        is_error $client->get("/v1$path"), 404, 20404, "The requested resource $path was not found", "list: $what";
        is_error $client->post("/v1$path"), 404, 20404, "The requested resource $path was not found",
            "create: $what";
    }
    is count(), 1, 'refused requests leave the number of rows unchanged';
    is_on_it $build->{sid}, 'the Environment is as it was';

    for my $case (
        [ 'DELETE', $deployment->{url}, 'GET, HEAD, OPTIONS' ],
        [ 'POST',   $deployment->{url}, 'GET, HEAD, OPTIONS' ],
        [ 'DELETE', $deployments,       'GET, HEAD, POST, OPTIONS' ],
    ) {
        my ($method, $path, $allowed) = @$case;
        my $reply = $api->request($method, $path);
        is_error $reply, 405, 20004, 'Method not allowed', "a Deployment is history: no $method";
        is $reply->header('Allow'), $allowed, 'Allow has the methods of the path';
    }
};

done_testing;
