# Assets at an Environment's domain: headers, conditions, ranges, and the files on disk that
# ServerlessAssetCache keeps of them.
use strict;
use warnings FATAL => 'all';

use Apache::Test qw(-withtestmore);
use Digest::SHA qw(hmac_sha1 sha256_hex);
use File::Path qw(remove_tree);
use MIME::Base64 qw(encode_base64);
use Serverless::Database;
use Serverless::Parallel;
use Serverless::Project;
use Serverless::Server;
use Serverless::Test;
use Test::More;

# Whatever happens here, the suites after this one need the database.
END { local $?; database('start') }

my $chunk = 256 * 1024;
my $day = 24 * 60 * 60;
my $TAIL = 'functions.example.com';
my $logs = Serverless::Server->logs;

# A database whose log has each statement, and an account in it.
my $database = own_database('assets');
my $owner = $database->connect('postgres');
$owner->do("ALTER DATABASE @{[ $database->name ]} SET log_statement = 'all'");
my ($sid, $token) = $owner->selectrow_array(q(SELECT * FROM serverless.create_account('assets')));
my $account = Serverless::Client->client($sid, $token);

# An httpd whose domains have this cache, or none, and these further lines.
# One child under prefork, too: a child knows the paths of the Builds that it has served, and writes one line about a
# cache that does not work.
sub server {
    my ($name, $cache, $lines, %option) = @_;
    my $directive = $cache ? "ServerlessAssetCache $cache" : '';
    return Serverless::Server->start($name,
        Serverless::Server->database(database => $database->name) . <<"END" . Serverless::Server->api, %option);
ServerlessDomain    $TAIL
ServerlessExecution On
@{[ Serverless::Server->one_child ]}
$directive
AddType             text/css .css
AddType             text/html .html
AddEncoding         x-gzip .gz
AddHandler          serverless-openapi .css
@{[ $lines // '' ]}
END
}

# Sites ------------------------------------------------------------------------------

# Deploys Assets of [path, content, type, visibility] to a new Service: without a type where it is undefined, public
# where the visibility is. Returns the host name. Any httpd serves it.
my %versions;
my $sites = 0;

sub site {
    my (@assets) = @_;
    my $project = Serverless::Project->new($account, 'site-' . ++$sites);
    my %made;
    for (@assets) {
        my ($path, $content, $type, $visibility) = @$_;
        my $reply = $account->upload($project->path_of($project->new_asset) . '/Versions',
            [ Path => undef, undef, $path ], [ Visibility => undef, undef, $visibility // 'public' ],
            [ Content => 'c', $type, $content ]);
        $made{$path} = Serverless::Project::created($reply);
    }
    my $environment = $project->new_environment('live', 'live');
    $project->deploy($environment, $project->completed(values %made));
    my ($label) = $environment->{domain_name} =~ /^([^.]+)/;
    $versions{"$label.$TAIL"} = \%made;
    return "$label.$TAIL";
}

# The answer of a host to a request.
sub ask {
    my ($server, $host, $line, @headers) = @_;
    return Serverless::Client->client->at($server->address)->undescribed
        ->raw_request("$line HTTP/1.1", host => $host, headers => \@headers);
}

# The Version at a path of a host.
sub version { $versions{ $_[0] }{ $_[1] } }

sub etag { '"' . sha256_hex($_[0]) . '"' }

sub is_content {
    my ($reply, $content, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    ok $reply->status eq 200 && $reply->body eq $content, $name
        or diag sprintf 'status %s, %d bytes', $reply->status, length $reply->body;
}

# These headers of an answer, as a hash; undef for one that it does not have.
my @headers = ('Content-Type', 'Content-Length', 'ETag', 'Cache-Control', 'Accept-Ranges', 'X-Content-Type-Options',
    'Access-Control-Allow-Origin', 'Content-Encoding');
sub headers_of { my ($reply) = @_; return { map { $_ => $reply->header($_) } @headers } }

# How often the chunks of content have been read since the last call, by the database's log.
my $log_end = 0;
sub chunk_reads {
    open my $in, '<', "$ENV{CLUSTER}/postgresql.log" or die "postgresql.log: $!\n";
    seek $in, $log_end, 0;
    local $/;
    my $text = <$in> // '';
    $log_end = tell $in;
    return scalar(() = $text =~ /execute .*\n?.*encode\(k\.bytes, 'hex'\)/g);
}

# Caches -----------------------------------------------------------------------------

my $folders = 0;
sub new_folder {
    my $folder = "$logs/assets" . ++$folders;
    remove_tree($folder);
    return $folder;
}

# The complete files in a cache, and those being written.
sub files { my ($folder) = @_; return grep { !/\.part\z/ } glob "$folder/??/*" }
sub parts { my ($folder) = @_; return glob "$folder/??/*.part" }
sub file_of { my ($folder, $content) = @_; my $sha = sha256_hex($content); return glob "$folder/" . substr($sha, 0, 2) . "/$sha-*" }

sub size_of { my $sum = 0; $sum += -s for @_; return $sum }

sub write_file {
    my ($path, $text) = @_;
    open my $out, '+<', $path or die "$path: $!\n";
    print $out $text;
    close $out or die "$path: $!\n";
}

# Removes the chunks of an Asset, so that only a file can still have its content.
sub remove_chunks { damage(version(@_), 'DELETE FROM %s WHERE true', $owner) }

sub lines_with { my ($number, $log) = @_; return $log =~ /($number\d*: .*)/g }


# One Asset over HTTP ----------------------------------------------------------------

my $text = join '', map { "line $_\n" } 1 .. 500;
my $bytes = pack 'C*', map { $_ % 251 } 1 .. 3000;
my $cache = new_folder();
my $server = server('assets', $cache);
$account = $account->at($server->address);
my $host = site(
    [ '/a.bin', $bytes, 'audio/mpeg' ],
    [ '/empty.txt', '' ],
    [ '/style.css', 'style' ],
    [ '/404.html', 'a page of the site', 'text/html' ],
    [ '/text.txt', $text, 'text/plain' ],
);

for my $source ('the database, the first time', 'the file, the second time') {
    my $reply = ask($server, $host, 'GET /a.bin');
    is_content $reply, $bytes, "GET of an Asset from $source: 200 and its bytes";
    is_deeply headers_of($reply), {
        'Content-Type' => 'audio/mpeg', 'Content-Length' => 3000, ETag => etag($bytes),
        'Cache-Control' => 'public, max-age=0, must-revalidate', 'Accept-Ranges' => 'bytes',
        'X-Content-Type-Options' => 'nosniff', 'Access-Control-Allow-Origin' => '*', 'Content-Encoding' => undef,
    }, "GET of an Asset from $source: its headers";
    my ($date) = $owner->selectrow_array(
        q(SELECT to_char(date_created AT TIME ZONE 'UTC', 'Dy, DD Mon YYYY HH24:MI:SS "GMT"') FROM serverless.versions WHERE id = ?),
        undef, substr version($host, '/a.bin')->{sid}, 2);
    is $reply->header('Last-Modified'), $date, "GET of an Asset from $source: Last-Modified is the Version's date";
}

subtest 'a range of an Asset' => sub {
    my $reply = ask($server, $host, 'GET /a.bin', 'Range: bytes=0-9');
    is_deeply [ $reply->status, $reply->header('Content-Range'), $reply->header('Content-Length'), $reply->body ],
        [ 206, 'bytes 0-9/3000', 10, substr $bytes, 0, 10 ], 'bytes=0-9: 206 and 10 bytes';
    $reply = ask($server, $host, 'GET /a.bin', 'Range: bytes=-1');
    is_deeply [ $reply->status, $reply->body ], [ 206, substr $bytes, -1 ], 'bytes=-1: the last byte';
    is ask($server, $host, 'GET /a.bin', 'Range: bytes=3000-')->status, 416, 'bytes=3000-: 416';
    is ask($server, $host, 'GET /a.bin', 'Range: bytes=0-9', 'If-Range: ' . etag($bytes))->status, 206,
        'If-Range with its ETag: 206';
    is_content ask($server, $host, 'GET /a.bin', 'Range: bytes=0-9', 'If-Range: "other"'), $bytes,
        'If-Range with another ETag: all of it';
    is_content ask($server, $host, 'POST /a.bin', 'Content-Length: 0', 'Range: bytes=0-9'), $bytes,
        'a POST with Range: all of it';
    is_content ask($server, $host, 'POST /a.bin', 'Content-Length: 0', 'If-None-Match: ' . etag($bytes)), $bytes,
        'a POST with If-None-Match: all of it';
};

subtest 'conditions' => sub {
    my $modified = ask($server, $host, 'GET /a.bin')->header('Last-Modified');
    for my $case (
        [ 304, 'If-None-Match: ' . etag($bytes) ],
        [ 304, 'If-None-Match: W/' . etag($bytes) ],
        [ 304, 'If-None-Match: "other", ' . etag($bytes) ],
        [ 304, 'If-None-Match: *' ],
        [ 200, 'If-None-Match: "other"' ],
        [ 304, "If-Modified-Since: $modified" ],
        [ 200, 'If-Modified-Since: Sat, 01 Jan 2000 00:00:00 GMT' ],
        [ 200, 'If-None-Match: "other"', "If-Modified-Since: $modified" ],
        [ 200, 'If-Match: ' . etag($bytes) ],
        [ 412, 'If-Match: "other"' ],
        [ 412, 'If-Unmodified-Since: Sat, 01 Jan 2000 00:00:00 GMT' ],
    ) {
        my ($status, @conditions) = @$case;
        is ask($server, $host, 'GET /a.bin', @conditions)->status, $status, "@conditions: $status";
    }
    my $reply = ask($server, $host, 'GET /a.bin', 'If-None-Match: ' . etag($bytes));
    is $reply->body, '', '304 has no body';
    is_deeply [ map { $reply->header($_) } 'ETag', 'Cache-Control', 'Access-Control-Allow-Origin' ],
        [ etag($bytes), 'public, max-age=0, must-revalidate', '*' ], '304 has ETag, Cache-Control and the CORS header';
};

subtest 'methods' => sub {
    my $reply = ask($server, $host, 'HEAD /a.bin');
    is_deeply [ $reply->status, $reply->header('Content-Length'), $reply->header('ETag'), $reply->body ],
        [ 200, 3000, etag($bytes), '' ], 'HEAD: the headers of a GET';
    $reply = ask($server, $host, 'POST /a.bin', 'Content-Length: 0');
    is_content $reply, $bytes, 'POST answers like GET';
    is $reply->header('ETag'), etag($bytes), 'POST answers like GET: the ETag';
    is_content ask($server, $host, 'GET /empty.txt'), '', 'an empty Asset: 200';
    is ask($server, $host, 'GET /empty.txt')->header('Content-Length'), 0, 'an empty Asset: Content-Length 0';
};

subtest 'a protected Asset' => sub {
    my $host = site([ '/secret.txt', 'secret', 'text/plain', 'protected' ]);
    my ($service, $environment) = $owner->selectrow_array(
        q(SELECT serverless.sid('ZS', service_id), serverless.sid('ZE', id) FROM serverless.environments ORDER BY id DESC));
    for my $variable ([ AUTH_TOKEN => 'f' x 32 ], [ ACCOUNT_SID => $sid ]) {
        my ($key, $value) = @$variable;
        $account->post("/v1/Services/$service/Environments/$environment/Variables", Key => $key, Value => $value)->status == 201
            or die "no $key\n";
    }
    my $signature = 'X-Twilio-Signature: ' . encode_base64(hmac_sha1("https://$host/secret.txt", 'f' x 32), '');
    is ask($server, $host, 'GET /secret.txt')->status, 403, 'without a signature: 403';
    for my $source ('the database', 'the file') {
        my $reply = ask($server, $host, 'GET /secret.txt', $signature);
        is_content $reply, 'secret', "with a signature, from $source: 200";
        is_deeply [ map { $reply->header($_) } 'Cache-Control', 'Access-Control-Allow-Origin', 'X-Content-Type-Options' ],
            [ 'private, no-store', undef, 'nosniff' ], "with a signature, from $source: no cache keeps it, no other site reads it";
    }
    is ask($server, $host, 'GET /secret.txt')->status, 403, 'without a signature, when it has a file: 403';
};


# Types --------------------------------------------------------------------------------

subtest 'Content-Type' => sub {
    my @cases = (
        [ '/said.css',     'text/x-own',               'text/x-own',               undef ],
        [ '/style.css',    'application/octet-stream', 'text/css',                 undef ],
        [ '/none.css',     undef,                      'text/css',                 undef ],
        [ '/page.html.gz', 'application/octet-stream', 'text/html',                'x-gzip' ],
        [ '/unknown.zzz',  'application/octet-stream', 'application/octet-stream', undef ],
        [ '/a/b.d/page',   'application/octet-stream', 'application/octet-stream', undef ],
    );
    my $host = site(map { [ $_->[0], "content of $_->[0]", $_->[1] ] } @cases);
    for my $case (@cases) {
        my ($path, $said, $type, $encoding) = @$case;
        my $reply = ask($server, $host, "GET $path");
        is_content $reply, "content of $path", "$path: no handler of mod_mime's takes it";
        is_deeply [ $reply->header('Content-Type'), $reply->header('Content-Encoding') ], [ $type, $encoding ],
            sprintf '%s, uploaded as %s: %s', $path, $said // 'nothing', $type;
    }
};

# Other modules ------------------------------------------------------------------------

subtest 'directives of httpd and its modules' => sub {
    my $other = server('assets_modules', $cache, <<'END');
SetOutputFilter       DEFLATE
Header                set X-Own own
Header                append Cache-Control s-maxage=5
ServerlessAssetMaxAge 1h
ErrorDocument         404 /404.html
END
    my $reply = ask($other, $host, 'GET /text.txt', 'Accept-Encoding: gzip');
    is $reply->header('Content-Encoding'), 'gzip', 'mod_deflate compresses an Asset';
    is $reply->header('ETag'), etag($text) =~ s/"\z/-gzip"/r, 'mod_deflate changes the ETag';
    is_deeply [ map { $reply->header($_) } 'X-Own', 'Cache-Control' ],
        [ 'own', 'public, max-age=3600, must-revalidate, s-maxage=5' ],
        'mod_headers changes headers; ServerlessAssetMaxAge is max-age in seconds';
    $reply = ask($other, $host, 'GET /nothing');
    is_deeply [ $reply->status, $reply->body ], [ 404, 'a page of the site' ], 'an Asset can be an ErrorDocument';
    $other->stop;

    my ($modules) = `apxs -q LIBEXECDIR` =~ /(.*)/;
    my $expires = server('assets_expires', $cache, <<"END");
LoadModule     expires_module $modules/mod_expires.so
ExpiresActive  On
ExpiresDefault "access plus 1 minute"
<Location "/">
    ForceType text/forced
</Location>
END
    $reply = ask($expires, $host, 'GET /text.txt');
    is $reply->header('Cache-Control'), 'max-age=60', 'mod_expires sets the Cache-Control of a public Asset';
    ok $reply->header('Expires'), 'mod_expires sets Expires';
    is $reply->header('Content-Type'), 'text/plain', 'the type of the upload takes precedence over ForceType';
    is ask($expires, $host, 'GET /style.css')->header('Content-Type'), 'text/forced',
        'ForceType takes precedence over the extension';
    $expires->stop;

    for my $lines ("EnableSendfile On", "EnableSendfile Off\nEnableMMAP Off") {
        my $direct = server('assets_direct', $cache, $lines);
        is_content ask($direct, $host, 'GET /text.txt'), $text, 'an Asset with ' . $lines =~ s/\n/ and /r for 1, 2;
        $direct->stop;
    }
};


# The cache ------------------------------------------------------------------------------

my $letters = 0;
sub fresh_content { my ($size) = @_; my $text = 'content ' . ++$letters . ' '; return substr $text x (1 + $size / length $text), 0, $size }

subtest 'the second request reads nothing from the database' => sub {
    my $content = fresh_content(3 * $chunk + 1);
    my $host = site([ '/three.bin', $content ]);
    is_deeply [ file_of($cache, $content) ], [], 'before the first request there is no file';
    chunk_reads();
    is ask($server, $host, 'HEAD /three.bin')->status, 200, 'a HEAD';
    is chunk_reads(), 0, 'a HEAD reads no chunk';
    is_content ask($server, $host, 'GET /three.bin'), $content, 'the first GET';
    is chunk_reads(), 4, 'the first GET reads each of the four chunks';
    is_content ask($server, $host, 'GET /three.bin'), $content, 'the second GET';
    is ask($server, $host, 'GET /three.bin', "Range: bytes=$chunk-")->body, substr($content, $chunk), 'a range';
    is chunk_reads(), 0, 'the second GET and the range read no chunk';
    is_deeply [ map { [ (stat)[7], (stat)[2] & 07777 ] } file_of($cache, $content) ], [ [ length $content, 0600 ] ],
        'there is one file, for httpd\'s user alone';
    remove_chunks($host, '/three.bin');
    is_content ask($server, $host, 'GET /three.bin'), $content, 'a GET while the database lacks the chunks';
};

subtest 'two httpds share the files' => sub {
    my $content = fresh_content(1000);
    my $host = site([ '/shared.bin', $content ]);
    ask($server, $host, 'GET /shared.bin');
    my $other = server('assets_other', $cache);
    remove_chunks($host, '/shared.bin');
    is_content ask($other, $host, 'GET /shared.bin'), $content, 'a GET at the other httpd';
    $other->stop;
};

subtest 'Services do not share files' => sub {
    my $content = fresh_content(1000);
    my @hosts = map { site([ '/equal.bin', $content ]) } 1, 2;
    ask($server, $hosts[0], 'GET /equal.bin');
    chunk_reads();
    is_content ask($server, $hosts[1], 'GET /equal.bin'), $content, 'the same content in another Service';
    is chunk_reads(), 1, 'it is read from the database: its speed does not tell that another Service has it';
    is scalar(my @two = file_of($cache, $content)), 2, 'each has a file';
};

subtest 'first requests at the same time' => sub {
    my $content = fresh_content(8 * $chunk);
    my $host = site([ '/many.bin', $content ]);
    my $other = server('assets_many', $cache);
    chunk_reads();
    my @right = at_once(sub {
        my $reply = ask($_[0] % 2 ? $server : $other, $host, 'GET /many.bin');
        return $reply->status == 200 && $reply->body eq $content;
    }, 1 .. 50);
    is scalar(grep { $_ } @right), 50, '50 clients of two httpds get the Asset';
    is chunk_reads(), 8, 'each of its eight chunks was read once';
    is_deeply [ parts($cache) ], [], 'no file is left half written';
    is scalar(my @one = file_of($cache, $content)), 1, 'there is one file';
    $other->stop;
};

subtest 'a file that takes long to write' => sub {
    my $content = fresh_content(1000);
    my $host = site([ '/slow.bin', $content ]);
    ask($server, $host, 'HEAD /slow.bin'); # makes no file
    my ($file) = file_of($cache, $content);
    my $sha = sha256_hex($content);
    my ($service) = $owner->selectrow_array('SELECT service_id FROM serverless.versions WHERE id = ?', undef, substr version($host, '/slow.bin')->{sid}, 2);
    my $part = "$cache/" . substr($sha, 0, 2) . "/$sha-$service.part";
    mkdir "$cache/" . substr $sha, 0, 2;
    open my $writer, '>', $part or die "$part: $!\n";
    chmod 0666, $part;
    flock $writer, 6 or die "flock: $!\n"; # LOCK_EX | LOCK_NB, as another httpd's thread has it
    my $begin = Time::HiRes::time();
    is_content ask($server, $host, 'GET /slow.bin'), $content, 'a GET while another writes the file for long';
    my $seconds = Time::HiRes::time() - $begin;
    cmp_ok $seconds, '>', 0.9, 'it waits for a second, and then reads the database itself';
    is_deeply [ file_of($cache, $content) ], [ $part ], 'it does not write the file';
    close $writer;
    is_content ask($server, $host, 'GET /slow.bin'), $content, 'a GET after the writer was killed';
    is_deeply [ file_of($cache, $content) ], [ $part =~ s/\.part\z//r ], 'it writes the file';
};

subtest 'files that are damaged' => sub {
    my $content = fresh_content(2 * $chunk);
    my $host = site([ '/damaged.bin', $content ]);
    ask($server, $host, 'GET /damaged.bin');
    my ($file) = file_of($cache, $content);
    truncate $file, 1000;
    is_content ask($server, $host, 'GET /damaged.bin'), $content, 'a truncated file is written anew';
    is -s $file, length $content, 'the file is whole again';
    write_file($file, 'damaged');
    utime time, time - 2 * $day, $file or die "utime: $!\n";
    is_content ask($server, $host, 'GET /damaged.bin'), $content,
        'a file of the right size, and not checked for a day, is checked and written anew';
    chunk_reads();
    utime time, time - 2 * $day, $file or die "utime: $!\n";
    is_content ask($server, $host, 'GET /damaged.bin'), $content, 'a file that was not checked for a day, and is right';
    is chunk_reads(), 0, 'a file that is right is kept';
    cmp_ok time - (stat $file)[9], '<', 60, 'its check is recorded';
    is_deeply [ lines_with('SF00[0-8]', $server->error_log) ], [], 'the error log has no line about this';
};

subtest 'content that is damaged in the database' => sub {
    my $content = fresh_content(2 * $chunk);
    my $host = site([ '/wrong.bin', $content ]);
    damage(version($host, '/wrong.bin'), 'UPDATE %s SET bytes = overlay(bytes placing \'\x00\' from 1) WHERE number = 1', $owner);
    my $reply = ask($server, $host, 'GET /wrong.bin');
    is $reply->status, 500, 'an Asset whose bytes do not have its hash: 500';
    is scalar(my @lines = lines_with('SF0042', $server->error_log)), 1, 'the error log has a line';
    is_deeply [ file_of($cache, $content) ], [], 'there is no file';
};

subtest 'content that the database lacks' => sub {
    my $content = fresh_content(2 * $chunk);
    my $host = site([ '/gone.bin', $content ]);
    damage(version($host, '/gone.bin'), 'DELETE FROM %s WHERE number = 1', $owner);
    is ask($server, $host, 'GET /gone.bin')->status, 503, 'an Asset of two chunks without the second: 503';
    is_deeply [ file_of($cache, $content) ], [], 'nothing is left of its file';
};

subtest 'the database is away' => sub {
    my @contents = map { fresh_content(1000) } 1, 2;
    my $host = site([ '/known.bin', $contents[0] ], [ '/unknown.bin', $contents[1] ]);
    is_content ask($server, $host, 'GET /known.bin'), $contents[0], 'an Asset before';
    $owner->disconnect;
    database('stop'); # which takes longer than the lease of the route
    is_content ask($server, $host, 'GET /known.bin'), $contents[0], 'an Asset that has a file: 200';
    my $reply = ask($server, $host, 'GET /unknown.bin');
    is_deeply [ $reply->status, $reply->body, $reply->header('ETag'), $reply->header('Cache-Control') ],
        [ 503, "The service is temporarily unavailable.\n", undef, undef ], 'an Asset that has none: 503';
    ok $reply->header('Retry-After'), 'an Asset that has none: Retry-After';
    database('start');
    $owner = $database->connect('postgres');
    ok wait_until { ask($server, $host, 'GET /unknown.bin')->body eq $contents[1] }, 'the database is back';
    $server->error_log;
};

subtest 'the access log' => sub {
    my $log = "$logs/assets_logged_access_log";
    my $logged = server('assets_logged', $cache, qq(LogFormat "%m %U %>s %{serverless-environment}n %{serverless-version}n )
        . qq(%{serverless-asset-source}n %{Twilio-Request-Id}o" notes\nCustomLog "$log" notes));
    my $host = site([ '/logged.bin', fresh_content(1000) ], [ '/empty', '' ]);
    my @ids = map { ask($logged, $host, $_)->header('Twilio-Request-Id') }
        'HEAD /logged.bin', 'GET /logged.bin', 'GET /empty', 'GET /none', 'PUT /logged.bin';
    my ($version, $empty) = map { version($host, $_)->{sid} } '/logged.bin', '/empty';
    my ($environment) = $owner->selectrow_array(q(SELECT serverless.sid('ZE', id) FROM serverless.environments ORDER BY id DESC));
    my @expected = ("HEAD /logged.bin 200 $environment $version database $ids[0]",
        "GET /logged.bin 200 $environment $version cache $ids[1]", "GET /empty 200 $environment $empty - $ids[2]",
        "GET /none 404 $environment - - $ids[3]", "PUT /logged.bin 405 $environment $version - $ids[4]");
    my @lines;
    wait_until {
        open my $in, '<', $log or die "$log: $!\n";
        chomp(@lines = <$in>);
        @lines >= @expected;
    };
    is_deeply \@lines, \@expected, 'each line has the Environment, the Version, the source and the request id';
    $logged->restart;
    my %sum;
    for (lines_with('SF0050', $logged->error_log)) {
        $sum{$1} += $2 while /(assets_\w+)=(\d+)/g;
    }
    is_deeply \%sum, { assets_cached => 1, assets_read => 1 }, 'the counters of the metrics have the same sources';
    $logged->stop;
};

subtest 'more files than the cache may have' => sub {
    my $folder = new_folder();
    my $bounded = server('assets_bounded', "$folder 4194304");
    my $mib = 1024 * 1024;
    my @paths = map { "/$_.bin" } 1 .. 12;
    my %content = map { $_ => fresh_content(3 * $mib / 4) } @paths;
    my $host = site((map { [ $_ => $content{$_} ] } @paths), [ '/large.bin', my $large = fresh_content($mib + 1) ]);
    my $wrong = 0;
    my $most = 0;
    for my $path (@paths, '/1.bin') {
        my $reply = ask($bounded, $host, "GET $path");
        $wrong++ if $reply->status != 200 || $reply->body ne $content{$path};
        my $size = size_of(files($folder));
        $most = $size if $size > $most;
    }
    is $wrong, 0, 'each of 12 Assets of 768 KiB is right with a cache of 4 MiB';
    cmp_ok $most, '<=', 4 * $mib, 'the files never have more than 4 MiB';
    cmp_ok $most, '>=', 3 * $mib, 'the files have nearly 4 MiB';
    is_content ask($bounded, $host, 'GET /large.bin'), $large, 'an Asset of more than a quarter of the cache';
    is_deeply [ file_of($folder, $large) ], [], 'it has no file';
    utime time - 3600, time, file_of($folder, $content{'/1.bin'}) or die "utime: $!\n";
    ask($bounded, $host, "GET $_") for @paths[ 1 .. 3 ];
    is_deeply [ file_of($folder, $content{'/1.bin'}) ], [], 'the file that was not used for the longest time made room';
    is_deeply [ lines_with('SF00[0-8]', $bounded->error_log) ], [], 'the error log has no line about this';
    $bounded->stop;
};


# Without files --------------------------------------------------------------------------

# All Assets of a site are answered as if there were no cache, with one line in the log of the one child.
sub works_without {
    my ($name, $broken, $reason, $folder) = @_;
    subtest $name => sub {
        $broken->error_log;
        my @contents = map { fresh_content($chunk + 1) } 1 .. 3;
        my $host = site(map { [ "/$_.bin", $contents[$_] ] } 0 .. 2);
        for my $i (0 .. 2, 0 .. 2) {
            is_content ask($broken, $host, "GET /$i.bin"), $contents[$i], "GET of Asset $i";
        }
        is ask($broken, $host, 'GET /0.bin', 'Range: bytes=0-9')->body, substr($contents[0], 0, 10), 'a range';
        my @lines = lines_with('SF004', $broken->error_log);
        is scalar @lines, 1, 'the error log has one line' or diag explain \@lines;
        like $lines[0] // '', $reason, 'it has the reason';
        is_deeply [ parts($folder) ], [], 'nothing is left half written';
    };
}

{
    my $none = server('assets_none', undef);
    my $content = fresh_content(2 * $chunk + 1);
    my $host = site([ '/none.bin', $content ]);
    is_content ask($none, $host, 'GET /none.bin'), $content, 'without ServerlessAssetCache, GET' for 1, 2;
    is_deeply [ lines_with('SF00[0-8]', $none->error_log) ], [], 'without ServerlessAssetCache, the error log has no line';
    remove_chunks($host, '/none.bin');
    is ask($none, $host, 'GET /none.bin')->status, 503, 'without ServerlessAssetCache, an Asset without chunks: 503';
    $none->stop;
}

{
    my $folder = new_folder();
    my $broken = server('assets_deleted', $folder);
    rename $folder, "$folder.away" or die "rename: $!\n";
    works_without('the folder was deleted', $broken, qr/SF0041: no file for an Asset.*No such file/, $folder);
    rename "$folder.away", $folder or die "rename: $!\n";
    my $content = fresh_content(1000);
    my $host = site([ '/back.bin', $content ]);
    ok wait_until { ask($broken, $host, 'GET /back.bin'); file_of($folder, $content) },
        'the folder is back: a file is written';
    $broken->stop;

    chmod 0500, $folder;
    $broken = server('assets_readonly', $folder);
    works_without('the folder is read-only', $broken, qr/Permission denied/, $folder);
    $broken->stop;
    chmod 0700, $folder;

    $broken = server('assets_full', $folder, undef, under => [ 'prlimit', '--fsize=200000' ]);
    works_without('the disk is full', $broken, qr/File too large/, $folder);
    $broken->stop;

    open my $file, '>', "$folder.file" or die "$folder.file: $!\n";
    close $file;
    $broken = server('assets_no_folder', "$folder.file");
    works_without('the folder is a file', $broken, qr/Not a directory/, $folder);
    $broken->stop;
}

done_testing;
