# The Environment resource: create, list, fetch and delete, and its domain name.
use strict;
use warnings FATAL => 'all';

use Apache::Test qw(-withtestmore);
use Serverless::Project;
use Serverless::Test;
use Test::More;

my $api = Serverless::Client->account;
my $project = Serverless::Project->new($api);
my $environments = $project->path . '/Environments';
my $domain_base = $project->service->{domain_base};
my $taken = 'Environment with this UniqueName or DomainSuffix already exists.';

# The answer is an Environment, whole, that differs from the usual one as given.
sub is_environment {
    my ($reply, $status, $given, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $sid = ($reply->json || {})->{sid} // '';
    my $url = $project->service->{links}{environments} . "/$sid";
    is_reply $reply, $status, {
        sid           => sid('ZE'),
        account_sid   => $api->user,
        service_sid   => $project->sid,
        build_sid     => undef,
        unique_name   => 'production',
        domain_suffix => undef,
        domain_name   => "$domain_base.twil.io",
        date_created  => date,
        date_updated  => date,
        url           => $url,
        links         => {
            variables   => "$url/Variables",
            deployments => "$url/Deployments",
            logs        => "$url/Logs",
        },
        %$given,
    }, $name;
}

sub create { my (@form) = @_; return $api->post($environments, @form) }

sub rows {
    my ($table) = @_;
    return db()->selectrow_array('SELECT count(*) FROM serverless.' . ($table // 'environments')
        . ' WHERE service_id = ?', undef, substr $project->sid, 2);
}

sub remove_all {
    $api->delete($_->{url}) for @{ $api->get($environments)->json->{environments} };
}

subtest 'create an Environment' => sub {
    my $before = now;
    my $reply = create(UniqueName => 'production');
    my $after = now;
    is_environment $reply, 201, {}, 'without DomainSuffix: null, and the domain is the Service\'s';
    my $environment = $reply->json;
    is $reply->header('Location'), $environment->{url}, 'Location is the url of the new resource';
    is $environment->{date_updated}, $environment->{date_created}, 'date_updated of a new resource is its date_created';
    my ($created) = db()->selectrow_array(
        'SELECT extract(epoch FROM ?::timestamptz)', undef, $environment->{date_created});
    ok $before <= $created && $created <= $after, 'date_created is the present, in UTC';

    my %stage = (unique_name => 'stage-environment', domain_suffix => 'stage',
        domain_name => "$domain_base-stage.twil.io");
    is_environment create(UniqueName => 'stage-environment', DomainSuffix => 'stage',
        FriendlyName => 'ignored'), 201, \%stage,
            'an Environment with DomainSuffix and an unknown FriendlyName is created';
    remove_all;
    (my $by_name = $environments) =~ s{[^/]+(?=/Environments)}{$project->service->{unique_name}}e;
    is_environment $api->post($by_name, UniqueName => 'production'), 201, {}, 'under a Service named by UniqueName';
    remove_all;
};

subtest 'the JSON of an Environment, byte for byte' => sub {
    my $reply = create(UniqueName => "/caf\x{e9} \"1\"", DomainSuffix => 'a-1');
    my %is = %{ $reply->json };
    my $expected = <<"JSON";
{"sid":"$is{sid}","account_sid":"@{[ $api->user ]}","service_sid":"@{[ $project->sid ]}",
"build_sid":null,"unique_name":"/caf\xc3\xa9 \\"1\\"","domain_suffix":"a-1",
"domain_name":"$domain_base-a-1.twil.io",
"date_created":"$is{date_created}","date_updated":"$is{date_updated}","url":"$is{url}",
"links":{"variables":"$is{url}/Variables","deployments":"$is{url}/Deployments","logs":"$is{url}/Logs"}}
JSON
    $expected =~ s/\n//g;
    is $reply->body, $expected, 'properties in the documented order, what is not there is null';
    remove_all;
};

subtest 'DomainSuffix and domain name of a new Environment' => sub {
    for my $case (
        # DomainSuffix, its part of the domain name
        [ 'a',                'a' ],
        [ '7',                '7' ],
        [ 'dev-1',            'dev-1' ],
        [ 'a--b',             'a--b' ],
        [ 'Stage',            'stage' ],
        [ 'UPPER-CASE',       'upper-case' ],
        [ 'a' x 16,           'a' x 16 ],
    ) {
        my ($suffix, $label) = @$case;
        my %is = (unique_name => 'e', domain_suffix => $suffix, domain_name => "$domain_base-$label.twil.io");
        my $reply = create(UniqueName => 'e', DomainSuffix => $suffix);
        is_environment $reply, 201, \%is, "'$suffix' is kept, the domain in lower case";
        is_environment $api->get($reply->json->{url}), 200, \%is, 'a fetch afterwards returns the same';
        my $own = $api->on('own_domain');
        is $own->get("$environments/" . $reply->json->{sid})->json->{domain_name},
            "$domain_base-$label.functions.example.com", 'ServerlessDomain is what it ends with';
        remove_all;
    }
    is $api->on('own_domain')->post($environments, UniqueName => 'e')->json->{domain_name},
        "$domain_base.functions.example.com", 'without a suffix, too';
    remove_all;

    my $characters = q(DomainSuffix must consist of letters and digits, with '-' only between);
    for my $case (
        [ '',          'DomainSuffix must not be empty' ],
        [ 'a' x 17,    'DomainSuffix must not be longer than 16 characters' ],
        (map { [ $_, $characters ] } '-', '-a', 'a-', 'a.b', 'a_b', 'a b', ' a', "a\n", 'a/b', "caf\x{e9}", '*'),
    ) {
        my ($suffix, $message) = @$case;
        is_error create(UniqueName => 'e', DomainSuffix => $suffix), 400, 20001, $message, quoted($suffix);
    }
    is_error create(UniqueName => 'e', DomainSuffix => 'a', DomainSuffix => 'a'), 400, 20001,
        'DomainSuffix is given more than once', 'twice';
    is rows(), 0, 'refused requests leave the number of rows unchanged';
};

subtest 'UniqueName of a new Environment' => sub {
    for my $name ('a', 'x' x 100, "\x{1f600}" x 100, 'with spaces / and "quotes"', 'ZE' . '0' x 32) {
        my $reply = create(UniqueName => $name);
        is_environment $reply, 201, { unique_name => $name }, quoted($name);
        is_environment $api->get($reply->json->{url}), 200, { unique_name => $name }, 'a fetch afterwards returns the same';
        remove_all;
    }
    my $missing = 'Missing required parameter UniqueName in the post body';
    for my $case (
        [ 'missing',            $missing ],
        [ 'missing, not DomainSuffix', $missing, DomainSuffix => 'a' ],
        [ 'under another case', $missing, uniquename => 'a' ],
        [ 'empty',              $missing, UniqueName => '' ],
        [ '101 characters',     'UniqueName must not be longer than 100 characters', UniqueName => 'x' x 101 ],
        [ 'twice',              'UniqueName is given more than once', UniqueName => 'a', UniqueName => 'b' ],
    ) {
        my ($what, $message, @form) = @$case;
        is_error create(@form), 400, 20001, $message, $what;
    }
    is rows(), 0, 'refused requests leave the number of rows unchanged';
};

subtest 'UniqueName and DomainSuffix are unique in a Service' => sub {
    create(UniqueName => 'production');
    my $stage = create(UniqueName => 'stage', DomainSuffix => 'stage')->json;
    for my $case (
        [ 'UniqueName',                         UniqueName => 'stage', DomainSuffix => 'other' ],
        [ 'DomainSuffix',                       UniqueName => 'other', DomainSuffix => 'stage' ],
        [ 'both',                               UniqueName => 'stage', DomainSuffix => 'stage' ],
        [ 'DomainSuffix in another case',       UniqueName => 'other', DomainSuffix => 'STAGE' ],
        [ 'no DomainSuffix, a second time',     UniqueName => 'other' ],
        [ 'UniqueName of one without suffix',   UniqueName => 'production', DomainSuffix => 'other' ],
    ) {
        my ($what, @form) = @$case;
        is_error create(@form), 409, 20409, $taken, $what;
    }
    is rows(), 2, 'refused requests leave the number of rows unchanged';
    is_reply $api->get($stage->{url}), 200, $stage, 'the first is as it was';
    is create(UniqueName => 'STAGE', DomainSuffix => 'stage2')->status, 201,
        'UniqueName in another case is another';

    my $other = Serverless::Project->new($api);
    is $api->post($other->path . '/Environments', UniqueName => 'stage', DomainSuffix => 'stage')->status,
        201, 'a UniqueName taken in one Service is free in another';
    is $api->delete($stage->{url})->status, 204, 'the Environment of the name is deleted';
    is create(UniqueName => 'stage', DomainSuffix => 'Stage')->status, 201,
        'the UniqueName of a deleted Environment is free';
    remove_all;
};

subtest 'list and fetch Environments' => sub {
    my $page = $project->service->{links}{environments} . '?PageSize=50&Page=0';
    my $meta = {
        first_page_url => $page, key => 'environments', next_page_url => undef, page => 0,
        page_size => 50, previous_page_url => undef, url => $page,
    };
    is_reply $api->get($environments), 200, { environments => [], meta => $meta }, 'the list is empty before anything was created';
    my @made = ($project->new_environment, create(UniqueName => 'plain')->json, $project->new_environment);
    is $made[1]{domain_suffix}, undef, 'an Environment without DomainSuffix has null';
    is_reply $api->get($environments), 200, { environments => [ reverse @made ], meta => $meta },
        'the list has every resource as a fetch returns it, newest first';
    my $first = $api->get("$environments?PageSize=2")->json;
    my $second = $api->get($first->{meta}{next_page_url})->json;
    is_deeply [ @{ $first->{environments} }, @{ $second->{environments} } ], [ reverse @made ], 'the pages together have every resource, newest first';

    my $environment = $made[0];
    (my $capitals = $environment->{sid}) =~ s/^ZE(.*)/'ZE' . uc $1/e;
    is_reply $api->get($environment->{url}), 200, $environment, 'fetched by the url it has';
    is_reply $api->get("$environments/$capitals"), 200, $environment, 'fetched by SID in upper case';
    is_error $api->get("$environments/$environment->{unique_name}"), 404, 20404, qr/was not found$/,
        'an Environment is not found by UniqueName';
    remove_all;
};

subtest 'delete an Environment' => sub {
    my $bystander = $project->new_environment;
    my $environment = $project->new_environment;
    my $version = $project->new_version;
    my $build = $project->completed($version);
    $project->deploy($environment, $build);
    is $api->get($environment->{url})->json->{build_sid}, $build->{sid}, 'a Build is deployed';
    is $api->delete($build->{url})->status, 409, 'the Build on the Environment cannot be deleted';

    my $reply = $api->delete($environment->{url});
    is $reply->status, 204, 'the Environment is deleted all the same';
    is $reply->body, '', 'the answer has no body';
    is join(' ', map { rows($_) } qw(deployments pins)), '0 0', 'the Deployments of the deleted Environment are gone';
    (my $path = $environment->{url}) =~ s{^http://[^/]+/v1}{};
    is_error $api->$_("/v1$path"), 404, 20404, "The requested resource $path was not found",
        "$_ of the deleted Environment is 404"
        for qw(get delete);
    is_error $api->get("/v1$path/Deployments"), 404, 20404,
        "The requested resource $path/Deployments was not found", 'the Deployments of the deleted Environment are 404';
    is_reply $api->get($bystander->{url}), 200, $bystander, 'another resource of the same kind is unchanged';
    is $api->delete($build->{url})->status, 204, 'the Build can be deleted now';
    remove_all;
};

subtest 'an Environment is not found under another Service or by another account' => sub {
    my $environment = $project->new_environment;
    my $other = Serverless::Project->new($api);
    my $stranger = Serverless::Client->account;
    my $theirs = Serverless::Project->new($stranger);
    for my $case (
        [ 'another Service',            $api,      $other->sid, $environment->{sid} ],
        [ 'another account',            $stranger, $project->sid, $environment->{sid} ],
        [ 'another account\'s Service', $stranger, $theirs->sid, $environment->{sid} ],
        [ 'no such Environment',        $api,      $project->sid, 'ZE' . '0' x 32 ],
        [ 'a malformed SID',            $api,      $project->sid, 'ZE' . '0' x 31 ],
        [ 'a SID of another kind',      $api,      $project->sid, $project->sid ],
    ) {
        my ($what, $client, $service, $sid) = @$case;
        my $path = "/Services/$service/Environments/$sid";
        is_error $client->$_("/v1$path"), 404, 20404, "The requested resource $path was not found", "$what: $_"
            for qw(get delete);
    }
    (my $list = $environments) =~ s{^/v1}{};
    is_error $stranger->get("/v1$list"), 404, 20404, "The requested resource $list was not found", 'its list is not found by another account';
    is_error $stranger->post("/v1$list", UniqueName => 'x'), 404, 20404,
        "The requested resource $list was not found", 'another account cannot create there: 404';
    is_reply $api->get($environment->{url}), 200, $environment, 'refused requests leave the resource unchanged';

    my $reply = $api->post($environment->{url}, UniqueName => 'x');
    is_error $reply, 405, 20004, 'Method not allowed', 'POST of an Environment is 405';
    is $reply->header('Allow'), 'GET, HEAD, DELETE, OPTIONS', 'Allow has the methods of an Environment';
    remove_all;
};

subtest 'no two Environments have the same domain name, even in different Services' => sub {
    my ($short, $long) = map { Serverless::Project->new($_) } $api, Serverless::Client->account;
    my $name = 'clash-' . substr $short->sid, 2, 12;
    db()->do('UPDATE serverless.services SET domain_base = ? WHERE serverless.sid(?, id) = ?', undef, @$_)
        for [ $name, 'ZS', $short->sid ], [ "$name-stage", 'ZS', $long->sid ];
    my $first = $long->create($long->path . '/Environments', UniqueName => 'production');
    is $first->{domain_name}, "$name-stage.twil.io", 'a Service whose domain ends like a suffix';
    is_error $api->post($short->path . '/Environments', UniqueName => 'stage', DomainSuffix => 'stage'), 409, 20409,
        'Environment with this UniqueName or DomainSuffix already exists.',
            'the domain name of an Environment of another Service is taken: 409';
};

done_testing;
