# serverless-runner by itself: its messages, its decisions about isolates, Builds on disk, its start and its end.
# t/unit/isolate_pool_test.c tests all decisions; here are those that take processes.
use strict;
use warnings FATAL => 'all';

use Apache::Test qw(-withtestmore);
use Cpanel::JSON::XS ();
use Serverless::Runner;
use Serverless::RunnerChild;
use Serverless::Time;
use Test::More;
use Time::HiRes ();

my $hello = 'exports.handler = (context, event, callback) => callback(null, "hello");';
my $build = [ Serverless::RunnerChild::build(
    hello => $hello,
    exit  => 'exports.handler = () => process.exit(3);',
    kill  => 'exports.handler = () => process.kill(process.pid, "SIGKILL");',
    heap  => 'exports.handler = () => { const a = []; for (;;) a.push(new Array(1000).fill({})); };',
    spin  => 'exports.handler = () => { for (;;); };',
    pid   => 'exports.handler = (context, event, callback) => callback(null, String(process.pid));',
    child => 'exports.handler = (context, event, callback) => {
        const child = require("child_process").spawn("/bin/sleep", ["600"], { stdio: "ignore" });
        child.unref();
        callback(null, String(child.pid)); };',
    stdin => 'exports.handler = (context, event, callback) => callback(null,
        JSON.stringify([require("fs").readFileSync(0, "utf8"), process.cwd().split("/").pop(), process.env]));',
    limit => 'exports.handler = (context, event, callback) => {
        try { require("fs").writeFileSync("/tmp/serverless-runner-test", Buffer.alloc(65 * 1024 * 1024)); }
        catch (error) { callback(null, error.code); }
        finally { require("fs").unlinkSync("/tmp/serverless-runner-test"); } };',
    descriptors => 'exports.handler = (context, event, callback) => callback(null,
        require("fs").readdirSync("/proc/self/fd").map(fd => { try {
            return require("fs").readlinkSync("/proc/self/fd/" + fd); } catch { return ""; } }).join(" "));',
) ];

my $runner = Serverless::Runner->start('main');

sub is_message {
    my ($message, $type, $payload, $name) = @_;
    is $message->{type}, $type, "$name: $type" or diag explain $message;
    is_deeply $message->{payload}, $payload, "$name: the payload" if ref $payload eq 'HASH';
    like $message->{payload}{detail}, $payload, "$name: the detail" if ref $payload eq 'Regexp';
}

sub is_closed {
    my ($child, $name) = @_;
    my $message = $child->receive;
    ok $message->{closed}, "$name: the connection is closed" or diag explain $message;
}

# Nothing comes for a fifth of a second.
sub is_quiet {
    my ($child, $name) = @_;
    my $message = $child->receive(0.2);
    is_deeply $message, {}, $name;
}

# Whether a process is there, and no zombie.
sub is_running {
    my ($pid) = @_;
    open my $file, '<', "/proc/$pid/stat" or return 0;
    return (<$file> // ') Z ') !~ /\) [ZX] /;
}


sub write_file {
    my ($path, $text) = @_;
    open my $file, '>', $path or die "$path: $!\n";
    print $file $text;
    close $file or die "$path: $!\n";
}


# Messages ---------------------------------------------------------------------

subtest 'HELLO' => sub {
    my $child = $runner->connect_child;
    is_deeply $child->{hello}, { version => 1, runtimes => [ 'node18', 'node20', 'node22' ], install => Cpanel::JSON::XS::false,
        isolation => 'none', egress => 'host', long => Cpanel::JSON::XS::true },
        'the answer has the Runtimes and the levels';
    for my $case ([ 'a second HELLO', $child ], [ 'HELLO of another version', undef, { version => 2 } ],
        [ 'HELLO without a version', undef, {} ], [ 'HELLO that is no JSON', undef, 'hello' ]) {
        my ($name, $connection, $payload) = @$case;
        $connection //= Serverless::RunnerChild->open($runner->{socket});
        $connection->send(HELLO => 0, $payload // { version => 1 });
        $connection->receive if ref $payload && !$connection->{hello};
        is_closed $connection, $name;
    }
};

subtest 'wrong packets' => sub {
    my $before = Serverless::RunnerChild->open($runner->{socket});
    $before->lease(1);
    is_closed $before, 'a message before HELLO';
    my %wrong = ('a short packet' => "\1\0\0", 'an unknown type' => "\x63\0\0\0\0", 'type 0' => "\0\0\0\0\0",
        'a message that only the runner sends' => "\4\0\0\0\1{}", 'a LEASE of no JSON' => "\2\0\0\0\1{",
        'a LEASE with NUL' => "\2\0\0\0\1{}\0", 'a RETURN of no JSON' => "\13\0\0\0\1", 'a KILL without a cause' => "\14\0\0\0\1{}",
        'RETURN of an isolate that was never there' => "\13\xff\0\0\0{\"calls\":1,\"rss\":1}",
        'LONG of an isolate that was never there' => "\27\xff\0\0\0");
    for my $name (sort keys %wrong) {
        my $child = $runner->connect_child;
        $child->raw($wrong{$name});
        is_closed $child, $name;
    }
    my $large = $runner->connect_child;
    $large->raw("\x08\0\0\0\1" . 'x' x 65_532);
    is_closed $large, 'a packet of 65,537 bytes';
    my $child = $runner->connect_child;
    $child->raw("\x10\0\0\0\5", 1);
    is $child->receive->{type}, 'STATUS', 'a descriptor beside a message is closed';
};

subtest 'LEASE: values' => sub {
    my %wrong = (environment => 'ZE12', account => 'ACx', build => '../../etc', runtime => '', concurrency => 0, isolates => -1,
        memory => 1000, idle => 0, calls => 0, timeout => 0, wait => -1);
    for my $name (sort keys %wrong) {
        my $child = $runner->connect_child;
        $child->lease(1, $name => $wrong{$name});
        is_closed $child, "$name $wrong{$name}";
    }
    my $child = $runner->connect_child;
    $child->lease(2, runtime => 'node1');
    is_message $child->receive, 'REFUSED', { reason => 'runtime', detail => 'node1' }, 'a Runtime that is not there';
    my $demand = Serverless::RunnerChild::demand();
    delete $demand->{idle};
    $child->send(LEASE => 3, $demand);
    is_closed $child, 'a LEASE without idle';
};


# A Build, and calls -----------------------------------------------------------

subtest 'the first lease' => sub {
    my $child = $runner->connect_child;
    $child->lease(7);
    is_message $child->receive, 'MISSING', undef, 'a Build that the runner does not have';
    $child->send_build(7, @$build);
    my $line = $child->receive;
    is_message $line, 'LINE', { isolate => $line->{payload}{isolate}, cold => Cpanel::JSON::XS::true }, 'after STORE';
    is $child->call($line, 'hello')->{body}, 'hello', 'a call is answered over the line';
    is $child->call($line, 'hello')->{idle}{calls}, 2, 'and another one';
    $child->give_back($line, calls => 2);

    my $again = $child->obtain(8, $build);
    is_message $again, 'LINE', { isolate => $line->{payload}{isolate}, cold => Cpanel::JSON::XS::false }, 'the same isolate';
    is $child->call($again, 'hello')->{idle}{calls}, 3, 'it goes on';
    my $other = $runner->connect_child;
    $other->send(KILL => $again->{payload}{isolate}, { cause => 'busy' });
    is_closed $other, 'KILL of an isolate of another child';
    $child->give_back($again);
    $child->send(RETURN => $again->{payload}{isolate}, { calls => 1, rss => 1 });
    is_closed $child, 'a second RETURN';
};

subtest 'the process of an isolate' => sub {
    my $child = $runner->connect_child;
    my $line = $child->obtain(1, $build);
    my ($stdin, $folder, $environment) = @{ Cpanel::JSON::XS::decode_json($child->call($line, 'stdin')->{body}) };
    is $stdin, '', 'standard input is empty';
    is $folder, Serverless::RunnerChild::sid('ZB', '0'), 'the directory is the Build';
    is_deeply [ grep { $_ ne 'NODE_PATH' } keys %$environment ], [], 'the environment is empty';
    my @open = split ' ', $child->call($line, 'descriptors')->{body};
    is scalar(grep { /^socket:/ } @open), 1, 'of sockets it has its line' or diag "@open";
    is scalar(grep { m{runner-main|/log$} } @open), 0, 'it has no file of the runner' or diag "@open";
    is $child->call($line, 'limit')->{body}, 'EFBIG', 'a file has at most 64 MiB';
    $child->give_back_worn($line);
};

subtest 'KILL' => sub {
    my $child = $runner->connect_child;
    my $line = $child->obtain(1, $build, timeout => 600); # or it would end by its processor time
    my $pid = $child->call($line, 'pid')->{body};
    my $started = $child->call($line, 'child')->{body};
    ok is_running($pid) && is_running($started), 'an isolate and a process that it has started run';
    $child->begin($line, 'spin');
    $child->kill($line, 'timeout');
    ok wait_until { !is_running($pid) }, 'an endless loop is ended';
    ok wait_until { !is_running($started) }, 'so is the process that the isolate has started';
    $child->send(RETURN => $line->{payload}{isolate}, { calls => 1, rss => 1 });
    is_quiet $child, 'no GONE comes, and RETURN of an isolate that has ended is ignored';
};

subtest 'LONG' => sub {
    my $own = Serverless::Runner->start('long');
    my ($child, $other) = ($own->connect_child, $own->connect_child);
    my $line = $child->obtain(1, $build);
    my $isolate = $line->{payload}{isolate};
    $child->send(LONG => $isolate);
    ok wait_until { $own->status->{isolates}{idle} == 1 }, 'another isolate is started, which is idle';
    $child->send(LONG => $isolate);
    $child->kill($line, 'timeout');
    wait_until { $own->status->{killed} == 1 };
    is $own->status->{starts}, 2, 'one is enough for a second LONG, and for KILL';
    $child->send(LONG => $isolate);
    is_quiet $child, 'LONG of an isolate that has ended is ignored';
    is $child->obtain(2)->{payload}{isolate}, $isolate + 1, 'the next lease gets it';
    $other->send(LONG => $isolate + 1);
    is_closed $other, 'LONG for an isolate of another child';
};

subtest 'GONE: causes' => sub {
    my $child = $runner->connect_child;
    my $number = 0;
    my %cause = (exit => 'exit 3', kill => 'signal 9', heap => 'memory');
    for my $function (sort keys %cause) {
        my $line = $child->obtain(++$number, $build, memory => 64 * 1024 * 1024, account => '3', environment => 'c');
        is_deeply $child->call($line, $function), {}, "$function: the line ends";
        my $gone = $child->receive;
        is $gone->{type}, 'GONE', $function;
        is $gone->{number}, $line->{payload}{isolate}, "$function: the isolate";
        is $gone->{payload}{cause}, $cause{$function}, "$function: the cause" or diag explain $gone;
        $child->drop($line);
    }
    my $line = $child->obtain(++$number, $build, timeout => 1, calls => 1, environment => 'd');
    $child->begin($line, 'spin');
    my $gone = $child->receive;
    is $gone->{payload}{cause}, 'processor time', 'twice the time of all calls' or diag explain $gone;
    is $child->obtain(++$number, $build)->{type}, 'LINE', 'other Environments go on';
};

subtest 'what a child leaves behind' => sub {
    my $child = $runner->connect_child;
    my $line = $child->obtain(1, $build, environment => 'e', account => '4');
    my $pid = $child->call($line, 'pid')->{body};
    $child->lease(2, environment => 'e', concurrency => 1);
    my $other = $runner->connect_child;
    $child->close;
    wait_until { !is_running($pid) };
    ok !is_running($pid), 'its isolates are killed with its connection';
    is $runner->status->{leases}{waiting}, 0, 'its leases do not wait any more';
    is $other->obtain(1, $build, environment => 'e', account => '4')->{type}, 'LINE', 'other children go on';
    $other->close;
};

subtest 'bytes on a line that is returned' => sub {
    my $child = $runner->connect_child;
    my $line = $child->obtain(1, $build, environment => 'f', account => '5');
    $child->begin($line, 'hello');
    ok $child->wait_for_bytes($line), 'a call is answered, and its answer is not read';
    $child->give_back($line);
    my $next = $child->obtain(2, $build, environment => 'f', account => '5');
    isnt $next->{payload}{isolate}, $line->{payload}{isolate}, 'its isolate is not leased again';
    is $child->call($next, 'hello')->{body}, 'hello', 'the next one is sound';
    $child->close;
};


# Leases -----------------------------------------------------------------------

subtest 'first come, first served' => sub {
    my ($one, $two) = ($runner->connect_child, $runner->connect_child);
    my %value = (environment => 'g', account => '6', concurrency => 1);
    my $line = $one->obtain(1, $build, %value);
    $_->[0]->lease($_->[1], %value) for [ $two, 1 ], [ $one, 2 ], [ $two, 3 ];
    my $give = $one->receive;
    is $give->{type}, 'GIVE', 'the child that has the line is asked for it';
    is $give->{payload}{environment}, Serverless::RunnerChild::sid('ZE', 'g'), 'for this Environment';
    is_quiet $two, 'the limit of the Environment holds';
    $one->give_back($line);
    $line = $two->receive;
    is "$line->{type} $line->{number}", 'LINE 1', 'the first lease is first';
    is $two->receive->{type}, 'GIVE', 'which is asked for its line at once';
    $two->give_back($line);
    $line = $one->receive;
    is "$line->{type} $line->{number}", 'LINE 2', 'then the second';
    is $one->receive->{type}, 'GIVE', 'GIVE';
    $two->send(CANCEL => 3);
    $one->give_back($line);
    is_quiet $two, 'a lease that was cancelled gets nothing';
    $one->close;
    $two->close;
};

subtest 'more Environments than isolates' => sub {
    my $child = $runner->connect_child;
    my $number = 0;
    for my $environment (('A' .. 'H') x 2) {
        my $line = $child->obtain(++$number, $build, environment => $environment, account => $environment, isolates => 4);
        is $line->{type}, 'LINE', "Environment $environment" or next;
        $child->give_back($line);
    }
    $child->send(STATUS => 1);
    cmp_ok $child->receive->{payload}{isolates}{idle}, '<=', 4, 'the one that was used longest ago makes room';
    $child->close;
};

subtest 'a number in use' => sub {
    my $child = $runner->connect_child;
    my %value = (environment => 'h', account => '7', concurrency => 1);
    $child->obtain(1, $build, %value);
    $child->lease(2, %value);
    $child->lease(2, %value);
    is_closed $child, 'a second LEASE of a number that waits';
};

subtest 'WARM' => sub {
    my $child = $runner->connect_child;
    my $demand = sub { Serverless::RunnerChild::demand(environment => 'b', account => '8', build => $_[0]) };
    my $starts = $runner->status->{starts};
    $child->send(WARM => 1, $demand->('1'));
    is_message $child->receive, 'REFUSED', { reason => 'unused', detail => 'the Environment has no isolates' }, 'an Environment without isolates';
    is $runner->status->{starts}, $starts, 'nothing is started';
    $child->give_back($child->obtain(2, $build, environment => 'b', account => '8'));
    $child->send(WARM => 3, $demand->('9'));
    is $child->receive->{type}, 'MISSING', 'an Environment in use: the Build is asked for';
    $child->send_build(3, @$build);
    my $line = $child->receive;
    is $line->{type}, 'LINE', 'and its isolate is started';
    $child->give_back($line);
    my $cold = $runner->status->{leases}{cold};
    is $child->obtain(4, undef, environment => 'b', account => '8', build => '9')->{payload}{cold}, Cpanel::JSON::XS::false, 'a call does not wait for it';
    is $runner->status->{leases}{cold}, $cold, 'and is not counted as cold';
    $child->close;
};


# Builds on disk ---------------------------------------------------------------

subtest 'a Build that is sent wrongly' => sub {
    my $manifest = $build->[-1][1];
    my @file = @{ $build->[0] };
    my %wrong = (
        'a wrong hash' => [ qr/SHA-256 of handlers/, sub { $_[0]->send_file(1, @file, sha256 => 'a' x 64) } ],
        'a hash that is none' => [ qr/wrong SHA-256/, sub { $_[0]->send_file(1, @file, sha256 => 'x') } ],
        'too few bytes' => [ qr/is not complete/, sub { $_[0]->send_file(1, @file, size => 1 + length $file[1]) } ],
        'too many bytes' => [ qr/larger than announced/, sub { $_[0]->send_file(1, @file, size => 1) } ],
        'a size below 0' => [ qr/wrong size/, sub { $_[0]->send_file(1, @file, size => -1) } ],
        'a large size' => [ qr/too large/, sub { $_[0]->send_file(1, @file, size => 65 * 1024 * 1024) } ],
        'DATA before FILE' => [ qr/before a file/, sub { $_[0]->send(DATA => 1, 'x') } ],
        'FILE of no JSON' => [ qr/wrong name/, sub { $_[0]->send(FILE => 1, '{') } ],
        'a file twice' => [ qr/twice/, sub { $_[0]->send_file(1, @file) for 1, 2 } ],
        'no manifest' => [ qr/no manifest/, sub { $_[0]->send_file(1, @file) } ],
        'a manifest of no JSON' => [ qr/no JSON/, sub { $_[0]->send_file(1, 'manifest.json', '{') } ],
        'a manifest without assets' => [ qr/no object assets/, sub { $_[0]->send_file(1, 'manifest.json', '{"functions":{}}') } ],
        'a manifest of a file that was not sent' => [ qr/for \w+ that was not sent/, sub { $_[0]->send_file(1, 'manifest.json', $manifest) } ],
        map { my $name = $_; "the name $name" => [ qr/wrong name/, sub { $_[0]->send_file(1, $name, 'x') } ] }
            '../x', '/etc/passwd', 'handlers/../../x', 'handlers/ZN' . 'a' x 32, 'files/ZN' . 'A' x 32, 'files/ZN' . 'a' x 31,
            'handlers/ZN' . 'a' x 32 . '.js/x', 'sha256sums', '', '.',
    );
    for my $name (sort keys %wrong) {
        my $child = $runner->connect_child;
        $child->lease(1, build => '1');
        is $child->receive->{type}, 'MISSING', "$name: MISSING";
        $wrong{$name}[1]->($child);
        $child->send(STORE => 1);
        is_message $child->receive, 'REFUSED', $wrong{$name}[0], $name;
        $child->send(STATUS => 2);
        is $child->receive->{type}, 'STATUS', "$name: the connection goes on";
        $child->close;
    }
    wait_until { !glob "$runner->{folder}/tmp/*" };
    is_deeply [ glob "$runner->{folder}/tmp/*" ], [], 'nothing of it is left on disk';
    ok !-e $runner->builds . '/' . Serverless::RunnerChild::sid('ZB', '1'), 'and there is no Build';
};

subtest 'one child sends a Build, the others wait' => sub {
    my @children = map { $runner->connect_child } 1 .. 3;
    $_->lease(1, build => '2', environment => 'b') for @children;
    is $children[0]->receive->{type}, 'MISSING', 'the first child is asked';
    is_quiet $children[1], 'the second one is not';
    $children[0]->send_file(1, @{ $build->[0] });
    $children[0]->close;
    is $children[1]->receive->{type}, 'MISSING', 'it is, when the first one has gone';
    $children[1]->send_file(1, @{ $build->[0] });
    $children[1]->send(ABANDON => 1, 'the database is away');
    is $children[2]->receive->{type}, 'MISSING', 'and the third one, when the second one cannot send it';
    is_quiet $children[1], 'a lease that was abandoned is not answered';
    $children[2]->send(CANCEL => 1);
    $children[1]->lease(2, build => '2', environment => 'b');
    is_quiet $children[1], 'a lease that is cancelled goes on sending';
    $children[2]->send_build(1, @$build);
    is $children[1]->receive->{type}, 'LINE', 'which serves the others';
    is_quiet $children[2], 'and is not answered';
};

subtest 'a Build on disk' => sub {
    my $folder = $runner->builds . '/' . Serverless::RunnerChild::sid('ZB', '0');
    is system("cd $folder && sha256sum --quiet -c sha256sums"), 0, 'sha256sum(1) can check it';
    is sprintf('%o', (stat $folder)[2] & 07777), '555', 'the folder is read-only';
    is sprintf('%o', (stat "$folder/manifest.json")[2] & 07777), '444', 'so are its files';

    my $file = "$folder/$build->[0][0]";
    $runner->terminate;
    chmod 0644, $file;
    open my $damaged, '+<', $file or die "$file: $!\n";
    print $damaged 'X';
    close $damaged;
    mkdir "$runner->{folder}/tmp/1-1";
    write_file("$runner->{folder}/tmp/1-1/half", 'x');
    $runner->run;
    wait_until { !-e "$runner->{folder}/tmp/1-1" };
    ok !-e "$runner->{folder}/tmp/1-1", 'a half-written Build is removed';
    my $child = $runner->connect_child;
    $child->lease(1);
    is $child->receive->{type}, 'MISSING', 'a damaged Build is fetched again';
    $child->send_build(1, @$build);
    is $child->call($child->receive, 'hello')->{body}, 'hello', 'and is sound then';
    is $runner->connect_child->obtain(1, undef, build => '2', environment => 'b')->{type}, 'LINE', 'a sound one is used as it is';
};

subtest 'the size of the cache' => sub {
    my $small = Serverless::Runner->start('small', cache => '1M');
    my $child = $small->connect_child;
    my @large = Serverless::RunnerChild::build(hello => $hello . '//' . 'x' x 400_000);
    for my $number (1 .. 2) {
        my $line = $child->obtain($number, \@large, build => $number);
        is $line->{type}, 'LINE', "Build $number";
        $child->give_back_worn($line);
        Time::HiRes::sleep(1.1); # times of folders are compared
    }
    $child->give_back_worn($child->obtain(3, undef, build => '1'));
    wait_until { $small->status->{environments} == 0 };
    is $child->obtain(4, \@large, build => '4')->{type}, 'LINE', 'a third Build';
    wait_until { $small->status->{cache}{builds} == 2 };
    is_deeply [ map { substr $_, -1 } sort glob $small->builds . '/*' ], [ 1, 4 ], 'the one that was used longest ago is removed';
    $child->lease(5, build => '5');
    $child->receive;
    $child->send_build(5, Serverless::RunnerChild::build(hello => 'x' x 1_100_000));
    is_message $child->receive, 'REFUSED', qr/larger than the cache/, 'a Build that never fits';
};

subtest 'the disk is full' => sub {
    my $full = Serverless::Runner->start('full', under => [ 'prlimit', '--fsize=100000' ]);
    my $child = $full->connect_child;
    $child->lease(1);
    $child->receive;
    $child->send_build(1, Serverless::RunnerChild::build(hello => 'x' x 200_000));
    my $message = $child->receive;
    is_message $message, 'REFUSED', qr/^handlers/, 'a file that cannot be written';
    is $message->{payload}{reason}, 'disk', 'the reason';
    like $full->said, qr/error: Build ZB\w+ cannot be put on disk/, 'it is logged';
    is $child->obtain(2, $build, build => '1')->{type}, 'LINE', 'other Builds are stored';
    is $child->obtain(3, $build)->{type}, 'LINE', 'so is this one, when there is room';
};


subtest 'children that hang' => sub {
    my ($hangs, $lives) = map { $runner->connect_child } 1 .. 2;
    my @isolates = map { $_->call($_->obtain(1, $build, environment => 'd', account => '7'), 'pid')->{body} } $hangs, $lives;
    $hangs->hang;
    ok wait_until { !is_running($isolates[0]) }, 'a child that does not answer loses its isolates';
    like $runner->said, qr/the connection of process \d+ is closed: it has isolates, and does not answer/, 'the log';
    ok is_running($isolates[1]), 'one that answers keeps them';
    $lives->close;
} if $ENV{FULL}; # 30 s

# Start and end ----------------------------------------------------------------

subtest 'isolates that do not start' => sub {
    my %isolate = ('exits' => [ 'process.stderr.write("no such thing\n"); process.exit(4);', qr/^exit 4: no such thing$/ ],
        'says something else' => [ 'require("fs").writeSync(3, "hello"); setTimeout(() => {}, 1000);', qr/^other bytes than READY/ ]);
    $isolate{'never is ready'} = [ 'setTimeout(() => {}, 60_000);', qr/^not ready in time$/ ] if $ENV{FULL}; # 15 s
    for my $name (sort keys %isolate) {
        write_file("$ENV{HOME}/isolate.js", $isolate{$name}[0]);
        my $broken = Serverless::Runner->start('broken', isolate => "$ENV{HOME}/isolate.js");
        my $message = $broken->connect_child->obtain(1, $build, wait => 60_000);
        is_message $message, 'REFUSED', $isolate{$name}[1], "an isolate that $name";
        is $message->{payload}{reason}, 'start', 'the reason';
    }
};

subtest 'the end' => sub {
    my $ending = Serverless::Runner->start('ending');
    my ($child, $idle) = ($ending->connect_child, $ending->connect_child);
    my $line = $child->obtain(1, $build);
    my $pid = $child->call($line, 'pid')->{body};
    $child->lease(2, concurrency => 1);
    kill TERM => $ending->pid;
    is_message $child->receive, 'REFUSED', { reason => 'stopping', detail => 'this runner stops' }, 'a lease that waits';
    is $child->receive->{type}, 'LEAVE', 'the child is told';
    is $idle->receive->{type}, 'LEAVE', 'so is another one';
    is_closed $idle, 'without isolates';
    $child->lease(3);
    is $child->receive->{payload}{reason}, 'stopping', 'nothing is leased any more';
    is $child->call($line, 'hello')->{body}, 'hello', 'calls go on';
    $child->give_back($line);
    is_closed $child, 'when all lines are back';
    wait_until { !$ending->is_alive };
    ok !$ending->is_alive && !is_running($pid), 'the runner ends, with its isolates';
    ok !-e $ending->{socket}, 'its socket is removed';
};

subtest 'SIGKILL of the runner' => sub {
    my $killed = Serverless::Runner->start('killed');
    my $child = $killed->connect_child;
    my $line = $child->obtain(1, $build);
    my $pid = $child->call($line, 'pid')->{body};
    $killed->kill_now;
    wait_until { !is_running($pid) };
    ok !is_running($pid), 'its isolates end with it';
    is_closed $child, 'a child';
    $killed->run; # in spite of the old socket
    is $killed->connect_child->obtain(1, undef)->{type}, 'LINE', 'the Build is on disk';
};

# The next message but GIVE, which the runner repeats as long as a lease waits.
sub receive_but_give {
    my ($child) = @_;
    while (1) {
        my $message = $child->receive;
        return $message if ($message->{type} // '') ne 'GIVE';
    }
}

subtest 'reload' => sub {
    my $handing = Serverless::Runner->start('handing');
    my ($busy, $idle, $waiting) = map { $handing->connect_child } 1 .. 3;
    my $line = $busy->obtain(1, $build, concurrency => 1);
    $waiting->lease(1, concurrency => 1);
    my $old = $handing->reload;
    like $handing->said, qr/notice: process $handing->{pid} takes over/, 'the old runner says so';
    is $busy->receive->{type}, 'GIVE', 'the line was asked for';
    is_message $waiting->receive, 'REFUSED', { reason => 'stopping', detail => 'this runner stops' }, 'a lease that waits';
    is receive_but_give($_)->{type}, 'LEAVE', 'a child is told' for $busy, $idle, $waiting;
    is_closed $_, 'without isolates' for $idle, $waiting;
    my $next = $handing->connect_child;
    my $warm = $next->obtain(1, undef);
    is $warm->{type}, 'LINE', 'the new runner leases, and has the Builds';
    is $busy->call($line, 'hello')->{body}, 'hello', 'calls of the old one go on';
    ok is_running($old), 'which waits for them';
    my $second = $handing->{pid};
    kill HUP => $second;
    wait_until { $handing->said =~ /SIGHUP waits/ };
    is $handing->status->{pid}, $second, 'a further reload waits for its end';
    $busy->give_back($line);
    is_closed $busy, 'when all lines are back';
    wait_until { !is_running($old) };
    ok !is_running($old), 'the old runner ends';
    $next->give_back_worn($warm);
    wait_until { $handing->status->{pid} != $second };
    $handing->{pid} = $handing->status->{pid};
    isnt $handing->{pid}, $second, 'then the further reload is done';
    wait_until { !is_running($second) };
    is $handing->connect_child->obtain(1, undef, environment => 'b')->{type}, 'LINE', 'the new one goes on';

    my $pid = $handing->{pid};
    for my $case ([ 'line 10: there is no option Color', 'Color blue' ], [ 'the new runner has not started', undef ]) {
        my ($message, $line) = @$case;
        $handing->configure(lines => [ $line // () ]);
        local $handing->{socket} = '/proc/control' if !$line;
        $handing->configure if !$line;
        kill HUP => $pid;
        wait_until { $handing->said =~ /error: .*$message.*; this (?:runner|one) goes on/ };
        like $handing->said, qr/$message/, "$message: the log";
    }
    is $handing->status->{pid}, $pid, 'the runner goes on where a new one does not start';
};

subtest 'reload under load' => sub {
    my $loaded = Serverless::Runner->start('loaded');
    my @children = map { $loaded->connect_child } 1 .. 4;
    $children[0]->give_back($children[0]->obtain(1, $build));
    my ($calls, $failed, $reconnected) = (0, 0, 0);
    for my $round (1 .. 60) {
        for my $child (@children) {
            my $message;
            while (1) {
                $message = $child->obtain($round, undef, concurrency => 3);
                $message = $child->receive while ($message->{type} // '') eq 'GIVE';
                last if ($message->{type} // '') eq 'LINE';
                $reconnected++;
                $child = $loaded->connect_child;
            }
            $calls++;
            my $answer = $child->call($message, 'hello');
            $failed++ if ($answer->{body} // '') ne 'hello';
            $child->give_back($message, calls => $answer->{idle}{calls});
        }
        $loaded->reload if $round % 12 == 0;
    }
    is "$failed of $calls", '0 of 240', 'no call fails';
    cmp_ok $reconnected, '>=', 16, 'children have connected to new runners';
};

subtest 'messages at random' => sub {
    my $fuzzed = Serverless::Runner->start('fuzzed');
    my $child = $fuzzed->connect_child;
    $child->give_back_worn($child->obtain(1, $build));
    my $seed = int rand 1_000_000;
    for my $first (1, $seed) {
        my $made = Serverless::RunnerChild->fuzz($fuzzed->{socket}, $first, 4_000,
            (map { Serverless::RunnerChild::demand(build => $_, concurrency => 1, isolates => 2, wait => 10) } 0, 1),
            { calls => 1, rss => 1 }, { cause => 'busy' }, { name => 'manifest.json', sha256 => 'a' x 64, size => 2 },
            { name => 'handlers/ZN' . 'a' x 32 . '.js', sha256 => 'b' x 64, size => 1 }, '{}', '');
        # fewer on a slow machine, where the end of a connection is seen later
        cmp_ok $made->{connections}, '>', 10, "seed $first: wrong messages end connections";
        cmp_ok $made->{answers}, '>', 5, "seed $first: right ones are answered";
        is $fuzzed->connect_child->obtain(1, undef, environment => 'c')->{type}, 'LINE', 'the runner goes on';
    }
    my $status = $fuzzed->status;
    is $status->{leases}{waiting}, 0, 'no lease is left';
    $fuzzed->terminate;
    unlike $fuzzed->said, qr/Sanitizer|runtime error/, 'nothing is wrong in it';
};

subtest 'a second runner' => sub {
    my $other = eval { Serverless::Runner->start('other', folder => $runner->{folder}) };
    like $@, qr/another runner uses this folder/, 'two do not use one folder';
};

subtest 'another user' => sub {
    my $strange = Serverless::Runner->start('strange', client => 'daemon');
    my $child = Serverless::RunnerChild->open($strange->{socket});
    $child->send(HELLO => 0, { version => 1 });
    is_closed $child, 'a user that no Client line names';
    like $strange->said, qr/warning: process \d+ of user $< may not connect: no Client line names it/, 'the log';
};

subtest 'configuration' => sub {
    my %wrong = (
        'Color blue' => 'there is no option Color',
        'Cache /tmp' => 'Cache takes 2 values, and has 1',
        'Isolation bubblewrap' => 'Isolation is there already',
        'Runtime node24 /nowhere' => '/nowhere cannot be executed by this user',
        'Client nobody-of-that-name' => 'there is no user nobody-of-that-name',
        'Twilio here' => 'here is not an absolute path',
        'NpmCache here' => 'here is not an absolute path',
        'NpmCache /nowhere' => '/nowhere cannot be read by this user',
        'NpmCache /etc/passwd' => "/etc/passwd is not a cache of npm's: it has no folder _cacache/index-v5",
        'NpmCache /etc' => "/etc is not a cache of npm's: it has no folder _cacache/index-v5",
    );
    my $tested = bless { %$runner, pid => undef, config => "$ENV{HOME}/wrong-runner.conf" }, 'Serverless::Runner';
    for my $line (sort keys %wrong) {
        $tested->configure(lines => [$line]);
        like $tested->check, qr/error: \S+ line 10: $wrong{$line}$/, $line;
        isnt $?, 0, 'the status';
    }
    $tested->configure(cache => '10');
    like $tested->check, qr/10 is not a size of at least 1M, such as 2G/, 'a size';
    $tested->configure;
    is $tested->check, '', 'a right one';
    is $?, 0, 'its status';
};

$runner->terminate;

done_testing;
