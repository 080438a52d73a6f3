# What the Path of a Version may be: which characters, all of Unicode through; that docs/openapi.yaml says
# the same; and that what was stored under other rules stays what it is.
use strict;
use warnings FATAL => 'all';
no warnings 'nonchar';

use Apache::Test qw(-withtestmore);
use Serverless::OpenAPI;
use Serverless::Project;
use Serverless::Test;
use Test::More;

my $api = Serverless::Client->account;
my $project = Serverless::Project->new($api);
my $function = $project->create($project->path . '/Functions', FriendlyName => 'paths');
my $schema = Serverless::OpenAPI::at('#/components/schemas/UploadPath');

sub is_described { my ($path) = @_; return !Serverless::OpenAPI::violations($schema, $path, 'Path') }

sub upload {
    my ($path) = @_;
    utf8::encode($path);
    return $api->upload($function->{url} . '/Versions', [ Path => undef, undef, $path ],
        [ Visibility => undef, undef, 'public' ], [ Content => undef, undef, '' ]);
}


# Characters -----------------------------------------------------------------------

# What Unicode says of a character, as far as this Perl knows.
my $invisible = qr/[\p{Cc}\p{Cf}\p{Zs}\p{Zl}\p{Zp}\p{White_Space}\p{Default_Ignorable_Code_Point}\p{Noncharacter_Code_Point}]/;
my $pattern = qr/$schema->{pattern}/;
my (@edges, @wrong);
my $before = 0;
for my $code (0x21 .. 0xd7ff, 0xe000 .. 0x10ffff) {
    my $character = chr $code;
    my $refused = "/a$character" !~ $pattern;
    if ($code > 0x7e) {
        my $should = $character =~ $invisible;
        # one that comes with a later version of Unicode may be refused now
        push @wrong, sprintf 'U+%04X', $code if $refused ? !$should && $character !~ /\p{Cn}/ : $should;
    }
    push @edges, $code - 1, $code if $refused != $before;
    $before = $refused;
}
is_deeply \@wrong, [], 'docs/openapi.yaml refuses what cannot be seen, and no other letter';
ok @edges > 100, 'that begins and ends at many places';

subtest 'the server draws the same line' => sub {
    my %seen;
    for my $code (grep { !$seen{$_}++ && ($_ < 0xd800 || $_ > 0xdfff) } 1, 0x20, @edges, 0x10ffff) {
        next if $code == 0x2f; # a slash, of which below
        my $path = '/a' . chr $code;
        my $reply = upload($path);
        my $name = sprintf 'U+%04X', $code;
        if (is_described($path)) {
            is_deeply [$reply->status, $reply->json->{path}], [201, $path], "$name is taken";
        }
        else {
            my $shown = $code > 0x20 && $code < 0x7f ? ' (' . chr($code) . ')' : '';
            is_error $reply, 400, 20001, "Path must not contain $name$shown", "$name is refused";
        }
    }
};


# Segments -----------------------------------------------------------------------------

subtest 'segments' => sub {
    for my $path (map { ($_, "/$_") } '', 'a', 'a/b', '.a', '..a', 'a..', '...', 'a/.../b', '%2e%2e/a', 'a%2fb', 'a%00',
        '/', '/a', 'a/', 'a//b', '.', '..', './a', '../a', 'a/.', 'a/..', 'a/../b', 'a/./b', '../../etc/passwd') {
        next if $path eq ''; # is missing
        is upload($path)->status, is_described($path) ? 201 : 400, quoted($path) . (is_described($path) ? '' : ' is refused');
    }
};


# What was stored before -----------------------------------------------------------------

subtest 'a path of before stays what it is' => sub {
    my $old = $project->new_version;
    my $path = "//a/../\x{202e}line\x{2028}and\x{2029}paragraph"; # with the ends of lines that JavaScript knows
    my ($sid) = db()->selectrow_array(<<'SQL', undef, $path, substr $old->{sid}, 2);
INSERT INTO serverless.versions
SELECT service_id, kind, artifact_id, identity.id, ?, visibility, content_type, content_sha256, identity.made
  FROM serverless.versions AS v, serverless.new_identity() AS identity WHERE v.id = ?
RETURNING serverless.sid('ZN', id)
SQL
    my $list = $old->{url} =~ s{/[^/]+$}{}r;
    my $expected = { %$old, sid => $sid, path => $path, date_created => date,
        url => "$list/$sid", links => { function_version_content => "$list/$sid/Content" } };
    is_reply $api->get("$list/$sid"), 200, $expected, 'fetched';
    is $api->get($list)->json->{function_versions}[0]{path}, $expected->{path}, 'listed';
    my $build = $project->completed($expected);
    is $build->{function_versions}[0]{path}, $expected->{path}, 'built';
    is $project->deploy($project->new_environment, $build)->{build_sid}, $build->{sid}, 'and deployed';
};

done_testing;
