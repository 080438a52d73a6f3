# The start of an Environment's network at the level `filtered`: the runner does not wait for it, so that leases of other
# Environments are answered meanwhile. t/egress.t has the network itself.
use strict;
use warnings FATAL => 'all';

use Apache::Test qw(-withtestmore);
use File::Copy qw(copy);
use Serverless::Cage;
use Serverless::Runner;
use Serverless::RunnerChild;
use Serverless::Server;
use Serverless::Test;
use Test::More;
use Time::HiRes qw(sleep time);

my $obstacle = Serverless::Cage->new(Egress => 'filtered')->obstacle;
plan skip_all => "no filtered egress on this machine: $obstacle" if defined $obstacle;

# The runner has a mount namespace with another pasta: one that hangs, or fails, while the file of that name exists.
my $folder = Serverless::Cage->new->folder;
copy('/usr/bin/pasta', "$folder/pasta") or die "pasta: $!\n";
Serverless::Cage::write_file("$folder/changed", <<"END");
#!/bin/sh
[ ! -e $folder/hang ] || exec sleep 60.$$
[ ! -e $folder/fail ] || { echo 'no network today'; exit 1; }
exec $folder/pasta "\$@"
END
chmod 0755, "$folder/pasta", "$folder/changed";
my @machine = (qw(unshare --user --map-current-user --keep-caps --mount sh -c),
    "mount --bind $folder/changed /usr/bin/pasta && exec setpriv --ambient-caps=-all --inh-caps=-all --pdeathsig TERM \"\$@\"", 'sh');
is Serverless::Cage::outside('/usr/bin/env', @machine, 'true')->{status}, 0, 'a machine with another pasta';

my $runner = Serverless::Runner->start('network', isolation => 'bubblewrap', egress => 'filtered', under => \@machine);
my $build = [ Serverless::RunnerChild::build(hello => 'exports.handler = (context, event, callback) => callback(null, "hello");') ];
my $child = $runner->connect_child;
my $number = 0;

sub set { Serverless::Cage::write_file("$folder/$_[0]", '') }
sub unset { unlink "$folder/$_[0]" or die "$_[0]: $!\n" }

# Waits until so many networks hang, and lets others begin.
sub go_on {
    my ($count) = @_;
    wait_until { `pgrep -c -x -f 'sleep 60.$$'` == $count } or die "no network hangs\n";
    unset('hang');
}

# Leases an isolate of an Environment, which is a letter. Returns the answer and the seconds that it took.
sub obtain {
    my ($environment, %value) = @_;
    my $begin = time;
    my $message = $child->obtain(++$number, $build, environment => $environment, account => $environment, %value);
    return ($message, time - $begin);
}

# Asks for an isolate; the answer is received later.
sub ask {
    my ($environment, %value) = @_;
    $child->lease(++$number, environment => $environment, account => $environment, %value);
    return $number;
}

sub slurp {
    open my $file, '<', $_[0] or return '';
    local $/;
    return <$file> // '';
}

my ($idle) = obtain('A');
is $child->call($idle, 'hello')->{body}, 'hello', 'a Function with a network';
$child->give_back($idle);

subtest 'a network that hangs' => sub {
    set('hang');
    my $begin = time;
    my $lease = ask('B');
    ok wait_until { $runner->status->{isolates}{starting} == 1 }, 'an isolate waits for it';
    cmp_ok time - $begin, '<', 1, 'meanwhile the status is answered';
    my ($line, $seconds) = obtain('A');
    is $line->{type}, 'LINE', 'another Environment has its idle isolate';
    cmp_ok $seconds, '<', 0.5, 'at once';
    go_on(1);
    my ($other) = obtain('C');
    is $other->{type}, 'LINE', 'a third Environment has a new isolate';
    cmp_ok time - $begin, '<', 4.5, 'before the network has failed';
    is $child->call($other, 'hello')->{body}, 'hello', 'which works';
    $child->give_back($_) for $line, $other;

    my $refused = $child->receive;
    is "$refused->{type} $refused->{number}", "REFUSED $lease", 'the lease is refused';
    is_deeply $refused->{payload}, { reason => 'start', detail => 'no network: /usr/bin/pasta was not ready in time' }, 'with the reason';
    cmp_ok time - $begin, '<', 8, 'after five seconds';
    is $runner->status->{isolates}{starting}, 0, 'nothing is left of its isolate';
    ($line) = obtain('B');
    is $child->call($line, 'hello')->{body}, 'hello', 'the next lease has a new network';
    $child->give_back($line);
};

subtest 'more networks that hang than there are cores' => sub {
    my $cores = () = slurp('/proc/cpuinfo') =~ /^processor\s*:/mg;
    $cores = 8 if $cores > 8;
    set('hang');
    my $begin = time;
    my %lease = map { ask($_) => 1 } ('a' .. 'h')[ 0 .. $cores - 1 ];
    ok wait_until { $runner->status->{isolates}{starting} == $cores }, 'an isolate for each core waits';
    go_on($cores);
    my ($line) = obtain('D');
    is $line->{type}, 'LINE', 'one Environment more has a new isolate';
    cmp_ok time - $begin, '<', 4.5, 'before these networks have failed';
    $child->give_back($line);
    my @answers = map { $child->receive } 1 .. $cores;
    is_deeply { map { $_->{number} => $_->{type} eq 'REFUSED' ? 1 : 0 } @answers }, \%lease, 'their leases are refused';
};

subtest 'two isolates that wait for one network' => sub {
    set('hang');
    my @leases = map { ask('E', concurrency => 2) } 1 .. 2;
    wait_until { $runner->status->{isolates}{starting} == 2 };
    unset('hang');
    my @refused = map { $child->receive } @leases;
    is_deeply [ sort map { "$_->{type} $_->{number}" } @refused ], [ sort map { "REFUSED $_" } @leases ], 'fail with it';
    my @again = map { ask('E', concurrency => 2) } 1 .. 2;
    my @lines = map { $child->receive } @again;
    is_deeply [ map { $_->{type} } @lines ], [qw(LINE LINE)], 'and start with the next one';
    is $child->call($_, 'hello')->{body}, 'hello', 'which works' for @lines;
    $child->give_back($_) for @lines;
};

subtest 'a network that fails' => sub {
    set('fail');
    my ($refused, $seconds) = obtain('F');
    is_deeply $refused->{payload}, { reason => 'start', detail => 'no network: no network today' }, 'the lease is refused, with what pasta said';
    cmp_ok $seconds, '<', 2, 'at once';
    like $runner->said, qr/warning: isolate \d+ of \S+ has ended by itself: no network: no network today$/m, 'the log';
    unset('fail');
};

subtest 'a child that goes, and the end of the runner, while a network hangs' => sub {
    set('hang');
    ask('G');
    ok wait_until { $runner->status->{isolates}{starting} == 1 }, 'an isolate waits';
    $child->close;
    $child = $runner->connect_child;
    my $begin = time;
    $child->lease(++$number, environment => 'H', account => 'H');
    wait_until { $runner->status->{isolates}{starting} == 2 };
    $child->close;
    $runner->terminate;
    cmp_ok time - $begin, '<', 4, 'the runner does not wait for the networks';
    unlike $runner->said, qr/error:/, 'and has no error' or diag $runner->said;
};

done_testing;
