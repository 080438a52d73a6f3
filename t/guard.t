# The promise: a Function or an Asset stays as long as an active Build needs one of
# its Versions. A Build is active while it is `building`, and while it is the one on
# an Environment.
use strict;
use warnings FATAL => 'all';

use Apache::Test qw(-withtestmore);
use Serverless::Consistency;
use Serverless::Database;
use Serverless::Project;
use Serverless::Test;
use Serverless::Workshop;
use Test::More;

my $api = Serverless::Test->account;

my $unique = 0;
sub workshop { Serverless::Workshop->new($api, sprintf 'guard-%d', ++$unique) }

# Refused, and by whom: all of the answer. Afterwards it is as it was.
sub is_kept {
    my ($shop, $artifact, $builds, $environments, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $is = Serverless::Project::kind_of($artifact);
    my $before = $shop->fetch($artifact)->json;
    is_reply $shop->delete($artifact), 409, {
        code      => 20409,
        message   => "Cannot delete $is->{name} because it's part of an active Build.",
        more_info => 'https://www.twilio.com/docs/errors/20409',
        status    => 409,
        details   => {
            builds       => [sort map { $_->{sid} } @$builds],
            environments => [sort map { $_->{sid} } @$environments],
        },
    }, $name;
    is_reply $shop->fetch($artifact), 200, $before, "- and the $is->{name} is there, unchanged";
    is_reply $shop->fetch($artifact->{version}), 200, $artifact->{version}, '- and so is its Version';
}

# Deleted, with its Versions.
sub is_let_go {
    my ($shop, $artifact, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is_reply $shop->delete($artifact), 204, '', $name;
    is $shop->fetch($_)->status, 404, '- and it is gone' for $artifact, $artifact->{version};
}

# Refused because it is on these Environments; it stays as it was.
sub is_build_kept {
    my ($shop, $build, $environments, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $before = $shop->fetch($build)->json;
    is_reply $shop->delete($build), 409, {
        code      => 20409,
        message   => 'Cannot delete Build because it\'s part of an active Deployment.',
        more_info => 'https://www.twilio.com/docs/errors/20409',
        status    => 409,
        details   => { environments => [sort map { $_->{sid} } @$environments] },
    }, $name;
    is_reply $shop->fetch($build), 200, $before, '- and the Build is there, unchanged';
}

sub is_deployed {
    my ($shop, $environment, $build, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is $shop->deploy($environment, $build)->status, 201, $name;
}


for my $kind (qw(function asset)) {
    my $is = Serverless::Project::kind($kind);
    subtest $is->{list} => sub {

        # A Build that is building ---------------------------------------------------------

        {
            my $shop = workshop();
            my $hold = hold_builds($shop->sid);
            my ($kept, $other) = map { $shop->$kind($_) } qw(kept other);
            my $build = $shop->build($kept);

            is $shop->fetch($build)->json->{status}, 'building', 'a Build that takes its time';
            is_kept $shop, $kept, [$build], [], 'an artifact is kept by a Build that is building';
            is_let_go $shop, $other, 'an artifact that no Build contains is deleted meanwhile';

            $hold->release($build->{sid});
            is $shop->finished($build)->{status}, 'completed', 'the Build completes';
            is_let_go $shop, $kept, 'completed but on no Environment, it keeps its artifact no more';
        }

        {
            my $shop = workshop();
            my $hold = hold_builds($shop->sid);
            my $artifact = $shop->$kind('two-versions');
            my $old = $artifact->{version};
            $artifact->{version} = $shop->upload($artifact, 'exports.handler = 2;')->json;
            my $build = $shop->build({ version => $old });
            is_kept $shop, $artifact, [$build], [], 'an artifact is kept for the sake of an older Version';
        }

        {
            my $shop = workshop();
            my $hold = hold_builds($shop->sid);
            my @artifacts = map { $shop->$kind($_) } qw(a b);
            my @builds = ($shop->build(@artifacts), $shop->build($artifacts[0]));

            is_kept $shop, $artifacts[0], \@builds, [], 'two Builds keep an artifact, and both are named';
            is_kept $shop, $artifacts[1], [$builds[0]], [], 'the one that does not contain it is not';

            is_reply $shop->delete($builds[0]), 204, '', 'a Build that is building can be deleted';
            is $shop->fetch($builds[0])->status, 404, '- and is gone';
            is_let_go $shop, $artifacts[1], 'with it goes what it kept';
            is_kept $shop, $artifacts[0], [$builds[1]], [], 'the other Build goes on keeping';
            is_reply $shop->delete($builds[1]), 204, '', 'until it is deleted, too';
            is_let_go $shop, $artifacts[0], 'no Build, no guard';
        }

        # A Build on an Environment -----------------------------------------------------------

        {
            my $shop = workshop();
            my $artifact = $shop->$kind('deployed');
            my $build = $shop->completed($artifact);
            my ($stage, $production) = map { $shop->environment($_) } qw(stage production);

            is_deployed $shop, $stage, $build, 'a Build is deployed';
            is_kept $shop, $artifact, [$build], [$stage], 'an artifact is kept by a Build on an Environment';
            is_build_kept $shop, $build, [$stage], 'and so is the Build';

            is_deployed $shop, $production, $build, 'the same Build on a second Environment';
            is_kept $shop, $artifact, [$build], [$stage, $production], 'both Environments are named, the Build once';
            is_build_kept $shop, $build, [$stage, $production], 'of the Build, too';

            is_deployed $shop, $stage, undef, 'the first Environment is given up';
            is_kept $shop, $artifact, [$build], [$production], 'the second goes on keeping';
            is_build_kept $shop, $build, [$production], 'the Build, too';

            is_deployed $shop, $production, undef, 'undeployed everywhere';
            is_let_go $shop, $artifact, 'the artifact can be deleted';
            is_reply $shop->delete($build), 204, '', 'and the Build';
        }

        {
            my $shop = workshop();
            my ($old, $new) = map { $shop->$kind($_) } qw(old new);
            my ($before, $after) = ($shop->completed($old), $shop->completed($new));
            my $stage = $shop->environment('stage');
            is_deployed $shop, $stage, $before, 'a Build is deployed';
            is_kept $shop, $old, [$before], [$stage], 'it keeps its artifact';

            is_deployed $shop, $stage, $after, 'another Build supersedes it';
            is_kept $shop, $new, [$after], [$stage], 'that one keeps its own';
            is_build_kept $shop, $after, [$stage], 'and is kept';
            is_let_go $shop, $old, 'what the superseded one kept can be deleted';
            is_reply $shop->delete($before), 204, '', 'and the superseded Build';
            is $shop->fetch($before)->status, 404, '- and it is gone';
            is_deeply [map { $_->{build_sid} } @{ $api->get($shop->path_of($stage) . '/Deployments')->json->{deployments} }],
                [$after->{sid}, $before->{sid}], 'the Environment\'s history still names it';
        }

        {
            my $shop = workshop();
            my $artifact = $shop->$kind('deployed');
            my $build = $shop->completed($artifact);
            my $stage = $shop->environment('stage');
            is_deployed $shop, $stage, $build, 'a Build is deployed';
            is_kept $shop, $artifact, [$build], [$stage], 'it keeps its artifact';
            is_reply $shop->delete($stage), 204, '', 'its Environment is deleted';
            is_let_go $shop, $artifact, 'and the artifact can be, too';
            is_reply $shop->delete($build), 204, '', 'and the Build';
        }

        {
            my $shop = workshop();
            my ($shared, $extra) = map { $shop->$kind($_) } qw(shared extra);
            my $deployed = $shop->completed($shared);
            my $stage = $shop->environment('stage');
            is_deployed $shop, $stage, $deployed, 'a Build is deployed';
            my $hold = hold_builds($shop->sid);
            my $building = $shop->build($shared, $extra);

            is_kept $shop, $shared, [$deployed, $building], [$stage],
                'a Build on an Environment and one that is building keep the same artifact';
            is_kept $shop, $extra, [$building], [], 'what only the latter contains, only the latter keeps';

            is_deployed $shop, $stage, undef, 'undeployed';
            is_kept $shop, $shared, [$building], [], 'the Build that is building is enough';
            is_deployed $shop, $stage, $deployed, 'deployed again';
            $hold->release($building->{sid});
            is $shop->finished($building)->{status}, 'completed', 'the other completes';
            is_kept $shop, $shared, [$deployed], [$stage], 'the one on the Environment is enough';
            is_let_go $shop, $extra, 'what only a completed Build contains can be deleted';
        }

        # A redeployment from one Build to another that shares an artifact leaves no moment,
        # and no Deployment, in which it could be deleted.
        {
            my $shop = workshop();
            my $artifact = $shop->$kind('shared');
            my @builds = map { $shop->completed($artifact) } 1 .. 2;
            my $stage = $shop->environment('stage');
            for my $build (@builds, @builds) {
                is_deployed $shop, $stage, $build, 'one Build after the other';
                is_kept $shop, $artifact, [$build], [$stage], 'an artifact that both contain is kept by the current one';
            }
        }


        # What a refusal leaves ------------------------------------------------------------------

        {
            my $shop = workshop();
            my $artifact = $shop->$kind('refused');
            my $build = $shop->completed($artifact);
            my $stage = $shop->environment('stage');
            is_deployed $shop, $stage, $build, 'a Build is deployed';
            my $rows = rows_of($shop->sid);
            $shop->delete($artifact) for 1 .. 5;
            $shop->delete($build) for 1 .. 5;
            is_deeply rows_of($shop->sid), $rows, 'refusals leave nothing behind, and take nothing away';
            is $api->get($shop->path_of($artifact->{version}) . '/Content')->status, 200, 'the content is there';

            my $stranger = Serverless::Test->account;
            is $stranger->delete($shop->path_of($_))->status, 404, 'whoever may not see it is told nothing of the guard'
                for $artifact, $build;
        }


        # After its artifact went -------------------------------------------------------------------

        {
            my $shop = workshop();
            my ($gone, $stays) = map { $shop->$kind($_) } qw(gone stays);
            my $build = $shop->completed($gone, $stays);
            my $stage = $shop->environment('stage');
            is_let_go $shop, $gone, 'an inactive Build does not keep its artifacts';

            is_reply $shop->fetch($build), 200, $build, 'the Build is read as it was, with what it contained';
            is_deeply [map { [@$_{'sid', $is->{sid}, 'path', 'visibility'}] } @{ $build->{ $is->{versions} } }],
                [map { [$_->{version}{sid}, $_->{sid}, "/$_->{friendly_name}", 'PUBLIC'] } $gone, $stays],
                '- the Version that went, too';
            is_deeply $api->get($shop->path('/Builds'))->json->{builds}, [$build], '- and in the list';
            is_reply $api->get($shop->path_of($build) . '/Status'), 200, {
                sid => $build->{sid}, account_sid => $api->user, service_sid => $shop->sid, status => 'completed',
                url => "$build->{url}/Status",
            }, '- and its status';

            my $before = $shop->fetch($stage)->json;
            is_reply $shop->deploy($stage, $build), 400, {
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
            is_reply $shop->fetch($stage), 200, $before, '- the Environment is as it was';
            is_deeply $api->get($shop->path_of($stage) . '/Deployments')->json->{deployments}, [], '- without a Deployment';

            is_error $shop->try_build($gone, $stays), 400, 20001,
                "Some $is->{parameter} are not Versions of $is->{list} in this Service.", 'nor built again';
            is_let_go $shop, $stays, 'what a refused Deployment contained can be deleted';
            is_deeply [map { $_->{path} } @{ $shop->deploy($stage, $build)->json->{details}{missing_versions} }],
                ['/gone', '/stays'], 'everything that is missing is named';
            is_reply $shop->delete($build), 204, '', 'the Build can be deleted';
        }


        # The remedy that the API's documentation has: "create a new Build without the
        # artifact, and delete it once that Build has completed" ------------------------------

        {
            my $shop = workshop();
            my ($unwanted, $wanted) = map { $shop->$kind($_) } qw(unwanted wanted);
            my $hold = hold_builds($shop->sid);
            my $old = $shop->build($unwanted, $wanted);
            is_kept $shop, $unwanted, [$old], [], 'an active Build keeps an unwanted artifact';
            $hold->release($old->{sid});
            $shop->finished($old);

            my $new = $shop->build($wanted);
            $hold->release($new->{sid});
            is $shop->finished($new)->{status}, 'completed', 'a Build without it is created and completes';
            is_let_go $shop, $unwanted, 'the old Build was not deployed: the artifact is deleted';
            is_deployed $shop, $shop->environment('stage'), $new, 'and the new Build is deployed without it';
        }

        {
            my $shop = workshop();
            my ($unwanted, $wanted) = map { $shop->$kind($_) } qw(unwanted wanted);
            my $old = $shop->completed($unwanted, $wanted);
            my $stage = $shop->environment('stage');
            is_deployed $shop, $stage, $old, 'the old Build is deployed';

            my $new = $shop->completed($wanted);
            is $new->{status}, 'completed', 'a Build without the artifact is created and completes';
            is_kept $shop, $unwanted, [$old], [$stage],
                'as long as the old one is on an Environment, the artifact is kept, and the answer says where';
            is_deployed $shop, $stage, $new, 'the new Build supersedes it';
            is_let_go $shop, $unwanted, 'the artifact is deleted';
            is $shop->fetch($stage)->json->{build_sid}, $new->{sid}, 'and the Environment has the new Build';
        }


        # A Service takes everything along ---------------------------------------------------------

        {
            my $shop = workshop();
            my $neighbour = workshop();
            my @artifacts = map { $shop->$kind($_) } qw(a b c);
            my $theirs = $neighbour->$kind('a');
            my $build = $shop->completed(@artifacts);
            my $superseded = $shop->completed($artifacts[0]);
            is_deployed $shop, $shop->environment($_), $build, "deployed on $_" for qw(stage production);
            my $dev = $shop->environment('dev');
            is_deployed $shop, $dev, $_, 'a Deployment of which nothing is left but history' for $superseded, undef;
            is_deployed $neighbour, $neighbour->environment('stage'), $neighbour->completed($theirs),
                'another Service has the same content deployed';
            my $hold = hold_builds($shop->sid);
            my $building = $shop->build(@artifacts[1, 2]);
            is_kept $shop, $artifacts[1], [$build, $building],
                [grep { $_->{unique_name} ne 'dev' } @{ $api->get($shop->path('/Environments'))->json->{environments} }],
                'a Service with live Deployments and a Build that is building';
            my $others = rows_of($neighbour->sid);

            is_reply $api->delete($shop->path), 204, '', 'is deleted';
            is_deeply rows_of($shop->sid), {}, 'and no table has a row of it';
            is $api->get($shop->path($_))->status, 404, "nothing is left: $_"
                for '', "/$is->{list}", '/Builds', '/Environments';
            is_deeply rows_of($neighbour->sid), $others, 'the other Service is as it was';
            is $api->get($neighbour->path_of($theirs->{version}) . '/Content')->status, 200, 'and has its content';
        }
    };
}


# Functions and Assets in one Build ------------------------------------------------------------

{
    my $shop = workshop();
    my $hold = hold_builds($shop->sid);
    my ($good, $bad) = ($shop->function('good'), $shop->function('bad', 'const = ;'));
    my $build = $shop->build($good, $bad);
    is_kept $shop, $_, [$build], [], 'before it is known that a Build fails, it keeps its Functions'
        for $good, $bad;
    $hold->release($build->{sid});
    is $shop->finished($build)->{status}, 'failed', 'the Build fails';
    is_let_go $shop, $_, 'and keeps nothing any more' for $good, $bad;
}

{
    my $shop = workshop();
    my $hold = hold_builds($shop->sid);
    my ($function, $asset, $other) = ($shop->function('both'), $shop->asset('both.png'), $shop->asset('other.png'));
    my $building = $shop->build($function, $asset);
    is_kept $shop, $_, [$building], [], 'a Build that is building keeps what it contains of either kind'
        for $function, $asset;
    is_let_go $shop, $other, 'an Asset that it does not contain is deleted';
    $hold = undef;
    $shop->finished($building);

    my $stage = $shop->environment('stage');
    is_deployed $shop, $stage, $building, 'deployed';
    is_kept $shop, $_, [$building], [$stage], 'it keeps both' for $function, $asset;
    my $without = $shop->completed($function);
    is_deployed $shop, $stage, $without, 'superseded by one without the Asset';
    is_kept $shop, $function, [$without], [$stage], 'the Function is kept by that one';
    is_let_go $shop, $asset, 'the Asset is not';

    is_reply $shop->deploy($stage, $building), 400, {
        code      => 20001,
        message   => 'Cannot deploy Build because some of its Versions have been deleted.',
        more_info => 'https://www.twilio.com/docs/errors/20001',
        status    => 400,
        details   => {
            missing_versions => [{ sid => $asset->{version}{sid}, asset_sid => $asset->{sid}, path => '/both.png' }],
        },
    }, 'the first cannot be deployed again, and the answer names the Asset';
    is_kept $shop, $function, [$without], [$stage], 'which changes nothing for the Function';
    is_deployed $shop, $stage, undef, 'undeployed';
    is_let_go $shop, $function, 'the Function goes, too';
    is_deeply [map { [@$_{qw(path function_sid asset_sid)}] }
            @{ $shop->deploy($stage, $building)->json->{details}{missing_versions} }],
        [['/both', $function->{sid}, undef], ['/both.png', undef, $asset->{sid}]], 'then both are named, each as what it is';
}

# The bytes are one, what keeps them is two.
{
    my $shop = workshop();
    my ($function, $asset) = ($shop->function('f', 'same;'), $shop->asset('a', 'same;'));
    my $stage = $shop->environment('stage');
    is_deployed $shop, $stage, $shop->completed($asset), 'an Asset is deployed that has the bytes of a Function';
    is_let_go $shop, $function, 'the Function is not kept by that';
    is $api->get($shop->path_of($asset->{version}) . '/Content')->body, 'same;', 'the bytes are, for the Asset';
    my $again = $shop->function('f', 'same;');
    is_deployed $shop, $stage, $shop->completed($again), 'and the other way round';
    is_let_go $shop, $asset, 'the Asset is not kept by a Function of its bytes';
    is $api->get($shop->path_of($again->{version}) . '/Content')->json->{content}, 'same;', 'and the bytes are';
}


is_deeply inconsistencies(), [], 'the database is as it should be';
unlike error_log(), qr/SF0003/, 'and had nothing to complain about';

done_testing;
