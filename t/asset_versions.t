# The Content of Asset Versions: any bytes of any type, which the API answers as they were
# uploaded. t/versions.t has what is the same for Function Versions.
use strict;
use warnings FATAL => 'all';

use Apache::Test qw(-withtestmore);
use Digest::SHA qw(sha256_hex);
use Serverless::Project;
use Serverless::Server;
use Serverless::Test;
use Serverless::VersionChecks;
use Test::More;

my ($api, $project) = versions_of('asset');
my $chunk = 256 * 1024;

# Bytes that look like nothing, the same each time.
sub noise {
    my ($size) = @_;
    my $noise = '';
    for (my $i = 0; length $noise < $size; $i++) {
        $noise .= Digest::SHA::sha512("noise $i") x 16;
    }
    return substr $noise, 0, $size;
}

# What is fetched, as [status, body] and the headers asked for.
sub fetched {
    my ($reply, @headers) = @_;
    return [ $reply->status, $reply->body, map { $reply->header($_) } @headers ];
}


# Bytes ----------------------------------------------------------------------------

subtest 'the Content of an Asset Version is the bytes that were uploaded, whatever they are' => sub {
    my $list = new_list();
    my $all = join '', map { chr } 0 .. 255;
    for my $case (
        [ 'nothing',                      '' ],
        [ 'one byte',                     'a' ],
        [ 'a NUL',                        "\0" ],
        [ 'every byte',                   $all ],
        [ 'every byte but in twos',       join '', map { my $a = $_; map { chr($a) . chr } 0 .. 255 } 0 .. 255 ],
        [ 'a picture',                    "\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1" ],
        [ 'Latin-1',                      "caf\xe9\r\n" ],
        [ 'half a character',             "a\xc3" ],
        [ 'what delimiters are made of',  "\r\n--\r\n----\r\n\r\r\n-\r\n--------------------------0123456789abcdef01234" ],
        [ '54 bytes, a line of base64',   noise(54) ],
        [ '57 bytes',                     noise(57) ],
        [ '58 bytes',                     noise(58) ],
        [ 'a chunk, without one byte',    noise($chunk - 1) ],
        [ 'a chunk',                      noise($chunk) ],
        [ 'a chunk and one byte',         noise($chunk + 1) ],
        [ 'two chunks',                   noise(2 * $chunk) ],
        [ 'more than a Function may have', noise(3 * 1024 * 1024 + 7) ],
        [ 'zeros',                        "\0" x (1024 * 1024) ],
    ) {
        my ($what, $bytes) = @$case;
        my $reply = upload($list, $bytes, 'application/octet-stream');
        is_version $reply, 201, {}, "$what: " . length($bytes) . ' bytes';
        is_content $reply->json, $bytes, 'the Content is the uploaded bytes';
        is_stored $reply->json, $bytes, 'stored with their size and hash, in chunks';
    }
};

subtest 'an Asset has no Content in JSON, and no link to it' => sub {
    my $version = upload(new_list(), 'a')->json;
    ok !exists $version->{links}, 'no links';
    is $api->get("$version->{url}/Content")->body, 'a', 'but the address is the same as a Function\'s';
};

subtest "ServerlessAssetLimit limits the size of an Asset's Content" => sub {
    my $server = Serverless::Server->start('assets', "ServerlessAssetLimit 1000\n"
        . Serverless::Server->database . Serverless::Server->api);
    my $list = new_list();
    my $before = all_rows();
    my $there = $api->at($server->address);
    my @form = ([ Path => undef, undef, '/limit' ], [ Visibility => undef, undef, 'public' ]);
    for my $size (1001, 2000, 60_000) {
        for my $order ('last', 'first') {
            my @content = ([ Content => 'c', undef, 'a' x $size ]);
            is_error $there->upload($list, $order eq 'last' ? (@form, @content) : (@content, @form)), 413, 20413,
                'Content must not be larger than 1000 bytes', "$size bytes, $order";
        }
    }
    is_error $there->upload($list, @form, [ Other => 'c', undef, 'a' x 70_000 ], [ Content => 'c', undef, 'a' ]),
        413, 20413, 'The request body is too large', 'an upload above the limit of the whole body is 413';
    is all_rows(), $before, 'refused requests leave the number of rows unchanged';
    my $whole = $there->upload($list, @form, [ Content => 'c', undef, 'a' x 1000 ]);
    is $whole->status, 201, '1000 bytes';
    is $there->get($whole->json->{url} . '/Content')->body, 'a' x 1000,
        'an Asset as large as the limit is answered whole';

    my $larger = upload($list, 'b' x 1001)->json;
    is $there->get($list . "/$larger->{sid}/Content")->body, 'b' x 1001,
        'an Asset above the limit of this server can be fetched';
    my $function = $project->new_function;
    is $there->upload($project->path . "/Functions/$function->{sid}/Versions", @form,
        [ Content => 'c', undef, 'a' x 2000 ])->status, 201, 'a Function has its own limit';
};

subtest 'a Function Version and an Asset Version of the same bytes share the stored content' => sub {
    my $mine = Serverless::Project->new($api);
    my $bytes = 'shared ' x 60_000; # two chunks
    my $stored = sub { [ map { rows($_, $mine->service) } qw(versions contents content_chunks) ] };
    my %of = map { $_ => $mine->new_version(kind => $_, content => $bytes) } qw(function asset);
    is_deeply $stored->(), [ 2, 1, 2 ], 'stored once';
    is $api->get("$of{asset}{url}/Content")->body, $bytes, 'the Asset\'s';
    is $api->get("$of{function}{url}/Content")->json->{content}, $bytes, 'the Function\'s';
    is $api->delete($mine->path . "/Functions/$of{function}{function_sid}")->status, 204, 'the Function is deleted';
    is_deeply $stored->(), [ 1, 1, 2 ], 'the Asset still has them';
    is $api->get("$of{asset}{url}/Content")->body, $bytes, "the Asset's Content is whole after the Function is deleted";
    is $mine->new_version(content => $bytes)->{path} ? 1 : 0, 1, 'a Function of them again';
    is $api->delete($mine->path . "/Assets/$of{asset}{asset_sid}")->status, 204, 'the Asset is deleted';
    is_deeply $stored->(), [ 1, 1, 2 ], 'the shared content is kept for the Function';
};


# Types ------------------------------------------------------------------------------

subtest "Content-Type of an Asset's Content is the one that was uploaded" => sub {
    my $list = new_list();
    for my $case (
        'image/png', 'text/plain; charset=utf-8', 'TEXT/HTML', 'application/vnd.api+json;q="a b;c"',
        'a/b', "x!#\$&-^_.+/y", 'text/plain ; format=flowed', 'a/' . 'b' x 253,
    ) {
        my $version = upload($list, 'bytes', $case)->json;
        is_deeply fetched($api->get("$version->{url}/Content"), 'Content-Type'), [ 200, 'bytes', $case ], quoted($case);
    }
    my $same = upload($list, 'the same bytes', 'text/plain')->json;
    my $other = upload($list, 'the same bytes', 'text/css')->json;
    is $api->get("$same->{url}/Content")->header('Content-Type'), 'text/plain', 'bytes that are stored once';
    is $api->get("$other->{url}/Content")->header('Content-Type'), 'text/css', 'may have two types';
};

subtest 'an Asset uploaded with an invalid or missing type is application/octet-stream' => sub {
    my $list = new_list();
    for my $case (
        [ 'none',                      undef ],
        [ 'empty',                     '' ],
        [ 'a blank',                   ' ' ],
        [ 'one word',                  'html' ],
        [ 'a slash',                   '/' ],
        [ 'nothing behind the slash',  'text/' ],
        [ 'nothing before the slash',  '/html' ],
        [ 'a blank in it',             'text /html' ],
        [ 'a comma',                   'text/html, text/plain' ],
        [ 'quotes',                    '"text/html"' ],
        [ 'a tab',                     "text/html;\tcharset=utf-8" ],
        [ 'a control character',       "text/html;a=\x01" ],
        [ 'DEL',                       "text/html;a=\x7f" ],
        [ 'an escape sequence',        "text/html;a=\x1b[31m" ],
        [ 'Latin-1',                   "text/html;a=caf\xe9" ],
        [ 'UTF-8',                     "text/html;a=\xc3\xa9" ],
        [ '256 characters',            'a/' . 'b' x 254 ],
        [ '4000 characters',           'a/' . 'b' x 3998 ],
    ) {
        my ($what, $type) = @$case;
        my $reply = $api->upload($list, [ Path => undef, undef, '/a' ], [ Visibility => undef, undef, 'public' ],
            [ Content => undef, $type, 'bytes' ]);
        is $reply->status, 201, $what;
        is_deeply fetched($api->get($reply->json->{url} . '/Content'), 'Content-Type'),
            [ 200, 'bytes', 'application/octet-stream' ],
                'a type that is invalid is answered as application/octet-stream';
    }
};

subtest 'an uploaded type cannot add a header to the answer' => sub {
    my $list = new_list();
    my $before = all_rows();
    for my $case (
        [ 'CRLF and a header',  "text/html\r\nX-Evil: 1",        201, 'text/html' ],
        [ 'CRLF and a blank',   "text/html\r\n X-Evil: 1",       201, 'application/octet-stream' ],
        [ 'a parameter on a continued line', "text/html;\r\n charset=utf-8", 201, 'text/html; charset=utf-8' ],
        [ 'CR alone',           "text/html\rX-Evil: 1",          400 ],
        [ 'LF alone',           "text/html\nX-Evil: 1",          400 ],
        [ 'LF and an empty line', "text/html\n\nevil",           400 ],
        [ 'NUL',                "text/html\0X-Evil: 1",          400 ],
    ) {
        my ($what, $type, $status, $answered) = @$case;
        my $reply = upload($list, 'bytes', $type);
        is $reply->status, $status, $what;
        next if $status != 201;
        is_deeply fetched($api->get($reply->json->{url} . '/Content'), 'Content-Type', 'X-Evil'),
            [ 200, 'bytes', $answered, undef ], "$what: the type is whole or unknown, and the header is not in the answer";
    }
    my $smuggled = $api->upload($list, [ Path => undef, undef, '/a' ], [ Visibility => undef, undef, 'public' ],
        [ Content => undef, "text/html\r\n\r\nevil", 'bytes' ])->json;
    is $api->get("$smuggled->{url}/Content")->body, "evil\r\n\r\nbytes", 'behind an empty line, there are the bytes';
};

subtest 'an uploaded HTML page is answered with nosniff and a sandbox' => sub {
    my $html = '<script>alert(document.cookie)</script>';
    my $version = upload(new_list(), $html, 'text/html; charset=utf-8')->json;
    for my $case ([ 'whole' ], [ 'a range', Range => 'bytes=0-7' ]) {
        my ($what, %headers) = @$case;
        my $reply = $api->with(%headers)->get("$version->{url}/Content");
        is_deeply [ map { $reply->header($_) } qw(Content-Type X-Content-Type-Options Content-Security-Policy) ],
            [ 'text/html; charset=utf-8', 'nosniff', "sandbox; default-src 'none'" ],
            "$what: a browser neither guesses nor runs it";
    }
};


# Content over HTTP ---------------------------------------------------------------------

my $bytes = noise(2 * $chunk + 1000);
my $version = upload(new_list(), $bytes, 'application/x-noise')->json;
my $content = "$version->{url}/Content";
my $tag = '"' . sha256_hex($bytes) . '"';
my $made = $api->get($content)->header('Last-Modified');

# The answer has all of the headers that Content has, and Content-Length.
sub has_headers {
    my ($reply, $length, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is_deeply {
        map { $_ => $reply->header($_) } qw(ETag Cache-Control Last-Modified Accept-Ranges Content-Type
            Content-Length X-Content-Type-Options Transfer-Encoding)
    }, {
        ETag => $tag, 'Cache-Control' => 'no-store', 'Last-Modified' => $made, 'Accept-Ranges' => 'bytes',
        'Content-Type' => 'application/x-noise',
        'Content-Length' => $length, 'X-Content-Type-Options' => 'nosniff', 'Transfer-Encoding' => undef,
    }, $name;
}

subtest "the headers of an Asset's Content" => sub {
    my $reply = $api->get($content);
    is $reply->status, 200, 'GET';
    ok $reply->body eq $bytes, 'the bytes';
    has_headers $reply, length $bytes, 'GET of Content has length, ETag and Accept-Ranges';
    like $made, qr/^\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT$/, 'Last-Modified is a date';
    my ($seconds) = db()->selectrow_array(q(SELECT extract(epoch FROM ?::timestamptz) - extract(epoch FROM ?::timestamptz)),
        undef, $made =~ s/^\w+, //r, $version->{date_created});
    is $seconds + 0, 0, 'the Version\'s';

    my $head = $api->head($content);
    is $head->status, 200, 'HEAD';
    is $head->body, '', 'no body';
    has_headers $head, length $bytes, 'HEAD of Content has the headers of GET';

    (my $by_name = $content) =~ s/\Q@{[ $project->sid ]}/$project->service->{unique_name}/e;
    has_headers $api->get($by_name), length $bytes, 'Content under a Service named by UniqueName has the same headers';
    my $again = upload(new_list(), $bytes, 'application/x-noise')->json;
    is $api->get("$again->{url}/Content")->header('ETag'), $tag, 'another Version of the same bytes has the same ETag';
};

subtest "range requests of an Asset's Content" => sub {
    my $size = length $bytes;
    for my $case (
        # the Range header, the first and the last byte of the answer
        [ 'bytes=0-0',                      0, 0 ],
        [ 'bytes=0-99',                     0, 99 ],
        [ 'bytes=100-199',                  100, 199 ],
        [ 'bytes=' . ($chunk - 1) . "-$chunk", $chunk - 1, $chunk ],
        [ "bytes=$chunk-" . (2 * $chunk - 1), $chunk, 2 * $chunk - 1 ],
        [ 'bytes=' . ($chunk - 5) . '-' . (2 * $chunk + 5), $chunk - 5, 2 * $chunk + 5 ],
        [ 'bytes=500000-',                  500_000, $size - 1 ],
        [ 'bytes=-1',                       $size - 1, $size - 1 ],
        [ 'bytes=-2000',                    $size - 2000, $size - 1 ],
        [ "bytes=-$size",                   0, $size - 1 ],
        [ 'bytes=-99999999',                0, $size - 1 ],
        [ 'bytes=100-99999999',             100, $size - 1 ],
    ) {
        my ($range, $from, $to) = @$case;
        my $reply = $api->with(Range => $range)->get($content);
        is $reply->status, 206, $range;
        is $reply->header('Content-Range'), "bytes $from-$to/$size", 'Content-Range has the bytes of the range';
        ok $reply->body eq substr($bytes, $from, $to - $from + 1), 'the body has the bytes of the range';
        has_headers $reply, $to - $from + 1, 'the answer to a range has the headers of the whole';
    }
    for my $range ("bytes=$size-", 'bytes=99999999-') {
        is_error $api->with(Range => $range)->get($content), 416, 20416, 'Requested Range Not Satisfiable',
            "$range: not there";
    }
    for my $range ('bytes', 'bytes=', 'bytes=a-b', 'bytes=9-5', 'lines=1-2', 'bytes=--1') {
        my $reply = $api->with(Range => $range)->get($content);
        is_deeply [ $reply->status, $reply->body eq $bytes ], [ 200, 1 ], quoted($range) . ' is no range: all of it';
    }
    my $empty = upload(new_list(), '')->json;
    is $api->with(Range => 'bytes=0-')->get("$empty->{url}/Content")->status, 200, 'a range of an empty Asset is 200';
    is $api->with(Range => 'bytes=0-9')->head($content)->header('Content-Length'), 10, 'HEAD of a range';
};

subtest "requests of an Asset's Content for several ranges" => sub {
    my $size = length $bytes;
    my @ranges = ([ 0, 9 ], [ 20, 29 ], [ $chunk - 10, $chunk + 9 ], [ 2 * $chunk, 2 * $chunk + 99 ]);
    my $reply = $api->with(Range => 'bytes=' . join ',', map { "$_->[0]-$_->[1]" } @ranges)->get($content);
    is $reply->status, 206, 'four at once, two of them in one chunk';
    my ($boundary) = $reply->header('Content-Type') =~ m{^multipart/byteranges; boundary=(\w+)$};
    ok $boundary, 'come as parts';
    my $expected = join '', map {
        my ($from, $to) = @$_;
        "\r\n--$boundary\r\nContent-type: application/x-noise\r\nContent-range: bytes $from-$to/$size\r\n\r\n"
            . substr $bytes, $from, $to - $from + 1
    } @ranges;
    ok $reply->body eq "$expected\r\n--$boundary--\r\n", "each part of the answer has its range's bytes";

    $reply = $api->with(Range => 'bytes=5-400000,100-300000')->get($content);
    ok $reply->status == 206 && $reply->body eq substr($bytes, 5, 399_996), 'overlapping ranges are answered as one';

    for my $range ('bytes=20-29,0-9', 'bytes=-5,0-9', 'bytes=0-9,99-x,200-', 'Bytes=20-29,0-9') {
        $reply = $api->with(Range => $range)->get($content);
        ok $reply->status == 200 && $reply->body eq $bytes, "$range: all of it";
    }
    for my $range ('bytes=0-9,20-', 'bytes=0-9,-5', 'bytes=0-9,,20-29') {
        is $api->with(Range => $range)->get($content)->status, 206, "$range: two parts";
    }
};

subtest "conditional requests of an Asset's Content" => sub {
    my $long_ago = 'Sun, 06 Nov 1994 08:49:37 GMT';
    my $size = length $bytes;
    for my $case (
        [ 304, 'If-None-Match', $tag ],
        [ 304, 'If-None-Match', "W/$tag" ],
        [ 304, 'If-None-Match', qq("x", $tag) ],
        [ 304, 'If-None-Match', '*' ],
        [ 200, 'If-None-Match', '"x"' ],
        [ 200, 'If-None-Match', $tag =~ tr/"//dr ],
        [ 304, 'If-Modified-Since', $made ],
        [ 200, 'If-Modified-Since', $long_ago ],
        [ 200, 'If-Match', $tag ],
        [ 200, 'If-Match', '*' ],
        [ 412, 'If-Match', '"x"' ],
        [ 412, 'If-Match', "W/$tag" ],
        [ 200, 'If-Unmodified-Since', $made ],
        [ 412, 'If-Unmodified-Since', $long_ago ],
        [ 200, 'If-None-Match', '"x"', 'If-Modified-Since', $made ],
    ) {
        my ($status, %headers) = @$case;
        my $what = join ', ', map { "$_: $headers{$_}" } sort keys %headers;
        for my $method (qw(get head)) {
            my $reply = $api->with(%headers)->$method($content);
            if ($status == 412 && $method eq 'get') {
                is_error $reply, 412, 20412, 'The resource is not in the state that the request expects', $what;
                next;
            }
            my $is_whole = $reply->body eq ($status == 200 && $method eq 'get' ? $bytes : '');
            is_deeply [ $reply->status, $is_whole ], [ $status, 1 ], "$method, $what";
            is $reply->header('ETag'), $tag, '304 has the ETag' if $status == 304;
        }
    }
    for my $case (
        [ 206, $tag ], [ 200, '"x"' ], [ 200, "W/$tag" ], [ 200, $long_ago ],
    ) {
        my ($status, $condition) = @$case;
        my $reply = $api->with(Range => 'bytes=1-3', 'If-Range' => $condition)->get($content);
        is_deeply [ $reply->status, length $reply->body ], [ $status, $status == 206 ? 3 : $size ],
            "a range, if it is still of $condition";
    }
};

subtest "an Asset's Content is answered to its own account only" => sub {
    my $nobody = Serverless::Client->client;
    my $stranger = Serverless::Client->account;
    my $path = $content =~ s{^http://[^/]+/v1}{}r;
    for my $headers ([], [ 'If-None-Match' => $tag ], [ 'If-Match' => '"x"' ], [ Range => 'bytes=0-1' ]) {
        my $what = "@$headers" || 'without conditions';
        is_error($nobody->with(@$headers)->get($content), 401, 20003, 'Authenticate', "nobody, $what");
        is_error($stranger->with(@$headers)->get($content), 404, 20404,
            "The requested resource $path was not found", "another account, $what");
    }
};

done_testing;
