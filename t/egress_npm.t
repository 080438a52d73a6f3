# npm at the level `filtered`: Dependencies are resolved from a registry that EgressAllow names, on a machine that t/egress/machine
# makes of network namespaces. t/egress.t has the network itself, t/dependencies.t the Dependencies.
use strict;
use warnings FATAL => 'all';

use Apache::Test qw(-withtestmore);
use Cpanel::JSON::XS ();
use Serverless::Cage;
use Serverless::RunnerChild;
use Serverless::Test;
use Serverless::Time;
use Test::More;

my $REGISTRY = '10.20.30.40'; # an address of the machine, which is closed unless it is allowed
my $machine = "$ENV{SOURCE}/t/egress/machine";
chomp(my $npm = `sh -c "command -v npm"`);

my $cage = Serverless::Cage->new(Egress => 'filtered', Client => 'root');
my $obstacle = Serverless::Cage::outside($machine, $cage->command('/bin/true'));
plan skip_all => "no filtered egress on this machine: $obstacle->{output}" if $obstacle->{status};

# The runner and the registry run on the machine until the suite closes their input.
sub start {
    my (@allowed) = @_;
    my $made = Serverless::Cage->new(Egress => 'filtered', EgressAllow => \@allowed);
    my $folder = $made->folder;
    Serverless::Cage::write_file("$folder/npmrc", "registry=http://$REGISTRY:4873/\nfetch-retries=0\n");
    open my $config, '>>', "$folder/runner.conf" or die "runner.conf: $!\n";
    print $config "Install $ENV{SOURCE}/runtime/install/install.js $npm\nNpmConfig $folder/npmrc\n";
    close $config;
    my $program = <<'END';
sleep 600 | node "$SOURCE/t/registry/registry.js" "$1" 4873 >"$2/registry" &
until [ -s "$2/registry" ]; do sleep 0.05; done
"$SOURCE/build/serverless-runner" -c "$2/runner.conf" 2>"$2/log" &
read -r end
kill $!
END
    open my $input, '|-', $machine, '/bin/sh', '-c', $program, 'sh', $REGISTRY, $folder or die "$machine: $!\n";
    wait_until { -S "$folder/control" } or die "no runner\n";
    return { input => $input, child => Serverless::RunnerChild->connect("$folder/control") };
}

# Has the runner resolve Dependencies. Returns its messages.
sub resolve {
    my ($runner, $dependencies, %request) = @_;
    my $child = $runner->{child};
    $child->send(INSTALL => 1, { runtime => 'node20', dependencies => $dependencies, seconds => 120, bytes => 100_000, %request });
    my @messages = $child->receive(150);
    push @messages, $child->receive(150) while ($messages[-1]{type} // '') eq 'FILE';
    return @messages;
}

sub stop { my ($runner) = @_; $runner->{child}->close; close $runner->{input}; return }

subtest 'a registry that EgressAllow names' => sub {
    my $runner = start("$REGISTRY/32");
    my @messages = resolve($runner, { 'uses-greet' => '^1.0.0' });
    is_deeply [ map { $_->{type} } @messages ], [qw(FILE FILE INSTALLED)], 'packages are resolved' or diag explain \@messages;
    my ($answer) = resolve($runner, { greet => '9' }, check => Cpanel::JSON::XS::true);
    is $answer->{payload}{detail}, 'greet@9: no version matches', 'it is asked when a Build is created';
    stop($runner);
};

subtest 'a registry that it does not name' => sub {
    my $runner = start();
    my ($answer) = resolve($runner, { 'uses-greet' => '^1.0.0' });
    is_deeply $answer->{payload}, { reason => 'dependencies', detail => 'uses-greet@^1.0.0: the registry cannot be reached' },
        'on a private address: is not reached';
    stop($runner);
};

done_testing;
