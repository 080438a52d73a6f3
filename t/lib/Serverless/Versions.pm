# What is true of Function Versions and of Asset Versions alike: how they are
# uploaded, listed and fetched. t/function_versions.t and t/asset_versions.t have
# it proved, and say themselves what content each may have:
#
#   my ($api, $project) = versions_of('asset');
#   prove_versions();
package Serverless::Versions;

use strict;
use warnings FATAL => 'all';

use Digest::SHA qw(sha256_hex);
use Exporter qw(import);
use IO::Socket::INET ();
use Serverless::Project;
use Serverless::Test;
use Test::More;
use Time::HiRes ();

our @EXPORT = qw(versions_of prove_versions new_list last_artifact upload is_version is_content is_stored rows all_rows bytes_of);

my ($kind, $api, $project, $service, $artifact);
my $limit = 1024 * 1024;
my $chunk = 256 * 1024;

my @path = (Path => undef, undef, '/hello');
my @visibility = (Visibility => undef, undef, 'public');
my @content = (Content => 'hello', 'application/javascript', 'exports.handler = 1;');

sub versions_of {
    my ($of) = @_;
    $kind = Serverless::Project::kind($of);
    $api = Serverless::Test->account;
    $project = Serverless::Project->of($api);
    $service = $project->service;
    return ($api, $project);
}

sub prove_versions {
    uploads();
    parameters();
    contents();
    ways();
    reading();
}

# Where Versions of a new artifact are uploaded to.
sub new_list {
    $artifact = new_artifact($project);
    return $project->path . "/$kind->{list}/$artifact->{sid}/Versions";
}

# The last new_list's.
sub last_artifact { $artifact }

sub new_artifact { my ($in) = @_; return $in->new_artifact($kind->{key} =~ s/s$//r) }

# In this Project, of an artifact of its own or of that one.
sub new_version {
    my ($in, %with) = @_;
    return $in->new_version(artifact => new_artifact($in), %with);
}

# One of these bytes, where all else is as usual.
sub upload {
    my ($list, $bytes, $type) = @_;
    return $api->upload($list, [@path], [@visibility], [ Content => 'f', $type // 'text/plain', $bytes ]);
}

# The answer is a Version, whole, of the last new_list's artifact.
sub is_version {
    my ($reply, $status, $given, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $sid = ($reply->json || {})->{sid} // '';
    my $url = "$artifact->{url}/Versions/$sid";
    is_reply $reply, $status, {
        sid          => sid('ZN'),
        account_sid  => $api->user,
        service_sid  => $service->{sid},
        $kind->{sid} => $artifact->{sid},
        path         => '/hello',
        visibility   => 'public',
        date_created => date,
        url          => $url,
        links_of($url),
        %$given,
    }, $name;
}

# Only a Function Version has a link to its Content: so the API does it.
sub links_of {
    my ($url) = @_;
    return $kind->{content_link} ? (links => { $kind->{content_link} => "$url/Content" }) : ();
}

# What Content answers for this Version: a Function's is text in JSON, an Asset's
# is bytes.
sub is_content {
    my ($version, $bytes, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $reply = $api->get("$version->{url}/Content");
    my $is = $kind->{content_link} ? $reply->json : { content => $reply->body };
    my $same = defined $is->{content}
        && $bytes eq ($kind->{content_link} ? bytes_of(delete $is->{content}) : delete $is->{content});
    is_deeply [ $reply->status, $same, $is ], [ 200, 1, $kind->{content_link} ? {
        sid          => $version->{sid},
        account_sid  => $api->user,
        service_sid  => $version->{service_sid},
        $kind->{sid} => $version->{ $kind->{sid} },
        url          => $version->{links}{ $kind->{content_link} },
    } : {} ], $name;
}

# What the database has of this Version's content: its size, its hash, and chunks
# of 256 KiB.
sub is_stored {
    my ($version, $bytes, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $stored = db()->selectrow_arrayref(<<'SQL', undef, substr $version->{sid}, 2);
SELECT c.size, encode(c.sha256, 'hex'),
       (SELECT array_to_string(array_agg(octet_length(k.bytes) ORDER BY k.number), ' ')
          FROM serverless.content_chunks AS k WHERE (k.service_id, k.sha256) = (c.service_id, c.sha256))
  FROM serverless.versions AS v
  JOIN serverless.contents AS c ON (c.service_id, c.sha256) = (v.service_id, v.content_sha256)
 WHERE v.id = ?
SQL
    my @chunks;
    for (my $left = length $bytes; $left > 0; $left -= $chunks[-1]) {
        push @chunks, $left < $chunk ? $left : $chunk;
    }
    is_deeply $stored, [ length $bytes, sha256_hex($bytes), @chunks ? "@chunks" : undef ], $name;
}

# How many rows the Service has in a table.
sub rows {
    my ($table, $of) = @_;
    return db()->selectrow_array("SELECT count(*) FROM serverless.$table WHERE service_id = ?", undef,
        substr +($of || $service)->{sid}, 2);
}

sub all_rows { join ' ', map { rows($_) } qw(versions contents content_chunks) }

sub bytes_of { my ($text) = @_; utf8::encode($text); return $text }


# Upload -------------------------------------------------------------------------

sub uploads {
    subtest 'upload' => sub {
        my $list = new_list();
        my $before = now;
        my $reply = $api->upload($list, [@path], [@visibility], [@content]);
        my $after = now;

        is_version $reply, 201, {}, 'the answer is the Version';
        my $version = $reply->json;
        is $reply->header('Location'), $version->{url}, 'Location is its address';
        is $reply->header('Content-Type'), 'application/json', 'as JSON';
        is_content $version, 'exports.handler = 1;', 'Content has the source';

        my ($created) = db()->selectrow_array(
            'SELECT extract(epoch FROM ?::timestamptz)', undef, $version->{date_created});
        ok $before <= $created && $created <= $after, 'created now, in UTC';

        (my $by_name = $list) =~ s/\Q$service->{sid}/$service->{unique_name}/;
        my $second = $api->upload($by_name, [@path], [@visibility], [@content]);
        is_version $second, 201, {}, 'a second, of the same path and content, by UniqueName of the Service';
        isnt $second->json->{sid}, $version->{sid}, 'is another Version';
    };

    subtest 'the same, byte by byte' => sub {
        my $list = new_list();
        my $reply = $api->upload($list, [ Path => undef, undef, "/caf\xc3\xa9" ], [@visibility], [@content]);
        my %is = %{ $reply->json };
        my $links = $kind->{content_link} ? qq(,"links":{"$kind->{content_link}":"$is{url}/Content"}) : '';
        my $expected = <<"JSON";
{"sid":"$is{sid}","account_sid":"@{[ $api->user ]}","service_sid":"$service->{sid}",
"$kind->{sid}":"$artifact->{sid}","path":"/caf\xc3\xa9","visibility":"public",
"date_created":"$is{date_created}","url":"$is{url}"$links}
JSON
        $expected =~ s/\n//g;
        is $reply->body, $expected, 'properties in the documented order';
        is $reply->header('Content-Length'), length $expected, 'and their length is given';
    };

    subtest 'parts may come in any order and form' => sub {
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
            is_content $reply->json, $source, 'and its Content';
        }
    };
}

sub parameters {
    subtest 'Visibility' => sub {
        my $list = new_list();
        for my $sent (qw(public protected private Public PROTECTED pRiVaTe)) {
            my $reply = $api->upload($list, [@path], [ Visibility => undef, undef, $sent ], [@content]);
            is_version $reply, 201, { visibility => lc $sent }, $sent;
            is_version $api->get($reply->json->{url}), 200, { visibility => lc $sent }, 'and so it is fetched';
        }
        my $before = all_rows();
        for my $wrong ('secret', ' public', "public\n", "public\0", 'publi', 'publicc', "p\xc3\xbcblic",
            'private' x 40) {
            is_error $api->upload($list, [@path], [ Visibility => undef, undef, $wrong ], [@content]),
                400, 20001, 'Visibility must be public, protected or private', quoted($wrong);
        }
        is_error $api->upload($list, [@path], [ Visibility => undef, undef, 'public' x 400 ], [@content]),
            400, 20001, 'Path and Visibility must not be longer than 255 characters', 'a very long one';
        is all_rows(), $before, 'nothing came of those';
    };

    subtest 'Path' => sub {
        my $list = new_list();
        for my $case (
            # what is sent, what it becomes
            [ '/hello',                  '/hello' ],
            [ 'hello',                   '/hello' ],
            [ '/',                       '/' ],
            [ 'a/b/c',                   '/a/b/c' ],
            [ '/a/b/c.js',               '/a/b/c.js' ],
            [ '//a//b/',                 '//a//b/' ],
            [ './../a',                  '/./../a' ],
            [ '/%41%2f',                 '/%41%2f' ],
            [ '/a=b*c!d~e_f-g.h|i^j[k]', '/a=b*c!d~e_f-g.h|i^j[k]' ],
            [ "/caf\x{e9}/\x{1f680}",    "/caf\x{e9}/\x{1f680}" ],
            [ '/' . 'a' x 254,           '/' . 'a' x 254 ],
            [ 'a' x 254,                 '/' . 'a' x 254 ],
            [ '/' . "\x{1f600}" x 254,   '/' . "\x{1f600}" x 254 ],
        ) {
            my ($sent, $is) = @$case;
            my $reply = $api->upload($list, [ Path => undef, undef, bytes_of($sent) ], [@visibility], [@content]);
            is_version $reply, 201, { path => $is }, quoted($sent) . ', ' . length($is) . ' characters';
            is_version $api->get($reply->json->{url}), 200, { path => $is }, 'and so it is fetched';
        }

        my $before = all_rows();
        my $too_long = 'Path must not be longer than 255 characters';
        my $characters = q(Path must not contain spaces or any of # ; , ? : @ + & $ ( ) ' " \\);
        for my $case (
            [ '/' . 'a' x 255,           $too_long ],
            [ 'a' x 255,                 $too_long ],
            [ 'a' x 1021,                $too_long ],
            [ 'a' x 1022,                'Path and Visibility must not be longer than 255 characters' ],
            [ 'a' x 20000,               'Path and Visibility must not be longer than 255 characters' ],
            [ "\x{1f600}" x 255,         $too_long ],
            (map { [ "/a${_}b", $characters ] }
                split(//, q(#;,?:@+&$()'" \\)), "\t", "\r", "\n", "\r\n"),
            [ ' /a',                     $characters ],
            [ '/a ',                     $characters ],
            [ "/a\0b",                   'Path is not valid UTF-8' ],
            [ '',                        'Missing required parameter Path in the post body' ],
        ) {
            my ($sent, $message) = @$case;
            is_error $api->upload($list, [ Path => undef, undef, bytes_of($sent) ], [@visibility], [@content]),
                400, 20001, $message, quoted($sent);
        }
        for my $bytes ("/\xff", "/\xc3", "/\xc0\xaf", "/\xed\xa0\x80", "/\xf4\x90\x80\x80") {
            is_error $api->upload($list, [ Path => undef, undef, $bytes ], [@visibility], [@content]),
                400, 20001, 'Path is not valid UTF-8', 'bytes ' . unpack 'H*', $bytes;
        }
        is all_rows(), $before, 'nothing came of those';
    };

    subtest 'what is missing' => sub {
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
                "$missing, of " . join ' and ', map { $_->[0] } @parts;
        }
        for my $case (
            [ 'a form',  'application/x-www-form-urlencoded', 'Path=/a&Visibility=public&Content=x' ],
            [ 'JSON',    'application/json', '{"Path":"/a"}' ],
            [ 'another multipart', 'multipart/mixed; boundary=b', "--b--\r\n" ],
            [ 'a type that only begins so', 'multipart/form-data-2; boundary=b', "--b--\r\n" ],
            [ 'no type', undef, "--b--\r\n" ],
        ) {
            my ($what, $type, $body) = @$case;
            # raw, because HTTP::Tiny has a type of its own for a body without
            is_error $api->raw_request("POST $list HTTP/1.1", body => $body, headers => [
                    'Content-Length: ' . length $body, defined $type ? "Content-Type: $type" : () ]),
                415, 20415, 'The content type must be multipart/form-data', $what;
        }
        is all_rows(), $before, 'nothing came of those';
    };
}

sub contents {
    subtest 'the same bytes are stored once in a Service' => sub {
        my @text = ([ 'small', 'a' x 10 ], [ 'large', join ' ', 1 .. 100_000 ]);
        for my $case (@text) {
            my ($what, $text) = @$case;
            my $mine = Serverless::Project->of($api);
            my $theirs = Serverless::Project->of($api);
            my $chunks = int((length($text) + $chunk - 1) / $chunk);
            my $stored = sub { [ rows('contents', $_[0]->service), rows('content_chunks', $_[0]->service) ] };

            my ($first, $second) = map { new_version($mine, content => $text, path => "/$_") } 1, 2;
            is_deeply $stored->($mine), [ 1, $chunks ], "$what: two $kind->{list}, one content";
            my $other = new_version($theirs, content => $text);
            is_deeply $stored->($theirs), [ 1, $chunks ], 'another Service has its own';
            new_version($mine, content => "$text.");
            is_deeply $stored->($mine), [ 2, 2 * $chunks ], 'other bytes are another content';

            my $url = sub { $mine->path . "/$kind->{list}/$_[0]{ $kind->{sid} }" };
            is $api->delete($url->($first))->status, 204, "the first $kind->{name} is deleted";
            is_deeply $stored->($mine), [ 2, 2 * $chunks ], 'the second still has it';
            is_content $second, $text, 'whole';
            is $api->delete($url->($second))->status, 204, 'the second is deleted';
            is_deeply $stored->($mine), [ 1, $chunks ], 'now it is gone';
            is_content $other, $text, 'not from the other Service';

            $first = new_version($mine, content => $text);
            is_content $first, $text, 'uploaded again, it is there again';
            is_deeply $stored->($mine), [ 2, 2 * $chunks ], 'once';
            is $api->delete($mine->path)->status, 204, 'the Service is deleted';
            is_deeply $stored->($mine), [ 0, 0 ], 'with all of it';
            is $api->delete($theirs->path)->status, 204, 'and the other';
            is_deeply $stored->($theirs), [ 0, 0 ], 'with its own';
        }
    };
}

# How it is sent -------------------------------------------------------------------

my $boundary = 'a-boundary';
my $type = "Content-Type: multipart/form-data; boundary=$boundary";
my $body = Serverless::Test::multipart($boundary, [@path], [@visibility], [@content]);

# A connection with the head of an upload sent: what is to be read from it.
sub begin {
    my ($client, $list, @headers) = @_;
    my ($host) = $client->base =~ m{^http://(.*)};
    my $socket = IO::Socket::INET->new(PeerAddr => $host, Timeout => 10) or die "$@\n";
    $socket->autoflush(1);
    print $socket join "\r\n", "POST $list HTTP/1.1", "Host: $host", $client->authorization,
        'Connection: close', $type, @headers, '', '';
    return $socket;
}

# What comes up to an empty line, or to the end.
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

sub read_reply {
    my ($socket) = @_;
    my $head = read_head($socket);
    local $/;
    return Serverless::Test::Reply->parse($head . ($head ? <$socket> // '' : ''));
}

sub ways {
    subtest 'Expect: 100-continue' => sub {
        my $list = new_list();
        my $socket = begin($api, $list, 'Expect: 100-continue', 'Content-Length: ' . length $body);
        is read_head($socket), "HTTP/1.1 100 Continue\r\n\r\n", 'httpd says to go on';
        print $socket $body;
        my $reply = read_reply($socket);
        is_version $reply, 201, {}, 'and answers with the Version';
        is_content $reply->json, $content[3], 'which has its content';

        $socket = begin($api, $list, 'Expect: 100-continue', 'Transfer-Encoding: chunked');
        is read_head($socket), "HTTP/1.1 100 Continue\r\n\r\n", 'the same with a length not yet known';
        printf $socket "%x\r\n%s\r\n0\r\n\r\n", length $body, $body;
        is_version read_reply($socket), 201, {}, 'the answer is the Version';
    };

    subtest 'what cannot be uploaded to is told before the body is sent' => sub {
        my $list = new_list();
        my $before = all_rows();
        my $other = Serverless::Project->of($api);
        my $stranger = Serverless::Test->account;
        my $theirs = Serverless::Project->of($stranger);
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
        my $nobody = Serverless::Test->client($api->user, 'wrong');
        is_error read_reply(begin($nobody, $list, 'Expect: 100-continue', "Content-Length: $limit")),
            401, 20003, 'Authenticate', 'nor is a body read from just anybody';
        is all_rows(), $before, 'nothing came of those';
    };

    subtest 'in chunks, and in pieces' => sub {
        my $list = new_list();
        my $text = "\x{1f600}\x{e9}\r\n--a-boundar\x{51fd}\r\n";
        my $bytes = Serverless::Test::multipart($boundary, [@path], [@visibility],
            [ Content => 'f', undef, bytes_of($text) ]);
        for my $size (1, 2, 3, 7, 4096) {
            my $chunked = join '', map { sprintf "%x\r\n%s\r\n", length, $_ } $bytes =~ /(.{1,$size})/gs;
            my $reply = $api->raw_request("POST $list HTTP/1.1",
                headers => [ $type, 'Transfer-Encoding: chunked' ], body => "${chunked}0\r\n\r\n");
            is_version $reply, 201, {}, "chunks of $size bytes";
            is_content $reply->json, bytes_of($text), 'and its Content';
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
        is_version $reply, 201, {}, 'packets';
        is_content $reply->json, bytes_of($text), 'and its Content';
    };

    subtest 'the upload host' => sub {
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
            is_version $reply, 201, { url => $url, links_of($url) }, "at $host";
            is $reply->header('Location'), $url, 'Location, too';
        }
    };
}

# Reading ------------------------------------------------------------------------

sub reading {
    subtest 'list' => sub {
        my $list = new_list();
        my $page = "$artifact->{links}{ $kind->{versions} }?PageSize=50&Page=0";
        my $meta = {
            first_page_url => $page, key => $kind->{versions}, next_page_url => undef, page => 0,
            page_size => 50, previous_page_url => undef, url => $page,
        };
        is_reply $api->get($list), 200, { $kind->{versions} => [], meta => $meta }, 'nothing yet';

        my @made = map { new_version($project, artifact => $artifact) } 1 .. 5;
        my $other = new_version($project);
        is_reply $api->get($list), 200, { $kind->{versions} => [ reverse @made ], meta => $meta },
            "the $kind->{name}'s own, as each is fetched, newest first";

        my @found;
        my $url = "$list?PageSize=2";
        for my $sizes (2, 2, 1) {
            my $reply = $api->get($url)->json;
            is scalar @{ $reply->{ $kind->{versions} } }, $sizes, "a page of $sizes";
            push @found, @{ $reply->{ $kind->{versions} } };
            $url = $reply->{meta}{next_page_url};
        }
        is $url, undef, 'then no more';
        is_deeply \@found, [ reverse @made ], 'together they are all, newest first';
        my $second = $api->get($api->get("$list?PageSize=2")->json->{meta}{next_page_url})->json;
        is_deeply $api->get($second->{meta}{previous_page_url})->json->{ $kind->{versions} },
            [ @made[4, 3] ], 'and back again';
        my ($token) = $second->{meta}{url} =~ /PageToken=([^&]+)/;
        my $others = $project->path . "/$kind->{list}/$other->{ $kind->{sid} }/Versions";
        is_error $api->get($others, Page => 1, PageToken => $token), 400, 20001,
            'PageToken is not valid for this list', "a token is of one $kind->{name}'s list";
    };

    subtest 'fetch' => sub {
        my $list = new_list();
        my $version = new_version($project, artifact => $artifact, content => 'a;');
        my $sid = $version->{sid};
        (my $capitals = $sid) =~ s/^ZN(.*)/'ZN' . uc $1/e;
        (my $by_name = $list) =~ s/\Q$service->{sid}/$service->{unique_name}/;
        is_reply $api->get("$list/$sid"), 200, $version, 'by SID';
        is_reply $api->get($version->{url}), 200, $version, 'by the url it has';
        is_reply $api->get("$list/$capitals"), 200, $version,
            'by SID in capitals; the answer has it in small letters';
        is_reply $api->get("$by_name/$sid"), 200, $version, 'by UniqueName of the Service';
        is_content { %$version, url => $api->base . "$by_name/$capitals" }, 'a;', 'its Content, the same ways';
        is $api->head("$list/$sid")->status, 200, 'HEAD';
    };

    subtest 'under the wrong artifact, Service or account, a Version is not there' => sub {
        my $list = new_list();
        my $version = new_version($project, artifact => $artifact);
        my $sibling = new_artifact($project);
        my $other = Serverless::Project->of($api);
        my $elsewhere = new_artifact($other);
        my $stranger = Serverless::Test->account;
        my $theirs = Serverless::Project->of($stranger);
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
            [ "a $kind->{name} of another kind",  $api,      $s, $v, $v ],
        ) {
            my ($what, $client, @sids) = @$case;
            my $path = sprintf '/Services/%s/%s/%s/Versions/%s', $sids[0], $kind->{list}, @sids[1, 2];
            is_error $client->get("/v1$_"), 404, 20404, "The requested resource $_ was not found", "$what: $_"
                for $path, "$path/Content";
        }
        is_error $stranger->get($list), 404, 20404,
            "The requested resource /Services/$s/$kind->{list}/$f/Versions was not found", 'nor the list';
    };

    subtest 'a Version never changes, and goes with its artifact' => sub {
        my $list = new_list();
        my $version = new_version($project, artifact => $artifact);
        for my $case (
            # method, path, what is allowed
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
            is_error $reply, 405, 20004, 'Method not allowed', "$method " . substr $path, length $list;
            is $reply->header('Allow'), $allowed, 'and Allow says what is';
        }
        is_reply $api->get($version->{url}), 200, $version, 'it is as it was';
        is $api->delete("$artifact->{url}")->status, 204, "the $kind->{name} is deleted";
        (my $path = "$list/$version->{sid}") =~ s{^/v1}{};
        is_error $api->get("/v1$path"), 404, 20404, "The requested resource $path was not found",
            'and the Version with it';
    };
}

1;
