# The shortest request that needs everything: httpd, credentials and database.
use strict;
use warnings FATAL => 'all';

use Apache::Test qw(-withtestmore);
use Serverless::Test;
use Test::More;

plan tests => 6;

my $api = Serverless::Client->account;

my $reply = $api->post('/v1/Services', UniqueName => 'smoke', FriendlyName => 'Smoke');
my $url = $api->base . '/v1/Services';
is $reply->status, 201, 'a Service can be created' or diag $reply->body;
like $reply->json->{sid}, sid('ZS'), 'the created Service has a SID';
like $reply->header('Twilio-Request-Id'), qr/^RQ[0-9a-f]{32}$/, 'the answer has a request id';

my $fetched = $api->get("/v1/Services/" . $reply->json->{sid});
is_reply $fetched, 200, $reply->json, 'the Service is fetched as it was created';

is_error(Serverless::Client->client->get('/v1/Services'), 401, 20003, qr/Authenticate/,
    'without credentials nothing is shown');
is $api->on('elsewhere')->undescribed->get('/v1/Services')->status, 404,
    'a host that does not ask for the API does not have it';
