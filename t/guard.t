# The guard, through the API: a Function or an Asset cannot be deleted while an active Build
# contains one of its Versions. A Build is active while it is `building`, and while it is the one on
# an Environment.
use strict;
use warnings FATAL => 'all';

use Apache::Test qw(-withtestmore);
use Serverless::Consistency;
use Serverless::Database;
use Serverless::Project;
use Serverless::Test;
use Test::More;

my $api = Serverless::Client->account;

my $unique = 0;
sub new_project { Serverless::Project->new($api, sprintf 'guard-%d', ++$unique) }

# The delete is refused, the whole answer names the Builds and Environments, and nothing changes.
sub is_protected {
    my ($project, $artifact, $builds, $environments, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $is = Serverless::Project::kind_of($artifact);
    my $before = $project->fetch($artifact)->json;
    my $refusal = $project->delete($artifact);
    is_reply $refusal, 409, {
        code      => 20409,
        message   => "Cannot delete $is->{name} because it's part of an active Build.",
        more_info => 'https://www.twilio.com/docs/errors/20409',
        status    => 409,
        details   => {
            builds       => [sort map { $_->{sid} } @$builds],
            environments => [sort map { $_->{sid} } @$environments],
        },
    }, $name;
    my ($build_sids, $environment_sids) = map { join ',', map { qq("$_") } sort map { $_->{sid} } @$_ } $builds, $environments;
    is $refusal->body, qq({"code":20409,"message":"Cannot delete $is->{name} because it's part of an active Build.",)
        . '"more_info":"https://www.twilio.com/docs/errors/20409","status":409,'
        . qq("details":{"builds":[$build_sids],"environments":[$environment_sids]}}), "$name: byte for byte";
    is_reply $project->fetch($artifact), 200, $before, "$name: the $is->{name} is unchanged";
    is_reply $project->fetch($artifact->{version}), 200, $artifact->{version}, "$name: its Version is unchanged";
}

# Deleted, with its Versions.
sub is_deleted {
    my ($project, $artifact, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is_reply $project->delete($artifact), 204, '', $name;
    is $project->fetch($_)->status, 404, "$name: $_->{sid} is not found" for $artifact, $artifact->{version};
}

# Refused because it is on these Environments; it stays as it was.
sub is_build_protected {
    my ($project, $build, $environments, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $before = $project->fetch($build)->json;
    my $refusal = $project->delete($build);
    is_reply $refusal, 409, {
        code      => 20409,
        message   => 'Cannot delete Build because it\'s part of an active Deployment.',
        more_info => 'https://www.twilio.com/docs/errors/20409',
        status    => 409,
        details   => { environments => [sort map { $_->{sid} } @$environments] },
    }, $name;
    my $sids = join ',', map { qq("$_") } sort map { $_->{sid} } @$environments;
    like $refusal->body, qr/,"status":409,"details":\{"environments":\[\Q$sids\E\]\}\}\z/, "$name: without white space";
    is_reply $project->fetch($build), 200, $before, "$name: the Build is unchanged";
}

sub is_deployed {
    my ($project, $environment, $build, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is $project->try_deploy($environment, $build)->status, 201, $name;
}


for my $kind (qw(function asset)) {
    my $is = Serverless::Project::kind($kind);
    subtest "$is->{list} that an active Build contains cannot be deleted" => sub {

        # A Build that is building ---------------------------------------------------------

        {
            my $project = new_project();
            my $hold = hold_builds($project->sid);
            my ($kept, $other) = map { $project->new_deployable($kind => $_) } qw(kept other);
            my $build = $project->new_build($kept);

            is $project->fetch($build)->json->{status}, 'building', 'a Build is building';
            is_protected $project, $kept, [$build], [], "the $is->{name} of a Build that is building cannot be deleted";
            is_deleted $project, $other, "the $is->{name} that no Build contains can be deleted";

            $hold->release($build->{sid});
            is $project->finished($build)->{status}, 'completed', 'the Build completes';
            is_deleted $project, $kept, "the $is->{name} of a completed Build that is not deployed can be deleted";
        }

        {
            my $project = new_project();
            my $hold = hold_builds($project->sid);
            my $artifact = $project->new_deployable($kind => 'two-versions');
            my $old = $artifact->{version};
            $artifact->{version} = $project->new_version(artifact => $artifact, path => '/two-versions', content => 'exports.handler = 2;');
            my $build = $project->new_build({ version => $old });
            is_protected $project, $artifact, [$build], [],
                "the $is->{name} cannot be deleted while a Build contains an older Version of it";
        }

        {
            my $project = new_project();
            my $hold = hold_builds($project->sid);
            my @artifacts = map { $project->new_deployable($kind => $_) } qw(a b);
            my @builds = ($project->new_build(@artifacts), $project->new_build($artifacts[0]));

            is_protected $project, $artifacts[0], \@builds, [],
                "the $is->{name} of two Builds that are building cannot be deleted, and the answer names both";
            is_protected $project, $artifacts[1], [$builds[0]], [],
                "the answer does not name a Build that does not contain the $is->{name}";

            is_reply $project->delete($builds[0]), 204, '', 'a Build that is building can be deleted';
            is $project->fetch($builds[0])->status, 404, 'the deleted Build is not found';
            is_deleted $project, $artifacts[1], "the $is->{name} of the deleted Build can be deleted";
            is_protected $project, $artifacts[0], [$builds[1]], [],
                "the $is->{name} of the remaining Build cannot be deleted";
            is_reply $project->delete($builds[1]), 204, '', 'the remaining Build can be deleted';
            is_deleted $project, $artifacts[0], "the $is->{name} of no remaining Build can be deleted";
        }

        # A Build on an Environment -----------------------------------------------------------

        {
            my $project = new_project();
            my $artifact = $project->new_deployable($kind => 'deployed');
            my $build = $project->completed($artifact);
            my ($stage, $production) = map { $project->new_environment($_) } qw(stage production);

            is_deployed $project, $stage, $build, 'a Build is deployed';
            is_protected $project, $artifact, [$build], [$stage], "the $is->{name} of a deployed Build cannot be deleted";
            is_build_protected $project, $build, [$stage], 'a deployed Build cannot be deleted';

            is_deployed $project, $production, $build, 'the Build is deployed to a second Environment';
            is_protected $project, $artifact, [$build], [$stage, $production],
                "the answer to the $is->{name}'s delete names both Environments, and the Build once";
            is_build_protected $project, $build, [$stage, $production],
                "the answer to the Build's delete names both Environments";

            is_deployed $project, $stage, undef, 'the Build is removed from the first Environment';
            is_protected $project, $artifact, [$build], [$production],
                "the $is->{name} cannot be deleted while the Build is on the second Environment";
            is_build_protected $project, $build, [$production],
                'the Build cannot be deleted while it is on the second Environment';

            is_deployed $project, $production, undef, 'the Build is removed from the second Environment';
            is_deleted $project, $artifact, "the $is->{name} of a Build on no Environment can be deleted";
            is_reply $project->delete($build), 204, '', 'a Build on no Environment can be deleted';
        }

        {
            my $project = new_project();
            my ($old, $new) = map { $project->new_deployable($kind => $_) } qw(old new);
            my ($before, $after) = ($project->completed($old), $project->completed($new));
            my $stage = $project->new_environment('stage');
            is_deployed $project, $stage, $before, 'a Build is deployed';
            is_protected $project, $old, [$before], [$stage], "the $is->{name} of the deployed Build cannot be deleted";

            is_deployed $project, $stage, $after, 'another Build is deployed in its place';
            is_protected $project, $new, [$after], [$stage], "the $is->{name} of the new Build cannot be deleted";
            is_build_protected $project, $after, [$stage], 'the new Build cannot be deleted';
            is_deleted $project, $old, "the $is->{name} of the superseded Build can be deleted";
            is_reply $project->delete($before), 204, '', 'the superseded Build can be deleted';
            is $project->fetch($before)->status, 404, 'the superseded Build is not found';
            is_deeply [map { $_->{build_sid} } @{ $api->get($project->path_of($stage) . '/Deployments')->json->{deployments} }],
                [$after->{sid}, $before->{sid}], "the Environment's Deployments still name the superseded Build";
        }

        {
            my $project = new_project();
            my $artifact = $project->new_deployable($kind => 'deployed');
            my $build = $project->completed($artifact);
            my $stage = $project->new_environment('stage');
            is_deployed $project, $stage, $build, 'a Build is deployed';
            is_protected $project, $artifact, [$build], [$stage], "the $is->{name} of the deployed Build cannot be deleted";
            is_reply $project->delete($stage), 204, '', 'the Environment of the Build is deleted';
            is_deleted $project, $artifact, "the $is->{name} of a Build whose Environment was deleted can be deleted";
            is_reply $project->delete($build), 204, '', 'a Build whose Environment was deleted can be deleted';
        }

        {
            my $project = new_project();
            my ($shared, $extra) = map { $project->new_deployable($kind => $_) } qw(shared extra);
            my $deployed = $project->completed($shared);
            my $stage = $project->new_environment('stage');
            is_deployed $project, $stage, $deployed, 'a Build is deployed';
            my $hold = hold_builds($project->sid);
            my $building = $project->new_build($shared, $extra);

            is_protected $project, $shared, [$deployed, $building], [$stage],
                "the $is->{name} of a deployed Build and of one that is building cannot be deleted";
            is_protected $project, $extra, [$building], [], "the answer names only the Build that contains the $is->{name}";

            is_deployed $project, $stage, undef, 'the deployed Build is removed from its Environment';
            is_protected $project, $shared, [$building], [], "the $is->{name} cannot be deleted while one Build is building";
            is_deployed $project, $stage, $deployed, 'the Build is deployed again';
            $hold->release($building->{sid});
            is $project->finished($building)->{status}, 'completed', 'the other Build completes';
            is_protected $project, $shared, [$deployed], [$stage],
                "the $is->{name} cannot be deleted while one Build is deployed";
            is_deleted $project, $extra, "the $is->{name} that only a completed Build contains can be deleted";
        }

        # A redeployment from one Build to another that shares an artifact leaves no moment,
        # and no Deployment, in which it could be deleted.
        {
            my $project = new_project();
            my $artifact = $project->new_deployable($kind => 'shared');
            my @builds = map { $project->completed($artifact) } 1 .. 2;
            my $stage = $project->new_environment('stage');
            for my $build (@builds, @builds) {
                is_deployed $project, $stage, $build, 'a Build is deployed in place of the other';
                is_protected $project, $artifact, [$build], [$stage],
                    "the $is->{name} of both Builds cannot be deleted, and the answer names the deployed one";
            }
        }


        # What a refusal leaves ------------------------------------------------------------------

        {
            my $project = new_project();
            my $artifact = $project->new_deployable($kind => 'refused');
            my $build = $project->completed($artifact);
            my $stage = $project->new_environment('stage');
            is_deployed $project, $stage, $build, 'a Build is deployed';
            my $rows = rows_of($project->sid);
            $project->delete($artifact) for 1 .. 5;
            $project->delete($build) for 1 .. 5;
            is_deeply rows_of($project->sid), $rows, 'refused deletions change the number of rows in no table';
            is $api->get($project->path_of($artifact->{version}) . '/Content')->status, 200,
                "the content of the $is->{name} is still answered";

            my $stranger = Serverless::Client->account;
            is $stranger->delete($project->path_of($_))->status, 404, 'another account is answered 404, not 409'
                for $artifact, $build;
        }


        # After its artifact went -------------------------------------------------------------------

        {
            my $project = new_project();
            my ($gone, $stays) = map { $project->new_deployable($kind => $_) } qw(gone stays);
            my $build = $project->completed($gone, $stays);
            my $stage = $project->new_environment('stage');
            is_deleted $project, $gone, "the $is->{name} of a Build that is not active can be deleted";

            is_reply $project->fetch($build), 200, $build, "a Build with a deleted $is->{name} is fetched unchanged";
            is_deeply [map { [@$_{'sid', $is->{sid}, 'path', 'visibility'}] } @{ $build->{ $is->{versions} } }],
                [map { [$_->{version}{sid}, $_->{sid}, "/$_->{friendly_name}", 'PUBLIC'] } $gone, $stays],
                "a Build with a deleted $is->{name} still lists its Version";
            is_deeply $api->get($project->path('/Builds'))->json->{builds}, [$build],
                "a Build with a deleted $is->{name} is listed unchanged";
            is_reply $api->get($project->path_of($build) . '/Status'), 200, {
                sid => $build->{sid}, account_sid => $api->user, service_sid => $project->sid, status => 'completed',
                url => "$build->{url}/Status",
            }, "a Build with a deleted $is->{name} has its status unchanged";

            my $before = $project->fetch($stage)->json;
            is_reply $project->try_deploy($stage, $build), 400, {
                code      => 20001,
                message   => 'Cannot deploy Build because some of its Versions have been deleted.',
                more_info => 'https://www.twilio.com/docs/errors/20001',
                status    => 400,
                details   => {
                    missing_versions => [
                        { sid => $gone->{version}{sid}, $is->{sid} => $gone->{sid}, path => '/gone' },
                    ],
                },
            }, "a Build with a deleted $is->{name} cannot be deployed, and the answer names the Version";
            is_reply $project->fetch($stage), 200, $before, 'the refused Deployment leaves the Environment unchanged';
            is_deeply $api->get($project->path_of($stage) . '/Deployments')->json->{deployments}, [],
                'the refused Deployment is not listed';

            is_error $project->try_build($gone, $stays), 400, 20001,
                "Some $is->{parameter} are not Versions of $is->{list} in this Service.",
                    "a new Build of a deleted $is->{name} is refused";
            is_deleted $project, $stays, "the $is->{name} of a Build whose Deployment was refused can be deleted";
            is_deeply [map { $_->{path} } @{ $project->try_deploy($stage, $build)->json->{details}{missing_versions} }],
                ['/gone', '/stays'], 'the answer to a Deployment names every missing Version';
            is_reply $project->delete($build), 204, '', 'a Build without any of its Versions can be deleted';
        }


        # The remedy that the API's documentation has: "create a new Build without the
        # artifact, and delete it once that Build has completed" ------------------------------

        {
            my $project = new_project();
            my ($unwanted, $wanted) = map { $project->new_deployable($kind => $_) } qw(unwanted wanted);
            my $hold = hold_builds($project->sid);
            my $old = $project->new_build($unwanted, $wanted);
            is_protected $project, $unwanted, [$old], [], "an unwanted $is->{name} of an active Build cannot be deleted";
            $hold->release($old->{sid});
            $project->finished($old);

            my $new = $project->new_build($wanted);
            $hold->release($new->{sid});
            is $project->finished($new)->{status}, 'completed',
                "a new Build without the unwanted $is->{name} completes";
            is_deleted $project, $unwanted, "the unwanted $is->{name} can be deleted, as the old Build was not deployed";
            is_deployed $project, $project->new_environment('stage'), $new, 'the new Build is deployed';
        }

        {
            my $project = new_project();
            my ($unwanted, $wanted) = map { $project->new_deployable($kind => $_) } qw(unwanted wanted);
            my $old = $project->completed($unwanted, $wanted);
            my $stage = $project->new_environment('stage');
            is_deployed $project, $stage, $old, 'the old Build is deployed';

            my $new = $project->completed($wanted);
            is $new->{status}, 'completed', "a new Build without the unwanted $is->{name} completes";
            is_protected $project, $unwanted, [$old], [$stage],
                "the unwanted $is->{name} cannot be deleted while the old Build is deployed";
            is_deployed $project, $stage, $new, 'the new Build is deployed in place of the old one';
            is_deleted $project, $unwanted, "the unwanted $is->{name} can be deleted";
            is $project->fetch($stage)->json->{build_sid}, $new->{sid}, 'the Environment has the new Build';
        }


        # A Service takes everything along ---------------------------------------------------------

        {
            my $project = new_project();
            my $neighbour = new_project();
            my @artifacts = map { $project->new_deployable($kind => $_) } qw(a b c);
            my $theirs = $neighbour->new_deployable($kind => 'a');
            my $build = $project->completed(@artifacts);
            my $superseded = $project->completed($artifacts[0]);
            is_deployed $project, $project->new_environment($_), $build, "deployed on $_" for qw(stage production);
            my $dev = $project->new_environment('dev');
            is_deployed $project, $dev, $_, 'a Deployment that is superseded' for $superseded, undef;
            is_deployed $neighbour, $neighbour->new_environment('stage'), $neighbour->completed($theirs),
                'another Service has the same content deployed';
            my $hold = hold_builds($project->sid);
            my $building = $project->new_build(@artifacts[1, 2]);
            is_protected $project, $artifacts[1], [$build, $building],
                [grep { $_->{unique_name} ne 'dev' } @{ $api->get($project->path('/Environments'))->json->{environments} }],
                "the $is->{name} of two deployed Environments and a Build that is building cannot be deleted";
            my $others = rows_of($neighbour->sid);

            is_reply $api->delete($project->path), 204, '',
                'a Service with Deployments and a Build that is building can be deleted';
            is_deeply rows_of($project->sid), {}, 'no table has a row of the deleted Service';
            is $api->get($project->path($_))->status, 404, "a path of the deleted Service is not found: $_"
                for '', "/$is->{list}", '/Builds', '/Environments';
            is_deeply rows_of($neighbour->sid), $others, 'the rows of another Service are unchanged';
            is $api->get($neighbour->path_of($theirs->{version}) . '/Content')->status, 200,
                'the content of another Service is still answered';
        }
    };
}


# Functions and Assets in one Build ------------------------------------------------------------

{
    my $project = new_project();
    my $hold = hold_builds($project->sid);
    my ($good, $bad) = ($project->new_deployable(function => 'good'), $project->new_deployable(function => 'bad', 'const = ;'));
    my $build = $project->new_build($good, $bad);
    is_protected $project, $_, [$build], [],
        'the Functions of a Build that is going to fail cannot be deleted while it is building'
        for $good, $bad;
    $hold->release($build->{sid});
    is $project->finished($build)->{status}, 'failed', 'a Build of a Function that does not compile fails';
    is_deleted $project, $_, 'the Functions of a failed Build can be deleted' for $good, $bad;
}

{
    my $project = new_project();
    my $hold = hold_builds($project->sid);
    my ($function, $asset, $other) = ($project->new_deployable(function => 'both'), $project->new_deployable(asset => 'both.png'), $project->new_deployable(asset => 'other.png'));
    my $building = $project->new_build($function, $asset);
    is_protected $project, $_, [$building], [],
        'neither the Function nor the Asset of a Build that is building can be deleted'
        for $function, $asset;
    is_deleted $project, $other, 'an Asset that the Build does not contain can be deleted';
    $hold = undef;
    $project->finished($building);

    my $stage = $project->new_environment('stage');
    is_deployed $project, $stage, $building, 'the Build of a Function and an Asset is deployed';
    is_protected $project, $_, [$building], [$stage],
        'neither the Function nor the Asset of the deployed Build can be deleted' for $function, $asset;
    my $without = $project->completed($function);
    is_deployed $project, $stage, $without, 'a Build without the Asset is deployed in its place';
    is_protected $project, $function, [$without], [$stage], 'the Function of the new Build cannot be deleted';
    is_deleted $project, $asset, 'the Asset of the superseded Build can be deleted';

    is_reply $project->try_deploy($stage, $building), 400, {
        code      => 20001,
        message   => 'Cannot deploy Build because some of its Versions have been deleted.',
        more_info => 'https://www.twilio.com/docs/errors/20001',
        status    => 400,
        details   => {
            missing_versions => [{ sid => $asset->{version}{sid}, asset_sid => $asset->{sid}, path => '/both.png' }],
        },
    }, 'the superseded Build cannot be deployed again, and the answer names the Asset';
    is_protected $project, $function, [$without], [$stage],
        'after the refused Deployment, the Function still cannot be deleted';
    is_deployed $project, $stage, undef, 'the new Build is removed from the Environment';
    is_deleted $project, $function, 'the Function of a Build on no Environment can be deleted';
    is_deeply [map { [@$_{qw(path function_sid asset_sid)}] }
            @{ $project->try_deploy($stage, $building)->json->{details}{missing_versions} }],
        [['/both', $function->{sid}, undef], ['/both.png', undef, $asset->{sid}]],
            'the answer to a Deployment names the missing Function and the missing Asset';
}

# A Function and an Asset share stored bytes, but not the guard.
{
    my $project = new_project();
    my ($function, $asset) = ($project->new_deployable(function => 'f', 'same;'), $project->new_deployable(asset => 'a', 'same;'));
    my $stage = $project->new_environment('stage');
    is_deployed $project, $stage, $project->completed($asset), 'an Asset with the same bytes as a Function is deployed';
    is_deleted $project, $function, 'the Function with the same bytes can be deleted';
    is $api->get($project->path_of($asset->{version}) . '/Content')->body, 'same;',
        'the Asset with the same bytes still has its content';
    my $again = $project->new_deployable(function => 'f', 'same;');
    is_deployed $project, $stage, $project->completed($again), 'a Function with the same bytes as an Asset is deployed';
    is_deleted $project, $asset, 'the Asset with the same bytes can be deleted';
    is $api->get($project->path_of($again->{version}) . '/Content')->json->{content}, 'same;',
        'the Function with the same bytes still has its content';
}


is_deeply inconsistencies(), [], 'the database is consistent after this suite';
unlike error_log(), qr/SF0003/, 'the error log has no failed statement';

done_testing;
