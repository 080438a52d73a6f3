# The Content of Assets that is large, that its client reads slowly, or that is damaged.
use strict;
use warnings FATAL => 'all';

use Apache::Test qw(-withtestmore);
use Digest::SHA qw(sha256_hex);
use IO::Uncompress::Gunzip qw(gunzip $GunzipError);
use Serverless::Database;
use Serverless::Download;
use Serverless::Project;
use Serverless::Server;
use Serverless::Test;
use Serverless::Time;
use Test::More;

my $megabyte = 1024 * 1024;
my $chunk = 256 * 1024;

# As much as an Asset may have, and so much more than the kernel keeps for a slow
# reader; no two chunks of it are alike.
my $large = join '', map { pack 'N', $_ } 1 .. 25 * $megabyte / 4;

my $api = Serverless::Client->account;
my $project = Serverless::Project->new($api);


# Memory -----------------------------------------------------------------------------

# One child, and one connection to the database for all its requests; with prefork, a child for each client.
my $server = Serverless::Server->start('content', "ServerlessDBConnections 1\n" . Serverless::Server->workers(1, 32, prefork => 12)
    . Serverless::Server->database . Serverless::Server->api);
my $there = $api->at($server->address);
my @form = ([ Path => undef, undef, '/large' ], [ Visibility => undef, undef, 'public' ]);

# How much more memory the child had at most while this was done, in MiB. A
# sanitizer needs memory of its own, for which it is not blamed.
sub growth(&) {
    my ($do) = @_;
    my $before = $server->peak_memory;
    $do->();
    return $ENV{SANITIZE} ? 0 : ($server->peak_memory - $before) / $megabyte;
}

sub upload {
    my ($bytes) = @_;
    my $asset = $project->new_asset;
    return $there->upload($project->path . "/Assets/$asset->{sid}/Versions", @form,
        [ Content => 'c', 'application/octet-stream', $bytes ]);
}

# On this server: a Version, and the path of its content.
sub uploaded {
    my $reply = upload(@_);
    $reply->status == 201 or die 'not uploaded: ' . $reply->body;
    my $version = $reply->json;
    return { %$version, content => $version->{url} =~ s{^http://[^/]+}{}r . '/Content' };
}

# Everything has been used once.
is sha256_hex($there->get(uploaded('a' x (3 * $chunk))->{content})->body), sha256_hex('a' x (3 * $chunk)),
    'an Asset of three chunks';

my $version;
my $needed = growth { $version = uploaded($large) };
cmp_ok $needed, '<', 6, 'an upload of 25 MiB takes less than 6 MiB of memory';
note sprintf 'it took %.1f MiB', $needed;

is_error upload("$large!"), 413, 20413, 'Content must not be larger than 26214400 bytes',
    'without ServerlessAssetLimit, an upload of 25 MiB and one byte is refused';

$needed = growth {
    my $reply = $there->get($version->{content});
    is_deeply [ $reply->status, $reply->header('Content-Length'), sha256_hex($reply->body) ],
        [ 200, length $large, sha256_hex($large) ], 'an Asset of 25 MiB is fetched';
};
cmp_ok $needed, '<', 6, 'a fetch of 25 MiB takes less than 6 MiB of memory';
note sprintf 'it took %.1f MiB', $needed;

{
    my $slow = 8;
    my @downloads;
    $needed = growth {
        @downloads = map { Serverless::Download->begin($there, $version->{content}) } 1 .. $slow;
        $_->read(2 * $megabyte) for @downloads;
        is $there->get('/v1/Services')->status, 200,
            'while eight clients fetch it slowly, the one connection to the database is free for others';
        for my $download (@downloads[ 0, 1 ]) {
            $download->read(length $large);
            is sha256_hex($download->body), sha256_hex($large), 'a slow client receives the whole Asset';
        }
    };
    cmp_ok $needed, '<', 2 * $slow, 'each slow client needs the memory of a few chunks';
    note sprintf 'they took %.1f MiB', $needed;
    is $server->error_log =~ /SF00(?!96)/, '', 'the error log has no line about slow clients';
}


# Ranges ---------------------------------------------------------------------------------

# A database of its own, whose statistics no other suite's reads are in.
subtest 'several ranges cost no more than the whole Asset' => sub {
    my $own = own_database('ranges');
    my $owner = $own->connect('postgres');
    my ($sid, $token) = $owner->selectrow_array(q(SELECT * FROM serverless.create_account('ranges')));
    my $other = Serverless::Server->start('ranges',
        Serverless::Server->database(database => $own->name) . Serverless::Server->api);
    my $client = Serverless::Client->client($sid, $token)->at($other->address);
    my $content = Serverless::Project->new($client)->new_version(kind => 'asset', content => $large)->{url} . '/Content';

    # A session of PostgreSQL adds to the statistics when it ends, if not before.
    my $scans = sub {
        my $ended = $owner->selectcol_arrayref(q(SELECT pid, pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE datname = current_database() AND usename = 'serverless_httpd'));
        wait_until { !$owner->selectrow_array('SELECT count(*) FROM pg_stat_activity WHERE pid = ANY(?)', undef, $ended) }
            or die "sessions do not end\n";
        return $owner->selectrow_array(q(SELECT seq_scan + idx_scan FROM pg_stat_user_tables
            WHERE relname = 'content_chunks'));
    };
    # Reads of chunks for this Range header; the status and the body must be these.
    my $reads = sub {
        my ($name, $range, $status, $is_right) = @_;
        my $before = $scans->();
        my $reply = ($range ? $client->with(Range => $range) : $client)->afresh->get($content);
        is $reply->status, $status, $name;
        ok $is_right->($reply->body), '- has the right bytes';
        return $scans->() - $before;
    };
    my $is_whole = sub { $_[0] eq $large };
    my $has = sub {
        my @starts = @_;
        return sub {
            my @bytes = $_[0] =~ m{^Content-range: bytes \d+-\d+/\d+\r\n\r\n(.)\r\n--}gms;
            return join('', @bytes) eq join '', map { substr $large, $_, 1 } @starts;
        };
    };
    my $bytes_at = sub { 'bytes=' . join ',', map { "$_-$_" } @_ };
    my $chunks = length($large) / $chunk;
    is $reads->('the whole Asset', undef, 200, $is_whole), $chunks, '- reads each chunk';

    my @near = map { $_ * 2000 } 0 .. 199;
    is $reads->('200 bytes of two chunks', $bytes_at->(@near), 206, $has->(@near)), 2, '- reads each of the two once';
    my $before = $other->peak_memory;
    my @far = map { $_ * 131_000 } 0 .. 199;
    is $reads->('200 bytes of all chunks', $bytes_at->(@far), 206, $has->(@far)), $chunks, '- reads each chunk once';
    my $more = ($other->peak_memory - $before) / $megabyte;
    cmp_ok $ENV{SANITIZE} ? 0 : $more, '<', 6, 'bytes of all chunks take the memory of a few chunks';
    note sprintf 'they took %.1f MiB', $more;
    is $reads->('20 bytes that alternate between two chunks', $bytes_at->(map { ($_, $chunk + $_) } 1 .. 10), 200, $is_whole),
        $chunks, '- are answered with the whole';
    is $reads->('ranges in descending order', 'bytes=600000-600000,5-5', 200, $is_whole), $chunks,
        '- are answered with the whole';
    is $reads->('the first and the last byte', 'bytes=0-0,-1', 206, $has->(0, length($large) - 1)), 2, '- reads two chunks';
    $owner->disconnect;
    $other->stop;
};


# Broken off ----------------------------------------------------------------------------

# What has come of it is right, and not all; the server's log has a line that says
# so, and only one.
sub is_broken_off {
    my ($on, $download, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $got = $download->rest->size;
    cmp_ok $got, '<', $download->header('Content-Length'), "$name: less comes than was announced";
    ok substr($large, 0, $got) eq $download->body, '- what has come is right';
    is_logged($on, $download->header('Twilio-Request-Id'));
}

sub is_logged {
    my ($on, $id) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my @lines = $on->error_log =~ /(\[RQ\w+\] SF0040: .*)/g;
    is_deeply [ map { s/chunk \d+/chunk N/r } @lines ],
        ["[$id] SF0040: content breaks off: its chunk N cannot be read"], '- the log has one line of it, with the id';
}

my @children = $server->children;
sub goes_on {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is $there->afresh->get('/v1/Services')->status, 200, '- the next request is answered';
    is_deeply [ $server->children ], \@children, '- by the same child';
}

{
    my $download = Serverless::Download->begin($there, $version->{content});
    $download->read(1);
    is $api->delete($project->path . "/Assets/$version->{asset_sid}")->status, 204, 'an Asset is deleted while it is read';
    is_broken_off $server, $download, 'an Asset that is deleted during its download is broken off';
    goes_on();
}

for my $case (
    [ 'a chunk is missing',        'DELETE FROM %s WHERE number = 4' ],
    [ 'all from one on are',       'DELETE FROM %s WHERE number >= 4' ],
    [ 'a chunk is too short',      'UPDATE %s SET bytes = substr(bytes, 1, 100) WHERE number = 4' ],
    [ 'a chunk is empty',          q(UPDATE %s SET bytes = '' WHERE number = 4) ],
) {
    my ($what, $damage) = @$case;
    my $damaged = uploaded(substr $large, 0, 6 * $chunk);
    damage($damaged, $damage);
    is_broken_off $server, Serverless::Download->begin($there, $damaged->{content}), $what;
    goes_on();
    is $there->head($damaged->{content})->status, 200, '- HEAD reads none of it';
    my $range = $there->with(Range => 'bytes=0-' . (4 * $chunk - 1))->get($damaged->{content});
    is_deeply [ $range->status, length $range->body ], [ 206, 4 * $chunk ], '- the range before it can be had';
    unlike $server->error_log, qr/SF0040/, '- and neither is complained about';
    is $api->delete($project->path . "/Assets/$damaged->{asset_sid}")->status, 204, '- and the Asset deleted';
}

# The database goes, and comes back.
{
    my $own = own_database('content');
    my ($sid, $token) = $own->connect('postgres')->selectrow_array(
        q(SELECT * FROM serverless.create_account('content')));
    my $other = Serverless::Server->start('own_content',
        Serverless::Server->database(database => $own->name) . Serverless::Server->api);
    my $client = Serverless::Client->client($sid, $token)->at($other->address);
    my @its_children = $other->children;
    my $url = Serverless::Project->new($client)->new_version(kind => 'asset', content => $large)->{url};
    my $close = sub {
        superuser()->do("ALTER DATABASE @{[ $own->name ]} ALLOW_CONNECTIONS $_[0]");
        kill_backends(@{ superuser()->selectcol_arrayref('SELECT pid FROM pg_stat_activity WHERE datname = ?', undef, $own->name) });
    };
    my ($repeated, $broken) = map { Serverless::Download->begin($client, "$url/Content") } 1, 2;
    $_->read(1) for $repeated, $broken;

    $close->('true');
    $repeated->read(length $large);
    ok $repeated->body eq $large, 'PostgreSQL ends its sessions during a download: it goes on';
    $other->error_log;

    $close->('false');
    is_broken_off $other, $broken, 'the database is gone';
    is $client->afresh->get("$url/Content")->status, 503, '- the next request is told 503';
    $close->('true');
    is sha256_hex($client->afresh->get("$url/Content")->body), sha256_hex($large),
        'the Asset can be read whole after PostgreSQL is back';
    is_deeply [ $other->children ], \@its_children, '- by the same child';
    $other->stop;
}

# Other modules may work on the answer; then its length is not announced.
{
    my $other = Serverless::Server->start('compressing',
        Serverless::Server->database . Serverless::Server->api(undef, 'SetOutputFilter DEFLATE'));
    my $client = $api->at($other->address);
    my $text = substr $large, 0, 6 * $chunk;
    my ($whole, $damaged) = map { uploaded($text . $_) } 'whole', 'damaged';
    damage($damaged, 'DELETE FROM %s WHERE number = 4');

    my $reply = $client->undescribed->with('Accept-Encoding' => 'gzip')->get($whole->{content});
    is $reply->header('Content-Encoding'), 'gzip', 'mod_deflate compresses';
    gunzip(\$reply->body => \my $unpacked) or die "gunzip: $GunzipError\n";
    ok $unpacked eq "${text}whole", 'a compressed answer is the whole Asset';

    my $broken = Serverless::Download->begin($client, $damaged->{content}, 'Accept-Encoding: gzip');
    $broken->send("GET /v1/Services HTTP/1.1\r\nHost: x\r\n\r\n"); # it must not be answered in there
    $broken->rest;
    is $broken->header('Transfer-Encoding'), 'chunked', 'a compressed answer of a damaged Asset has no Content-Length';
    ok $broken->body !~ /0\r\n\r\n\z/, 'a compressed answer of a damaged Asset has no last chunk';
    ok $broken->body !~ m{HTTP/1\.1}, 'the connection of a broken-off answer serves no other request';
    is_logged($other, $broken->header('Twilio-Request-Id'));
    $api->delete($project->path . "/Assets/$damaged->{asset_sid}");
    $other->stop;
}

done_testing;
