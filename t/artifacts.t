# The part of the API that is the same for Functions and Assets. Both are called
# "artifact" here. Each subtest runs once for each kind: the five operations, under a
# Service named by SID and by UniqueName; which FriendlyNames are accepted; which client finds
# an artifact, and under which path; lists filtered by FriendlyName.
#
# t/functions.t shows the same operations on Functions alone, and is shorter.
use strict;
use warnings FATAL => 'all';

use Apache::Test qw(-withtestmore);
use Serverless::Database;
use Serverless::Project;
use Serverless::Test;
use Test::More;

# The kind that the subtests are about, its account, its Service and the list of its artifacts there.
my ($kind, $api, $service, $list);

# Compares the whole answer with the usual artifact, changed by the properties of $given.
sub is_artifact {
    my ($reply, $status, $given, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $sid = ($reply->json || {})->{sid} // '';
    my $url = $api->base . "$list/$sid";
    is_reply $reply, $status, {
        sid           => sid('ZH'),
        account_sid   => $api->user,
        service_sid   => $service->{sid},
        friendly_name => '/hello',
        date_created  => date,
        date_updated  => date,
        url           => $url,
        links         => { $kind->{versions} => "$url/Versions" },
        %$given,
    }, $name;
}

# Creates an artifact whose properties do not matter to the test.
sub new_artifact {
    my ($name) = @_;
    my $reply = $api->post($list, FriendlyName => $name // '/hello');
    $reply->status == 201 or die "no $kind->{name}: " . $reply->body;
    return $reply->json;
}

# Sets the dates of an artifact back to 2020, as %long_ago has them.
sub set_back {
    my ($sid) = @_;
    db()->do(<<'SQL', undef, substr $sid, 2);
UPDATE serverless.artifacts
   SET date_created = '2020-01-02 03:04:05.999+00', date_updated = '2020-02-03 04:05:06.999+00'
 WHERE id = ?
SQL
}
my %long_ago = (date_created => '2020-01-02T03:04:05Z', date_updated => '2020-02-03T04:05:06Z');

# The number of artifacts of the Service.
sub rows {
    return db()->selectrow_array('SELECT count(*) FROM serverless.artifacts WHERE service_id = ?',
        undef, substr $service->{sid}, 2);
}


sub operations {
    my ($by, $list) = @_;

    subtest "create $kind->{one} under a Service named by $by" => sub {
        my $before = now;
        my $reply = $api->post($list, FriendlyName => '/hello');
        my $after = now;

        is_artifact $reply, 201, {}, "the answer is the $kind->{name}";
        my $artifact = $reply->json;
        is $reply->header('Location'), $artifact->{url}, 'Location is the url of the new artifact';
        is $reply->header('Content-Type'), 'application/json', 'Content-Type is application/json';
        is $artifact->{date_updated}, $artifact->{date_created}, 'date_updated of a new artifact is its date_created';

        my ($created) = db()->selectrow_array(
            'SELECT extract(epoch FROM ?::timestamptz)', undef, $artifact->{date_created});
        ok $before <= $created && $created <= $after, 'date_created is the present, in UTC';

        my $same = $api->post($list, FriendlyName => '/hello');
        is_artifact $same, 201, {}, 'a second create with the same FriendlyName succeeds';
        isnt $same->json->{sid}, $artifact->{sid}, "a second create makes a second $kind->{name} with its own SID";
    };

    subtest "fetch $kind->{one} under a Service named by $by" => sub {
        my $artifact = new_artifact();
        my $sid = $artifact->{sid};
        (my $capitals = $sid) =~ s/^ZH(.*)/'ZH' . uc $1/e;

        is_reply $api->get("$list/$sid"), 200, $artifact, 'fetched by SID';
        is_reply $api->get($artifact->{url}), 200, $artifact, 'fetched by its url property';
        is_reply $api->get("$list/$capitals"), 200, $artifact,
            'fetched by SID in upper case; the answer has the SID in lower case';

        set_back $sid;
        is_reply $api->get("$list/$sid"), 200, { %$artifact, %long_ago },
            'dates are in UTC, in whole seconds';
    };

    subtest "update $kind->{one} under a Service named by $by" => sub {
        my $artifact = new_artifact();
        my $bystander = new_artifact();
        my $url = "$list/$artifact->{sid}";
        set_back $_->{sid} for $artifact, $bystander;

        my $reply = $api->post($url, FriendlyName => '/hello/again');
        is_artifact $reply, 200,
            { sid => $artifact->{sid}, friendly_name => '/hello/again', %long_ago,
                date_updated => date },
            'the answer has the new FriendlyName and date_updated, the rest unchanged';
        isnt $reply->json->{date_updated}, $long_ago{date_updated}, 'date_updated is now';
        is $reply->header('Location'), undef, 'an update has no Location';
        is_reply $api->get($url), 200, $reply->json, 'a fetch afterwards returns the same';
        is_reply $api->get("$list/$bystander->{sid}"), 200, { %$bystander, %long_ago },
            'another artifact of the Service is unchanged';

        set_back $artifact->{sid};
        my $same = $api->post($url, FriendlyName => '/hello/again');
        is $same->status, 200, 'an update to the present FriendlyName succeeds';
        isnt $same->json->{date_updated}, $long_ago{date_updated},
            'an update to the present FriendlyName sets date_updated';
    };

    subtest "delete $kind->{one} under a Service named by $by" => sub {
        my ($artifact, $bystander) = (new_artifact(), new_artifact());
        my $url = "$list/$artifact->{sid}";
        my $before = rows();

        my $reply = $api->delete($url);
        is $reply->status, 204, 'delete answers 204';
        is $reply->body, '', 'the answer to delete has no body';
        is $reply->header($_), undef, "the answer to delete has no $_" for qw(Content-Type Content-Length);
        is rows(), $before - 1, 'the row is gone from the database';
        is_reply $api->get($bystander->{url}), 200, $bystander, 'another artifact of the Service is unchanged';

        (my $path = $url) =~ s{^/v1}{};
        is_error $api->$_($url, $_ eq 'post' ? (FriendlyName => 'f') : ()), 404, 20404,
            "The requested resource $path was not found", "$_ after delete answers 404"
            for qw(get delete post);
    };

    subtest "list the $kind->{list} of a Service named by $by" => sub {
        db()->do('DELETE FROM serverless.artifacts WHERE service_id = ?', undef,
            substr $service->{sid}, 2);
        my @made = map { new_artifact("/$_") } 1 .. 3;
        my $page = "$service->{links}{ $kind->{key} }?PageSize=50&Page=0";
        is_reply $api->get($list), 200, {
            $kind->{key} => [ reverse @made ],
            meta      => {
                first_page_url => $page, key => $kind->{key}, next_page_url => undef, page => 0,
                page_size => 50, previous_page_url => undef, url => $page,
            },
        }, 'the list has every artifact as a fetch returns it, newest first';
    };
}

sub bodies {
    subtest "the JSON of $kind->{one}, byte for byte" => sub {
        my $reply = $api->post($list, FriendlyName => "/a \"b\" \x{e9}");
        my %is = %{ $reply->json };
        my $expected = <<"JSON";
{"sid":"$is{sid}","account_sid":"@{[ $api->user ]}","service_sid":"$service->{sid}",
"friendly_name":"/a \\"b\\" \xc3\xa9",
"date_created":"$is{date_created}","date_updated":"$is{date_updated}","url":"$is{url}",
"links":{"$kind->{versions}":"$is{url}/Versions"}}
JSON
        $expected =~ s/\n//g;
        is $reply->body, $expected, 'the JSON has its properties in the documented order';
        is $reply->header('Content-Length'), length $expected, 'Content-Length is the length of the JSON';
    };
}

sub friendly_names {
    subtest "$kind->{one} keeps any FriendlyName exactly as it was sent" => sub {
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
            my $reply = $api->post($list, FriendlyName => $name);
            is_artifact $reply, 201, { friendly_name => $name }, "created with $what";
            next if $reply->status != 201;
            my $url = "$list/" . $reply->json->{sid};
            is_reply $api->get($url), 200, $reply->json, "fetched with $what";
            is $api->get($list, PageSize => 1)->json->{ $kind->{key} }[0]{friendly_name}, $name, "listed with $what";
            $api->post($url, FriendlyName => 'x');
            is $api->post($url, FriendlyName => $name)->json->{friendly_name}, $name, "updated to $what";

            utf8::encode(my $bytes = $name);
            my ($stored) = db()->selectrow_array(
                q(SELECT encode(convert_to(friendly_name, 'UTF8'), 'hex') FROM serverless.artifacts
                   WHERE id = ?), undef, substr $reply->json->{sid}, 2);
            is $stored, unpack('H*', $bytes), "stored with $what, as the same bytes";
        }
    };

    subtest "the FriendlyName of $kind->{one} is required and has 1 to 255 characters" => sub {
        my $artifact = new_artifact();
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
            is_error $api->post($list, @$form), 400, 20001, $message, "create: $what";
            is_error $api->post("$list/$artifact->{sid}", @$form), 400, 20001, $message,
                "update: $what";
        }
        is rows(), $before, 'a refused create makes nothing';
        is_reply $api->get($artifact->{url}), 200, $artifact, 'a refused update changes nothing';
    };
}

sub places {
    subtest "$kind->{one} is not found under another Service or by another account" => sub {
        my $artifact = new_artifact();
        my $wrong = $api->post('/v1/Services', UniqueName => 'wrong', FriendlyName => 'W')->json;
        my $other = Serverless::Client->account;
        my $theirs = $other->post('/v1/Services', UniqueName => 'theirs', FriendlyName => 'T')->json;
        my $before = rows();

        for my $case (
            [ 'another Service, by SID',          $api,   $wrong->{sid} ],
            [ 'another Service, by UniqueName',   $api,   'wrong' ],
            [ "another account's own Service",    $other, $theirs->{sid} ],
            [ "another account, this Service",    $other, $service->{sid} ],
            [ 'no Service at all, by SID',        $api,   'ZS' . 'f' x 32 ],
            [ 'no Service at all, by UniqueName', $api,   'none' ],
            [ 'its own SID as the Service',       $api,   $artifact->{sid} ],
        ) {
            my ($what, $client, $parent) = @$case;
            my $path = "/Services/$parent/$kind->{list}/$artifact->{sid}";
            for my $operation ([ 'get' ], [ 'post', FriendlyName => 'moved' ], [ 'delete' ]) {
                my ($method, @form) = @$operation;
                is_error $client->$method("/v1$path", @form), 404, 20404,
                    "The requested resource $path was not found", "$method: $what";
            }
        }
        for my $parent ('ZS' . 'f' x 32, 'none') {
            my $path = "/Services/$parent/$kind->{list}";
            for my $operation ([ 'get' ], [ 'post', FriendlyName => 'orphan' ]) {
                my ($method, @form) = @$operation;
                is_error $api->$method("/v1$path", @form), 404, 20404,
                    "The requested resource $path was not found", "$method: the list of a Service that does not exist";
            }
        }
        is rows(), $before, 'none of these requests created or deleted an artifact';
        is_reply $api->get($artifact->{url}), 200, $artifact, 'none of these requests changed the artifact';
        is_deeply $api->get($wrong->{links}{ $kind->{key} })->json->{ $kind->{key} }, [],
            'the other Service still has no artifact';
    };

    subtest "$kind->{one} SID that does not exist, or is none, is not found" => sub {
        for my $sid ('ZH' . '0' x 32, 'ZH' . '0' x 31, 'zh' . '0' x 32, 'hello', $service->{sid}) {
            my $path = "/Services/$service->{sid}/$kind->{list}/$sid";
            for my $operation ([ 'get' ], [ 'post', FriendlyName => 'f' ], [ 'delete' ]) {
                my ($method, @form) = @$operation;
                is_error $api->$method("/v1$path", @form), 404, 20404,
                    "The requested resource $path was not found", "$method $sid";
            }
        }
    };

    subtest "$kind->{one} path does not find an artifact of the other kind" => sub {
        my $other = Serverless::Project::kind($kind->{other});
        my $theirs = $api->post("/v1/Services/$service->{sid}/$other->{list}", FriendlyName => '/theirs')->json;
        my $mine = new_artifact('/mine');
        my $before = rows();
        for my $case ([ $kind, $theirs->{sid} ], [ $other, $mine->{sid} ]) {
            my ($as, $sid) = @$case;
            my $path = "/Services/$service->{sid}/$as->{list}/$sid";
            for my $operation ([ 'get' ], [ 'post', FriendlyName => 'changed' ], [ 'delete' ]) {
                my ($method, @form) = @$operation;
                is_error $api->$method("/v1$path", @form), 404, 20404,
                    "The requested resource $path was not found", "$method, as an $as->{name}";
            }
            is_error $api->get("/v1$path/Versions"), 404, 20404,
                "The requested resource $path/Versions was not found", "its Versions cannot be listed as those of an $as->{name}";
            is_error $api->upload("/v1$path/Versions", [ Path => undef, undef, '/a' ],
                [ Visibility => undef, undef, 'public' ], [ Content => 'a', 'text/plain', 'a' ]), 404, 20404,
                "The requested resource $path/Versions was not found", "a Version cannot be uploaded to it as to an $as->{name}";
        }
        is rows(), $before, 'none of these requests created or deleted an artifact';
        is_reply $api->get($_->{url}), 200, $_, "$_->{friendly_name} is unchanged" for $mine, $theirs;
        my %sids = map { $_->{sid} => 1 } @{ $api->get($list)->json->{ $kind->{key} } };
        ok $sids{ $mine->{sid} } && !$sids{ $theirs->{sid} }, 'the list has the artifact of its own kind and not the other';
    };
}

# Lists by FriendlyName ----------------------------------------------------------

# Creates a Service with artifacts of these names; returns the path of its list, and the artifacts.
sub named {
    my (@names) = @_;
    my $project = Serverless::Project->new($api);
    return ($project->service->{links}{ $kind->{key} },
        map { $project->create($project->path . "/$kind->{list}", FriendlyName => $_) } @names);
}

# All of a page.
sub is_page {
    my ($reply, $rows, $first, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is_reply $reply, 200, {
        $kind->{key} => $rows,
        meta         => {
            first_page_url => $first, key => $kind->{key}, next_page_url => undef, page => 0,
            page_size => 50, previous_page_url => undef, url => $first,
        },
    }, $name;
}

sub filter {
    subtest "the list of $kind->{list} filtered by FriendlyName has exact matches only" => sub {
        my @names = (
            '/hello', '/hello/', 'hello', '/Hello', ' /hello', '/hello ', 'a b', 'a+b', 'a%20b', 'a_b', 'a%b', '%', '_',
            "caf\x{e9}", "cafe\x{301}", "\x{1f680}/\x{51fd}", 'a&PageSize=1', 'a=b', q('"\\), "a\nb", 'x' x 255,
        );
        my ($found_in, @made) = named(@names);
        for my $i (0 .. $#names) {
            my $query = Serverless::Client::form(FriendlyName => $names[$i]) =~ s/%20/+/gr;
            my $page = qr/^\Q$found_in?$query&PageSize=50&Page=0\E$/i; # the server's hex digits are small
            is_page $api->get($found_in, FriendlyName => $names[$i]), [ $made[$i] ], $page, quoted($names[$i]);
        }
        my $page = "$found_in?FriendlyName=nobody&PageSize=50&Page=0";
        is_page $api->get($found_in, FriendlyName => 'nobody'), [], $page, 'no artifact has the name: an empty page';

        my ($sid) = $found_in =~ /(ZS\w+)/;
        my $unique_name = $api->get("/v1/Services/$sid")->json->{unique_name};
        is_page $api->get("/v1/Services/$unique_name/$kind->{list}", FriendlyName => 'hello'), [ $made[2] ],
            "$found_in?FriendlyName=hello&PageSize=50&Page=0", 'filtered under a Service named by UniqueName';
        my ($elsewhere) = named();
        is_deeply $api->get($elsewhere, FriendlyName => '/hello')->json->{ $kind->{key} }, [],
            'the same filter in another Service finds nothing';
        is $api->head($found_in, FriendlyName => '/hello')->status, 200, 'HEAD of a filtered list answers 200';

        my $url = $made[0]{url};
        my $renamed = $api->post($url, FriendlyName => 'renamed')->json;
        is_deeply $api->get($found_in, FriendlyName => 'renamed')->json->{ $kind->{key} }, [$renamed],
            'after an update the filter finds the new FriendlyName';
        is_deeply $api->get($found_in, FriendlyName => '/hello')->json->{ $kind->{key} }, [],
            'after an update the filter does not find the old FriendlyName';
        $api->delete($url);
        is_deeply $api->get($found_in, FriendlyName => 'renamed')->json->{ $kind->{key} }, [],
            'after a delete the filter finds nothing';
    };

    subtest "the list of $kind->{list} filtered by FriendlyName has no artifact of the other kind" => sub {
        my $project = Serverless::Project->new($api);
        my %both = map { $_ => $project->new_artifact($_, '/same') } qw(function asset);
        for my $each (values %both) {
            my $of = Serverless::Project::kind_of($each);
            is_deeply $api->get($project->path . "/$of->{list}", FriendlyName => '/same')->json->{ $of->{key} },
                [$each], "the filtered list of $of->{list} has the $of->{name} only";
        }
    };

    subtest "the list of $kind->{list} refuses an invalid FriendlyName filter" => sub {
        my ($found_in) = named('/hello');
        for my $case (
            [ 'empty',          'FriendlyName=',                      'FriendlyName must not be empty' ],
            [ 'without =',      'FriendlyName',                       'FriendlyName must not be empty' ],
            [ '256 characters', 'FriendlyName=' . 'a' x 256,
                'FriendlyName must not be longer than 255 characters' ],
            [ 'twice',          'FriendlyName=a&FriendlyName=a',      'FriendlyName is given more than once' ],
            [ 'no UTF-8',       'FriendlyName=%ff',                   'FriendlyName is not valid UTF-8' ],
            [ 'NUL',            'FriendlyName=a%00',                  'The parameters must not contain NUL' ],
            [ 'half an escape', 'FriendlyName=a%2',                   'The parameters have a malformed percent-encoding' ],
            [ 'a bad PageSize', 'FriendlyName=a&PageSize=0',          'PageSize must be a whole number from 1 to 1000' ],
            [ 'a Page alone',   'FriendlyName=a&Page=1',
                'Page needs the PageToken that came with the page before it' ],
        ) {
            my ($what, $query, $message) = @$case;
            is_error $api->get("$found_in?$query"), 400, 20001, $message, $what;
        }
        is scalar @{ $api->get("$found_in?friendlyname=other")->json->{ $kind->{key} } }, 1,
            'a parameter friendlyname is unknown and filters nothing';
    };

    subtest "the pages of a list of $kind->{list} filtered by FriendlyName" => sub {
        my ($found_in, @made) = named(map { ("a \x{e9}/$_", 'a b') } 1 .. 5);
        my @wanted = reverse grep { $_->{friendly_name} eq 'a b' } @made;
        my $first_url = "$found_in?FriendlyName=a+b&PageSize=2&Page=0";
        my $with_token = sub { qr/^\Q$found_in?FriendlyName=a+b&PageSize=2&Page=$_[0]&PageToken=\EPT[\w-]+$/ };
        my $page = sub {
            my ($reply, $number, $rows, $next, $previous, $url) = @_;
            is_reply $reply, 200, {
                $kind->{key} => $rows,
                meta         => {
                    first_page_url => $first_url, key => $kind->{key}, page => $number, page_size => 2, url => $url,
                    next_page_url => $next, previous_page_url => $previous,
                },
            }, "page $number of the filtered list";
            return $reply->json->{meta};
        };
        my $first = $page->($api->get($found_in, FriendlyName => 'a b', PageSize => 2), 0, [ @wanted[0, 1] ],
            $with_token->(1), undef, $first_url);
        my $second = $page->($api->get($first->{next_page_url}), 1, [ @wanted[2, 3] ], $with_token->(2),
            $with_token->(0), $first->{next_page_url});
        my $third = $page->($api->get($second->{next_page_url}), 2, [ $wanted[4] ], undef, $with_token->(1),
            $second->{next_page_url});
        $page->($api->get($third->{previous_page_url}), 1, [ @wanted[2, 3] ], $with_token->(2), $with_token->(0),
            $third->{previous_page_url});
        $page->($api->get($second->{previous_page_url}), 0, [ @wanted[0, 1] ], $with_token->(1), undef,
            $second->{previous_page_url});

        my ($token) = $first->{next_page_url} =~ /PageToken=(.*)/;
        my ($of_all) = $api->get($found_in, PageSize => 2)->json->{meta}{next_page_url} =~ /PageToken=(.*)/;
        my ($elsewhere) = named();
        for my $case (
            [ 'for another FriendlyName',      $found_in,  FriendlyName => 'a', PageToken => $token ],
            [ 'without FriendlyName',                    $found_in,  PageToken => $token ],
            [ 'in another Service',             $elsewhere, FriendlyName => 'a b', PageToken => $token ],
            [ 'of the unfiltered list, with FriendlyName',    $found_in,  FriendlyName => 'a b', PageToken => $of_all ],
        ) {
            my ($what, $in, @query) = @$case;
            is_error $api->get($in, Page => 1, @query), 400, 20001, 'PageToken is not valid for this list',
                "a PageToken is refused $what";
        }
    };

    subtest "the list of $kind->{list} filtered by FriendlyName, in a Service with thousands" => sub {
        my ($found_in, $oldest) = named('/few');
        my ($sid) = $found_in =~ /(ZS\w+)/;
        add_artifacts($kind->{key} =~ s/s$//r, $sid, 2500, $_) for '/many', '/others';
        my $newest = $api->post($found_in, FriendlyName => '/few')->json;
        is_page $api->get($found_in, FriendlyName => '/few'), [ $newest, $oldest ],
            "$found_in?FriendlyName=%2ffew&PageSize=50&Page=0",
            'the filter finds the newest and the oldest artifact of the Service';

        my ($url, %seen, @sizes) = ("$found_in?FriendlyName=/many&PageSize=1000");
        while ($url) {
            my $reply = $api->get($url)->json;
            push @sizes, scalar @{ $reply->{ $kind->{key} } };
            $seen{ $_->{sid} }++ for grep { $_->{friendly_name} eq '/many' } @{ $reply->{ $kind->{key} } };
            $url = $reply->{meta}{next_page_url};
        }
        is_deeply \@sizes, [ 1000, 1000, 500 ], 'the pages of a filter with 2500 matches are full but the last';
        is scalar(keys %seen), 2500, 'the pages have each of the 2500 matches once';
    };
}

for my $each (qw(function asset)) {
    $kind = Serverless::Project::kind($each);
    $api = Serverless::Client->account;
    $service = $api->post('/v1/Services', UniqueName => 'artifacts', FriendlyName => 'A')->json;
    $list = "/v1/Services/$service->{sid}/$kind->{list}";

    operations('SID', $list);
    operations('UniqueName', "/v1/Services/artifacts/$kind->{list}");
    bodies();
    friendly_names();
    places();
    filter();
}

done_testing;
