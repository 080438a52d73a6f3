# The clock, and waiting for a condition.
package Serverless::Time;

use strict;
use warnings FATAL => 'all';

use Exporter qw(import);
use Time::HiRes ();

our @EXPORT = qw(now wait_until);

# The present in whole seconds. Perl's time() may be some milliseconds behind PostgreSQL's clock.
sub now() { int Time::HiRes::time }

# Waits until the condition is true, for three minutes at most; returns whether it became true.
# Nothing that the suites wait for takes as long on a busy machine.
sub wait_until(&) {
    my ($condition) = @_;
    my $latest = Time::HiRes::time() + 180;
    while (1) {
        return 1 if $condition->();
        return 0 if Time::HiRes::time() > $latest;
        Time::HiRes::sleep(0.05);
    }
}

1;
