# The guard under load: many clients at two httpds build, deploy, undeploy and delete within
# one Service at the same time. At no moment does an active Build lack a Version, and each
# answer agrees with the database.
use strict;
use warnings FATAL => 'all';

use Apache::Test qw(-withtestmore);
use Serverless::Consistency;
use Serverless::Database;
use Serverless::Parallel;
use Serverless::Project;
use Serverless::Server;
use Serverless::Test;
use Test::More;
use Time::HiRes qw(sleep time);

my $CLIENTS = 12;
my $ROUNDS = 6;    # or as many more as a slow machine needs
my $SECONDS = 3.5; # each round
my $TIMES = 20;    # that each of these has to come about
my @matters = ('make Build: 201', 'deploy: 201', 'delete Function: 204', 'delete Function: 409', 'delete Asset: 204',
    'delete Asset: 409', 'delete Build: 204');

my $second = Serverless::Server->start('second', "ServerlessNode $ENV{NODE}\n"
    . Serverless::Server->database . Serverless::Server->api);
my @addresses = (address('api'), $second->address);


# A client ---------------------------------------------------------------------------------

# Does as it likes until the time is over. Returns what it asked for and what it
# was told, in order: [what, sid of what, status, begin, end, what else].
sub client {
    my ($project, $seed, $until) = @_;
    srand $seed;
    my $address = $addresses[$seed % @addresses];
    my $self = {
        project => $project->by($project->api->at($address)), until => $until, seed => $seed,
        done => [], version => {}, made => 0,
    };
    while (time < $until) {
        my $what = (
            (\&make_build) x 6, (\&deploy) x 5, (\&delete_artifact) x 5, (\&make_artifact) x 3,
            (\&undeploy) x 2, \&delete_build, \&replace_environment,
        )[rand 23];
        $what->($self);
    }
    return $self->{done};
}

# Asks, and writes it down.
sub ask {
    my ($self, $what, $sid, $request, @more) = @_;
    my $begin = time;
    my $reply = $request->();
    my $body = $reply->json;
    push @{ $self->{done} }, [$what, $sid // $body->{sid}, $reply->status, $begin, time, $body, @more];
    return $reply;
}

# The newest of a list, not older than a moment; all clients meet at these.
sub newest {
    my ($self, $list) = @_;
    my $known = $self->{lists}{$list};
    if (!$known || $known->{at} < time - 0.1) {
        my $reply = ask($self, "list $list", '-', sub {
            $self->{project}->api->get($self->{project}->path("/$list"), PageSize => 20) });
        my ($rows) = grep { ref $_ eq 'ARRAY' } values %{ $reply->json || {} };
        $known = $self->{lists}{$list} = { at => time, rows => $rows || [] };
    }
    return @{ $known->{rows} };
}

sub any { return @_ ? $_[rand @_] : undef }

# Functions or Assets, as it comes.
sub any_kind { return Serverless::Project::kind(any(qw(function asset))) }

sub make_artifact {
    my ($self) = @_;
    my $is = any_kind();
    return if newest($self, $is->{list}) >= 5;
    my $name = "a$self->{seed}-" . ++$self->{made};
    my $artifact = ask($self, "make $is->{name}", undef, sub {
        $self->{project}->api->post($self->{project}->path("/$is->{list}"), FriendlyName => $name) })->json;
    # the content of many is the same
    ask($self, 'make Version', undef, sub {
        $self->{project}->try_version(artifact => $artifact, path => "/$name", content => 'exports.a = ' . int(rand 3)) },
        $artifact->{sid}) if $artifact->{sid};
}

# A Version of the Function or Asset, or nothing.
sub version_of {
    my ($self, $artifact) = @_;
    return $self->{version}{ $artifact->{sid} } //= do {
        my $reply = ask($self, 'list Versions', '-', sub {
            $self->{project}->api->get($self->{project}->path_of($artifact) . '/Versions') });
        ($reply->json->{ Serverless::Project::kind_of($artifact)->{versions} } || [])->[0];
    };
}

sub make_build {
    my ($self) = @_;
    return if grep({ $_->{status} eq 'building' } newest($self, 'Builds')) > 5;
    my %wanted = map { $_->{sid} => $_ } grep { $_ } map { any(newest($self, any_kind()->{list})) } 1 .. 1 + rand 3;
    my @versions = grep { defined } map { version_of($self, $_) } values %wanted or return;
    ask($self, 'make Build', undef, sub { $self->{project}->try_build(map { { version => $_ } } @versions) },
        [sort map { $_->{sid} } @versions]);
}

sub deploy {
    my ($self) = @_;
    my $environment = any(newest($self, 'Environments')) or return;
    my $build = any(grep { $_->{status} eq 'completed' } newest($self, 'Builds')) or return;
    ask($self, 'deploy', undef, sub { $self->{project}->try_deploy($environment, $build) }, $environment->{sid});
}

sub undeploy {
    my ($self) = @_;
    my $environment = any(newest($self, 'Environments')) or return;
    ask($self, 'deploy', undef, sub { $self->{project}->try_deploy($environment) }, $environment->{sid});
}

sub delete_artifact {
    my ($self) = @_;
    my $is = any_kind();
    my $artifact = any(newest($self, $is->{list})) or return;
    ask($self, "delete $is->{name}", $artifact->{sid}, sub { $self->{project}->delete($artifact) });
}

sub delete_build {
    my ($self) = @_;
    my $build = any(newest($self, 'Builds')) or return;
    ask($self, 'delete Build', $build->{sid}, sub { $self->{project}->delete($build) });
}

sub replace_environment {
    my ($self) = @_;
    my @there = newest($self, 'Environments');
    if (@there > 2) {
        my $environment = any(@there);
        ask($self, 'delete Environment', $environment->{sid}, sub { $self->{project}->delete($environment) });
    }
    my $name = "e$self->{seed}-" . ++$self->{made};
    ask($self, 'make Environment', undef, sub {
        $self->{project}->api->post($self->{project}->path('/Environments'), UniqueName => $name, DomainSuffix => $name) })
        if @there < 4;
}


# Answers compared with the database --------------------------------------------------------------

# The SIDs that are there: of a table's rows of the Service.
sub there {
    my ($project, $prefix, $rows) = @_;
    return { map { $_ => 1 } @{ db()->selectcol_arrayref(
        "SELECT serverless.sid('$prefix', id) FROM serverless.$rows AND service_id = ?", undef, substr $project->sid, 2) } };
}

my %tables = (
    Function => [ZH => q(artifacts WHERE kind = 'function')], Asset => [ZH => q(artifacts WHERE kind = 'asset')],
    Version => [ZN => 'versions WHERE true'], Build => [ZB => 'builds WHERE true'],
    Environment => [ZE => 'environments WHERE true'],
);

# What does not agree with the rows in the database, in words.
sub contradictions {
    my ($project, $history) = @_;
    my (%made, %deleted, @contradictions);
    for my $entry (@$history) {
        my ($what, $sid, $status, $begin, $end) = @$entry;
        my ($verb, $kind) = split ' ', $what;
        next if !$kind;
        $made{$kind}{$sid} = 1 if $verb eq 'make' && $status == 201;
        push @{ $deleted{$kind}{$sid} }, [$begin, $end] if $verb eq 'delete' && $status == 204;
    }
    $deleted{Version} = { %{ $deleted{Function} || {} }, %{ $deleted{Asset} || {} } }; # with what they are Versions of
    for my $kind (sort keys %tables) {
        my $there = there($project, @{ $tables{$kind} });
        my $gone = $deleted{$kind} || {};
        push @contradictions, map { "$kind $_ was deleted " . @{ $gone->{$_} } . ' times' } grep { @{ $gone->{$_} } > 1 } keys %$gone;
        push @contradictions, map { "$kind $_ was deleted, and is there" } grep { $there->{$_} } keys %$gone;
        next if $kind eq 'Version';
        push @contradictions, map { "$kind $_ was made, not deleted, and is not there" }
            grep { !$there->{$_} && !$gone->{$_} } keys %{ $made{$kind} };
        for my $entry (grep { $_->[0] eq "delete $kind" && $_->[2] != 204 } @$history) {
            my (undef, $sid, $status, $begin, $end, $body) = @$entry;
            my ($by) = @{ $gone->{$sid} || [] };
            push @contradictions, "$kind $sid was refused to be deleted, not deleted, and is not there"
                if $status == 409 && !$there->{$sid} && !$by;
            push @contradictions, "$kind $sid was refused to be deleted after it had been" if $status == 409 && $by && $by->[1] < $begin;
            push @contradictions, "$kind $sid was refused to be deleted without a reason"
                if $status == 409 && !map { @$_ } values %{ $body->{details} || {} };
            push @contradictions, "$kind $sid was not found before it was deleted"
                if $status == 404 && (!$by || $by->[0] > $end);
        }
    }
    return @contradictions, contradictions_of_versions($project, $history, $deleted{Version}),
        contradictions_of_builds($project, $history), contradictions_of_deployments($project, $history, $deleted{Environment});
}

sub contradictions_of_versions {
    my ($project, $history, $gone) = @_;
    my $there = there($project, @{ $tables{Version} });
    return map { "Version $_->[1] was made, what it is a Version of not deleted, and is not there" }
        grep { $_->[0] eq 'make Version' && $_->[2] == 201 && !$there->{ $_->[1] } && !$gone->{ $_->[6] } } @$history;
}

# A Build contains the Versions asked for; none fails, because its Versions cannot be deleted.
sub contradictions_of_builds {
    my ($project, $history) = @_;
    my %contains;
    push @{ $contains{ $_->[0] } }, $_->[1] for @{ db()->selectall_arrayref(<<'SQL', undef, substr $project->sid, 2) };
SELECT serverless.sid('ZB', build_id), serverless.sid('ZN', version_id) FROM serverless.build_versions
 WHERE service_id = ? ORDER BY version_id
SQL
    return (map { "Build $_->[1] does not contain what was asked for" }
            grep { $_->[0] eq 'make Build' && $_->[2] == 201 && $contains{ $_->[1] }
                && "@{ $contains{ $_->[1] } }" ne "@{ $_->[6] }" } @$history),
        map { "Build $_->[0] failed: $_->[1]" } @{ db()->selectall_arrayref(<<'SQL', undef, substr $project->sid, 2) };
SELECT serverless.sid('ZB', id), failure_reason FROM serverless.builds WHERE service_id = ? AND status = 'failed'
SQL
}

# An Environment has the Build of its last Deployment; a refused Deployment is none.
sub contradictions_of_deployments {
    my ($project, $history, $gone) = @_;
    my $rows = db()->selectall_arrayref(<<'SQL', undef, substr $project->sid, 2);
SELECT serverless.sid('ZD', d.id), serverless.sid('ZE', e.id), serverless.sid('ZB', d.build_id),
       serverless.sid('ZB', e.build_id), row_number() OVER (PARTITION BY e.id ORDER BY d.id DESC) = 1
  FROM serverless.deployments AS d
  JOIN serverless.environments AS e ON e.service_id = d.service_id AND e.id = d.environment_id
 WHERE d.service_id = ?
SQL
    my %there = map { $_->[0] => $_ } @$rows;
    my %told = map { $_->[1] => $_ } grep { $_->[0] eq 'deploy' && $_->[2] == 201 } @$history;
    return (map { "Deployment $_->[1] was made, its Environment not deleted, and is not there" }
            grep { !$there{ $_->[1] } && !$gone->{ $_->[6] } } values %told),
        (map { "Deployment $_->[0] is there, and nobody was told" } grep { !$told{ $_->[0] } } @$rows),
        map { "Environment $_->[1] is not where its last Deployment put it" }
            grep { $_->[4] && ($_->[2] // '') ne ($_->[3] // '') } @$rows;
}

# Those of an answer's statuses that are not among the API's.
sub unexpected {
    my ($history) = @_;
    my %fine = (list => qr/200|404/, make => qr/201|400|404/, deploy => qr/201|400|404|409/, delete => qr/204|404|409/);
    my %times;
    $times{"$_->[0]: $_->[2]"}++ for @$history;
    return ({ map { $_ => $times{$_} } grep { my ($verb) = /^(\w+)/; !/: $fine{$verb}$/ } keys %times }, \%times);
}


# Rounds ------------------------------------------------------------------------------------------------

my $project = Serverless::Project->new(Serverless::Client->account, 'concurrent');
$project->new_deployable(function => "first-$_"), $project->new_deployable(asset => "first-$_.js") for 1 .. 3;
$project->new_environment("first-$_") for 1 .. 3;
my @history = map { ["make Environment", $_->{sid}, 201, 0, 0, $_] }
    @{ $project->api->get($project->path('/Environments'))->json->{environments} };

# Lets the clients loose; what is wrong at any moment until they are done is
# returned, and what they did goes to the history.
sub round {
    my ($seed, $meanwhile) = @_;
    my $until = time + $SECONDS;
    my $finish = begin_at_once(sub { client($project, $_[0], $until) }, map { $seed * 100 + $_ } 1 .. $CLIENTS);
    my ($moments, %wrong) = (0);
    while (time < $until) {
        $meanwhile->() if $meanwhile && time > $until - $SECONDS / 2;
        $wrong{$_}++ for @{ inconsistencies() };
        $moments++;
        sleep 0.02;
    }
    $meanwhile->() if $meanwhile; # on a machine that is so busy that there was no moment
    my @round = map { @$_ } $finish->();
    push @history, @round;
    return ($moments, [sort keys %wrong], \@round);
}

my %total;
sub is_enough { return !grep { ($total{$_} // 0) < $TIMES } @matters }

for my $round (1 .. 20 * $ROUNDS) { # a busy machine needs more of them
    last if $round > $ROUNDS && is_enough();
    my ($moments, $wrong, $done) = round($round);
    my ($unexpected, $times) = unexpected($done);
    $total{$_} += $times->{$_} for keys %$times;
    note "round $round: " . @$done . ' requests';
    is_deeply $unexpected, {}, "round $round: every answer is one of the API's, none a failure";
    is_deeply $wrong, [], "round $round: at each of $moments moments the database was consistent";
    ok wait_until { !there_is_building() }, "round $round: no Build stays building";
    is_deeply inconsistencies(), [], "round $round: the database is consistent afterwards";
    is_deeply [contradictions($project, \@history)], [], "round $round: every answer agrees with the database";
}

sub there_is_building {
    return db()->selectrow_array(q(SELECT count(*) FROM serverless.builds WHERE service_id = ? AND status = 'building'),
        undef, substr $project->sid, 2);
}

note "$_ $total{$_}" for sort keys %total;
cmp_ok $total{$_} // 0, '>=', $TIMES, "the rounds had enough of: $_" for @matters;

# The Service is deleted under their hands.
{
    my $reply;
    my ($moments, $wrong, $done) = round(99, sub { $reply ||= $project->api->delete($project->path) });
    is_reply $reply, 204, '', 'the Service is deleted during the last round';
    is_deeply +(unexpected($done))[0], {}, "the Service is deleted: every answer is one of the API's";
    is_deeply $wrong, [], "the Service is deleted: at each of $moments moments the database was consistent";
    is_deeply rows_of($project->sid), {}, 'the Service is deleted: no row of it is left';
    is_deeply inconsistencies(), [], 'the Service is deleted: the database is consistent afterwards';
}

for my $log (error_log(), $second->error_log) {
    unlike $log, qr/SF0003: .* SQLSTATE (?!40P01|23503)/, 'PostgreSQL had to complain of nothing but what is repeated';
    note "deadlocks that were resolved: " . (() = $log =~ /SQLSTATE 40P01/g);
}

done_testing;
