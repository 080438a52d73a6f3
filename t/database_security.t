# What a role may do in the database that was given only a duty there: httpd's
# role, and the one that adds entries to logs. Whatever such a session makes and
# sets, it gets no further; and what httpd's role may write is told column by
# column.
use strict;
use warnings FATAL => 'all';

use Apache::Test qw(-withtestmore);
use Serverless::Database;
use Serverless::Server;
use Serverless::Test;
use Test::More;

my $RIGHTS = '42501'; # insufficient_privilege
my $OWNER = 'serverless_owner';
my $HTTPD = 'serverless_httpd';
my $EXECUTOR = "executor_$$";
my $BOTH = "both_duties_$$";
my $OTHER = "application_$$";
superuser()->do("CREATE ROLE $_") for $EXECUTOR, $BOTH, $OTHER;

my @databases; # they end before the roles do
END {
    local $?;
    @databases = ();
    superuser()->do("DROP ROLE $_") for $EXECUTOR, $BOTH, $OTHER;
}

# serverless-admin on a database as a role: its exit status and all it says.
sub administer {
    my ($name, $role, $command) = @_;
    my $said = `$ENV{SOURCE}/bin/serverless-admin -d 'host=$ENV{DATABASE} dbname=$name user=$role' $command 2>&1`;
    return ($? >> 8, $said);
}

sub is_administered {
    my ($name, $role, $command) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is_deeply [administer($name, $role, $command)], [0, ''], "serverless-admin $command, as $role";
}

# A database where three roles have been given duties.
sub database_with_roles {
    my ($purpose) = @_;
    my $database = own_database($purpose);
    is_administered($database->name, $OWNER, $_)
        for "grant-executor $EXECUTOR", "grant $BOTH", "grant-executor $BOTH";
    push @databases, $database;
    return $database;
}

# A session on it as a role.
sub session_of {
    my ($database, $role) = @_;
    return $database->connect($role) if $role =~ /^(?:$OWNER|$HTTPD|postgres)$/;
    my $session = $database->connect('postgres');
    $session->do("SET SESSION AUTHORIZATION $role");
    return $session;
}

# The SQLSTATE that a statement ends with; '' is success.
sub state_of {
    my ($db, $sql) = @_;
    return eval { $db->do($sql); 1 } ? '' : $db->state;
}

sub column { my ($db, $sql, @values) = @_; return $db->selectcol_arrayref($sql, undef, @values) }


# The schema's owner -------------------------------------------------------------

is_deeply superuser()->selectrow_hashref(<<'SQL', undef, $OWNER), {
SELECT rolsuper::int, rolcreaterole::int, rolcreatedb::int, rolreplication::int, rolbypassrls::int,
       (SELECT count(*) FROM pg_auth_members WHERE member = r.oid) AS memberships
  FROM pg_roles AS r WHERE rolname = ?
SQL
    rolsuper => 0, rolcreaterole => 0, rolcreatedb => 0, rolreplication => 0, rolbypassrls => 0, memberships => 0,
}, 'the owner of the schema is an ordinary role';

# Who owns the schema and what is in it.
my $OWNERS = <<'SQL';
SELECT DISTINCT owner::regrole::text
  FROM (SELECT nspowner FROM pg_namespace WHERE nspname = 'serverless'
         UNION SELECT relowner FROM pg_class WHERE relnamespace = 'serverless'::regnamespace
         UNION SELECT proowner FROM pg_proc WHERE pronamespace = 'serverless'::regnamespace
         UNION SELECT typowner FROM pg_type WHERE typnamespace = 'serverless'::regnamespace) AS thing (owner)
 ORDER BY 1
SQL
is_deeply column(superuser(), $OWNERS), [$OWNER], 'to which all of it belongs';


# Where functions look for names ---------------------------------------------------

my $functions = db()->selectall_arrayref(<<'SQL', { Slice => {} });
SELECT p.oid::regprocedure::text AS signature, p.proname AS name, p.prosecdef::int AS is_definer,
       (p.prorettype = 'trigger'::regtype)::int AS is_trigger, l.lanname AS language,
       (SELECT string_agg(setting, '; ') FROM unnest(p.proconfig) AS setting
         WHERE setting LIKE 'search\_path=%') AS search_path,
       EXISTS (SELECT FROM serverless.executable AS e WHERE e.function = p.proname AND e.duty = 'httpd')::int
           AS is_called_by_httpd
  FROM pg_proc AS p JOIN pg_language AS l ON l.oid = p.prolang
 WHERE p.pronamespace = 'serverless'::regnamespace
 ORDER BY 1
SQL
my $SAFE = 'search_path=pg_catalog, pg_temp';
ok 5 <= grep({ $_->{is_definer} } @$functions), 'there are functions that run with their owner\'s rights';
for my $function (@$functions) {
    my $may_be_inlined = $function->{language} eq 'sql' && !$function->{is_definer} && $function->{is_called_by_httpd};
    is $function->{search_path}, $may_be_inlined ? undef : $SAFE,
        "$function->{signature} " . ($may_be_inlined ? 'is inlined' : "has $SAFE");
}


# Attacks ------------------------------------------------------------------------------

# A role's own schema, in which everything has the name of something of PostgreSQL's, does what that does,
# and notes in whose name it was called.
my $TRAPS = <<'SQL';
CREATE FUNCTION attacker.note() RETURNS boolean LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    PERFORM set_config('attack.caught',
                       coalesce(current_setting('attack.caught', true), '') || ' ' || current_user, false);
    RETURN true;
END
$$;

DO $do$
DECLARE
    thing record;
BEGIN
    FOR thing IN SELECT typname FROM pg_type
                  WHERE typname IN ('uuid', 'text', 'bytea', 'json', 'timestamptz', 'interval', 'name') LOOP
        EXECUTE format('CREATE DOMAIN pg_temp.%1$I AS pg_catalog.%1$I CHECK (attacker.note())', thing.typname);
        EXECUTE format('CREATE DOMAIN attacker.%1$I AS pg_catalog.%1$I CHECK (attacker.note())', thing.typname);
    END LOOP;

    FOR thing IN SELECT p.proname, pg_get_function_identity_arguments(p.oid) AS arguments, p.prorettype::regtype AS result,
                        (SELECT string_agg('$' || n, ', ') FROM generate_series(1, p.pronargs) AS n) AS passed
                   FROM pg_proc AS p
                  WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.prokind = 'f' AND NOT p.proretset
                    AND p.provariadic = 0
                    AND p.prorettype NOT IN ('internal'::regtype, 'anyelement'::regtype, 'anycompatible'::regtype)
                    AND p.proname IN ('gen_random_uuid', 'clock_timestamp', 'replace', 'left', 'right', 'substr', 'char_length',
                                      'octet_length', 'sha256', 'encode', 'decode', 'lpad', 'date_part', 'pg_trigger_depth',
                                      'jsonb_build_object', 'repeat', 'length', 'split_part', 'upper', 'lower') LOOP
        EXECUTE format('CREATE FUNCTION attacker.%I(%s) RETURNS %s LANGUAGE plpgsql AS '
                       '''BEGIN PERFORM attacker.note(); RETURN pg_catalog.%I(%s); END''',
                       thing.proname, thing.arguments, thing.result, thing.proname, thing.passed);
    END LOOP;

    FOR thing IN SELECT o.oprname, o.oprleft::regtype AS a, o.oprright::regtype AS b, o.oprresult::regtype AS result, o.oid
                   FROM pg_operator AS o
                  WHERE o.oprnamespace = 'pg_catalog'::regnamespace
                    AND o.oprname IN ('=', '<>', '<', '>', '<=', '>=', '||', '~', '!~', '-', '+', '*')
                    AND o.oprleft IN ('uuid'::regtype, 'text'::regtype, 'bytea'::regtype, 'int4'::regtype, 'int8'::regtype,
                                      'timestamptz'::regtype, 'xid'::regtype, 'bool'::regtype)
                    AND o.oprright IN ('uuid'::regtype, 'text'::regtype, 'bytea'::regtype, 'int4'::regtype, 'int8'::regtype,
                                       'timestamptz'::regtype, 'interval'::regtype, 'xid'::regtype) LOOP
        EXECUTE format('CREATE FUNCTION attacker.o%s(a %s, b %s) RETURNS %s LANGUAGE plpgsql '
                       'AS ''BEGIN PERFORM attacker.note(); RETURN a OPERATOR(pg_catalog.%s) b; END''',
                       thing.oid, thing.a, thing.b, thing.result, thing.oprname);
        EXECUTE format('CREATE OPERATOR attacker.%s (LEFTARG = %s, RIGHTARG = %s, FUNCTION = attacker.o%s)',
                       thing.oprname, thing.a, thing.b, thing.oid);
    END LOOP;
END
$do$;

-- an enum's own operators are those of all enums, so that these come first in any order
CREATE FUNCTION attacker.same(a serverless.artifact_kind, b serverless.artifact_kind) RETURNS pg_catalog.bool
LANGUAGE plpgsql AS $$ BEGIN PERFORM attacker.note(); RETURN a OPERATOR(pg_catalog.=) b; END $$;
CREATE OPERATOR attacker.= (LEFTARG = serverless.artifact_kind, RIGHTARG = serverless.artifact_kind, FUNCTION = attacker.same);

-- tables without a schema, of which triggers have two
CREATE TEMP VIEW gone AS SELECT NULL::pg_catalog.uuid AS service_id, NULL::pg_catalog.bytea AS content_sha256 WHERE attacker.note();
CREATE TEMP VIEW added AS
SELECT NULL::pg_catalog.uuid AS service_id, NULL::pg_catalog.uuid AS build_id, NULL::pg_catalog.uuid AS version_id
 WHERE attacker.note();
SQL

# What a session can set for itself, with a value that is not the usual one.
my @SETTINGS = ("DateStyle = 'SQL, DMY'", "IntervalStyle = 'sql_standard'", "TimeZone = 'Pacific/Chatham'", "bytea_output = 'escape'",
    'extra_float_digits = -15', 'transform_null_equals = on', 'quote_all_identifiers = on', 'array_nulls = off',
    'standard_conforming_strings = off', "backslash_quote = 'on'", 'escape_string_warning = off', "xmloption = 'document'",
    "default_transaction_isolation = 'serializable'", 'check_function_bodies = off', 'row_security = off',
    'search_path = attacker, pg_temp, pg_catalog');

my $unique = 0;

# A Service with a deployed Build, and another Function with content of its own; made by the owner.
sub make_scene {
    my ($owner) = @_;
    my %is;
    my ($account_sid) = $owner->selectrow_array(q(SELECT account_sid FROM serverless.create_account('a')));
    ($is{account}) = $owner->selectrow_array('SELECT serverless.account_id(?)', undef, $account_sid);
    my $name = 'scene-' . ++$unique;
    ($is{service}) = $owner->selectrow_array('SELECT (serverless.create_service(?, ?, ?, true, false)).id', undef,
        $is{account}, $name, $name);
    for my $part (qw(deployed free)) {
        ($is{"${part}_function"}) = $owner->selectrow_array(<<'SQL', undef, $is{service});
INSERT INTO serverless.artifacts SELECT ?, 'function', id, 'f', made, made FROM serverless.new_identity() RETURNING id
SQL
        ($is{"${part}_version"}) = $owner->selectrow_array(<<'SQL', undef, $part, $is{service}, $is{"${part}_function"}, "/$part");
WITH content AS (SELECT convert_to(?, 'UTF8') AS bytes)
SELECT (v.version).id
  FROM content, serverless.create_version(?, 'function', ?, ?, 'public', 'text/plain', sha256(content.bytes),
                                          octet_length(content.bytes), encode(content.bytes, 'base64')) AS v
SQL
    }
    ($is{build}) = $owner->selectrow_array(q(SELECT (build).id FROM serverless.create_build(?, ?, ARRAY[?::uuid], '{}', 'node22', '[]')),
        undef, @is{qw(account service deployed_version)});
    $owner->do(q(UPDATE serverless.builds SET status = 'completed' WHERE id = ?), undef, $is{build});
    ($is{environment}) = $owner->selectrow_array(q(SELECT (environment).id FROM serverless.create_environment(?, 'e', 'e')),
        undef, $is{service});
    return \%is;
}

# What a role can do that fires triggers, cascades, or functions that run as the owner.
my %ACTIONS = (
    executor => [
        q(SELECT serverless.add_log(pg_catalog.concat('ZE', pg_catalog.replace(:environment::pg_catalog.text, '-', '')),
              pg_catalog.concat('ZH', pg_catalog.replace(:free_function::pg_catalog.text, '-', '')), 'info', 'm',
              at => '2026-01-01 00:00:00Z'::pg_catalog.timestamptz)),
    ],
    httpd => [
        q(SELECT serverless.add_logs(pg_catalog.jsonb_build_array(pg_catalog.jsonb_build_object(
              'sid', pg_catalog.concat('NO', pg_catalog.repeat('0', 32)),
              'service_sid', pg_catalog.concat('ZS', pg_catalog.replace(:service::pg_catalog.text, '-', '')),
              'environment_sid', pg_catalog.concat('ZE', pg_catalog.replace(:environment::pg_catalog.text, '-', '')),
              'build_sid', pg_catalog.concat('ZB', pg_catalog.replace(:build::pg_catalog.text, '-', '')),
              'function_sid', pg_catalog.concat('ZH', pg_catalog.replace(:free_function::pg_catalog.text, '-', '')),
              'request_sid', pg_catalog.concat('RQ', pg_catalog.repeat('0', 32)), 'level', 'INFO', 'message', 'm')))),
        'SELECT serverless.new_identity()',
        q(SELECT serverless.create_build(:account, :service, ARRAY[:deployed_version::pg_catalog.uuid], '{}', 'node22', '[]')),
        'SELECT serverless.claim_build(1, 3)',
        q(INSERT INTO serverless.bundles VALUES (:service, pg_catalog.sha256('b'), 3, pg_catalog.sha256('c'))),
        q(INSERT INTO serverless.bundle_chunks VALUES (:service, pg_catalog.sha256('b'), 0, 'abc')),
        q(INSERT INTO serverless.build_bundles VALUES (:service, :build, pg_catalog.sha256('r'), pg_catalog.sha256('b'), '{}')),
        q(SELECT serverless.keep_bundle(:service, pg_catalog.sha256('b'), 3, pg_catalog.sha256('c'))),
        q(SELECT serverless.reuse_bundle(:service, :build, :build, pg_catalog.sha256('r'))),
        'SELECT serverless.deploy(:service, :environment, :build)',
        'SELECT serverless.deploy(:service, :environment, NULL)',
        q(SELECT serverless.delete_artifact(:service, 'function', :free_function, NULL)),
        q(SELECT serverless.create_variable(:service, :environment, :build, 'k',
              pg_catalog.concat('id:', pg_catalog.repeat('00', 40)))),
        'DELETE FROM serverless.services AS s WHERE s.id OPERATOR(pg_catalog.=) :service',
    ],
);
my %ROLES = (
    $HTTPD => ['httpd'], $EXECUTOR => ['executor'], # and what is called first keeps its meaning for the second
    $BOTH => ['httpd', 'executor'],
);

# Does all of that in a hostile session; returns in whose names the traps were called.
sub caught {
    my ($database, $role, $scene) = @_;
    my $superuser = $database->connect('postgres');
    $superuser->do($_) for 'SET client_min_messages = warning', 'DROP SCHEMA IF EXISTS attacker CASCADE';
    $superuser->do("CREATE SCHEMA attacker AUTHORIZATION $role");
    my $attacker = session_of($database, $role);
    $attacker->do($TRAPS, { pg_direct => 1 });
    is state_of($attacker, 'CREATE CAST (pg_catalog.text AS pg_catalog.uuid) WITH INOUT AS IMPLICIT'), $RIGHTS, "$role makes no cast of others' types";
    is state_of($attacker, $_), $RIGHTS, "$role: $_" for "ALTER ROLE $OWNER SET search_path = attacker",
        "ALTER DEFAULT PRIVILEGES FOR ROLE $OWNER GRANT ALL ON TABLES TO $role", 'SET session_replication_role = replica';
    for my $setting (@SETTINGS) {
        $attacker->do("SET $setting");
    }
    my @actions = map { @{ $ACTIONS{$_} } } @{ $ROLES{$role} };
    @actions = @actions[0, -1, 1 .. $#actions - 1] if @{ $ROLES{$role} } > 1; # add_log while all is still there
    for my $action (@actions) {
        my $sql = $action =~ s/(?<!:):([a-z]\w+)/$scene->{$1} ? "'$scene->{$1}'" : die "no $1\n"/ger;
        is eval { $attacker->do($sql, { pg_direct => 1 }); 1 } ? '' : $attacker->errstr, '', "$role: $sql";
    }
    my ($caught) = $attacker->selectrow_array(q(SELECT pg_catalog.current_setting('attack.caught', true)));
    $_->disconnect for $attacker, $superuser;
    my %names = map { $_ => 1 } split ' ', $caught // '';
    return [sort keys %names];
}

my $attacked = database_with_roles('attacked');
for my $role (sort keys %ROLES) {
    my $owner = $attacked->connect($OWNER);
    subtest "$role calls nothing of its own in another's name" => sub {
        is_deeply [grep { $_ ne $role } @{ caught($attacked, $role, make_scene($owner)) }], [], 'nothing was caught';
    };
}

# The same without what protects: else these attacks prove nothing.
for my $role (sort keys %ROLES) {
    my $owner = $attacked->connect($OWNER);
    my $scene = make_scene($owner);
    $owner->begin_work;
    $owner->do("ALTER FUNCTION $_->{signature} " . ($_->{is_definer} ? 'SET search_path = pg_catalog' : 'RESET search_path'))
        for grep { $_->{search_path} } @$functions;
    $owner->commit;
    subtest "$role would, without the search_path of the functions" => sub {
        ok +(grep { $_ eq $OWNER } @{ caught($attacked, $role, $scene) }), 'the owner was caught';
    };
    $owner->do("ALTER FUNCTION $_->{signature} SET search_path = pg_catalog, pg_temp") for grep { $_->{search_path} } @$functions;
}


# What others have made in "public" ------------------------------------------------------

# As databases of PostgreSQL before 15 have it: everybody may make things there, such as operators that fit
# better than those of pg_catalog.
my $shared = database_with_roles('shared');
$shared->connect('postgres')->do($_) for 'GRANT CREATE ON SCHEMA public TO PUBLIC', 'CREATE TABLE public.noted (role name)',
    'GRANT ALL ON public.noted TO PUBLIC', "ALTER ROLE $HTTPD IN DATABASE @{[ $shared->name ]} SET search_path = public, pg_catalog";
session_of($shared, $EXECUTOR)->do(<<'SQL', { pg_direct => 1 });
CREATE FUNCTION public.same(a serverless.artifact_kind, b serverless.artifact_kind) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN INSERT INTO public.noted VALUES (current_user); RETURN a OPERATOR(pg_catalog.=) b; END $$;
CREATE OPERATOR public.= (LEFTARG = serverless.artifact_kind, RIGHTARG = serverless.artifact_kind, FUNCTION = public.same);
CREATE FUNCTION public.joined(a int, b text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN INSERT INTO public.noted VALUES (current_user); RETURN a OPERATOR(pg_catalog.||) b; END $$;
CREATE OPERATOR public.|| (LEFTARG = int, RIGHTARG = text, FUNCTION = public.joined);
SQL

subtest 'httpd and serverless-admin call nothing of it' => sub {
    my $noted = sub { column($shared->connect('postgres'), 'SELECT DISTINCT role FROM public.noted ORDER BY role') };
    my ($account, $token) = $shared->connect($OWNER)->selectrow_array(q(SELECT * FROM serverless.create_account('a')));
    my $server = Serverless::Server->start('shared',
        Serverless::Server->database(database => $shared->name) . Serverless::Server->api);
    my $api = Serverless::Client->client($account, $token)->at($server->address);
    my $service = $api->post('/v1/Services', UniqueName => 's', FriendlyName => 's')->json;
    my $function = $api->post("/v1/Services/s/Functions", FriendlyName => 'f')->json;
    is $api->get($_)->status, 200, $_ for '/v1/Services/s/Functions', "/v1/Services/s/Functions/$function->{sid}";
    is $api->delete("/v1/Services/s/Functions/$function->{sid}")->status, 204, 'and deleted';
    is_administered($shared->name, $OWNER, 'schema apply');
    is_deeply $noted->(), [], 'nothing has noted their roles';

    state_of($shared->connect($HTTPD), q(SELECT FROM serverless.artifacts WHERE kind = 'function'::serverless.artifact_kind));
    $shared->connect($HTTPD)->do(q(SELECT 'asset'::serverless.artifact_kind = 'function'::serverless.artifact_kind));
    is_deeply $noted->(), [$HTTPD], 'as it would for a session that looks there';
};


# What PostgreSQL lets everybody do -----------------------------------------------------------

subtest 'serverless-admin database close' => sub {
    my @makes = ('CREATE TEMP TABLE mine ()', 'CREATE DOMAIN pg_temp.uuid AS pg_catalog.uuid', 'CREATE TABLE public.mine ()');
    my $makes = sub {
        my ($role) = @_;
        my $session = session_of($shared, $role);
        $session->begin_work;
        my @states = map { $session->do('SAVEPOINT here'); my $state = state_of($session, $_); $session->do('ROLLBACK TO here'); $state }
            @makes;
        $session->disconnect;
        return \@states;
    };
    my $name = $shared->name;
    my @roles = ($HTTPD, $EXECUTOR, $BOTH, $OTHER);
    is_deeply $makes->($_), ['', '', ''], "$_ makes temporary objects and others" for @roles;

    superuser()->do("ALTER DATABASE $name OWNER TO postgres");
    is_deeply [administer($name, $OWNER, 'database close')],
        [1, qq(serverless-admin: this takes the owner of the database, and of its schema "public", or a superuser\n)], 'the owner of the schema alone may not';
    superuser()->do("ALTER DATABASE $name OWNER TO $OWNER");
    superuser()->do("GRANT TEMPORARY ON DATABASE $name TO $BOTH");
    is_administered($name, $OWNER, 'database close');
    is_deeply $makes->($_), [($RIGHTS) x 3], "$_ does not any more" for @roles;
    is_deeply $makes->($OWNER), ['', '', ''], 'the owner does';

    superuser()->do("GRANT TEMPORARY ON DATABASE $name TO $OTHER");
    is_administered($name, $OWNER, 'database close');
    is_deeply $makes->($OTHER), ['', '', $RIGHTS], 'and another application\'s role that was granted it';
};

is_deeply [map { db()->selectrow_array("SELECT has_database_privilege('$HTTPD', current_database(), '$_')::int") } 'CREATE', 'TEMP'],
    [0, 0], 'the suites\' own database is closed';


# What httpd's role may write --------------------------------------------------------------------

# Columns of each table that it may insert and update; of a table that it may lock rows of, and whose trigger
# refuses an update, the one that the lock needs.
my %WRITES = (
    accounts          => [[], []],
    artifacts         => [[qw(date_created date_updated friendly_name id kind service_id)], [qw(date_updated friendly_name)]],
    build_versions    => [[qw(artifact_id build_id date_created kind path service_id version_id visibility)], []],
    builds            => [[qw(date_created date_updated dependencies id runtime service_id status)],
                          [qw(attempts date_updated failure_reason lease_expires lease_token status)]],
    content_chunks    => [[qw(bytes number service_id sha256)], []],
    contents          => [[qw(service_id sha256 size)], [qw(size)]],
    credentials       => [[], []],
    deployments       => [[qw(build_id date_created date_updated environment_id id service_id)], []],
    environments      => [[qw(date_created date_updated domain_suffix id service_id unique_name)], [qw(build_id date_updated)]],
    executable        => [[], []],
    grantees          => [[], []],
    idempotency_keys  => [[qw(account_id date_created fingerprint key_hash)], [qw(date_created resource_id service_id)]],
    logs              => [[], [qw(message)]],
    maintenance       => [[], [qw(date_begun)]],
    pins              => [[], []],
    principals        => [[], []],
    privileges        => [[], []],
    schema_migrations => [[], []],
    services          => [[qw(account_id date_created date_updated domain_base friendly_name id include_credentials ui_editable
                              unique_name)], [qw(date_updated friendly_name include_credentials ui_editable)]],
    bundles           => [[qw(service_id sha256 size stored_sha256)], [qw(size)]],
    bundle_chunks     => [[qw(bytes number service_id sha256)], []],
    build_bundles     => [[qw(build_id bundle_sha256 is_reusable lock_file request_sha256 service_id)], []],
    settings          => [[], []],
    signing_keys      => [[], [qw(sealed sealed_with)]],
    variables         => [[qw(date_created date_updated environment_id id key sealed sealed_with service_id)],
                          [qw(date_updated key sealed sealed_with)]],
    versions          => [[qw(artifact_id content_sha256 content_type date_created id kind path service_id visibility)], []],
);

my $columns = db()->selectall_hashref(<<'SQL', ['relname', 'attname']);
SELECT c.relname, a.attname FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid
 WHERE c.relnamespace = 'serverless'::regnamespace AND c.relkind IN ('r', 'v', 'p') AND a.attnum > 0 AND NOT a.attisdropped
SQL
is_deeply [sort keys %$columns], [sort keys %WRITES], 'the tables are known here';
my $written = database_with_roles('written');
make_scene($written->connect($OWNER));
my $httpd = $written->connect($HTTPD);
for my $table (sort keys %WRITES) {
    subtest "what httpd's role may write of $table" => sub {
        my ($inserted, $updated) = map { my %is = map { $_ => 1 } @$_; \%is } @{ $WRITES{$table} };
        is_deeply [grep { !$columns->{$table}{$_} } keys %$inserted, keys %$updated], [], 'its columns';
        for my $column (sort keys %{ $columns->{$table} }) {
            is state_of($httpd, "INSERT INTO serverless.$table ($column) SELECT NULL WHERE false"),
                $inserted->{$column} ? '' : $RIGHTS, "insert $column";
            is state_of($httpd, "UPDATE serverless.$table SET $column = NULL WHERE false"), $updated->{$column} ? '' : $RIGHTS, "update $column";
            # a trigger may refuse what the role was granted
            is_deeply [map { $httpd->selectrow_array('SELECT has_column_privilege(?, ?, ?)::int', undef, "serverless.$table", $column, $_) }
                qw(INSERT UPDATE REFERENCES)], [map { $_ ? 1 : 0 } $inserted->{$column}, $updated->{$column}, 0], '- no more was granted';
        }
    };
}
subtest 'another account\'s Service stays its own' => sub {
    my $owner = $written->connect($OWNER);
    my ($mine, $theirs) = map { make_scene($owner) } 1, 2;
    is state_of($httpd, "UPDATE serverless.services SET account_id = '$mine->{account}' WHERE id = '$theirs->{service}'"), $RIGHTS,
        'its account_id';
    is state_of($httpd, "UPDATE serverless.services SET account_id = account_id"), $RIGHTS, 'also where it stays the same';
};
subtest 'a lock needs the right to update a column that never changes' => sub {
    my $scene = make_scene($written->connect($OWNER));
    is state_of($httpd, 'UPDATE serverless.contents SET size = 0'), '23001', 'contents.size';
    my $owner = $written->connect($OWNER);
    $owner->do(q(INSERT INTO serverless.bundles VALUES (?, sha256('b'), 3, sha256('c'))), undef, $scene->{service});
    is state_of($httpd, 'UPDATE serverless.bundles SET size = 0'), '23001', 'bundles.size';
    my $executor = session_of($written, $EXECUTOR);
    $executor->do("SELECT serverless.add_log('ZE' || replace('$scene->{environment}', '-', ''), "
        . "'ZH' || replace('$scene->{free_function}', '-', ''), 'info', 'm')");
    is state_of($httpd, q(UPDATE serverless.logs SET message = 'x')), '23001', 'logs.message';
};

subtest 'what was granted besides is taken back by schema apply' => sub {
    my $superuser = $written->connect('postgres');
    $superuser->do("ALTER DEFAULT PRIVILEGES FOR ROLE $OWNER GRANT ALL ON TABLES TO PUBLIC");
    $written->connect($OWNER)->do($_) for 'CREATE TABLE serverless.new (a int)',
        "GRANT UPDATE, TRUNCATE ON serverless.services TO $HTTPD", 'GRANT EXECUTE ON FUNCTION serverless.create_account(text) TO PUBLIC';
    $written->connect($OWNER)->do(q(INSERT INTO serverless.grantees VALUES ('role_that_was_dropped')));
    my $may = sub {
        return [map { $superuser->selectrow_array("SELECT ${_}::int") } "has_table_privilege('$OTHER', 'serverless.new', 'INSERT')",
            "has_table_privilege('$HTTPD', 'serverless.services', 'TRUNCATE')",
            "has_column_privilege('$HTTPD', 'serverless.services', 'account_id', 'UPDATE')",
            "has_column_privilege('$HTTPD', 'serverless.services', 'friendly_name', 'UPDATE')",
            "has_function_privilege('$OTHER', 'serverless.create_account(text)', 'EXECUTE')"];
    };
    is_deeply $may->(), [1, 1, 1, 1, 1], 'there it is';
    is_administered($written->name, $OWNER, 'schema apply');
    is_deeply $may->(), [0, 0, 0, 1, 0], 'but for what is needed';
    $superuser->do("ALTER DEFAULT PRIVILEGES FOR ROLE $OWNER REVOKE ALL ON TABLES FROM PUBLIC");
};


# A schema of before, which a superuser owns -------------------------------------------------------

subtest 'serverless-admin owner change' => sub {
    my $name = "serverless_former_$$";
    superuser()->do("CREATE DATABASE $name");
    push @databases, bless { name => $name, process => $$ }, 'Serverless::Database::Own';
    my $database = $databases[-1];
    my $superuser = $database->connect('postgres');
    for my $file (sort glob "$ENV{SOURCE}/sql/schema/0*.sql") { # as the last version applied them
        my ($version, $part) = $file =~ m{/(\d{3})_(\w+)\.sql$};
        last if $version > 12;
        open my $in, '<', $file or die "$file: $!\n";
        local $/;
        $superuser->do(scalar <$in>, { pg_direct => 1 });
        $superuser->do('INSERT INTO serverless.schema_migrations (version, name) VALUES (?, ?)', undef, $version, $part);
    }
    $superuser->do($_) for "SELECT serverless.grant_access('$HTTPD')", "SELECT serverless.grant_access('$EXECUTOR', 'executor')",
        "ALTER DEFAULT PRIVILEGES IN SCHEMA serverless GRANT SELECT ON TABLES TO $OTHER WITH GRANT OPTION",
        "GRANT SELECT ON serverless.services TO $OTHER";
    my ($account, $token) = $superuser->selectrow_array(q(SELECT * FROM serverless.create_account('a')));
    is_deeply column($superuser, $OWNERS), ['postgres'], 'it belongs to a superuser';

    my $refused = sub {
        my ($role, $command, $message) = @_;
        is_deeply [administer($name, $role, $command)], [1, "serverless-admin: $message\n"], "$command, as $role: $message";
    };
    $refused->('postgres', 'schema apply', 'postgres is a superuser: connect as an ordinary role, which will own the schema');
    $refused->($OWNER, 'schema apply', 'the schema belongs to postgres: connect as that role, or have a superuser run: '
        . "serverless-admin owner change $OWNER");
    $refused->($OWNER, "owner change $OWNER", 'must be owner of schema serverless');
    $refused->('postgres', 'owner change postgres', 'a superuser must not own the schema');
    $refused->('postgres', 'owner change nobody_there', 'there is no such role');
    is_deeply column($superuser, $OWNERS), ['postgres'], 'nothing has changed';

    my $privileges = sub { $superuser->selectall_arrayref(<<'SQL') };
SELECT thing, replace(replace(acl::text, 'postgres', 'OWNER'), 'serverless_owner', 'OWNER') FROM (
    SELECT relname, unnest(relacl) FROM pg_class WHERE relnamespace = 'serverless'::regnamespace
     UNION ALL SELECT oid::regprocedure::text, unnest(proacl) FROM pg_proc WHERE pronamespace = 'serverless'::regnamespace
     UNION ALL SELECT nspname, unnest(nspacl) FROM pg_namespace WHERE nspname = 'serverless'
     UNION ALL SELECT defaclobjtype::text, unnest(defaclacl) FROM pg_default_acl) AS granted (thing, acl)
 ORDER BY 1, 2
SQL
    my $before = $privileges->();
    ok @$before > 100, 'there are privileges';
    for my $time ('once', 'and again') {
        is_administered($name, 'postgres', "owner change $OWNER");
        is_deeply column($superuser, $OWNERS), [$OWNER], "all of it belongs to $OWNER, $time";
        is_deeply $privileges->(), $before, 'with what was granted, and default privileges';
    }
    is_deeply column($superuser, 'SELECT DISTINCT defaclrole::regrole::text FROM pg_default_acl'), [$OWNER],
        'these are of what the new owner makes';

    my ($status, $said) = administer($name, $OWNER, 'schema apply');
    is $status, 0, 'then the schema can be brought up to date' or diag $said;
    is_deeply column($superuser, $OWNERS), [$OWNER], 'and is still its owner\'s';
    my $server = Serverless::Server->start('former', Serverless::Server->database(database => $name) . Serverless::Server->api);
    my $api = Serverless::Client->client($account, $token)->at($server->address);
    is $api->post('/v1/Services', UniqueName => 's', FriendlyName => 's')->status, 201, 'httpd writes';
    is $api->get('/v1/Services')->json->{services}[0]{unique_name}, 's', 'and reads';
    is session_of($database, $OTHER)->selectrow_array('SELECT count(*) FROM pg_class'), $superuser->selectrow_array(
        'SELECT count(*) FROM pg_class'), 'a session as another application';
    is $superuser->selectrow_array("SELECT has_table_privilege('$OTHER', 'serverless.services', 'SELECT')::int"), 1,
        'which keeps what it was granted';

    superuser()->do("CREATE DATABASE ${name}_2 OWNER $OWNER");
    push @databases, bless { name => "${name}_2", process => $$ }, 'Serverless::Database::Own';
    is_deeply [administer("${name}_2", 'postgres', "owner change $OWNER")],
        [1, qq(serverless-admin: this database has no schema "serverless"\n)], 'there must be a schema';
};

done_testing;
