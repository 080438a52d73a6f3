# The build worker: httpd's children finish Builds in the background. Each Build ends in time
# and is done by one child, even if a child, httpd or Node.js stops in the middle of it.
#
# The httpds here have a database of their own, so that no other httpd takes the Builds.
# Most have in place of Node.js a program of the suite, which follows the instructions in a file.
use strict;
use warnings FATAL => 'all';

use Apache::Test qw(-withtestmore);
use IO::Socket::INET ();
use Serverless::Database;
use Serverless::Parallel;
use Serverless::Server;
use Serverless::Test;
use Serverless::Project;
use Test::More;
use Time::HiRes qw(sleep time);

# Whatever happens here, the suites after this one need the database.
END { local $?; database('start') }

my $TIMEOUT = 120; # seconds of an attempt: no busy machine needs as many
my $AT_ONCE = 60;  # the most seconds of what does not wait for that
my $HASTY = 1;     # an attempt that ends by its timeout
my $MARGIN = 5;    # seconds by which a lease is longer than an attempt

my $directory = Serverless::Server->logs;
my $temporary = $ENV{TMP} = "$directory/temporary"; # the httpds' own
mkdir $temporary or die "$temporary: $!\n";
my $database = own_database('worker');
my ($account, $token) = sql(q(SELECT * FROM serverless.create_account('worker')));

# The values of one row, as the owner of the database.
sub sql { return $database->row('postgres', @_) }

# An httpd of several children.
sub server {
    my ($name, %option) = @_;
    my $children = $option{children} || 1;
    my $workers = Serverless::Server->workers($children, 32, prefork => 4 * $children);
    return Serverless::Server->start($name, <<"END" . Serverless::Server->database(database => $database->name) . Serverless::Server->api);
$workers
ServerlessNode $option{node}
ServerlessBuildTimeout @{[ $option{timeout} || $TIMEOUT ]}s
@{[ $option{lines} // '' ]}
END
}

my $unique = 0;
sub new_project {
    my ($server) = @_;
    return Serverless::Project->new(Serverless::Client->client($account, $token)->at($server->address),
        sprintf 'worker-%d', ++$unique);
}

# Status, attempts and the reason of failure.
sub row_of {
    my ($build) = @_;
    return [sql(q(SELECT status, attempts, failure_reason FROM serverless.builds WHERE serverless.sid('ZB', id) = ?),
        $build->{sid})];
}

# Ends the lease of a Build now. The lease of an attempt that may take long lasts as long.
sub expire_lease {
    my ($build) = @_;
    sql(q(UPDATE serverless.builds SET lease_expires = now() WHERE serverless.sid('ZB', id) = ? AND status = 'building' RETURNING id),
        $build->{sid});
}

# Waits for the Build and says how long that took.
sub timed {
    my ($project, $build) = @_;
    my $begin = time;
    return ($project->finished($build), time - $begin);
}

my $exhausted = 'The Functions could not be compiled within this server\'s limits of time and memory';


# A node of the suite's own ------------------------------------------------------------

my $fake = "$directory/node-of-the-suite";
my $wait = "$directory/node-waits";

# From now on, node does this. It cannot write files; that it waits is said by one.
sub node_does {
    my ($code) = @_;
    open my $out, '>', "$fake.new" or die "$fake: $!\n";
    print $out "#!/usr/bin/perl\nuse strict; use warnings; \$| = 1;\n$code\n";
    close $out or die "$fake: $!\n";
    chmod 0755, "$fake.new";
    rename "$fake.new", $fake or die "$fake: $!\n";
}

my $valid = 'print "\n";';
my $waits = "select undef, undef, undef, 0.05 while -e '$wait';";

sub node_waits { open my $out, '>', $wait or die "$wait: $!\n"; node_does($waits . ($_[0] // $valid)) }
sub node_goes_on { unlink $wait }

# Processes as [pid, parent, state], those of that node or of a parent.
sub processes {
    my @found;
    for my $path (glob '/proc/[0-9]*') {
        open my $in, '<', "$path/stat" or next;
        my ($pid, $state, $parent) = (<$in> // '') =~ /^(\d+) \(.*\) (\w) (\d+)/s or next;
        push @found, [$pid, $parent, $state];
    }
    return @found;
}

sub nodes { return grep { command_of($_->[0]) =~ /^\S*perl\0\Q$fake\E\0/ } processes() }

sub command_of {
    my ($pid) = @_;
    open my $in, '<', "/proc/$pid/cmdline" or return '';
    return <$in> // '';
}

# The process and its parent, once there is one.
sub running_node {
    wait_until { nodes() } or die "no node runs\n";
    my ($node) = nodes();
    return @$node[0, 1];
}

# What httpd and its children have left as zombies. httpd looks for its own every second.
sub zombies {
    my (@servers) = @_;
    my %httpd = map { $_->{pid} => 1 } @servers;
    my @all = processes();
    $httpd{ $_->[0] } = 1 for grep { $httpd{ $_->[1] } } @all;
    return grep { $httpd{ $_->[1] } && $_->[2] eq 'Z' } @all;
}

sub scratch_directories { return [glob "$temporary/*"] }


# The sandbox -----------------------------------------------------------------------------

node_does($valid);
my $patient = server('patient', node => $fake);

{
    my $project = new_project($patient);
    my $function = $project->new_deployable(function => 'sandboxed');
    node_does(<<'PERL');
my @descriptors;
for my $number (0 .. 1023) {
    my $target = readlink "/proc/self/fd/$number";
    next if !defined $target || $target eq $0 || $target =~ m{/node-of-the-suite$};
    push @descriptors, "$number " . ($target =~ /^pipe:/ ? 'pipe' : $target);
}
my ($directory) = readlink '/proc/self/cwd';
opendir my $entries, '.';
my $files = grep { !/^\.\.?$/ } readdir $entries;
open my $in, '<', '/proc/self/limits';
my %limit = map { /^(Max \w+(?: \w+)*?)\s{2,}(\S+)\s+(\S+)/ ? ($1 => "$2 $3") : () } <$in>;
printf "environment: %s; descriptors: %s; group: %s; directory: %s %o, files: %d; "
     . "cpu: %s; memory: %s; files: %s; core: %s; arguments: %s\n",
    join(',', sort keys %ENV), join(', ', @descriptors), getpgrp == $$ ? 'its own' : "that of others",
    $directory, (stat '.')[2] & 07777, $files, @limit{'Max cpu time', 'Max data size', 'Max file size', 'Max core file size'},
    scalar @ARGV;
PERL
    my $build = $project->finished($project->new_build($function));
    is $build->{status}, 'failed', 'a Build fails with the first line that Node.js prints';
    my ($scratch) = ($build->{failure_reason} // '') =~ m{directory: (/\S+ \(deleted\))};
    is $build->{failure_reason}, 'environment: ; descriptors: 0 pipe, 1 pipe, 2 /dev/null; group: its own; '
        . "directory: " . ($scratch // 'a directory that was deleted') . ' 700, files: 0; '
        . 'cpu: ' . (($build->{failure_reason} // '') =~ /cpu: (120 121|121 122);/)[0] . '; memory: 2147483648 2147483648; '
        . 'files: 0 0; core: 0 0; arguments: 3',
        'Node.js has an empty environment, three descriptors, a process group of its own, an empty directory and limits';
    like $scratch // '', qr{^/.*/serverless-build\.\w{6} \(deleted\)$},
        'the directory of Node.js is made for this Build and already unlinked';
    is_deeply row_of($build), ['failed', 1, $build->{failure_reason}], 'the Build failed at its first attempt';
}


# A Node.js that misbehaves ---------------------------------------------------

# Has node do this for a Build of the Function, which fails for the reason. Returns the seconds that the Build took.
sub misbehaves {
    my ($project, $function, $name, $code, $reason) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    node_does($code);
    my ($build, $seconds) = timed($project, $project->new_build($function));
    is_deeply row_of($build), ['failed', 1, $reason],
        "a node that $name: the Build fails at the first attempt, with the right reason";
    is $build->{failure_reason}, $reason, "a node that $name: the API answers that reason";
    ok wait_until { !nodes() }, "a node that $name: no process of it still runs";
    return $seconds;
}

sub leaves_nothing {
    my ($server) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    ok wait_until { !zombies($server) }, 'no zombie process is left by any of these nodes';
    is_deeply scratch_directories(), [], 'no directory is left by any of these nodes';
}

my $no_text = 'The check of the Functions gave no readable result';
my $large_source = '/' x 1_000_000 . "\n";

{
    my $project = new_project($patient);
    my $small = $project->new_deployable(function => 'small');
    my $large = $project->new_deployable(function => 'large', $large_source);

    for my $case (
        ['says nothing and exits at once',       $small, '',                                            $exhausted],
        ['exits at once while it is being told', $large, '',                                            $exhausted],
        ['ends with an error',                   $small, 'exit 3;',                                     $exhausted],
        ['is killed by a signal',                $small, 'kill KILL => $$;',                            $exhausted],
        ['says half a line',                     $small, 'print "half";',                               $exhausted],
        ['says what is no text',                 $small, 'print "\xff\xfe\x80\n";',                    $no_text],
        ['says something and then what is no text', $small, 'print "Error: \xc3\xa9\xff\n";',          "Error: \x{e9}"],
        ['says zeros',                           $small, 'print "\0\0\0\n";',                          $exhausted],
        ['says far too much',                    $small, 'print "x" x 1_000_000 while 1;',              'x' x 1000],
        ['says far too much, in two-byte characters', $small, 'print "x", "\xc3\xa9" x 1_000_000 while 1;', 'x' . "\x{e9}" x 499],
    ) {
        my ($name, $function, $code, $reason) = @$case;
        cmp_ok misbehaves($project, $function, $name, $code, $reason), '<', $AT_ONCE,
            "a node that $name: the Build ends before the timeout";
    }
    # which takes its time on a busy machine
    misbehaves($project, $small, 'wants all the memory', 'my @all; push @all, "x" x 100_000_000 while 1;', $exhausted);
    leaves_nothing($patient);

    node_does($valid);
    is $project->finished($project->new_build($large))->{status}, 'completed',
        'a node that prints nothing: the Build completes';
    my @failed = $patient->error_log =~ /(SF0010: .*)/g;
    is_deeply [grep { !/^SF0010: Build ZB[0-9a-f]{32} failed\z/ } @failed], [],
        'the error log names the failed Builds, without any text of a user';
    cmp_ok scalar @failed, '>', 0, 'the error log names at least one failed Build';
}


# The database goes while a Build runs ------------------------------------------------------

{
    my $project = new_project($patient);
    my $function = $project->new_deployable(function => 'stopped');
    node_waits();
    my $build = $project->new_build($function);
    running_node();
    database('stop');
    node_goes_on();
    ok wait_until { !nodes() }, 'Node.js ends while PostgreSQL is stopped';
    sleep 1; # its worker tries to say so
    database('start');
    expire_lease($build);
    is $project->finished($build)->{status}, 'completed', 'a Build that ended without PostgreSQL completes once it is back';
    cmp_ok row_of($build)->[1], '<=', 2, 'a Build that ended without PostgreSQL needs one more attempt at most';
}

{
    my $project = new_project($patient);
    my $function = $project->new_deployable(function => 'restarted');
    node_waits();
    my $build = $project->new_build($function);
    running_node();
    database('restart');
    node_goes_on();
    $project->finished($build);
    is_deeply row_of($build), ['completed', 1, undef],
        'PostgreSQL is restarted while a Build runs: it completes, at its first attempt';
}


# A Build that another worker has by now ----------------------------------------------------

for my $case (
    ['completed', $valid],
    ['failed', 'print "the late one\n";'],
) {
    my ($status, $says) = @$case;
    my $project = new_project($patient);
    node_waits($says);
    my $build = $project->new_build($project->new_deployable(function => 'taken-over'));
    running_node();
    $patient->error_log;
    sql(<<'SQL', $build->{sid});
UPDATE serverless.builds SET lease_token = gen_random_uuid(), lease_expires = 'infinity', attempts = 2
 WHERE serverless.sid('ZB', id) = ? RETURNING id
SQL
    node_goes_on();
    my $log = '';
    ok wait_until { ($log .= $patient->error_log) =~ /SF0011: Build $build->{sid} was deleted or taken over/ },
        "a worker whose Build was taken over finds it $status, and logs the loss";
    is_deeply row_of($build), ['building', 2, undef], 'a worker whose Build was taken over does not store its result';
    expire_lease($build);
    node_does($valid);
    is $project->finished($build)->{status}, 'completed', 'the next worker completes the Build';
    is_deeply row_of($build), ['completed', 3, undef], 'the next worker completes the Build at the next attempt';
}

{
    my $project = new_project($patient);
    node_waits();
    my $build = $project->new_build($project->new_deployable(function => 'deleted'));
    running_node();
    $patient->error_log;
    is $project->delete($build)->status, 204, 'a Build is deleted while a worker has it';
    node_goes_on();
    my $log = '';
    ok wait_until { ($log .= $patient->error_log) =~ /SF0011: Build $build->{sid} was deleted or taken over/ },
        'the worker of the deleted Build logs the loss';
    is $project->fetch($build)->status, 404, 'the Build stays deleted';
}


undef $patient;


# A Node.js that does not end -----------------------------------------------------------------

# Gives each lease of a Build another minute, so that a busy machine has the time to store what became of an attempt.
sub long_leases {
    my ($owner) = @_;
    $owner->do(q(CREATE FUNCTION public.long_leases() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN NEW.lease_expires := NEW.lease_expires + interval ''1 minute''; RETURN NEW; END'));
    $owner->do('CREATE TRIGGER long_leases BEFORE UPDATE ON serverless.builds FOR EACH ROW '
        . 'WHEN (NEW.lease_token <> OLD.lease_token OR OLD.lease_token IS NULL) EXECUTE FUNCTION public.long_leases()');
}

{
    my $hasty = server('hasty', node => $fake, timeout => $HASTY);
    my $project = new_project($hasty);
    my $small = $project->new_deployable(function => 'small');
    my $large = $project->new_deployable(function => 'large', $large_source);
    my $owner = $database->connect('postgres');
    long_leases($owner);

    for my $case (
        ['never reads what it is told',      $large, 'sleep 1000;'],
        ['never ends',                       $small, 'sleep 1000;'],
        ['never ends, nor does its child',   $small, 'fork; sleep 1000;'],
        ['never ends, and does not want to be stopped', $small, '$SIG{$_} = "IGNORE" for qw(TERM INT HUP XCPU PIPE); 1 while 1;'],
        ['closes its descriptors and stays', $small, 'close STDIN; close STDOUT; sleep 1000;'],
        ['has a child that keeps them',      $small, 'exit if fork; sleep 1000;'],
    ) {
        my ($name, $function, $code) = @$case;
        misbehaves($project, $function, $name, $code, $exhausted);
    }
    leaves_nothing($hasty);

    $owner->do('DROP TRIGGER long_leases ON serverless.builds');
    $owner->do('DROP FUNCTION public.long_leases()');
    $owner->disconnect;
}


# The child that runs a Build goes --------------------------------------------------------------

{
    my $server = server('killed', node => $fake, children => 3);
    my $project = new_project($server);
    my $function = $project->new_deployable(function => 'killed');
    node_waits();
    my $build = $project->new_build($function);
    my ($node, $child) = running_node();
    my ($lease) = sql(q(SELECT extract(epoch FROM lease_expires - clock_timestamp()) FROM serverless.builds
        WHERE serverless.sid('ZB', id) = ?), $build->{sid});
    cmp_ok $lease, '<=', $TIMEOUT + $MARGIN, 'its lease ends soon after its timeout';
    cmp_ok $lease, '>', $TIMEOUT + $MARGIN - $AT_ONCE, 'its lease does not end much earlier';

    kill KILL => $child or die "child $child: $!\n";
    ok wait_until { !grep { $_->[0] == $node } nodes() }, 'a child is killed: its Node.js process ends';
    is_deeply row_of($build), ['building', 1, undef], 'a child is killed: its Build is still building';

    expire_lease($build);
    my (undef, $other) = running_node();
    isnt $other, $child, 'a child is killed: another takes the Build over when the lease has expired';
    node_goes_on();
    is $project->finished($build)->{status}, 'completed', 'a child is killed: the other child completes the Build';
    is_deeply row_of($build), ['completed', 2, undef], 'a child is killed: the Build completes at the second attempt';
}

# A Build that takes every child with it, as one with a source that crashes httpd would.
{
    my $server = server('deadly', node => $fake);
    my $project = new_project($server);
    node_waits();
    my $build = $project->new_build($project->new_deployable(function => 'deadly'));
    for (1 .. 3) {
        my ($node, $child) = running_node();
        kill KILL => $child or die "child $child: $!\n";
        wait_until { !grep { $_->[0] == $node } nodes() } or die "node $node stays\n";
        expire_lease($build);
    }
    is $project->finished($build)->{failure_reason}, 'The Build could not be checked', 'after three children, a Build fails';
    is_deeply row_of($build), ['failed', 3, 'The Build could not be checked'],
        'after three children were killed, the Build is not tried again';
    node_goes_on();
    is_deeply scratch_directories(), [], 'after three children were killed, no directory is left';
}

{
    my $server = server('graceful', node => $fake, children => 2);
    my $project = new_project($server);
    node_waits();
    my $build = $project->new_build($project->new_deployable(function => 'graceful'));
    my ($node, $child) = running_node();
    my $begin = time;
    kill USR1 => $server->{pid};
    ok wait_until { !grep { $_->[0] == $node } nodes() }, 'httpd is restarted gracefully: Node.js is stopped';
    cmp_ok time - $begin, '<', $AT_ONCE, 'httpd is restarted gracefully: Node.js is stopped before its timeout';
    ok wait_until { !-e "/proc/$child" }, 'httpd is restarted gracefully: the child ends at once';
    node_goes_on();
    $project = $project->by($project->api->afresh);
    my ($ended, $seconds) = timed($project, $build);
    is $ended->{status}, 'completed', 'httpd is restarted gracefully: the next child completes the Build';
    cmp_ok $seconds, '<', $AT_ONCE, 'httpd is restarted gracefully: the next child need not wait for the lease';
    is row_of($build)->[1], 1, 'httpd is restarted gracefully: the stopped attempt is not counted';
    ok wait_until { !zombies($server) }, 'httpd is restarted gracefully: no zombie process is left';
    is_deeply scratch_directories(), [], 'httpd is restarted gracefully: no directory is left';
}


# A child ends while its worker is in the middle of a statement: it waits for that, or else
# the connection in use would have it crash.
{
    my $server = server('in_a_statement', node => $fake);
    my ($log, $child) = ('', undef);
    wait_until { ($child) = ($log .= $server->error_log) =~ /\[pid (\d+)[^\n]*SF0096/ } or die "no child works\n";
    my $holder = $database->connect('postgres');
    $holder->begin_work;
    $holder->do('LOCK TABLE serverless.builds IN ACCESS EXCLUSIVE MODE');
    ok wait_until { waiting() }, 'a worker waits for a lock in the database';
    kill USR1 => $server->{pid};
    ok wait_until { ($log .= $server->error_log) =~ /AH00(?:493|297|171):/ },
        'httpd is restarted gracefully while the worker waits';
    sleep 0.5;
    ok -e "/proc/$child", 'the child runs while its worker waits';
    $holder->rollback;
    $holder->disconnect;
    ok wait_until { !-e "/proc/$child" }, 'the child ends when its worker has the lock';
    unlike $log . $server->error_log, qr/exit signal|Assertion/, 'the child whose worker waited ends without a crash';
}


# Two databases, of which one does not answer --------------------------------------------------

# What listens there takes connections, and says nothing: each costs a worker connect_timeout, two
# seconds in which it does nothing else.
{
    my $silent = IO::Socket::INET->new(Listen => 128, LocalAddr => '127.0.0.1', LocalPort => 0, Blocking => 0) or die "$@\n";
    my $address = '127.0.0.1:' . Serverless::Server->free_port;
    my $server = server('beside', node => $fake, lines => "Listen $address\n<VirtualHost $address>\n"
        . Serverless::Server->database(host => '127.0.0.1 port=' . $silent->sockport) . Serverless::Server->api . "</VirtualHost>\n");
    my $tries = sub { my $count = 0; $count++ while $silent->accept; return $count };
    node_does($valid);
    my $project = new_project($server);
    my $function = $project->new_deployable(function => 'beside');
    ok wait_until { $tries->() }, 'one of two databases does not answer';
    my $begin = time;
    is_deeply [map { $project->finished($project->new_build($function))->{status} } 1 .. 10], [('completed') x 10],
        'one of two databases does not answer: the Builds of the other complete';
    # one more by maintenance, and one that had begun
    cmp_ok $tries->(), '<=', 2 + (time - $begin) / 5, 'the database that does not answer is tried every five seconds';
}


# Several children, two httpds ---------------------------------------------------------------

{
    my @servers = map { server($_, node => $ENV{NODE}, children => 2) } qw(left right);
    my $project = new_project($servers[0]);
    my @functions = map { $project->new_deployable(function => "f$_") } 1 .. 3;
    my @builds = map { @$_ } at_once(sub {
        my ($server) = @_;
        my $mine = $project->by($project->api->at($servers[$server]->address));
        return [map { $mine->new_build(@functions) } 1 .. 5];
    }, 0, 1, 0, 1, 0, 1);
    is scalar @builds, 30, 'thirty Builds are created at two httpds at the same time';
    is_deeply [grep { $_ ne 'completed' } map { $project->finished($_)->{status} } @builds], [],
        'two httpds: all thirty Builds complete';
    is_deeply [grep { $_->[1] != 1 } map { row_of($_) } @builds], [],
        'two httpds: each Build is done at its first attempt';
    unlike $_->error_log, qr/SF00(09|11|12)/, 'two httpds: no worker took a Build over' for @servers;

    my $long = "\x{e9}" x 1500;
    utf8::encode($long);
    my $build = $project->finished($project->new_build($project->new_deployable(function => 'long', "let $long;\nlet $long;\n")));
    my $reason = "/long line 2: SyntaxError: Identifier '";
    is $build->{failure_reason}, $reason . "\x{e9}" x int((1000 - length $reason) / 2),
        'a failure reason of more than 1000 bytes is cut between characters';
    for my $case (
        ['a name and a line',    "\n\nlet a = ;\n//# sourceURL=other.js:99\n"],
        ['the old form',         "\n\nlet a = ;\n//@ sourceURL=other.js"],
        ['the path itself',      "\n\nlet a = ;\n//# sourceURL=/source:77"],
        ['an error of its own',  "\n\nlet a = ;\n//# sourceURL=SyntaxError:1:2"],
        ['a comment before it',  "//# sourceURL=first.js\n\nlet a = ;\n"],
        ['a comment in a text',  "\n`//# sourceURL=\n`; let a = ;\n"],
    ) {
        my ($name, $source) = @$case;
        is $project->finished($project->new_build($project->new_deployable(function => 'source', $source)))->{failure_reason},
            "/source line 3: SyntaxError: Unexpected token ';'", "failure_reason names path and line where sourceURL is $name";
    }
    ok wait_until { !zombies(@servers) }, 'two httpds: no zombie process is left';
}

done_testing;
