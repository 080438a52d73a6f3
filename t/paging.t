# Pages of lists: PageSize, Page, PageToken, and the URLs of the neighbouring pages.
use strict;
use warnings FATAL => 'all';

use Apache::Test qw(-withtestmore);
use MIME::Base64 qw(encode_base64url);
use Serverless::Test;
use Test::More;

my $api = Serverless::Client->account;
my $other = Serverless::Client->account;
my $not_valid = 'PageToken is not valid for this list';

my $made = 0;
sub new_service {
    my ($client) = @_;
    my $reply = $client->post('/v1/Services', UniqueName => 'list-' . ++$made, FriendlyName => 'L');
    $reply->status == 201 or die 'no Service: ' . $reply->body;
    return $reply->json;
}

# A list of Functions: its address and how many it has.
sub new_list {
    my ($count) = @_;
    my $service = new_service($api);
    insert($service->{links}{functions}) for 1 .. $count;
    return $service->{links}{functions};
}

sub insert {
    my ($list) = @_;
    my $reply = $api->post($list, FriendlyName => 'f');
    $reply->status == 201 or die 'no Function: ' . $reply->body;
    return $reply->json->{sid};
}

# Straight from the database, so that it costs nothing.
sub insert_many {
    my ($list, $count) = @_;
    my ($service) = $list =~ m{/ZS([0-9a-f]{32})/};
    db()->do(<<'SQL', undef, $service, $count);
INSERT INTO serverless.artifacts
SELECT ?::uuid, 'function', (serverless.new_identity()).id, 'f', now(), now() FROM generate_series(1, ?)
SQL
}

sub remove {
    my ($list, @sids) = @_;
    for my $sid (@sids) {
        my $reply = $api->delete("$list/$sid");
        $reply->status == 204 or die "cannot delete $sid: " . $reply->body;
    }
}

sub sids { map { $_->{sid} } @{ $_[0]->json->{functions} } }
sub meta { $_[0]->json->{meta} }

# The token in an address of a page.
sub token_in {
    my ($url) = @_;
    my ($token) = $url =~ /[?&]PageToken=([^&]+)/ or die "no token in $url\n";
    return $token;
}

# An address of a page, of which only the token's value is not known beforehand.
sub page_with_token {
    my ($list, $size, $number) = @_;
    return qr/^\Q$list?PageSize=$size&Page=$number&PageToken=\EPT[A-Za-z0-9_-]+$/;
}

subtest 'the meta property of a list of Functions' => sub {
    my $list = new_list(5);
    my @functions = @{ $api->get($list)->json->{functions} };
    my $first_url = "$list?PageSize=2&Page=0";

    my $first = $api->get($list, PageSize => 2);
    is_reply $first, 200, {
        functions => [ @functions[0, 1] ],
        meta      => {
            first_page_url    => $first_url,
            key               => 'functions',
            next_page_url     => page_with_token($list, 2, 1),
            page              => 0,
            page_size         => 2,
            previous_page_url => undef,
            url               => $first_url,
        },
    }, 'meta of the first page of Functions';

    my $middle = $api->get(meta($first)->{next_page_url});
    is_reply $middle, 200, {
        functions => [ @functions[2, 3] ],
        meta      => {
            first_page_url    => $first_url,
            key               => 'functions',
            next_page_url     => page_with_token($list, 2, 2),
            page              => 1,
            page_size         => 2,
            previous_page_url => page_with_token($list, 2, 0),
            url               => meta($first)->{next_page_url},
        },
    }, 'meta of a page of Functions in the middle';

    my $last = $api->get(meta($middle)->{next_page_url});
    is_reply $last, 200, {
        functions => [ $functions[4] ],
        meta      => {
            first_page_url    => $first_url,
            key               => 'functions',
            next_page_url     => undef,
            page              => 2,
            page_size         => 2,
            previous_page_url => page_with_token($list, 2, 1),
            url               => meta($middle)->{next_page_url},
        },
    }, 'meta of the last page of Functions';

    remove $list, map { $_->{sid} } @functions;
    my $url = "$list?PageSize=50&Page=0";
    is_reply $api->get($list), 200, {
        functions => [],
        meta      => {
            first_page_url    => $url,
            key               => 'functions',
            next_page_url     => undef,
            page              => 0,
            page_size         => 50,
            previous_page_url => undef,
            url               => $url,
        },
    }, 'meta of an empty list of Functions';
    is $api->get($list)->body,
        qq({"functions":[],"meta":{"first_page_url":"$url","key":"functions","next_page_url":null,)
        . qq("page":0,"page_size":50,"previous_page_url":null,"url":"$url"}}),
        'the JSON of a page, byte for byte';
};

subtest 'the meta property of the list of Services' => sub {
    my $mine = Serverless::Client->account;
    my $list = $mine->base . '/v1/Services';
    my $url = "$list?PageSize=1&Page=0";
    my %empty = (key => 'services', page => 0, page_size => 1, next_page_url => undef,
        previous_page_url => undef, first_page_url => $url, url => $url);
    is_reply $mine->get($list, PageSize => 1), 200, { services => [], meta => \%empty },
        'meta of the Services of a new account, which has none';

    my ($old, $new) = (new_service($mine), new_service($mine));
    my $first = $mine->get($list, PageSize => 1);
    is_reply $first, 200,
        { services => [$new], meta => { %empty, next_page_url => page_with_token($list, 1, 1) } },
        'meta of the first page of Services';
    my $next = meta($first)->{next_page_url};
    is_reply $mine->get($next), 200, {
        services => [$old],
        meta => { %empty, page => 1, previous_page_url => page_with_token($list, 1, 0), url => $next },
    }, 'meta of the last page of Services';
};

subtest 'a page that is exactly full and the last has no next_page_url' => sub {
    my $list = new_list(4);
    my $first = $api->get($list, PageSize => 2);
    my $second = $api->get(meta($first)->{next_page_url});
    is scalar(sids($second)), 2, 'the last page is full';
    is meta($second)->{next_page_url}, undef, 'the full last page has no next_page_url';
    is meta($api->get($list, PageSize => 4))->{next_page_url}, undef,
        'a full page that is first and last has no next_page_url';
};

subtest 'PageSize: valid and invalid values' => sub {
    my $list = new_list(0);
    insert_many $list, 1005;
    for my $case (
        # sent, page_size, rows
        [ [],                                     50,   50 ],
        [ [ PageSize => 1 ],                      1,    1 ],
        [ [ PageSize => 50 ],                     50,   50 ],
        [ [ PageSize => '007' ],                  7,    7 ],
        [ [ PageSize => 999 ],                    999,  999 ],
        [ [ PageSize => 1000 ],                   1000, 1000 ],
        [ [ PageSize => 1001 ],                   1000, 1000 ],
        [ [ PageSize => 5000 ],                   1000, 1000 ],
        [ [ PageSize => '9' x 255 ],              1000, 1000 ],
        [ [ pagesize => 3, page_size => 3 ],      50,   50 ],
    ) {
        my ($query, $size, $rows) = @$case;
        my $reply = $api->get($list, @$query);
        my $what = @$query ? join '=', map { substr $_, 0, 20 } @$query : 'no PageSize';
        is meta($reply)->{page_size}, $size, "$what: page_size is $size";
        is scalar(sids($reply)), $rows, "$what: so many rows";
        is meta($reply)->{url}, "$list?PageSize=$size&Page=0", "$what: the url says so";
    }
    my $message = 'PageSize must be a whole number from 1 to 1000';
    is_error $api->get($list, PageSize => $_), 400, 20001, $message, 'PageSize=' . quoted($_)
        for 'abc', '0', '000', '-1', '+1', '1.5', '1e3', '0x10', '5 ', ' 5', '5a', "\x{663}";
    is_error $api->get($list, PageSize => ''), 400, 20001, 'PageSize must not be empty', 'PageSize=';
    is_error $api->get($list, PageSize => '1' x 256), 400, 20001,
        'PageSize must not be longer than 255 characters', 'PageSize of 256 digits';
    is_error $api->get($list, PageSize => 5, PageSize => 5), 400, 20001,
        'PageSize is given more than once', 'PageSize twice';
};

subtest 'Page: valid and invalid values' => sub {
    my $list = new_list(3);
    my $needs = 'Page needs the PageToken that came with the page before it';
    for my $number (1, 2, 1000, '99999999999999999999') {
        is_error $api->get($list, Page => $number), 400, 20001, $needs, "Page=$number without a token";
    }
    is_error $api->get($list, Page => $_), 400, 20001, 'Page must be a whole number from 0',
        'Page=' . quoted($_) for 'abc', '-1', '1.5', '0x1', ' 1';
    is_error $api->get($list, Page => ''), 400, 20001, 'Page must not be empty', 'Page=';
    is_error $api->get($list, Page => 0, Page => 0), 400, 20001, 'Page is given more than once',
        'Page twice';
    is_deeply $api->get($list, Page => 0)->json, $api->get($list)->json, 'Page=0 is the first';

    my $token = token_in(meta($api->get($list, PageSize => 1))->{next_page_url});
    my $reply = $api->get($list, PageSize => 2, Page => 7, PageToken => $token);
    is $reply->status, 200, 'any Page is accepted with a PageToken';
    is meta($reply)->{page}, 7, 'meta has the Page that the client sent';
    is_deeply [ sids($reply) ], [ (sids($api->get($list)))[1, 2] ], 'the token alone says where';
    is meta($api->get($list, PageToken => $token))->{page}, 0, 'without Page it is 0';
};

subtest 'rows are created and deleted while a client follows next_page_url' => sub {
    for my $size (1, 2, 3, 7) {
        my $list = new_list(24);
        my %throughout = map { $_ => 1 } sids($api->get($list));
        my @doomed = (sids($api->get($list)))[map { 3 * $_ + 1 } 0 .. 7];
        delete @throughout{@doomed};
        my (@seen, @numbers);
        my $reply = $api->get($list, PageSize => $size);
        while (1) {
            push @seen, sids($reply);
            push @numbers, meta($reply)->{page};
            my $next = meta($reply)->{next_page_url} or last;
            insert($list) for 1, 2;                    # above the client
            remove $list, pop @doomed if @doomed;      # ahead of it, at last behind it
            remove $list, shift @doomed if @doomed;    # behind it, at first ahead of it
            $reply = $api->get($next);
        }
        my %count;
        $count{$_}++ for @seen;
        is_deeply [ grep { ($count{$_} || 0) != 1 } keys %throughout ], [],
            "PageSize=$size: each that was there throughout is seen exactly once";
        is_deeply [ grep { $count{$_} > 1 } keys %count ], [], 'no row is listed twice';
        is_deeply \@seen, [ sort { $b cmp $a } @seen ], 'newest first';
        is_deeply \@numbers, [ 0 .. $#numbers ], 'page counts';
    }
};

subtest 'the row that the next page begins with is deleted' => sub {
    my $list = new_list(6);
    my @sids = sids($api->get($list));
    my $first = $api->get($list, PageSize => 2);
    remove $list, $sids[2];
    my $second = $api->get(meta($first)->{next_page_url});
    is_deeply [ sids($second) ], [ @sids[3, 4] ], 'the next page begins with the one after it';
    is_deeply [ sids($api->get(meta($second)->{previous_page_url})) ], [ @sids[0, 1] ],
        'previous_page_url of that page is the first page';
};

subtest 'all that was on the next page is deleted' => sub {
    my $list = new_list(4);
    my @sids = sids($api->get($list));
    my $next = meta($api->get($list, PageSize => 2))->{next_page_url};
    remove $list, @sids[2, 3];
    my $empty = $api->get($next);
    is_reply $empty, 200, {
        functions => [],
        meta      => {
            first_page_url    => "$list?PageSize=2&Page=0",
            key               => 'functions',
            next_page_url     => undef,
            page              => 1,
            page_size         => 2,
            previous_page_url => page_with_token($list, 2, 0),
            url               => $next,
        },
    }, 'the page whose rows were deleted is empty';
    is_deeply [ sids($api->get(meta($empty)->{previous_page_url})) ], [ @sids[0, 1] ],
        'previous_page_url of the empty page leads back';
};

subtest 'previous_page_url leads back over the same pages' => sub {
    my $list = new_list(7);
    my @pages = my $reply = $api->get($list, PageSize => 2);
    while (my $next = meta($reply)->{next_page_url}) {
        push @pages, $reply = $api->get($next);
    }
    is scalar(@pages), 4, 'four pages';
    for my $number (reverse 0 .. 2) {
        $reply = $api->get(meta($reply)->{previous_page_url});
        is_deeply $reply->json->{functions}, $pages[$number]->json->{functions},
            "page $number has the same rows";
        is meta($reply)->{page}, $number, 'the page on the way back has its number';
        is meta($reply)->{next_page_url}, meta($pages[$number])->{next_page_url},
            'the page on the way back has its next_page_url';
    }
    is meta($reply)->{previous_page_url}, undef, 'page 0 has no previous_page_url';
};

subtest 'a previous page that became shorter is refilled from the newest' => sub {
    my $list = new_list(8);
    my @sids = sids($api->get($list));
    my $reply = $api->get($list, PageSize => 2);
    $reply = $api->get(meta($reply)->{next_page_url}) for 1 .. 3;    # page 3: 6 and 7
    remove $list, @sids[0 .. 4];
    my $refilled = $api->get(meta($reply)->{previous_page_url});
    is_deeply [ sids($refilled) ], [ @sids[5, 6] ], 'the previous page is refilled from the newest rows';
    is meta($refilled)->{previous_page_url}, undef, 'the refilled page has no previous_page_url';
    is meta($refilled)->{page}, 2, 'the refilled page has its number, which is not 0';
    is_deeply [ sids($api->get(meta($refilled)->{next_page_url})) ], [ $sids[7] ],
        'the next page goes on from there';

    remove $list, @sids[5, 6];
    $refilled = $api->get(meta($reply)->{previous_page_url});
    is_deeply [ sids($refilled) ], [ $sids[7] ], 'the refilled page has the rows that there are, if fewer';
    is_deeply [ @{ meta($refilled) }{qw(previous_page_url next_page_url)} ], [ undef, undef ],
        'which is all';
    remove $list, $sids[7];
    is_deeply $api->get(meta($reply)->{previous_page_url})->json->{functions}, [],
        'the refilled page is empty if every row before was deleted';
};

subtest 'a PageToken that the server did not make is refused' => sub {
    my $list = new_list(3);
    my $url = meta($api->get($list, PageSize => 1))->{next_page_url};
    my $token = token_in($url);
    is $api->get($list, PageToken => $token)->status, 200, 'a real one is not';

    for my $case (
        [ 'a word',                      'abc' ],
        [ 'a number',                    '50' ],
        [ 'a SID',                       'ZH' . '0' x 32 ],
        [ 'the prefix alone',            'PT' ],
        [ 'Twilio\'s own kind',          'PT' . encode_base64url('{"key":"ZH0","index":true}') ],
        [ 'zeros in the right length',   'PT' . 'A' x 44 ],
        [ 'forged: no signature',        'PT' . encode_base64url('F' . "\xff" x 16 . "\0" x 16) ],
        [ 'forged, the other direction', 'PT' . encode_base64url('B' . "\0" x 32) ],
        [ 'shorter by one',              substr $token, 0, -1 ],
        [ 'without its signature',       substr $token, 0, 24 ],
        [ 'longer by one',               "${token}A" ],
        [ 'padded',                      "$token=" ],
        [ 'twice over',                  "$token$token" ],
        [ 'with a space',                "$token " ],
        [ 'with a newline',              "$token\n" ],
        [ 'in another case',             lc $token ],
        [ '255 characters',              'PT' . 'A' x 253 ],
    ) {
        my ($what, $wrong) = @$case;
        is_error $api->get($list, Page => 1, PageToken => $wrong), 400, 20001, $not_valid, $what;
    }
    is_error $api->get($list, PageToken => ''), 400, 20001, 'PageToken must not be empty', 'empty';
    is_error $api->get($list, PageToken => 'A' x 256), 400, 20001,
        'PageToken must not be longer than 255 characters', '256 characters';
    is_error $api->get($list, PageToken => $token, PageToken => $token), 400, 20001,
        'PageToken is given more than once', 'given twice';

    my @accepted;
    my $alphabet = join '', 'A' .. 'Z', 'a' .. 'z', 0 .. 9, '-', '_';
    for my $at (2 .. length($token) - 1) {
        for my $bit (0 .. 5) {
            my $changed = $token;
            my $value = index $alphabet, substr $token, $at, 1;
            substr $changed, $at, 1, substr $alphabet, $value ^ 1 << $bit, 1;
            push @accepted, $changed if $api->get($list, PageToken => $changed)->status != 400;
        }
    }
    is_deeply \@accepted, [], 'a PageToken with any one bit changed is refused';
};

subtest 'a PageToken is valid for its own list only' => sub {
    my $list = new_list(3);
    my $sibling = new_list(3);
    my $services = $api->base . '/v1/Services';
    my $theirs = $other->base . '/v1/Services';
    new_service($other) for 1, 2;

    my $functions_token = token_in(meta($api->get($list, PageSize => 1))->{next_page_url});
    my $services_token = token_in(meta($api->get($services, PageSize => 1))->{next_page_url});
    my $their_token = token_in(meta($other->get($theirs, PageSize => 1))->{next_page_url});
    for my $case (
        [ 'of another Service',                 $api,   $sibling,  $functions_token ],
        [ 'of Functions, for Services',         $api,   $services, $functions_token ],
        [ 'of Services, for Functions',         $api,   $list,     $services_token ],
        [ "of another account's Services",      $api,   $services, $their_token ],
        [ 'of these Services, there',           $other, $theirs,   $services_token ],
    ) {
        my ($what, $client, $where, $token) = @$case;
        is_error $client->get($where, Page => 1, PageToken => $token), 400, 20001, $not_valid, $what;
    }
    is $other->get($list, Page => 1, PageToken => $functions_token)->status, 404,
        'another account does not see the list: 404';
    is $other->get($theirs, Page => 1, PageToken => $their_token)->status, 200,
        "the other account's PageToken is valid for its own list";
};

subtest 'a PageToken is valid whether the Service is named by SID or by UniqueName' => sub {
    my $service = new_service($api);
    my $by_sid = $service->{links}{functions};
    my $by_name = $api->base . "/v1/Services/$service->{unique_name}/Functions";
    my @sids = reverse map { insert($by_sid) } 1 .. 3;

    my ($from_sid, $from_name) = map { meta($api->get($_, PageSize => 1)) } $by_sid, $by_name;
    is_deeply $from_name, $from_sid, 'a page says the same by either';
    like $from_name->{next_page_url}, qr/^\Q$by_sid?/, 'page URLs of a list by UniqueName have the SID';
    my $token = token_in($from_sid->{next_page_url});
    is_deeply [ sids($api->get($_, PageSize => 2, Page => 1, PageToken => $token)) ], [ @sids[1, 2] ],
        'the PageToken is valid by SID and by UniqueName' for $by_sid, $by_name;

    (my $capitals = $by_sid) =~ s{/ZS([0-9a-f]+)/}{'/ZS' . uc($1) . '/'}e;
    is_deeply $api->get($capitals, PageSize => 1, Page => 1, PageToken => $token)->json,
        $api->get($by_sid, PageSize => 1, Page => 1, PageToken => $token)->json,
        'the PageToken is valid under the SID in upper case';

    my $key = db()->selectrow_hashref('SELECT * FROM serverless.create_api_key(?, ?)', undef,
        $api->user, 'pages');
    my $key_client = Serverless::Client->client(@$key{qw(key_sid secret)});
    is $key_client->get($by_sid, Page => 1, PageToken => $token)->status, 200,
        'the PageToken is valid for an API key of the account';
};

subtest 'page URLs have the host that the client uses' => sub {
    my $service = new_service($api);
    my $path = "/v1/Services/$service->{sid}/Functions";
    insert($service->{links}{functions}) for 1, 2;

    for my $host ('serverless.example.com', 'api.example.com:8443', 'localhost:1', '127.0.0.1',
        '[::1]:8080', '[::1]') {
        my $reply = $api->raw_request("GET $path?PageSize=1 HTTP/1.1", host => $host);
        my $meta = meta($reply);
        like $meta->{next_page_url}, page_with_token("http://$host$path", 1, 1),
            "Host: $host, next_page_url";
        is_deeply [ @$meta{qw(first_page_url url)} ], [ ("http://$host$path?PageSize=1&Page=0") x 2 ],
            'first_page_url and url';
        is_deeply [ @{ $reply->json->{functions}[0] }{qw(url links)} ], [
            "http://$host$path/" . (sids($reply))[0],
            { function_versions => "http://$host$path/" . (sids($reply))[0] . '/Versions' },
        ], "the url of each row has the client's host";
    }

    my $fixed = "https://serverless.example.com$path";
    my $reply = $api->on('fixed_url')->get($path, PageSize => 1);
    like meta($reply)->{next_page_url}, page_with_token($fixed, 1, 1),
        'ServerlessBaseURL fixes them';
    is_deeply [ @{ meta($reply) }{qw(first_page_url url)} ], [ ("$fixed?PageSize=1&Page=0") x 2 ],
        'every page URL has ServerlessBaseURL';
    is $reply->json->{functions}[0]{url}, "$fixed/" . (sids($reply))[0], 'the url of each row has ServerlessBaseURL';
    my $created = $api->on('fixed_url')->post($path, FriendlyName => 'f');
    is $created->header('Location'), "$fixed/" . $created->json->{sid}, 'Location has ServerlessBaseURL';
    is $api->on('fixed_url')->get($path, PageSize => 1, Page => 1,
        PageToken => token_in(meta($reply)->{next_page_url}))->status, 200,
        'a PageToken is valid at another host';
};

done_testing;
