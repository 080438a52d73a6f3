# Hostile requests to domains: 10,000 of them, 100,000 with FULL=1, made at random from hosts, ports, paths,
# encodings, methods, conditions, ranges, signatures, bodies and broken framing. No answer is an error of the
# server, and no answer has a byte of another tenant, of a private Version, or of a protected one without its
# signature: each Version's content consists of one byte above 127 that no other Version has.
#
# The same seed makes the same requests: SEED=7 make test TESTS=t/domain_hostile.t
use strict;
use warnings FATAL => 'all';

use Apache::Test qw(-withtestmore);
use Digest::SHA qw(hmac_sha1_base64 sha256_hex);
use IO::Socket::INET ();
use Serverless::Parallel;
use Serverless::Project;
use Serverless::Server;
use Serverless::Test;
use Socket qw(IPPROTO_TCP TCP_NODELAY);
use Test::More;

my $TAIL = 'functions.example.com';
my $CLIENTS = 8;
my $REQUESTS = $ENV{FULL} ? 100_000 : 10_000;
my $SEED = $ENV{SEED} || 1;
my $FUNCTION = '/hello';


# Two tenants ----------------------------------------------------------------------------

my $next_byte = 0xA0;

# A new account with one deployed Environment, protected by a token of its own. {bytes} has the byte of each kind
# of content.
sub tenant {
    my ($name) = @_;
    my $project = Serverless::Project->new(Serverless::Client->account, "hostile-$name-$$");
    my %bytes = map { $_ => chr $next_byte++ } qw(public protected private);
    my @versions = map {
        my ($path, $visibility, $length) = @$_;
        $project->new_version(kind => 'asset', path => $path, visibility => $visibility, type => 'text/plain',
            content => $bytes{$visibility} x $length)
    } (['/page.html', 'public', 600], ['/assets/index.html', 'public', 20], ['/large.bin', 'public', 300_000],
        ['/protected.html', 'protected', 600], ['/private.html', 'private', 600], ["/caf\xc3\xa9", 'public', 10]);
    push @versions, $project->new_version(path => $FUNCTION, content => 'exports.handler = (c, e, done) => done();');
    my $environment = $project->new_environment($name, $name);
    my $token = "token-of-$name";
    $project->create($project->path_of($environment) . '/Variables', Key => $_->[0], Value => $_->[1])
        for ['AUTH_TOKEN', $token], ['ACCOUNT_SID', 'AC' . '0' x 32];
    $project->deploy($environment, $project->completed(@versions));
    return { project => $project, environment => $environment, token => $token, bytes => \%bytes,
        label => $environment->{domain_name} =~ s/\..*//r };
}

my %tenants = map { $_ => tenant($_) } qw(one two);
my ($one, $two) = @tenants{qw(one two)};
my $empty = $one->{project}->new_environment('empty', 'empty')->{domain_name} =~ s/\..*//r;

my $server = Serverless::Server->start('hostile_domains', Serverless::Server->database . <<"END");
ServerlessDomain     $TAIL
ServerlessAssetCache "@{[ Serverless::Server::logs() ]}/hostile_assets"
TraceEnable          off
KeepAlive            On
MaxKeepAliveRequests 0
<Directory "/">
    Require all denied
</Directory>
<VirtualHost *>
    ServerName          $TAIL
    ServerAlias         *.$TAIL
    ServerlessExecution On
</VirtualHost>
<VirtualHost *>
    ServerName            www.example.org
    ServerlessExecution   On
    ServerlessEnvironment $two->{project}{service}{sid} $two->{environment}{sid}
</VirtualHost>
END


# Requests at random ---------------------------------------------------------------------

sub one_of { return $_[ rand @_ ] }
sub often  { return rand() < $_[0] }

# Random bytes that do not end a part of a request: neither blanks nor controls.
my @noise = map { chr } 33 .. 126, 128 .. 255;
sub noise {
    my ($length) = @_;
    return join '', map { $noise[rand @noise] } 1 .. $length;
}

# A host as the client may write it. The few names that exist nowhere keep below the budget of reads of unknown
# names, which t/domain.t exceeds.
sub host {
    my $label = one_of($one, $two)->{label};
    return "$label.$TAIL" if often(0.6);
    return one_of('www.example.org', uc "$label.$TAIL", "$label.$TAIL.", "$label.$TAIL:8080", "$label.$TAIL:1", "$label.$TAIL:65535")
        if often(0.5);
    return one_of("x.$label.$TAIL", "-$label.$TAIL", "$label-.$TAIL", "${label}_.$TAIL", "$label..$TAIL", "$label.$TAIL..", ".$TAIL",
        $TAIL, "$label.$TAIL.evil.example", "$label.evil.example", "$label%2e$TAIL", "$label.$TAIL:-1", "$label.$TAIL:x",
        "$label.$TAIL:999999999999", "$label.$TAIL:80:80", "$label.$TAIL:", "user\@$label.$TAIL", "[::1]", "[::1", '', ' ', '*', "*.$TAIL",
        'a' x 63 . ".$TAIL", 'a' x 64 . ".$TAIL", 'a.' x 200 . $TAIL, "nobody-1.$TAIL", "$empty.$TAIL", "\xff\xfe.$TAIL",
        "$label.$TAIL\t$two->{label}.$TAIL", "$label.$TAIL, $two->{label}.$TAIL", "$label.$TAIL/../x", "127.0.0.1", noise(12));
}

# The tenant that a host names, if any. Neither the port nor a user counts.
sub tenant_of {
    my ($host) = @_;
    return $two if $host eq 'www.example.org';
    my ($label) = $host =~ /\A(?:user\@)?([^.]+)\.\Q$TAIL\E\.?(?::.*)?\z/i or return;
    return (grep { $_->{label} eq lc $label } $one, $two)[0];
}

my @paths = ('/page.html', '/', '/assets/index.html', '/large.bin', '/protected.html', '/private.html', '/caf%c3%a9', $FUNCTION);

# Encodes some characters; twice where `times` is 2.
sub encoded {
    my ($path, $times) = @_;
    for (1 .. $times) {
        $path =~ s{(.)}{often(0.3) ? sprintf(one_of('%%%02x', '%%%02X'), ord $1) : $1}ge;
    }
    return $path;
}

sub path {
    my $path = one_of(@paths);
    return $path if often(0.6);
    return one_of(encoded($path, 1), encoded($path, 2), "/.$path", "/x/..$path", "/..$path", "/%2e%2e$path", "/$path", "$path/", "$path%00",
        "$path%00.html", "$path%", "$path%zz", "$path%2", uc $path, "$path;a=b", "$path#x", "/%c0%af$path", "/..%2f..$path", "/..%5c..$path",
        "\\$path", "$path\\", "$path%20", "$path.", "$path~", "$path?", "/" . 'a' x 300, '/' . 'a/' x 4000, '/' . noise(20), "$path%u0041",
        "/proxy:http://127.0.0.1/$path", '/v1/Services', '/server-status', '/.htaccess', '*', 'page.html', '', "/$path" x 50);
}

my $many_parameters = join '&', map { "p$_=$_" } 1 .. 1001;

sub query {
    return '' if often(0.6);
    return '?' . one_of('', 'a=b', 'a=b&c=d', '%', '&&&', 'a' x 5000, 'bodySHA256=', 'bodySHA256=' . sha256_hex(''), 'bodySHA256=' . 'z' x 64,
        'bodySHA256=x&bodySHA256=y', $many_parameters, noise(20), '?', '%00');
}

# Header lines that have no part in framing.
my @sizes = (0, 1, 9, 10, 599, 600, 300_000, '18446744073709551615', '18446744073709551616', -1, 'x');
my @headers = (
    (map { ("Range: bytes=$_-", "Range: bytes=-$_", "Range: bytes=0-$_", "Range: bytes=$_-605") } @sizes),
    (map { 'Range: bytes=' . join ',', map { "$_-$_" } 1 .. $_ } 2, 50, 300), 'Range: bytes=9-5', 'Range: lines=1-2', 'Range: bytes=',
    "Range: bytes=0-9\r\nIf-Range: \"x\"", "Range: bytes=0-9\r\nIf-Range: " . 'x' x 100,
    ('If-None-Match: *') x 4, 'If-None-Match: "x", W/"y"', 'If-Match: "x"', 'If-Match: *', 'If-Modified-Since: x',
    ('If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT', 'If-Unmodified-Since: Thu, 01 Jan 1970 00:00:00 GMT') x 2,
    'Accept-Encoding: gzip, br', 'Accept: ' . 'a/b,' x 500, 'Cookie: ' . 'a=b; ' x 200, "X-Forwarded-Host: $one->{label}.$TAIL",
    "Forwarded: host=$two->{label}.$TAIL", 'Expect: 100-continue', 'Expect: x', 'Upgrade: h2c', 'Connection: Upgrade, HTTP2-Settings',
    'Connection: close', 'Connection: Host', 'Max-Forwards: 0', 'X-HTTP-Method-Override: DELETE', 'Origin: null',
    'Content-Type: multipart/form-data; boundary=',
);
my @broken_headers = ('no colon', ': no name', "A\x01: b", "X: \x00", 'X : y', " folded: x", 'X: ' . 'y' x 9000,
    join("\r\n", map { "X-$_: $_" } 1 .. 120));

sub header_line {
    return one_of(@broken_headers) if often(0.03);
    return one_of('Range: ', 'If-None-Match: ', 'Authorization: Basic ', 'Via: ', 'Content-Type: text/plain; charset=') . noise(20) if often(0.1);
    return one_of(@headers);
}

# Framing lines and a body. The framing is sound in `sound` cases: the connection can be used again.
sub body {
    my ($method) = @_;
    return ([], '', 1) if often($method eq 'GET' || $method eq 'HEAD' ? 0.9 : 0.3);
    my $form = one_of('a=b', 'a=b&c=d', '', '%', 'a=%zz', 'a&b&c', $many_parameters, "a=\x00", noise(50), '{"a":1}');
    my @type = often(0.7) ? ('Content-Type: application/x-www-form-urlencoded') : ();
    return ([@type, 'Content-Length: ' . length $form], $form, 1) if often(0.6);
    my $chunks = sprintf "%x\r\n%s\r\n0\r\n\r\n", length $form, $form;
    $chunks = "0\r\n\r\n" if $form eq '';
    return ([@type, 'Transfer-Encoding: chunked'], $chunks, 1) if often(0.4);
    return ([@type, 'Content-Length: 1048577'], 'a' x 1_048_577, 0) if often(0.01);
    return ([@type, one_of('Content-Length: -1', 'Content-Length: x', 'Content-Length: 99999999999999999999', 'Content-Length: 10',
            "Content-Length: 3\r\nContent-Length: 4", "Content-Length: 3\r\nTransfer-Encoding: chunked", 'Transfer-Encoding: x',
            'Transfer-Encoding: chunked, chunked', 'Transfer-Encoding: gzip, chunked', "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
            'Transfer-Encoding: chunked')],
        one_of('', 'a=b', "ffffffffffffffffff\r\nx", "-1\r\n", "3\r\na=b\r\n", "3;ext=\"x\r\na=b\r\n0\r\n\r\n", "zz\r\n", noise(30)), 0);
}

# The signature header of a request: right, of another tenant, or of another kind. Returns it, and whether it is right.
sub signature {
    my ($tenant, $host, $target, $form) = @_;
    my $sign = sub { hmac_sha1_base64("https://$host$target" . $_[1], $_[0]) . '=' };
    my %parameter = map { /^(\w+)=(\w*)$/ ? ($1 => $2) : () } split /&/, $form;
    my $text = join '', map { "$_$parameter{$_}" } sort keys %parameter;
    return ('X-Twilio-Signature: ' . $sign->($tenant->{token}, $text), 1) if $tenant && often(0.5);
    my ($other) = grep { !$tenant || $_ != $tenant } $one, $two;
    return 'X-Twilio-Signature: ' . one_of($sign->($other->{token}, $text), 'A' x 27 . '=', '', 'A' x 28, 'A' x 5000, noise(28));
}

my @methods = (('GET') x 10, ('POST') x 6, ('HEAD') x 2, 'OPTIONS', qw(PUT DELETE PATCH PROPFIND TRACE CONNECT QUUX get MERGE BREW), 'A' x 300);

# A request: {bytes}, {is_head}, {sound} where its connection can be used again, {allowed} with the bytes that its
# answer may have, {statuses} with those above 499 that are right.
sub make_request {
    my $host = host();
    my $tenant = tenant_of($host);
    my ($method, $path, $query) = (one_of(@methods), path(), query());
    my ($framing, $body, $sound) = body($method);
    my $target = "$path$query";
    my ($signature, $is_signed) = often(0.3) ? signature($tenant, $host, $target, $body) : ();
    my $line_target = $target;
    if (often(0.05)) { # the host of a whole URL counts, not that of the header
        my $other_host = host();
        $line_target = "http://$other_host$target";
        $is_signed = 0 if ($tenant // 0) != (tenant_of($other_host) // 0);
        $tenant = tenant_of($other_host);
    }
    my $version = often(0.95) ? 'HTTP/1.1' : one_of('HTTP/1.0', 'HTTP/1.9', 'HTTP/2.0', 'HTTP/9.9', 'http/1.1', 'HTTP/1', 'HTTP/1.1 x', '');
    my @lines = ("$method $line_target" . ($version eq '' ? '' : " $version"));
    push @lines, map { "Host: $_" } often(0.98) ? $host : often(0.5) ? () : ($host, "$two->{label}.$TAIL");
    push @lines, $signature if defined $signature;
    push @lines, map { header_line() } 1 .. one_of(0, 0, 0, 1, 1, 2);
    push @lines, @$framing;
    $sound = 0 if $version !~ m{^HTTP/1\.[19]$};
    my $bytes = $tenant ? $tenant->{bytes} : {};
    return {
        bytes => join("\r\n", @lines, '', '') . $body, is_head => $method eq 'HEAD', sound => $sound,
        allowed => join('', grep { defined } $bytes->{public}, $is_signed ? $bytes->{protected} : undef),
        # of the Function, and of a version of HTTP that httpd does not have
        statuses => { (decoded($path) eq $FUNCTION ? (501 => 1, 503 => 1) : ()), ($version =~ m{/[29]} ? (505 => 1) : ()) },
    };
}

# The path as httpd resolves it.
sub decoded {
    my ($path) = @_;
    $path =~ s/[?#].*//s;
    $path =~ s/%([0-9a-f]{2})/chr hex $1/gei;
    $path =~ s{/+}{/}g;
    1 while $path =~ s{/\.(?=/)}{};
    1 while $path =~ s{(?:/(?!\.\./)[^/]+)?/\.\.(?=/)}{};
    return $path;
}


# Answers --------------------------------------------------------------------------------

my $socket;

sub connected {
    return $socket if $socket;
    $socket = IO::Socket::INET->new(PeerAddr => $server->address, Timeout => 120) or die "$@\n";
    setsockopt $socket, IPPROTO_TCP, TCP_NODELAY, 1;
    return $socket;
}

sub hang_up { close $socket if $socket; undef $socket }

# Reads more of the answer; false at the end of the connection.
sub read_more { return sysread $socket, $_[0], 65536, length $_[0] }

# Reads until the answer has so many bytes.
sub read_to {
    my $length = $_[1];
    while (length $_[0] < $length) {
        read_more($_[0]) or return;
    }
}

# Reads one answer to its end. Its connection stays open where the next answer can be told from this one.
sub read_answer {
    my ($request) = @_;
    my $answer = '';
    while ($answer !~ /\r\n\r\n/) {
        read_more($answer) or return $answer;
    }
    return $answer . read_answer($request) if $answer =~ m{\AHTTP/1\.1 100[^\r]*\r\n\r\n\z};
    my ($head) = $answer =~ /\A(?:HTTP\S+ 100.*?\r\n\r\n)?(.*?\r\n\r\n)/s;
    my $begin = index($answer, $head) + length $head;
    my ($status) = $head =~ m{\AHTTP/1\.1 (\d+)};
    my $bodiless = $request->{is_head} || ($status // '') =~ /^(?:204|304)$/;
    my ($length) = $bodiless ? 0 : $head =~ /^Content-Length: (\d+)/mi;
    if (!$request->{sound} || !defined $length || $head =~ /^Connection: close/mi || $status == 417) { # which closes unsaid
        1 while read_more($answer);
        hang_up();
        return $answer;
    }
    read_to($answer, $begin + $length);
    return $answer;
}

# Sends the request and returns the answer. A request of broken framing is ended by the end of the connection.
sub exchange {
    my ($request) = @_;
    local $SIG{ALRM} = sub { die "no end of the answer\n" };
    local $SIG{PIPE} = 'IGNORE';
    alarm 120;
    hang_up() if !$request->{sound};
    connected();
    my $at = 0;
    while ($at < length $request->{bytes}) { # httpd may close before the end of a body that is too large
        my $written = syswrite $socket, $request->{bytes}, 65536, $at or last;
        $at += $written;
    }
    shutdown $socket, 1 if !$request->{sound};
    my $answer = read_answer($request);
    hang_up() if !$request->{sound} || $answer eq '';
    alarm 0;
    return $answer;
}

sub status_of {
    my ($answer) = @_;
    my @statuses = $answer =~ m{^HTTP/1\.1 (\d{3})}mg;
    return $statuses[-1] // '';
}

# The bytes above 127 of an answer that it may not have.
sub foreign_bytes {
    my ($answer, $allowed) = @_;
    $answer =~ s/[\x00-\x7f$allowed]+//g;
    my %found = map { $_ => 1 } split //, $answer;
    return sort keys %found;
}

# Says why an answer is wrong, or nothing.
sub fault {
    my ($request, $answer) = @_;
    my $status = status_of($answer);
    return 'no answer' if $answer eq '' && $request->{sound};
    return "status $status" if $status =~ /^5/ && !$request->{statuses}{$status};
    my @foreign = foreign_bytes($answer, $request->{allowed});
    return sprintf 'bytes %vx of other content', join '', @foreign if @foreign;
    return "a SID: $1" if $answer =~ /\b((?:AC|Z[SEBNHV])[0-9a-f]{32})\b/;
    return;
}

# Sends the share of one client; returns the number of answers by status, and the first faults.
sub attack {
    my ($client) = @_;
    srand $SEED * 1000 + $client;
    my (%count, @faults);
    for my $number (1 .. $REQUESTS / $CLIENTS) {
        my $request = make_request();
        my $answer = eval { exchange($request) } // '';
        my $fault = $@ || fault($request, $answer);
        hang_up() if $fault;
        my $status = status_of($answer);
        $count{$status}++;
        $count{Function}++ if $status =~ /^50[13]$/ && $request->{statuses}{$status};
        $count{protected}++ if $answer =~ /$one->{bytes}{protected}|$two->{bytes}{protected}/;
        push @faults, "client $client, request $number: $fault: " . substr $request->{bytes}, 0, 300 if $fault && @faults < 3;
    }
    return [\%count, \@faults];
}

diag "SEED=$SEED";
my $begin = time;
my (%count, @faults);
for my $result (at_once(\&attack, 1 .. $CLIENTS)) {
    my ($counted, $found) = @$result;
    $count{$_} += $counted->{$_} for keys %$counted;
    push @faults, @$found;
}
diag sprintf '%d requests in %d s: %s', $REQUESTS, time - $begin, join ', ', map { ($_ || 'none') . " $count{$_}" } sort keys %count;

is_deeply \@faults, [], 'each answer is no error of the server, and has no byte of other content';

# The requests reach what they are aimed at.
cmp_ok $count{$_} // 0, '>=', $REQUESTS / 2000, "answers: $_" for 200, 204, 206, 304, 400, 403, 404, 405, 412, 416, 'Function', 'protected';
is_deeply [foreign_bytes("x$one->{bytes}{public}x", $two->{bytes}{public})], [$one->{bytes}{public}], "the check finds another tenant's byte";
is_deeply [foreign_bytes("x$two->{bytes}{public}x", $two->{bytes}{public})], [], 'the check lets the own bytes pass';

# The server goes on.
my $reply = Serverless::Client->client->at($server->address)->undescribed
    ->raw_request('GET /page.html HTTP/1.1', host => "$one->{label}.$TAIL");
is_deeply [$reply->status, $reply->body], [200, $one->{bytes}{public} x 600], 'an honest request is answered as before';
is_deeply [grep { /\[serverless_functions:(?:error|crit)\]|exit signal/ && !/SF0080/ } split /\n/, $server->error_log], [],
    'the log has no error of the module but that Functions need a runner (SF0080), and no child has crashed';

done_testing;
