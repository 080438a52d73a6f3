# The part of the API that is the same for Function Versions and Asset Versions. Each
# subtest runs once for each kind: uploads and their parameters, how content is stored,
# the forms that a request may have on the connection, list and fetch.
#
# The content that each kind may have is the subject of t/function_versions.t and
# t/asset_versions.t; the body's syntax is that of t/multipart.t.
use strict;
use warnings FATAL => 'all';

use Apache::Test qw(-withtestmore);
use IO::Socket::INET ();
use Serverless::Project;
use Serverless::Test;
use Serverless::VersionChecks;
use Test::More;
use Time::HiRes ();

# The kind that the subtests are about, its account, and its Service.
my ($kind, $api, $project, $service);

my $limit = 1024 * 1024;
my $chunk = 256 * 1024;

my @path = (Path => undef, undef, '/hello');
my @visibility = (Visibility => undef, undef, 'public');
my @content = (Content => 'hello', 'application/javascript', 'exports.handler = 1;');

# Upload -------------------------------------------------------------------------

sub uploads {
    subtest "upload $kind->{one} Version" => sub {
        my $list = new_list();
        my $before = now;
        my $reply = $api->upload($list, [@path], [@visibility], [@content]);
        my $after = now;

        is_version $reply, 201, {}, 'the answer to an upload is the Version';
        my $version = $reply->json;
        is $reply->header('Location'), $version->{url}, 'Location is the url of the new Version';
        is $reply->header('Content-Type'), 'application/json', 'Content-Type is application/json';
        is_content $version, 'exports.handler = 1;', 'Content is the uploaded source';

        my ($created) = db()->selectrow_array(
            'SELECT extract(epoch FROM ?::timestamptz)', undef, $version->{date_created});
        ok $before <= $created && $created <= $after, 'date_created is the present, in UTC';

        (my $by_name = $list) =~ s/\Q$service->{sid}/$service->{unique_name}/;
        my $second = $api->upload($by_name, [@path], [@visibility], [@content]);
        is_version $second, 201, {}, 'a second upload of the same path and content, to a Service named by UniqueName, succeeds';
        isnt $second->json->{sid}, $version->{sid}, 'a second upload makes a second Version with its own SID';
    };

    subtest "the JSON of $kind->{one} Version, byte for byte" => sub {
        my $list = new_list();
        my $artifact = last_artifact();
        my $reply = $api->upload($list, [ Path => undef, undef, "/caf\xc3\xa9" ], [@visibility], [@content]);
        my %is = %{ $reply->json };
        my $links = $kind->{content_link} ? qq(,"links":{"$kind->{content_link}":"$is{url}/Content"}) : '';
        my $expected = <<"JSON";
{"sid":"$is{sid}","account_sid":"@{[ $api->user ]}","service_sid":"$service->{sid}",
"$kind->{sid}":"$artifact->{sid}","path":"/caf\xc3\xa9","visibility":"public",
"date_created":"$is{date_created}","url":"$is{url}"$links}
JSON
        $expected =~ s/\n//g;
        is $reply->body, $expected, 'the JSON has its properties in the documented order';
        is $reply->header('Content-Length'), length $expected, 'Content-Length is the length of the JSON';
    };

    subtest "the parts of $kind->{one} Version upload may come in any order and form" => sub {
        my $list = new_list();
        my $source = 'module.exports = "b";';
        for my $case (
            [ 'as the toolkit sends it',
                [@path], [@visibility], [ Content => 'hello', 'application/javascript', $source ] ],
            [ 'as curl samples send it',
                [ Content => 'hello.js', 'application/javascript', $source ], [@path], [@visibility] ],
            [ 'Content between', [@path], [ Content => 'f', 'text/plain', $source ], [@visibility] ],
            [ 'Visibility first', [@visibility], [@path], [ Content => 'f', 'text/plain', $source ] ],
            [ 'Content without filename', [@path], [@visibility], [ Content => undef, 'text/plain', $source ] ],
            [ 'Content without type', [@path], [@visibility], [ Content => 'hello.js', undef, $source ] ],
            [ 'Content without either', [@path], [@visibility], [ Content => undef, undef, $source ] ],
            [ 'every part with either',
                [ Path => 'a', 'text/plain', '/hello' ],
                [ Visibility => 'b', 'text/plain; charset=utf-8', 'public' ],
                [ Content => 'c', 'application/octet-stream', $source ] ],
            [ 'a filename with quotes and delimiters in it',
                [@path], [@visibility], [ Content => 'a; name=\"Path\".js', 'text/plain', $source ] ],
            [ 'unknown parts around',
                [ FriendlyName => undef, undef, 'x' ], [@path], [ content => 'f', undef, 'not this' ],
                [@visibility], [ Empty => undef, undef, '' ], [ Content => 'f', undef, $source ],
                [ Path2 => undef, undef, '/other' ] ],
            [ 'an unknown part with bytes that are no text',
                [@path], [ Picture => 'p.png', 'image/png', "\x89PNG\r\n\x1a\n\0\xff" ], [@visibility],
                [ Content => 'f', undef, $source ] ],
            [ 'an unknown part twice',
                [ Other => undef, undef, 1 ], [ Other => undef, undef, 2 ], [@path], [@visibility],
                [ Content => 'f', undef, $source ] ],
            [ 'sixteen parts',
                (map { [ "Other$_" => undef, undef, $_ ] } 1 .. 13), [@path], [@visibility],
                [ Content => 'f', undef, $source ] ],
        ) {
            my ($what, @parts) = @$case;
            my $reply = $api->upload($list, @parts);
            is_version $reply, 201, {}, $what;
            is_content $reply->json, $source, "$what: the Content is the uploaded source";
        }
    };
}

sub parameters {
    subtest "the Visibility of $kind->{one} Version" => sub {
        my $list = new_list();
        for my $sent (qw(public protected private Public PROTECTED pRiVaTe)) {
            my $reply = $api->upload($list, [@path], [ Visibility => undef, undef, $sent ], [@content]);
            is_version $reply, 201, { visibility => lc $sent }, "Visibility $sent is answered in lower case";
            is_version $api->get($reply->json->{url}), 200, { visibility => lc $sent },
                "Visibility $sent is fetched in lower case";
        }
        my $before = all_rows();
        for my $wrong ('secret', ' public', "public\n", "public\0", 'publi', 'publicc', "p\xc3\xbcblic",
            'private' x 40) {
            is_error $api->upload($list, [@path], [ Visibility => undef, undef, $wrong ], [@content]),
                400, 20001, 'Visibility must be public, protected or private', 'Visibility ' . quoted($wrong) . ' is refused';
        }
        is_error $api->upload($list, [@path], [ Visibility => undef, undef, 'public' x 400 ], [@content]),
            400, 20001, 'Path and Visibility must not be longer than 255 characters',
            'a Visibility of 2400 characters is refused';
        is all_rows(), $before, 'refused uploads store nothing';
    };

    subtest "the Path of $kind->{one} Version" => sub {
        my $list = new_list();
        for my $case (
            # the Path sent, the Path answered
            [ '/hello',                  '/hello' ],
            [ 'hello',                   '/hello' ],
            [ '/',                       '/' ],
            [ 'a/b/c',                   '/a/b/c' ],
            [ '/a/b/c.js',               '/a/b/c.js' ],
            [ '.a/..b/c./...',           '/.a/..b/c./...' ],
            [ '/%41%2f',                 '/%41%2f' ],
            [ '/a=b*c!d~e_f-g.h|i^j[k]', '/a=b*c!d~e_f-g.h|i^j[k]' ],
            [ "/caf\x{e9}/\x{1f680}",    "/caf\x{e9}/\x{1f680}" ],
            [ '/' . 'a' x 254,           '/' . 'a' x 254 ],
            [ 'a' x 254,                 '/' . 'a' x 254 ],
            [ '/' . "\x{1f600}" x 254,   '/' . "\x{1f600}" x 254 ],
        ) {
            my ($sent, $is) = @$case;
            my $reply = $api->upload($list, [ Path => undef, undef, bytes_of($sent) ], [@visibility], [@content]);
            is_version $reply, 201, { path => $is }, 'Path ' . quoted($sent) . ', ' . length($is) . ' characters';
            is_version $api->get($reply->json->{url}), 200, { path => $is }, 'fetched with Path ' . quoted($is);
        }

        my $before = all_rows();
        my $too_long = 'Path must not be longer than 255 characters';
        my $contains = 'Path must not contain U+';
        my $slashes = 'Path must not have two slashes together, or one at its end';
        my $dots = 'Path must not have a segment . or ..';
        for my $case (
            [ '/' . 'a' x 255,           $too_long ],
            [ 'a' x 255,                 $too_long ],
            [ 'a' x 1021,                $too_long ],
            [ 'a' x 1022,                'Path and Visibility must not be longer than 255 characters' ],
            [ 'a' x 20000,               'Path and Visibility must not be longer than 255 characters' ],
            [ "\x{1f600}" x 255,         $too_long ],
            (map { [ "/a${_}b", $contains . sprintf('%04X (%s)', ord, $_) ] } split //, q(#;,?:@+&$()'"\\)),
            (map { [ "/a${_}b", $contains . sprintf('%04X', ord) ] } ' ', "\t", "\r", "\n", "\r\n", "\x{1}", "\x{7f}",
                "\x{85}", "\x{a0}", "\x{200b}", "\x{2028}", "\x{202e}", "\x{feff}", "\x{10ffff}", "\x{e0041}"),
            [ ' /a',                     "${contains}0020" ],
            [ '/a ',                     "${contains}0020" ],
            (map { [ $_, $slashes ] } '//', '//a', '/a//b', '/a/', 'a/'),
            (map { [ $_, $dots ] } '.', '..', '/.', '/..', './a', '/../', '/../../etc/passwd', '/a/./b', '/a/..'),
            [ "/a\0b",                   'Path is not valid UTF-8' ],
            [ '',                        'Missing required parameter Path in the post body' ],
        ) {
            my ($sent, $message) = @$case;
            is_error $api->upload($list, [ Path => undef, undef, bytes_of($sent) ], [@visibility], [@content]),
                400, 20001, $message, 'Path ' . quoted($sent) . ' is refused';
        }
        for my $bytes ("/\xff", "/\xc3", "/\xc0\xaf", "/\xed\xa0\x80", "/\xf4\x90\x80\x80") {
            is_error $api->upload($list, [ Path => undef, undef, $bytes ], [@visibility], [@content]),
                400, 20001, 'Path is not valid UTF-8', 'Path of the bytes ' . unpack('H*', $bytes) . ' is refused';
        }
        is all_rows(), $before, 'refused uploads store nothing';
    };

    subtest "$kind->{one} Version upload without a required part, or of another content type, is refused" => sub {
        my $list = new_list();
        my $before = all_rows();
        for my $case (
            [ 'Path',       [@visibility], [@content] ],
            [ 'Visibility', [@path], [@content] ],
            [ 'Content',    [@path], [@visibility] ],
            [ 'Path',       [ path => undef, undef, '/a' ], [@visibility], [@content] ],
            [ 'Visibility', [@path], [ visibility => undef, undef, 'public' ], [@content] ],
            [ 'Visibility', [@path], [ Visibility => undef, undef, '' ], [@content] ],
            [ 'Path',       [ Other => undef, undef, '' ] ],
        ) {
            my ($missing, @parts) = @$case;
            is_error $api->upload($list, @parts), 400, 20001,
                "Missing required parameter $missing in the post body",
                "$missing is missing among the parts " . join ', ', map { $_->[0] } @parts;
        }
        for my $case (
            [ 'a body of a form',  'application/x-www-form-urlencoded', 'Path=/a&Visibility=public&Content=x' ],
            [ 'a body of JSON',    'application/json', '{"Path":"/a"}' ],
            [ 'another multipart', 'multipart/mixed; boundary=b', "--b--\r\n" ],
            [ 'a type that only begins with multipart/form-data', 'multipart/form-data-2; boundary=b', "--b--\r\n" ],
            [ 'no content type', undef, "--b--\r\n" ],
        ) {
            my ($what, $type, $body) = @$case;
            # raw, because HTTP::Tiny adds a Content-Type to a body that has none
            is_error $api->raw_request("POST $list HTTP/1.1", body => $body, headers => [
                    'Content-Length: ' . length $body, defined $type ? "Content-Type: $type" : () ]),
                415, 20415, 'The content type must be multipart/form-data', $what;
        }
        is all_rows(), $before, 'refused uploads store nothing';
    };
}

sub contents {
    subtest "the content of $kind->{name} Versions is stored once in a Service" => sub {
        my @text = ([ 'small', 'a' x 10 ], [ 'large', join ' ', 1 .. 100_000 ]);
        for my $case (@text) {
            my ($what, $text) = @$case;
            my $mine = Serverless::Project->new($api);
            my $theirs = Serverless::Project->new($api);
            my $chunks = int((length($text) + $chunk - 1) / $chunk);
            my $stored = sub { [ rows('contents', $_[0]->service), rows('content_chunks', $_[0]->service) ] };

            my ($first, $second) = map { new_version($mine, content => $text, path => "/$_") } 1, 2;
            is_deeply $stored->($mine), [ 1, $chunks ], "$what: two $kind->{list}, one content";
            my $other = new_version($theirs, content => $text);
            is_deeply $stored->($theirs), [ 1, $chunks ], "$what: another Service stores the same bytes for itself";
            new_version($mine, content => "$text.");
            is_deeply $stored->($mine), [ 2, 2 * $chunks ], "$what: other bytes are a second content";

            my $url = sub { $mine->path . "/$kind->{list}/$_[0]{ $kind->{sid} }" };
            is $api->delete($url->($first))->status, 204, "$what: the first $kind->{name} is deleted";
            is_deeply $stored->($mine), [ 2, 2 * $chunks ], "$what: the content of the second $kind->{name} is still stored";
            is_content $second, $text, "$what: the second $kind->{name} still has its whole content";
            is $api->delete($url->($second))->status, 204, "$what: the second $kind->{name} is deleted";
            is_deeply $stored->($mine), [ 1, $chunks ], "$what: content without a Version is deleted";
            is_content $other, $text, "$what: the other Service keeps its content";

            $first = new_version($mine, content => $text);
            is_content $first, $text, "$what: the same bytes uploaded again can be fetched";
            is_deeply $stored->($mine), [ 2, 2 * $chunks ], "$what: the bytes uploaded again are stored once";
            is $api->delete($mine->path)->status, 204, "$what: the Service is deleted";
            is_deeply $stored->($mine), [ 0, 0 ], "$what: its content is deleted with it";
            is $api->delete($theirs->path)->status, 204, "$what: the other Service is deleted";
            is_deeply $stored->($theirs), [ 0, 0 ], "$what: the content of the other Service is deleted with it";
        }
    };
}

# How it is sent -------------------------------------------------------------------

my $boundary = 'a-boundary';
my $type = "Content-Type: multipart/form-data; boundary=$boundary";
my $body = Serverless::Client::multipart($boundary, [@path], [@visibility], [@content]);

# Opens a connection and sends the head of an upload; returns the connection.
sub begin {
    my ($client, $list, @headers) = @_;
    my ($host) = $client->base =~ m{^http://(.*)};
    my $socket = IO::Socket::INET->new(PeerAddr => $host, Timeout => 10) or die "$@\n";
    $socket->autoflush(1);
    print $socket join "\r\n", "POST $list HTTP/1.1", "Host: $host", $client->authorization,
        'Connection: close', $type, @headers, '', '';
    return $socket;
}

# Reads up to an empty line, or to the end of the connection; returns the lines.
sub read_head {
    my ($socket) = @_;
    my $head = '';
    local $SIG{ALRM} = sub { die "nothing came\n" };
    eval {
        alarm 10;
        while (defined(my $line = <$socket>)) {
            $head .= $line;
            last if $line eq "\r\n";
        }
        alarm 0;
        1;
    } or $socket->close;
    return $head;
}

# Reads the whole answer, to the end of the connection.
sub read_reply {
    my ($socket) = @_;
    my $head = read_head($socket);
    local $/;
    return Serverless::Reply->parse($head . ($head ? <$socket> // '' : ''));
}

sub connections {
    subtest "$kind->{one} Version upload with Expect: 100-continue" => sub {
        my $list = new_list();
        my $socket = begin($api, $list, 'Expect: 100-continue', 'Content-Length: ' . length $body);
        is read_head($socket), "HTTP/1.1 100 Continue\r\n\r\n", '100 Continue before the body is sent';
        print $socket $body;
        my $reply = read_reply($socket);
        is_version $reply, 201, {}, 'the Version after the body is sent';
        is_content $reply->json, $content[3], 'the Version has the Content that was sent';

        $socket = begin($api, $list, 'Expect: 100-continue', 'Transfer-Encoding: chunked');
        is read_head($socket), "HTTP/1.1 100 Continue\r\n\r\n", '100 Continue before a body of unknown length is sent';
        printf $socket "%x\r\n%s\r\n0\r\n\r\n", length $body, $body;
        is_version read_reply($socket), 201, {}, 'the Version after a chunked body is sent';
    };

    subtest "$kind->{one} Version upload that must fail is answered before its body is sent" => sub {
        my $list = new_list();
        my $artifact = last_artifact();
        my $before = all_rows();
        my $other = Serverless::Project->new($api);
        my $stranger = Serverless::Client->account;
        my $theirs = Serverless::Project->new($stranger);
        for my $case (
            [ 'another Service',           $api, $other->sid, $artifact->{sid} ],
            [ 'another account\'s Service', $stranger, $theirs->sid, $artifact->{sid} ],
            [ 'another account',           $stranger, $service->{sid}, $artifact->{sid} ],
            [ "no such $kind->{name}",         $api, $service->{sid}, 'ZH' . '0' x 32 ],
            [ 'no such Service',           $api, 'ZS' . '0' x 32, $artifact->{sid} ],
            [ "a malformed $kind->{name}",     $api, $service->{sid}, 'ZH' . '0' x 31 ],
        ) {
            my ($what, $client, $parent, $sid) = @$case;
            my $path = "/Services/$parent/$kind->{list}/$sid/Versions";
            for my $way (
                [ 'Expect: 100-continue' => 'Expect: 100-continue', "Content-Length: $limit" ],
                [ 'a body announced'     => "Content-Length: $limit" ],
                [ 'chunks announced'     => 'Transfer-Encoding: chunked' ],
            ) {
                my ($how, @headers) = @$way;
                next if $what =~ /malformed/ && $how !~ /Expect/; # not even the operation is known
                is_error read_reply(begin($client, "/v1$path", @headers)), 404, 20404,
                    "The requested resource $path was not found", "$what, $how";
            }
            is_error $client->upload("/v1$path", [@path], [@visibility], [@content]), 404, 20404,
                "The requested resource $path was not found", "$what, with its body";
        }
        my $nobody = Serverless::Client->client($api->user, 'wrong');
        is_error read_reply(begin($nobody, $list, 'Expect: 100-continue', "Content-Length: $limit")),
            401, 20003, 'Authenticate', 'wrong credentials, Expect: 100-continue';
        is all_rows(), $before, 'refused uploads store nothing';
    };

    subtest "$kind->{one} Version upload in HTTP chunks and in small packets" => sub {
        my $list = new_list();
        my $text = "\x{1f600}\x{e9}\r\n--a-boundar\x{51fd}\r\n";
        my $bytes = Serverless::Client::multipart($boundary, [@path], [@visibility],
            [ Content => 'f', undef, bytes_of($text) ]);
        for my $size (1, 2, 3, 7, 4096) {
            my $chunked = join '', map { sprintf "%x\r\n%s\r\n", length, $_ } $bytes =~ /(.{1,$size})/gs;
            my $reply = $api->raw_request("POST $list HTTP/1.1",
                headers => [ $type, 'Transfer-Encoding: chunked' ], body => "${chunked}0\r\n\r\n");
            is_version $reply, 201, {}, "chunks of $size bytes";
            is_content $reply->json, bytes_of($text), "chunks of $size bytes: the Content is what was sent";
        }
        # one packet ends in the middle of a character, another of a delimiter
        my $socket = begin($api, $list, 'Content-Length: ' . length $bytes);
        setsockopt $socket, Socket::IPPROTO_TCP(), Socket::TCP_NODELAY(), 1;
        my $middle = index $bytes, bytes_of($text);
        my $sent = 0;
        for my $upto (10, 60, $middle + 1, $middle + 2, $middle + 5, $middle + 7, $middle + 12,
            length($bytes) - 5, length($bytes) - 3, length $bytes) {
            syswrite $socket, substr $bytes, $sent, $upto - $sent;
            $sent = $upto;
            Time::HiRes::sleep(0.02);
        }
        my $reply = read_reply($socket);
        is_version $reply, 201, {}, 'a body in ten packets';
        is_content $reply->json, bytes_of($text), 'a body in ten packets: the Content is what was sent';
    };

    subtest "$kind->{one} Version upload at the host name serverless-upload" => sub {
        my $list = new_list();
        my $post = sub {
            my ($host) = @_;
            return $api->raw_request("POST $list HTTP/1.1", host => $host, body => $body,
                headers => [ $type, 'Content-Length: ' . length $body ]);
        };
        for my $case (
            [ 'serverless-upload.example.test:8080', 'http://serverless.example.test:8080' ],
            [ 'serverless.example.test:8080',        'http://serverless.example.test:8080' ],
            [ 'my-serverless-upload.example.test:80', 'http://my-serverless-upload.example.test:80' ],
            [ 'serverless-upload.example.test',      'http://serverless.example.test' ],
        ) {
            my ($host, $base) = @$case;
            my $reply = $post->($host);
            my $url = "$base$list/" . ($reply->json || {})->{sid};
            is_version $reply, 201, { url => $url, links_of($url) }, "upload at $host: url is at the API's host name";
            is $reply->header('Location'), $url, "upload at $host: Location is at the API's host name";
        }
    };
}

# Reading ------------------------------------------------------------------------

sub reading {
    subtest "list the Versions of $kind->{one}" => sub {
        my $list = new_list();
        my $artifact = last_artifact();
        my $page = "$artifact->{links}{ $kind->{versions} }?PageSize=50&Page=0";
        my $meta = {
            first_page_url => $page, key => $kind->{versions}, next_page_url => undef, page => 0,
            page_size => 50, previous_page_url => undef, url => $page,
        };
        is_reply $api->get($list), 200, { $kind->{versions} => [], meta => $meta }, "the list of a new $kind->{name} is empty";

        my @made = map { new_version($project, artifact => $artifact) } 1 .. 5;
        my $other = new_version($project);
        is_reply $api->get($list), 200, { $kind->{versions} => [ reverse @made ], meta => $meta },
            "the list has every Version of the $kind->{name} as a fetch returns it, newest first";

        my @found;
        my $url = "$list?PageSize=2";
        for my $sizes (2, 2, 1) {
            my $reply = $api->get($url)->json;
            is scalar @{ $reply->{ $kind->{versions} } }, $sizes, "PageSize=2 of 5 Versions: a page of $sizes";
            push @found, @{ $reply->{ $kind->{versions} } };
            $url = $reply->{meta}{next_page_url};
        }
        is $url, undef, 'the last page has no next_page_url';
        is_deeply \@found, [ reverse @made ], 'the pages together have every Version, newest first';
        my $second = $api->get($api->get("$list?PageSize=2")->json->{meta}{next_page_url})->json;
        is_deeply $api->get($second->{meta}{previous_page_url})->json->{ $kind->{versions} },
            [ @made[4, 3] ], 'previous_page_url leads back to the first page';
        my ($token) = $second->{meta}{url} =~ /PageToken=([^&]+)/;
        my $others = $project->path . "/$kind->{list}/$other->{ $kind->{sid} }/Versions";
        is_error $api->get($others, Page => 1, PageToken => $token), 400, 20001,
            'PageToken is not valid for this list', "a PageToken of one $kind->{name}'s list is refused for another's";
    };

    subtest "fetch $kind->{one} Version and its Content" => sub {
        my $list = new_list();
        my $artifact = last_artifact();
        my $version = new_version($project, artifact => $artifact, content => 'a;');
        my $sid = $version->{sid};
        (my $capitals = $sid) =~ s/^ZN(.*)/'ZN' . uc $1/e;
        (my $by_name = $list) =~ s/\Q$service->{sid}/$service->{unique_name}/;
        is_reply $api->get("$list/$sid"), 200, $version, 'fetched by SID';
        is_reply $api->get($version->{url}), 200, $version, 'fetched by its url property';
        is_reply $api->get("$list/$capitals"), 200, $version,
            'fetched by SID in upper case; the answer has the SID in lower case';
        is_reply $api->get("$by_name/$sid"), 200, $version, 'fetched under a Service named by UniqueName';
        is_content { %$version, url => $api->base . "$by_name/$capitals" }, 'a;',
            'Content fetched by SID in upper case, under a Service named by UniqueName';
        is $api->head("$list/$sid")->status, 200, 'HEAD of a Version answers 200';
    };

    subtest "$kind->{one} Version is not found under another $kind->{name} or Service, or by another account" => sub {
        my $list = new_list();
        my $artifact = last_artifact();
        my $version = new_version($project, artifact => $artifact);
        my $sibling = new_artifact($project);
        my $other = Serverless::Project->new($api);
        my $elsewhere = new_artifact($other);
        my $stranger = Serverless::Client->account;
        my $theirs = Serverless::Project->new($stranger);
        my ($s, $f, $v) = ($service->{sid}, $artifact->{sid}, $version->{sid});
        for my $case (
            [ "another $kind->{name}",           $api,      $s, $sibling->{sid}, $v ],
            [ 'another Service',             $api,      $other->sid, $f, $v ],
            [ "another Service's $kind->{name}", $api,      $other->sid, $elsewhere->{sid}, $v ],
            [ 'another account',             $stranger, $s, $f, $v ],
            [ 'another account\'s Service',  $stranger, $theirs->sid, $f, $v ],
            [ 'no such Version',             $api,      $s, $f, 'ZN' . '0' x 32 ],
            [ 'a malformed SID',             $api,      $s, $f, 'ZN' . '0' x 31 ],
            [ 'a SID of another kind',       $api,      $s, $f, $f ],
            [ "$kind->{one} of another kind",  $api,      $s, $v, $v ],
        ) {
            my ($what, $client, @sids) = @$case;
            my $path = sprintf '/Services/%s/%s/%s/Versions/%s', $sids[0], $kind->{list}, @sids[1, 2];
            is_error $client->get("/v1$_"), 404, 20404, "The requested resource $_ was not found", "$what: $_"
                for $path, "$path/Content";
        }
        is_error $stranger->get($list), 404, 20404,
            "The requested resource /Services/$s/$kind->{list}/$f/Versions was not found", 'list, by another account';
    };

    subtest "$kind->{one} Version cannot be changed, and is deleted with its $kind->{name}" => sub {
        my $list = new_list();
        my $artifact = last_artifact();
        my $version = new_version($project, artifact => $artifact);
        for my $case (
            # method, path, allowed methods
            [ 'POST',   "$list/$version->{sid}",         'GET, HEAD, OPTIONS' ],
            [ 'DELETE', "$list/$version->{sid}",         'GET, HEAD, OPTIONS' ],
            [ 'PUT',    "$list/$version->{sid}",         'GET, HEAD, OPTIONS' ],
            [ 'PATCH',  "$list/$version->{sid}",         'GET, HEAD, OPTIONS' ],
            [ 'POST',   "$list/$version->{sid}/Content", 'GET, HEAD, OPTIONS' ],
            [ 'DELETE', "$list/$version->{sid}/Content", 'GET, HEAD, OPTIONS' ],
            [ 'DELETE', $list,                           'GET, HEAD, POST, OPTIONS' ],
            [ 'PUT',    $list,                           'GET, HEAD, POST, OPTIONS' ],
        ) {
            my ($method, $path, $allowed) = @$case;
            my $reply = $api->request($method, $path);
            is_error $reply, 405, 20004, 'Method not allowed', "$method of .../Versions" . substr $path, length $list;
            is $reply->header('Allow'), $allowed, "$method: Allow has the methods of the path";
        }
        is_reply $api->get($version->{url}), 200, $version, 'refused methods leave the Version unchanged';
        is $api->delete("$artifact->{url}")->status, 204, "the $kind->{name} is deleted";
        (my $path = "$list/$version->{sid}") =~ s{^/v1}{};
        is_error $api->get("/v1$path"), 404, 20404, "The requested resource $path was not found",
            "a Version of the deleted $kind->{name} is not found";
    };
}

for my $each (qw(function asset)) {
    ($api, $project) = versions_of($each);
    $service = $project->service;
    $kind = Serverless::Project::kind($each);

    uploads();
    parameters();
    contents();
    connections();
    reading();
}

done_testing;
