# The cage of isolates: what a program in it can see, reach, use up and leave behind. Each program also runs outside the
# cage, as the same user, where it succeeds: that is the control. t/egress.t has the network of the level `filtered`.
use strict;
use warnings FATAL => 'all';

use Apache::Test qw(-withtestmore);
use Apache::TestConfig ();
use IO::Socket::INET ();
use IO::Socket::UNIX ();
use POSIX ();
use Serverless::Cage;
use Serverless::Test;
use Test::More;
use Time::HiRes qw(sleep);

my $cage = Serverless::Cage->new;
my $obstacle = $cage->obstacle;
plan skip_all => "no cage on this machine: $obstacle" if defined $obstacle;

my $folder = $cage->folder;

# Runs a program outside and inside, and compares both with an expectation: a pattern of the output, or a status.
sub compare {
    my ($name, %test) = @_;
    my @program = @{ $test{program} };
    expect(Serverless::Cage::outside(@program), $test{outside}, "outside: $name");
    expect($cage->run(@program), $test{inside}, "inside: $name");
}

sub expect {
    my ($got, $expected, $name) = @_;
    my $fits = ref $expected ? $got->{output} =~ $expected : $got->{status} == $expected;
    ok $fits, $name or diag explain $got;
}

# Starts a program that ends with the suite, if not before. Returns its process id.
sub begin {
    my $pid = fork() // die "fork: $!\n";
    return $pid if $pid;
    exec 'setpriv', '--pdeathsig', 'KILL', @_;
    CORE::exit(127);
}

# A Perl program.
sub perl { ('/usr/bin/perl', '-e', @_) }

# A program that connects to a Unix socket.
sub connect_unix {
    return perl('use IO::Socket::UNIX; print IO::Socket::UNIX->new(Peer => shift) ? "connected" : "failed: $!"', @_);
}

# One that connects to a TCP port.
sub connect_tcp {
    return perl('use IO::Socket::INET; print IO::Socket::INET->new(PeerAddr => shift, Timeout => 2) ? "connected" : "failed: $!"', @_);
}

subtest 'files of the machine' => sub {
    compare 'the file of Variables\' keys',
        program => [ '/bin/cat', $ENV{VARIABLE_KEYS} ], outside => 0, inside => qr/No such file/;
    compare 'the machine\'s /etc/passwd',
        program => [ '/bin/cat', '/etc/passwd' ], outside => qr/^root:/m, inside => qr/\Afunction:x:1000:1000:[^\n]*\n\z/;
    mkdir "$folder/cache/$_" for 'builds', 'builds/ZB_other';
    Serverless::Cage::write_file("$folder/cache/builds/ZB_other/secret.js", 'secret');
    compare 'another Build',
        program => [ '/bin/cat', "$folder/cache/builds/ZB_other/secret.js" ], outside => 0, inside => qr/No such file/;
    is $cage->run('/usr/bin/find', '/', '-xdev', '-name', 'secret.js')->{output}, '',
        'another Build is in no other place of the cage';
};

subtest 'sockets' => sub {
    my $database = "$ENV{DATABASE}/" . (glob "$ENV{DATABASE}/.s.PGSQL.*")[0] =~ s{.*/}{}r;
    compare 'the socket of the database', program => [ connect_unix($database) ],
        outside => qr/^connected/, inside => qr/^failed: No such file/;

    my $control = IO::Socket::UNIX->new(Local => "$folder/control", Listen => 5) or die;
    compare 'a control socket', program => [ connect_unix("$folder/control") ],
        outside => qr/^connected/, inside => qr/^failed: No such file/;

    my $abstract = IO::Socket::UNIX->new(Local => "\0serverless-test-$$", Listen => 5) or die;
    my $name = "\"\\0serverless-test-$$\"";
    compare 'an abstract socket',
        program => [ perl("use IO::Socket::UNIX; print IO::Socket::UNIX->new(Peer => $name) ? 'connected' : \"failed: \$!\"") ],
        outside => qr/^connected/, inside => qr/^failed: Connection refused/;

    my $port = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 5) or die;
    compare 'a port of loopback', program => [ connect_tcp('127.0.0.1:' . $port->sockport) ],
        outside => qr/^connected/, inside => qr/^failed: Connection refused/;
    is $cage->run('/usr/bin/perl', '-e', 'opendir my $d, "/sys/class/net"; print readdir $d ? "sys" : "no sys"')->{output},
        'no sys', 'inside: no /sys';
    like +(Serverless::Cage->new(Egress => "host")->run(connect_tcp('127.0.0.1:' . $port->sockport))->{output}), qr/^connected/,
        'inside, with Egress host: loopback is reached, as the manual says';
};

subtest 'families of sockets' => sub {
    my $make = 'use Socket; for my $f (@ARGV) { print "$f ", (socket(my $s, $f, SOCK_STREAM, 0) || socket($s, $f, SOCK_DGRAM, 0) ? "made" : "refused: $!"), "\n" }';
    like $cage->run(perl($make, 1, 2, 10))->{output}, qr/\A1 made\n2 made\n10 made\n\z/, 'inside: Unix, IPv4, IPv6';
    my $vsock = Serverless::Cage::outside(perl($make, 40))->{output} =~ /made/;
    SKIP: {
        skip 'this kernel has no AF_VSOCK', 1 if !$vsock;
        like $cage->run(perl($make, 40))->{output}, qr/^40 refused: Address family not supported/, 'inside: no AF_VSOCK, as outside';
    }
    like $cage->run(perl($make, 17, 38))->{output}, qr/^17 refused.*\n38 refused/, 'inside: no AF_PACKET, no AF_ALG';
};

subtest 'processes' => sub {
    my $seconds = "600.$$"; # which marks the two processes
    my $victim = begin('/bin/sleep', $seconds);
    compare 'signal a process of the same user', program => [ '/bin/kill', '-0', $victim ], outside => 0,
        inside => qr/No such process/;
    my $httpd = do { open my $file, '<', Apache::Test::config()->{vars}{t_pid_file} or die "pid file: $!\n"; <$file> + 0 };
    compare 'the environment of httpd', program => [ '/bin/cat', "/proc/$httpd/environ" ], outside => qr/SOURCE=/,
        inside => qr/No such file/;
    compare 'the processes in /proc', program => [ '/bin/sh', '-c', 'cd /proc; echo [0-9]*' ], outside => qr/\b$victim\b/,
        inside => qr/\A1 2\n\z/;

    my $other = begin($cage->command('/bin/sleep', $seconds));
    wait_until { 2 == (() = processes() =~ m{^/bin/sleep \Q$seconds\E$}mg) } or die "the other cage does not run\n";
    is $cage->run(perl('print kill(9, -1); print " alive"'))->{output}, '0 alive', 'inside: kill(-1) finds no process to kill';
    is waitpid($other, 1), 0, 'another cage runs on after that';
    ok kill(0, $victim), 'and a process of the same user';
    kill 9, $victim, $other;
    waitpid $_, 0 for $victim, $other;
};

subtest 'environment and descriptors' => sub {
    local $ENV{SECRET} = 'secret';
    open my $file, '<', $ENV{VARIABLE_KEYS} or die;
    POSIX::dup2(fileno $file, 9) or die "dup2: $!\n"; # exec does not close it
    my $number = 9;
    compare 'a variable of the environment', program => ['/usr/bin/env'], outside => qr/^SECRET=secret/m, inside => qr/\A(?:PWD=.*\n)?\z/;
    compare 'a descriptor that was open', program => [ '/bin/sh', '-c', "readlink /proc/self/fd/$number; :" ],
        outside => qr/variable_keys/, inside => qr/\A\z/;
    is $cage->run('/bin/sh', '-c', 'for f in /proc/$$/fd/*; do [ -e $f ] && echo ${f##*/}; done')->{output}, "0\n1\n2\n3\n",
        'inside: the three streams and the line';
};

subtest 'namespaces and system calls' => sub {
    compare 'a user namespace', program => [ '/usr/bin/unshare', '--user', '/bin/true' ], outside => 0,
        inside => qr/Operation not permitted/;
    compare 'a mount in new namespaces', program => [ '/usr/bin/unshare', '-rm', '/bin/mount', '-t', 'tmpfs', 'none', '/mnt' ],
        outside => 0, inside => qr/Operation not permitted/;

    # Each call is made with the same arguments: outside it fails by these or succeeds, inside it is refused first.
    my %call = (
        keyctl => '0, -3, 0', add_key => '0, 0, 0, 0, 0', ptrace => '99, 0, 0, 0', process_vm_readv => '-1, 0, 0, 0, 0, 99',
        perf_event_open => '0, 0, 0, 0, 0', userfaultfd => '-1', bpf => '99, 0, 0', personality => '0xffffffff',
        mount => '0, 0, 0, 0, 0', umount2 => '0, 99999', pivot_root => '0, 0', setns => '-1, 0', open_by_handle_at => '-1, 0, 0',
        init_module => '0, 0, 0', kexec_load => '0, 0, 0, 0', reboot => '0, 0, 0, 0', swapon => '0, 0', acct => '-1', unshare => '1',
        move_mount => '-1, 0, -1, 0, 99', open_tree => '-1, 0, -1', fsopen => '0, -1', pidfd_getfd => '-1, 0, 0', kcmp => '-1, -1, 0, 0, 0',
        quotactl => '-1, 0, 0, 0', clock_settime => '99, 0', sethostname => '0, -1', syslog => '99, 0, 0', 
    );
    my $make = 'require "sys/syscall.ph"; while (@ARGV) { my ($n, $a) = splice @ARGV, 0, 2; my $number = eval "&SYS_$n"; next if !defined $number;'
        . ' $! = 0; my $r = eval "syscall($number, $a)"; print "$n ", $r < 0 ? 0 + $! : "done", "\n" }';
    my %outside = split ' ', Serverless::Cage::outside(perl($make, %call))->{output};
    my %inside = split ' ', $cage->run(perl($make, %call))->{output};
    is_deeply [ grep { $inside{$_} ne '1' } sort keys %inside ], [], 'inside: EPERM for each of ' . keys(%inside) . ' calls';
    my @different = grep { $outside{$_} ne '1' } sort keys %inside;
    cmp_ok scalar @different, '>=', 8, "outside, these are not refused: @different";

    my $number = 'syscall(shift, 0, 0, 0); print 0 + $!';
    is $cage->run(perl($number, 425))->{output}, 38, 'inside: io_uring_setup is not there (ENOSYS)';
    is $cage->run(perl($number, 435))->{output}, 38, 'inside: clone3 is not there, so that clone() is used';
    is Serverless::Cage::outside(perl($number, 435))->{output}, 22, 'outside: clone3 is there';
    is $cage->run(perl($number, 600))->{output}, 38, 'inside: a call that is newer than the filter is not there';
};

subtest 'rights' => sub {
    my $status = $cage->run('/bin/cat', '/proc/self/status')->{output};
    like $status, qr/^CapEff:\s+0+$/m, 'no capability';
    like $status, qr/^CapBnd:\s+0+$/m, 'none that a program could give';
    like $status, qr/^NoNewPrivs:\s+1$/m, 'no new privileges';
    like $status, qr/^Seccomp:\s+2$/m, 'a filter of system calls';
    unlike Serverless::Cage::outside('/bin/cat', '/proc/self/status')->{output}, qr/^Seccomp:\s+2$/m, 'outside: no filter';
};

subtest 'places to write to' => sub {
    my $write = 'for my $d (@ARGV) { print "$d ", (open(my $f, ">", "$d/new") ? "written" : "$!"), "\n" }';
    my @read_only = qw(/ /dev /etc /usr /usr/bin /usr/local /var /var/task /var/runtime /proc /proc/sys/kernel /proc/sys/net/ipv4);
    my $got = $cage->run(perl($write, @read_only, '/tmp'))->{output};
    is_deeply [ $got =~ m{^(\S+) written$}mg ], ['/tmp'], '/tmp alone' or diag $got;
    my @writable = grep { !m{^/dev/(?:null|zero|full|random|urandom)$} && $_ ne '/proc' }
        map { (split ' ')[1] } grep { (split ' ')[3] =~ /^rw\b/ } split /\n/, $cage->run('/bin/cat', '/proc/self/mounts')->{output};
    is_deeply \@writable, ['/tmp'], 'no other mount is writable, but for /proc and devices';

    # 100 MB, in files below RLIMIT_FSIZE
    my $fill = 'my $n = 0; for my $i (1 .. 100) { open my $f, ">", "$ARGV[0]/$i" or last; binmode $f; for (1 .. 256) { syswrite($f, "x" x 4096) // last; $n += 4096 } } print $n; unlink glob "$ARGV[0]/*"';
    mkdir "$folder/fill";
    is Serverless::Cage::outside(perl($fill, "$folder/fill"))->{output}, 104_857_600, 'outside: 100 MB are written';
    cmp_ok $cage->run(perl($fill, '/tmp'))->{output}, '<=', 67_108_864, 'inside: /tmp takes 64 MB';
    is $cage->run('/bin/ls', '-A', '/tmp')->{output}, '', 'the next program finds /tmp empty';
    is $cage->run(perl('$SIG{XFSZ} = "IGNORE"; open my $f, ">", "/tmp/a"; print truncate($f, 67_108_865) ? "made" : "$!"'))->{output},
        'File too large', 'inside: no file of more than 64 MB';
};

subtest 'amounts' => sub {
    # a bounded bomb
    my $bomb = 'my $n = 0; for (1 .. 200) { my $p = fork; last if !defined $p; if (!$p) { sleep 300; exit } $n++; push @p, $p } print $n; kill 9, @p';
    is Serverless::Cage::outside(perl($bomb))->{output}, 200, 'outside: 200 processes';
    cmp_ok $cage->run(perl($bomb))->{output}, '<', 64, 'inside: fewer than 64 processes';
    compare 'Buffers of 1 GiB', program => [ '/bin/sh', '-c', '"$(command -v /opt/bin/node || echo "$0")" -e "$1"', $ENV{NODE}, 'Buffer.alloc(2 ** 30); console.log("had")' ],
        outside => qr/^had/, inside => qr/Array buffer allocation failed/;
    my $open = 'use POSIX; my $n = 0; while ($n < 2000 && defined POSIX::open("/dev/null")) { $n++ } print $n';
    cmp_ok $cage->run(perl($open))->{output}, '<', 1024, 'inside: fewer than 1024 descriptors';
    is $cage->run('/bin/sh', '-c', 'ulimit -c; ulimit -t; ulimit -d')->{output}, "0\n60\n524288\n",
        'inside: no core dumps, a minute of processor time, 512 MB of data';
    isnt $cage->run('/bin/sh', '-c', 'ulimit -d unlimited')->{status}, 0, 'inside: no limit can be raised';
};

subtest 'the end' => sub {
    is $cage->run('/bin/sh', '-c', 'exit 7')->{status}, 7, 'an exit status';
    is $cage->run('/bin/sh', '-c', 'kill -9 $$')->{status}, 137, 'SIGKILL of itself';
    my $marker = "31.4$$";
    $cage->run('/bin/sh', '-c', "setsid sleep $marker >/dev/null 2>&1 </dev/null & :");
    unlike processes(), qr/sleep $marker/, 'a process in a session of its own ends with the program';

    # A process whose parent is killed; execSync waits in the kernel and cannot be interrupted by JavaScript.
    my $pid = fork() // die "fork: $!\n";
    if (!$pid) {
        open STDOUT, '>', '/dev/null';
        exec $cage->command('/opt/bin/node', '-e', "require('child_process').execSync('sleep $marker')");
        CORE::exit(127);
    }
    ok wait_until { processes() =~ /^sleep $marker/m }, 'execSync runs';
    kill 9, $pid;
    waitpid $pid, 0;
    ok wait_until { processes() !~ /$marker/ }, 'SIGKILL of the runner: nothing is left';
};

sub processes { Serverless::Cage::outside('/bin/ps', '-eo', 'args')->{output} }

subtest 'Node.js' => sub {
    my $program = <<'END';
const { Worker } = require('worker_threads');
const checks = {
    crypto: require('crypto').createHash('sha256').update('a').digest('hex').length,
    child: require('child_process').execSync('id -un').toString().trim(),
    zlib: require('zlib').gzipSync('a').length > 0,
    intl: new Intl.NumberFormat('de').format(1.5),
    wasm: typeof WebAssembly.instantiate,
    interfaces: Object.keys(require('os').networkInterfaces()).join(),
    written: (require('fs').writeFileSync('/tmp/a', 'a'), require('fs').readFileSync('/tmp/a', 'utf8')),
    scrypt: require('crypto').scryptSync('a', 'b', 8).length,
};
new Worker('require("worker_threads").parentPort.postMessage(1)', { eval: true }).on('message', n => {
    require('dns').lookup('localhost', (error, address) => {
        console.log(JSON.stringify({ ...checks, worker: n, localhost: error ? error.code : address }));
    });
});
END
    my $got = $cage->run('/opt/bin/node', '-e', $program);
    like $got->{output}, qr/^\{"crypto":64,"child":"function","zlib":true,"intl":"1,5","wasm":"function","interfaces":"lo","written":"a","scrypt":8,"worker":1,"localhost":"(?:127\.0\.0\.1|::1)"\}$/m,
        'crypto, processes, threads, files, names' or diag explain $got;
};

subtest 'levels that cannot be had' => sub {
    # bubblewrap itself makes a machine without the program, or without user namespaces
    my @machine = ('/usr/bin/bwrap', '--dev-bind', '/', '/');
    my $missing = Serverless::Cage::outside(@machine, '--ro-bind', '/dev/null', '/usr/bin/prlimit', $cage->command('/bin/true'));
    is $missing->{status}, 1, 'a program is missing: refused';
    like $missing->{output}, qr/ error: the program prlimit is not there; install the package util-linux$/m,
        'a program is missing: its package is named';
    my $forbidden = Serverless::Cage::outside(@machine, '--unshare-user', '--disable-userns', Serverless::Cage::runner(), '-t', '-c', $cage->{file});
    is $forbidden->{status}, 1, 'no user namespaces: refused';
    like $forbidden->{output}, qr{ error: Isolation bubblewrap: bwrap: .*/proc/sys/user/max_\*_namespaces}, 'no user namespaces: with the reason';
    for my $egress (qw(none filtered)) {
        like +(Serverless::Cage->new(Isolation => "none", Egress => $egress)->obstacle), qr/Isolation none goes with Egress host only/,
            "Isolation none, Egress $egress: refused";
    }
};

done_testing;
