# The Function resource: a named piece of JavaScript in a Service. Its source is in its
# Versions (t/function_versions.t); a Build (t/builds.t) takes Versions, and an
# Environment (t/environments.t) serves a Build.
#
# These are the five operations of the resource, each with the requests that a client
# sends and the whole answers to them. The edge cases that Functions and Assets share
# are in t/artifacts.t; t/guard.t has all reasons for which a delete is refused.
use strict;
use warnings FATAL => 'all';

use Apache::Test qw(-withtestmore);
use Serverless::Project;
use Serverless::Test;
use Test::More;

# A new account, a Service of it, and the list of the Service's Functions.
my $api = Serverless::Client->account;
my $service = $api->post('/v1/Services', UniqueName => 'shop', FriendlyName => 'Shop')->json;
my $functions = "/v1/Services/$service->{sid}/Functions";
my $url = $api->base . $functions;


subtest 'create a Function: POST /v1/Services/{ServiceSid}/Functions' => sub {
    my $created = $api->post($functions, FriendlyName => '/hello');
    my $sid = $created->json->{sid};
    is_reply $created, 201, {
        sid           => sid('ZH'), # ZH and 32 hexadecimal digits
        account_sid   => $api->user,
        service_sid   => $service->{sid},
        friendly_name => '/hello',
        date_created  => date, # such as 2020-01-02T03:04:05Z
        date_updated  => date,
        url           => "$url/$sid",
        links         => { function_versions => "$url/$sid/Versions" },
    }, 'create a Function: 201 and the Function';
    is $created->header('Location'), "$url/$sid", 'create a Function: Location is its url';
    is $created->json->{date_updated}, $created->json->{date_created},
        'create a Function: both dates are the same';

    is_reply $api->post($functions), 400, {
        code      => 20001,
        message   => 'Missing required parameter FriendlyName in the post body',
        more_info => 'https://www.twilio.com/docs/errors/20001',
        status    => 400,
    }, 'create a Function without FriendlyName: 400';

    is_reply $api->post($functions, FriendlyName => 'a' x 256), 400, {
        code      => 20001,
        message   => 'FriendlyName must not be longer than 255 characters',
        more_info => 'https://www.twilio.com/docs/errors/20001',
        status    => 400,
    }, 'create a Function with a FriendlyName of 256 characters: 400';

    my $no_service = 'ZS' . '0' x 32;
    is_reply $api->post("/v1/Services/$no_service/Functions", FriendlyName => '/hello'), 404, {
        code      => 20404,
        message   => "The requested resource /Services/$no_service/Functions was not found",
        more_info => 'https://www.twilio.com/docs/errors/20404',
        status    => 404,
    }, 'create a Function in a Service that does not exist: 404';
};

subtest 'fetch a Function: GET /v1/Services/{ServiceSid}/Functions/{Sid}' => sub {
    my $function = $api->post($functions, FriendlyName => '/fetched')->json;
    my $sid = $function->{sid};
    is_reply $api->get("$functions/$sid"), 200, {
        sid           => $sid,
        account_sid   => $api->user,
        service_sid   => $service->{sid},
        friendly_name => '/fetched',
        date_created  => $function->{date_created},
        date_updated  => $function->{date_updated},
        url           => "$url/$sid",
        links         => { function_versions => "$url/$sid/Versions" },
    }, 'fetch a Function: 200 and the Function';
    is_reply $api->get("/v1/Services/shop/Functions/$sid"), 200, $function,
        'fetch a Function of a Service named by UniqueName: the same answer';

    my $no_function = 'ZH' . '0' x 32;
    is_reply $api->get("$functions/$no_function"), 404, {
        code      => 20404,
        message   => "The requested resource /Services/$service->{sid}/Functions/$no_function was not found",
        more_info => 'https://www.twilio.com/docs/errors/20404',
        status    => 404,
    }, 'fetch a Function that does not exist: 404';
};

subtest 'read multiple Functions: GET /v1/Services/{ServiceSid}/Functions' => sub {
    my $sid = $api->post('/v1/Services', UniqueName => 'list', FriendlyName => 'List')->json->{sid};
    my $list = "/v1/Services/$sid/Functions";
    my $base = $api->base . $list;

    is_reply $api->get($list), 200, {
        functions => [],
        meta      => {
            first_page_url    => "$base?PageSize=50&Page=0",
            key               => 'functions',
            next_page_url     => undef,
            page              => 0,
            page_size         => 50,
            previous_page_url => undef,
            url               => "$base?PageSize=50&Page=0",
        },
    }, 'read the Functions of a new Service: 200 and an empty page';

    my ($first, $second, $third) =
        map { $api->post($list, FriendlyName => "/$_")->json } qw(first second third);
    is_reply $api->get($list), 200, {
        functions => [
            map { {
                sid           => $_->{sid},
                account_sid   => $api->user,
                service_sid   => $sid,
                friendly_name => $_->{friendly_name},
                date_created  => $_->{date_created},
                date_updated  => $_->{date_updated},
                url           => "$base/$_->{sid}",
                links         => { function_versions => "$base/$_->{sid}/Versions" },
            } } $third, $second, $first
        ],
        meta      => {
            first_page_url    => "$base?PageSize=50&Page=0",
            key               => 'functions',
            next_page_url     => undef,
            page              => 0,
            page_size         => 50,
            previous_page_url => undef,
            url               => "$base?PageSize=50&Page=0",
        },
    }, 'read multiple Functions: 200 and all of them, newest first';

    # A client turns pages with the URLs of meta; PageToken is for the server alone.
    my $page = $api->get($list, PageSize => 2);
    is_reply $page, 200, {
        functions => [ $third, $second ],
        meta      => {
            first_page_url    => "$base?PageSize=2&Page=0",
            key               => 'functions',
            next_page_url     => qr/^\Q$base?PageSize=2&Page=1&PageToken=\EPT[\w-]+$/,
            page              => 0,
            page_size         => 2,
            previous_page_url => undef,
            url               => "$base?PageSize=2&Page=0",
        },
    }, 'read Functions with PageSize=2: the first page has the two newest';
    my $next = $page->json->{meta}{next_page_url};
    is_reply $api->get($next), 200, {
        functions => [ $first ],
        meta      => {
            first_page_url    => "$base?PageSize=2&Page=0",
            key               => 'functions',
            next_page_url     => undef,
            page              => 1,
            page_size         => 2,
            previous_page_url => qr/^\Q$base?PageSize=2&Page=0&PageToken=\EPT[\w-]+$/,
            url               => $next,
        },
    }, 'read Functions at next_page_url: the second page has the last one';

    is_reply $api->get($list, FriendlyName => '/second'), 200, {
        functions => [ $second ],
        meta      => {
            first_page_url    => "$base?FriendlyName=%2fsecond&PageSize=50&Page=0",
            key               => 'functions',
            next_page_url     => undef,
            page              => 0,
            page_size         => 50,
            previous_page_url => undef,
            url               => "$base?FriendlyName=%2fsecond&PageSize=50&Page=0",
        },
    }, 'read Functions with FriendlyName=/second: the Functions of that name alone';

    is_reply $api->get($list, PageSize => 0), 400, {
        code      => 20001,
        message   => 'PageSize must be a whole number from 1 to 1000',
        more_info => 'https://www.twilio.com/docs/errors/20001',
        status    => 400,
    }, 'read Functions with PageSize=0: 400';
};

subtest 'update a Function: POST /v1/Services/{ServiceSid}/Functions/{Sid}' => sub {
    my $function = $api->post($functions, FriendlyName => '/old')->json;
    my $sid = $function->{sid};
    my $updated = {
        sid           => $sid,
        account_sid   => $api->user,
        service_sid   => $service->{sid},
        friendly_name => '/new',
        date_created  => $function->{date_created},
        date_updated  => date,
        url           => "$url/$sid",
        links         => { function_versions => "$url/$sid/Versions" },
    };
    is_reply $api->post("$functions/$sid", FriendlyName => '/new'), 200, $updated,
        'update a Function: 200 and the updated Function';
    is_reply $api->get("$functions/$sid"), 200, $updated, 'fetch a Function after its update: the new FriendlyName';

    is_reply $api->post("$functions/$sid"), 400, {
        code      => 20001,
        message   => 'Missing required parameter FriendlyName in the post body',
        more_info => 'https://www.twilio.com/docs/errors/20001',
        status    => 400,
    }, 'update a Function without FriendlyName: 400';

    my $no_function = 'ZH' . '0' x 32;
    is_reply $api->post("$functions/$no_function", FriendlyName => '/new'), 404, {
        code      => 20404,
        message   => "The requested resource /Services/$service->{sid}/Functions/$no_function was not found",
        more_info => 'https://www.twilio.com/docs/errors/20404',
        status    => 404,
    }, 'update a Function that does not exist: 404';
};

subtest 'delete a Function: DELETE /v1/Services/{ServiceSid}/Functions/{Sid}' => sub {
    my $sid = $api->post($functions, FriendlyName => '/deleted')->json->{sid};
    is_reply $api->delete("$functions/$sid"), 204, '', 'delete a Function: 204 and no body';

    my $not_found = {
        code      => 20404,
        message   => "The requested resource /Services/$service->{sid}/Functions/$sid was not found",
        more_info => 'https://www.twilio.com/docs/errors/20404',
        status    => 404,
    };
    is_reply $api->get("$functions/$sid"), 404, $not_found, 'fetch a Function after its deletion: 404';
    is_reply $api->delete("$functions/$sid"), 404, $not_found, 'delete a Function a second time: 404';
};

subtest 'delete a Function that an active Build contains: refused until the Build is inactive' => sub {
    my $project = Serverless::Project->new($api);
    my $function = $project->new_function('/deployed');
    my $version = $project->new_version(artifact => $function);
    my $build = $project->completed($version);
    my $environment = $project->new_environment('production');
    $project->deploy($environment, $build);

    is_reply $api->delete($function->{url}), 409, {
        code      => 20409,
        message   => q(Cannot delete Function because it's part of an active Build.),
        more_info => 'https://www.twilio.com/docs/errors/20409',
        status    => 409,
        details   => { builds => [ $build->{sid} ], environments => [ $environment->{sid} ] },
    }, 'delete a Function of a deployed Build: 409 and the SIDs of the Build and the Environment';
    is_reply $api->get($function->{url}), 200, $function, 'fetch a Function whose deletion was refused: unchanged';

    # The documented remedy: deploy another Build, or none, and delete the Function then.
    $project->deploy($environment, undef);
    is_reply $api->delete($function->{url}), 204, '', 'delete a Function of a Build no longer deployed: 204';
    is $api->get($function->{url})->status, 404, 'fetch that Function: 404';
};

done_testing;
