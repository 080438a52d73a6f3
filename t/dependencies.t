# The Dependencies of Builds: the runner resolves them with npm, from a registry of this suite's own; the database keeps
# the packages; each runner has them for the Functions. t/install.t has the cases of the program that runs npm.
#
# The httpds here have a database of their own, so that no other httpd finishes the Builds.
use strict;
use warnings FATAL => 'all';

use Apache::Test qw(-withtestmore);
use Cpanel::JSON::XS ();
use Digest::SHA qw(sha256_hex);
use Serverless::Cage;
use Serverless::Database;
use Serverless::Project;
use Serverless::Registry;
use Serverless::Runner;
use Serverless::RunnerChild;
use Serverless::Server;
use Serverless::Test;
use Test::More;
use Time::HiRes qw(sleep time);

my $TAIL = 'functions.example.com';
my $registry = Serverless::Registry->new;
my $database = own_database('dependencies');
chomp(my $npm = `sh -c "command -v npm"`);
my @install = ("Install $ENV{SOURCE}/runtime/install/install.js $npm", 'NpmConfig ' . $registry->config);
my $runner = Serverless::Runner->start('dependencies', lines => \@install);

# The values of one row, as the owner of the database.
sub sql { return $database->row('postgres', @_) }

my ($account, $token) = sql(q(SELECT * FROM serverless.create_account('dependencies')));

# An httpd. Unless `lines` say otherwise, it creates Builds without a question to the registry.
sub server {
    my ($name, $its_runner, $lines) = @_;
    return Serverless::Server->start($name, Serverless::Server->database(database => $database->name)
        . $its_runner->directive . "ServerlessDomain $TAIL\nServerlessExecution On\nServerlessQueueTimeout 60s\nServerlessExecutionTimeout 60s\n"
        . 'ServerlessInstallTimeout ' . ($lines // "30s\nServerlessDependencyCheck Off\n") . Serverless::Server->api);
}

my $server = server('dependencies', $runner);

sub client { Serverless::Client->client($account, $token)->at($_[0]->address) }
sub new_project { Serverless::Project->new(client($_[0] // $server)) }

# The answer to the creation of a Build of Functions with Dependencies, name => version.
sub try_build {
    my ($project, $dependencies, @parts) = @_;
    return $project->api->post($project->path('/Builds'), Serverless::Project::parameters(@parts), Runtime => 'node20',
        Dependencies => '[' . join(',', map { qq({"name":"$_","version":"$dependencies->{$_}"}) } sort keys %$dependencies) . ']');
}

sub new_build { Serverless::Project::created(try_build(@_)) }

# A Function that answers with the value of an expression.
sub evaluating {
    my ($project, $expression) = @_;
    return $project->new_deployable(function => 'value', "exports.handler = (context, event, done) => done(null, $expression);\n");
}

# Deploys a Build to a new Environment. Returns its host.
sub deployed {
    my ($project, $build) = @_;
    my $environment = $project->new_environment;
    $project->deploy($environment, $build);
    return $environment->{domain_name} =~ s/twil\.io$/$TAIL/r;
}

sub ask {
    my ($at, $host) = @_;
    my $reply = Serverless::Client->client->at($at->address)->undescribed->raw_request('GET /value HTTP/1.1', host => $host);
    return $reply->status . ' ' . $reply->body;
}

# The hash of a Build's bundle.
sub bundle_of {
    my ($build) = @_;
    return sql(q(SELECT encode(bundle_sha256, 'hex') FROM serverless.build_bundles WHERE serverless.sid('ZB', build_id) = ?), $build->{sid});
}

sub bundles_of {
    my ($project) = @_;
    return [ map { sql("SELECT count(*) FROM serverless.$_ WHERE serverless.sid('ZS', service_id) = ?", $project->sid) }
        qw(bundles bundle_chunks build_bundles) ];
}

my $project = new_project();
my $function = evaluating($project, 'require("uses-greet")');


# Resolving ------------------------------------------------------------------------------

my $first;
subtest 'a Build gets its packages' => sub {
    $first = new_build($project, { 'uses-greet' => '^1.0.0' }, $function);
    is $first->{status}, 'building', 'it is building first';
    is $project->finished($first)->{status}, 'completed', 'and completed then';
    is ask($server, deployed($project, $first)), '200 hello you 1.1.0', 'the Function finds them, and the newest version';
    my ($lock) = sql(q(SELECT lock_file #>> '{packages,node_modules/greet,version}' FROM serverless.build_bundles
        WHERE serverless.sid('ZB', build_id) = ?), $first->{sid});
    is $lock, '1.1.0', 'the lock file is kept';
    is_deeply bundles_of($project), [1, 1, 1], 'a bundle, its chunk, its Build';
};

subtest 'equal Dependencies are resolved once' => sub {
    my $before = $registry->requests;
    my $second = $project->finished(new_build($project, { 'uses-greet' => '^1.0.0' }, $function));
    is $second->{status}, 'completed', 'a second Build';
    is $registry->requests, $before, 'without a request to the registry';
    is bundle_of($second), bundle_of($first), 'it has the bundle of the first one';
    is_deeply bundles_of($project), [1, 1, 2], 'which is stored once';

    is system("$ENV{SOURCE}/bin/serverless-admin -d 'host=$ENV{DATABASE} dbname=@{[ $database->name ]} user=serverless_owner' "
        . 'dependencies refresh ' . $project->sid), 0, 'serverless-admin dependencies refresh';
    my $third = $project->finished(new_build($project, { 'uses-greet' => '^1.0.0' }, $function));
    is $third->{status}, 'completed', 'the next Build';
    cmp_ok $registry->requests, '>', $before, 'asks the registry';
    is bundle_of($third), bundle_of($first), 'equal packages are an equal archive';
    is_deeply bundles_of($project), [1, 1, 3], 'which is still stored once';
};

subtest 'two Services share nothing' => sub {
    my $other = new_project();
    my $before = $registry->requests;
    my $build = $other->finished(new_build($other, { 'uses-greet' => '^1.0.0' }, evaluating($other, '1')));
    is $build->{status}, 'completed', 'another Service with the same Dependencies';
    cmp_ok $registry->requests, '>', $before, 'resolves them itself';
    is_deeply bundles_of($other), [1, 1, 1], 'and has a bundle of its own';
    $other->delete($build);
    is_deeply bundles_of($other), [0, 0, 0], 'which goes with its last Build';
};

subtest 'no script of a package runs' => sub {
    my $build = $project->finished(new_build($project, { 'runs-script' => '*' }, evaluating($project, 'String(require("runs-script"))')));
    is ask($server, deployed($project, $build)), '200 false', 'the script has made no file';
};

subtest 'without Dependencies' => sub {
    my $build = $project->finished(new_build($project, {}, $function));
    is $build->{status}, 'completed', 'a Build';
    is bundle_of($build), undef, 'has no bundle';
    like ask($server, deployed($project, $build)), qr/^500 .*Cannot find module 'uses-greet'/, 'and no packages';
    $build = $project->finished(new_build($project, { fs => '0.0.1', '@twilio/runtime-handler' => '1.3.0' }, $function));
    is $build->{status}, 'completed', 'Dependencies that need no package';
    is bundle_of($build), undef, 'have no bundle, either';
};


subtest 'what the database refuses' => sub {
    my $db = $database->connect('serverless_httpd');
    my $refused = sub {
        my ($state, $sql, $name) = @_;
        $db->begin_work;
        ok !eval { $db->do($sql); 1 }, $name;
        is $db->state, $state, "$name: the error";
        $db->rollback;
    };
    my ($service, $hash) = $db->selectrow_array('SELECT service_id, sha256 FROM serverless.bundles LIMIT 1');
    my $bundle = "'$service', '\\x" . unpack('H*', $hash) . "'";
    $refused->('23001', "INSERT INTO serverless.bundle_chunks VALUES ($bundle, 1, 'more')", 'a chunk behind the last one');
    $refused->('23001', "INSERT INTO serverless.bundle_chunks VALUES ($bundle, 0, '')", 'an empty chunk');
    $refused->('23001', 'UPDATE serverless.bundles SET size = size + 1', 'another size');
    $refused->('42501', 'DELETE FROM serverless.bundle_chunks', 'deleting a chunk');
    $refused->('42501', 'UPDATE serverless.build_bundles SET is_reusable = false', 'what serverless-admin does');
    $db->disconnect;
};


# Failures -------------------------------------------------------------------------------

for my $case (
    ['a package that is not there', { nothing => '1.0.0' }, 'nothing@1.0.0: there is no such package'],
    ['a version that is not there', { greet => '^9' }, 'greet@^9: no version matches'],
    ['native code', { 'has-native-code' => '1.0.0' }, 'has-native-code/build/addon.node: native code does not run here'],
    ['a folder of the machine', { greet => 'file:/etc' }, 'greet: file:/etc is not a version or a range of versions'],
) {
    my ($name, $dependencies, $reason) = @$case;
    my $build = $project->finished(new_build($project, $dependencies, $function));
    is_deeply [ @$build{qw(status failure_reason)} ], ['failed', $reason], $name;
    is bundle_of($build), undef, "$name: nothing is kept";
}

subtest 'more bytes than ServerlessBundleLimit' => sub {
    $server->stop;
    my $narrow = server('narrow', $runner, "30s\nServerlessDependencyCheck Off\nServerlessBundleLimit 50\n");
    my $by = $project->by(client($narrow));
    my $build = $by->finished(new_build($by, { greet => '1.0.0' }, $function));
    is_deeply [ @$build{qw(status failure_reason)} ], ['failed', 'The packages have more than 50 bytes'], 'the Build fails';
    undef $narrow;
    $server = server('dependencies', $runner);
    $project = $project->by(client($server));
};

subtest 'the registry is away' => sub {
    ok $registry->set('down'), 'it refuses requests';
    my $build = $project->finished(new_build($project, { greet => '1.0.0' }, $function));
    is_deeply [ @$build{qw(status failure_reason)} ], ['failed', 'greet@1.0.0: the registry cannot be reached'], 'the Build fails';
    is $project->finished(new_build($project, { 'uses-greet' => '^1.0.0' }, $function))->{status}, 'completed',
        'one with Dependencies that were resolved before does not need it';
    ok $registry->set('up'), 'it is back';
    is $project->finished(new_build($project, { greet => '1.0.0' }, $function))->{status}, 'completed', 'so is its use';
};

subtest 'the registry does not answer' => sub {
    ok $registry->set('silent'), 'it is silent';
    my $begin = time;
    my $build = new_build($project, { greet => '1.1.0' }, $function);
    my $plain = $project->finished(new_build($project, {}, $function));
    is $plain->{status}, 'completed', 'a Build without Dependencies';
    is $project->fetch($build)->json->{status}, 'building', 'is completed meanwhile';

    my $deleted = new_build($project, { greet => '2.0.0' }, $function);
    sleep 1;
    is $project->delete($deleted)->status, 204, 'a Build can be deleted meanwhile';

    $build = $project->finished($build);
    is $build->{status}, 'failed', 'the Build fails';
    like $build->{failure_reason}, qr/^(?:greet\@1\.1\.0: the registry cannot be reached|The packages could not be installed within the limit of time)$/,
        'by the limits of npm or, on a slow machine, by that of the runner';
    cmp_ok time - $begin, '<', 300, 'in the order of ServerlessInstallTimeout: npm alone takes a quarter of an hour';
    ok $registry->set('up'), 'it answers again';
    is bundle_of($deleted), undef, 'nothing is left of the deleted Build';
};


# The question to the registry when a Build is created ---------------------------------------------

subtest 'Dependencies that the registry does not have' => sub {
    my $asking = server('asking', $runner, "30s\nServerlessDependencyCheck 60s\n");
    my $by = $project->by(client($asking));
    my $builds = sub { scalar @{ $by->api->get($by->path('/Builds'))->json->{builds} } };
    my $before = $builds->();
    for my $case (
        ['a package', { nothing => '1.0.0' }, 'nothing@1.0.0: there is no such package'],
        ['a version', { greet => '^9' }, 'greet@^9: no version matches'],
        ['a tag', { greet => 'beta' }, 'greet@beta: no version matches'],
        ['one of several', { greet => '1.0.0', '@scope/data' => '2', 'uses-greet' => '*' }, '@scope/data@2: no version matches'],
        ['no version at all', { greet => 'file:/etc' }, 'greet: file:/etc is not a version or a range of versions'],
        ['too many', { map { ("greet-$_" => '1') } 1 .. 101 }, '101 packages are more than the 100 that are allowed'],
    ) {
        my ($name, $dependencies, $reason) = @$case;
        is_error try_build($by, $dependencies, $function), 400, 20001, "Dependencies: $reason", $name;
    }
    is $builds->(), $before, 'no Build is left';
    is try_build($by, { greet => '1.0.0', '@scope/data' => 'latest' }, $function)->status, 201, 'Dependencies that it has';
    is try_build($by, { fs => '*' }, $function)->status, 201, 'Dependencies that need no package';

    $before = $registry->requests;
    is_error $by->api->post('/v1/Services/none/Builds', FunctionVersions => 'ZN' . '0' x 32, Runtime => 'node20',
        Dependencies => '[{"name":"nothing"}]'), 404, 20404, 'The requested resource /Services/none/Builds was not found',
        'a Service that is not there';
    is $registry->requests, $before, 'is not asked for';

    my $keyed = $by->api->with('Idempotency-Key' => 'once')->post($by->path('/Builds'),
        Serverless::Project::parameters($function), Runtime => 'node20', Dependencies => '[{"name":"nothing"}]');
    is $keyed->status, 201, 'a create with an Idempotency-Key does not ask';

    ok $registry->set('down'), 'the registry is away';
    is try_build($by, { greet => '1.0.0 || 1.1.0' }, $function)->status, 201, 'a Build is created, and fails later';
    is try_build($by, { 'uses-greet' => '^1.0.0' }, $function)->status, 201, 'as is one whose packages the Service has';
    ok $registry->set('up'), 'the registry is back';
};

subtest 'a registry that does not say in time' => sub {
    my $hasty = server('hasty', $runner, "30s\nServerlessDependencyCheck 100ms\n");
    my $by = $project->by(client($hasty));
    ok $registry->set('silent'), 'it is silent';
    my $build = new_build($by, { nothing => '2.0.0' }, $function);
    is $build->{status}, 'building', 'the Build is created';
    is $by->delete($build)->status, 204, 'and deleted';
    ok $registry->set('up'), 'it answers again';
};


# The runner ---------------------------------------------------------------------------------

subtest 'the runner is away' => sub {
    my $bytes = $runner->status->{cache}{bytes};
    $runner->terminate;
    my $build = new_build($project, { '@scope/data' => '*' }, evaluating($project, 'require("@scope/data").k'));
    my $log = '';
    ok wait_until { ($log .= $server->error_log) =~ /SF0097: the runner cannot resolve Dependencies: \S*dependencies\.sock: / },
        'the log says why the Build waits';
    is $project->fetch($build)->json->{status}, 'building', 'the Build waits';
    $runner->run;
    is $runner->status->{cache}{bytes}, $bytes, 'its cache has the size that it had: unpacked packages count from the beginning';
    is $project->finished($build)->{status}, 'completed', 'and is completed when the runner is back';
    is ask($server, deployed($project, $build)), '200 v', 'it works';
};

subtest 'a runner whose npm does not work' => sub {
    my $broken = Serverless::Runner->start('broken', lines => ["Install $ENV{SOURCE}/runtime/install/install.js /bin/false"]);
    $server->stop;
    my $at = server('broken', $broken);
    my $by = $project->by(client($at));
    my $build = $by->finished(new_build($by, { greet => '1' }, $function));
    is_deeply [ @$build{qw(status failure_reason)} ],
        ['failed', 'The Dependencies cannot be resolved, because of a fault of this server'], 'the Build fails after three tries';
    like $at->error_log, qr/SF0097: the runner cannot resolve Dependencies: npm ended with 1/, 'the log has the cause';
    undef $at;
    $server = server('dependencies', $runner);
    $project = $project->by(client($server));
};

subtest 'a second machine' => sub {
    my $host = deployed($project, $first);
    is ask($server, $host), '200 hello you 1.1.0', 'the first one';
    ok $registry->set('down'), 'the registry is away';
    my $second = Serverless::Runner->start('second', lines => \@install);
    my $at = server('second', $second);
    is ask($at, $host), '200 hello you 1.1.0', 'the second one, whose cache was empty';
    my @archives = map { $_->builds . "/$first->{sid}/bundle.tar.zst" } $runner, $second;
    is `cat $archives[1] | sha256sum`, `cat $archives[0] | sha256sum`, 'has the same bytes';
    my $modules = $second->builds . "/$first->{sid}/node_modules";
    is system('diff', '-r', $modules, $runner->builds . "/$first->{sid}/node_modules"), 0, 'and the same packages';
    is sha256_hex(`zstd -qdc $archives[1]`), bundle_of($first), 'whose hash is that of the bundle';

    $second->kill_now;
    chmod 0644, "$modules/greet/index.js";
    open my $out, '>', "$modules/greet/index.js" or die "$modules: $!\n";
    print $out 'damaged';
    close $out;
    $second->run;
    is ask($at, $host), '200 hello you 1.1.0', 'damage that was done while the runner was down is mended';
    ok $registry->set('up'), 'the registry is back';
};

subtest 'messages' => sub {
    my %request = (runtime => 'node20', dependencies => { greet => '1.0.0' }, seconds => 20, bytes => 100_000);
    my $child = $runner->connect_child;
    $child->send(INSTALL => 7, \%request);
    my @messages = map { $child->receive } 1 .. 3;
    is_deeply [ map { "$_->{type} $_->{number} " . ($_->{payload}{name} // '') } @messages ],
        ['FILE 7 package-lock.json', 'FILE 7 bundle.tar.zst', 'INSTALLED 7 '], 'the files and the end';
    is_deeply [ map { $_->{file_size} } @messages[0, 1] ], [ map { $_->{payload}{size} } @messages[0, 1] ], 'the files have their sizes';
    my %check = (%request, check => Cpanel::JSON::XS::true, seconds => 60);
    $child->send(INSTALL => 8, \%check);
    is_deeply [ @{ $child->receive }{qw(type payload)} ], ['INSTALLED', { sha256 => undef }], 'a check of what the registry has';
    $child->send(INSTALL => 8, { %check, dependencies => { greet => '9' } });
    is_deeply $child->receive->{payload}, { reason => 'dependencies', detail => 'greet@9: no version matches' }, 'and has not';
    ok $registry->set('silent'), 'the registry is silent';
    my @busy = map { $runner->connect_child } 1, 2;
    $_->send(INSTALL => 1, { %request, seconds => 60 }) for @busy;
    $child->send(INSTALL => 8, \%check);
    is $child->receive->{payload}{reason}, 'busy', 'a check does not wait for other work';
    $_->close for @busy;
    my $reason;
    wait_until { $child->send(INSTALL => 8, { %check, seconds => 1 }); ($reason = $child->receive->{payload}{reason}) ne 'busy' };
    like $reason, qr/^(?:late|install)$/, 'a check ends when its time is over, by npm or by the runner';
    ok $registry->set('up'), 'the registry answers again';
    $child->send(INSTALL => 8, { %request, runtime => 'node2' });
    is_deeply $child->receive->{payload}, { reason => 'runtime', detail => 'there is no such Runtime' }, 'another Runtime';
    for my $wrong ({ %request, seconds => 0 }, { %request, seconds => 'x' }, { %request, bytes => 0 },
        { %request, dependencies => ['greet'] }, { runtime => 'node20' }, '{') {
        my $one = $runner->connect_child;
        $one->send(INSTALL => 1, $wrong);
        ok $one->receive->{closed}, 'a request that cannot be read ends the connection';
    }
    my $plain = Serverless::Runner->start('plain');
    my $other = $plain->connect_child;
    $other->send(INSTALL => 9, \%request);
    is $other->receive->{payload}{reason}, 'none', 'a runner without the line Install';
};

subtest 'in the cage' => sub {
    my $obstacle = Serverless::Cage->new(Egress => 'host')->obstacle;
    plan skip_all => "no cage on this machine: $obstacle" if defined $obstacle;
    my $caged = Serverless::Runner->start('caged', lines => \@install, isolation => 'bubblewrap');
    my $child = $caged->connect_child;
    $child->send(INSTALL => 1, { runtime => 'node20', dependencies => { 'uses-greet' => '^1.0.0' }, seconds => 30, bytes => 100_000 });
    my @messages = map { $child->receive } 1 .. 3;
    is_deeply [ map { $_->{type} } @messages ], [qw(FILE FILE INSTALLED)], 'packages are resolved';
    is $messages[2]{payload}{sha256}, bundle_of($first), 'to the same archive';
    $child->send(INSTALL => 2, { runtime => 'node20', dependencies => { greet => '9' }, seconds => 60, bytes => 100_000,
        check => Cpanel::JSON::XS::true });
    is $child->receive->{payload}{detail}, 'greet@9: no version matches', 'and the registry is asked';
};

for my $levels (['bubblewrap', 'none'], ['none', 'host']) {
    my ($isolation, $egress) = @$levels;
    subtest "a cache in place of the registry, Isolation $isolation" => sub {
        my $obstacle = $isolation ne 'none' && Serverless::Cage->new(Egress => $egress)->obstacle;
        plan skip_all => "no cage on this machine: $obstacle" if $obstacle;
        my $cache = Serverless::Server->logs . "/npm-cache-$isolation";
        $registry->fill($cache, 'uses-greet@1.0.0');
        system("chmod -R a-w '$cache'") == 0 or die "chmod: $?\n";
        my $before = $registry->requests;
        my $offline = Serverless::Runner->start("offline_$isolation", lines => [@install, "NpmCache $cache"],
            isolation => $isolation, egress => $egress);
        my $child = $offline->connect_child;
        my %request = (runtime => 'node20', seconds => 60, bytes => 100_000);
        $child->send(INSTALL => 1, { %request, dependencies => { 'uses-greet' => '^1.0.0' } });
        my @messages = $child->receive;
        push @messages, $child->receive while $messages[-1]{type} eq 'FILE';
        is_deeply [ map { $_->{type} } @messages ], [qw(FILE FILE INSTALLED)], 'packages are resolved' or diag explain \@messages;
        is $messages[-1]{payload}{sha256}, bundle_of($first), 'to the same archive';
        for my $case (
            ['a check: it has the package', { greet => '1' }, 'INSTALLED', undef, qr/^$/],
            ['a check: it has the package, and not the version', { greet => '9' }, 'REFUSED', 'dependencies', qr/^greet\@9: no version matches$/],
            ['a check: it does not have the package, which refuses no Build', { 'runs-script' => '*' }, 'REFUSED', 'install', qr/^ENOTCACHED: /],
        ) {
            my ($name, $dependencies, $type, $reason, $detail) = @$case;
            $child->send(INSTALL => 2, { %request, dependencies => $dependencies, check => Cpanel::JSON::XS::true });
            my $answer = $child->receive;
            is_deeply [$answer->{type}, $answer->{payload}{reason}], [$type, $reason], $name or diag explain $answer;
            like $answer->{payload}{detail} // '', $detail, "$name: detail";
        }
        is $registry->requests, $before, 'the registry was not asked';
    };
}


# The end ----------------------------------------------------------------------------------

subtest 'a Runtime that the runner does not have' => sub {
    my $refused = $project->api->post($project->path('/Builds'), Serverless::Project::parameters($function), Runtime => 'node24');
    is_error $refused, 400, 20001, 'Runtime is not one that this server offers (node18 node20 node22)', 'node24';
    $runner->terminate;
    is $project->api->post($project->path('/Builds'), Serverless::Project::parameters($function), Runtime => 'node24')->status, 201,
        'is accepted while the runner is away';
    my $asking = server('alone', $runner, "30s\nServerlessDependencyCheck 60s\n");
    is try_build($project->by(client($asking)), { nothing => '3' }, $function)->status, 201, 'as are Dependencies';
    $runner->run;
};

done_testing;
