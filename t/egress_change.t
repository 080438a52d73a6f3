# The networks of Functions when the machine has new addresses, at the level `filtered`: the runner does not wait for nft, which
# has to refuse them, and no Function keeps a network in which that fails. t/egress.t shows that new addresses are refused.
use strict;
use warnings FATAL => 'all';

use Apache::Test qw(-withtestmore);
use File::Copy qw(copy);
use Serverless::Cage;
use Serverless::Runner;
use Serverless::RunnerChild;
use Serverless::Test;
use Test::More;

# The runner is on the machine that t/egress/machine makes, with another nft: it hangs, fails or waits while the file of that
# name exists.
my $folder = Serverless::Cage->new(Egress => 'filtered')->folder;
copy('/usr/sbin/nft', "$folder/nft") or plan skip_all => "no nft: $!";
Serverless::Cage::write_file("$folder/changed", <<"END");
#!/bin/sh
[ ! -e $folder/hang ] || exec sleep 600.$$
[ ! -e $folder/fail ] || { echo 'no rules today'; exit 1; }
mkdir $folder/runs/\$\$-\$(readlink /proc/self/ns/net) # it may not write to files
while [ -e $folder/wait ]; do sleep 0.05; done
exec $folder/nft "\$@"
END
chmod 0755, "$folder/nft", "$folder/changed";
my @machine = ('env', "MACHINE_FOLDER=$folder/machine", qw(setpriv --pdeathsig KILL), "$ENV{SOURCE}/t/egress/machine",
    qw(unshare --user --map-current-user --keep-caps --mount sh -c),
    "mount --bind $folder/changed /usr/sbin/nft && exec setpriv --ambient-caps=-all --inh-caps=-all \"\$@\"", 'sh');

mkdir "$folder/runs";
mkdir "$folder/machine";
my $try = Serverless::Cage::outside('/usr/bin/env', @machine, Serverless::Cage::runner(), '-c', "$folder/runner.conf", '--exec', '/bin/true');
plan skip_all => "no filtered egress on this machine: $try->{output}" if $try->{status};

mkdir "$folder/machine";
my $runner = Serverless::Runner->start('rules', isolation => 'bubblewrap', egress => 'filtered', under => \@machine,
    lines => ["Install $ENV{SOURCE}/runtime/install/install.js /bin/false"]);
my $build = [ Serverless::RunnerChild::build(hello => 'exports.handler = (context, event, callback) => callback(null, "hello");') ];
my $child = $runner->connect_child;
my $number = 0;

sub set { Serverless::Cage::write_file("$folder/$_[0]", '') }
sub unset { unlink "$folder/$_[0]" or die "$_[0]: $!\n" }

# Leases an isolate of an Environment, which is a letter.
sub obtain { $child->obtain(++$number, $build, environment => $_[0], account => $_[0]) }

# How many of nft hang.
sub hanging { `pgrep -c -x -f 'sleep 600.$$'` + 0 }

# The networks in which nft has run since forget_runs(), one for each time.
sub runs { map { m{runs/\d+-(.*)} } glob "$folder/runs/*" }
sub forget_runs { rmdir $_ or die "$_: $!\n" for glob "$folder/runs/*" }

# Gives the machine one more address.
my $address = 20;
sub add_address {
    open my $commands, '>', "$folder/machine/commands" or die "$folder/machine/commands: $!\n";
    print $commands 'ip addr add 203.0.113.' . ++$address . "/32 dev lo\n";
    close $commands;
}

subtest 'new addresses of the machine, while nft hangs' => sub {
    my $leased = obtain('A');
    my $idle = obtain('B');
    $child->give_back($idle);
    set('hang');
    add_address();
    ok wait_until { hanging() == 2 }, 'nft hangs in each network';
    is $child->call($leased, 'hello')->{body}, 'hello', 'meanwhile a leased isolate answers';
    is $runner->status->{isolates}{leased}, 1, 'and so does the runner';
    unlike $runner->said, qr/did not end in time/, 'which does not wait for nft for five seconds';
    ok wait_until { (() = $runner->said =~ /error: Egress filtered: the network of ZE\w+ has ended: \S+nft did not end in time$/mg) >= 2 },
        'after five seconds the log says that it was given up' or diag $runner->said;
    ok wait_until { hanging() == 0 }, 'and the programs are ended';
    unset('hang');
    my $other = obtain('B');
    is $child->call($other, 'hello')->{body}, 'hello', 'the Environment has a new isolate';
    isnt $other->{payload}{isolate}, $idle->{payload}{isolate}, 'the idle one, whose network had ended, is not leased again';
    $child->give_back($leased);
    my $next = obtain('A');
    isnt $next->{payload}{isolate}, $leased->{payload}{isolate}, 'nor is the leased one after its return';
    is $child->call($next, 'hello')->{body}, 'hello', 'its Environment has a new one, too';
    add_address();
    is $child->call($_, 'hello')->{body}, 'hello', 'with nft as usual, an isolate goes on' for $next, $other;
    $child->give_back($_) for $next, $other;
};

subtest 'new addresses of the machine, while nft fails' => sub {
    my $line = obtain('C');
    set('fail');
    add_address();
    ok wait_until { $runner->said =~ /error: Egress filtered: the network of ZE(?:43){16} has ended: no rules today$/m }, 'the log has what nft said'
        or diag $runner->said;
    unset('fail');
    $child->give_back($line);
};

subtest 'a new address of the machine, while a network starts' => sub {
    my $line = obtain('D');
    set('wait');
    forget_runs();
    $child->lease(++$number, environment => 'E', account => 'E');
    ok wait_until { runs() == 1 }, 'nft waits in a network that starts';
    my ($starting) = runs();
    add_address();
    ok wait_until { grep { $_ ne $starting } runs() }, 'and in one that was ready';
    unset('wait');
    my $new = $child->receive;
    is $new->{type}, 'LINE', 'the start ends' or diag explain $new;
    is scalar(grep { $_ eq $starting } runs()), 2, 'when nft has read the rules again';
    is $child->call($_, 'hello')->{body}, 'hello', 'isolates of both networks answer' for $line, $new;
};

subtest 'packages, while the network in which they are fetched hangs' => sub {
    my %request = (runtime => 'node20', dependencies => {}, seconds => 60, bytes => 1_000_000);
    set('hang');
    $child->send(INSTALL => 900, \%request);
    ok wait_until { hanging() == 1 }, 'nft hangs in the network of packages';
    is $runner->status->{isolates}{leased}, 2, 'meanwhile the runner answers';
    is hanging(), 1, 'which does not wait for the network for five seconds';
    my $refused = $child->receive;
    is "$refused->{type} $refused->{number}", 'REFUSED 900', 'the packages are refused';
    is_deeply $refused->{payload}, { reason => 'install', detail => '/usr/bin/pasta was not ready in time' }, 'with the reason';
    unset('hang');
    $child->send(INSTALL => 901, \%request);
    my $installed = $child->receive;
    is "$installed->{type} $installed->{number}", 'INSTALLED 901', 'the next ones have a new network' or diag explain $installed;
};

done_testing;
