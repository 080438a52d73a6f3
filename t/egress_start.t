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
    my $hang = wait_until { `pgrep -c -x -f 'sleep 60.$$'` == $count };
    unset('hang');
    return $hang;
}

# Leases an isolate of an Environment, which is a letter. Returns the answer.
sub obtain {
    my ($environment, %value) = @_;
    return $child->obtain(++$number, $build, environment => $environment, account => $environment, %value);
}

# Asks for an isolate; the answer is received later.
sub ask {
    my ($environment, %value) = @_;
    $child->lease(++$number, environment => $environment, account => $environment, %value);
    return $number;
}

# Environments that no test has had.
my $new = 0x80;
sub new_environment { return chr $new++ }

# Has the networks of Environments hang, and asks for isolates of others meanwhile: of those `before` while the networks
# begin to hang, and of a new Environment when further networks can begin. Returns the kinds of the answers in their
# order, and the answers by these kinds. The runner refuses a lease whose network was not ready for five seconds, so on a
# machine that is busy for so long the answers of others may come later than that.
sub answers_beside {
    my ($hanging, @before) = @_;
    set('hang');
    my %kind = map { ask($_) => 'hangs' } @$hanging;
    my $end = time + 5;
    my $starting;
    do { $starting = $runner->status->{isolates}{starting} } until $starting == @$hanging || time > $end;
    $kind{ ask($_) } = 'idle' for @before;
    sleep 0.02 until `pgrep -c -x -f 'sleep 60.$$'` == @$hanging || time > $end;
    unset('hang');
    $kind{ ask(new_environment()) } = 'new';
    my @answers = map { $child->receive } keys %kind;
    my %of;
    push @{ $of{ $kind{ $_->{number} } } }, $_ for @answers;
    $of{body} = $child->call($of{new}[0], 'hello')->{body} if $of{new}[0]{type} eq 'LINE';
    $child->give_back($_) for grep { $_->{type} eq 'LINE' } @answers;
    return (join(' ', "starting $starting", map { "$kind{ $_->{number} }: $_->{type}" } @answers), \%of);
}

sub slurp {
    open my $file, '<', $_[0] or return '';
    local $/;
    return <$file> // '';
}

my $idle = obtain('A');
is $child->call($idle, 'hello')->{body}, 'hello', 'a Function with a network';
$child->give_back($idle);

subtest 'a network that hangs' => sub {
    my $wanted = 'starting 1 idle: LINE new: LINE hangs: REFUSED';
    my ($got, $answers);
    wait_until { ($got, $answers) = answers_beside(['B'], 'A'); $got eq $wanted };
    is $got, $wanted, 'meanwhile the status is answered, another Environment has its idle isolate, and a third one a new one';
    is $answers->{body}, 'hello', 'which works';
    is_deeply $answers->{hangs}[0]{payload}, { reason => 'start', detail => 'no network: /usr/bin/pasta was not ready in time' },
        'the lease is refused, with the reason';
    is $runner->status->{isolates}{starting}, 0, 'nothing is left of its isolate';
    my $line = obtain('B');
    is $child->call($line, 'hello')->{body}, 'hello', 'the next lease has a new network';
    $child->give_back($line);
};

subtest 'more networks that hang than there are cores' => sub {
    my $cores = () = slurp('/proc/cpuinfo') =~ /^processor\s*:/mg;
    $cores = 8 if $cores > 8;
    my $wanted = join ' ', "starting $cores new: LINE", ('hangs: REFUSED') x $cores;
    my $got;
    wait_until { ($got) = answers_beside([ map { new_environment() } 1 .. $cores ]); $got eq $wanted };
    is $got, $wanted, 'one Environment more has a new isolate before their leases are refused';
};

subtest 'two isolates that wait for one network' => sub {
    set('hang');
    my @leases = map { ask('E', concurrency => 2) } 1 .. 2;
    ok go_on(1), 'one network hangs';
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
    my $refused = obtain('F');
    is_deeply $refused->{payload}, { reason => 'start', detail => 'no network: no network today' }, 'the lease is refused, with what pasta said';
    like $runner->said, qr/warning: isolate \d+ of \S+ has ended by itself: no network: no network today$/m, 'the log';
    unset('fail');
};

subtest 'a child that goes, and the end of the runner, while a network hangs' => sub {
    my $seconds;
    # a runner that waited would wait for five seconds each time
    wait_until {
        set('hang');
        ask('G');
        wait_until { `pgrep -c -x -f 'sleep 60.$$'` == 1 } or die "no network hangs\n";
        $child->close;
        $child = $runner->connect_child;
        my $begin = time;
        $child->lease(++$number, environment => 'H', account => 'H');
        wait_until { $runner->status->{isolates}{starting} > 0 };
        $child->close;
        $runner->terminate;
        $seconds = time - $begin;
        unset('hang');
        $runner->run;
        $child = $runner->connect_child;
        $seconds < 4;
    };
    cmp_ok $seconds, '<', 4, 'the runner does not wait for the networks';
    unlike $runner->said, qr/error:/, 'and has no error' or diag $runner->said;
};

done_testing;
