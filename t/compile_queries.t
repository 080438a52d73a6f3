# tools/compile-queries refuses a query file that breaks its rules, and says which.
use strict;
use warnings FATAL => 'all';

use Apache::Test qw(-withtestmore);
use File::Path qw(make_path);
use File::Temp qw(tempdir);
use Test::More;

my $compiler = "$ENV{SOURCE}/tools/compile-queries";
my $directory = tempdir(CLEANUP => 1);
make_path("$directory/queries", "$directory/schema");
for my $version ('001_first', '012_last') {
    open my $out, '>', "$directory/schema/$version.sql" or die $!;
}

# Compiles a file of this text; returns what the compiler printed and its exit status.
sub compile {
    my ($to, $text) = @_;
    open my $out, '>', "$directory/queries/file.sql" or die $!;
    print $out $text;
    close $out or die $!;
    my $said = qx('$compiler' '$to' '$directory/queries/file.sql' 2>&1) =~ s/\Q$directory\E\/queries\///gr;
    return ($said, $? >> 8);
}

sub text_of {
    my ($file) = @_;
    open my $in, '<', $file or die "$file: $!\n";
    return do { local $/; <$in> };
}

my $fetch = <<'SQL';
-- Fetches a thing.
-- $1 credential
-- $2 generation
-- $3 service_id
-- $4 service_unique_name
-- $5 thing_id
-- kind: read
PREPARE thing_fetch (text, int, uuid, text, uuid) AS
SELECT 'ok' AS outcome, t.*
  FROM service_scope($1, $2, $3, $4) AS scope
  LEFT JOIN things AS t ON t.service_id = scope.service_id AND t.id = $5;
SQL
my $owned = <<'SQL';
-- Fetches a thing, where the account is known to own the Service.
-- $1 account_id: unused
-- $2 service_id
-- $3 thing_id
-- kind: read
PREPARE thing_fetch_owned (uuid, uuid, uuid) AS
SELECT t.* FROM things AS t WHERE t.service_id = $2 AND t.id = $3;
SQL

subtest 'the forms of a statement' => sub {
    my ($prepared, $status) = compile('--prepare', "$fetch\n$owned");
    is $status, 0, 'the file compiles' or diag $prepared;
    is_deeply [$prepared =~ /^PREPARE (\w+)/mg], [qw(thing_fetch thing_fetch_by_name thing_fetch_owned)],
        'NAME, NAME_by_name and NAME_owned are prepared';
    like $prepared, qr/^PREPARE thing_fetch \(.*?service_scope\(\$1, \$2, \$3, NULL::text\)/ms, 'NAME has no UniqueName';
    like $prepared, qr/^PREPARE thing_fetch_by_name .*?service_scope\(\$1, \$2, NULL::uuid, \$4\)/ms, 'NAME_by_name has no id';

    (my $said, $status) = compile("$directory/made", "$fetch\n$owned");
    is_deeply [$said, $status], ['', 0], 'the tables are written';
    like text_of("$directory/made.h"), qr/^#define SF_SCHEMA_VERSION 12$/m, 'for the last schema file';
    my $table = text_of("$directory/made.c");
    like $table, qr/by_name\[SF_STATEMENT_COUNT\] = \{\s+SF_STATEMENT_THING_FETCH_BY_NAME,\s+SF_STATEMENT_THING_FETCH_BY_NAME,\s+SF_STATEMENT_THING_FETCH_OWNED,\s+\}/,
        'which name the form by name, or the statement itself';
    like $table, qr/owned\[SF_STATEMENT_COUNT\] = \{\s+SF_STATEMENT_THING_FETCH_OWNED,\s+SF_STATEMENT_THING_FETCH_BY_NAME,\s+SF_STATEMENT_THING_FETCH_OWNED,\s+\}/,
        'and the owned form, or the statement itself';
    like $table, qr/t\.service_id = \$2::uuid AND t\.id = \$3::uuid\\n", 3, \{1\}, 0x6\}/,
        'and each statement\'s types, number of parameters, unused ones and uuids';
};

for my $case (
    ['a statement without a kind', $fetch =~ s/^-- kind.*\n//mr, qr/^file\.sql: thing_fetch: no line '-- kind: \.\.\.'$/],
    ['an unknown kind', $fetch =~ s/kind: read/kind: quick/r, qr/^file\.sql: thing_fetch: unknown kind 'quick'$/],
    ['a statement without a description', $fetch =~ s/^-- Fetches.*\n//mr, qr/thing_fetch: the comment does not begin with what/],
    ['a parameter that the comment does not name', $fetch =~ s/^-- \$5.*\n//mr, qr/thing_fetch: the comment has not one line/],
    ['parameters in another order', $fetch =~ s/^(-- \$4.*\n)(-- \$5.*\n)/$2$1/mr, qr/thing_fetch: \$5 is not in order/],
    ['a parameter that the SQL does not use', $fetch =~ s/t\.id = \$5/true/r, qr/thing_fetch: the parameters that the SQL does not use are: '4 5'/],
    ['a parameter that is used but called unused', "$fetch\n" . $owned =~ s/thing_id$/thing_id: unused/mr,
        qr/thing_fetch_owned: the parameters that the SQL does not use are: '1'; the comment says otherwise/],
    ['a parameter without a type', $fetch =~ s/t\.id = \$5/t.id = \$6/r, qr/thing_fetch: \$6 has no type/],
    ['a statement that does not end', $fetch =~ s/;$//mr, qr/^file\.sql: a PREPARE that is not 'PREPARE name \(types\) AS', or/],
    ['one name twice', "$fetch\n$fetch", qr/thing_fetch: the name is there twice/],
    ['an owned form of nothing', $owned, qr/thing_fetch_owned: there is no statement without _owned/],
    ['an owned form with another parameter', "$fetch\n" . $owned =~ s/thing_id/other_id/r, qr/thing_fetch_owned: has other parameters than thing_fetch/],
    ['an owned form with another type', "$fetch\n" . $owned =~ s/uuid, uuid, uuid/uuid, uuid, text/r, qr/thing_fetch_owned: has other parameters than thing_fetch/],
    ['an owned form that writes', "$fetch\n" . $owned =~ s/kind: read/kind: write/r, qr/thing_fetch_owned: one of the two forms is not a read/],
) {
    my ($what, $text, $complaint) = @$case;
    subtest $what => sub {
        my ($said, $status) = compile("$directory/refused", $text);
        isnt $status, 0, 'is refused';
        like $said, $complaint, 'by its place and fault';
        ok !-e "$directory/refused.h", 'and nothing is written' or unlink glob "$directory/refused.*";
    };
}

done_testing;
