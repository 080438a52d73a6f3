# twilio-run deploys a user's project to this server as it would to Twilio's, lists it,
# changes its variables and promotes it to another Environment. The suite then compares the
# result in the API with the project, byte for byte.
use strict;
use warnings FATAL => 'all';
use utf8;

use Apache::Test qw(-withtestmore);
use JSON::PP ();
use Serverless::Client;
use Serverless::Runner;
use Serverless::Server;
use Serverless::Test;
use Serverless::Toolkit;
use Test::More;

my $api = Serverless::Client->account;
my $project = Serverless::Toolkit->new($api, 'shop');
my ($service, $dev, $first, $second); # the Service, its Environment, and two Builds

# twilio-run ended with success.
sub succeeded {
    my ($run, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is $run->{status}, 0, $name or diag explain $run;
}

# It did not, and says why.
sub failed {
    my ($run, $message, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is_deeply { status => $run->{status}, said => $run->{messages} =~ $message || $run->{messages} },
        { status => 1, said => 1 }, $name;
}

# Parses the output without a terminal: paragraphs of lines of words.
sub paragraphs {
    my ($text) = @_;
    my %paragraph;
    for my $paragraph (split /\n\n/, $text) {
        my ($title, @lines) = split /\s*\n/, $paragraph;
        $paragraph{$title} = [sort map { join ' ', split } @lines] if defined $title;
    }
    return \%paragraph;
}

sub json_of { JSON::PP->new->decode($_[0]{output}) }

sub lookup { my ($path) = @_; $project->fetched("/v1/Services/shop$path") }
sub listed { my ($path) = @_; $project->listed("/v1/Services/shop$path") }

# { key => value, ... }
sub variables_of {
    my ($environment) = @_;
    return { map { $_->{key} => $_->{value} } listed("/Environments/$environment->{sid}/Variables") };
}

# { path => SID of its Function or Asset, or of its Version if the key is 'sid' }
sub sids {
    my ($build, $key) = @_;
    return {
        (map { $_->{path} => $_->{ $key || 'function_sid' } } @{ $build->{function_versions} }),
        (map { $_->{path} => $_->{ $key || 'asset_sid' } } @{ $build->{asset_versions} }),
    };
}

subtest "the tests' tunnel leads to the server and nowhere else" => sub {
    my $tunnel = Serverless::Client->client->on('tunnel');
    my $connect = sub {
        my ($to) = @_;
        return $tunnel->raw_request("CONNECT $to HTTP/1.1", host => $to, half_close => 1)->status;
    };
    is $connect->("$_.twilio.com:443"), 200, "$_.twilio.com" for qw(serverless serverless-upload);
    is $connect->($_), 403, "the tunnel does not lead to $_" for 'api.twilio.com:443', 'serverless.twilio.com:80',
        'serverless.twilio.com.example.com:443', 'serverless-twilio.com:443';
    is $tunnel->raw_request('GET http://serverless.twilio.com/v1/Services HTTP/1.1')->status, 403,
        'the tunnel does not lead to the server without TLS';
};

subtest 'twilio-run deploy' => sub {
    my $run = $project->run('deploy');
    succeeded $run, 'twilio-run deploy';

    ($service) = $project->listed('/v1/Services');
    ($dev) = listed('/Environments');
    ($first) = listed('/Builds');
    my $said = paragraphs($run->{output});
    is_deeply $said->{deploymentInfo}, [sort
        "buildSid $first->{sid}", "domain $service->{domain_base}-dev.twil.io", "environmentSid $dev->{sid}",
        'environmentSuffix dev', 'runtime node22', 'serviceName shop', "serviceSid $service->{sid}",
        "viewLiveLogs https://console.twilio.com/us1/develop/functions/editor/$service->{sid}/environment/$dev->{sid}",
    ], 'says what it has made';
    for my $kind ('functions', 'assets') {
        is_deeply $said->{$kind}, [sort map {
            my $file = $project->files->{"$kind $_"};
            "$file->{visibility} $_ https://$service->{domain_base}-dev.twil.io$_"
        } $project->paths($kind)], "twilio-run prints where each of the $kind is";
    }

    is $first->{status}, 'completed', 'the Build is completed';
    is $first->{runtime}, 'node22', 'the Build has the default Runtime';
    is_deeply { map { $_->{name} => $_->{version} } @{ $first->{dependencies} } }, $project->dependencies,
        'the Build has the dependencies of package.json';
    is_deeply $project->deployed($first), $project->files, 'the Build has each file of the project';
    is_deeply { map { $_ => $project->type_of($first, $_) } '/index.html', '/media/pixel.png', '/日本/地図.svg' },
        { '/index.html' => 'text/html', '/media/pixel.png' => 'image/png', '/日本/地図.svg' => 'image/svg+xml' },
        'the Assets as of the types that it said they are';

    is_deeply [$service->{unique_name}, $dev->{domain_suffix}, $dev->{unique_name}, $dev->{build_sid}],
        ['shop', 'dev', 'dev-environment', $first->{sid}], 'twilio-run reports the Build as deployed on dev';
    is_deeply variables_of($dev), $project->variables, 'the Environment has the variables of .env';
};

subtest 'twilio-run deploy again, with one file changed' => sub {
    $project->put('functions', 'hello.js', '/hello', 'public', "exports.handler = () => 'geändert';\n");
    my $run = $project->run('deploy', '--runtime', 'node20', '--output-format', 'json');
    succeeded $run, 'twilio-run deploy';

    ($second) = listed('/Builds');
    my $url = "https://$service->{domain_base}-dev.twil.io";
    my $said = json_of($run);
    for my $kind ('functions', 'assets') {
        $said->{$kind} = [sort { $a->{path} cmp $b->{path} } @{ $said->{$kind} }];
    }
    is_deeply $said, {
        domain => "$service->{domain_base}-dev.twil.io", serviceName => 'shop', serviceSid => $service->{sid},
        environmentSuffix => 'dev', environmentSid => $dev->{sid}, buildSid => $second->{sid}, runtime => 'node20',
        viewLiveLogs =>
            "https://console.twilio.com/us1/develop/functions/editor/$service->{sid}/environment/$dev->{sid}",
        map {
            my $kind = $_;
            ($kind => [map {
                { access => $project->files->{"$kind $_"}{visibility}, path => $_, url => "$url$_" }
            } $project->paths($kind)])
        } 'functions', 'assets',
    }, 'says what it has made';

    is_deeply [map { $_->{status} } listed('/Builds')], ['completed', 'completed'], 'a second Build';
    is $second->{runtime}, 'node20', 'the second Build has the Runtime that was asked for';
    is_deeply $project->deployed($second), $project->files, 'the second Build has the files as they are now';
    is_deeply sids($second), sids($first), 'the second Build has the Functions and Assets of the first';
    my %before = reverse %{ sids($first, 'sid') };
    is_deeply [grep { $before{$_} } values %{ sids($second, 'sid') }], [], 'the second Build has new Versions only';

    is_deeply [map { $_->{build_sid} } listed("/Environments/$dev->{sid}/Deployments")],
        [$second->{sid}, $first->{sid}], "the Environment's Deployments have the second Build, then the first";
    is lookup("/Environments/$dev->{sid}")->{build_sid}, $second->{sid}, 'the Environment dev has the second Build';
    is $api->delete("/v1/Services/shop/Builds/$second->{sid}")->status, 409, 'the deployed Build cannot be deleted';
    is $api->delete("/v1/Services/shop/Builds/$first->{sid}")->status, 204, 'the superseded Build can be deleted';
};

subtest 'twilio-run list' => sub {
    my $run = $project->run('list', 'services');
    succeeded $run, 'twilio-run list services';
    like $run->{output}, qr/^\Q$service->{sid}\E +shop +\Q$service->{date_created} $service->{date_updated}\E\s*$/m,
        'has the Service';

    $run = $project->run('list', 'environments,builds,functions,assets,variables', '--output-format', 'json');
    succeeded $run, 'twilio-run list environments,builds,functions,assets,variables';
    my %in = (environmentSid => $dev->{sid});
    is_deeply json_of($run), $project->seen({
        environments => [listed('/Environments')],
        builds       => [listed('/Builds')],
        functions    => { %in, entries => $second->{function_versions} },
        assets       => { %in, entries => $second->{asset_versions} },
        variables    => { %in, entries => [listed("/Environments/$dev->{sid}/Variables")] },
    }), 'has what the API has';
};

subtest 'twilio-run env' => sub {
    my %variables = %{ $project->variables };
    for my $case (['QUERY', 'changed = yes & no'], ['NEW', 'schön']) {
        my ($key, $value) = @$case;
        my $run = $project->run('env', 'set', '--key', $key, '--value', $value);
        succeeded $run, "twilio-run env set --key $key";
        like $run->{messages}, qr/^\s*$key has been set\s*$/, 'says that it is set';
        $variables{$key} = $value;
    }
    is_deeply variables_of($dev), \%variables, 'one variable is changed, and one is new';

    my $run = $project->run('env', 'list', '--show-values');
    succeeded $run, 'twilio-run env list';
    is_deeply [sort split /\n/, $run->{output}], [sort map { "$_ $variables{$_}" } keys %variables], 'has them all';

    $run = $project->run('env', 'unset', '--key', 'QUERY');
    succeeded $run, 'twilio-run env unset';
    like $run->{messages}, qr/^\s*QUERY has been deleted\s*$/, 'says that it is gone';
    delete $variables{QUERY};
    is_deeply variables_of($dev), \%variables, 'the Environment has the variables as twilio-run listed them';

    $run = $project->run('env', 'import');
    succeeded $run, 'twilio-run env import';
    is_deeply variables_of($dev), $project->variables, 'makes them those of .env';
};

subtest 'twilio-run promote' => sub {
    my $run = $project->run('promote', '--from', 'dev', '--to', 'stage', '--create-environment');
    succeeded $run, 'twilio-run promote';
    is $run->{output}, "$service->{domain_base}-stage.twil.io\n", 'says where the Build is now';
    my ($stage) = grep { $_->{domain_suffix} eq 'stage' } listed('/Environments');
    is_deeply [$stage->{unique_name}, $stage->{build_sid}], ['stage-environment', $second->{sid}],
        'the new Environment has the Build';
    is_deeply variables_of($stage), $project->variables, 'the promoted Environment has the variables of .env';

    failed $project->run('activate', '--to', 'stage', '--build-sid', $second->{sid}),
        qr/Failed API Request 20409 Environment already has requested deployment This is probably because/,
        'twilio-run activate with what is active already';

    $run = $project->run('promote', '--build-sid', $second->{sid}, '--production', '--create-environment',
        '--output-format', 'json');
    succeeded $run, 'twilio-run promote --production';
    my ($production) = grep { !defined $_->{domain_suffix} } listed('/Environments');
    is_deeply json_of($run), {
        serviceSid => $service->{sid}, environmentSid => $production->{sid}, buildSid => $second->{sid},
        domain => "$service->{domain_base}.twil.io",
    }, 'makes the Environment without a suffix';
};

subtest 'twilio-run logs' => sub {
    my $function = sids($second);
    my $add = sub {
        my ($path, $level, $message) = @_;
        my $sid = db()->selectrow_array('SELECT serverless.add_log(?, ?, ?, ?)', undef,
            $dev->{sid}, $function->{$path}, $level, $message);
        return lookup("/Environments/$dev->{sid}/Logs/$sid");
    };
    my @logs = ($add->('/hello', 'info', 'Grüße 🚀'), $add->('/empty', 'error', "two\nlines"));

    my $run = $project->run('logs');
    succeeded $run, 'twilio-run logs';
    is $run->{output}, join('', map { "[$_->{level}][$_->{date_created}]: $_->{message}\n" } reverse @logs),
        'has the entries, the last one first';

    $run = $project->run('logs', '--function-sid', $function->{'/hello'}, '--output-format', 'json');
    succeeded $run, 'twilio-run logs --function-sid';
    is_deeply json_of($run), $project->seen($logs[0]), 'has those of the Function';

    my $tail = $project->begin('logs', '--tail');
    ok wait_until { $tail->output =~ /two\nlines/ }, 'twilio-run logs --tail has the entries';
    $add->('/hello', 'info', 'later');
    ok wait_until { $tail->output =~ /: later$/m }, 'twilio-run logs --tail prints entries that are added later';
    my @lines = $tail->output =~ /\]: (.*)$/mg;
    is_deeply \@lines, ['Grüße 🚀', 'two', 'later'], 'twilio-run logs --tail prints each entry once, the last one last';
};

subtest 'twilio-run logs, of calls' => sub {
    my $tail = 'functions.example.com';
    my $runner = Serverless::Runner->start('toolkit');
    my $server = Serverless::Server->start('toolkit', Serverless::Server->database . $runner->directive
        . "ServerlessDomain $tail\nServerlessExecution On\n");
    my $printing = Serverless::Toolkit->new($api, 'printing', functions => { prints =>
        "exports.handler = (context, event, callback) => { console.log('hello', event.name); console.warn('careful'); callback(null, 'x'); };\n" });
    succeeded $printing->run('deploy'), 'twilio-run deploy';
    my ($environment) = $printing->listed('/v1/Services/printing/Environments');
    my $host = $environment->{domain_name} =~ s/twil\.io$/$tail/r;
    my $call = sub {
        my ($name) = @_;
        is(Serverless::Client->client->at($server->address)->undescribed
            ->raw_request("GET /prints?name=$name HTTP/1.1", host => $host)->status, 200, "a call for $name");
    };
    $call->('you');
    wait_until { $printing->listed("/v1/Services/printing/Environments/$environment->{sid}/Logs") == 2 };
    my $run = $printing->run('logs');
    succeeded $run, 'twilio-run logs';
    is_deeply [ $run->{output} =~ /^\[(\w+)\]\[[^]]+\]: (.*)$/mg ], [ WARNING => 'careful', INFO => 'hello you' ], 'has what the Function has printed';
    my $following = $printing->begin('logs', '--tail');
    ok wait_until { $following->output =~ /careful/ }, 'twilio-run logs --tail has it, too';
    $call->('others');
    ok wait_until { $following->output =~ /hello others/ }, 'twilio-run logs --tail prints what a Function prints meanwhile';
};

subtest "twilio-run reports the server's errors" => sub {
    failed $project->run('deploy', '--password', 'a' x 32),
        qr/Failed Deployment ERROR Failed API Request 20003 Authenticate/, 'a wrong token';

    my $broken = Serverless::Toolkit->new($api, 'shop',
        functions => { whole => 'exports.a = 1;', broken => 'exports.handler = (' });
    failed $broken->run('deploy'),
        qr/ERROR Service with name "shop" already exists with SID "\Q$service->{sid}\E"\./,
        'the Service was made from another directory';
    my $builds = () = listed('/Builds');
    is $builds, 1, 'a refused deploy makes no Build';

    failed $broken->run('deploy', '--override-existing-project'), qr/Failed Deployment ERROR undefined/,
        'a Function that does not compile, of which it says no more';
    my ($build) = listed('/Builds');
    is $build->{status}, 'failed', 'the Build has failed';
    like $build->{failure_reason}, qr{/broken}, 'the failed Build has the file in its reason';
    is lookup("/Environments/$dev->{sid}")->{build_sid}, $second->{sid},
        'the Environment keeps its Build after a failed deploy';
};

done_testing;
