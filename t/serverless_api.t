# @twilio-labs/serverless-api, a library that other programs deploy with, against this server
# with an API key. Each of its results is compared with what the API itself answers.
use strict;
use warnings FATAL => 'all';
use utf8;

use Apache::Test qw(-withtestmore);
use JSON::PP ();
use Serverless::Test;
use Serverless::Toolkit;
use Test::More;

my $api = Serverless::Client->account;
my ($key, $secret) =
    db()->selectrow_array('SELECT * FROM serverless.create_api_key(?, ?)', undef, $api->user, 'deploy');
my %client = (username => $key, password => $secret);
my $project = Serverless::Toolkit->new($api, 'library');
my ($service, $dev, $build);

# What becomes of a method, with the API key or other credentials.
sub call {
    my ($method, $config, $credentials) = @_;
    return $project->call($credentials || \%client, $method, $config);
}

sub returned {
    my ($answer, $expected, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is_deeply $answer->{error} // $answer->{result}, $expected, $name;
}

# Answered by the API with an error.
sub refused {
    my ($answer, $status, $code, $message, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is_deeply $answer->{error}, {
        name => 'TwilioApiError', code => $code, message => $message,
        details => {
            code => $code, message => $message, more_info => "https://www.twilio.com/docs/errors/$code",
            status => $status,
        },
    }, $name;
}

sub listed { my ($path) = @_; $project->listed("/v1/Services/library$path") }

# A deployment of a project's directory.
sub deployment {
    my ($of, %more) = @_;
    return {
        cwd => $of->directory, serviceName => 'library', functionsEnv => 'dev', env => $of->variables,
        pkgJson => { dependencies => $of->dependencies }, %more,
    };
}

subtest 'TwilioServerlessApiClient.deployLocalProject deploys a project' => sub {
    my $answer = call(deployLocalProject => deployment($project, runtime => 'node18'));
    ($service) = $project->listed('/v1/Services');
    ($dev) = listed('/Environments');
    ($build) = listed('/Builds');

    my %sid = map { $_->{path} => $_->{function_sid} // $_->{asset_sid} }
        @{ $build->{function_versions} }, @{ $build->{asset_versions} };
    my %resources = map {
        my $kind = $_;
        ($kind => { map { $_ => [$_, $project->files->{"$kind $_"}{visibility}, $sid{$_}] } $project->paths($kind) });
    } 'functions', 'assets';
    for my $kind ('function', 'asset') {
        my $found = delete $answer->{result}{"${kind}Resources"};
        is_deeply { map { $_->{path} => [@$_{qw(name access sid)}] } @$found }, $resources{"${kind}s"},
            "deployLocalProject returns the ${kind}s";
    }
    returned $answer, {
        serviceSid => $service->{sid}, serviceName => 'library', environmentSid => $dev->{sid},
        buildSid => $build->{sid}, domain => "$service->{domain_base}-dev.twil.io", runtime => 'node18',
    }, 'deployLocalProject returns what it has made';

    my @messages = grep { !/^Waiting for deployment\. Current status: building$/ } @{ $answer->{messages} };
    is_deeply \@messages, [
        'Gathering Functions and Assets to deploy', 'Creating Service', 'Configuring "dev" environment',
        'Creating 52 Functions', 'Uploading 52 Functions', 'Creating 12 Assets', 'Uploading 12 Assets',
        'Waiting for deployment.', 'Setting environment variables', 'Activating deployment',
    ], 'deployLocalProject reports each step';

    is_deeply $project->deployed($build), $project->files, 'the Build has each file of the project';
    is_deeply { map { $_->{name} => $_->{version} } @{ $build->{dependencies} } }, $project->dependencies,
        'the Build has the dependencies of the project';
    is $dev->{build_sid}, $build->{sid}, 'the Build is deployed on dev';
};

subtest 'TwilioServerlessApiClient.list lists Services, Environments, Functions, Assets, Builds and Variables' => sub {
    returned call(list => { types => 'services' }), $project->seen({ services => [$service] }), 'Services';

    my @types = qw(environments builds functions assets variables);
    my %in = (environmentSid => $dev->{sid});
    my $everything = $project->seen({
        environments => [$dev],
        builds       => [$build],
        functions    => { %in, entries => $build->{function_versions} },
        assets       => { %in, entries => $build->{asset_versions} },
        variables    => { %in, entries => [listed("/Environments/$dev->{sid}/Variables")] },
    });
    returned call(list => { types => \@types, serviceName => 'library', environment => 'dev' }), $everything,
        'list by names of Service and Environment';
    returned call(list => { types => \@types, serviceSid => $service->{sid}, environment => $dev->{sid} }),
        $everything, 'list by SIDs of Service and Environment';
};

subtest 'TwilioServerlessApiClient.activateBuild deploys a Build to another Environment' => sub {
    my %to = (serviceSid => $service->{sid}, targetEnvironment => 'stage', env => { STAGE => 'yes' });
    my $answer = call(activateBuild => { %to, sourceEnvironment => 'dev', createEnvironment => JSON::PP::true });
    my ($stage) = grep { $_->{domain_suffix} eq 'stage' } listed('/Environments');
    returned $answer, {
        serviceSid => $service->{sid}, environmentSid => $stage->{sid}, buildSid => $build->{sid},
        domain => "$service->{domain_base}-stage.twil.io",
    }, 'activateBuild makes the target Environment and deploys the Build there';
    is $stage->{build_sid}, $build->{sid}, 'the target Environment has the Build';
    is_deeply { map { $_->{key} => $_->{value} } listed("/Environments/$stage->{sid}/Variables") }, { STAGE => 'yes' },
        'the target Environment has the variables';

    refused call(activateBuild => { %to, buildSid => $build->{sid} }), 409, 20409,
        'Environment already has requested deployment', 'activateBuild is refused where the Build is deployed already';
};

subtest 'TwilioServerlessApiClient.getLogs reads log entries' => sub {
    my %function = map { $_->{path} => $_->{function_sid} } @{ $build->{function_versions} };
    my $add = sub {
        my ($path, $message) = @_;
        my $sid = db()->selectrow_array('SELECT serverless.add_log(?, ?, ?, ?)', undef,
            $dev->{sid}, $function{$path}, 'warn', $message);
        return $project->seen($project->fetched("/v1/Services/library/Environments/$dev->{sid}/Logs/$sid"));
    };
    my ($one, $two) = ($add->('/hello', 'one'), $add->('/übung/größe', 'Zürich'));
    my @rest = map { $add->('/empty', "number $_") } 3 .. 60;

    my %of = (serviceSid => $service->{sid}, environment => 'dev');
    returned call(getLogs => \%of), [(reverse @rest)[0 .. 49]], 'the last 50';
    returned call(getLogs => { %of, filterByFunction => $function{'/hello'} }), [$one],
        'getLogs of a Function by SID';
    returned call(getLogs => { %of, filterByFunction => '/übung/größe' }), [$two], 'getLogs of a Function by name';
    returned call(getLogsStream => { %of, filterByFunction => $function{'/empty'}, limit => 1000 }), \@rest,
        'getLogs as a stream, the last entry last';
};

subtest 'TwilioServerlessApiClient sets, reads and removes environment variables' => sub {
    my %in = (serviceName => 'library', environment => 'dev');
    my %is = (serviceSid => $service->{sid}, environmentSid => $dev->{sid});
    my $variables = sub {
        my $answer = call(getEnvironmentVariables => { %in, keys => [], getValues => JSON::PP::true });
        return { map { $_->{key} => $_->{value} } @{ $answer->{result}{variables} } };
    };
    my %many = map { ("NUMBER_$_" => "$_") } 1 .. 60;
    returned call(setEnvironmentVariables => { %in, env => \%many, append => JSON::PP::true }), \%is, 'set many';
    is_deeply $variables->(), { %many, %{ $project->variables } }, 'beside those that are there';
    returned call(removeEnvironmentVariables => { %in, keys => ['NUMBER_1', 'NUMBER_60', 'NO_SUCH'] }), \%is,
        'remove some';
    delete @many{qw(NUMBER_1 NUMBER_60)};
    is_deeply $variables->(), { %many, %{ $project->variables } }, 'the others stay';
    my %one = (env => { GREETING => 'é' x 225 }, append => JSON::PP::false);
    returned call(setEnvironmentVariables => { %in, %one }), \%is, 'set one and remove all others';
    is_deeply $variables->(), $one{env}, 'the Environment has that variable only';
};

subtest "TwilioServerlessApiClient reports the server's errors" => sub {
    for my $case ([$key, 'a' x 32, 'a wrong secret'], ['AC' . '0' x 32, $secret, 'an account that is not there']) {
        my ($username, $password, $name) = @$case;
        refused call(list => { types => 'services' }, { username => $username, password => $password }),
            401, 20003, 'Authenticate', $name;
    }
    refused call(deployLocalProject => deployment($project, serviceSid => 'ZS' . '0' x 32)), 404, 20404,
        'The requested resource /Services/ZS' . '0' x 32 . ' was not found', 'a Service that is not there';
    is_deeply call(deployLocalProject => deployment($project))->{error}, {
        name => 'conflicting-servicename',
        message => qq(Service with name "library" already exists with SID "$service->{sid}".),
    }, 'a Service of this name is there';

    my $broken = Serverless::Toolkit->new($api, 'broken', functions => { broken => 'exports.handler = (' });
    my $answer = call(deployLocalProject => deployment($broken, overrideExistingService => JSON::PP::true));
    is $answer->{error}, 'failed', 'a Function that does not compile';
    is_deeply [map { $_->{status} } listed('/Builds')], ['failed', 'completed'],
        'the Build of the Function that does not compile has failed';
};

done_testing;
