# One project at two places: twilio-run deploys it to this server, and serves it itself, by the local development server of
# Twilio's toolkit. Each URL is called at both, and both answers are compared with the expected ones. Each difference names
# the row of the tables in docs/execution.md that explains it.
use strict;
use warnings FATAL => 'all';
use utf8;

use Apache::Test qw(-withtestmore);
use IO::Socket::INET ();
use Serverless::Runner;
use Serverless::Server;
use Serverless::Test;
use Serverless::Toolkit;
use Test::More;

my $TAIL = 'functions.example.com';
my $FORM = 'application/x-www-form-urlencoded';

# The project ---------------------------------------------------------------------------------------

sub handler { "exports.handler = (context, event, callback) => { $_[0] };\n" }

my @functions = (
    ['hello.js', '/hello', 'public', handler(q(callback(null, 'Hello ' + (event.name || 'World'))))],
    ['json.js', '/json', 'public', handler(q(callback(null, { a: [1, null], b: undefined })))],
    ['voice.js', '/voice', 'public', handler(q(const t = new Twilio.twiml.VoiceResponse(); t.say('hi'); callback(null, t)))],
    ['sms/reply.js', '/sms/reply', 'public',
        handler(q(const t = new Twilio.twiml.MessagingResponse(); t.message('You said ' + event.Body); callback(null, t)))],
    ['empty.js', '/empty', 'public', handler(q(callback()))],
    ['number.js', '/number', 'public', handler(q(callback(null, 42)))],
    ['buffer.js', '/buffer', 'public', handler(q(callback(null, Buffer.from('bytes'))))],
    ['response.js', '/response', 'public', handler(q(const r = new Twilio.Response(); r.setStatusCode(201);
        r.appendHeader('Content-Type', 'text/css'); r.setBody('a { }'); callback(null, r)))],
    ['untyped.js', '/untyped', 'public', handler(q(callback(null, new Twilio.Response().setBody('untyped'))))],
    ['object.js', '/object', 'public', handler(q(callback(null, new Twilio.Response().setStatusCode(404).setBody({ error: 'none' }))))],
    ['throws.js', '/throws', 'public', handler(q(throw new TypeError('bad')))],
    ['declines.js', '/declines', 'public', handler(q(callback('declined')))],
    ['event.js', '/event', 'public', handler(q(const { request, ...rest } = event; callback(null, rest)))],
    ['request.js', '/request', 'public', handler(q(const { host, connection, ...headers } = event.request.headers;
        callback(null, { headers, cookies: event.request.cookies, host: host !== undefined })))],
    ['forged.js', '/forged', 'public', handler(q(callback(null, typeof event.request)))],
    ['context.js', '/context', 'public', handler(q(callback(null, [context.PATH, context.GREETING, process.env.GREETING, typeof context.SERVICE_SID])))],
    ['order.protected.js', '/order', 'protected', handler(q(callback(null, 'order ' + event.id)))],
    ['lib/sum.private.js', '/lib/sum', 'private', "exports.add = (a, b) => a + b;\n"],
    ['sum.js', '/sum', 'public', <<'END'],
const { add } = require(Runtime.getFunctions()['lib/sum'].path);
exports.handler = (context, event, callback) => {
  const { value } = JSON.parse(Runtime.getAssets()['/data.json'].open());
  callback(null, String(add(value, Number(event.a))));
};
END
    ['async.js', '/async', 'public', "exports.handler = async (context, event, callback) => { await null; callback(null, 'async'); };\n"],
    ['returns.js', '/returns', 'public', "exports.handler = async () => 'returned';\n"],
);
my @assets = (
    ['assets/index.html', '/assets/index.html', 'public', "<!doctype html><title>Home</title>\n"],
    ['style.css', '/style.css', 'public', "body { color: red }\n"],
    ['data.private.json', '/data.json', 'private', qq({"value": 40}\n)],
    ['report.protected.txt', '/report.txt', 'protected', "report\n"],
    ['LICENSE', '/LICENSE', 'public', "free\n"],
);

my $api = Serverless::Client->account;
my $project = Serverless::Toolkit->new($api, 'both', dependencies => { '@twilio/runtime-handler' => '2.1.0' },
    files => [map({ ['functions', @$_] } @functions), map { ['assets', @$_] } @assets]);

# The two places -----------------------------------------------------------------------------------------

my $run = $project->run('deploy');
is $run->{status}, 0, 'twilio-run deploy' or BAIL_OUT($run->{messages});
my ($service) = $project->listed('/v1/Services');
my ($environment) = $project->listed("/v1/Services/$service->{sid}/Environments");
my $host = $environment->{domain_name} =~ s/twil\.io$/$TAIL/r;

my $runner = Serverless::Runner->start('twilio_run', lines => ["Twilio $ENV{SOURCE}/t/sdk/node_modules"]);
my $server = Serverless::Server->start('twilio_run', Serverless::Server->database . $runner->directive
    . "<VirtualHost *>\nServerAlias *.$TAIL\nServerlessDomain $TAIL\nServerlessExecution On\n</VirtualHost>\n");

my $port = Serverless::Server::free_port();
my $local = $project->start_locally($port);
ok wait_until { IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port") }, 'twilio-run start' or BAIL_OUT($local->messages);

# The answer at an address: [status, type, body], or ['no answer'] where there is none within some seconds.
sub ask {
    my ($address, $name, $case, $seconds) = @_;
    my ($line, $body, @headers) = @$case;
    push @headers, 'Content-Length: ' . length $body if defined $body;
    my $reply = eval {
        Serverless::Client->client->at($address)->undescribed->raw_request("$line HTTP/1.1", host => $name, headers => \@headers,
            body => $body // '', timeout => $seconds // 120)
    } or return ['no answer'];
    return [$reply->status, $reply->header('Content-Type'), $reply->body];
}

# What is compared ---------------------------------------------------------------------------------------

my $TEXT = 'text/plain; charset=utf-8';
my $XML = 'text/xml; charset=utf-8';
my $HTML = 'text/html; charset=utf-8';
my $JSON = 'application/json';
my $LOCAL_JSON = 'application/json; charset=utf-8';
my $HOME = "<!doctype html><title>Home</title>\n";
my $STYLE = "body { color: red }\n";
my $NOTHING = "Nothing was found here.\n";
my $greeting = $project->variables->{GREETING};
utf8::encode($greeting);

my $page = qr/^<!DOCTYPE html>.*<pre>SyntaxError: /s; # with the stack
my @not_found = ([404, 'text/plain', $NOTHING], [404, $HTML, 'Could not find requested resource'], 'texts of errors');

# The rows for an answer in JSON that differs in its type only.
sub json_twice { my ($status, $body) = @_; return ([$status, $JSON, $body], [$status, $LOCAL_JSON, $body], 'charset of JSON') }

# [request, answer here], and where the local server answers otherwise: its answer, and subjects of rows.
my @cases = (
    [['GET /hello'], [200, $TEXT, 'Hello World']],
    [['GET /hello?name=you'], [200, $TEXT, 'Hello you']],
    [['HEAD /hello'], [200, $TEXT, '']],
    [['GET /json'], json_twice(200, '{"a":[1,null]}')],
    [['POST /voice', ''], [200, $XML, '<?xml version="1.0" encoding="UTF-8"?><Response><Say>hi</Say></Response>']],
    [['POST /sms/reply', 'Body=hi+there', "Content-Type: $FORM"],
        [200, $XML, '<?xml version="1.0" encoding="UTF-8"?><Response><Message>You said hi there</Message></Response>']],
    [['GET /empty'], [200, undef, '']],
    [['GET /number'], [200, $JSON, '42'], [500, $TEXT, qr/^\{"message":"Invalid status code: 42","name":"RangeError"/], 'a number'],
    [['GET /buffer'], [200, 'application/octet-stream', 'bytes']],
    [['GET /response'], [201, 'text/css', 'a { }'], [201, 'text/css; charset=utf-8', 'a { }'], 'charset of other types'],
    [['GET /untyped'], [200, 'application/octet-stream', 'untyped'], [200, $HTML, 'untyped'], 'a `Twilio.Response` with a string and no Content-Type'],
    [['GET /object'], json_twice(404, '{"error":"none"}')],
    [['GET /throws'], [500, $JSON, '{"message":"bad","name":"TypeError"}'],
        [500, $LOCAL_JSON, qr/^\{"message":"bad","name":"TypeError","stack":"TypeError: bad\\n    at exports\.handler \(.*\"\}\z/],
        'stacks', 'charset of JSON'],
    [['GET /declines'], [500, $TEXT, 'declined'], [500, $HTML, 'declined'], 'an error that is a string'],
    [['GET /async'], [200, $TEXT, 'async']],
    [['GET /returns'], [200, $TEXT, 'returned'], ['no answer'], 'a value returned by an async handler'],

    [['GET /event?a=1&a=2&b=%20+'], json_twice(200, '{"a":["1","2"],"b":"  "}')],
    [['GET /event?a[b]=1'], [200, $JSON, '{"a[b]":"1"}'], [200, $LOCAL_JSON, '{"a":{"b":"1"}}'],
        '`[` and `]` in names of parameters', 'charset of JSON'],
    [['POST /event?a=1&b=2', 'b=3', "Content-Type: $FORM"], json_twice(200, '{"a":"1","b":"3"}')],
    [['POST /event', '{"a":{"b":[1]}}', "Content-Type: $JSON"], json_twice(200, '{"a":{"b":[1]}}')],
    [['POST /event', '[7,8]', "Content-Type: $JSON"], json_twice(200, '{"0":7,"1":8}')],
    [['POST /event', 'a=1', 'Content-Type: text/plain'], json_twice(200, '{}')],
    [['POST /event', '{"a":', "Content-Type: $JSON"], [400, 'text/plain', "The request is malformed.\n"], [400, $HTML, $page],
        'texts of errors', 'stacks'],
    [['POST /event', '7', "Content-Type: $JSON"], [400, 'text/plain', "The request is malformed.\n"], [400, $HTML, $page],
        'texts of errors', 'stacks'],

    [['GET /request', undef, 'X-A: 1', 'Cookie: a=b%20c; a=d'],
        [200, $JSON, '{"headers":{"x-a":"1","cookie":"a=b%20c; a=d"},"cookies":{"a":"b c"},"host":false}'],
        [200, $LOCAL_JSON, '{"headers":{"x-a":"1","cookie":"a=b%20c; a=d"},"cookies":{"a":"b c"},"host":true}'],
        'the header Host', 'charset of JSON'],
    [['GET /request', undef, 'X-A: 1', 'X-A: 2'],
        [200, $JSON, '{"headers":{"x-a":"1, 2"},"cookies":{},"host":false}'],
        [200, $LOCAL_JSON, '{"headers":{"x-a":["1","2"]},"cookies":{},"host":true}'],
        'a header that was sent more than once', 'the header Host', 'charset of JSON'],
    [['GET /request', undef, 'Referer: r', 'X-Forwarded-For: f'],
        [200, $JSON, '{"headers":{},"cookies":{},"host":false}'], [200, $LOCAL_JSON, '{"headers":{},"cookies":{},"host":true}'],
        'the header Host', 'charset of JSON'],
    [['GET /forged?request=1'], [200, $TEXT, 'object'], [200, $TEXT, 'string'], 'a parameter named `request`'],
    [['GET /context'], [200, $JSON, qq(["/context","$greeting","$greeting","string"])],
        [200, $LOCAL_JSON, qq(["/context","$greeting","$greeting","undefined"])], '`SERVICE_SID` and `ENVIRONMENT_SID`', 'charset of JSON'],
    [['GET /sum?a=2'], [200, $TEXT, '42']],

    [['GET /order?id=7'], [403, 'text/plain', "Access is forbidden.\n"], [200, $TEXT, 'order 7'], 'protected and private paths'],
    [['GET /report.txt'], [403, 'text/plain', "Access is forbidden.\n"], [200, 'text/plain; charset=UTF-8', "report\n"], 'protected and private paths'],
    [['GET /lib/sum'], [404, 'text/plain', $NOTHING], [404, $HTML, qr{^Could not find a "handler" function in file /}], 'protected and private paths'],
    [['GET /data.json'], [404, 'text/plain', $NOTHING], [403, $HTML, 'This asset has been marked as private'], 'protected and private paths'],

    [['GET /'], [200, 'text/html', $HOME], [200, 'text/html; charset=UTF-8', $HOME], 'charset of other types'],
    [['GET /assets/index.html'], [200, 'text/html', $HOME], [200, 'text/html; charset=UTF-8', $HOME], 'charset of other types'],
    [['GET /style.css'], [200, 'text/css', $STYLE], [200, 'text/css; charset=UTF-8', $STYLE], 'charset of other types'],
    [['POST /style.css', ''], [200, 'text/css', $STYLE], [200, 'text/css; charset=UTF-8', $STYLE], 'charset of other types'],
    [['GET /LICENSE'], [200, 'application/octet-stream', "free\n"]],

    map({ [["GET $_"], @not_found] } qw(/none /hello/ /Hello /hello.js /index.html)),
    [['GET /favicon.ico'], [404, 'text/plain', $NOTHING], [302, $TEXT, qr/^Found\. Redirecting to https:/], '`/favicon.ico`'],
    [['OPTIONS /hello'], [204, undef, ''], [204, 'text/plain; charset=UTF-8', ''], '`OPTIONS`'],
    map({ [["$_ /hello", ''], [405, 'text/plain', "The method is not allowed.\n"], [200, $TEXT, 'Hello World'], 'other methods'] } qw(PUT PATCH DELETE)),
    [['GET /hello', 'name=you', "Content-Type: $FORM"], [403, 'text/plain', "Access is forbidden.\n"], [200, $TEXT, 'Hello you'],
        'a GET with a body'],
);

# The comparison ---------------------------------------------------------------------------------------

# The subjects of the rows of tables, in a document.
sub subjects {
    my ($file) = @_;
    open my $in, '<:encoding(UTF-8)', "$ENV{SOURCE}/docs/$file" or die "$file: $!\n";
    return map { /^\| (.*?) \|/ ? ($1 => 1) : () } <$in>;
}
my %subject = subjects('execution.md');

# Compares an answer whose body may be given as a pattern.
sub is_answer {
    my ($got, $expected, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is_deeply $got, Serverless::Assertions::adapt($expected, $got), $name;
}

for my $case (@cases) {
    my ($request, $here, $locally, @subjects) = @$case;
    my $name = join ', ', grep { defined && length } @$request;
    is_answer ask($server->address, $host, $request), $here, "$name: here";
    my $seconds = $locally && $locally->[0] eq 'no answer' ? 5 : undef; # such an answer would not come later either
    is_answer ask("127.0.0.1:$port", "localhost:$port", $request, $seconds), $locally // $here, "$name: by the local development server";
    is_deeply [ grep { !$subject{$_} } @subjects ], [], "$name: the difference is explained" if $locally;
}

# What the type and the status do not show.
my @preflight = map { Serverless::Client->client->at($_->[0])->undescribed->raw_request('OPTIONS /hello HTTP/1.1', host => $_->[1]) }
    [$server->address, $host], ["127.0.0.1:$port", "localhost:$port"];
is_deeply [ map { $_->header('Access-Control-Allow-Headers') } @preflight ],
    ['*', 'Accept, Authorization, Content-Type, If-Match, If-Modified-Since, If-None-Match, If-Unmodified-Since, User-Agent'],
    'the headers that a preflight allows';

my %called = map { ((split m{[ ?]}, $_->[0][0])[1] => 1) } @cases;
is_deeply [ grep { !$called{$_} } map { $project->paths($_) } qw(functions assets) ], [], 'each URL of the project was called';

undef $server;
done_testing;
