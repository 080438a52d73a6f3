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

# Refused, and by whom: all of the answer. Afterwards it is as it was.
sub is_kept {
    my ($project, $artifact, $builds, $environments, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $is = Serverless::Project::kind_of($artifact);
    my $before = $project->fetch($artifact)->json;
    is_reply $project->delete($artifact), 409, {
        code      => 20409,
        message   => "Cannot delete $is->{name} because it's part of an active Build.",
        more_info => 'https://www.twilio.com/docs/errors/20409',
        status    => 409,
        details   => {
            builds       => [sort map { $_->{sid} } @$builds],
            environments => [sort map { $_->{sid} } @$environments],
        },
    }, $name;
    is_reply $project->fetch($artifact), 200, $before, "- and the $is->{name} is there, unchanged";
    is_reply $project->fetch($artifact->{version}), 200, $artifact->{version}, '- and so is its Version';
}

# Deleted, with its Versions.
sub is_let_go {
    my ($project, $artifact, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is_reply $project->delete($artifact), 204, '', $name;
    is $project->fetch($_)->status, 404, '- and it is gone' for $artifact, $artifact->{version};
}

# Refused because it is on these Environments; it stays as it was.
sub is_build_kept {
    my ($project, $build, $environments, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $before = $project->fetch($build)->json;
    is_reply $project->delete($build), 409, {
        code      => 20409,
        message   => 'Cannot delete Build because it\'s part of an active Deployment.',
        more_info => 'https://www.twilio.com/docs/errors/20409',
        status    => 409,
        details   => { environments => [sort map { $_->{sid} } @$environments] },
    }, $name;
    is_reply $project->fetch($build), 200, $before, '- and the Build is there, unchanged';
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

            is $project->fetch($build)->json->{status}, 'building', 'a Build that takes its time';
            is_kept $project, $kept, [$build], [], 'an artifact is kept by a Build that is building';
            is_let_go $project, $other, 'an artifact that no Build contains is deleted meanwhile';

            $hold->release($build->{sid});
            is $project->finished($build)->{status}, 'completed', 'the Build completes';
            is_let_go $project, $kept, 'completed but on no Environment, it keeps its artifact no more';
        }

        {
            my $project = new_project();
            my $hold = hold_builds($project->sid);
            my $artifact = $project->new_deployable($kind => 'two-versions');
            my $old = $artifact->{version};
            $artifact->{version} = $project->new_version(artifact => $artifact, path => '/two-versions', content => 'exports.handler = 2;');
            my $build = $project->new_build({ version => $old });
            is_kept $project, $artifact, [$build], [], 'an artifact is kept for the sake of an older Version';
        }

        {
            my $project = new_project();
            my $hold = hold_builds($project->sid);
            my @artifacts = map { $project->new_deployable($kind => $_) } qw(a b);
            my @builds = ($project->new_build(@artifacts), $project->new_build($artifacts[0]));

            is_kept $project, $artifacts[0], \@builds, [], 'two Builds keep an artifact, and both are named';
            is_kept $project, $artifacts[1], [$builds[0]], [], 'the one that does not contain it is not';

            is_reply $project->delete($builds[0]), 204, '', 'a Build that is building can be deleted';
            is $project->fetch($builds[0])->status, 404, '- and is gone';
            is_let_go $project, $artifacts[1], 'with it goes what it kept';
            is_kept $project, $artifacts[0], [$builds[1]], [], 'the other Build goes on keeping';
            is_reply $project->delete($builds[1]), 204, '', 'until it is deleted, too';
            is_let_go $project, $artifacts[0], 'no Build, no guard';
        }

        # A Build on an Environment -----------------------------------------------------------

        {
            my $project = new_project();
            my $artifact = $project->new_deployable($kind => 'deployed');
            my $build = $project->completed($artifact);
            my ($stage, $production) = map { $project->new_environment($_) } qw(stage production);

            is_deployed $project, $stage, $build, 'a Build is deployed';
            is_kept $project, $artifact, [$build], [$stage], 'an artifact is kept by a Build on an Environment';
            is_build_kept $project, $build, [$stage], 'and so is the Build';

            is_deployed $project, $production, $build, 'the same Build on a second Environment';
            is_kept $project, $artifact, [$build], [$stage, $production], 'both Environments are named, the Build once';
            is_build_kept $project, $build, [$stage, $production], 'of the Build, too';

            is_deployed $project, $stage, undef, 'the first Environment is given up';
            is_kept $project, $artifact, [$build], [$production], 'the second goes on keeping';
            is_build_kept $project, $build, [$production], 'the Build, too';

            is_deployed $project, $production, undef, 'undeployed everywhere';
            is_let_go $project, $artifact, 'the artifact can be deleted';
            is_reply $project->delete($build), 204, '', 'and the Build';
        }

        {
            my $project = new_project();
            my ($old, $new) = map { $project->new_deployable($kind => $_) } qw(old new);
            my ($before, $after) = ($project->completed($old), $project->completed($new));
            my $stage = $project->new_environment('stage');
            is_deployed $project, $stage, $before, 'a Build is deployed';
            is_kept $project, $old, [$before], [$stage], 'it keeps its artifact';

            is_deployed $project, $stage, $after, 'another Build supersedes it';
            is_kept $project, $new, [$after], [$stage], 'that one keeps its own';
            is_build_kept $project, $after, [$stage], 'and is kept';
            is_let_go $project, $old, 'what the superseded one kept can be deleted';
            is_reply $project->delete($before), 204, '', 'and the superseded Build';
            is $project->fetch($before)->status, 404, '- and it is gone';
            is_deeply [map { $_->{build_sid} } @{ $api->get($project->path_of($stage) . '/Deployments')->json->{deployments} }],
                [$after->{sid}, $before->{sid}], 'the Environment\'s history still names it';
        }

        {
            my $project = new_project();
            my $artifact = $project->new_deployable($kind => 'deployed');
            my $build = $project->completed($artifact);
            my $stage = $project->new_environment('stage');
            is_deployed $project, $stage, $build, 'a Build is deployed';
            is_kept $project, $artifact, [$build], [$stage], 'it keeps its artifact';
            is_reply $project->delete($stage), 204, '', 'its Environment is deleted';
            is_let_go $project, $artifact, 'and the artifact can be, too';
            is_reply $project->delete($build), 204, '', 'and the Build';
        }

        {
            my $project = new_project();
            my ($shared, $extra) = map { $project->new_deployable($kind => $_) } qw(shared extra);
            my $deployed = $project->completed($shared);
            my $stage = $project->new_environment('stage');
            is_deployed $project, $stage, $deployed, 'a Build is deployed';
            my $hold = hold_builds($project->sid);
            my $building = $project->new_build($shared, $extra);

            is_kept $project, $shared, [$deployed, $building], [$stage],
                'a Build on an Environment and one that is building keep the same artifact';
            is_kept $project, $extra, [$building], [], 'what only the latter contains, only the latter keeps';

            is_deployed $project, $stage, undef, 'undeployed';
            is_kept $project, $shared, [$building], [], 'the Build that is building is enough';
            is_deployed $project, $stage, $deployed, 'deployed again';
            $hold->release($building->{sid});
            is $project->finished($building)->{status}, 'completed', 'the other completes';
            is_kept $project, $shared, [$deployed], [$stage], 'the one on the Environment is enough';
            is_let_go $project, $extra, 'what only a completed Build contains can be deleted';
        }

        # A redeployment from one Build to another that shares an artifact leaves no moment,
        # and no Deployment, in which it could be deleted.
        {
            my $project = new_project();
            my $artifact = $project->new_deployable($kind => 'shared');
            my @builds = map { $project->completed($artifact) } 1 .. 2;
            my $stage = $project->new_environment('stage');
            for my $build (@builds, @builds) {
                is_deployed $project, $stage, $build, 'one Build after the other';
                is_kept $project, $artifact, [$build], [$stage], 'an artifact that both contain is kept by the current one';
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
            is_deeply rows_of($project->sid), $rows, 'refusals leave nothing behind, and take nothing away';
            is $api->get($project->path_of($artifact->{version}) . '/Content')->status, 200, 'the content is there';

            my $stranger = Serverless::Client->account;
            is $stranger->delete($project->path_of($_))->status, 404, 'whoever may not see it is told nothing of the guard'
                for $artifact, $build;
        }


        # After its artifact went -------------------------------------------------------------------

        {
            my $project = new_project();
            my ($gone, $stays) = map { $project->new_deployable($kind => $_) } qw(gone stays);
            my $build = $project->completed($gone, $stays);
            my $stage = $project->new_environment('stage');
            is_let_go $project, $gone, 'an inactive Build does not keep its artifacts';

            is_reply $project->fetch($build), 200, $build, 'the Build is read as it was, with what it contained';
            is_deeply [map { [@$_{'sid', $is->{sid}, 'path', 'visibility'}] } @{ $build->{ $is->{versions} } }],
                [map { [$_->{version}{sid}, $_->{sid}, "/$_->{friendly_name}", 'PUBLIC'] } $gone, $stays],
                '- the Version that went, too';
            is_deeply $api->get($project->path('/Builds'))->json->{builds}, [$build], '- and in the list';
            is_reply $api->get($project->path_of($build) . '/Status'), 200, {
                sid => $build->{sid}, account_sid => $api->user, service_sid => $project->sid, status => 'completed',
                url => "$build->{url}/Status",
            }, '- and its status';

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
            }, 'but it cannot be deployed, and the answer says why not';
            is_reply $project->fetch($stage), 200, $before, '- the Environment is as it was';
            is_deeply $api->get($project->path_of($stage) . '/Deployments')->json->{deployments}, [], '- without a Deployment';

            is_error $project->try_build($gone, $stays), 400, 20001,
                "Some $is->{parameter} are not Versions of $is->{list} in this Service.", 'nor built again';
            is_let_go $project, $stays, 'what a refused Deployment contained can be deleted';
            is_deeply [map { $_->{path} } @{ $project->try_deploy($stage, $build)->json->{details}{missing_versions} }],
                ['/gone', '/stays'], 'everything that is missing is named';
            is_reply $project->delete($build), 204, '', 'the Build can be deleted';
        }


        # The remedy that the API's documentation has: "create a new Build without the
        # artifact, and delete it once that Build has completed" ------------------------------

        {
            my $project = new_project();
            my ($unwanted, $wanted) = map { $project->new_deployable($kind => $_) } qw(unwanted wanted);
            my $hold = hold_builds($project->sid);
            my $old = $project->new_build($unwanted, $wanted);
            is_kept $project, $unwanted, [$old], [], 'an active Build keeps an unwanted artifact';
            $hold->release($old->{sid});
            $project->finished($old);

            my $new = $project->new_build($wanted);
            $hold->release($new->{sid});
            is $project->finished($new)->{status}, 'completed', 'a Build without it is created and completes';
            is_let_go $project, $unwanted, 'the old Build was not deployed: the artifact is deleted';
            is_deployed $project, $project->new_environment('stage'), $new, 'and the new Build is deployed without it';
        }

        {
            my $project = new_project();
            my ($unwanted, $wanted) = map { $project->new_deployable($kind => $_) } qw(unwanted wanted);
            my $old = $project->completed($unwanted, $wanted);
            my $stage = $project->new_environment('stage');
            is_deployed $project, $stage, $old, 'the old Build is deployed';

            my $new = $project->completed($wanted);
            is $new->{status}, 'completed', 'a Build without the artifact is created and completes';
            is_kept $project, $unwanted, [$old], [$stage],
                'as long as the old one is on an Environment, the artifact is kept, and the answer says where';
            is_deployed $project, $stage, $new, 'the new Build supersedes it';
            is_let_go $project, $unwanted, 'the artifact is deleted';
            is $project->fetch($stage)->json->{build_sid}, $new->{sid}, 'and the Environment has the new Build';
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
            is_deployed $project, $dev, $_, 'a Deployment of which nothing is left but history' for $superseded, undef;
            is_deployed $neighbour, $neighbour->new_environment('stage'), $neighbour->completed($theirs),
                'another Service has the same content deployed';
            my $hold = hold_builds($project->sid);
            my $building = $project->new_build(@artifacts[1, 2]);
            is_kept $project, $artifacts[1], [$build, $building],
                [grep { $_->{unique_name} ne 'dev' } @{ $api->get($project->path('/Environments'))->json->{environments} }],
                'a Service with live Deployments and a Build that is building';
            my $others = rows_of($neighbour->sid);

            is_reply $api->delete($project->path), 204, '', 'is deleted';
            is_deeply rows_of($project->sid), {}, 'and no table has a row of it';
            is $api->get($project->path($_))->status, 404, "nothing is left: $_"
                for '', "/$is->{list}", '/Builds', '/Environments';
            is_deeply rows_of($neighbour->sid), $others, 'the other Service is as it was';
            is $api->get($neighbour->path_of($theirs->{version}) . '/Content')->status, 200, 'and has its content';
        }
    };
}


# Functions and Assets in one Build ------------------------------------------------------------

{
    my $project = new_project();
    my $hold = hold_builds($project->sid);
    my ($good, $bad) = ($project->new_deployable(function => 'good'), $project->new_deployable(function => 'bad', 'const = ;'));
    my $build = $project->new_build($good, $bad);
    is_kept $project, $_, [$build], [], 'before it is known that a Build fails, it keeps its Functions'
        for $good, $bad;
    $hold->release($build->{sid});
    is $project->finished($build)->{status}, 'failed', 'the Build fails';
    is_let_go $project, $_, 'and keeps nothing any more' for $good, $bad;
}

{
    my $project = new_project();
    my $hold = hold_builds($project->sid);
    my ($function, $asset, $other) = ($project->new_deployable(function => 'both'), $project->new_deployable(asset => 'both.png'), $project->new_deployable(asset => 'other.png'));
    my $building = $project->new_build($function, $asset);
    is_kept $project, $_, [$building], [], 'a Build that is building keeps what it contains of either kind'
        for $function, $asset;
    is_let_go $project, $other, 'an Asset that it does not contain is deleted';
    $hold = undef;
    $project->finished($building);

    my $stage = $project->new_environment('stage');
    is_deployed $project, $stage, $building, 'deployed';
    is_kept $project, $_, [$building], [$stage], 'it keeps both' for $function, $asset;
    my $without = $project->completed($function);
    is_deployed $project, $stage, $without, 'superseded by one without the Asset';
    is_kept $project, $function, [$without], [$stage], 'the Function is kept by that one';
    is_let_go $project, $asset, 'the Asset is not';

    is_reply $project->try_deploy($stage, $building), 400, {
        code      => 20001,
        message   => 'Cannot deploy Build because some of its Versions have been deleted.',
        more_info => 'https://www.twilio.com/docs/errors/20001',
        status    => 400,
        details   => {
            missing_versions => [{ sid => $asset->{version}{sid}, asset_sid => $asset->{sid}, path => '/both.png' }],
        },
    }, 'the first cannot be deployed again, and the answer names the Asset';
    is_kept $project, $function, [$without], [$stage], 'which changes nothing for the Function';
    is_deployed $project, $stage, undef, 'undeployed';
    is_let_go $project, $function, 'the Function goes, too';
    is_deeply [map { [@$_{qw(path function_sid asset_sid)}] }
            @{ $project->try_deploy($stage, $building)->json->{details}{missing_versions} }],
        [['/both', $function->{sid}, undef], ['/both.png', undef, $asset->{sid}]], 'then both are named, each as what it is';
}

# The bytes are one, what keeps them is two.
{
    my $project = new_project();
    my ($function, $asset) = ($project->new_deployable(function => 'f', 'same;'), $project->new_deployable(asset => 'a', 'same;'));
    my $stage = $project->new_environment('stage');
    is_deployed $project, $stage, $project->completed($asset), 'an Asset is deployed that has the bytes of a Function';
    is_let_go $project, $function, 'the Function is not kept by that';
    is $api->get($project->path_of($asset->{version}) . '/Content')->body, 'same;', 'the bytes are, for the Asset';
    my $again = $project->new_deployable(function => 'f', 'same;');
    is_deployed $project, $stage, $project->completed($again), 'and the other way round';
    is_let_go $project, $asset, 'the Asset is not kept by a Function of its bytes';
    is $api->get($project->path_of($again->{version}) . '/Content')->json->{content}, 'same;', 'and the bytes are';
}


is_deeply inconsistencies(), [], 'the database is as it should be';
unlike error_log(), qr/SF0003/, 'and had nothing to complain about';

done_testing;
