# The Content of Function Versions: text, which the API answers as JSON. t/versions.t has
# what is the same for Asset Versions.
use strict;
use warnings FATAL => 'all';

use Apache::Test qw(-withtestmore);
use Serverless::Test;
use Serverless::VersionChecks;
use Test::More;

my ($api) = versions_of('function');

my $limit = 1024 * 1024;
my $chunk = 256 * 1024;

subtest "the JSON of a Function Version's Content, byte for byte" => sub {
    my $version = upload(new_list(), "\"\xc3\xa9\"\n\t\\ \x01")->json;
    my $url = $version->{links}{function_version_content};
    my $expected = <<"JSON";
{"sid":"$version->{sid}","account_sid":"$version->{account_sid}","service_sid":"$version->{service_sid}",
"function_sid":"$version->{function_sid}","content":"\\"\xc3\xa9\\"\\n\\t\\\\ \\u0001","url":"$url"}
JSON
    $expected =~ s/\n//g;
    my $reply = $api->get($url);
    is $reply->body, $expected, 'the JSON has its properties in the documented order';
    is $reply->header('Content-Type'), 'application/json', 'Content-Type is application/json';
};

subtest 'the Content of a Function Version is the text that was uploaded, whatever it is' => sub {
    my $list = new_list();
    my $line = "exports.handler = (context, event, callback) => callback(null, 'caf\x{e9} \x{1f680}');\n";
    for my $case (
        [ 'nothing',                          '' ],
        [ 'one byte',                         'a' ],
        [ 'one of four bytes',                "\x{1f600}" ],
        [ 'LF, CR LF and CR',                 "a\nb\r\nc\rd" ],
        [ 'a CR at the end',                  "a\r" ],
        [ 'CR LF at the end',                 "a\r\n" ],
        [ 'CR LF and dashes at the end',      "a\r\n--" ],
        [ 'nothing but CR LF',                "\r\n\r\n\r\n" ],
        [ 'a byte order mark',                "\x{feff}a" ],
        [ 'control characters',               join '', map { chr } 1 .. 31, 127 ],
        [ 'line and paragraph separator',     "a\x{2028}b\x{2029}" ],
        [ 'around the surrogates',            "\x{d7ff}\x{e000}" ],
        [ 'the last character',               "\x{10ffff}" ],
        [ 'what JSON and SQL are made of',    q({"a":'\\u0041\\'} $1 %s %00 '' "") ],
        [ '600 KB',                           $line x (600 * 1024 / length $line) ],
        [ 'a chunk, without one byte',        'a' x ($chunk - 1) ],
        [ 'a chunk',                          'a' x $chunk ],
        [ 'a chunk and one byte',             'a' x ($chunk + 1) ],
        [ 'two chunks',                       'a' x (2 * $chunk) ],
        (map { [ "three bytes each, $_ before", 'a' x $_ . "\x{51fd}" x ($chunk / 2) ] } 0 .. 2),
        (map { [ "four bytes each, $_ before", 'a' x $_ . "\x{1f600}" x 20000 ] } 0 .. 3),
        [ 'as much as a Function may have',   'a' x $limit ],
        [ 'as much in characters of 4 bytes', "\x{1f600}" x ($limit / 4) ],
    ) {
        my ($what, $text) = @$case;
        my $bytes = bytes_of($text);
        my $reply = upload($list, $bytes);
        is_version $reply, 201, {}, "$what: " . length($bytes) . ' bytes';
        is_content $reply->json, $bytes, 'the Content is the uploaded text';
        is_stored $reply->json, $bytes, 'stored with its size and hash, in chunks';
    }
};

subtest 'the Content of a Function Version above its size limit is refused' => sub {
    my $list = new_list();
    my $before = all_rows();
    my $message = "Content must not be larger than $limit bytes";
    for my $case (
        [ 'ASCII',        'a' x ($limit + 1) ],
        [ 'a character',  'a' x ($limit - 1) . "\xc3\xa9" ],
        [ '60 KB more',   'a' x ($limit + 60000) ],
    ) {
        my ($what, $bytes) = @$case;
        is_error upload($list, $bytes),
            413, 20413, $message, $what;
        is_error $api->upload($list, [ Content => 'f', undef, $bytes ], [ Path => undef, undef, '/a' ]),
            413, 20413, $message, "$what, first";
    }
    is all_rows(), $before, 'refused requests leave the number of rows unchanged';
};

subtest 'the Content of a Function Version must be UTF-8 without NUL' => sub {
    my $list = new_list();
    my $before = all_rows();
    for my $case (
        [ 'a NUL',                         "a\0b" ],
        [ 'a NUL at the end',              "a\0" ],
        [ 'a lone continuation',           "a\x80" ],
        [ 'a byte that never is',          "\xff" ],
        [ 'Latin-1',                       "caf\xe9 au lait" ],
        [ 'UTF-16',                        "\xff\xfea\0" ],
        [ 'an overlong slash',             "\xc0\xaf" ],
        [ 'an overlong NUL',               "\xe0\x80\x80" ],
        [ 'a surrogate',                   "\xed\xa0\x80" ],
        [ 'above U+10FFFF',                "\xf4\x90\x80\x80" ],
        [ 'cut off after 1 of 2 bytes',    "a\xc3" ],
        [ 'cut off after 2 of 3 bytes',    "a\xe5\x87" ],
        [ 'cut off after 3 of 4 bytes',    "a\xf0\x9f\x98" ],
        [ 'cut off after much',            'a' x $chunk . "\xf0\x9f" ],
        [ 'a bad byte after much',         'a' x ($chunk + 100) . "\xff" . 'a' x 100 ],
        [ 'a picture',                     "\x89PNG\r\n\x1a\n\0\0\0\rIHDR" ],
    ) {
        my ($what, $bytes) = @$case;
        is_error upload($list, $bytes),
            400, 20001, 'Content must be UTF-8 without NUL', $what;
    }
    is all_rows(), $before, 'refused requests leave the number of rows unchanged';
};

done_testing;
