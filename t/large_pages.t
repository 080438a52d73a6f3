# Pages that are bounded in bytes: lists of Builds, Logs and Variables, whose rows may be large.
use strict;
use warnings FATAL => 'all';

use Apache::Test qw(-withtestmore);
use JSON::PP ();
use Serverless::Parallel;
use Serverless::Project;
use Serverless::Server;
use Serverless::Test;
use Test::More;

my $bound = 1024 * 1024; # bytes of a page's rows, as PostgreSQL counts them
my $api = Serverless::Client->account;
my $project = Serverless::Project->new($api);
our $service = substr $project->sid, 2;
my $builds = $project->service->{links}{builds};
my $function = $project->new_function;

# Builds of so many Versions each, straight into the database; returns their SIDs. A path has 255 bytes, and
# the Versions are those of no Function: a completed Build may outlive them.
sub add_builds {
    my (@versions) = @_;
    return map { add_build($_) } @versions;
}

sub add_build {
    my ($versions) = @_;
    return db()->selectrow_array(<<'SQL', undef, $service, $versions);
WITH fresh AS MATERIALIZED (SELECT ?::uuid AS service, id, made FROM serverless.new_identity()),
     contained AS (
         INSERT INTO serverless.build_versions
         SELECT f.service, f.id, gen_random_uuid(), 'function', gen_random_uuid(),
                rpad('/' || n, 255, 'x'), 'protected', f.made
           FROM fresh AS f, generate_series(1, ?::int) AS n
         RETURNING 1)
INSERT INTO serverless.builds (service_id, id, status, runtime, dependencies, date_created, date_updated)
SELECT f.service, f.id, 'completed', 'node22', '[]', f.made, f.made
  FROM fresh AS f, (SELECT count(*) FROM contained) AS written
RETURNING serverless.sid('ZB', id)
SQL
}

sub meta { $_[0]->json->{meta} }
sub key  { meta($_[0])->{key} }
sub sids { map { $_->{sid} } @{ $_[0]->json->{ key($_[0]) } } }

# The pages from this one on, by next_page_url or previous_page_url. Those in between are not compared with
# the description: it would take longer than all else.
sub follow {
    my ($reply, $link) = @_;
    my @pages = $reply;
    while (my $url = meta($pages[-1])->{$link}) {
        die "no end of the pages\n" if @pages > 1000;
        push @pages, $api->undescribed->get($url);
        die $pages[-1]->body if $pages[-1]->status != 200;
    }
    return @pages;
}

# Every page keeps to the bound, or is of one row.
sub are_bounded {
    my ($pages, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my @sizes = map { length $_->body } grep { sids($_) > 1 } @$pages;
    is_deeply [grep { $_ > $bound + 4096 } @sizes], [], "$name: no page of several rows is larger than 1 MiB";
    is_deeply [grep { !sids($_) } @$pages], [], "$name: every page has a row";
}

# Walks a list forward and back. @$sids is the whole list, newest first.
sub is_walked {
    my ($list, $size, $sids, $name, @filter) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my @there = follow($api->get($list, @filter, PageSize => $size), 'next_page_url');
    is_deeply [map { sids($_) } @there], $sids, "$name: forward, each row once";
    are_bounded \@there, "$name, forward";
    is_deeply [map { meta($_)->{page} } @there], [0 .. $#there], "$name: page counts the pages";
    my ($asked) = meta($there[0])->{url} =~ /PageSize=(\d+)/;
    is_deeply [grep { meta($_)->{page_size} != $asked } @there], [], "$name: page_size is what was asked for";
    is_deeply [grep { !is_full($there[$_], $there[$_ + 1], $asked) } 0 .. $#there - 1], [],
        "$name: no page is shorter than it must be";

    my @back = follow($there[-1], 'previous_page_url');
    is_deeply [map { sids($_) } reverse @back], $sids, "$name: backward, each row once";
    are_bounded \@back, "$name, backward";
    is_deeply [grep { meta($_)->{page} < 0 } @back], [], "$name: page is never negative";
    is_deeply [map { sids($_) } follow($back[-1], 'next_page_url')], $sids, "$name: forward again from there";
    return scalar @there;
}

# Whether a page has as many rows as it may: the next row would make it too large.
sub is_full {
    my ($page, $next, $size) = @_;
    my ($row) = @{ $next->json->{ key($next) } };
    return sids($page) == $size || length($page->body) + length(JSON::PP::encode_json($row)) > 0.7 * $bound;
}


subtest 'a page of Builds is at most 1 MiB, or one Build' => sub {
    my @sids = reverse add_builds(1, 2, 900, 5, 2000, 1900, 1, 1, 450, 450, 450, 950, 900, 3, 4, 2000, 1, 600);
    for my $case ([50, 7], [2, 9], [1, 18]) {
        my ($size, $at_least) = @$case;
        cmp_ok is_walked($builds, $size, \@sids, "PageSize=$size"), '>=', $at_least, 'so many pages';
    }
    my $by_name = $api->base . '/v1/Services/' . $project->service->{unique_name} . '/Builds';
    is_walked($by_name, 50, \@sids, 'by UniqueName');

    my $page = $api->get($builds);
    my @url = map { meta($page)->{$_} } qw(first_page_url url);
    is_deeply \@url, [("$builds?PageSize=50&Page=0") x 2], 'the URLs have the PageSize that was asked for';
    is scalar(@{ $page->json->{builds}[0]{function_versions} }), 600, 'a Build on the page has all its Versions';
    is_deeply [grep { $api->undescribed->get("$builds/$_")->status != 200 } @sids], [], 'each Build can be fetched';
};

# Rows that a page before another one would have, and that are gone.
subtest 'a page of Builds before another one, some of whose rows were deleted' => sub {
    my $own = Serverless::Project->new($api);
    local $service = substr $own->sid, 2;
    my $list = $own->service->{links}{builds};
    my @sids = reverse add_builds((1) x 6);
    my $second = $api->get(meta($api->get($list, PageSize => 3))->{next_page_url});
    is_deeply [sids($second)], [@sids[3 .. 5]], 'the second page';
    my $first = sub { $api->get(meta($second)->{previous_page_url}) };
    is_deeply [sids($first->())], [@sids[0 .. 2]], 'the page before';
    is $api->delete("$list/$sids[1]")->status, 204, 'one of its rows is deleted';
    is_deeply [sids($first->())], [@sids[0, 2]], 'it is shorter, and has no row of the page after it';
    is_deeply [sids($api->get(meta($first->())->{next_page_url}))], [@sids[3 .. 5]], 'which follows it';
    is meta($first->())->{previous_page_url}, undef, 'no page precedes it';
    is $api->delete("$list/$_")->status, 204, 'the others are deleted' for @sids[0, 2];
    is_deeply [sids($first->())], [@sids[3 .. 5]], 'it is the first page then';
    is meta($first->())->{previous_page_url}, undef, 'and no page precedes it';
    add_builds((1) x 4);
    is scalar(sids($first->())), 3, 'new rows are before it';
    is scalar(sids($api->get(meta($first->())->{previous_page_url}))), 1, 'the newest on a page of its own';
};

subtest 'a page of Logs is at most 1 MiB' => sub {
    my $environment = $project->new_environment;
    my $logs = "$environment->{links}{logs}";
    my @sids = map { $_->[0] } @{ db()->selectall_arrayref(<<'SQL', undef, $environment->{sid}, $function->{sid}) };
SELECT serverless.add_log(?, ?, 'info',
                          CASE WHEN n % 3 = 0 THEN repeat(chr(128512), 10000) ELSE repeat('x', n) END)
  FROM generate_series(1, 150) AS n
SQL
    @sids = reverse @sids;
    for my $filter ([], [FunctionSid => $function->{sid}]) {
        my $what = @$filter ? 'of a Function' : 'of all';
        cmp_ok is_walked($logs, 1000, \@sids, $what, @$filter), '>=', 2, "more than one page $what";
        is_walked($logs, 40, \@sids, "$what, PageSize=40", @$filter);
    }
};

subtest 'a page of Variables is at most 1 MiB' => sub {
    my $environment = $project->new_environment;
    my $variables = $environment->{links}{variables};
    my @sids;
    for my $n (1 .. 640) {
        my $reply = $api->undescribed->post($variables, Key => "\x{1f600}" x 124 . sprintf('%04d', $n), Value => 'v' x 450);
        die $reply->body if $reply->status != 201;
        unshift @sids, $reply->json->{sid};
    }
    cmp_ok is_walked($variables, 1000, \@sids, 'Variables'), '>=', 2, 'more than one page';
};

subtest 'sixteen clients list large Builds at once' => sub {
    my $own = Serverless::Project->new($api);
    local $service = substr $own->sid, 2;
    add_builds((1000) x ($ENV{FULL} ? 50 : 10));
    my $server = Serverless::Server->start('large_pages', Serverless::Server->database . Serverless::Server->api);
    my $client = $api->at($server->address)->undescribed;
    $client->get($own->path . '/Builds', PageSize => 1);
    my $before = $server->peak_memory;
    my @replies = at_once(sub {
        my $reply = $client->afresh->get($own->path . '/Builds');
        return [$reply->status, length $reply->body];
    }, 1 .. 16);
    is_deeply [grep { $_->[0] != 200 } @replies], [], 'each has its page';
    is_deeply [grep { $_->[1] > $bound + 4096 } @replies], [], 'of at most 1 MiB';
    SKIP: {
        skip 'AddressSanitizer keeps what is freed', 1 if $ENV{SANITIZE};
        cmp_ok $server->peak_memory - $before, '<', 16 * 6 * $bound, 'a request takes less than 6 MiB';
    }
};

done_testing;
