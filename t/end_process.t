# tools/end-process, by which "make stop" and the test runner end httpd: it returns in bounded time whatever the
# process and its parent do.
use strict;
use warnings FATAL => 'all';

use POSIX ();
use Test::More;
use Time::HiRes qw(sleep time);

# Starts a process whose parent, this one, does not wait for it.
sub process {
    my ($work) = @_;
    pipe my $ready, my $tell or die "pipe: $!\n";
    defined(my $pid = fork) or die "fork: $!\n";
    if (!$pid) {
        $work->(sub { syswrite $tell, 'x' });
        POSIX::_exit(0);
    }
    close $tell;
    sysread $ready, my $byte, 1;
    return $pid;
}

# Runs tools/end-process. Returns its exit status, its output and the seconds that it took.
sub end_process {
    my (@arguments) = @_;
    my $began = time;
    my $printed = `$ENV{SOURCE}/tools/end-process @arguments 2>&1`;
    return ($? >> 8, $printed, time - $began);
}

subtest 'a process that nobody waits for' => sub {
    my $pid = process(sub { $_[0]->(); sleep 60 });
    my ($status, $printed, $seconds) = end_process($pid);
    is_deeply [$status, $printed], [0, ''], 'it has ended';
    cmp_ok $seconds, '<', 10, 'end-process does not wait for its parent';
    ok -e "/proc/$pid", 'its entry is still there';
    waitpid $pid, 0;
};

subtest 'a process that does not end when it is asked to' => sub {
    my $pid = process(sub { local $SIG{TERM} = 'IGNORE'; $_[0]->(); sleep 1 while 1 });
    my ($status, $printed, $seconds) = end_process($pid, 1);
    is_deeply [$status, $printed], [1, "process $pid did not end within 1 seconds, and was killed\n"], 'it is killed';
    cmp_ok $seconds, '<', 15, 'end-process returns soon after that';
    is waitpid($pid, 0), $pid, 'the process has ended';
    is $?, 9, 'by SIGKILL';
};

subtest 'a process that does not exist' => sub {
    my $pid = process(sub { $_[0]->() });
    waitpid $pid, 0;
    is_deeply [(end_process($pid))[0, 1]], [0, ''], 'nothing is to be done';
};

done_testing;
