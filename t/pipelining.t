# Batch pipelining: reads that are sent at the same time share a batch on one pipeline
# connection. Each has its own answer, even if another read of the batch, the connection, or
# httpd fails.
#
# Where speed is the subject, the best of many attempts counts: a delay of the module's is there each time, a delay of a
# busy machine is not.
use strict;
use warnings FATAL => 'all';

use Apache::Test qw(-withtestmore);
use IO::Socket::INET ();
use Serverless::Database;
use Serverless::Parallel;
use Serverless::Server;
use Serverless::Test;
use Test::More;
use Time::HiRes qw(time);

plan skip_all => 'a child of prefork has one request at a time, and no two share a batch' if Serverless::Server->is_prefork;

# The suites after this one need the database, however this one ends.
END { local $?; database('start') }

# Set-up -----------------------------------------------------

# A database in which a Function's FriendlyName decides how its SELECT behaves.
my $base = own_database('pipelining');
my $owner = $base->connect('postgres');

sub again { $owner = $base->connect('postgres') if !$owner->ping; return $owner }
sub sql { return again()->selectrow_array(shift, undef, @_) }

again()->do($_) for <<'SQL', <<'SQL', <<'SQL', <<'SQL', <<'SQL';
CREATE TABLE public.seen (pid int, xid xid8, name text)
SQL
GRANT INSERT ON public.seen TO serverless_httpd
SQL
CREATE FUNCTION public.kill_backend() RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    COPY (SELECT 1) TO PROGRAM 'kill -KILL $PPID';
END
$$
SQL
CREATE FUNCTION public.behave(name text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF name LIKE 'sleep %' THEN
        PERFORM pg_sleep(substr(name, 7)::float8);
    ELSIF name = 'fail' THEN
        RAISE EXCEPTION 'as it was told';
    ELSIF name = 'wait' THEN
        PERFORM pg_advisory_xact_lock_shared(1);
    ELSIF name = 'die' THEN
        PERFORM pg_terminate_backend(pg_backend_pid());
    ELSIF name = 'crash' THEN
        PERFORM public.kill_backend();
    ELSIF name = 'forget' THEN
        DEALLOCATE ALL;
    ELSIF name = 'seen' THEN
        INSERT INTO public.seen VALUES (pg_backend_pid(), pg_current_xact_id(), name);
    END IF;
    RETURN true;
END
$$
SQL
CREATE POLICY behaviour ON serverless.artifacts USING (public.behave(friendly_name)) WITH CHECK (true)
SQL

my $api = Serverless::Client->client(sql(q(SELECT * FROM serverless.create_account('pipelining'))));

# An httpd with one child over that database, and a client of it.
sub server {
    my ($name, %option) = @_;
    my $server = Serverless::Server->start($name, ($option{lines} // '') . "ServerlessPipelining On\n"
        . "ServerlessBaseURL https://serverless.example.com\n"
        . Serverless::Server->database(database => $base->name, %option) . Serverless::Server->api, %option);
    my $client = $api->at($server->address);
    is $client->get('/v1/Services')->status, 200, "an httpd: $name";
    return ($server, $client);
}

my ($first) = server('first');
my ($service, $strange) = map {
    $api->at($first->address)->post('/v1/Services', UniqueName => $_, FriendlyName => $_)->json->{sid}
} qw(ordinary strange);

# A Function, made past the API; its path.
sub function {
    my ($service, $name) = @_;
    return "/v1/Services/$service/Functions/" . sql(<<'SQL', $name, $service);
INSERT INTO serverless.artifacts (service_id, kind, id, friendly_name, date_created, date_updated)
SELECT s.id, 'function', (fresh.identity).id, ?, (fresh.identity).made, (fresh.identity).made
  FROM serverless.services AS s, (SELECT serverless.new_identity() AS identity OFFSET 0) AS fresh
 WHERE serverless.sid('ZS', s.id) = ?
RETURNING serverless.sid('ZH', id)
SQL
}

my @ordinary = map { function($service, "Function $_") } 1 .. 60;
my %strange = map { ($_ => function($strange, $_)) }
    'sleep 0.008', 'sleep 0.1', 'sleep 0.5', qw(fail wait die crash forget seen);
again()->do('ALTER TABLE serverless.artifacts ENABLE ROW LEVEL SECURITY');

# What the ordinary ones look like, as a server without pipelining has it.
my %expected;
{
    my $plain = Serverless::Server->start('plain', "ServerlessPipelining Off\n"
        . "ServerlessBaseURL https://serverless.example.com\n"
        . Serverless::Server->database(database => $base->name) . Serverless::Server->api);
    my $client = $api->at($plain->address);
    my $functions = "/v1/Services/$service/Functions";
    for my $path (@ordinary, '/v1/Services', "/v1/Services/$service", $functions,
        (map { "$functions?PageSize=$_" } 1, 7, 60, 1000), "$functions/ZH" . '0' x 32, '/v1/Services/ZS' . '0' x 32) {
        my $reply = $client->get($path);
        $expected{$path} = [$reply->status, $reply->body];
        my $next = $reply->status == 200 && $path =~ /PageSize=7$/ ? $reply->json->{meta}{next_page_url} : undef;
        next if !$next;
        $next =~ s{^https://[^/]+}{};
        my $page = $client->get($next);
        $expected{$next} = [$page->status, $page->body];
    }
    is_deeply [sort map { $_->[0] } values %expected], [(200) x (keys(%expected) - 2), (404) x 2],
        'what there is to read, without pipelining';
}

# Sends a GET for each path at the same time, after a read of 8 ms: the GETs that arrive
# during that read are sent as one batch. Returns the replies to all but that read; {took}
# of each is the seconds until it came. $before_waiting runs when all replies have come but those of reads of "wait".
my $before_waiting = sub { };
sub in_a_batch {
    my ($server, @paths) = @_;
    my @sockets = map {
        my $socket = IO::Socket::INET->new(PeerAddr => $server->address) or die "$@\n";
        [$socket, join "\r\n", "GET $_ HTTP/1.0", 'Host: ' . $server->address, $api->authorization, '', '']
    } $strange{'sleep 0.008'}, @paths;
    syswrite $_->[0], $_->[1] for @sockets;
    local $SIG{ALRM} = sub { die "a request is not answered\n" };
    alarm 120;
    # read waiting replies last, so that the other replies can be seen to arrive
    my $begin = time;
    my @replies;
    for my $i (sort { ($sockets[$a][1] =~ $strange{wait}) <=> ($sockets[$b][1] =~ $strange{wait}) } 0 .. $#sockets) {
        $before_waiting->() if $sockets[$i][1] =~ $strange{wait};
        $replies[$i] = read_reply($sockets[$i][0]);
        close $sockets[$i][0]; # or the worker MPM's thread would wait for that
        $replies[$i]{took} = time - $begin;
    }
    alarm 0;
    shift @replies;
    return @replies;
}

sub read_reply {
    my ($socket) = @_;
    my $answer = '';
    1 while sysread $socket, $answer, 65536, length $answer;
    return Serverless::Reply->parse($answer);
}

# For each reply its status or, for an ordinary path, "right" if it is as expected.
sub judge {
    my ($paths, @replies) = @_;
    return map {
        my ($reply, $expected) = ($replies[$_], $expected{ $paths->[$_] });
        !$expected ? $reply->status
            : $reply->status eq $expected->[0] && $reply->body eq $expected->[1] ? 'right'
            : $reply->status . ' ' . $reply->body
    } 0 .. $#replies;
}

sub should { map { $expected{$_} ? 'right' : $_[0] } @{ $_[1] } }

# A read of "wait" waits until release() of the lock.
sub hold {
    my $holder = $base->connect('postgres');
    $holder->do('SELECT pg_advisory_lock(1)');
    return bless { holder => $holder, process => $$ }, 'Hold';
}
sub Hold::release { local $@; eval { (delete $_[0]{holder} // return)->disconnect } }
sub Hold::DESTROY { $_[0]->release if $_[0]{process} == $$ }

sub waits {
    return sql(q(SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())));
}

# Whether two dozen reads at once take few transactions, most of them on one connection.
sub are_batched {
    my ($server) = @_;
    again()->do('DELETE FROM public.seen');
    in_a_batch($server, ($strange{seen}) x 24);
    return sql('SELECT sum(n) = 24 AND sum(transactions) <= 12 AND max(n) >= 16
        FROM (SELECT count(*) AS n, count(DISTINCT xid) AS transactions FROM public.seen GROUP BY pid) AS sessions');
}

sub timed {
    my ($run) = @_;
    my $begin = time;
    my @result = $run->();
    return (time - $begin, @result);
}


# Batches ---------------------------------------------------------------------------

{
    my ($server, $client) = server('batched');
    # requests that come too late, on a busy machine, are no batch
    ok wait_until { are_batched($server) }, 'of two dozen reads at once, most share a batch on one connection';
    my @mixed = map { ($ordinary[$_], "/v1/Services/$service/Functions?PageSize=$_", $strange{seen}) } 1, 7;
    is_deeply [judge(\@mixed, in_a_batch($server, @mixed))], [should(200, \@mixed)],
        'a batch of different reads: fetches and lists';
}


# Errors within a batch -------------------------------------------------------------------

{
    my ($server, $client) = server('apart');
    my $failures = 0;
    for my $round (1 .. 15) {
        my @paths = map { rand() < 0.3 ? $strange{fail} : $ordinary[rand @ordinary] } 1 .. 24;
        $failures += grep { $_ eq $strange{fail} } @paths;
        is_deeply [judge(\@paths, in_a_batch($server, @paths))], [should(500, \@paths)],
            "round $round: in a batch, only the reads whose statement fails are answered 500";
    }
    my $log = $server->error_log;
    my @ids = $log =~ /\[(RQ[0-9a-f]{32})\] SF0003: executing serverless_artifact_fetch(?:_owned)? failed: SQLSTATE P0001: /g;
    my %distinct = map { $_ => 1 } @ids;
    is_deeply [scalar @ids, scalar keys %distinct], [$failures, $failures],
        'each failed read of a batch has a log line with its request id';
    is scalar(() = $log =~ /SF00(?!96)\d\d: /g), $failures, 'no successful read of a batch has a log line';

    my @paths = ($strange{fail}) x 24;
    is_deeply [judge(\@paths, in_a_batch($server, @paths))], [(500) x 24],
        'a batch of failing reads: each is answered 500';
    is_error +(in_a_batch($server, $strange{fail}))[0], 500, 20500, 'An internal error occurred',
        "a failing read of a batch is answered with the API's error";
}

# A statement is prepared on its first use, perhaps in the middle of others; it may
# fail there as well.
{
    my ($server, $client) = server('unprepared');
    my @paths = ($ordinary[0], $strange{fail}, "/v1/Services/$service", $ordinary[1],
        "/v1/Services/$service/Functions", "/v1/Services/$service/Functions", $ordinary[2]);
    is_deeply [judge(\@paths, in_a_batch($server, @paths))], [should(500, \@paths)],
        'a batch that prepares statements after a failed one';

    again()->do('REVOKE SELECT ON serverless.versions FROM serverless_httpd');
    my $versions = "$ordinary[0]/Versions";
    @paths = ($ordinary[0], ($versions) x 3, $ordinary[1], $versions, @ordinary[2 .. 5]);
    is_deeply [judge(\@paths, in_a_batch($server, @paths))], [should(503, \@paths)],
        'a batch with a statement that the role may not execute: only those reads are answered 503';
    again()->do('GRANT SELECT ON serverless.versions TO serverless_httpd');
    is $client->get($versions)->status, 200, 'the statement succeeds after the role was granted its table';
}


# Time limits --------------------------------------------------------------------------

# PostgreSQL's own word: the limit is for each statement of a pipeline.
{
    my $pipeline = sub {
        my (@seconds) = @_;
        my $script = Apache::Test::vars('t_logs') . '/pipeline.sql';
        open my $out, '>', $script or die "$script: $!\n";
        print $out join "\n", '\startpipeline', (map { "SELECT pg_sleep($_);" } @seconds), '\endpipeline', '';
        close $out or die "$script: $!\n";
        my ($pgbench) = sort { $b cmp $a } glob '/usr/lib/postgresql/*/bin/pgbench';
        return system("PGOPTIONS='-c statement_timeout=1000' $pgbench -h $ENV{DATABASE} -U serverless_httpd "
            . "-n -t 1 -M extended -f $script @{[ $base->name ]} >/dev/null 2>&1") >> 8;
    };
    is $pipeline->(0.4, 0.4, 0.4), 0,
        'PostgreSQL: three statements of 0.4 s before one Sync do not exceed a statement_timeout of a second';
    isnt $pipeline->(0.1, 2, 0.1), 0,
        'PostgreSQL: a statement of two seconds before a Sync exceeds a statement_timeout of a second';
}

{
    my ($server, $client) = server('hasty', statement_timeout => 2000);
    my @paths = (($strange{'sleep 0.5'}) x 6, @ordinary[0 .. 9]);
    my @replies = in_a_batch($server, @paths);
    is_deeply [judge(\@paths, @replies)], [should(200, \@paths)],
        'a batch may take longer than statement_timeout if none of its statements does';

    my $hold = hold();
    @paths = (@ordinary[0 .. 4], $strange{wait}, @ordinary[5 .. 9], $strange{fail});
    @replies = in_a_batch($server, @paths);
    $hold->release;
    is_deeply [map { $_->status } @replies], [(200) x 5, 503, (200) x 5, 500],
        'only the read whose statement exceeds statement_timeout is answered 503';
    is_deeply [(judge(\@paths, @replies))[0 .. 4, 6 .. 10]], [('right') x 10],
        'the other reads of the batch have the right answer';
    like $server->error_log, qr/executing serverless_artifact_fetch(?:_owned)? failed: SQLSTATE 57014: /,
        'the log names the statement that exceeded statement_timeout';
}


# A slow read ----------------------------------------------------------------

{
    my ($server, $client) = server('patient');
    my $hold = hold();
    my $slow = begin_at_once(sub { $client->afresh->get($strange{wait})->status }, 1);
    ok wait_until { waits() == 1 }, 'a read waits for a lock in the pipeline';
    is_deeply [judge(\@ordinary, in_a_batch($server, @ordinary[0 .. 19]))], [('right') x 20],
        'reads behind a waiting read are answered over the regular connection pool, while it waits';
    ok wait_until { (timed(sub { $client->get($ordinary[1]) }))[0] < 0.04 },
        'reads after the fallback to the regular pool do not wait for the 50 ms that a batch has';
    is waits(), 1, 'the waiting read is sent to PostgreSQL once';
    $hold->release;
    is_deeply [$slow->()], [200], 'the waiting read is answered after the lock is released';

    # in the middle of others
    my @paths = (@ordinary[0 .. 9], $strange{wait}, @ordinary[10 .. 19]);
    my $others_answered = Apache::Test::vars('t_logs') . "/others-answered-$$";
    for my $round (1 .. 40) { # until it was sent in a batch, which may fail on a busy machine
        in_a_batch($server, @ordinary) for 1 .. 3;
        $server->error_log;
        $hold = hold();
        my $batch = begin_at_once(sub {
            $before_waiting = sub { open my $out, '>', $others_answered or die "$others_answered: $!\n" };
            [map { +{ %$_ } } in_a_batch($server, @paths)];
        }, 1);
        ok wait_until { waits() > 0 }, "round $round: a read waits in the middle of a batch";
        is_deeply [judge([@ordinary[20 .. 39]], in_a_batch($server, @ordinary[20 .. 39]))], [('right') x 20],
            'reads after the batch with the waiting read are answered, while it waits';
        ok wait_until { -e $others_answered }, 'the other reads of the batch are answered before the lock is released';
        $hold->release;
        unlink $others_answered;
        my @got = map { bless $_, 'Serverless::Reply' } map { @$_ } $batch->();
        is_deeply [judge(\@paths, @got)], [should(200, \@paths)], 'every read of the batch has the right answer';
        last if $server->error_log =~ /\[RQ[0-9a-f]{32}\] SF0031: no answer for 50 ms to \d+ statements sent together: /;
        fail 'in forty rounds the waiting read was never in a batch' if $round == 40;
    }

    # afterwards, reads are batched again
    ok wait_until { are_batched($server) }, 'reads are batched again after the lock is released';
}

# PostgreSQL sends 8 KiB at a time: the first ones have had their answers, and thrown them away, before the
# last comes. Whoever looks at one of them again, memcheck sees; AddressSanitizer does not, in libpq.
SKIP: {
    skip 'sanitizers and valgrind exclude each other', 9 if $ENV{SANITIZE};
    my $memcheck = Serverless::Server::logs() . '/memcheck_log';
    my ($server) = server('pieces', under => ['valgrind', '--quiet', '--vgdb=no', "--log-file=$memcheck"]);
    my $list = "/v1/Services/$service/Functions?PageSize=60";
    my @paths = ((map { ($list, $ordinary[$_]) } 1 .. 6), $strange{'sleep 0.1'}, @ordinary[0 .. 9]);
    ok wait_until { are_batched($server) }, 'reads are batched under memcheck';
    my $early = 0;
    for my $round (1 .. 40) {
        my @replies = in_a_batch($server, @paths);
        is_deeply [judge(\@paths, @replies)], [should(200, \@paths)], "round $round: answers that come in pieces";
        $early += $replies[0]{took} < $replies[-1]{took} - 0.05;
        last if $round >= 5 && $early;
    }
    cmp_ok $early, '>', 0, 'the first of them was there before the last';
    undef $server;
    open my $in, '<', $memcheck or die "$memcheck: $!\n";
    is join('', grep { !/^\S+ *$/ } <$in>), '', 'memcheck reports no invalid read and no uninitialised value';
}

# Few reads are sent at the same time.
{
    my ($server, $client) = server('few', lines => "ServerlessDBConnections 5\n");
    ok wait_until {
        my ($longest) = sort { $b <=> $a } map { $_->{took} } in_a_batch($server, ($strange{'sleep 0.1'}) x 3);
        $longest < 0.19;
    }, 'four reads on four connections: none waits for another, which takes 0.1 s';
    ok wait_until { are_batched($server) }, 'with four connections, two dozen reads share batches';
}

# The pipeline takes a connection on which apr_dbd has prepared the statement, its parameters all text.
{
    my ($server, $client) = server('reused', lines => "ServerlessDBConnections 4\n");
    my @paths = ("/v1/Services/$service/Functions/ZH" . '0' x 32, $ordinary[0]);
    database('stop');
    is $client->get($paths[0])->status, 503, 'without a database, a read is answered 503';
    database('start');
    is_deeply [judge(\@paths, map { $client->get($_) } @paths)], [('right') x 2],
        'within a second of that failure, reads use the regular connection pool';
    select undef, undef, undef, 1.2;
    is_deeply [judge(\@paths, map { $client->get($_) } @paths)], [('right') x 2],
        'after that second, the pipeline takes a connection with statements prepared by apr_dbd' for 1 .. 3;
}

# No connection is free: a request waits for ServerlessDBTimeout at most.
{
    my ($server, $client) = server('full', lines => "ServerlessDBConnections 4\nServerlessDBTimeout 2s\n");
    is $client->delete("/v1/Services/$service/Functions/ZH" . '0' x 32)->status, 404,
        'four connections, one of them for writes: a write succeeds';
    my $hold = hold();
    my $slow = begin_at_once(sub { $client->afresh->get($strange{wait})->status }, 1 .. 3);
    ok wait_until { waits() == 3 }, 'one read waits in the pipeline, two on the regular connections';
    my @answers = at_once(sub { [timed(sub { $client->afresh->get($ordinary[0])->status })] }, 1 .. 6);
    is_deeply [map { $_->[1] } @answers], [(503) x 6], 'reads without a free connection are answered 503';
    my @seconds = sort { $a <=> $b } map { $_->[0] } @answers;
    cmp_ok $seconds[0], '>=', 2, 'reads without a free connection wait for ServerlessDBTimeout';
    note sprintf 'the longest has waited for %.3f s', $seconds[-1];
    is waits(), 3, 'reads without a free connection open none';
    $hold->release;
    is_deeply [$slow->()], [200, 200, 200], 'the three waiting reads are answered after the lock is released';
    is_deeply [judge([@ordinary], in_a_batch($server, @ordinary[0 .. 9]))], [('right') x 10],
        'reads after the release are answered';
}


# The connection is lost --------------------------------------------------------------------

sub threads_of {
    my ($server) = @_;
    my ($child) = split ' ', `pgrep -P $server->{pid}`;
    my ($threads, $before, $alike) = (0, -1, 0);
    wait_until { system('grep', '-q', 'SF0096: ', $server->error_log_file) == 0 } or die "no child does the background work\n";
    wait_until { # its threads have begun
        $before = $threads;
        open my $in, '<', "/proc/$child/status" or die "child $child: $!\n";
        ($threads) = join('', <$in>) =~ /^Threads:\s+(\d+)/m;
        select undef, undef, undef, 0.2;
        $alike = $threads == $before ? $alike + 1 : 0;
        $alike == 3;
    };
    return "$child has $threads threads";
}

{
    my ($server, $client) = server('lost');
    my $before = threads_of($server);
    for my $round (1 .. 5) {
        my @paths = map { rand() < 0.1 ? $strange{die} : $ordinary[rand @ordinary] } 1 .. 23;
        splice @paths, rand(@paths), 0, $strange{die};
        is_deeply [judge(\@paths, in_a_batch($server, @paths))], [should(503, \@paths)],
            "round $round: a session ends within a batch: only the read that ends every session is answered 503";
        is_deeply [judge(\@ordinary, in_a_batch($server, @ordinary[0 .. 9]))], [('right') x 10],
            'reads after the lost session are answered';
    }
    like $server->error_log, qr/executing serverless_artifact_fetch failed: SQLSTATE 57P01: /,
        'the log has the SQLSTATE of the lost session';

    kill_backends(backends());
    is_deeply [judge(\@ordinary, in_a_batch($server, @ordinary))], [('right') x 60],
        'every session is killed between two batches: the next batch is answered';

    # while they wait
    my $hold = hold();
    my $waiting = begin_at_once(sub { $client->afresh->get($strange{wait})->status }, 1 .. 3);
    ok wait_until { waits() == 3 }, 'three reads wait, the first in the pipeline';
    kill_backends(waiting());
    ok wait_until { waits() == 3 }, 'the sessions of three waiting reads are killed: each read is sent once more';
    $hold->release;
    is_deeply [$waiting->()], [(200) x 3], 'the three waiting reads are answered after the lock is released';
    is threads_of($server), $before, 'the same child of httpd, with as many threads as before';
}

# A backend crashes within a batch, and PostgreSQL restarts.
{
    my ($server, $client) = server('silent');
    my @paths = (@ordinary[0 .. 9], $strange{crash}, @ordinary[10 .. 19]);
    for my $round (1 .. 30) { # until it was sent in a batch
        in_a_batch($server, @ordinary) for 1 .. 3;
        $owner->disconnect;
        my @got = judge(\@paths, in_a_batch($server, @paths));
        like $got[10], qr/^503/, "round $round: a read that crashes every session is answered 503";
        is_deeply [grep { $_ ne 'right' && !/^503 / } @got[0 .. 9, 11 .. 20]], [],
            'the other reads of the batch have the right answer, or 503';
        ok wait_until { $client->get($ordinary[0])->status == 200 }, 'PostgreSQL answers again after the crash';
        is_deeply [judge(\@ordinary, in_a_batch($server, @ordinary))], [('right') x 60],
            'batches after the crash are answered';
        last if $server->error_log =~ /\[RQ[0-9a-f]{32}\] SF0030: the connection was lost on which \d+ statements were under way together/;
        fail 'in thirty rounds the crashing read was never in a batch' if $round == 30;
    }
}

# PostgreSQL is restarted, or crashes, under load.
for my $case (
    ['restart', sub { database('restart') }],
    ['crash',   sub { crash(); database('start') }],
) {
    my ($name, $happen) = @$case;
    my ($server, $client) = server($name);
    my $before = threads_of($server);
    my $latest = time + 300;
    my $until = Apache::Test::vars('t_logs') . "/until-$$";
    my $readers = begin_at_once(sub {
        my ($seed) = @_;
        srand $seed;
        my $mine = $client->afresh;
        my %count = (longest => 0);
        while (time < $latest && !-e $until) {
            my $path = $ordinary[rand @ordinary];
            my ($seconds, $reply) = timed(sub { $mine->get($path) });
            my ($verdict) = judge([$path], $reply);
            $count{$verdict =~ /^503 / ? 503 : $verdict}++;
            $count{longest} = $seconds if $seconds > $count{longest};
        }
        return \%count;
    }, 1 .. 8);
    my $hold = hold();
    my $waiting = begin_at_once(sub { $client->afresh->get($strange{wait})->status }, 1);
    ok wait_until { waits() == 1 }, "$name: eight clients read, and one read waits";
    $owner->disconnect;
    $happen->();
    like +($waiting->())[0], qr/^(?:200|503)$/, "$name: the waiting read ends, with 200 or 503";
    undef $hold;
    select undef, undef, undef, 0.5;
    open my $out, '>', $until or die "$until: $!\n";
    my @counts = $readers->();
    unlink $until;
    my %all;
    for my $count (@counts) { $all{$_} += $count->{$_} for grep { $_ ne 'longest' } keys %$count }
    is_deeply [grep { $_ ne 'right' && $_ ne '503' } keys %all], [], "$name: each answer is right, or 503";
    cmp_ok $all{right}, '>', 0, "$name: there are right answers";
    my ($longest) = sort { $b <=> $a } map { $_->{longest} } @counts;
    note sprintf '%s: %s, the longest took %.3f s', $name, join(', ', map { "$_ x $all{$_}" } sort keys %all), $longest;
    is_deeply [judge(\@ordinary, in_a_batch($server, @ordinary))], [('right') x 60],
        "$name: batches afterwards are answered";
    is threads_of($server), $before, "$name: the same child of httpd, with as many threads as before";
    like $server->error_log, qr/SF000[123]: /, "$name: the log reports the lost connections";
}


# The session ----------------------------------------------------------------------------------

{
    my ($server, $client) = server('session');
    my @many = @ordinary[0 .. 9];
    for my $round (1 .. 3) {
        my @paths = (@many, $strange{forget}, @many);
        is_deeply [judge(\@paths, in_a_batch($server, @paths))], [should(200, \@paths)],
            "round $round: DEALLOCATE ALL: the statements are prepared again";
    }
    like $server->error_log, qr/SQLSTATE 26000/, 'the log has the SQLSTATE of statements that were not prepared';
    is_deeply [judge(\@many, in_a_batch($server, @many))], [('right') x 10],
        'after DEALLOCATE ALL and one error, a batch is answered';
    unlike $server->error_log, qr/SF0003/, 'after DEALLOCATE ALL and one error, no statement fails';

    # "cached plan must not change result type"
    my ($definition, $signature) = sql(q(SELECT pg_get_functiondef(oid), oid::regprocedure FROM pg_proc
        WHERE oid = 'serverless.artifact_resource'::regproc));
    for my $type ('character varying', 'text') {
        $definition =~ s/friendly_name (?:text|character varying)/friendly_name $type/ or die "no friendly_name\n";
        again()->do("DROP FUNCTION $signature; $definition; GRANT EXECUTE ON FUNCTION $signature TO serverless_httpd");
        is_deeply [judge(\@many, in_a_batch($server, @many))], [('right') x 10],
            "a result column becomes $type: the batch has the right answers";
    }
    like $server->error_log, qr/SQLSTATE 0A000/, 'the log has the SQLSTATE of plans whose result type changed';

    # another schema
    my ($version) = sql('SELECT max(version) FROM serverless.schema_migrations');
    again()->do('UPDATE serverless.schema_migrations SET version = version + 1 WHERE version = ?', undef, $version);
    is_deeply [judge(\@many, map { $client->get($_) } @many)], [('right') x 10],
        'the schema has another version: existing sessions are used';
    kill_backends(backends());
    is_deeply [map { $_->status } in_a_batch($server, @many)], [(503) x 10],
        'the schema has another version: no new session is used';
    my @complaints = $server->error_log =~ /SF0004/g;
    is scalar @complaints, 1, "the schema's version is in the log once";
    $server->error_log;
    again()->do('UPDATE serverless.schema_migrations SET version = ? WHERE version = ? + 1', undef, $version, $version);
    is_deeply [judge(\@many, in_a_batch($server, @many))], [('right') x 10],
        'the schema has its version again: new sessions are used';

    # statements that other connections have prepared are known on the next one
    ok wait_until { are_batched($server) }, 'reads are batched on the new sessions';
    unlike $server->error_log, qr/SF0003/, 'no statement is prepared twice on the new sessions';

    # another key
    my $list = "/v1/Services/$service/Functions?PageSize=7";
    my $page = sub { $client->get($list)->json->{meta}{next_page_url} =~ s{^https://[^/]+}{}r };
    my $token = $page->();
    is $client->get($token)->status, 200, 'a PageToken is valid';
    my ($key) = sql(q(SELECT encode(page_token_key, 'hex') FROM serverless.settings));
    again()->do('UPDATE serverless.settings SET page_token_key = serverless.random_bytes()');
    kill_backends(backends());
    is $client->get($token)->status, 400, 'a PageToken of another key is refused';
    is $client->get($page->())->status, 200, 'a PageToken of the new key is valid';
    again()->do(q(UPDATE serverless.settings SET page_token_key = decode(?, 'hex')), undef, $key);
}


# httpd ends --------------------------------------------------------------------------------------

# Log lines of a child that crashed.
my $badly = qr/exit signal|Assertion|assert|core dump/;

for my $case (['restarted', 'USR1'], ['stopped', 'WINCH']) {
    my ($name, $signal) = @$case;
    my ($server, $client) = server($name, lines => "ServerlessDBConnections 5\n");
    my ($child) = split ' ', `pgrep -P $server->{pid}`;
    my $hold = hold();
    my $waiting = begin_at_once(sub { $client->afresh->get($strange{wait})->status }, 1 .. 4);
    ok wait_until { waits() == 4 }, "httpd is $name gracefully, while four reads wait";
    kill $signal => $server->{pid};
    select undef, undef, undef, 0.3;
    $hold->release;
    is_deeply [$waiting->()], [(200) x 4], "httpd is $name: the four waiting reads are answered";
    ok wait_until { !-e "/proc/$child" }, "httpd is $name: the child ends after the answers";
    unlike $server->error_log, $badly, "httpd is $name: the child ends without a crash";
    next if $signal ne 'USR1';
    is_deeply [judge(\@ordinary, in_a_batch($server, @ordinary[0 .. 9]))], [('right') x 10],
        "httpd is $name: its new child answers reads";
}


# MPMs without threads -----------------------------------------------------------------------------

SKIP: {
    my $modules = `apxs -q LIBEXECDIR`;
    chomp $modules;
    skip 'the prefork MPM is not there', 3 if !-e "$modules/mod_mpm_prefork.so";
    my ($server, $client) = server('prefork', mpm => 'prefork');
    my @paths = @ordinary[0 .. 19];
    is_deeply [judge(\@paths, in_a_batch($server, @paths))], [('right') x 20],
        'the prefork MPM: reads are answered without batches';
    is_deeply [map { @$_ } at_once(sub { [judge(\@paths, map { $client->get($_) } @paths)] }, 1 .. 3)], [('right') x 60],
        'the prefork MPM: reads of several clients are answered';
}


# Two databases -----------------------------------------------------------------------------------

# Two virtual hosts with the same rows but for their names.
{
    my $copy = own_database('pipelining_copy');
    my ($from, $to) = map { "psql -X -q -h $ENV{DATABASE} -U postgres -d " . $_->name . ' -c' } $base, $copy;
    for my $table (qw(accounts credentials services artifacts)) {
        system("$from 'COPY serverless.$table TO STDOUT' | $to 'COPY serverless.$table FROM STDIN'") == 0
            or die "$table is not copied\n";
    }
    my $there = $copy->connect('postgres');
    $there->do(q(UPDATE serverless.artifacts SET friendly_name = 'Copy of ' || friendly_name));
    $there->disconnect;

    my ($here, $elsewhere) = map { '127.0.0.1:' . Serverless::Server->free_port } 1 .. 2;
    my $server = Serverless::Server->start('two', "ServerlessPipelining On\n"
        . "ServerlessBaseURL https://serverless.example.com\n"
        . "Listen $here\n<VirtualHost $here>\n" . Serverless::Server->database(database => $base->name)
        . Serverless::Server->api . "</VirtualHost>\n"
        . "Listen $elsewhere\n<VirtualHost $elsewhere>\n" . Serverless::Server->database(database => $copy->name)
        . Serverless::Server->api . "</VirtualHost>\n");
    my @wrong = map { @$_ } at_once(sub {
        my ($seed) = @_;
        srand $seed;
        my ($original, $copied) = map { $api->at($_) } $here, $elsewhere;
        my @wrong;
        for (1 .. 40) {
            my $path = $ordinary[rand @ordinary];
            push @wrong, grep { $_ ne 'right' } judge([$path], $original->get($path));
            my $body = $copied->get($path)->body =~ s/"Copy of /"/r;
            push @wrong, $body if $body ne $expected{$path}[1];
        }
        return \@wrong;
    }, 1 .. 8);
    is_deeply \@wrong, [], 'two virtual hosts, each with its database: no read is answered from the other database';
    undef $server;
}


# Thousands ---------------------------------------------------------------------------------------

{
    my ($server, $client) = server('thousands');
    my @all = sort keys %expected;
    my @wrong = map { @$_ } at_once(sub {
        my ($seed) = @_;
        srand $seed;
        my @wrong;
        for (1 .. 12) {
            my @paths = map { $all[rand @all] } 1 .. 28;
            push @wrong, grep { $_ ne 'right' } judge(\@paths, in_a_batch($server, @paths));
        }
        return \@wrong;
    }, 1 .. 12);
    is_deeply \@wrong, [], '4,000 fetches and lists, as many at once as there are threads: each byte is right';
}

$owner->disconnect;
undef $_ for $first, $base; # not when all of perl goes
done_testing;
