# The lease of routes: a request to a domain that is sent after a Deployment was answered is served the new
# Build, at each of two httpds with several children, while nothing but the time connects them. With
# another wait in the settings, the same test finds old answers: so it would find them.
use strict;
use warnings FATAL => 'all';

use Apache::Test qw(-withtestmore);
use HTTP::Tiny ();
use Serverless::Database;
use Serverless::Parallel;
use Serverless::Project;
use Serverless::Server;
use Serverless::Test;
use Test::More;
use Time::HiRes qw(sleep time);

my $TAIL = 'functions.example.com';
my $CLIENTS = 16;
my $SECONDS = $ENV{FULL} ? 30 : 3;
my $PAUSE = 0.2; # between two Deployments

# Two httpds of three children each, or with prefork of a child for each client. The API is at the shared httpd, which serves
# no domains.
my $lines = "ServerlessDomain $TAIL\nServerlessExecution On\n" . Serverless::Server->database
    . Serverless::Server->workers(3, 8, prefork => $CLIENTS);
my @servers = map { Serverless::Server->start("leases_$_", $lines) } 1, 2;

my $api = Serverless::Client->account;
my $project = Serverless::Project->new($api, "lease-$$");
my $environment = $project->new_environment('leased', 'leased');
my ($label) = $environment->{domain_name} =~ /^([^.]+)/;

# A Build whose one Asset says its number. The Asset goes with it: it is {asset}.
sub numbered {
    my ($number) = @_;
    my $asset = $project->new_artifact('asset', "number-$number");
    my $version = $project->new_version(artifact => $asset, path => '/number', type => 'text/plain', content => $number);
    my $build = $project->completed($version);
    $build->{asset} = $asset;
    $build->{number} = $number;
    return $build;
}

# Asks for /number until the time is over, at both httpds in turn and on kept connections. Returns
# [time before the request was sent, time after the answer, status, number] for each.
sub ask {
    my ($seed, $until) = @_;
    my @http = map { HTTP::Tiny->new(keep_alive => 1, timeout => 120) } @servers;
    my @answers;
    while (time < $until) {
        my $i = $seed++ % @servers;
        my $sent = time;
        my ($port) = $servers[$i]->address =~ /:(\d+)$/;
        my $response = $http[$i]->get("http://$label.$TAIL:$port/number", { peer => '127.0.0.1' });
        push @answers, [$sent, time, $response->{status}, $response->{content}];
    }
    return \@answers;
}

# Runs the clients, and meanwhile `deploy` again and again with Builds of ascending numbers. Returns how many
# answers there were, those that were too old, and those that were no success.
my $number = 0;
sub redeploy {
    my ($deploy) = @_;
    my @builds = map { numbered(++$number) } 0 .. $SECONDS / $PAUSE;
    $deploy->(undef, $builds[0]);
    my @answered = ([time, $builds[0]{number}]);
    my $until = time + $SECONDS;
    my $finish = begin_at_once(sub { ask($_[0], $until) }, 1 .. $CLIENTS);
    for my $i (1 .. $#builds) {
        my $begin = time;
        last if $begin > $until;
        $deploy->(@builds[ $i - 1, $i ]);
        push @answered, [time, $builds[$i]{number}];
        my $left = $PAUSE - (time - $begin);
        sleep $left if $left > 0;
    }
    my @answers = map { @$_ } $finish->();
    my @failed = grep { $_->[2] != 200 } @answers;
    my @old;
    for my $answer (grep { $_->[2] == 200 } @answers) {
        my ($last) = grep { $_->[0] < $answer->[0] } reverse @answered;
        push @old, sprintf('%d after %d, %.1f ms after its answer', $answer->[3], $last->[1], 1000 * ($answer->[0] - $last->[0]))
            if $last && $answer->[3] < $last->[1];
    }
    note scalar(@answers), ' answers, ', scalar(@answered), ' Deployments, ', scalar(@old), ' old, ', scalar(@failed), ' failed';
    return (scalar @answers, \@old, [map { "$_->[2]: $_->[3]" } @failed]);
}

sub is_consistent {
    my ($name, $deploy) = @_;
    my ($count, $old, $failed) = redeploy($deploy);
    cmp_ok $count, '>', 0, "$name: there were answers";
    is_deeply $old, [], "$name: no answer is older than the last Deployment that was answered before";
    is_deeply $failed, [], "$name: none failed";
}

# What the settings say of the lease.
sub settings { [db()->selectrow_array('SELECT route_lease, route_wait FROM serverless.settings')] }

sub answered {
    my ($status, $reply) = @_;
    die $reply->status, ': ', $reply->body, "\n" if $reply->status != $status;
    return $reply;
}

my $deployments = $project->path_of($environment) . '/Deployments';

$project->deploy($environment, numbered(++$number));
ok wait_until {
    ask(0, time + 0.05);
    "@{ settings() }" eq '50 50'
}, 'a node that serves domains sets the lease to 50 ms, and the wait';

# The API's waiting -----------------------------------------------------------------------------------

subtest 'every answer that reveals a change waits' => sub {
    my $build = numbered(++$number);
    my $key = $api->with('Idempotency-Key' => "lease-$$");
    my $variables = $project->path_of($environment) . '/Variables';
    my ($gone, $service) = ($project->new_environment, Serverless::Project->new($api));
    my $variable;
    for my $case (
        ['a Deployment', 201, sub { $key->post($deployments, BuildSid => $build->{sid}) }],
        ['its replay', 201, sub { $key->post($deployments, BuildSid => $build->{sid}) }],
        ['an unchanged Deployment', 409, sub { $api->post($deployments, BuildSid => $build->{sid}) }],
        ['an unchanged Deployment with a key', 409,
            sub { $api->with('Idempotency-Key' => "other-$$")->post($deployments, BuildSid => $build->{sid}) }],
        ['a new Variable', 201, sub { $variable = $api->post($variables, Key => 'A', Value => '1') }],
        ['a changed Variable', 200, sub { $api->post("$variables/" . $variable->json->{sid}, Value => '2') }],
        ['a Variable that is there', 409, sub { $api->post($variables, Key => 'A', Value => '1') }],
        ['a deleted Variable', 204, sub { $api->delete("$variables/" . $variable->json->{sid}) }],
        ['the same again', 404, sub { $api->delete("$variables/" . $variable->json->{sid}) }],
        ['a deleted Environment', 204, sub { $project->delete($gone) }],
        ['the same again', 404, sub { $project->delete($gone) }],
        ['IncludeCredentials', 200, sub { $api->post($service->path, IncludeCredentials => 'false') }],
        ['a deleted Service', 204, sub { $api->delete($service->path) }],
        ['the same again', 404, sub { $api->delete($service->path) }],
    ) {
        my ($name, $status, $request) = @$case;
        my $begin = time;
        answered($status, $request->());
        cmp_ok time - $begin, '>=', 0.05, $name;
    }
};

subtest 'other answers do not' => sub {
    my $service = Serverless::Project->new($api);
    db()->do('UPDATE serverless.settings SET route_wait = 5000'); # much longer than an answer takes on a busy machine
    is_within { answered(200, $api->post($service->path, FriendlyName => 'other')) } 5, "a Service's FriendlyName";
    is_within { $service->new_environment } 5, 'a new Environment';
    is_within { answered(401, Serverless::Client->client($api->user, 'wrong')->post($deployments)) } 5, 'without a credential';
    db()->do('UPDATE serverless.settings SET route_wait = 50');
};

# Redeploying -----------------------------------------------------------------------------------------

is_consistent 'Deployments', sub { $project->deploy($environment, $_[1]) };

is_consistent 'replays and repeated Deployments', sub {
    my ($build) = $_[1];
    my $key = $api->with('Idempotency-Key' => "redeploy-$$-$build->{number}");
    my @replies = at_once(sub { $key->afresh->post($deployments, BuildSid => $build->{sid})->status }, 1 .. 3);
    die "@replies\n" if grep { $_ != 201 } @replies;
    answered(409, $api->post($deployments, BuildSid => $build->{sid}));
};

is_consistent 'the old Asset and Build are deleted at once', sub {
    my ($old, $new) = @_;
    $project->deploy($environment, $new);
    return if !$old;
    answered(204, $project->delete($old));
    answered(204, $project->delete($old->{asset}));
};

{
    # where another lease is wanted, a node would change it
    db()->do('UPDATE serverless.settings SET route_lease = 1000, route_lease_wanted = 1000, route_wait = 0');
    my ($count, $old) = redeploy(sub { $project->deploy($environment, $_[1]) });
    cmp_ok @$old, '>', 0, "with a lease of a second and no wait, this test finds old answers among $count";
    db()->do('UPDATE serverless.settings SET route_lease = 50, route_lease_wanted = 50, route_wait = 50');
    sleep 1.1; # routes have been read with the lease of a second
}

# Changing the lease ------------------------------------------------------------------------------------

sub administer {
    system("$ENV{SOURCE}/bin/serverless-admin -d 'host=$ENV{DATABASE} dbname=serverless user=postgres' routes lease $_[0]") == 0
        or die "serverless-admin failed\n";
}

subtest 'serverless-admin changes the lease, and answers are right meanwhile' => sub {
    for my $lease (120, 0, 50) {
        my $finish = begin_at_once(sub { sleep 1; administer($lease); 1 }, 1);
        is_consistent "to $lease ms", sub { $project->deploy($environment, $_[1]) };
        $finish->();
        is_deeply settings(), [$lease, $lease], "the lease is $lease ms";
    }
};

subtest 'a longer lease is used only after the statements that have read the shorter wait' => sub {
    my $old = connect_as('serverless_httpd');
    $old->begin_work;
    $old->selectrow_array('SELECT route_wait FROM serverless.settings');
    my $finish = begin_at_once(sub { administer(80); time }, 1);
    ok wait_until { "@{ settings() }" eq '50 80' }, 'serverless-admin has begun';
    sleep 0.5;
    is_deeply settings(), [50, 80], 'while such a transaction runs, the wait is longer and the lease is not';
    my $ended = time;
    $old->rollback;
    $old->disconnect;
    my ($done) = $finish->();
    cmp_ok $done, '>', $ended, 'serverless-admin has waited for its end';
    is_deeply settings(), [80, 80], 'then the lease is longer, too';
    administer(50);
};

is system("$ENV{SOURCE}/bin/serverless-admin routes lease 10001 2>/dev/null") >> 8, 1, 'a lease has 10 seconds at most';

# Reads -------------------------------------------------------------------------------------------------

subtest 'a node reads a route at most 40 times a second, and not when it is idle' => sub {
    my $calls = sub { db()->selectrow_array(q(SELECT sum(seq_scan + idx_scan) FROM pg_stat_user_tables WHERE relname = 'environments')) };
    my $count = sub { db()->do('SELECT pg_stat_clear_snapshot()'); sleep 1.2; $calls->() };
    my $before = $count->();
    my $begin = time;
    at_once(sub { ask($_[0], time + 3); 1 }, 1 .. 4);
    my $seconds = time - $begin;
    my $busy = $count->() - $before;
    note sprintf '%d reads in %.1f s at two nodes', $busy, $seconds;
    cmp_ok $busy, '<=', 2 * $seconds * 40 * 1.25, 'two nodes for three seconds';
    ok wait_until { # other servers of this run read the table, too, now and then
        my $begin = $count->();
        sleep 1;
        $count->() == $begin;
    }, 'none when idle';
};

done_testing;
