# The statements and the schema by themselves, as PostgreSQL sees them: prepared
# and explained with httpd's own rights, over a database that is filled.
use strict;
use warnings FATAL => 'all';

use Apache::Test qw(-withtestmore);
use JSON::PP ();
use Serverless::Test;
use Test::More;

# A database of this suite's own, filled -----------------------------------------

my $name = "serverless_statements_$$";
db()->do("CREATE DATABASE $name");
END {
    local $?;
    db()->do("DROP DATABASE IF EXISTS $name WITH (FORCE)") if $name;
}
for my $command ('schema apply', 'grant serverless_httpd') {
    system("$ENV{SOURCE}/bin/serverless-admin -d 'host=$ENV{DATABASE} dbname=$name user=postgres' $command "
        . '>/dev/null') == 0 or die "serverless-admin $command failed\n";
}
my $owner = Serverless::Test::connect_as('postgres', $name);
my $httpd = Serverless::Test::connect_as('serverless_httpd', $name);

# Gives accounts of this name so many Services each, and those so many Functions.
sub fill {
    my ($accounts, $services, $functions) = @_;
    $owner->do(<<'SQL', undef, $services, $accounts);
INSERT INTO serverless.services
SELECT (s.fresh).id, a.id, 'service-' || s.n, 'Service ' || s.n, true, false,
       'service-' || s.n || '-' || a.id, (s.fresh).made, (s.fresh).made
  FROM serverless.accounts AS a,
       LATERAL (SELECT a.id AS account, n, serverless.new_identity() AS fresh
                  FROM generate_series(1, ?::int) AS n OFFSET 0) AS s
 WHERE a.friendly_name = ?
SQL
    $owner->do(<<'SQL', undef, $functions, $accounts);
INSERT INTO serverless.functions
SELECT s.id, (f.fresh).id, 'Function ' || f.n, (f.fresh).made, (f.fresh).made
  FROM serverless.services AS s JOIN serverless.accounts AS a ON a.id = s.account_id,
       LATERAL (SELECT s.id AS service, n, serverless.new_identity() AS fresh
                  FROM generate_series(1, ?::int) AS n OFFSET 0) AS f
 WHERE a.friendly_name = ?
SQL
}

# An account with 3,000 Services, and 10,000 Functions in one of them; many others,
# small or idle.
my ($account) = $owner->selectrow_array(q(SELECT account_sid FROM serverless.create_account('large')));
my $account_id = substr $account, 2; # PostgreSQL reads it without dashes, too
$owner->do(q(SELECT serverless.create_account('idle') FROM generate_series(1, 4000)));
$owner->do(q(SELECT serverless.create_account('small') FROM generate_series(1, 400)));
fill('small', 2, 25);
fill('large', 3000, 1);
my $service = newest('services', "account_id = '$account_id'");
my $function = newest('functions', "service_id = '$service'");
$owner->do(<<'SQL', undef, $service);
INSERT INTO serverless.functions
SELECT ?, (f.fresh).id, 'Function ' || f.n, (f.fresh).made, (f.fresh).made
  FROM (SELECT n, serverless.new_identity() AS fresh FROM generate_series(1, 10000) AS n OFFSET 0) AS f
SQL
$owner->do('VACUUM ANALYZE');

sub newest {
    my ($table, $condition) = @_;
    return $owner->selectrow_array("SELECT id FROM serverless.$table WHERE $condition ORDER BY id DESC LIMIT 1");
}

# The row that so many newer ones precede.
sub row_at {
    my ($table, $condition, $position) = @_;
    return $owner->selectrow_array(
        "SELECT id FROM serverless.$table WHERE $condition ORDER BY id DESC LIMIT 1 OFFSET $position");
}


# Every statement, with what it is run with here ------------------------------------

my $latest = 'ffffffff-ffff-ffff-ffff-ffffffffffff';
my $deep_function = row_at('functions', "service_id = '$service'", 9000);
my $deep_service = row_at('services', "account_id = '$account_id'", 2900);
my @by_sid = ($account, 1, $service, undef);
my @by_name = ($account, 1, undef, 'service-2000');
my %examples = (
    session_begin     => [[]],
    credential_secret => [[$account]],
    credential_check  => [[$account, 1], [$account, undef]],
    service_create    => [[$account, 1, 'new', 'New', undef, 'f'], [$account, 1, 'service-1', 'Taken', undef, undef]],
    service_fetch     => [[@by_sid], [@by_name]],
    service_list      => [[$account, 1, $latest, undef, 50], [$account, 1, $latest, $deep_service, 50],
                          [$account, 1, $deep_service, undef, 50]],
    service_update    => [[@by_sid, 'Renamed', undef, undef], [@by_name, undef, 't', 'f']],
    service_delete    => [[@by_sid], [@by_name]],
    function_create   => [[@by_sid, 'New'], [@by_name, 'New']],
    function_fetch    => [[@by_sid, $function], [@by_name, $function]],
    function_list     => [[@by_sid, $latest, undef, 50], [@by_sid, $latest, $deep_function, 50],
                          [@by_sid, $deep_function, undef, 50], [@by_name, $latest, undef, 50]],
    function_update   => [[@by_sid, $function, 'Renamed'], [@by_name, $function, 'Renamed']],
    function_delete   => [[@by_sid, $function], [@by_name, $function]],
);

# One row, and a handful: nothing is gained by an index.
my %small = map { $_ => 1 } qw(settings schema_migrations);

my @statements;
for my $file (sort glob "$ENV{SOURCE}/sql/queries/*.sql") {
    open my $in, '<', $file or die "$file: $!\n";
    my $text = do { local $/; <$in> };
    my @found = $text =~ /^(PREPARE .*?;)$/msg;
    for my $sql (@found) {
        my ($statement) = $sql =~ /^PREPARE (\w+)/;
        push @statements, $statement;
        ok eval { $httpd->do($sql, { pg_direct => 1 }); 1 }, "httpd's role prepares $statement" or diag $@;
        unlike $sql, qr/\bOFFSET\b/i, 'which has no OFFSET';
    }
}
is_deeply [sort @statements], [sort keys %examples], 'every statement has its examples here';

sub execute {
    my ($statement, $values) = @_;
    my $list = join ', ', map { defined $_ ? $httpd->quote($_) : 'NULL' } @$values;
    return "EXECUTE $statement" . (@$values ? "($list)" : '');
}

# The nodes of a plan, outermost first.
sub plan_of {
    my ($options, $statement, $values) = @_;
    my ($text) = $httpd->selectrow_array(
        "EXPLAIN ($options, FORMAT JSON) " . execute($statement, $values), { pg_direct => 1 });
    my $plan = JSON::PP::decode_json($text)->[0]{Plan};
    my @nodes = ($plan);
    for (my $i = 0; $i < @nodes; $i++) {
        push @nodes, @{ $nodes[$i]{Plans} || [] };
    }
    return @nodes;
}


# Plans -----------------------------------------------------------------------------

# The plan that serves every parameter is the one that a long session comes to.
$httpd->do('SET plan_cache_mode = force_generic_plan');

for my $statement (sort keys %examples) {
    for my $values (@{ $examples{$statement} }) {
        my $call = execute($statement, $values);
        my @nodes = plan_of('COSTS OFF', $statement, $values);
        my @slow = map { "$_->{'Node Type'} on " . ($_->{'Relation Name'} || 'rows') }
            grep { $_->{'Node Type'} =~ /Seq Scan|Sort|Bitmap/ && !$small{ $_->{'Relation Name'} || '' } } @nodes;
        is_deeply \@slow, [], "$call reads by index, in its order";
    }
}

# What EXPLAIN does not see: functions of the schema, and the cascade of a deletion.
for my $statement (sort keys %examples) {
    for my $values (@{ $examples{$statement} }) {
        my $call = execute($statement, $values);
        $httpd->begin_work;
        my ($outcome) = $httpd->selectrow_array($call, { pg_direct => 1 });
        my $scanned = $httpd->selectcol_arrayref(
            q(SELECT relname FROM pg_stat_xact_user_tables WHERE schemaname = 'serverless' AND seq_scan > 0));
        $httpd->rollback;
        ok defined $outcome, "$call answers";
        is_deeply [grep { !$small{$_} } @$scanned], [], 'and scans no table';
    }
}

for my $case (
    ['service_list',  'services',  qr/account_id = .*\(id <= COALESCE/],
    ['function_list', 'functions', qr/service_id = .*\(\w*\.?id <= COALESCE/],
) {
    my ($statement, $table, $range) = @$case;
    my ($page) = grep { ($_->{'Relation Name'} || '') eq $table && ($_->{'Scan Direction'} || '') eq 'Backward' }
        plan_of('COSTS OFF', $statement, $examples{$statement}[0]);
    like $page->{'Index Cond'}, $range, "$statement is a range of an index, read backwards";
}

sub buffers {
    my ($top) = plan_of('ANALYZE, BUFFERS', @_);
    return $top->{'Shared Hit Blocks'} + $top->{'Shared Read Blocks'};
}

# A deep page begins on one leaf of the index and may end on another. The way back
# reads the keys of the page before it reads the page.
for my $statement ('function_list', 'service_list') {
    my ($first, $back, $deep) = map { buffers($statement, $_) } @{ $examples{$statement} };
    cmp_ok $deep, '<=', $first + 2, "$statement: a page deep in the list costs what the first costs";
    cmp_ok $back, '<=', $first + 2 + 51, 'and one on the way back little more';
}

is_deeply $owner->selectcol_arrayref(<<'SQL', { pg_direct => 1 }), [], 'every foreign key has an index that begins with it';
SELECT c.conrelid::regclass || ': ' || c.conname
  FROM pg_constraint AS c
 WHERE c.contype = 'f' AND c.connamespace = 'serverless'::regnamespace
   AND NOT EXISTS (
           SELECT FROM pg_index AS i
            WHERE i.indrelid = c.conrelid AND i.indisvalid AND i.indpred IS NULL
              AND (i.indkey::int2[])[0:cardinality(c.conkey) - 1] @> c.conkey)
SQL
cmp_ok scalar $owner->selectrow_array(
    q(SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND connamespace = 'serverless'::regnamespace)),
    '>=', 3, 'and there are some';


# What httpd may do ----------------------------------------------------------------------

my %tables = map { $_->[0] => $_->[1] } @{ $owner->selectall_arrayref(<<'SQL') };
SELECT c.relname, coalesce(string_agg(p.privilege, ' ' ORDER BY p.n)
           FILTER (WHERE has_table_privilege('serverless_httpd', c.oid, p.privilege)), '')
  FROM pg_class AS c,
       unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER'])
           WITH ORDINALITY AS p (privilege, n)
 WHERE c.relnamespace = 'serverless'::regnamespace AND c.relkind IN ('r', 'v', 'm', 'p', 'S')
 GROUP BY c.relname
SQL
is_deeply \%tables, {
    accounts          => 'SELECT',
    credentials       => 'SELECT',
    executable        => '',
    functions         => 'SELECT INSERT UPDATE DELETE',
    grantees          => '',
    principals        => 'SELECT',
    privileges        => '',
    schema_migrations => 'SELECT',
    services          => 'SELECT INSERT UPDATE DELETE',
    settings          => 'SELECT',
}, 'httpd\'s role may do this to tables, and no more';

is_deeply $owner->selectcol_arrayref(<<'SQL'),
SELECT p.proname FROM pg_proc AS p
 WHERE p.pronamespace = 'serverless'::regnamespace
   AND has_function_privilege('serverless_httpd', p.oid, 'EXECUTE') ORDER BY p.proname COLLATE "C"
SQL
    [qw(account_scope create_service epoch function_resource new_identity outcome service_resource
        service_scope sid)], 'and may call these functions';

is_deeply $owner->selectcol_arrayref(<<'SQL'), [],
SELECT p.oid::regprocedure::text FROM pg_proc AS p
 WHERE p.pronamespace = 'serverless'::regnamespace
   AND (p.prosecdef OR has_function_privilege('public', p.oid, 'EXECUTE'))
SQL
    'no function runs with its owner\'s rights, or is open to everybody';

for my $forbidden (
    q(SELECT serverless.create_account('mine')),
    qq(SELECT serverless.create_api_key('$account', 'mine')),
    qq(SELECT serverless.rotate_auth_token('$account')),
    qq(SELECT serverless.suspend_account('$account')),
    q(SELECT serverless.grant_access('public')),
    q(SELECT serverless.new_secret()),
    q(INSERT INTO serverless.accounts VALUES (gen_random_uuid(), 'mine', now())),
    q(UPDATE serverless.accounts SET date_suspended = NULL),
    q(UPDATE serverless.credentials SET secret_hash = sha256('mine')),
    q(DELETE FROM serverless.credentials),
    q(UPDATE serverless.settings SET page_token_key = sha256('mine')),
    q(INSERT INTO serverless.schema_migrations VALUES (99, 'mine')),
    q(TRUNCATE serverless.functions),
    q(ALTER TABLE serverless.functions DISABLE TRIGGER USER),
    q(CREATE TABLE serverless.mine ()),
    q(CREATE FUNCTION serverless.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'),
    q(DROP TABLE serverless.functions),
) {
    eval { $httpd->do($forbidden, { pg_direct => 1 }) };
    is $httpd->state, '42501', "httpd may not: $forbidden";
}


# Names and dates ---------------------------------------------------------------------------

my $made = $httpd->selectall_arrayref(<<'SQL');
SELECT replace((fresh.identity).id::text, '-', ''),
       lpad(to_hex((extract(epoch FROM (fresh.identity).made) * 1000000)::bigint), 14, '0')
  FROM (SELECT serverless.new_identity() AS identity FROM generate_series(1, 10000) OFFSET 0) AS fresh
SQL
my @ids = map { $_->[0] } @$made;
my %seen = map { $_ => 1 } @ids;
is scalar keys %seen, 10000, 'ten thousand identities: no two are the same';
is_deeply [grep { substr($_->[0], 0, 14) ne $_->[1] } @$made], [], 'each begins with the microseconds of its date';
is_deeply [map { substr $_, 0, 14 } @ids], [sort map { substr $_, 0, 14 } @ids], 'which ascend';

my @ones = (0) x 72;
for my $id (@ids) {
    my @bits = split //, unpack 'B72', pack 'H18', substr $id, 14;
    $ones[$_] += $bits[$_] for 0 .. $#bits;
}
is_deeply [grep { $_ < 4700 || $_ > 5300 } @ones], [], 'and each of the 72 bits after them is random';

my @one_by_one = map { $httpd->selectrow_array('SELECT (serverless.new_identity()).id') } 1 .. 50;
is_deeply \@one_by_one, [sort @one_by_one], 'later statements make later identities';

$_->disconnect for $owner, $httpd;
done_testing;
