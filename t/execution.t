# Calls of Functions: what a client gets, and what happens to calls that do not end as they should.
use strict;
use warnings FATAL => 'all';

use Apache::Test qw(-withtestmore);
use IO::Socket::INET ();
use JSON::PP ();
use POSIX ();
use Serverless::Client;
use Serverless::Parallel;
use Serverless::Project;
use Serverless::Reply;
use Serverless::Runner;
use Serverless::Server;
use Serverless::Test;
use Serverless::Time;
use Test::More;
use Time::HiRes qw(sleep time);

my $TAIL = 'functions.example.com';
my $account = Serverless::Client->account;
my $runner = Serverless::Runner->start('execution');

sub server {
    my ($name, $lines) = @_;
    return Serverless::Server->start($name, Serverless::Server->database . $runner->directive
        . "ServerlessDomain $TAIL\nServerlessExecution On\n" . ($lines // '') . Serverless::Server->api);
}

my $server = server('execution', <<'END');
ServerlessExecutionTimeout 60s
ServerlessRequestLimit     5000
ServerlessResponseLimit    100000
<LocationMatch "^/(?:never|spin)">
    ServerlessExecutionTimeout 1s
</LocationMatch>
END

# Functions --------------------------------------------------------------------------

# Deploys Functions, path => source, to a new Environment. Returns its host.
my ($project, $environment);
sub deployed {
    my (%sources) = @_;
    $project = Serverless::Project->new($account);
    $environment = $project->new_environment;
    $project->deploy($environment, $project->completed(
        map { $project->new_deployable(function => $_, $sources{$_}) } sort keys %sources));
    return $environment->{domain_name} =~ s/twil\.io$/$TAIL/r;
}

# The source of a handler with this body.
sub handler { "exports.handler = (context, event, done) => { $_[0] };\n" }

# The answer to a request to the server.
sub ask_at {
    my ($at, $host, $line, %part) = @_;
    return Serverless::Client->client->at($at->address)->undescribed->raw_request("$line HTTP/1.1", host => $host, %part);
}
sub ask { my ($host, $line, %part) = @_; return ask_at($server, $host, $line, %part) }

sub answer { my ($reply) = @_; return [ $reply->status, $reply->header('Content-Type'), $reply->body ] }

# The statuses of answers, as "200 x 20, 504 x 1".
sub statuses {
    my %count;
    $count{ ref $_ ? $_->status : $_ }++ for @_;
    return join ', ', map { "$_ x $count{$_}" } sort keys %count;
}

my $host = deployed(
    hello    => handler(q(done(null, 'Hello ' + (event.name || 'World')))),
    json     => handler(q(done(null, { a: [1, null], b: 'c' }))),
    nothing  => handler(q(done(null))),
    response => handler(q(const r = new Twilio.Response(); r.setStatusCode(201); r.appendHeader('Content-Type', 'text/css');
        r.appendHeader('Set-Cookie', 'a=1'); r.appendHeader('Set-Cookie', 'b=2'); r.appendHeader('X-A', 'b');
        r.appendHeader('Connection', 'close, x-a'); r.appendHeader('Content-Length', '1'); r.appendHeader('Date', 'now');
        r.setBody('a { }'); done(null, r);)),
    status   => handler(q(const r = new Twilio.Response(); r.setStatusCode(Number(event.status)); done(null, r);)),
    header   => handler(q(const r = new Twilio.Response(); r.appendHeader(event.name, event.value); done(null, r);)),
    headers  => handler(q(const r = new Twilio.Response(); for (let i = 0; i < event.n; i++) r.appendHeader('X-' + i, 'v'.repeat(event.size)); done(null, r);)),
    echo     => handler(q(const { request, ...rest } = event; done(null, rest))),
    shown    => handler(q(done(null, event.request.headers))),
    context  => handler(q(done(null, [context.PATH, context.DOMAIN_NAME, context.V ?? null, context.ACCOUNT_SID === null, context.AUTH_TOKEN]))),
    fails    => handler(q(throw new TypeError('bad'))),
    large    => handler(q(done(null, 'x'.repeat(event.n)))),
    never    => handler(q()),
    spin     => handler(q(for (;;);)),
    exit     => handler(q(process.exit(3))),
    crash    => handler(q(process.kill(process.pid, 9))),
    slow     => handler(q(setTimeout(() => done(null, 'slow'), event.ms || 500))),
    late     => handler(q(setTimeout(() => {}, 60000); done(null, String(process.pid)))),
    logs     => handler(q(console.log('x'.repeat(event.n)); done(null, 'logged'))),
);

# What a Function answers -------------------------------------------------------------

is_deeply answer(ask($host, 'GET /hello?name=you')), [200, 'text/plain; charset=utf-8', 'Hello you'], 'a string';
is_deeply answer(ask($host, 'GET /json')), [200, 'application/json', '{"a":[1,null],"b":"c"}'], 'an object';
is_deeply answer(ask($host, 'GET /nothing')), [200, undef, ''], 'nothing';

my $reply = ask($host, 'GET /response');
is_deeply answer($reply), [201, 'text/css', 'a { }'], 'a Twilio.Response';
is_deeply [ map { scalar $reply->header($_) } qw(X-A Content-Length X-Content-Type-Options) ], ['b', 5, 'nosniff'], 'its headers';
unlike $reply->header('Date'), qr/now/, 'Date is httpd\'s';
like $reply->header('Twilio-Request-Id'), qr/^RQ[0-9a-f]{32}$/, 'the request has an id';

$reply = ask($host, 'HEAD /hello');
is_deeply [$reply->status, $reply->header('Content-Length'), $reply->body], [200, 11, ''], 'HEAD';
is ask($host, 'GET /hello', headers => ['Range: bytes=0-1'])->body, 'Hello World', 'a range is the whole answer';
is_deeply [ map { ask($host, "GET /status?status=$_")->status } qw(200 302 418 599) ], [200, 302, 418, 599], 'statuses';
is ask($host, 'GET /status?status=204')->header('Content-Length') // 'none', 'none', '204 has no body';
is_deeply [ map { ask($host, "GET /status?status=$_")->status } qw(99 100 199 600 0 -1 nan) ], [ (500) x 7 ],
    'statuses that HTTP does not have';

is ask($host, 'GET /header?name=X-Ok&value=v%20w')->header('X-Ok'), 'v w', 'a header';
is ask($host, "GET /header?name=$_")->status, 500, "an illegal header: $_"
    for 'X%20A&value=v', '&value=v', 'X%0AY&value=v', 'X:&value=v', 'X-A&value=a%0Ab', 'X-A&value=a%0D%0AX-B:%20c', 'X-A&value=%00';
is ask($host, 'GET /headers?n=88&size=1')->status, 200, '88 headers';
is ask($host, 'GET /headers?n=91&size=1')->status, 431, 'too many headers of an answer';
is ask($host, 'GET /headers?n=2&size=7000')->status, 200, '14 KB of headers';
is ask($host, 'GET /headers?n=2&size=8000')->status, 431, '16 KB';

is_deeply answer(ask($host, 'GET /fails')), [500, 'application/json', '{"message":"bad","name":"TypeError"}'], 'a throw';

# What a Function gets -----------------------------------------------------------------

sub post {
    my ($path, $type, $body, @headers) = @_;
    return ask($host, "POST $path", headers => ["Content-Type: $type", 'Content-Length: ' . length $body, @headers], body => $body);
}

is_deeply post('/echo?age=1&q=x', 'application/json', '{"age":42,"o":{"k":[null]}}')->json,
    { age => 42, q => 'x', o => { k => [undef] } }, 'JSON and the query';
is_deeply post('/echo', 'application/x-www-form-urlencoded', 'a=1&a=2&b=%2B+')->json, { a => ['1', '2'], b => '+ ' }, 'a form';
is post('/echo', 'application/json', '{"a":')->status, 400, 'malformed JSON';
is_deeply post('/echo', 'application/json', '{"a":"' . 'x' x 4991 . '"}')->json->{a}, 'x' x 4991, 'a body of ServerlessRequestLimit';
is post('/echo', 'application/json', '{"a":"' . 'x' x 4993 . '"}')->status, 413, 'a larger one';
is ask($host, 'GET /echo', headers => ['Content-Length: 1'], body => 'x')->status, 403, 'GET with a body';

my @hidden = ('Referer: r', 'Via: v', 'X-Forwarded-For: f', 'X-Forwarded-Proto: https', 'X-Real-IP: i', 'X-Accel-Buffering: no',
    'I-Twilio-Idempotency-Token: t', 'I-T-A: b', 'OT-Tracer: t', 'X-Amzn-Trace-Id: a', 'Proxy-Authorization: p', 'Trailer: t');
is_deeply ask($host, 'GET /shown', headers => [@hidden, 'X-A: 1', 'Authorization: Bearer t', "X-B: \xe9"])->json,
    { 'x-a' => '1', authorization => 'Bearer t', 'x-b' => "\x{fffd}" }, 'the headers that a Function sees';
is ask($host, 'GET /hello', headers => [ map { "X-$_: v" } 1 .. 88 ])->status, 200, '90 headers';
is ask($host, 'GET /hello', headers => [ map { "X-$_: v" } 1 .. 89 ])->status, 431, '91 headers';
is ask($host, 'GET /hello', headers => [ map { "X-$_: " . 'v' x 7500 } 1 .. 2 ])->status, 200, 'headers of 15,000 bytes';
is ask($host, 'GET /hello', headers => [ map { "X-$_: " . 'v' x 7700 } 1 .. 2 ])->status, 431, 'of 15,400 bytes';

# The context ------------------------------------------------------------------------

sub context { return ask($host, 'GET /context')->json }
is_deeply context(), ['/context', $host, undef, JSON::PP::true, undef], 'the context, with the credentials of an account without signing key';
my $variable = $project->create($project->path_of($environment) . '/Variables', Key => 'V', Value => "one \"two\"\n");
is context()->[2], "one \"two\"\n", 'a Variable, from the next call on';
$account->post($project->path_of($variable), Value => 'two');
is context()->[2], 'two', 'a changed one, too';
$project->create($project->path_of($environment) . '/Variables', Key => $_->[0], Value => $_->[1]) for ['AUTH_TOKEN', 'secret'], ['ACCOUNT_SID', 'AC1'];
is_deeply [ @{ context() }[3, 4] ], [JSON::PP::false, 'secret'], 'the Variables AUTH_TOKEN and ACCOUNT_SID are the credentials';

# Calls that end otherwise --------------------------------------------------------------

is_deeply answer(ask($host, 'GET /never')), [504, 'text/plain', "runtime application timed out\n"], 'a Function that never calls back';
is_deeply answer(ask($host, 'GET /spin')), [504, 'text/plain', "runtime application timed out\n"], 'one that loops';
for my $path (qw(/exit /crash)) {
    is_deeply answer(ask($host, "GET $path")), [500, 'text/plain', "An internal error occurred.\n"], $path;
    is ask($host, 'GET /hello')->status, 200, "a call after $path";
}
is length ask($host, 'GET /large?n=100000')->body, 100_000, 'an answer of ServerlessResponseLimit';
is ask($host, "GET /large?n=$_")->status, 500, "one of $_ bytes" for 100_001, 300_000, 10_000_000;
is ask($host, 'GET /logs?n=9000')->body, 'logged', 'an entry of the log that is larger than the buffer';
sub logged { return map { "$_->{level} $_->{message}" } @{ $account->get($project->path_of($environment) . '/Logs', PageSize => 100)->json->{logs} } }
ok wait_until { my $text = $_; grep { $_ eq "ERROR $text" } logged() }, "the Function's Logs say: $_"
    for 'runtime application timed out', 'The isolate has ended: exit 3', 'The isolate has ended: signal 9',
    'The answer has more than 100000 bytes';

# httpd waits a second for the end of all work in an isolate, and has it killed then. A call that waited for that would
# be answered after the isolate's end, each time.
like ask($host, 'GET /late')->body, qr/^\d+$/, 'an answer comes although the isolate goes on';
ok wait_until {
    my $late = ask($host, 'GET /late')->body;
    ask($host, 'GET /hello')->status == 200 && kill 0, $late;
}, 'the next call has another isolate, and does not wait for the first one';

done_testing;
