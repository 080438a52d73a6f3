# multipart/form-data, byte for byte: the bodies that are accepted, and each way in which a
# body can be malformed or cut off. A refused upload leaves nothing behind.
use strict;
use warnings FATAL => 'all';

use Apache::Test qw(-withtestmore);
use IO::Socket::INET ();
use Serverless::Project;
use Serverless::Test;
use Socket qw(SOL_SOCKET SO_LINGER);
use Test::More;
use Time::HiRes ();

my $api = Serverless::Client->account;
my $project = Serverless::Project->new($api);
my $function = $project->new_function;
my $list = $project->path . "/Functions/$function->{sid}/Versions";

my $crlf = "\r\n";
my $source = 'exports.handler = 1;';
my $limit = 1024 * 1024 + 64 * 1024; # bytes of a whole body

# A part; header lines go in as they are.
sub part {
    my ($name, $bytes, @lines) = @_;
    return join($crlf, qq(Content-Disposition: form-data; name="$name"), @lines, '', '') . $bytes;
}

my $path = part('Path', '/a');
my $visibility = part('Visibility', 'public');
my $content = part('Content', $source, 'Content-Type: application/javascript');

# A body with the boundary "b" of these parts.
sub body { return "--b$crlf" . join("$crlf--b$crlf", @_) . "$crlf--b--$crlf" }

my $whole = body($path, $visibility, $content);

sub post {
    my ($body, %with) = @_;
    my $type = $with{type} // 'multipart/form-data; boundary=b';
    return ($with{client} || $api)->raw_request("POST $list HTTP/1.1", body => $body,
        headers => [ "Content-Type: $type", 'Content-Length: ' . ($with{length} // length $body) ], %with);
}

sub rows {
    return join ' ', db()->selectrow_array(<<'SQL', undef, (substr $project->sid, 2) x 3);
SELECT (SELECT count(*) FROM serverless.versions WHERE service_id = ?),
       (SELECT count(*) FROM serverless.contents WHERE service_id = ?),
       (SELECT count(*) FROM serverless.content_chunks WHERE service_id = ?)
SQL
}

# A Version came of it, with this Content.
sub is_accepted {
    my ($reply, $text, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is $reply->status, 201, $name or return diag $reply->body;
    my $version = $reply->json;
    is_deeply [ @$version{qw(path visibility)}, $api->get($version->{links}{function_version_content})->json->{content} ],
        [ '/a', 'public', $text ], 'the Version has the parts that were sent';
}

# Nothing came of it, and httpd goes on.
sub is_refused {
    my ($reply, $before, $status, $message, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is_error $reply, $status, $status == 400 ? 20001 : 20000 + $status, $message, $name;
    is rows(), $before, 'a refused upload stores nothing';
    is $api->get($function->{url})->status, 200, 'httpd answers';
}


subtest 'well-formed multipart bodies' => sub {
    my $boundary70 = 'b' x 70;
    my $special = q{a'()+_,-./:=? 0Z};
    my $with = sub { my ($boundary, $body) = @_; ($body //= $whole) =~ s/--b/--$boundary/g; $body };
    for my $case (
        # name, body, content type if another than usual
        [ 'the usual',                  $whole ],
        [ 'no CRLF after the end',      substr $whole, 0, -2 ],
        [ 'a CRLF before the first',    "$crlf$whole" ],
        [ 'a preamble',                 "This is a message in MIME format.\n--bare\r--b not yet$crlf$whole" ],
        [ 'a preamble of dashes',       "-$crlf-$crlf--$crlf--a$crlf$whole" ],
        [ 'an epilogue',                "${whole}And so it ends.$crlf" ],
        [ 'an epilogue of more parts',  $whole . body($path) ],
        [ 'an epilogue on the same line', substr($whole, 0, -2) . 'bcd' ],
        [ 'blanks behind a delimiter',  $whole =~ s/--b\r\n/--b \t \r\n/gr ],
        [ 'a boundary of one character', $with->('x'), 'multipart/form-data; boundary=x' ],
        [ 'a boundary of 70 characters', $with->($boundary70), "multipart/form-data; boundary=$boundary70" ],
        [ 'a boundary of dashes',       $with->('-----'), 'multipart/form-data; boundary=-----' ],
        [ 'a boundary in quotes',       $whole, 'multipart/form-data; boundary="b"' ],
        [ 'every other character in it', $with->($special), qq(multipart/form-data; boundary="$special") ],
        [ 'a character escaped',        $whole, 'multipart/form-data; boundary="\b"' ],
        [ 'a boundary that ends others', $with->('bb'), 'multipart/form-data; charset="a;boundary=c"; boundary=bb; x=y' ],
        [ 'names in other case',        $whole, 'Multipart/Form-Data; BOUNDARY=b' ],
        [ 'blanks around the semicolon', $whole, "multipart/form-data \t; \tboundary=b" ],
        [ 'no blank behind it',         $whole, 'multipart/form-data;boundary=b' ],
        [ 'headers in other case',
            body($path, $visibility, "CONTENT-DISPOSITION:FORM-DATA;NAME=Content$crlf$crlf$source") ],
        [ 'no quotes around the name',
            body($path, $visibility, "Content-Disposition: form-data; name=Content; filename=f$crlf$crlf$source") ],
        [ 'a filename before the name', body($path, $visibility,
            qq(Content-Disposition: form-data; filename="a\\"; name=\\"Path"; name="Content"$crlf$crlf$source)) ],
        [ 'a filename that ends in a backslash, before the name', body($path, $visibility,
            qq(Content-Disposition: form-data; filename="C:\\a\\"; name="Content"$crlf$crlf$source)) ],
        [ 'a filename that ends in a backslash, behind the name', body($path, $visibility,
            qq(Content-Disposition: form-data; name="Content"; filename="a\\"$crlf$crlf$source)) ],
        [ 'a name on a line of its own', body($path, $visibility,
            qq(Content-Disposition: form-data;$crlf name="Content"$crlf$crlf$source)) ],
        [ 'a header in four lines', body($path, $visibility,
            qq(Content-Disposition:$crlf\tform-data;$crlf  filename="f";$crlf \t name="Content"$crlf$crlf$source)) ],
        [ 'other headers around', body($path, $visibility,
            "X-A: 1${crlf}Content-Type: a/b; name=\"x\"$crlf" . part('Content', $source, 'X-B: 2', 'Content-Length: 7')) ],
        (map { [ "Content-Transfer-Encoding: $_",
            body($path, $visibility, part('Content', $source, "Content-Transfer-Encoding: $_")) ] }
            qw(binary 8bit 7bit BINARY)),
        [ 'a header of 4096 bytes', body($path, $visibility,
            part('Content', $source, 'X: ' . 'x' x (4096 - length part('Content', '', 'X: ')))) ],
        [ 'a name of 64 characters',    body(part('n' x 64, ''), $path, $visibility, $content) ],
        [ 'sixteen parts',              body($path, $visibility, $content, map { part("n$_", '') } 1 .. 13) ],
        [ 'as many bytes as there may be',
            body($path, $visibility, $content, part('n', 'n' x ($limit - length body($path, $visibility, $content, part('n', ''))))) ],
    ) {
        my ($what, $body, $type) = @$case;
        is_accepted post($body, type => $type), $source, $what;
    }
};

subtest 'content that looks like a multipart delimiter' => sub {
    for my $case (
        [ 'its beginning',               "a$crlf--" ],
        [ 'its beginning, and a CR',     "a$crlf--\r" ],
        [ 'one character less',          "a$crlf--boundar" ],
        [ 'one character less, twice',   "a$crlf--boundar$crlf--boundar$crlf" ],
        [ 'after a CR of its own',       "a\r$crlf--boundar" ],
        [ 'after two line ends',         "a$crlf$crlf--boundar\r\r" ],
        [ 'not at a line\'s beginning',  'a--boundary--' ],
        [ 'at the very beginning',       "--boundary$crlf" ],
        [ 'after a bare LF',             "a\n--boundary\n--boundary--\n" ],
        [ 'after a bare CR',             "a\r--boundary\r" ],
        [ 'in capitals',                 "a$crlf--BOUNDARY--$crlf" ],
        [ 'one dash',                    "a$crlf-boundary--$crlf" ],
        [ 'with a blank before it',      "a$crlf --boundary--$crlf" ],
        [ 'a CR at the end',             "a\r" ],
        [ 'two CRs at the end',          "a\r\r" ],
        [ 'CRLF at the end',             "a$crlf" ],
        [ 'CRLF twice at the end',       "a$crlf$crlf" ],
        [ 'LF at the end',               "a\n" ],
        [ 'nothing but CR',              "\r" ],
        [ 'nothing but CRLF',            $crlf ],
        [ 'what looks like a part',      "a$crlf--c$crlf" . part('Content', 'x') ],
    ) {
        my ($what, $bytes) = @$case;
        my $body = Serverless::Client::multipart('boundary', [ Path => undef, undef, '/a' ],
            [ Content => 'f', undef, $bytes ], [ Visibility => undef, undef, 'public' ]);
        is_accepted post($body, type => 'multipart/form-data; boundary=boundary'), $bytes, "$what is content";
    }
};

subtest 'malformed multipart bodies' => sub {
    my $no_boundary = 'The content type has no boundary';
    my $bad_boundary = "The content type's boundary is malformed";
    my $unfinished = 'The body ends before its last delimiter';
    my $delimiter = 'A delimiter is malformed';
    my $no_name = 'A part has no name';
    my $bad_name = "A part's Content-Disposition is malformed, or its name is longer than 64 bytes";
    my $two_ways = "A part's Content-Disposition has a backslash that can be read in two ways";
    my $field = "A part's header has a line that is not a header field";
    my $header = "A part's header is too long";
    my $lines = "A part's header has a line that does not end with CRLF";
    my $encoding = 'A part has a Content-Transfer-Encoding that is not supported';
    my $too_large = 'The request body is too large';
    my $type = 'multipart/form-data';
    my $before = rows();

    for my $case (
        # name, the message, body, content type if another than usual
        [ 'no boundary',                     $no_boundary,  $whole, $type ],
        [ 'no boundary, another parameter',  $no_boundary,  $whole, "$type; charset=b" ],
        [ 'a boundary inside another parameter', $no_boundary, $whole, "$type; a=\"; boundary=b\"" ],
        [ 'an empty boundary',               $bad_boundary, $whole, "$type; boundary=" ],
        [ 'an empty boundary in quotes',     $bad_boundary, $whole, "$type; boundary=\"\"" ],
        [ 'a boundary of 71 characters',     $bad_boundary, $whole, "$type; boundary=" . 'b' x 71 ],
        [ 'a boundary of 5000 characters',   $bad_boundary, $whole, "$type; boundary=" . 'b' x 5000 ],
        [ 'a quote that does not end',       $bad_boundary, $whole, "$type; boundary=\"b" ],
        [ 'a quote that ends escaped',       $bad_boundary, $whole, "$type; boundary=\"b\\\"" ],
        [ 'a blank at the end',              $bad_boundary, $whole, "$type; boundary=\"b \"" ],
        (map { [ "'$_' in the boundary",     $bad_boundary, $whole, "$type; boundary=\"b$_\"" ] }
            split(//, '!#$%&*<>@[]^`{|}~'), "\xe9"),
        [ 'a parameter that does not end',   $bad_boundary, $whole, "$type; a=\"b; boundary=b" ],

        [ 'no body',                         $unfinished, '' ],
        [ 'a boundary never seen',           $unfinished, $whole, "$type; boundary=c" ],
        [ 'a boundary in other case',        $unfinished, $whole, "$type; boundary=B" ],
        [ 'a boundary that is longer',       $unfinished, $whole, "$type; boundary=bb" ],
        [ 'nothing but a preamble',          $unfinished, 'preamble' ],
        [ 'the first delimiter not at a line\'s beginning', $unfinished,
            ' --b--' ],
        [ 'an end in the first delimiter',   $unfinished, '--' ],
        [ 'an end behind it',                $unfinished, '--b' ],
        [ 'an end in its line end',          $unfinished, "--b\r" ],
        [ 'an end before a header',          $unfinished, "--b$crlf" ],
        [ 'an end in a header\'s name',      $unfinished, "--b${crlf}Content-Dis" ],
        [ 'an end in a header\'s value',     $unfinished, "--b${crlf}Content-Disposition: form-data; na" ],
        [ 'an end behind a header\'s line',  $unfinished, "--b$crlf" . substr part('Path', ''), 0, -2 ],
        [ 'an end in the empty line',        $unfinished, "--b$crlf" . substr part('Path', ''), 0, -1 ],
        [ 'an end before the content',       $unfinished, "--b$crlf" . part('Path', '') ],
        [ 'an end in the content',           $unfinished, substr $whole, 0, -15 ],
        [ 'an end behind the content',       $unfinished, substr $whole, 0, -length "$crlf--b--$crlf" ],
        [ 'an end in the last delimiter',    $unfinished, substr $whole, 0, -length "-b--$crlf" ],
        [ 'an end before the last dashes',   $unfinished, substr $whole, 0, -length "--$crlf" ],
        [ 'an end between the last dashes',  $unfinished, substr $whole, 0, -length "-$crlf" ],
        [ 'no last delimiter',               $unfinished, $whole =~ s/--b--\r\n\z/--b\r\n/r ],

        [ 'lines that end with LF',          $delimiter, $whole =~ s/\r//gr ],
        [ 'lines that end with CR',          $delimiter, $whole =~ s/\n//gr ],
        [ 'delimiters that end with LF',     $delimiter, $whole =~ s/--b\r\n/--b\n/gr ],
        [ 'one character more',              $delimiter, "--bb$crlf" ],
        [ 'one dash',                        $delimiter, "--b-$crlf" ],
        [ 'a blank between the dashes',      $delimiter, '--b- -' ],
        [ 'a CR and no LF',                  $delimiter, "--b\r--b" ],
        [ 'a blank behind the CR',           $delimiter, "--b\r $crlf" ],
        [ 'text behind a delimiter',         $delimiter, "--b text$crlf" ],
        [ 'content with the boundary in it', $delimiter,
            body($path, $visibility, part('Content', "a$crlf--bb$crlf")) ],

        [ 'header lines that end with LF',   $lines,
            body(part('Other', 'x') =~ s/\r\n/\n/gr, $path, $visibility, $content) ],
        [ 'one of them',                     $lines,
            body($path, $visibility, "X: y\n" . part('Content', $source)) ],
        [ 'a CR in a header',                $lines,
            body($path, $visibility, "X: y\rz$crlf" . part('Content', $source)) ],
        [ 'a header of 4097 bytes',          $header, body($path, $visibility,
            part('Content', $source, 'X: ' . 'x' x (4097 - length part('Content', '', 'X: ')))) ],
        [ 'a header without end',            $header, "--b$crlf" . 'X' x 100_000 ],
        [ 'header lines without end',        $header, "--b$crlf" . "X: y$crlf" x 10_000 ],
        [ 'a NUL in a header',               "A part's header holds a NUL",
            body($path, $visibility, part('Content', $source, "X: \0")) ],
        [ 'a NUL in a name',                 "A part's header holds a NUL",
            body($path, $visibility, part("Content\0", $source)) ],

        [ 'a part without name',             $no_name,
            body($path, $visibility, "Content-Disposition: form-data$crlf$crlf$source", $content) ],
        [ 'a part with a filename alone',    $no_name,
            body($path, $visibility, "Content-Disposition: form-data; filename=\"Content\"$crlf$crlf$source") ],
        [ 'a part without Content-Disposition', $no_name,
            body($path, $visibility, "Content-Type: text/plain; name=\"Content\"$crlf$crlf$source") ],
        [ 'a part without header',           $no_name, body($path, $visibility, "$crlf$source") ],
        [ 'another Content-Disposition',     $no_name,
            body($path, $visibility, "Content-Disposition: attachment; name=\"Content\"$crlf$crlf$source") ],
        [ 'a name that does not end',        $bad_name,
            body($path, $visibility, "Content-Disposition: form-data; name=\"Content$crlf$crlf$source") ],
        [ 'a filename that does not end',    $bad_name,
            body($path, $visibility, "Content-Disposition: form-data; filename=\"f; name=Content$crlf$crlf$source") ],
        [ 'text behind a name',              $bad_name,
            body($path, $visibility, "Content-Disposition: form-data; name=\"Content\"x$crlf$crlf$source") ],
        [ 'a name of 65 characters',         $bad_name, body($path, $visibility, $content, part('n' x 65, '')) ],
        [ 'a filename that could hold the name', $two_ways, body($path, $visibility,
            qq(Content-Disposition: form-data; filename="a\\"; name=Path; x=\\""; name="Content"$crlf$crlf$source)) ],
        [ 'a header that begins with a blank', $field, body($path, $visibility, " $content") ],
        [ 'a blank before the colon',        $field,
            body($path, $visibility, part('Content', $source, 'Content-Type : application/javascript')) ],
        [ 'two Content-Types',               "A part's header has a header field twice",
            body($path, $visibility, part('Content', $source, 'Content-Type: a/b', 'Content-Type: c/d')) ],

        (map { [ "Content-Transfer-Encoding: $_", $encoding,
            body($path, $visibility, part('Content', $source, "Content-Transfer-Encoding: $_")) ] }
            'base64', 'quoted-printable', 'x-gzip', '', 'binary; x'),
        [ 'seventeen parts',                 'The body has too many parts',
            body($path, $visibility, $content, map { part("n$_", '') } 1 .. 14) ],
        [ 'a thousand parts',                'The body has too many parts',
            body($path, $visibility, $content, (part('n', '')) x 997) ],
        [ 'Path twice',                      'Path is given more than once',
            body($path, $path, $visibility, $content) ],
        [ 'Visibility twice',                'Visibility is given more than once',
            body($path, $visibility, $content, $visibility) ],
        [ 'Content twice',                   'Content is given more than once',
            body($path, $content, $visibility, $content) ],
        [ 'Content twice, empty',            'Content is given more than once',
            body($path, part('Content', ''), $visibility, part('Content', '')) ],
        [ 'nothing but an end',              'Missing required parameter Path in the post body', "--b--$crlf" ],

        [ 413 => $too_large,
            body($path, $visibility, $content, part('n', 'n' x ($limit + 1 - length body($path, $visibility, $content, part('n', ''))))) ],
        [ 413 => $too_large, 'p' x $limit . $whole ],
        [ 413 => $too_large, $whole . 'e' x $limit ],
    ) {
        my ($what, $message, $body, $given_type) = @$case;
        is_refused post($body, type => $given_type), $before,
            $what eq 413 ? (413, $message, 'larger than the limits') : (400, $message, $what);
    }
};

subtest 'an upload with a Content-Encoding is 415' => sub {
    my $before = rows();
    my @headers = ('Content-Type: multipart/form-data; boundary=b', 'Content-Length: ' . length $whole);
    my $message = 'The body must not have a Content-Encoding other than identity';
    is_refused post($whole, headers => [ @headers, "Content-Encoding: $_" ]), $before, 415, $message, $_
        for qw(gzip deflate br);
    is_accepted post($whole, headers => [ @headers, 'Content-Encoding: identity' ]), $source, 'identity is no coding';
};

# Nothing of the body is sent: a server that waited for it would not answer.
subtest 'an upload is refused for its Content-Length, before its body' => sub {
    my $before = rows();
    my $too_large = 'The request body is too large';
    for my $length ($limit + 1, '1' . '0' x 9) {
        is_refused post('', length => $length), $before, 413, $too_large, "$length bytes, above the limit";
    }
    my $reply = $api->raw(join $crlf, "POST $list HTTP/1.1", 'Host: ' . $api->base =~ s{^http://}{}r, $api->authorization,
        'Content-Type: multipart/form-data; boundary=b', 'Content-Length: ' . ($limit + 1), 'Expect: 100-continue', '', '');
    is_refused $reply, $before, 413, $too_large,
        'an upload above the limit with Expect: 100-continue is refused without 100';
    is $reply->header('Connection'), 'close', 'the connection is closed after that refusal';
    $reply = $api->raw_request("POST @{[ $project->path ]}/Functions HTTP/1.1",
        headers => [ 'Content-Type: application/x-www-form-urlencoded', 'Content-Length: ' . (256 * 1024 + 1) ]);
    is_refused $reply, $before, 413, $too_large, 'a form likewise';
    $reply = post('', length => $limit + 1, client => Serverless::Client->client('AC' . '0' x 32, 'x'));
    is $reply->status, 401, 'without credentials, an upload above the limit is 401';
};

subtest 'an upload whose client disconnects stores nothing' => sub {
    my $before = rows();
    my $large = body($path, $visibility, part('Content', 'a' x 600_000));
    for my $case (
        [ 'in the first delimiter',   substr $large, 0, 2 ],
        [ 'in a header',              substr $large, 0, 30 ],
        [ 'in the content',           substr $large, 0, 1000 ],
        [ 'after a chunk of content', substr $large, 0, 300_000 ],
        [ 'before the last CRLF',     substr $large, 0, -length "--$crlf" ],
    ) {
        my ($what, $bytes) = @$case;
        my $reply = post($bytes, length => length $large, half_close => 1);
        is_refused $reply, $before, 400, 'The request is malformed', "sends no more $what";

        my ($host) = $api->base =~ m{^http://(.*)};
        my $socket = IO::Socket::INET->new(PeerAddr => $host) or die "$@\n";
        syswrite $socket, join $crlf, "POST $list HTTP/1.1", "Host: $host", $api->authorization,
            'Content-Type: multipart/form-data; boundary=b', 'Content-Length: ' . length $large, '', $bytes;
        setsockopt $socket, SOL_SOCKET, SO_LINGER, pack 'ii', 1, 0; # a reset, not a goodbye
        Time::HiRes::sleep(0.05);
        close $socket;
        is $api->get($function->{url})->status, 200, "resets the connection $what: httpd answers";
        is rows(), $before, 'an upload that ended in the middle stores nothing';

        $reply = $api->raw_request("POST $list HTTP/1.1", half_close => 1, headers => [
                'Content-Type: multipart/form-data; boundary=b', 'Transfer-Encoding: chunked' ],
            body => sprintf "%x$crlf%s$crlf", length $bytes, $bytes);
        is_refused $reply, $before, 400, 'The request is malformed', "sends no last chunk $what";
    }
    my $reply = $api->raw_request("POST $list HTTP/1.1",
        headers => [ 'Content-Type: multipart/form-data; boundary=b', 'Transfer-Encoding: chunked' ],
        body => "no-number$crlf$whole");
    is_refused $reply, $before, 400, 'The request is malformed', 'a chunk without a length';
};

subtest 'an upload whose client stalls is answered 408' => sub {
    my $before = rows();
    for my $case (
        [ 'nothing of the body',  '' ],
        [ 'half of a header',     substr $whole, 0, 20 ],
        [ 'half of the content',  substr $whole, 0, -20 ],
        [ 'all but the last LF',  substr $whole, 0, -1 ],
    ) {
        my ($what, $bytes) = @$case;
        my $reply = post($bytes, length => length $whole, client => $api->on('impatient'));
        is_refused $reply, $before, 408, 'The request was not received in time', $what;
    }
};

subtest 'a malformed upload does not affect the next request on its connection' => sub {
    for my $bad ('--b', "--bb$crlf", body($path, $path), 'x' x 100_000) {
        $api->request(POST => $list, $bad, 'multipart/form-data; boundary=b');
        is_accepted $api->request(POST => $list, $whole, 'multipart/form-data; boundary=b'), $source,
            'after ' . quoted($bad);
    }
};

done_testing;
