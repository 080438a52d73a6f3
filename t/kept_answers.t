# What clients keep of answers, and what browsers take them for: Cache-Control
# and X-Content-Type-Options.
use strict;
use warnings FATAL => 'all';

use Apache::Test qw(-withtestmore);
use Serverless::Project;
use Serverless::Test;
use Test::More;

my $api = Serverless::Client->account;
my $project = Serverless::Project->new($api);
my $services = $project->path;
my $version = $project->new_version;
my $asset_version = $project->new_version(kind => "asset");
my $environment = $project->new_environment;
my ($log) = db()->selectrow_array('SELECT serverless.add_log(?, ?, ?, ?)', undef, $environment->{sid},
    $version->{function_sid}, 'info', 'the token is 1234');
my $variables = $environment->{links}{variables};
my $logs = $environment->{links}{logs};


# Secrets and sources ----------------------------------------------------------------

my $created = $api->post($variables, Key => 'token', Value => '1234');
my $variable = $created->json;
for my $case (
    ['a new Variable',           $created],
    ['a Variable',               $api->get($variable->{url})],
    ['a Variable, changed',      $api->post($variable->{url}, Value => '12345')],
    ['a Variable, not changed',  $api->post($variable->{url})],
    ['a Variable, as before',    $api->with('If-None-Match' => '*')->get($variable->{url}), 304],
    ['a Variable, HEAD',         $api->head($variable->{url})],
    ['Variables',                $api->get($variables)],
    ['Variables, page by page',  $api->get($variables, PageSize => 1)],
    ['an entry of a log',        $api->get("$logs/$log")],
    ['a log',                    $api->get($logs)],
    ['the source of a Function', $api->get("$version->{url}/Content")],
    ['the same, as before',      $api->with('If-None-Match' => '*')->get("$version->{url}/Content"), 304],
    ['the bytes of an Asset',    $api->get("$asset_version->{url}/Content")],
    ['some of these',            $api->with(Range => 'bytes=0-0')->get("$asset_version->{url}/Content"), 206],
    ['the same, as before',      $api->with('If-None-Match' => '*')->get("$asset_version->{url}/Content"), 304],
) {
    my ($what, $reply, $status) = @$case;
    like $reply->status, $status ? qr/^$status$/ : qr/^20[01]$/, $what;
    is $reply->header('Cache-Control'), 'no-store', '- is not to be stored';
}

my $keyed = $api->with('Idempotency-Key' => 'kept');
for my $time ('created once', 'and told again') {
    my $reply = $keyed->post($variables, Key => 'once', Value => '1234');
    is_deeply [$reply->status, $reply->header('Cache-Control')], [201, 'no-store'], "a Variable $time";
}
is $api->with('If-None-Match' => $api->get($variable->{url})->header('ETag'))->get($variable->{url})->status, 304,
    'conditions count all the same';

for my $url ($project->service->{url}, $version->{url}, $asset_version->{url}, $environment->{url}) {
    is $api->get($url)->header('Cache-Control'), 'no-cache', "$url may be, but not shown without asking";
}


# Types --------------------------------------------------------------------------------

my $nobody = Serverless::Client->client;
my $path = '/v1/Services';
for my $case (
    [200, 'a list',                            $api->get($path)],
    [201, 'what was created',                  $api->post("$services/Functions", FriendlyName => 'f')],
    [204, 'nothing',                           $api->delete($variable->{url})],
    [304, 'no change',                         $api->with('If-None-Match' => '*')->get($version->{url})],
    [204, 'OPTIONS',                           $api->request(OPTIONS => $path)],
    [204, 'a preflight',                       $nobody->on('cors')->with(Origin => 'https://app.example.com',
                                                   'Access-Control-Request-Method' => 'GET')->request(OPTIONS => $path)],
    [400, 'a wrong parameter',                 $api->post("$services/Functions")],
    [401, 'no credentials',                    $nobody->get($path)],
    [403, 'no authentication',                 $nobody->on('unprotected')->get($path)],
    [404, 'no such resource',                  $api->get($variable->{url})],
    [404, 'no such path',                      $api->undescribed->get("$path/a/b/c")],
    [405, 'no such method',                    $api->request(PUT => $path)],
    [409, 'a conflict',                        $api->post($path, UniqueName => $project->service->{unique_name}, FriendlyName => 'f')],
    [412, 'another revision',                  $api->with('If-Match' => '"a"')->delete($version->{url} =~ s{/Versions.*}{}r)],
    [413, 'too much',                          $api->post($path, UniqueName => 'a', FriendlyName => 'x' x 300_000)],
    [415, 'another type of body',              $api->request(POST => $path, '{}', 'application/json')],
    [416, 'no such range',                     $api->with(Range => 'bytes=999999-')->get("$asset_version->{url}/Content")],
    # what httpd refuses before the Location is known
    [400, 'a request that is none',            $api->raw("GET $path HTTP/1.1\r\n\r\n")],
    [400, 'a path that cannot be decoded',     $api->raw_request("GET $path/%zz HTTP/1.1")],
    [404, 'a slash that is encoded',           $api->raw_request("GET $path/a%2fb HTTP/1.1")],
    [414, 'a line that is too long',           $api->raw_request("GET $path?" . 'a' x 9000 . ' HTTP/1.1')],
    [400, 'a header that is too long',         $api->raw_request("GET $path HTTP/1.1", headers => ['X: ' . 'a' x 9000])],
    [417, 'an expectation',                    $api->raw_request("POST $path HTTP/1.1", headers => ['Expect: more', 'Content-Length: 0'])],
    [404, 'a file that is not there',          $api->undescribed->get('/not/there')],
) {
    my ($status, $what, $reply) = @$case;
    is $reply->status, $status, "$what: $status";
    is $reply->header('X-Content-Type-Options'), 'nosniff', '- no browser is to guess what it is';
}

make_file('alias.txt', 'of Alias');
is $api->undescribed->on('cors')->get("$path/alias")->header('X-Content-Type-Options'), undef, 'what Alias has put there is not ours';
make_file('kept.txt', "a file\n");
my $file = $api->get('/kept.txt');
is_deeply [$file->status, $file->header('X-Content-Type-Options')], [200, undef], 'files of the same host are not ours to say';

my $description = $nobody->get('/v1/openapi.yaml');
is_deeply [$description->status, $description->header('X-Content-Type-Options')], [200, 'nosniff'], 'the description is';

done_testing;
