# Many clients at once, each a process of its own.
package Serverless::Parallel;

use strict;
use warnings FATAL => 'all';

use Exporter qw(import);
use POSIX ();
use Storable ();

our @EXPORT = qw(at_once begin_at_once);

# Runs the code once for each argument, all at the same time, and returns the values
# that it returned, in order.
sub at_once { return begin_at_once(@_)->() }

# The same without waiting: returns a function that does.
sub begin_at_once {
    my ($code, @arguments) = @_;
    my @running = map { in_process($code, $_) } @arguments;
    return sub { map { result_of(@$_) } @running };
}

sub in_process {
    my ($code, $argument) = @_;
    pipe my $from, my $to or die "pipe: $!\n";
    defined(my $pid = fork) or die "fork: $!\n";
    return [$pid, $from] if $pid;

    srand; # or each process has the numbers that its parent would have next
    my $result = eval { $code->($argument) };
    my $failure = $@;
    Storable::store_fd(\$result, $to) if !$failure;
    close $to;
    print STDERR $failure if $failure;
    POSIX::_exit($failure ? 1 : 0); # without the suite's clean-up
}

sub result_of {
    my ($pid, $pipe) = @_;
    my $result = eval { Storable::fd_retrieve($pipe) };
    waitpid $pid, 0;
    die "a process of at_once failed\n" if $? || !$result;
    return $$result;
}

1;
