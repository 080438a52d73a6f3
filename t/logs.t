# The Log resource: the entries of an Environment's log are listed by time and Function, and
# fetched. The suite adds entries in the database, as the runtime that executes Functions does.
use strict;
use warnings FATAL => 'all';

use Apache::Test qw(-withtestmore);
use JSON::PP ();
use POSIX qw(strftime);
use Serverless::Database;
use Serverless::Project;
use Serverless::Server;
use Serverless::Test;
use Test::More;

my $api = Serverless::Client->account;
my $project = Serverless::Project->new($api);
my ($hello, $bye) = map { $project->new_version } 1, 2;

# An Environment of the test's own, and the list of its entries.
my ($environment, $logs);
sub new_environment {
    $environment = $project->new_environment;
    $logs = $project->path . "/Environments/$environment->{sid}/Logs";
    return $environment;
}

# Adds an entry to the last new_environment; returns its SID.
sub add {
    my (%with) = @_;
    return db()->selectrow_array(
        'SELECT serverless.add_log(?, ?, ?, ?, ?, coalesce(?, clock_timestamp()))', undef, $environment->{sid},
        $with{function_sid} // $hello->{function_sid}, $with{level} // 'info', $with{message} // 'a message',
        $with{request_sid}, $with{at});
}

# Compares the whole answer with an entry of add(), changed by the properties of $given.
sub is_entry {
    my ($reply, $given, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is_reply $reply, 200, entry(($reply->json || {})->{sid} // '', %$given), $name;
}

sub entry {
    my ($sid, %given) = @_;
    return {
        sid             => sid('NO'),
        account_sid     => $api->user,
        service_sid     => $project->sid,
        environment_sid => $environment->{sid},
        build_sid       => undef,
        deployment_sid  => undef,
        function_sid    => $hello->{function_sid},
        request_sid     => sid('RQ'),
        level           => 'info',
        message         => 'a message',
        date_created    => date,
        url             => "$environment->{links}{logs}/$sid",
        %given,
    };
}

sub sids { map { $_->{sid} } @{ $_[0]->json->{logs} } }
sub meta { $_[0]->json->{meta} }

# A time as the API writes it, so many seconds after (or before) another.
sub iso { my ($epoch) = @_; return strftime('%Y-%m-%dT%H:%M:%SZ', gmtime $epoch) }
my $DAY = 24 * 60 * 60;

# The same in an address.
sub encoded { return $_[0] =~ s/:/%3a/gr }


# Entries ------------------------------------------------------------------------------

subtest 'fetch a log entry' => sub {
    new_environment();
    my $before = now;
    my $sid = add(level => 'warning', message => 'This is a warning', request_sid => 'RQ' . 'A1' x 16);
    my $after = now;
    my $reply = $api->get("$logs/$sid");
    is_entry $reply, {
        sid => $sid, level => 'warning', message => 'This is a warning', request_sid => 'RQ' . 'a1' x 16,
    }, 'a log entry is fetched as it was added';
    my ($created) = db()->selectrow_array('SELECT extract(epoch FROM ?::timestamptz)', undef, $reply->json->{date_created});
    ok $before <= $created && $created <= $after, 'date_created is the present, in UTC';
    is_reply $api->get($reply->json->{url}), 200, $reply->json, 'a log entry is fetched by its url property';
    is_reply $api->get("$logs/NO" . uc substr $sid, 2), 200, $reply->json,
        'a log entry is fetched by SID in upper case';
    (my $by_name = "$logs/$sid") =~ s/\Q@{[ $project->sid ]}/$project->service->{unique_name}/e;
    is_reply $api->get($by_name), 200, $reply->json, 'under a Service named by UniqueName';
    is $api->head("$logs/$sid")->status, 200, 'HEAD';

    my %is = %{ $reply->json };
    my $expected = <<"JSON";
{"sid":"$sid","account_sid":"@{[ $api->user ]}","service_sid":"@{[ $project->sid ]}",
"environment_sid":"$environment->{sid}","build_sid":null,"deployment_sid":null,
"function_sid":"$hello->{function_sid}","request_sid":"$is{request_sid}","level":"warning",
"message":"This is a warning","date_created":"$is{date_created}","url":"$is{url}"}
JSON
    $expected =~ s/\n//g;
    is $reply->body, $expected, 'the JSON of a log entry, byte for byte';
};

subtest 'a log entry names the Build and the Deployment at its time' => sub {
    new_environment();
    my @expected;
    my $added = sub {
        my ($build, $deployment, $name) = @_;
        push @expected, { build_sid => $build && $build->{sid}, deployment_sid => $deployment && $deployment->{sid} };
        is_entry $api->get("$logs/" . add()), $expected[-1], $name;
    };
    $added->(undef, undef, 'an entry before any Deployment has no Build');
    my ($first, $second) = map { $project->completed($_) } $hello, $bye;
    $added->($first, $project->deploy($environment, $first), 'a Build is deployed');
    $added->($second, $project->deploy($environment, $second), 'an entry after the second Deployment names its Build');
    $added->(undef, $project->deploy($environment), 'an entry after the Build was removed has no Build');

    is $api->delete($_->{url})->status, 204, 'the Builds are deleted' for $first, $second;
    is $api->delete($project->path . "/Functions/$hello->{function_sid}")->status, 204,
        'the Function of the entries is deleted';
    is_reply $api->get($logs), 200, {
        logs => [ map { entry($_->[0], %{ $_->[1] }) }
            reverse map { [ (reverse sids($api->get($logs)))[$_], $expected[$_] ] } 0 .. $#expected ],
        meta => meta($api->get($logs)),
    }, 'the entries stay as they were';
    is scalar(sids($api->get($logs, FunctionSid => $hello->{function_sid}))), 4,
        'the entries of the deleted Function are found by FunctionSid';
    $hello = $project->new_version;
};

subtest 'which messages a log entry may have' => sub {
    new_environment();
    for my $case (
        [ 'nothing',               '' ],
        [ 'several lines',         "Error: no\n    at /hello:1:1\r\n\ttab" ],
        [ 'JSON',                  '{"a": "\\"b\\""}' ],
        [ 'any Unicode',           "caf\x{e9} \x{1f600} \x{202e} \x{fffe}" ],
        [ 'control characters',    join '', map { chr } 1 .. 31, 127 ],
        [ '10000 characters',      "\x{1f600}" x 10_000 ],
    ) {
        my ($what, $message) = @$case;
        is_entry $api->get("$logs/" . add(message => $message)), { message => $message }, $what;
    }
    is_entry $api->get("$logs/" . add(level => $_)), { level => $_ }, "the level " . quoted($_)
        for 'x' x 32, 'INFO', "caf\x{e9}";
};


# Adding ---------------------------------------------------------------------------------

subtest 'log entries that cannot be added' => sub {
    new_environment();
    my $elsewhere = Serverless::Project->new(Serverless::Client->account)->new_version;
    my $gone = $project->new_function->{sid};
    $api->delete($project->path . "/Functions/$gone");
    my ($ze, $zh) = ($environment->{sid}, $hello->{function_sid});
    my ($no_ze, $no_zh) = map { $_ . '0' x 32 } 'ZE', 'ZH';
    my $level = 'level must have 1 to 32 characters, and no control characters';
    my $message = 'message must have at most 10000 characters';
    my $environment_sid = 'environment_sid must be a SID that begins with ZE';
    my $function_sid = 'function_sid must be a SID that begins with ZH';
    my $request_sid = 'request_sid must be a SID that begins with RQ';
    my $no_function = 'in the Service of the Environment';
    for my $case (
        # name, SQLSTATE, message, arguments of add_log
        [ 'no level',                 '22023', $level,   $ze, $zh, undef, 'm' ],
        [ 'an empty level',           '22023', $level,   $ze, $zh, '', 'm' ],
        [ 'a level of 33',            '22023', $level,   $ze, $zh, 'x' x 33, 'm' ],
        [ 'a level of two lines',     '22023', $level,   $ze, $zh, "info\nwarn", 'm' ],
        [ 'no message',               '22023', $message, $ze, $zh, 'info', undef ],
        [ 'a message of 10001',       '22023', $message, $ze, $zh, 'info', 'x' x 10_001 ],
        [ 'no Environment',           '22023', $environment_sid, undef, $zh, 'info', 'm' ],
        [ 'a Service',                '22023', $environment_sid, $project->sid, $zh, 'info', 'm' ],
        [ 'a digit less',             '22023', $environment_sid, 'ZE' . '0' x 31, $zh, 'info', 'm' ],
        [ 'a digit more',             '22023', $environment_sid, 'ZE' . '0' x 33, $zh, 'info', 'm' ],
        [ 'a line more',              '22023', $environment_sid, "$ze\n", $zh, 'info', 'm' ],
        [ 'in small letters',         '22023', $environment_sid, lc $ze, $zh, 'info', 'm' ],
        [ 'no Function',              '22023', $function_sid, $ze, undef, 'info', 'm' ],
        [ 'a Version',                '22023', $function_sid, $ze, $hello->{sid}, 'info', 'm' ],
        [ 'a malformed request',      '22023', $request_sid, $ze, $zh, 'info', 'm', 'RQ1' ],
        [ 'a time before 1970',       '22023', 'at must not be before 1970', $ze, $zh, 'info', 'm', undef, '1969-12-31T23:59:59Z' ],
        [ 'the beginning of time',    '22023', 'at must not be before 1970', $ze, $zh, 'info', 'm', undef, '-infinity' ],
        [ 'an unknown Environment',   'P0002', "there is no Environment $no_ze", $no_ze, $zh, 'info', 'm' ],
        [ 'an unknown Function',      'P0002', "there is no Function $no_zh $no_function", $ze, $no_zh, 'info', 'm' ],
        [ 'one that was deleted',     'P0002', "there is no Function $gone $no_function", $ze, $gone, 'info', 'm' ],
        [ 'one of another Service',   'P0002', "there is no Function $elsewhere->{function_sid} $no_function",
            $ze, $elsewhere->{function_sid}, 'info', 'm' ],
    ) {
        my ($what, $state, $says, @arguments) = @$case;
        my $marks = join ', ', ('?') x @arguments;
        my $done = eval { db()->do("SELECT serverless.add_log($marks)", undef, @arguments); 1 };
        is_deeply [ $done, db()->state, (db()->errstr // '') =~ /^ERROR:  (.*)/ ], [ undef, $state, $says ], $what;
    }
    is_deeply [ sids($api->get($logs)) ], [], 'refused entries are not stored';
};

subtest 'the time of a log entry' => sub {
    new_environment();
    my $past = time - 2 * $DAY;
    is_entry $api->get("$logs/" . add(at => iso($past))), { date_created => iso($past) }, 'a time in the past';
    for my $future (iso(time + 5 * $DAY), 'infinity') {
        my $before = iso(now);
        my $date = $api->get("$logs/" . add(at => $future))->json->{date_created};
        ok $before le $date && $date le iso(now), "$future has not come yet: now";
    }
    my $begin = time;
    my ($late, $early) = map { add(at => iso($begin - $_)) } 10, 20;
    is_deeply [ sids($api->get($logs)) ], [ reverse sort { $a cmp $b } sids($api->get($logs)) ],
        'the order is that of times, not of adding';
    cmp_ok $early, 'lt', $late, 'entries added later have later SIDs';
};

subtest 'a role granted to add log entries may do nothing else' => sub {
    my $role = "executor_$$";
    my $database = own_database('executor');
    my $owner = $database->connect('postgres');
    $owner->do("CREATE ROLE $role");
    my $admin = "$ENV{SOURCE}/bin/serverless-admin -d 'host=$ENV{DATABASE} dbname=@{[ $database->name ]} user=serverless_owner'";
    is system("$admin grant-executor $role"), 0, 'serverless-admin grant-executor';
    like `$admin grant-executor nobody_$$ 2>&1`, qr/^serverless-admin: role "nobody_$$" does not exist$/, 'names a role';
    like `$admin grant-executor 2>&1`, qr/^serverless-admin: 'grant-executor' takes: ROLE$/m,
        'serverless-admin grant-executor without ROLE prints its usage';

    my ($account) = $owner->selectrow_array(q(SELECT substr(account_sid, 3) FROM serverless.create_account('a')));
    my ($service) = $owner->selectrow_array(q(SELECT (serverless.create_service(?, 's', 's', true, false)).id), undef, $account);
    my ($ze) = $owner->selectrow_array(
        q(SELECT serverless.sid('ZE', (environment).id) FROM serverless.create_environment(?, 'e', 'e')), undef, $service);
    my ($zh) = $owner->selectrow_array(<<'SQL', undef, $service);
INSERT INTO serverless.artifacts SELECT ?, 'function', id, 'f', made, made FROM serverless.new_identity() RETURNING serverless.sid('ZH', id)
SQL
    my $executor = $database->connect('postgres');
    $executor->do("SET SESSION AUTHORIZATION $role");
    my ($no) = $executor->selectrow_array(q(SELECT serverless.add_log(?, ?, 'info', 'mine')), undef, $ze, $zh);
    like $no, sid('NO'), 'the granted role adds an entry';
    my $several = '[{"level": "info", "message": "two", "at": "2026-01-02T20:00:00.000002Z"},'
        . ' {"level": "info", "message": "one", "at": "2026-01-02T20:00:00.000001Z"}]';
    is scalar @{ $executor->selectcol_arrayref(<<'SQL', undef, $ze, $zh, $several) }, 2, 'the granted role adds several entries with one statement';
SELECT serverless.add_log(?, ?, line.level, line.message, at => line.at)
  FROM jsonb_to_recordset(?) AS line (level text, message text, at timestamptz)
SQL
    is_deeply $owner->selectcol_arrayref('SELECT message FROM serverless.logs ORDER BY id'), [qw(one two mine)],
        'the entries of the granted role are listed';
    for my $forbidden (
        (map { "SELECT * FROM serverless.$_" } @{ $owner->selectcol_arrayref(
            q(SELECT relname FROM pg_class WHERE relnamespace = 'serverless'::regnamespace AND relkind IN ('r', 'v'))) }),
        (map { "SELECT serverless.$_" } @{ $owner->selectcol_arrayref(<<'SQL') }),
SELECT p.proname || '(' || coalesce((SELECT string_agg('NULL::' || t::regtype, ', ') FROM unnest(p.proargtypes) AS t), '') || ')'
  FROM pg_proc AS p
 WHERE p.pronamespace = 'serverless'::regnamespace AND p.proname <> 'add_log' AND p.prorettype <> 'trigger'::regtype
SQL
        'DELETE FROM serverless.logs', q(INSERT INTO serverless.logs (message) VALUES ('mine')),
        q(UPDATE serverless.logs SET message = 'mine'), 'CREATE TABLE serverless.mine ()',
    ) {
        ok !eval { $executor->do($forbidden); 1 } && $executor->state eq '42501', "the granted role may not: $forbidden"
            or diag $executor->state;
    }
    my $httpd = $database->connect('serverless_httpd');
    ok !eval { $httpd->do(q(SELECT serverless.add_log(?, ?, 'info', 'mine')), undef, $ze, $zh); 1 }
        && $httpd->state eq '42501', 'and what httpd\'s role may not is to add one';
    for my $case (['message', q('other'), '23001'], ['id', 'id', '42501']) {
        my ($column, $value, $for_httpd) = @$case;
        for my $of ([$owner, '23001', 'the owner'], [$httpd, $for_httpd, q(httpd's role)]) {
            my ($db, $state, $whom) = @$of;
            ok !eval { $db->do("UPDATE serverless.logs SET $column = $value"); 1 } && $db->state eq $state,
                "an entry never changes: its $column, by $whom" or diag $db->state;
        }
    }
    $_->disconnect for $owner, $executor, $httpd;
    undef $database;
    superuser()->do("DROP ROLE $role");
};


# Lists ----------------------------------------------------------------------------------

subtest 'list log entries' => sub {
    new_environment();
    my $sibling = $environment;
    add(message => 'elsewhere');
    new_environment();
    my $before = now;
    my $reply = $api->get($logs);
    my ($start, $end) = meta($reply)->{url} =~ /\?StartDate=(\S{24})&EndDate=(\S{24})&/ or diag meta($reply)->{url};
    s/%3a/:/g for $start, $end;
    ok iso($before) le $end && $end le iso(now), 'EndDate is now where it is not given';
    ok iso($before - $DAY) le $start && $start le iso(now - $DAY), 'the default StartDate is a day ago';
    my $page = "$environment->{links}{logs}?StartDate=@{[ encoded($start) ]}&EndDate=@{[ encoded($end) ]}&PageSize=50&Page=0";
    my $meta = {
        first_page_url => $page, key => 'logs', next_page_url => undef, page => 0,
        page_size => 50, previous_page_url => undef, url => $page,
    };
    is_reply $reply, 200, { logs => [], meta => $meta }, 'the list is empty before anything was created';

    my @sids = map { add(message => $_) } qw(one two three);
    my $list = $api->get($logs);
    is_deeply $list->json->{logs}, [ map { $api->get("$logs/$_")->json } reverse @sids ],
        'the Environment\'s own, as each is fetched, newest first';
    is_deeply [ sids($api->get(meta($list)->{url})) ], [ reverse @sids ], 'the list at its own url is the same';
    (my $by_name = $logs) =~ s/\Q@{[ $project->sid ]}/$project->service->{unique_name}/e;
    my $same = $api->get($by_name, PageSize => 2);
    is_deeply [ sids($same) ], [ @sids[2, 1] ], 'under a Service named by UniqueName';
    like meta($same)->{next_page_url}, qr{^\Q$environment->{links}{logs}\E\?StartDate=[^&]+&EndDate=[^&]+&PageSize=2&Page=1&PageToken=PT},
        'whose addresses have SIDs';
    is_deeply [ sids($api->get(meta($same)->{next_page_url})) ], [ $sids[0] ],
        'the PageToken of a list under UniqueName is valid';
};

subtest 'a list of log entries without dates covers the last day' => sub {
    new_environment();
    my ($old, $young) = map { add(at => iso(time - $_)) } $DAY + 3600, $DAY - 3600;
    is_deeply [ sids($api->get($logs)) ], [ $young ], 'an entry older than a day is not listed';
    is_deeply [ sids($api->get($logs, StartDate => iso(time - 2 * $DAY))) ], [ $young, $old ],
        'an entry older than a day is listed with StartDate';
    is_deeply [ sids($api->get($logs, EndDate => iso(now - $DAY))) ], [],
        'an EndDate as old as the StartDate that is not given leaves nothing';
    is $api->get("$logs/$old")->status, 200, 'fetched it is at any age';
};

subtest 'a list of log entries filtered by FunctionSid' => sub {
    new_environment();
    my %by = map { my $function = $_; ($function => [ map { add(function_sid => $function) } 1 .. 3 ]) }
        $hello->{function_sid}, $bye->{function_sid};
    for my $function (sort keys %by) {
        my @expected = reverse @{ $by{$function} };
        my $reply = $api->get($logs, FunctionSid => $function);
        is_deeply [ sids($reply) ], \@expected, 'the entries of one Function';
        like meta($reply)->{url}, qr/&EndDate=[^&]+&FunctionSid=$function&PageSize=50&Page=0$/, 'the address says so';
        is_deeply [ sids($api->get(meta($reply)->{url})) ], \@expected, 'the url of a filtered list is valid';
        my $capitals = 'ZH' . uc substr $function, 2;
        $reply = $api->get($logs, FunctionSid => $capitals, PageSize => 2);
        is_deeply [ sids($reply) ], [ @expected[0, 1] ], 'FunctionSid in upper case';
        my $next = $api->get(meta($reply)->{next_page_url});
        is_deeply [ sids($next) ], [ $expected[2] ], 'the second page has the filtered entries';
        is_deeply [ sids($api->get(meta($next)->{previous_page_url})) ], [ @expected[0, 1] ],
            'previous_page_url of a filtered list leads back';
    }
    is_deeply [ sids($api->get($logs, FunctionSid => 'ZH' . '0' x 32)) ], [],
        'FunctionSid of a Function that does not exist finds nothing';
    is_error $api->get($logs, FunctionSid => $_), 400, 20001, 'FunctionSid must be a SID that begins with ZH', quoted($_)
        for 'hello', 'ZH' . '0' x 31, 'ZH' . '0' x 33, 'zh' . '0' x 32, $hello->{sid}, "ZH*", 'ZH' . '0' x 31 . "'";
    is_error $api->get($logs, FunctionSid => ''), 400, 20001, 'FunctionSid must not be empty', 'empty';
    is_error $api->get($logs, FunctionSid => $hello->{function_sid}, FunctionSid => $hello->{function_sid}), 400, 20001,
        'FunctionSid is given more than once', 'twice';
};

subtest 'a list of log entries filtered by StartDate and EndDate' => sub {
    new_environment();
    my $noon = int((time - 10 * $DAY) / $DAY) * $DAY + 12 * 60 * 60;
    my $day = strftime '%Y-%m-%d', gmtime $noon;
    my %name;
    for my $time ('11:59:59', '12:00:00', '12:00:00.25', '12:00:00.999999', '12:00:01') {
        $name{ add(at => "${day}T${time}Z") } = $time;
    }
    my $found = sub { join ' ', map { $name{$_} // $_ } sids($_[0]) };
    my $next_day = strftime '%Y-%m-%d', gmtime($noon + $DAY);
    for my $case (
        # StartDate, EndDate, the entries between
        [ '11:59:59Z',        '12:00:01Z',        '12:00:01 12:00:00.999999 12:00:00.25 12:00:00 11:59:59' ],
        [ '12:00:00Z',        '12:00:00Z',        '12:00:00.999999 12:00:00.25 12:00:00' ],
        [ '11:59:58Z',        '11:59:58Z',        '' ],
        [ '11:59:59Z',        '11:59:59.999Z',    '11:59:59' ],
        [ '12:00:00.000Z',    '12:00:00.000Z',    '12:00:00' ],
        [ '12:00:00.250Z',    '12:00:00.250Z',    '12:00:00.25' ],
        [ '12:00:00.2Z',      '12:00:00.2Z',      '12:00:00.25' ],
        [ '12:00:00.251Z',    '12:00:01.000Z',    '12:00:01 12:00:00.999999' ],
        [ '12:00:00.000001Z', '12:00:00.999998Z', '12:00:00.25' ],
        [ '12:00:00.2500009Z', '12:00:00.999999999Z', '12:00:00.999999 12:00:00.25' ],
        [ '12:00:00+00:00',   '12:00:00-00:00',   '12:00:00.999999 12:00:00.25 12:00:00' ],
        [ '14:00:00+02:00',   '06:30:00-05:30',   '12:00:00.999999 12:00:00.25 12:00:00' ],
        [ '14:00:00.25+02:00', '12:00:00.25Z',    '12:00:00.25' ],
        [ '12:00:01Z',        '12:00:00Z',        '' ],
    ) {
        my ($start, $end, $expected) = @$case;
        my @dates = (StartDate => "${day}T$start", EndDate => "${day}T$end");
        my $reply = $api->get($logs, @dates);
        is $found->($reply), $expected, "from $start to $end: " . ($expected || 'nothing');
        is $found->($api->get(meta($reply)->{url})), $expected, '- and by the url it has';
        is $found->($api->get($logs, @dates, FunctionSid => $hello->{function_sid})), $expected, '- and of a Function';
        is $found->($api->get("$logs?StartDate=${day}T$start&EndDate=${day}T$end")), $expected, '- and not encoded';
    }
    is $found->($api->get($logs, StartDate => $_)), '12:00:01 12:00:00.999999 12:00:00.25 12:00:00 11:59:59', "since $_"
        for '0001-01-01T00:00:00Z', '1970-01-01T00:00:00Z', '1969-12-31T23:59:59.5Z', '2000-02-29T23:59:59Z';
    is $found->($api->get($logs, StartDate => "${day}T12:00:01Z", EndDate => $_)), '12:00:01', "until $_"
        for '9999-12-31T23:59:59Z', '4253-05-31T22:20:37Z', '4253-05-31T22:20:38Z', "${next_day}T00:00:00Z";

    my $shown = sub { my ($query) = meta($api->get($logs, @_))->{url} =~ /\?(.*?)&PageSize/; return $query };
    for my $case (
        [ '2026-01-02T03:04:05Z',           '2026-01-02T03:04:05Z' ],
        [ '2026-01-02T03:04:05.000Z',       '2026-01-02T03:04:05.000Z' ],
        [ '2026-01-02T03:04:05.123456789Z', '2026-01-02T03:04:05.123456Z' ],
        [ '2026-01-02T03:04:05.5+09:30',    '2026-01-01T17:34:05.5Z' ],
        [ '2025-12-31T23:59:59-23:59',      '2026-01-01T23:58:59Z' ],

        # as the standard libraries of clients' languages write a time
        [ '2026-01-02T03:04:05',                 '2026-01-02T03:04:05Z' ],        # Java's LocalDateTime, Python, C# "s"
        [ '2026-01-02T03:04:05.123456',          '2026-01-02T03:04:05.123456Z' ], # Python's isoformat()
        [ '2026-01-02T03:04',                    '2026-01-02T03:04:00Z' ],        # Java leaves seconds out that are 0
        [ '2026-01-02T03:04Z',                   '2026-01-02T03:04:00Z' ],
        [ '2026-01-02T05:04+02:00',              '2026-01-02T03:04:00Z' ],
        [ '2026-01-02T05:04:05+0200',            '2026-01-02T03:04:05Z' ],        # PHP's DATE_ISO8601, strftime's %z
        [ '2026-01-02T05:04:05+02',              '2026-01-02T03:04:05Z' ],        # PostgreSQL
        [ '2026-01-02T03:04:05.1234567Z',        '2026-01-02T03:04:05.123456Z' ], # C# "o"
        [ '2026-01-02 03:04:05Z',                '2026-01-02T03:04:05Z' ],        # C# "u"
        [ '2026-01-02 05:04:05+02:00',           '2026-01-02T03:04:05Z' ],        # Python's str(), date --rfc-3339
        [ '2026-01-02T05:04:05,123456789+02:00', '2026-01-02T03:04:05.123456Z' ], # date --iso-8601=ns
        [ '2026-01-02t03:04:05z',                '2026-01-02T03:04:05Z' ],        # RFC 3339 allows small letters
    ) {
        my ($sent, $in_utc) = @$case;
        is $shown->(StartDate => $sent, EndDate => $sent),
            'StartDate=' . encoded($in_utc) . '&EndDate=' . encoded($in_utc), "$sent in addresses";
    }
    is $shown->(EndDate => iso($noon), FunctionSid => $hello->{function_sid}, StartDate => iso($noon)),
        'StartDate=' . encoded(iso($noon)) . '&EndDate=' . encoded(iso($noon)) . "&FunctionSid=$hello->{function_sid}",
        'the order is always the same';

    for my $name ('StartDate', 'EndDate') {
        is_error $api->get($logs, $name => $_), 400, 20001, "$name must be a time such as 2018-11-10T20:00:00Z",
            "$name=" . quoted($_) for 'now', 'infinity', '2026', '2026-01-02', '2026-01-02T', '2026-01-02T03', '2026-01-02T03Z', '2026-01-02_03:04:05Z',
            '2026-01-02  03:04:05Z', '20260102T030405Z', '2026-01-02T03:04.5Z', '2026-01-02T03:04:',
            '2026-1-2T3:4:5Z', '02026-01-02T03:04:05Z', '-2026-01-02T03:04:05Z', ' 2026-01-02T03:04:05Z',
            '2026-01-02T03:04:05Z ', "2026-01-02T03:04:05Z\n", '2026-01-02T03:04:05.Z', '2026-01-02T03:04:05,Z',
            '2026-01-02T03:04:05.0000000001Z', '2026-01-02T03:04:05.5.5Z', '2026-01-02T03:04:05ZZ',
            '2026-01-02T03:04:05+2', '2026-01-02T03:04:05+020', '2026-01-02T03:04:05+02:', '2026-01-02T03:04:05+02:00Z', '2026-01-02T03:04:05+24:00',
            '2026-01-02T03:04:05+02:60', '2026-01-02T03:04:05 UTC', '2026-00-02T03:04:05Z', '2026-13-02T03:04:05Z',
            '2026-01-00T03:04:05Z', '2026-01-32T03:04:05Z', '2026-02-29T03:04:05Z', '2026-04-31T03:04:05Z',
            '1900-02-29T00:00:00Z', '2026-01-02T24:00:00Z', '2026-01-02T03:60:05Z', '2026-01-02T03:04:60Z',
            '0000-01-01T00:00:00Z', '0001-01-01T00:00:00+00:01', '9999-12-31T23:59:59-00:01', "2026-01-02T03:04:0\x{665}Z",
            "2026-01-02T03:04:05'Z", '1767323045';
        is_error $api->get($logs, $name => ''), 400, 20001, "$name must not be empty", "$name=";
        is_error $api->get($logs, $name => iso($noon), $name => iso($noon)), 400, 20001,
            "$name is given more than once", "$name twice";
        is $api->get($logs, lc $name => 'x')->status, 200, 'a parameter name in other case is unknown';
    }
};


# Pages ----------------------------------------------------------------------------------

subtest 'all pages of a list of log entries have the window of the first page' => sub {
    new_environment();
    my @sids = map { add(at => iso(time - $_)) } reverse 1 .. 7;
    my $first = $api->get($logs, PageSize => 3);
    my ($window) = meta($first)->{url} =~ /\?(StartDate=[^&]+&EndDate=[^&]+)&PageSize=3&Page=0$/;
    add(message => 'newer'), add(at => iso(time - $DAY - 60), message => 'older');
    my @pages = ($first);
    while (my $next = meta($pages[-1])->{next_page_url}) {
        push @pages, $api->get($next);
    }
    is_deeply [ map { [ sids($_) ] } @pages ], [ [ @sids[6, 5, 4] ], [ @sids[3, 2, 1] ], [ $sids[0] ] ],
        'neither what is added later, nor what is too old';
    for my $number (0 .. 2) {
        my $meta = meta($pages[$number]);
        like $meta->{$_} // '', qr/\?\Q$window\E&PageSize=3&Page=\d/, "page $number: $_ has the window"
            for 'url', 'first_page_url', $number < 2 ? 'next_page_url' : (), $number > 0 ? 'previous_page_url' : ();
    }
    is_deeply [ sids($api->get(meta($pages[2])->{previous_page_url})) ], [ @sids[3, 2, 1] ],
        'previous_page_url keeps the window';
};

subtest 'a previous page of log entries has none after EndDate' => sub {
    new_environment();
    my $base = time - 1000;
    my @sids = map { add(at => iso($base + $_)) } 0 .. 9;
    my @dates = (StartDate => iso($base + 2), EndDate => iso($base + 6));
    for my $filter ([], [ FunctionSid => $hello->{function_sid} ]) {
        my $first = $api->get($logs, @dates, @$filter, PageSize => 2);
        my $second = $api->get(meta($first)->{next_page_url});
        my $third = $api->get(meta($second)->{next_page_url});
        is_deeply [ map { [ sids($_) ] } $first, $second, $third ], [ [ @sids[6, 5] ], [ @sids[4, 3] ], [ $sids[2] ] ],
            'the pages' . (@$filter ? ' of a Function' : '');
        is meta($third)->{next_page_url}, undef, 'end with StartDate';
        my $back = $api->get(meta($third)->{previous_page_url});
        is_deeply [ sids($back) ], [ @sids[4, 3] ], 'previous_page_url of the last page';
        is_deeply [ sids($api->get(meta($back)->{previous_page_url})) ], [ @sids[6, 5] ],
            'previous_page_url of the second page';
        my $shorter = $api->get(meta($second)->{previous_page_url} =~ s/PageSize=2/PageSize=5/r);
        is_deeply [ sids($shorter) ], [ @sids[6, 5] ],
            'a previous page that would begin after EndDate begins with EndDate';
    }
};

subtest 'a PageToken of a list of log entries is valid with the same filters only' => sub {
    new_environment();
    my $base = time - 1000;
    add(at => iso($base + $_)) for 0 .. 4;
    my %filter = (StartDate => iso($base), EndDate => iso($base + 10), FunctionSid => $hello->{function_sid});
    my $reply = $api->get($logs, %filter, PageSize => 2);
    my ($token) = meta($reply)->{next_page_url} =~ /PageToken=([^&]+)/;
    my @page = (PageSize => 2, Page => 1, PageToken => $token);
    is $api->get($logs, %filter, @page)->status, 200, 'a PageToken with the same filters is valid';
    is $api->get($logs, @page, reverse(map { ($filter{$_}, $_) } sort keys %filter))->status, 200,
        'a PageToken with the same filters in any order is valid';
    is $api->get($logs, %filter, StartDate => iso($base) =~ s/Z$/+00:00/r, @page)->status, 400, 'given twice they are refused';
    is $api->get($logs, %filter, @page, PageSize => 3)->status, 400, 'a PageToken with another PageSize is refused';
    my $zoned = strftime '%Y-%m-%dT%H:%M:%S+01:00', gmtime $base + 3600;
    is $api->get($logs, %filter{'EndDate', 'FunctionSid'}, StartDate => $zoned, @page)->status, 200, 'written in another way';

    my $invalid = 'PageToken is not valid for this list';
    for my $case (
        [ 'another StartDate',   { %filter, StartDate => iso($base + 1) } ],
        [ 'another EndDate',     { %filter, EndDate => iso($base + 9) } ],
        [ 'another Function',    { %filter, FunctionSid => $bye->{function_sid} } ],
        [ 'no Function',         { %filter{'StartDate', 'EndDate'} } ],
        [ 'no dates',            { %filter{'FunctionSid'} } ],
        [ 'a fraction of nothing', { %filter, EndDate => iso($base + 10) =~ s/Z$/.000Z/r } ],
    ) {
        my ($what, $other) = @$case;
        is_error $api->get($logs, %$other, @page), 400, 20001, $invalid, $what;
    }
    my $sibling = $project->new_environment;
    is_error $api->get("$sibling->{links}{logs}", %filter, @page), 400, 20001, $invalid,
        'a PageToken in another Environment is refused';
};


# Whose they are ---------------------------------------------------------------------------

subtest 'a log entry is not found under another Environment or Service, or by another account' => sub {
    new_environment();
    my $entry = add();
    my $sibling = $project->new_environment;
    my $other = Serverless::Project->new($api);
    my $elsewhere = $other->new_environment;
    my $stranger = Serverless::Client->account;
    my ($s, $e) = ($project->sid, $environment->{sid});
    for my $case (
        [ 'another Environment',            $api,      $s, $sibling->{sid}, $entry ],
        [ 'another Service',                $api,      $other->sid, $e, $entry ],
        [ 'another Service\'s Environment', $api,      $other->sid, $elsewhere->{sid}, $entry ],
        [ 'another account',                $stranger, $s, $e, $entry ],
        [ 'no such entry',                  $api,      $s, $e, 'NO' . '0' x 32 ],
        [ 'a malformed SID',                $api,      $s, $e, 'NO' . '0' x 31 ],
        [ 'a SID of another kind',          $api,      $s, $e, $e ],
        [ 'no such Environment',            $api,      $s, 'ZE' . '0' x 32, $entry ],
    ) {
        my ($what, $client, @sids) = @$case;
        my $path = sprintf '/Services/%s/Environments/%s/Logs/%s', @sids;
        is_error $client->get("/v1$path"), 404, 20404, "The requested resource $path was not found", $what;
    }
    for my $case (
        [ 'another Service',     $api,      $other->sid, $e ],
        [ 'another account',     $stranger, $s, $e ],
        [ 'no such Environment', $api,      $s, 'ZE' . '0' x 32 ],
    ) {
        my ($what, $client, @sids) = @$case;
        my $path = sprintf '/Services/%s/Environments/%s/Logs', @sids;
        is_error $client->get("/v1$path"), 404, 20404, "The requested resource $path was not found", "list: $what";
    }
    for my $method ('POST', 'DELETE', 'PUT') {
        for my $path ($logs, "$logs/$entry") {
            my $reply = $api->request($method, $path);
            is_error $reply, 405, 20004, 'Method not allowed', "no $method";
            is $reply->header('Allow'), 'GET, HEAD, OPTIONS', 'Allow has the methods of the path';
        }
    }
};

subtest 'log entries are deleted with their Environment or Service' => sub {
    my $mine = Serverless::Project->new($api);
    my $function = $mine->new_function;
    my ($one, $two) = map { $mine->new_environment } 1, 2;
    my $rows = sub { db()->selectrow_array('SELECT count(*) FROM serverless.logs WHERE service_id = ?', undef, substr $mine->sid, 2) };
    for my $of ($one, $two) {
        db()->do(q(SELECT serverless.add_log(?, ?, 'info', 'm') FROM generate_series(1, 5)), undef, $of->{sid}, $function->{sid});
    }
    is $rows->(), 10, 'two Environments have five entries each';
    is $api->delete($one->{url})->status, 204, 'one Environment is deleted';
    is $rows->(), 5, 'the entries of the deleted Environment are gone';
    is $api->delete($mine->path)->status, 204, 'the Service is';
    is $rows->(), 0, 'the entries of the deleted Service are gone';
};


# Entries of calls ---------------------------------------------------------------

# httpd adds these in batches, with SIDs of its own.
subtest 'add_logs' => sub {
    my $mine = Serverless::Project->new($api);
    my $other = Serverless::Project->new($api);
    my ($function, $foreign) = ($mine->new_deployable(function => 'mine'), $other->new_deployable(function => 'other'));
    my $build = $mine->completed($function);
    my $of = $mine->new_environment;
    my $deployment = $mine->deploy($of, $build);
    my $httpd = connect_as('serverless_httpd');
    my $number = 0;
    my $new = sub {
        my (%with) = @_;
        return { sid => sprintf('NO%014x%018x', 1_700_000_000_000_000 + ++$number, $number), service_sid => $mine->sid,
            environment_sid => $of->{sid}, build_sid => $build->{sid}, deployment_sid => $deployment->{sid},
            function_sid => $function->{sid}, request_sid => 'RQ' . '1' x 32, level => 'INFO', message => "m$number", %with };
    };
    my $add = sub { $httpd->selectrow_array('SELECT serverless.add_logs(?)', undef, JSON::PP->new->encode([@_])) };
    my $stored = sub {
        my ($given) = @_;
        return db()->selectrow_hashref(q(SELECT serverless.sid('ZB', build_id) AS build_sid, serverless.sid('ZD', deployment_id) AS deployment_sid,
            serverless.sid('ZH', function_id) AS function_sid, serverless.sid('RQ', request_id) AS request_sid, level, message,
            serverless.epoch(date_created) AS at FROM serverless.logs WHERE serverless.sid('NO', id) = ?), undef, $given->{sid});
    };

    my @two = ($new->(), $new->());
    is $add->(@two), 2, 'two entries are added';
    is_deeply $stored->($two[0]), { build_sid => $build->{sid}, deployment_sid => $deployment->{sid},
        function_sid => $function->{sid}, request_sid => 'RQ' . '1' x 32, level => 'INFO', message => 'm1',
        at => 1_700_000_000_000_001 }, 'an entry has what was given, and the time of its SID';
    is $add->(@two, my $third = $new->()), 1, 'a batch that is repeated adds only what is new';
    is $add->(), 0, 'an empty batch adds nothing';

    is $add->($new->(environment_sid => 'ZE' . '0' x 32), my $good = $new->()), 1, 'an entry of an Environment that is not there is dropped';
    ok $stored->($good), 'the entry beside it is added';
    is $add->($new->(service_sid => $other->sid)), 0, 'an entry of another Service with this Environment is dropped';
    is $add->($new->(function_sid => $foreign->{sid})), 0, 'an entry of a Function of another Service is dropped';
    my $elsewhere = $new->(build_sid => $other->completed($foreign)->{sid}, deployment_sid => 'ZD' . '0' x 32);
    is $add->($elsewhere), 1, 'an entry with a Build of another Service is added';
    is_deeply [@{ $stored->($elsewhere) }{qw(build_sid deployment_sid)}], [undef, undef], 'without that Build and the unknown Deployment';
    my $nothing = $new->(build_sid => undef, deployment_sid => undef);
    is $add->($nothing), 1, 'an entry without Build and Deployment is added';
    my $long = $new->(message => "\x{20ac}" x 10001);
    is $add->($long), 1, 'an entry with a long message is added';
    ok $stored->($long)->{message} eq "\x{20ac}" x 10000, 'its message is cut';

    for my $wrong ({ sid => 'NO1' }, { request_sid => undef }, { level => '' }, { message => undef }, { build_sid => 'ZD' . '0' x 32 }) {
        my ($name) = map { "$_ => " . ($wrong->{$_} // 'NULL') } keys %$wrong;
        my $beside = $new->();
        is eval { $add->($beside, $new->(%$wrong)) }, undef, "$name: an error";
        is $stored->($beside), undef, "$name: nothing is added";
    }
    is eval { $httpd->do('INSERT INTO serverless.logs SELECT * FROM serverless.logs'); 1 }, undef, 'httpd adds entries in no other way';
    $httpd->disconnect;
};


# Memory ------------------------------------------------------------------------

# A string of json-c 0.16 that becomes empty leaks its memory.
SKIP: {
    skip 'AddressSanitizer keeps what is freed', 2 if $ENV{SANITIZE};
    new_environment();
    add(message => $_ % 2 ? 'x' x 8000 : '') for 1 .. 200;
    my $server = Serverless::Server->start('memory',
        Serverless::Server->workers(1, 2, prefork => 1) . Serverless::Server->database . Serverless::Server->api);
    my $client = $api->at($server->address);
    my $list = sub { $client->get($logs, PageSize => 200) };
    is scalar(@{ $list->()->json->{logs} }), 200, 'long messages and empty ones';
    $list->() for 1 .. 20;
    my $before = $server->peak_memory;
    $list->() for 1 .. 40;
    cmp_ok $server->peak_memory - $before, '<', 8 << 20, 'can be listed again and again';
}

done_testing;
