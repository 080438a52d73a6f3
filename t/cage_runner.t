# The runner with isolates in the cage: the cause of an isolate's death by its processor time, and a new runner that takes over
# while isolates of the old one are leased. t/runner.t has the same at the level `none`.
use strict;
use warnings FATAL => 'all';

use Apache::Test qw(-withtestmore);
use POSIX ();
use Serverless::Cage;
use Serverless::Runner;
use Serverless::RunnerChild;
use Serverless::Test;
use Test::More;

my $build = [ Serverless::RunnerChild::build(
    hello => 'exports.handler = (context, event, callback) => callback(null, "hello");',
    spin  => 'exports.handler = () => { for (;;); };',
) ];

# The runner at a level of egress; or nothing, with the tests skipped.
sub runner {
    my ($egress) = @_;
    my $obstacle = Serverless::Cage->new(Egress => $egress)->obstacle;
    plan skip_all => "no cage with Egress $egress on this machine: $obstacle" if defined $obstacle;
    return Serverless::Runner->start("cage_$egress", isolation => 'bubblewrap', egress => $egress);
}

for my $egress (qw(none filtered)) {
    subtest "processor time, Egress $egress" => sub {
        my $runner = runner($egress);
        my $child = $runner->connect_child;
        my $line = $child->obtain(1, $build, timeout => 1, calls => 1);
        $child->begin($line, 'spin');
        my $gone = $child->receive;
        is "$gone->{type} $gone->{payload}{cause}", 'GONE processor time', 'twice the time of all calls' or diag explain $gone;
        is $gone->{number}, $line->{payload}{isolate}, 'the isolate';
        my $next = $child->obtain(2, $build, timeout => 1, calls => 1);
        is $child->call($next, 'hello')->{body}, 'hello', 'the next isolate';
    };

    subtest "handover, Egress $egress" => sub {
        my $runner = runner($egress);
        my $child = $runner->connect_child;
        my $leased = $child->obtain(1, $build);
        is $child->call($leased, 'hello')->{body}, 'hello', 'an isolate of the first runner';
        my $old = $runner->reload;
        is $child->receive->{type}, 'LEAVE', 'the child is to connect anew';
        my $new = $runner->connect_child;
        my $line = $new->obtain(1, $build);
        is $new->call($line, 'hello')->{body}, 'hello', 'an isolate of the new runner, in the same Environment';
        is $child->call($leased, 'hello')->{body}, 'hello', 'the leased isolate goes on';
        $child->give_back($leased);
        ok wait_until { waitpid($old, POSIX::WNOHANG()) == $old }, 'the first runner ends with its last lease';
        is $new->call($line, 'hello')->{body}, 'hello', 'and the isolate of the new one goes on';
        is $new->obtain(2, $build, environment => 'b')->{type}, 'LINE', 'so does another Environment';
        unlike $runner->said, qr/error:/, 'no error' or diag $runner->said;
    };
}

done_testing;
