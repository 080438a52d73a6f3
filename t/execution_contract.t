# The contract of Functions with their authors, end to end: what a handler gets, what it may answer, and what a client
# receives, in full, through httpd, the runner and an isolate.
use strict;
use warnings FATAL => 'all';
use utf8;

use Apache::Test qw(-withtestmore);
use Digest::SHA qw(sha1_base64 sha256_hex);
use IPC::Open2 qw(open2);
use JSON::PP ();
use Serverless::Client;
use Serverless::HeldCalls;
use Serverless::Parallel;
use Serverless::Project;
use Serverless::Runner;
use Serverless::Server;
use Serverless::Test;
use Test::More;
use Time::HiRes qw(sleep time);

my $TAIL = 'functions.example.com';
my $OWN_HOST = 'www.example.com';
my $FORM = 'application/x-www-form-urlencoded';
my $TEXT = 'Content-Type: text/plain; charset=utf-8';
my $JSON = 'Content-Type: application/json';
my $BYTES = 'Content-Type: application/octet-stream';

my $api = Serverless::Client->account;
my $project = Serverless::Project->new($api);
my $service_of_project = $project->path;
my $json = JSON::PP->new->utf8->canonical->allow_nonref;

# Functions and Assets ------------------------------------------------------------------------

sub handler { "exports.handler = (context, event, done) => { $_[0] };\n" }

my %public = (
    # the cases
    s       => handler(q(done(null, 'ok ' + event.n))),
    j       => handler(q(done(null, [{ a: 1, b: undefined }]))),
    v       => handler(q(const t = new Twilio.twiml.VoiceResponse(); t.say('hi'); done(null, t))),
    r       => handler(q(const r = new Twilio.Response();
        r.setStatusCode(401).setBody('no').appendHeader('WWW-Authenticate', 'Basic realm="x"'); done(null, r))),
    e       => handler(q(const { request, ...rest } = event; done(null, rest))),
    h       => handler(q(done(null, { h: event.request.headers, c: event.request.cookies }))),
    x       => handler(q(throw new TypeError('bad'))),
    y       => "exports.handler = async () => { throw new Error('late'); };\n",
    z       => handler(q(done('plain'))),
    never   => "exports.handler = () => {};\n",
    spin    => "exports.handler = () => { for (;;); };\n",
    o       => handler(q(console.log('ran'); done(null, 'ran'))),
    u       => <<'END',
const { add } = require(Runtime.getFunctions()['lib/sum'].path); // while the module is loaded
exports.handler = (context, event, done) => {
  const A = Runtime.getAssets();
  done(null, [add(1, 2), JSON.parse(A['/d.json'].open()).k, require(A['/m.js'].path), Object.keys(A).sort()]);
};
END
    c       => handler(q(const c = context;
        done(null, [c.PATH, c.DOMAIN_NAME, c.SERVICE_SID.slice(0, 2), c.ENVIRONMENT_SID.slice(0, 2), c.V, c.AUTH_TOKEN]))),
    b       => handler(q(const r = new Twilio.Response(); r.appendHeader('Content-Type', 'audio/mpeg');
        r.appendHeader('Content-Length', 3); r.setBody(Buffer.from([0, 255, 10])); done(null, r))),
    l       => handler(q(console.log('a', { b: 1 }); console.warn('w'); console.error('x\ny');
        setTimeout(() => done(null), 20); done(null); done(null, 'second'))),

    # payloads: the name is one of these
    payload => <<'END',
const payloads = {
  nothing: () => undefined, null: () => null, empty: () => '', text: () => 'Grüße', number: () => 42, zero: () => 0,
  true: () => true, false: () => false, array: () => [1, [2]], date: () => ({ at: new Date(0) }), json: () => ({ toJSON: () => 'own' }),
  buffer: () => Buffer.from([0, 255]), bytes: () => new Uint8Array([1, 2]), twiml: () => new Twilio.twiml.MessagingResponse(),
  xml: () => '<?xml version="1.0"?><a/>', function: () => () => 1, symbol: () => Symbol('s'), bigint: () => 1n,
  circular: () => { const a = {}; a.a = a; return a; },
};
exports.handler = (context, event, done) => done(null, payloads[event.of]());
END
    # responses: likewise
    response => <<'END',
const responses = {
  defaults: (r) => r, string: (r) => r.setBody('a'), object: (r) => r.setBody({ a: [1] }), buffer: (r) => r.setBody(Buffer.from('b')),
  html: (r) => r.setBody('<p>').appendHeader('Content-Type', 'text/html'),
  json: (r) => r.setBody('{"a": 1}').appendHeader('content-type', 'application/json'),
  redirect: (r) => r.setStatusCode(302).appendHeader('Location', 'https://example.com/'),
  teapot: (r) => r.setStatusCode(418), deleted: (r) => r.setStatusCode(204).setBody('x'),
  lines: (r) => r.appendHeader('X-A', '1').appendHeader('X-A', '2').appendHeader('X-N', 5).appendHeader('X-B', ['3', '4']),
  own: (r) => r.setBody('abc').setHeaders({ 'Content-Length': '1', 'Transfer-Encoding': 'chunked', Connection: 'close, x-a', 'X-A': 'a',
    Date: 'today', Server: 'mine', 'Twilio-Request-Id': 'RQ1', 'X-Content-Type-Options': 'own' }),
  cookies: (r) => r.setCookie('a', '1').setCookie('b', '2', ['Domain=example.com', 'Path=/x', 'Secure', 'Max-Age=60']).removeCookie('c'),
  replaced: (r) => r.setCookie('a', '1').appendHeader('X-A', '1').setHeaders({ 'X-B': '2', 'Set-Cookie': 'c=3' }),
  objects: (r) => r.appendHeader('X-A', { a: 1 }), injected: (r) => r.appendHeader('X-A', 'a\r\nX-B: b'),
  name: (r) => r.appendHeader('X A', 'a'), 99: (r) => r.setStatusCode(99), 100: (r) => r.setStatusCode(100),
  600: (r) => r.setStatusCode(600), nan: (r) => r.setStatusCode('x'), constructed: () => new Response({ statusCode: 201, body: 'c', headers: { 'X-A': 'b' } }),
  many: (r) => { for (let i = 0; i < 91; i++) r.appendHeader('X-' + i, 'v'); return r; },
  long: (r) => r.appendHeader('X-A', 'v'.repeat(15400)),
};
exports.handler = (context, event, done) => done(null, responses[event.of](new Twilio.Response()));
END
    # errors: likewise
    error => <<'END',
const errors = {
  zero: (done) => done(0, 'ok'), false: (done) => done(false, 'ok'), error: (done) => done(new RangeError('far')),
  both: (done) => done(new Error('first'), 'payload'), object: (done) => done({ code: 7 }),
  response: (done) => done(new Twilio.Response({ statusCode: 403, body: 'own', headers: { 'Content-Type': 'text/css' } })),
  success: (done) => done(new Twilio.Response({ statusCode: 200, body: 'own', headers: { 'Content-Type': 'text/css' } })),
  uncaught: () => { setTimeout(() => { throw new Error('uncaught'); }, 5); }, rejected: () => { Promise.reject(new Error('unhandled')); },
  exit: () => process.exit(0),
};
exports.handler = (context, event, done) => errors[event.of](done);
END
    # async handlers: likewise
    async => <<'END',
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const handlers = {
  callback: async (done) => { await pause(5); done(null, 'called back'); }, value: async () => { await pause(5); return 'returned'; },
  both: async (done) => { done(null, 'called back'); return 'returned'; },
  late: async (done) => { pause(50).then(() => done(null, 'late')); }, rejected: async (done) => { done(null, 'first'); throw new Error('after'); },
};
exports.handler = async (context, event, done) => handlers[event.of](done);
END
    returns  => "exports.handler = () => 'a value';\n",
    broken   => "require('./sum');\nexports.handler = () => {};\n",
    nohandler => "exports.other = () => {};\n",
    throwing => "throw new Error('at the top');\n",
    request  => handler(q(const { request } = event; done(null, { keys: Object.keys(request), method: request.method, url: request.url,
        raw: request.rawBody.toString('latin1'), buffer: Buffer.isBuffer(request.rawBody), user: request.user }))),
    kept     => handler(q(done(null, { type: typeof event.request, headers: typeof event.request.headers, own: Object.keys(event).sort(),
        plain: Object.getPrototypeOf(event) === Object.prototype, polluted: {}.polluted === undefined }))),
    library  => handler(q(done(null, [new Twilio('AC1', 't').accountSid, Twilio('AC2', 't').accountSid, typeof Twilio.jwt.AccessToken,
        typeof Twilio.Response, Twilio.Response === Response, typeof require('twilio').validateRequest]))),
    import   => "exports.handler = async (c, e, done) => { const fs = await import('node:fs'); done(null, typeof fs.readFileSync); };\n",
    client   => handler(q(done(null, context.getTwilioClient().accountSid))),
    sync     => handler(q(Runtime.getSync(); done(null))),
    globals  => handler(q(done(null, [Object.keys(Functions).includes('s'), twilioClient === null]))),
    credentials => handler(q(done(null, [context.ACCOUNT_SID, context.AUTH_TOKEN]))),
    names    => handler(q(done(null, [Object.keys(context), context.PATH, process.env.V, process.env.PATH !== 'mine']))),
    env      => "const atLoad = process.env.V;\nexports.handler = (c, e, done) => done(null, [atLoad, process.env.V, Object.keys(process.env).sort()]);\n",
    files    => handler(q(const fs = require('fs'); const os = require('os'); const file = os.tmpdir() + '/contract-' + process.pid; fs.writeFileSync(file, 'x'); fs.unlinkSync(file);
        const shape = (p) => p.slice(process.cwd().length).replace(/ZN[0-9a-f]{32}/, 'ZN');
        done(null, [shape(Runtime.getFunctions()['lib/sum'].path), shape(Runtime.getAssets()['/d.json'].path), shape(__dirname), shape(__filename)]))),
    node     => handler(q(done(null, [process.version, process.execArgv, process.env.NODE_OPTIONS ?? null, context.NODE_OPTIONS]))),
    size     => handler(q(done(null, JSON.stringify(context).length))),
    large    => handler(q(done(null, 'x'.repeat(event.n)))),
    held     => Serverless::HeldCalls->source,
    hasty    => handler(q(done(null, 'hasty'))),
    page     => handler(q(done(null, event.request.user))),
    'sub/deep' => handler(q(done(null, context.PATH))),
);
my %assets = ('/a.bin' => join('', map { chr($_ % 256) } 1 .. 3000), '/assets/index.html' => "<!doctype html>home\n");

my @parts = (
    map({ $project->new_version(path => "/$_", content => encoded($public{$_})) } sort keys %public),
    $project->new_version(path => '/p', visibility => 'protected', content => handler(q(done(null, event.From)))),
    $project->new_version(path => '/lib/sum', visibility => 'private', content => 'exports.add = (a, b) => a + b;'),
    map({ $project->new_version(kind => 'asset', path => $_, content => $assets{$_}, type => /html/ ? 'text/html' : 'application/octet-stream') } sort keys %assets),
    $project->new_version(kind => 'asset', path => '/d.json', visibility => 'private', content => '{"k":"v"}', type => 'application/json'),
    $project->new_version(kind => 'asset', path => '/m.js', visibility => 'private', content => 'module.exports = 3'),
);
my $build = $project->completed(@parts);
$api->post($service_of_project, IncludeCredentials => 'false')->status == 200 or die "IncludeCredentials\n";

sub encoded { my ($text) = @_; utf8::encode($text); return $text }

# A new Environment with the Build and Variables: { host, environment, deployment }.
sub deployed {
    my (%variables) = @_;
    my $environment = $project->new_environment;
    $project->create($project->path_of($environment) . '/Variables', Key => $_, Value => $variables{$_}) for sort keys %variables;
    return { environment => $environment, deployment => $project->deploy($environment, $build),
        host => $environment->{domain_name} =~ s/twil\.io$/$TAIL/r };
}

my $TOKEN = '0123456789abcdef0123456789abcdef';
my $plain = deployed(V => 'one', PATH => 'mine', DOMAIN_NAME => 'mine', SERVICE_SID => 'mine', NODE_OPTIONS => '--bad');
my $signed = deployed(AUTH_TOKEN => $TOKEN, ACCOUNT_SID => 'AC' . '1' x 32);
my $d = $plain->{host};

# The servers -----------------------------------------------------------------------------------

my $runner = Serverless::Runner->start('contract', lines => ["Twilio $ENV{SOURCE}/t/sdk/node_modules"]);
my $users = Serverless::Server->logs . '/contract-users';
open my $out, '>', $users or die "$users: $!\n";
print $out 'someone:{SHA}', sha1_base64('secret'), "=\n";
close $out;

my $workers = Serverless::Server->workers(1, 48);
my $server = Serverless::Server->start('contract', $workers . Serverless::Server->database . $runner->directive . <<"END");
ServerlessIdleTimeout 900s
<VirtualHost *>
    ServerName          $TAIL
    ServerAlias         *.$TAIL
    ServerlessDomain    $TAIL
    ServerlessExecution On
    ServerlessExecutionTimeout 60s
    <LocationMatch "^/(never|spin)\$">
        ServerlessExecutionTimeout 1s
    </LocationMatch>
    <LocationMatch "^/(held|version)\$">
        ServerlessExecutionTimeout 600s
        ServerlessQueueTimeout     300s
    </LocationMatch>
    <Location "/hasty">
        ServerlessQueueTimeout 1s
    </Location>
    <Location "/page">
        AuthType          Basic
        AuthName          "a page"
        AuthBasicProvider file
        AuthUserFile      "$users"
        Require           valid-user
    </Location>
</VirtualHost>
<VirtualHost *>
    ServerName            $OWN_HOST
    ServerlessExecution   On
    ServerlessEnvironment @{[ $project->sid ]} $plain->{environment}{sid}
</VirtualHost>
END

# Requests ----------------------------------------------------------------------------------------

# Sends a request: ask('GET /s?n=7', host => ..., headers => [...], body => ...).
sub ask {
    my ($line, %part) = @_;
    return Serverless::Client->client->at($server->address)->undescribed->raw_request("$line HTTP/1.1", host => $d, %part);
}

sub post {
    my ($path, $type, $body, %part) = @_;
    my @headers = (defined $type ? "Content-Type: $type" : (), 'Content-Length: ' . length $body, @{ $part{headers} // [] });
    return ask("POST $path", %part, headers => \@headers, body => $body);
}

# The header lines that each answer has, with their values checked, are left out.
sub header_lines {
    my ($reply) = @_;
    my ($head) = split /\r\n\r\n/, $reply->bytes, 2;
    my (undef, @lines) = split /\r\n/, $head;
    my %common = (Date => qr/^\w{3}, \d\d \w{3} \d{4} [\d:]{8} GMT$/, Server => qr/^Apache/, Connection => qr/^close$/,
        'Twilio-Request-Id' => qr/^RQ[0-9a-f]{32}$/, 'X-Content-Type-Options' => qr/^nosniff$/);
    my @other;
    for my $line (@lines) {
        my ($name, $value) = split /: /, $line, 2;
        my $pattern = delete $common{$name};
        push @other, $line if !$pattern || $value !~ $pattern;
    }
    push @other, map { "no $_" } sort keys %common;
    @other = sort @other;
    return \@other;
}

# Compares status, header lines and body, byte for byte. Content-Length is expected where the body has a length.
sub is_answer {
    my ($reply, $status, $headers, $body, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my @expected = sort @$headers, grep { !grep { /^(?:Content-Length|Transfer-Encoding):/ } @$headers } 'Content-Length: ' . length $body;
    @expected = grep { !/^Content-Length: none$/ } @expected;
    is_deeply { status => $reply->status, headers => header_lines($reply), body => $reply->body },
        { status => $status, headers => \@expected, body => $body }, $name;
}

# The same for a body in JSON, whose members may come in any order.
sub is_json {
    my ($reply, $status, $value, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is_deeply { status => $reply->status, type => $reply->header('Content-Type'), value => $reply->json // $reply->body },
        { status => $status, type => 'application/json', value => $value }, $name;
}

# An error of httpd's own.
sub is_refused {
    my ($reply, $status, $text, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is_deeply [$reply->status, $reply->header('Content-Type'), $reply->body], [$status, 'text/plain', "$text\n"], $name;
}

# Entries of the log -------------------------------------------------------------------------------

my %function_of = map { $_->{path} => $_->{function_sid} } @{ $build->{function_versions} };

# Waits for the entries of a Function in an Environment. Returns those of the last call, the first one first.
sub entries {
    my ($path, $count, $request) = @_;
    my @entries;
    wait_until {
        @entries = reverse grep { !$request || $_->{request_sid} eq $request }
            @{ $api->get($project->path_of($plain->{environment}) . '/Logs', FunctionSid => $function_of{$path}, PageSize => 100)->json->{logs} };
        @entries >= $count;
    };
    return @entries;
}

sub texts { return [ map { "$_->{level} " . ($_->{message} =~ s/\n\s+at .*//sr) } @_ ] }

# The cases -----------------------------------------------------------------------------------------

subtest '1: a string' => sub {
    is_answer ask('GET /s?n=7'), 200, [$TEXT], 'ok 7', 'GET /s?n=7';
};

subtest '2: an array' => sub {
    is_answer ask('GET /j'), 200, [$JSON], '[{"a":1}]', 'members that are undefined are left out';
};

subtest '3: TwiML' => sub {
    is_answer post('/v', $FORM, ''), 200, ['Content-Type: text/xml; charset=utf-8'],
        '<?xml version="1.0" encoding="UTF-8"?><Response><Say>hi</Say></Response>', 'POST of an empty form';
};

subtest '4: a Twilio.Response' => sub {
    is_answer ask('GET /r'), 401, [$BYTES, 'WWW-Authenticate: Basic realm="x"'], 'no', 'a string without a type';
};

subtest '5: query and JSON' => sub {
    is_json post('/e?age=1&q=x', 'application/json', '{"age":42,"o":{"k":[null]}}'), 200,
        { age => 42, q => 'x', o => { k => [undef] } }, 'the body counts';
};

subtest '6: a JSON array' => sub {
    is_json post('/e', 'application/json', '[{"z":1},2]'), 200, { 0 => { z => 1 }, 1 => 2 }, 'under its indexes';
};

subtest '7: headers and cookies' => sub {
    is_json ask('GET /h', headers => ['X-A: 1', 'x-a: 2', 'Referer: r', 'Via: v', 'X-Forwarded-For: f', 'Cookie: foo=bar; foo=baz; T=a%20b']),
        200, { h => { 'x-a' => '1, 2', cookie => 'foo=bar; foo=baz; T=a%20b' }, c => { foo => 'bar', T => 'a b' } },
        'a header that was sent twice is joined by httpd';
};

subtest '8: errors' => sub {
    my %error = (
        '/x' => [[$JSON], '{"message":"bad","name":"TypeError"}', 'ERROR TypeError: bad'],
        '/y' => [[$JSON], '{"message":"late","name":"Error"}', 'ERROR Error: late'],
        '/z' => [[$TEXT], 'plain', 'ERROR plain'],
    );
    for my $path (sort keys %error) {
        my ($headers, $body, $entry) = @{ $error{$path} };
        my $reply = ask("GET $path");
        is_answer $reply, 500, $headers, $body, $path;
        is_deeply texts(entries($path, 1, $reply->header('Twilio-Request-Id'))), [$entry], "the log of $path";
    }
    like((entries('/x', 1))[0]{message}, qr{^TypeError: bad\n    at exports\.handler \(/var/task/handlers/ZN[0-9a-f]{32}\.js:1:53\)\z},
        'the stack has the file and the line of the Function, and nothing of the server');
};

subtest '9: calls that do not end' => sub {
    for my $path (qw(/never /spin)) {
        is_refused ask("GET $path"), 504, 'runtime application timed out', $path;
        is ask('GET /s?n=1')->body, 'ok 1', "another Function after $path";
    }
    is_deeply texts((entries('/never', 1))[0]), ['ERROR runtime application timed out'], 'the log';
};

subtest '10: OPTIONS and PUT' => sub {
    my $count = scalar entries('/o', 0);
    is_answer ask('OPTIONS /o', headers => ['Origin: https://example.com', 'Access-Control-Request-Method: POST']), 204,
        ['Access-Control-Allow-Headers: *', 'Access-Control-Allow-Methods: GET, POST, OPTIONS', 'Access-Control-Allow-Origin: *',
            'Access-Control-Max-Age: 86400', 'Content-Length: none'], '', 'a preflight';
    for my $method (qw(PUT PATCH DELETE)) {
        my $reply = ask("$method /o");
        is_refused $reply, 405, 'The method is not allowed.', $method;
        is $reply->header('Allow'), 'GET, HEAD, POST, OPTIONS', "Allow of $method";
    }
    is ask('GET /o')->body, 'ran', 'GET';
    is scalar(entries('/o', 1)), 1, 'only GET has run the Function';
};

# Signatures of requests { token, url, params } by Twilio's library.
sub signatures {
    my (@requests) = @_;
    my $pid = open2(my $output, my $input, $ENV{NODE}, 't/sdk/sign.js');
    print $input JSON::PP->new->ascii->encode(\@requests);
    close $input;
    my $signatures = $json->decode(do { local $/; <$output> });
    waitpid $pid, 0;
    $? == 0 or die "t/sdk/sign.js failed\n";
    return @$signatures;
}

subtest '11: visibility' => sub {
    my $url = "https://$signed->{host}/p";
    my ($signature) = signatures({ token => $TOKEN, url => $url, params => { To => '+1', From => '+2', Body => 'hi there' } });
    my $form = 'To=%2B1&From=%2B2&Body=hi+there';
    my %at = (host => $signed->{host});
    my $with = sub { (%at, headers => ["X-Twilio-Signature: $signature"]) };
    is_refused post('/p', $FORM, $form, %at), 403, 'Access is forbidden.', 'without a signature';
    is_answer post('/p', $FORM, $form, $with->()), 200, [$TEXT], '+2', 'with its signature';
    is_refused post('/p', $FORM, $form . '!', $with->()), 403, 'Access is forbidden.', 'with another Body';
    my $body = '{"From":"+3"}';
    my $path = '/p?bodySHA256=' . sha256_hex($body);
    ($signature) = signatures({ token => $TOKEN, url => "https://$signed->{host}$path" });
    is_answer post($path, 'application/json', $body, $with->()), 200, [$TEXT], '+3', 'JSON with its signature';
    is_refused post($path, 'application/json', '{"From":"+4"}', $with->()), 403, 'Access is forbidden.', 'other JSON';
    ($signature) = signatures({ token => $TOKEN, url => "https://$signed->{host}/p?From=5" });
    is_answer ask('GET /p?From=5', $with->()), 200, [$TEXT], '5', 'a query with its signature';
    is_refused ask('GET /p?From=6', $with->()), 403, 'Access is forbidden.', 'another query';
    is_refused ask('GET /lib/sum', %at), 404, 'Nothing was found here.', 'a private Function';
    is_refused ask('GET /none', %at), 404, 'Nothing was found here.', 'is answered as a path that is not there';
};

subtest '12: files of the Build' => sub {
    is_answer ask('GET /u'), 200, [$JSON], '[3,"v",3,["/d.json","/m.js"]]', 'a private Function and private Assets';
    is_refused ask("GET $_"), 404, 'Nothing was found here.', "$_ by URL" for '/d.json', '/m.js';
};

subtest '13: the context' => sub {
    is_json ask('GET /c'), 200, ['/c', $d, 'ZS', 'ZE', 'one', undef], 'before';
    my $variables = $project->path_of($plain->{environment}) . '/Variables';
    my ($v) = grep { $_->{key} eq 'V' } @{ $api->get($variables)->json->{variables} };
    is $api->post("$variables/$v->{sid}", Value => 'two')->status, 200, 'the Variable is changed';
    is_json ask('GET /c'), 200, ['/c', $d, 'ZS', 'ZE', 'two', undef], 'the next call has it';
};

subtest '14: bytes and Assets' => sub {
    is_answer ask('GET /b'), 200, ['Content-Type: audio/mpeg'], "\0\xff\n", 'bytes of a Function';
    my $whole = ask('GET /a.bin');
    is_deeply [$whole->status, $whole->body], [200, $assets{'/a.bin'}], 'an Asset';
    my $range = ask('GET /a.bin', headers => ['Range: bytes=0-9']);
    is_deeply [$range->status, $range->header('Content-Range'), $range->body], [206, 'bytes 0-9/3000', substr $assets{'/a.bin'}, 0, 10], 'a range';
    my $same = ask('GET /a.bin', headers => ['If-None-Match: ' . $whole->header('ETag')]);
    is_deeply [$same->status, $same->body], [304, ''], 'the ETag';
    my $home = ask('GET /');
    is_deeply [$home->status, $home->header('Content-Type'), $home->body], [200, 'text/html', $assets{'/assets/index.html'}], '/';
};

subtest '15: log entries, and a second callback' => sub {
    my $reply = ask('GET /l');
    is_answer $reply, 200, [], '', 'the first callback is the answer, and it is empty';
    my @entries = entries('/l', 3, $reply->header('Twilio-Request-Id'));
    is_deeply texts(@entries), ['INFO a { b: 1 }', 'WARNING w', "ERROR x\ny"], 'the entries';
    is_deeply [ map { [ @$_{qw(build_sid deployment_sid function_sid service_sid environment_sid)} ] } @entries ],
        [ ([ $build->{sid}, $plain->{deployment}{sid}, $function_of{'/l'}, $project->sid, $plain->{environment}{sid} ]) x 3 ], 'their SIDs';
};

subtest 'the cheap ones' => sub {
    is_answer ask('GET /payload?of=number'), 200, [$JSON], '42', 'a number';
    is ask("GET /response?of=$_")->status, 500, "the response '$_'" for qw(99 injected);
    is ask('GET /error?of=exit')->status, 500, 'process.exit(0)';
    is ask('GET /s?n=1')->body, 'ok 1', 'the next call';
    is_refused post('/e', 'application/json', '{"a":"' . 'x' x (1_048_577 - 8) . '"}'), 413, 'The request is too large.', 'a body of 1 MB + 1';
    is post('/e', 'application/json', '{"a":"' . 'x' x (1_048_576 - 8) . '"}')->status, 200, 'a body of 1 MB';
    is_refused ask('GET /large?n=4194305'), 500, 'An internal error occurred.', 'an answer of 4 MB + 1';
    is length ask('GET /large?n=4194304')->body, 4_194_304, 'an answer of 4 MB';
    is_refused ask("$_ /s", headers => ['Content-Length: 1'], body => 'x'), 403, 'Access is forbidden.', "$_ with a body" for 'GET';
    is ask('HEAD /s', headers => ['Content-Length: 1'], body => 'x')->status, 403, 'HEAD with a body';
    is_refused post('/e', 'application/json', '{bad'), 400, 'The request is malformed.', 'malformed JSON';
    is_json ask('GET /kept?request=x'), 200,
        { type => 'object', headers => 'object', own => ['request'], plain => JSON::PP::true, polluted => JSON::PP::true }, 'a parameter named request';
    is_json ask('GET /library'), 200, ['AC1', 'AC2', 'function', 'function', JSON::PP::true, 'function'], 'the library';
    is ask('GET /import')->body, 'function', 'import()';
};

subtest '31 calls at a time' => sub {
    my $calls = Serverless::HeldCalls->begin(30, 30, sub { ask("GET /held?$_[0]")->status });
    is_refused my $reply = ask('GET /hasty'), 429, 'Too many calls are running.', 'the 31st is refused';
    is $reply->header('Retry-After'), 1, 'with Retry-After';
    is join(' ', $calls->end), join(' ', (200) x 30), '30 calls';
};

subtest 'a Deployment during calls' => sub {
    my $other = Serverless::Project->new($api);
    my $environment = $other->new_environment;
    my $files = Serverless::Server->logs . "/deployment_during_calls-$$";
    mkdir $files or die "$files: $!\n";
    my $version = sub {
        $other->completed($other->new_version(path => '/version', content => handler(
            "require('fs').writeFileSync('$files/$_[0]', ''); setTimeout(() => done(null, '$_[0] ' + process.pid), 100)")));
    };
    my ($old, $new) = map { $version->($_) } qw(old new);
    $other->deploy($environment, $old);
    my $host = $environment->{domain_name} =~ s/twil\.io$/$TAIL/r;
    my $calls = begin_at_once(sub { # each until the other Build answers, and once more
        my @answers;
        for (1 .. 2) {
            do { my $reply = ask('GET /version', host => $host); push @answers, [$reply->status, split ' ', $reply->body] } while !-e "$files/new";
        }
        return \@answers;
    }, 1 .. 20);
    ok wait_until { -e "$files/old" }, 'calls have the old Build';
    $other->deploy($environment, $new);
    is ask('GET /version', host => $host)->body =~ s/ .*//r, 'new', 'a call after the Deployment has the new Build';
    my @answers = map { @$_ } $calls->();
    is_deeply [ grep { $_->[0] != 200 } @answers ], [], scalar(@answers) . ' calls: all are answered';
    my %pids;
    $pids{ $_->[1] }{ $_->[2] } = 1 for @answers;
    is_deeply [ sort keys %pids ], ['new', 'old'], 'by the one Build and the other';
    my @left;
    wait_until { @left = grep { kill 0, $_ } keys %{ $pids{old} }; !@left };
    is_deeply \@left, [], 'the isolates of the old Build end, although they may be idle for 15 minutes';
};

# The event -----------------------------------------------------------------------------------------

subtest 'parameters' => sub {
    my @queries = (
        ['a=1&a=2', { a => ['1', '2'] }], ['f&g=', { f => '', g => '' }], ['a=b+c%20d', { a => 'b c d' }], ['b[c]=3&d[]=4', { 'b[c]' => '3', 'd[]' => '4' }],
        ['a=%E9', { a => '%E9' }], ['a=%zz', { a => '%zz' }], ['__proto__=1&constructor=2&hasOwnProperty=3', { constructor => '2', hasOwnProperty => '3' }],
        ['', {}], ['&&a=1&', { a => '1' }], ['=1', { '' => '1' }], ['a==', { a => '=' }], ['%C3%BC=%C3%9F', { "\x{fc}" => "\x{df}" }],
    );
    is_json ask("GET /e?$_->[0]"), 200, $_->[1], "the query $_->[0]" for @queries;
    my @forms = (['a=1&a=2', { a => ['1', '2'] }], ['n[x]=1', { 'n[x]' => '1' }], ['a=%E9', { a => "\x{fffd}" }], ['request=1&a=2', { a => '2' }], ['', {}]);
    is_json post('/e', $FORM, $_->[0]), 200, $_->[1], "the form $_->[0]" for @forms;
    is_json post('/e?a=1&b=2', $FORM, 'a=3'), 200, { a => '3', b => '2' }, 'a form counts before the query';
    is_json post('/e', "$FORM; charset=iso-8859-1", 'a=%C3%BC'), 200, { a => "\x{fc}" }, 'a form is UTF-8';
};

subtest 'bodies' => sub {
    is_json post('/e', 'application/json; charset=utf-8', '{"a":1,"request":2,"__proto__":{"polluted":3}}'), 200, { a => 1 }, 'JSON with a charset';
    is_json post('/kept', 'application/json', '{"__proto__":{"polluted":3},"constructor":{"prototype":{"polluted":4}}}'), 200,
        { type => 'object', headers => 'object', own => ['constructor', 'request'], plain => JSON::PP::true, polluted => JSON::PP::true }, 'prototypes are as they were';
    is_json post('/e?a=1', 'application/json', ''), 200, { a => '1' }, 'an empty body';
    is_refused post('/e', 'application/json', $_), 400, 'The request is malformed.', "the JSON $_" for '7', '"a"', 'null', 'true', '{"a":', "\xff";
    is_json post('/e', $_, '{"a":1}'), 200, {}, "a body of type $_" for 'text/plain', 'text/xml', 'application/vnd.a+json', 'multipart/form-data; boundary=b';
    is_json post('/e', undef, 'a=1'), 200, {}, 'a body without a type';
    is_json post('/request?a=b%20c', 'text/plain', "raw \0\xff"), 200, { keys => ['headers', 'cookies'], method => 'POST',
        url => "https://$d/request?a=b%20c", raw => "raw \0\x{ff}", buffer => JSON::PP::true, user => undef }, 'method, URL, raw body';
    is_json ask('GET /request'), 200, { keys => ['headers', 'cookies'], method => 'GET', url => "https://$d/request", raw => '',
        buffer => JSON::PP::true, user => undef }, 'of a GET';
    is_json ask("POST /request", headers => ["Content-Type: $FORM", 'Transfer-Encoding: chunked'], body => "3\r\na=1\r\n2\r\n&b\r\n0\r\n\r\n"), 200,
        { keys => ['headers', 'cookies'], method => 'POST', url => "https://$d/request", raw => 'a=1&b', buffer => JSON::PP::true, user => undef }, 'in chunks';
};

subtest 'headers' => sub {
    my @hidden = ('Proxy-Connection: a', 'Proxy-Authorization: a', 'Proxy-Authenticate: a', 'Referer: a', 'Trailer: a', 'Upgrade: a', 'Via: a',
        'X-Accel-Buffering: a', 'X-Forwarded-For: a', 'X-Forwarded-Proto: a', 'x-forwarded-Host: a', 'X-Real-IP: a', 'I-Twilio-Idempotency-Token: a',
        'I-T-A: a', 'OT-Tracer-TraceId: a', 'X-Amzn-Trace-Id: a', 'X-Amz-Date: a');
    my @shown = ('Authorization: Bearer a', 'User-Agent: a', 'Accept: */*', 'X-Twilio-Signature: a', 'X-Custom: a', 'X-Forwarded: a', 'Viable: a');
    my $expected = { map { my ($name, $value) = split /: /; (lc $name => $value) } @shown };
    is_deeply ask('GET /h', headers => [@hidden, @shown])->json->{h}, $expected, 'those that a Function sees';
    is_deeply post('/h', $FORM, 'a=1')->json->{h}, { 'content-type' => $FORM, 'content-length' => '3' }, 'type and length of the body';
    is_deeply ask('GET /h', headers => ['X-A: 1', 'x-a: 2', 'X-A: 3'])->json->{h}, { 'x-a' => '1, 2, 3' }, 'a header that was sent three times';
    is_deeply ask('GET /h', headers => ['__proto__: a'])->json->{h}, {}, 'no header is a prototype';
    is ask('GET /s', headers => [ map { "X-$_: v" } 1 .. 88 ])->status, 200, '90 headers with Host and Connection';
    my $many = ask('GET /s', headers => [ map { "X-$_: v" } 1 .. 89 ]);
    is_refused $many, 431, 'Headers or cookies are too long.', '91 headers';
    is_refused ask('GET /s', headers => [ map { "X-$_: " . 'v' x 7700 } 1 .. 2 ]), 431, 'Headers or cookies are too long.', 'headers of 15,400 bytes';
};

subtest 'cookies' => sub {
    is_deeply ask('GET /h', headers => ["Cookie: $_->[0]"])->json->{c}, $_->[1], "Cookie: $_->[0]" for
        ['A=1; a=2', { A => '1', a => '2' }], ['q="a b"', { q => 'a b' }], ['u=%C3%BC; bad=%zz', { u => "\x{fc}", bad => '%zz' }],
        ['j=j:{"a":1}', { j => 'j:{"a":1}' }], ['empty=; none', { empty => '' }], ['e=a=b', { e => 'a=b' }], ['__proto__=1; a=2', { a => '2' }];
};

subtest "httpd's own authentication" => sub {
    is ask('GET /page')->status, 401, 'without a password';
    is_answer ask('GET /page', headers => ['Authorization: Basic ' . Serverless::Client::base64('someone:secret')]), 200, [$TEXT], 'someone',
        'event.request.user';
};

# The context ---------------------------------------------------------------------------------------

subtest 'names of the context' => sub {
    is_json ask('GET /names'), 200, [['PATH', 'DOMAIN_NAME', 'SERVICE_SID', 'ENVIRONMENT_SID', 'ACCOUNT_SID', 'AUTH_TOKEN', 'NODE_OPTIONS', 'V', 'getTwilioClient'],
        '/names', 'two', JSON::PP::true], 'Variables replace none of the names that the platform sets';
    is ask('GET /sub/deep')->body, '/sub/deep', 'PATH';
    is ask('GET /c', host => uc($d) . '.:8080')->json->[1], $d, 'DOMAIN_NAME: without capitals, port and dot';
    is_json ask('GET /c', host => $OWN_HOST), 200, ['/c', $OWN_HOST, 'ZS', 'ZE', 'two', undef], 'at a host of its own';
    is ask('GET /request', host => $OWN_HOST)->json->{url}, "https://$OWN_HOST/request", 'and its URL';
};

subtest 'Variables at the next call' => sub {
    my $variables = $project->path_of($signed->{environment}) . '/Variables';
    my %at = (host => $signed->{host});
    my ($at_load, $now, $names) = @{ ask('GET /env', %at)->json };
    is_deeply [$at_load, $now], [undef, undef], 'there is none';
    is_deeply [ grep { /HTTP|APACHE|DATABASE|NOTIFY|INVOCATION/i } @$names ], [], 'nothing of the servers is in process.env';
    my $v = $project->create($variables, Key => 'V', Value => 'new');
    is ask('GET /env', %at)->json->[1], 'new', 'a new one';
    is_deeply [ @{ ask('GET /env')->json }[0, 1] ], ['two', 'two'], 'in the other Environment, it is there while the module is loaded';
    is $api->delete("$variables/$v->{sid}")->status, 204, 'it is deleted';
    is ask('GET /env', %at)->json->[1], undef, 'and gone';
};

subtest 'credentials' => sub {
    is_json ask('GET /credentials'), 200, [undef, undef], 'none';
    my $needed = 'There is no Twilio client: context.ACCOUNT_SID and context.AUTH_TOKEN are not set: set both as Variables of the Environment, '
        . 'or include credentials in the Service';
    is_json ask("GET $_"), 500, { message => $needed, name => 'Error' }, $_ for qw(/client /sync);
    is_json ask('GET /globals'), 200, [JSON::PP::true, JSON::PP::true], 'the older globals';
    is_json ask('GET /credentials', host => $signed->{host}), 200, ['AC' . '1' x 32, $TOKEN], 'the Variables ACCOUNT_SID and AUTH_TOKEN';
    is ask('GET /client', host => $signed->{host})->body, 'AC' . '1' x 32, 'are those of the client';

    is $api->post($service_of_project, IncludeCredentials => 'true')->status, 200, 'with IncludeCredentials';
    is_json ask('GET /credentials'), 200, [undef, undef], 'none without a signing key';
    is_json ask('GET /credentials', host => $signed->{host}), 200, ['AC' . '1' x 32, $TOKEN], 'the Variables have precedence';
    my $admin = "'$ENV{SOURCE}/bin/serverless-admin' -d 'host=$ENV{DATABASE} dbname=serverless user=serverless_owner' -k '$ENV{VARIABLE_KEYS}' signing-key";
    my $account = $api->user;
    my $log = $server->error_log;
    unlike $log, qr/SF007[12]/, 'calls of public Functions log nothing about signatures';
    is system("$admin create $account >/dev/null"), 0, 'with a signing key';
    my ($token) = `$admin show $account @{[ $project->sid ]}` =~ /^SIGNING_TOKEN=(\S+)$/;
    my $credentials;
    ok wait_until { $credentials = ask('GET /credentials')->json; defined $credentials->[1] }, 'the next calls have them';
    is_deeply $credentials, [$account, $token], 'account and token';
    my ($signature) = signatures({ token => $token, url => "https://$d/p" });
    is ask('GET /p', headers => ["X-Twilio-Signature: $signature"])->status, 200, 'the token signs requests to protected paths';
    is $api->post($service_of_project, IncludeCredentials => 'false')->status, 200, 'without IncludeCredentials';
    is_json ask('GET /credentials'), 200, [undef, undef], 'none again';
};

subtest 'files' => sub {
    is_json ask('GET /files'), 200, ['/handlers/ZN.js', '/files/ZN', '/handlers', '/handlers/ZN.js'], 'below the working directory, and a temporary file';
};

subtest 'the node' => sub {
    my $version = `$ENV{NODE} --version`;
    chomp $version;
    is_json ask('GET /node'), 200, [$version, ['--max-old-space-size=192', '--v8-pool-size=1'], undef, '--bad'], 'version and options: a Variable sets none';

    my $other = $project->new_environment;
    my $old = $project->finished(Serverless::Project::created($api->post($project->path('/Builds'), Serverless::Project::parameters($parts[0]), Runtime => 'node16')));
    $project->deploy($other, $old);
    is_refused ask("GET $parts[0]{path}", host => $other->{domain_name} =~ s/twil\.io$/$TAIL/r), 503, 'The service is temporarily unavailable.',
        'a Runtime that the runner does not have';
};

subtest 'a large context' => sub {
    my $large = deployed(map { ("LARGE_$_" => 'x' x 450) } 1 .. 40);
    cmp_ok ask('GET /size', host => $large->{host})->body, '>', 18_000, '40 Variables of 450 bytes';
};

# Answers -------------------------------------------------------------------------------------------

subtest 'payloads' => sub {
    my %payload = (
        nothing => [[], ''], null => [[], ''], empty => [[$TEXT], ''], text => [[$TEXT], encoded('Grüße')], zero => [[$JSON], '0'],
        true => [[$JSON], 'true'], false => [[$JSON], 'false'], array => [[$JSON], '[1,[2]]'], date => [[$JSON], '{"at":"1970-01-01T00:00:00.000Z"}'],
        json => [[$JSON], '"own"'], buffer => [[$BYTES], "\0\xff"], bytes => [[$BYTES], "\1\2"],
        twiml => [['Content-Type: text/xml; charset=utf-8'], '<?xml version="1.0" encoding="UTF-8"?><Response/>'],
        xml => [[$TEXT], '<?xml version="1.0"?><a/>'],
    );
    is_answer ask("GET /payload?of=$_"), 200, @{ $payload{$_} }, $_ for sort keys %payload;
    my %failed = (function => 'A function cannot be answered', symbol => 'A symbol cannot be answered', bigint => 'Do not know how to serialize a BigInt');
    is_json ask("GET /payload?of=$_"), 500, { message => $failed{$_}, name => 'TypeError' }, $_ for sort keys %failed;
    my $circular = ask('GET /payload?of=circular');
    is $circular->status, 500, 'a circular object';
    like $circular->json->{message}, qr/^Converting circular structure to JSON/, 'and why';
};

subtest 'a Twilio.Response' => sub {
    my @responses = (
        [defaults => 200, [], ''], [string => 200, [$BYTES], 'a'], [object => 200, [$JSON], '{"a":[1]}'], [buffer => 200, [$BYTES], 'b'],
        [html => 200, ['Content-Type: text/html'], '<p>'], [json => 200, [$JSON], '{"a": 1}'],
        [redirect => 302, ['Location: https://example.com/'], ''], [teapot => 418, [], ''], [deleted => 204, ['Content-Length: none'], ''],
        [lines => 200, ['X-A: 1', 'X-A: 2', 'X-B: 3', 'X-B: 4', 'X-N: 5'], ''],
        [own => 200, [$BYTES, 'X-A: a', 'X-Content-Type-Options: own'], 'abc'],
        [cookies => 200, ['Set-Cookie: a=1; HttpOnly; Secure', 'Set-Cookie: b=2; Path=/x; Secure; Max-Age=60; HttpOnly',
            'Set-Cookie: c=; Max-Age=0; HttpOnly; Secure'], ''],
        [replaced => 200, ['Set-Cookie: c=3; HttpOnly; Secure', 'X-B: 2'], ''], [constructed => 201, [$BYTES, 'X-A: b'], 'c'],
    );
    is_answer ask("GET /response?of=$_->[0]"), @$_[1 .. 3], $_->[0] for @responses;
    my %failed = (
        objects => ['Header value cannot be an object', 'Error'], injected => ['The value of the header X-A has a line break or a NUL', 'TypeError'],
        name => ['"X A" cannot be the name of a header', 'TypeError'],
        map({ $_ => ["The status code $_ is not one from 200 to 599", 'RangeError'] } 99, 100, 600),
        nan => ['The status code x is not one from 200 to 599', 'RangeError'],
    );
    is_json ask("GET /response?of=$_"), 500, { message => $failed{$_}[0], name => $failed{$_}[1] }, "the response '$_'" for sort keys %failed;
    is_refused ask("GET /response?of=$_"), 431, 'Headers or cookies are too long.', $_ for qw(many long);
};

subtest 'HEAD' => sub {
    is_answer ask('HEAD /s?n=7'), 200, [$TEXT, 'Content-Length: 4'], '', 'the headers of a GET, and no body';
    is ask('HEAD /request')->header('Content-Length'), length(ask('GET /request')->body) + 1, 'the Function sees the method HEAD';
};

# Errors --------------------------------------------------------------------------------------------

subtest 'errors by the callback' => sub {
    is_answer ask("GET /error?of=$_"), 200, [$TEXT], 'ok', $_ for qw(zero false);
    is_json ask('GET /error?of=error'), 500, { message => 'far', name => 'RangeError' }, 'an Error';
    is_json ask('GET /error?of=both'), 500, { message => 'first', name => 'Error' }, 'an Error and a payload';
    is_json ask('GET /error?of=object'), 500, { code => 7 }, 'an object';
    is_answer ask('GET /error?of=response'), 403, ['Content-Type: text/css'], 'own', 'a Twilio.Response';
    is_answer ask('GET /error?of=success'), 500, ['Content-Type: text/css'], 'own', 'one whose status is no error';
};

subtest 'errors outside the handler' => sub {
    is_json ask('GET /error?of=uncaught'), 500, { message => 'uncaught', name => 'Error' }, 'an exception in a timer';
    is_json ask('GET /error?of=rejected'), 500, { message => 'unhandled', name => 'Error' }, 'a rejection';
    is ask('GET /s?n=1')->body, 'ok 1', 'the next call';
    is_refused ask('GET /error?of=exit'), 500, 'An internal error occurred.', 'process.exit()';
};

subtest 'Functions that do not load' => sub {
    my %message = (
        broken => "Could not load the Function: Cannot find module './sum'",
        nohandler => 'Could not load the Function: it does not export a function named handler',
        throwing => 'Could not load the Function: at the top',
    );
    for my $path (sort keys %message) {
        is_json ask("GET /$path"), 500, { message => $message{$path}, name => 'Error' }, "$path, request $_" for 1, 2;
        my ($entry) = entries("/$path", 1);
        is $entry->{level}, 'ERROR', "the log of $path";
        like $entry->{message}, qr/^Could not load the Function: /, 'says so';
        unlike $entry->{message}, qr/\Q@{[ $runner->builds ]}\E/, 'without the paths of the server';
    }
};

subtest 'async handlers' => sub {
    is_answer ask("GET /async?of=$_->[0]"), 200, [$TEXT], $_->[1], $_->[0] for
        ['callback', 'called back'], ['value', 'returned'], ['both', 'called back'], ['late', 'late'], ['rejected', 'first'];
    my ($entry) = entries('/async', 1);
    is_deeply texts($entry), ['ERROR Error: after'], 'a rejection after the answer is in the log';
};

undef $server;
done_testing;
