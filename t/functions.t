# Functions: the five operations, under a Service named by SID or by UniqueName.
use strict;
use warnings FATAL => 'all';

use Apache::Test qw(-withtestmore);
use Serverless::Test;
use Test::More;

my $api = Serverless::Test->account;
my $service = $api->post('/v1/Services', UniqueName => 'functions', FriendlyName => 'F')->json;
my $functions = "/v1/Services/$service->{sid}/Functions";
my @by = (
    [ 'SID',        $functions ],
    [ 'UniqueName', '/v1/Services/functions/Functions' ],
);

# The answer is a Function, whole, that differs from the usual one as given.
sub is_function {
    my ($reply, $status, $given, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $sid = ($reply->json || {})->{sid} // '';
    my $url = $api->base . "$functions/$sid";
    is_reply $reply, $status, {
        sid           => sid('ZH'),
        account_sid   => $api->user,
        service_sid   => $service->{sid},
        friendly_name => '/hello',
        date_created  => date,
        date_updated  => date,
        url           => $url,
        links         => { function_versions => "$url/Versions" },
        %$given,
    }, $name;
}

# One that the test does not care about.
sub new_function {
    my ($name) = @_;
    my $reply = $api->post($functions, FriendlyName => $name // '/hello');
    $reply->status == 201 or die 'no Function: ' . $reply->body;
    return $reply->json;
}

# Makes a Function look as if nothing had happened to it since.
sub set_back {
    my ($sid) = @_;
    db()->do(<<'SQL', undef, substr $sid, 2);
UPDATE serverless.artifacts
   SET date_created = '2020-01-02 03:04:05.999+00', date_updated = '2020-02-03 04:05:06.999+00'
 WHERE id = ?
SQL
}
my %long_ago = (date_created => '2020-01-02T03:04:05Z', date_updated => '2020-02-03T04:05:06Z');

sub rows {
    return db()->selectrow_array('SELECT count(*) FROM serverless.artifacts WHERE service_id = ?',
        undef, substr $service->{sid}, 2);
}

for (@by) {
    my ($by, $functions) = @$_;

    subtest "create, by $by" => sub {
        my $before = time;
        my $reply = $api->post($functions, FriendlyName => '/hello');
        my $after = time;

        is_function $reply, 201, {}, 'the answer is the Function';
        my $function = $reply->json;
        is $reply->header('Location'), $function->{url}, 'Location is its address';
        is $reply->header('Content-Type'), 'application/json', 'as JSON';
        is $function->{date_updated}, $function->{date_created}, 'never updated';

        my ($created) = db()->selectrow_array(
            'SELECT extract(epoch FROM ?::timestamptz)', undef, $function->{date_created});
        ok $before <= $created && $created <= $after, 'created now, in UTC';

        my $same = $api->post($functions, FriendlyName => '/hello');
        is_function $same, 201, {}, 'a second of the same FriendlyName';
        isnt $same->json->{sid}, $function->{sid}, 'is another Function';
    };

    subtest "fetch, by $by" => sub {
        my $function = new_function();
        my $sid = $function->{sid};
        (my $capitals = $sid) =~ s/^ZH(.*)/'ZH' . uc $1/e;

        is_reply $api->get("$functions/$sid"), 200, $function, 'by SID';
        is_reply $api->get($function->{url}), 200, $function, 'by the url it has';
        is_reply $api->get("$functions/$capitals"), 200, $function,
            'by SID in capitals; the answer has it in small letters';

        set_back $sid;
        is_reply $api->get("$functions/$sid"), 200, { %$function, %long_ago },
            'dates are in UTC, without fractions';
    };

    subtest "update, by $by" => sub {
        my $function = new_function();
        my $bystander = new_function();
        my $url = "$functions/$function->{sid}";
        set_back $_->{sid} for $function, $bystander;

        my $reply = $api->post($url, FriendlyName => '/hello/again');
        is_function $reply, 200,
            { sid => $function->{sid}, friendly_name => '/hello/again', %long_ago,
                date_updated => date },
            'FriendlyName';
        isnt $reply->json->{date_updated}, $long_ago{date_updated}, 'date_updated is now';
        is $reply->header('Location'), undef, 'nothing was created';
        is_reply $api->get($url), 200, $reply->json, 'and so it stays';
        is_reply $api->get("$functions/$bystander->{sid}"), 200, { %$bystander, %long_ago },
            'no other is touched';

        set_back $function->{sid};
        my $same = $api->post($url, FriendlyName => '/hello/again');
        is $same->status, 200, 'the name it has already';
        isnt $same->json->{date_updated}, $long_ago{date_updated}, 'is an update too';
    };

    subtest "delete, by $by" => sub {
        my ($function, $bystander) = (new_function(), new_function());
        my $url = "$functions/$function->{sid}";
        my $before = rows();

        my $reply = $api->delete($url);
        is $reply->status, 204, 'a Function is deleted';
        is $reply->body, '', 'the answer is empty';
        is $reply->header($_), undef, "and has no $_" for qw(Content-Type Content-Length);
        is rows(), $before - 1, 'nothing of it is left';
        is_reply $api->get($bystander->{url}), 200, $bystander, 'no other is touched';

        (my $path = $url) =~ s{^/v1}{};
        is_error $api->$_($url, $_ eq 'post' ? (FriendlyName => 'f') : ()), 404, 20404,
            "The requested resource $path was not found", "then $_ finds nothing"
            for qw(get delete post);
    };

    subtest "list, by $by" => sub {
        db()->do('DELETE FROM serverless.artifacts WHERE service_id = ?', undef,
            substr $service->{sid}, 2);
        my @made = map { new_function("/$_") } 1 .. 3;
        my $page = "$service->{links}{functions}?PageSize=50&Page=0";
        is_reply $api->get($functions), 200, {
            functions => [ reverse @made ],
            meta      => {
                first_page_url => $page, key => 'functions', next_page_url => undef, page => 0,
                page_size => 50, previous_page_url => undef, url => $page,
            },
        }, 'as each is fetched, newest first';
    };
}

subtest 'the same, byte by byte' => sub {
    my $reply = $api->post($functions, FriendlyName => "/a \"b\" \x{e9}");
    my %is = %{ $reply->json };
    my $expected = <<"JSON";
{"sid":"$is{sid}","account_sid":"@{[ $api->user ]}","service_sid":"$service->{sid}",
"friendly_name":"/a \\"b\\" \xc3\xa9",
"date_created":"$is{date_created}","date_updated":"$is{date_updated}","url":"$is{url}",
"links":{"function_versions":"$is{url}/Versions"}}
JSON
    $expected =~ s/\n//g;
    is $reply->body, $expected, 'properties in the documented order';
    is $reply->header('Content-Length'), length $expected, 'and their length is given';
};

subtest 'any FriendlyName comes back as it was sent' => sub {
    for my $case (
        [ 'a path',                       '/hello/world.js' ],
        [ 'slashes and dots',             '//../.././' ],
        [ 'spaces inside',                'hello  world' ],
        [ 'spaces around',                '  hello ' ],
        [ 'a space',                      ' ' ],
        [ 'quotes',                       q('single' "double" `back`) ],
        [ 'backslashes',                  '\\ \\n \\u0041 \\\\' ],
        [ 'what forms are made of',       'a=b&c=d+e%20f;g' ],
        [ 'what SQL is made of',          q('; DROP TABLE serverless.artifacts; -- $1 %s) ],
        [ 'what JSON is made of',         '{"a":[1,null]}' ],
        [ 'what HTML is made of',         '<script>&amp;</script>' ],
        [ 'the control character 1',      "a\x01b" ],
        [ 'every control character',      join '', map { chr } 1 .. 31, 127 ],
        [ 'a newline',                    "line\nline" ],
        [ 'CR and LF around',             "\r\nline\r\n" ],
        [ 'an accent',                    "caf\x{e9}" ],
        [ 'the same accent, combining',   "cafe\x{301}" ],
        [ 'C1 controls',                  "\x{80}\x{85}\x{9f}" ],
        [ 'right to left',                "\x{5e9}\x{5dc}\x{5d5}\x{5dd} \x{202e}abc" ],
        [ 'Han',                          "\x{51fd}\x{6570}" ],
        [ 'an emoji',                     "\x{1f680}" ],
        [ 'a joined emoji',               "\x{1f469}\x{200d}\x{1f680}" ],
        [ 'line and paragraph separator', "\x{2028}\x{2029}" ],
        [ 'a byte order mark',            "\x{feff}a" ],
        [ 'around the surrogates',        "\x{d7ff}\x{e000}" ],
        [ 'the last character',           "\x{10fffd}" ],
        [ '255 bytes',                    'a' x 255 ],
        [ '255 characters of 4 bytes',    "\x{1f600}" x 255 ],
    ) {
        my ($what, $name) = @$case;
        my $reply = $api->post($functions, FriendlyName => $name);
        is_function $reply, 201, { friendly_name => $name }, "created with $what";
        next if $reply->status != 201;
        my $url = "$functions/" . $reply->json->{sid};
        is_reply $api->get($url), 200, $reply->json, 'fetched';
        is $api->get($functions, PageSize => 1)->json->{functions}[0]{friendly_name}, $name, 'listed';
        $api->post($url, FriendlyName => 'x');
        is $api->post($url, FriendlyName => $name)->json->{friendly_name}, $name, 'updated';

        utf8::encode(my $bytes = $name);
        my ($stored) = db()->selectrow_array(
            q(SELECT encode(convert_to(friendly_name, 'UTF8'), 'hex') FROM serverless.artifacts
               WHERE id = ?), undef, substr $reply->json->{sid}, 2);
        is $stored, unpack('H*', $bytes), 'stored';
    }
};

subtest 'FriendlyName is required, of 1 to 255 characters' => sub {
    my $function = new_function();
    my $before = rows();
    my $missing = 'Missing required parameter FriendlyName in the post body';
    my $too_long = 'FriendlyName must not be longer than 255 characters';
    for my $case (
        [ 'missing',           [],                                       $missing ],
        [ 'under another case', [ friendlyname => 'a' ],                 $missing ],
        [ 'empty',             [ FriendlyName => '' ],                   $missing ],
        [ '256 characters',    [ FriendlyName => 'a' x 256 ],            $too_long ],
        [ '256 characters of 4 bytes', [ FriendlyName => "\x{1f600}" x 256 ], $too_long ],
    ) {
        my ($what, $form, $message) = @$case;
        is_error $api->post($functions, @$form), 400, 20001, $message, "create: $what";
        is_error $api->post("$functions/$function->{sid}", @$form), 400, 20001, $message,
            "update: $what";
    }
    is rows(), $before, 'nothing was created';
    is_reply $api->get($function->{url}), 200, $function, 'nothing was updated';
};

subtest 'under the wrong Service, or another account, a Function is not there' => sub {
    my $function = new_function();
    my $wrong = $api->post('/v1/Services', UniqueName => 'wrong', FriendlyName => 'W')->json;
    my $other = Serverless::Test->account;
    my $theirs = $other->post('/v1/Services', UniqueName => 'theirs', FriendlyName => 'T')->json;
    my $before = rows();

    for my $case (
        [ 'another Service, by SID',          $api,   $wrong->{sid} ],
        [ 'another Service, by UniqueName',   $api,   'wrong' ],
        [ "another account's own Service",    $other, $theirs->{sid} ],
        [ "another account, this Service",    $other, $service->{sid} ],
        [ 'no Service at all, by SID',        $api,   'ZS' . 'f' x 32 ],
        [ 'no Service at all, by UniqueName', $api,   'none' ],
        [ 'its own SID as the Service',       $api,   $function->{sid} ],
    ) {
        my ($what, $client, $parent) = @$case;
        my $path = "/Services/$parent/Functions/$function->{sid}";
        for my $operation ([ 'get' ], [ 'post', FriendlyName => 'moved' ], [ 'delete' ]) {
            my ($method, @form) = @$operation;
            is_error $client->$method("/v1$path", @form), 404, 20404,
                "The requested resource $path was not found", "$method: $what";
        }
    }
    for my $parent ('ZS' . 'f' x 32, 'none') {
        my $path = "/Services/$parent/Functions";
        for my $operation ([ 'get' ], [ 'post', FriendlyName => 'orphan' ]) {
            my ($method, @form) = @$operation;
            is_error $api->$method("/v1$path", @form), 404, 20404,
                "The requested resource $path was not found", "$method: under no Service";
        }
    }
    is rows(), $before, 'nothing came or went';
    is_reply $api->get($function->{url}), 200, $function, 'it is untouched';
    is_deeply $api->get($wrong->{links}{functions})->json->{functions}, [],
        'and the other Service has none';
};

subtest 'no such Function' => sub {
    for my $sid ('ZH' . '0' x 32, 'ZH' . '0' x 31, 'zh' . '0' x 32, 'hello', $service->{sid}) {
        my $path = "/Services/$service->{sid}/Functions/$sid";
        for my $operation ([ 'get' ], [ 'post', FriendlyName => 'f' ], [ 'delete' ]) {
            my ($method, @form) = @$operation;
            is_error $api->$method("/v1$path", @form), 404, 20404,
                "The requested resource $path was not found", "$method $sid";
        }
    }
};

done_testing;
