# A project with every feature that the field's public templates use, deployed by twilio-run as it is. Its calls of
# Twilio's API go to a server of this suite's own on loopback.
use strict;
use warnings FATAL => 'all';
use utf8;

use Apache::Test qw(-withtestmore);
use IPC::Open2 qw(open2);
use JSON::PP ();
use Serverless::Runner;
use Serverless::Server;
use Serverless::Test;
use Serverless::Toolkit;
use Test::More;

my $TAIL = 'functions.example.com';
my $PIXEL = pack 'H*', '89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154789c63f8cfc000'
    . '0003010100c9fe92ef0000000049454e44ae426082';

# The upstream ------------------------------------------------------------------------------

# It stands for Twilio's API: it answers a message with its parameters and credentials.
my ($from_upstream, $to_upstream);
my $upstream = open2($from_upstream, $to_upstream, $ENV{NODE}, '-e', <<'JS');
const server = require('http').createServer((request, response) => {
  let body = '';
  request.on('data', (more) => { body += more; }).on('end', () => {
    response.setHeader('Content-Type', 'application/json');
    response.statusCode = request.url.endsWith('/Messages.json') ? 201 : 200;
    response.end(JSON.stringify({ sid: 'SM' + '1'.repeat(32), status: 'queued', body: new URLSearchParams(body).get('Body'),
      to: new URLSearchParams(body).get('To'), account_sid: request.headers.authorization ?? 'none' }));
  });
}).listen(0, '127.0.0.1', () => console.log(server.address().port));
process.stdin.resume().on('end', () => process.exit());
JS
chomp(my $port = <$from_upstream>);
END { local $?; close $to_upstream if $to_upstream; waitpid $upstream, 0 if $upstream }


# The project -------------------------------------------------------------------------------

my $api = Serverless::Client->account;
my $project = Serverless::Toolkit->new($api, 'features', functions => {});
$project->write('package.json', '{"name":"features","version":"1.0.0","dependencies":{"twilio":"^6.0.0"}}');
$project->write('.env', Serverless::Toolkit::dotenv(ACCOUNT_SID => $api->user, AUTH_TOKEN => $api->password,
    GREETING => 'Grüße', UPSTREAM => "http://127.0.0.1:$port"));

my %functions = (
    'hello.js' => 'callback(null, `${context.GREETING} ${event.name} ${process.env.GREETING}`);',
    'sms/reply.protected.js' => q(const twiml = new Twilio.twiml.MessagingResponse();
        twiml.message(`You said: ${event.Body}`);
        callback(null, twiml);),
    'voice/welcome.js' => q(const { shout } = require(Runtime.getFunctions()['lib/text'].path);
        const twiml = new Twilio.twiml.VoiceResponse();
        twiml.gather({ numDigits: 1, action: '/voice/menu' }).say({ voice: 'alice' }, shout('press 1'));
        callback(null, twiml);),
    'api/items.js' => q(const response = new Twilio.Response();
        response.appendHeader('Content-Type', 'application/json');
        response.appendHeader('Access-Control-Allow-Origin', '*');
        response.setBody({ method: event.request.method, ids: event.ids, data: JSON.parse(Runtime.getAssets()['/data.json'].open()) });
        callback(null, response);),
    'login.js' => q(const response = new Twilio.Response();
        response.setCookie('session', 'a1', ['HttpOnly', 'Path=/']);
        response.setBody(event.request.cookies.session ?? 'no session');
        callback(null, response);),
    'asset.js' => q(callback(null, require(Runtime.getAssets()['/util.js'].path).twice(21)
        + ' ' + require('fs').readFileSync(Runtime.getAssets()['/words/list.txt'].path, 'utf8'));),
    'image.js' => q(const response = new Twilio.Response();
        response.appendHeader('Content-Type', 'image/png');
        response.setBody(Buffer.from(Runtime.getAssets()['/pixel.b64'].open(), 'base64'));
        callback(null, response);),
    'audio.js' => q(const response = new Twilio.Response();
        response.appendHeader('Content-Type', 'audio/wav');
        response.setBody(Buffer.concat([Buffer.from('RIFF'), Buffer.alloc(4, 0xff)]));
        callback(null, response);),
    'away.js' => q(const response = new Twilio.Response();
        response.setStatusCode(302);
        response.appendHeader('Location', 'https://example.com/');
        callback(null, response);),
    'missing.js' => q(const response = new Twilio.Response();
        response.setStatusCode(404);
        response.appendHeader('Content-Type', 'text/html');
        response.setBody('<h1>Not here</h1>');
        callback(null, response);),
    'failing.js' => q(callback(new Error('no credit'));),
    'throwing.js' => q(context.absent.call();),
    'token.js' => q(const token = new Twilio.jwt.AccessToken('AC1', 'SK1', 'secret', { identity: 'you' });
        token.addGrant(new Twilio.jwt.AccessToken.VideoGrant({ room: 'r' }));
        callback(null, { parts: token.toJwt().split('.').length });),
    'fetching.js' => q(fetch(`${context.UPSTREAM}/status`).then((reply) => reply.json())
        .then(({ status }) => callback(null, { status }), callback);),
);
for my $file (keys %functions) {
    $project->write("functions/$file", Serverless::Toolkit::bytes("exports.handler = function (context, event, callback) {\n$functions{$file}\n};\n"));
}
$project->write('functions/lib/text.private.js', "exports.shout = (text) => text.toUpperCase();\n");
# the library's client, with a transport that leads to the upstream
$project->write('functions/send.js', <<'JS');
const http = require('http');

const transport = (upstream) => ({
  request: ({ method, uri, data, headers, username, password }) => new Promise((resolve, reject) => {
    const { pathname, search } = new URL(uri);
    http.request(upstream + pathname + search, { method, headers, auth: `${username}:${password}` }, (reply) => {
      let body = '';
      reply.on('data', (more) => { body += more; }).on('end', () => resolve({ statusCode: reply.statusCode, body: JSON.parse(body) }));
    }).on('error', reject).end(data && new URLSearchParams(data).toString());
  }),
});

exports.handler = async (context, event, callback) => {
  try {
    const client = context.getTwilioClient({ httpClient: transport(context.UPSTREAM) });
    const message = await client.messages.create({ to: event.to, from: '+15005550006', body: context.GREETING });
    callback(null, { sid: message.sid, to: message.to, body: message.body, credentials: message.accountSid });
  } catch (error) {
    callback(error);
  }
};
JS
$project->write('assets/index.html', "<!doctype html><title>Features</title>\n");
$project->write('assets/pixel.png', $PIXEL);
$project->write('assets/data.private.json', '{"list":[1,2]}');
$project->write('assets/util.private.js', "exports.twice = (n) => 2 * n;\n");
$project->write('assets/words/list.private.txt', "one two\n");
$project->write('assets/pixel.private.b64', do { require MIME::Base64; MIME::Base64::encode_base64($PIXEL, '') });
$project->write('assets/report.protected.txt', "secret\n");


# Deploying ------------------------------------------------------------------------------------

sub admin {
    my (@arguments) = @_;
    return scalar `'$ENV{SOURCE}/bin/serverless-admin' -d 'host=$ENV{DATABASE} dbname=serverless user=serverless_owner' -k '$ENV{VARIABLE_KEYS}' @arguments`;
}

my $run = $project->run('deploy', '--runtime', 'node20');
is $run->{status}, 0, 'twilio-run deploy' or diag explain $run;
my ($service) = $project->listed('/v1/Services');
my ($environment) = $project->listed("/v1/Services/$service->{sid}/Environments");
my $host = $environment->{domain_name} =~ s/\..*/.$TAIL/r;
admin('signing-key', 'create', $service->{account_sid});
my ($token) = admin('signing-key', 'show', $service->{account_sid}, $service->{sid}) =~ /=(\S+)/;

my $runner = Serverless::Runner->start('templates', lines => ["Twilio $ENV{SOURCE}/t/sdk/node_modules"]);
my $server = Serverless::Server->start('templates', Serverless::Server->database . $runner->directive
    . "ServerlessDomain $TAIL\nServerlessExecution On\nServerlessQueueTimeout 20s\n");

sub ask {
    my ($line, %part) = @_;
    return Serverless::Client->client->at($server->address)->undescribed->raw_request("$line HTTP/1.1", host => $host, %part);
}

sub post {
    my ($path, $type, $body, @headers) = @_;
    return ask("POST $path", headers => ["Content-Type: $type", 'Content-Length: ' . length $body, @headers], body => $body);
}

# The status, the type and the body of an answer.
sub is_answer {
    my ($reply, $status, $type, $body, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is_deeply [ $reply->status, $reply->header('Content-Type'), $reply->body ], [ $status, $type, $body ], $name;
}

my $TEXT = 'text/plain; charset=utf-8';
my $XML = 'text/xml; charset=utf-8';
my $DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>';
my $greeting = Serverless::Toolkit::bytes('Grüße');


# Calling ----------------------------------------------------------------------------------------

is_answer ask('GET /hello?name=you'), 200, $TEXT, "$greeting you $greeting", 'Variables of .env';
is_answer ask('GET /voice/welcome'), 200, $XML,
    "$DECLARATION<Response><Gather numDigits=\"1\" action=\"/voice/menu\"><Say voice=\"alice\">PRESS 1</Say></Gather></Response>",
    'a nested path, a private helper, TwiML';
is ask('GET /lib/text')->status, 404, 'the helper itself is not served';

subtest 'a protected webhook' => sub {
    my @request = ('/sms/reply', 'application/x-www-form-urlencoded', 'Body=hello+there&From=%2B15005550006');
    is post(@request)->status, 403, 'without a signature';
    my $pid = open2(my $output, my $input, $ENV{NODE}, "$ENV{SOURCE}/t/sdk/sign.js");
    print $input JSON::PP->new->encode([{ token => $token, url => "https://$host/sms/reply",
        params => { Body => 'hello there', From => '+15005550006' } }]);
    close $input;
    my ($signature) = @{ JSON::PP->new->decode(do { local $/; <$output> }) };
    waitpid $pid, 0;
    is_answer post(@request, "X-Twilio-Signature: $signature"), 200, $XML,
        "$DECLARATION<Response><Message>You said: hello there</Message></Response>", 'with one';
};

is_answer post('/api/items?ids=1&ids=2', 'application/json', '{"a":1}'), 200, 'application/json',
    '{"method":"POST","ids":["1","2"],"data":{"list":[1,2]}}', 'a JSON API';
is ask('OPTIONS /api/items')->status, 204, 'which a page of another origin may ask';

my $login = ask('GET /login');
is_deeply [ $login->body, $login->header('Set-Cookie') ], ['no session', 'session=a1; HttpOnly; Path=/; Secure'], 'a cookie is set';
is ask('GET /login', headers => ['Cookie: session=a1'])->body, 'a1', 'and read';

is_answer ask('GET /asset'), 200, $TEXT, "42 one two\n", 'private Assets: a module, and a file that is read';
is_answer ask('GET /image'), 200, 'image/png', $PIXEL, 'an image';
is_answer ask('GET /audio'), 200, 'audio/wav', "RIFF\xff\xff\xff\xff", 'audio';
is_answer ask('GET /pixel.png'), 200, 'image/png', $PIXEL, 'an Asset';
is_answer ask('GET /index.html'), 200, 'text/html', "<!doctype html><title>Features</title>\n", 'a page';
is ask('GET /report.txt')->status, 403, 'a protected Asset';

my $away = ask('GET /away');
is_deeply [ $away->status, $away->header('Location') ], [302, 'https://example.com/'], 'a redirection';
is_answer ask('GET /missing'), 404, 'text/html', '<h1>Not here</h1>', 'an error page';
is_answer ask('GET /failing'), 500, 'application/json', '{"message":"no credit","name":"Error"}', 'callback with an error';
like ask('GET /throwing')->body, qr/"name":"TypeError"/, 'an exception';

is ask('GET /token')->body, '{"parts":3}', 'an access token';
is ask('GET /fetching')->body, '{"status":"queued"}', 'fetch()';
require MIME::Base64;
my $sent = JSON::PP->new->utf8->decode(ask('GET /send?to=%2B15005550001')->body);
is_deeply $sent, {
    sid => 'SM' . '1' x 32, to => '+15005550001', body => 'Grüße',
    credentials => 'Basic ' . MIME::Base64::encode_base64("$service->{account_sid}:$token", ''),
}, 'the client of the library, with the credentials of the context';


# The package twilio ---------------------------------------------------------------------------------

subtest 'serverless-admin runtime install' => sub {
    my $folder = Serverless::Server->logs . '/packages';
    mkdir $folder;
    mkdir "$folder/$_" for 'made', 'made/node_modules', 'made/node_modules/twilio';
    for my $file ("$folder/made/node_modules/twilio/package.json") {
        open my $out, '>', $file or die "$file: $!\n";
        print $out '{"name":"twilio","version":"1.0.0"}';
        close $out;
    }
    my $program = "'$ENV{SOURCE}/bin/serverless-admin' runtime";
    is `$program pack $folder/made $folder/twilio.tar.gz 2>&1`, '', 'pack';
    is `$program install $folder/there $folder/twilio.tar.gz 2>&1`, '', 'install from an archive';
    is_deeply [ glob "$folder/there/node_modules/*" ], ["$folder/there/node_modules/twilio"], 'the package is there';
    is `$program install $folder/there $folder/twilio.tar.gz 2>&1`, '', 'again, over the old one';
    is_deeply [ glob "$folder/there/{.new*,*}" ], ["$folder/there/node_modules"], 'nothing else is left';
    like `$program install $folder/there /dev/null 2>&1`, qr/^serverless-admin: the packages were not installed$/m, 'an archive that is none';
    is_deeply [ glob "$folder/there/{.new*,*}" ], ["$folder/there/node_modules"], 'leaves the old one';
};

done_testing;
