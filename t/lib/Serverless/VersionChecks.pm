# Uploads of Versions, and the comparison of their answers, for the suites
# t/versions.t, t/function_versions.t and t/asset_versions.t:
#
#   my ($api, $project) = versions_of('asset');   # all functions are about Assets now
#   my $list = new_list();
#   is_version upload($list, $bytes), 201, {}, 'the bytes are uploaded';
package Serverless::VersionChecks;

use strict;
use warnings FATAL => 'all';

use Digest::SHA qw(sha256_hex);
use Exporter qw(import);
use Serverless::Project;
use Serverless::Test;
use Test::More;

our @EXPORT = qw(versions_of new_list last_artifact new_artifact new_version upload is_version links_of is_content
    is_stored rows all_rows bytes_of);

my $CHUNK = 256 * 1024; # bytes in a row of content_chunks

# The kind that the functions are about, its account, its Service, and the artifact of the last new_list.
my ($kind, $api, $project, $service, $artifact);

# Begins with a new account and a new Service, for the kind 'function' or 'asset'.
sub versions_of {
    my ($of) = @_;
    $kind = Serverless::Project::kind($of);
    $api = Serverless::Client->account;
    $project = Serverless::Project->new($api);
    $service = $project->service;
    return ($api, $project);
}

# Creates an artifact and returns the path of its list of Versions, to which Versions are uploaded.
sub new_list {
    $artifact = new_artifact($project);
    return $project->path . "/$kind->{list}/$artifact->{sid}/Versions";
}

# The artifact of the last new_list.
sub last_artifact { $artifact }

# Creates an artifact in a Project.
sub new_artifact { my ($in) = @_; return $in->new_artifact($kind->{key} =~ s/s$//r) }

# Creates a Version in a Project, of a new artifact or of the one given as `artifact`.
sub new_version {
    my ($in, %with) = @_;
    return $in->new_version(artifact => new_artifact($in), %with);
}

# Uploads bytes as the Content of a Version, with the usual Path and Visibility; returns the answer.
sub upload {
    my ($list, $bytes, $type) = @_;
    return $api->upload($list, [ Path => undef, undef, '/hello' ], [ Visibility => undef, undef, 'public' ],
        [ Content => 'f', $type // 'text/plain', $bytes ]);
}

# Compares the whole answer with the usual Version of the last new_list's artifact, changed by the
# properties of $given.
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

# The `links` property: a Function Version has a link to its Content, an Asset Version has no links.
sub links_of {
    my ($url) = @_;
    return $kind->{content_link} ? (links => { $kind->{content_link} => "$url/Content" }) : ();
}

# Fetches a Version's Content and compares it with these bytes: a Function's is text in JSON, an
# Asset's is bytes.
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

# Compares the rows of a Version's content with these bytes: size, hash, and the sizes of the chunks.
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
        push @chunks, $left < $CHUNK ? $left : $CHUNK;
    }
    is_deeply $stored, [ length $bytes, sha256_hex($bytes), @chunks ? "@chunks" : undef ], $name;
}

# The number of rows that a Service has in a table.
sub rows {
    my ($table, $of) = @_;
    return db()->selectrow_array("SELECT count(*) FROM serverless.$table WHERE service_id = ?", undef,
        substr +($of || $service)->{sid}, 2);
}

# The number of rows of Versions and their content, to compare before and after.
sub all_rows { join ' ', map { rows($_) } qw(versions contents content_chunks) }

sub bytes_of { my ($text) = @_; utf8::encode($text); return $text }

1;
