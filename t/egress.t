# The network of Functions at the level `filtered`, on a machine that t/egress/machine makes of network namespaces: Functions
# reach the Internet, and neither that machine nor private networks. Each way is tried outside the cage as well, where it leads
# somewhere: that is the control.
use strict;
use warnings FATAL => 'all';

use Apache::Test qw(-withtestmore);
use Serverless::Cage;
use Serverless::Test;
use Test::More;

my $directory = "$ENV{SOURCE}/t/egress";
my $cage = cage();
my $obstacle = obstacle();
plan skip_all => "no filtered egress on this machine: $obstacle" if defined $obstacle;

# A cage that has the program t/egress/probe.
sub cage {
    my (%option) = @_;
    my $made = Serverless::Cage->new(Egress => 'filtered', %option);
    Serverless::Cage::write_file($made->folder . '/isolate/probe', slurp("$directory/probe"));
    chmod 0755, $made->folder . '/isolate/probe';
    return $made;
}

sub slurp {
    open my $file, '<', $_[0] or die "$_[0]: $!\n";
    local $/;
    return <$file>;
}

sub on_machine { Serverless::Cage::outside("$directory/machine", @_) }

sub obstacle {
    my $machine = on_machine('/bin/true');
    return "no machine: $machine->{output}" if $machine->{status};
    my $network = on_machine($cage->command('/bin/true'));
    return $network->{status} == 0 ? undef : $network->{output};
}

# The results of ways to send something, by way, from outside or from a cage.
sub probe {
    my ($from, @ways) = @_;
    my @command = $from ? $from->command('/var/runtime/probe', @ways) : ("$directory/probe", @ways);
    my $got = on_machine(@command);
    return { map { /^(\S+) (.*)/ } split /\n/, $got->{output} };
}

sub result { +{ map { $_ => $_[0] } @_[ 1 .. $#_ ] } }

my @internet = qw(tcp:198.51.100.7 udp:198.51.100.7 tcp:2001:db8:2::7 udp:2001:db8:2::7);
my @machine = qw(127.0.0.1 10.20.30.40 169.254.169.254 203.0.113.10 ::1 fd00:1::40 2001:db8:1::10);
my @tcp = map { "tcp:$_" } @machine;
my @udp = map { "udp:$_" } grep { !/^(?:127.0.0.1|::1)$/ } @machine;

subtest 'the Internet' => sub {
    is_deeply probe(undef, @internet), result('internet', @internet), 'outside: IPv4 and IPv6';
    is_deeply probe($cage, @internet), result('internet', @internet), 'inside: IPv4 and IPv6';
    is_deeply probe($cage, 'name:a.example'), { 'name:a.example' => '198.51.100.7' },
        'inside: names are resolved by the resolver of the machine, which is on its loopback';
};

subtest 'the machine' => sub {
    is_deeply probe(undef, @tcp, @udp), result('machine', @tcp, @udp), 'outside: each address answers';
    is_deeply probe($cage, @tcp), result('Connection refused', @tcp), 'inside: each address refuses TCP';
    is_deeply probe($cage, @udp), result('failed: Operation not permitted', @udp), 'inside: each address refuses UDP';
};

subtest 'private networks' => sub {
    my @ways = qw(tcp:10.99.0.1 udp:10.99.0.1);
    is_deeply probe(undef, @ways), result('internet', @ways), 'outside: an address beyond the gateway answers';
    is_deeply probe($cage, 'tcp:10.99.0.1'), { 'tcp:10.99.0.1' => 'Connection refused' }, 'inside: it refuses TCP';
    my @refused = map { "udp:$_" } qw(10.99.0.1 0.1.2.3 100.64.0.1 172.16.0.1 172.31.255.255 192.168.0.1 192.0.0.8
        198.18.0.1 198.18.0.3 198.19.255.255 224.0.0.1 239.1.2.3 240.0.0.1 255.255.255.255
        fd00::1 fe80::1 fec0::1 ff02::1 ff0e::1 64:ff9b::a63:1 2002:a63:1:: 2001:2::1 100::1);
    is_deeply probe($cage, @refused), result('failed: Operation not permitted', @refused),
        'inside: all ranges without public addresses refuse UDP';
};

subtest 'ways around a table of routes' => sub {
    my @ways = qw(bound:IF:10.99.0.1 bound:IF:203.0.113.10 info:IF:10.99.0.1 bound:IF:224.0.0.251 info:IF:224.0.0.251 info:IF:ff02::fb);
    my @outside = map { s/IF/wan0/r } @ways;
    my @inside = map { s/IF/net0/r } @ways;
    my $outside = probe(undef, @outside);
    is_deeply [ grep { $outside->{$_} !~ /^(?:internet|machine|sent)$/ } @outside ], [], 'outside: an interface can be named'
        or diag explain $outside;
    is_deeply probe($cage, @inside), result('failed: Operation not permitted', @inside),
        'inside: refused, also from a socket that names its interface';
};

subtest 'rights over the network' => sub {
    my @try = (
        [ '/bin/ip', 'route', 'replace', '10.99.0.1', 'dev', 'net0' ],
        [ '/bin/ip', 'address', 'add', '203.0.113.99/32', 'dev', 'net0' ],
        [ '/bin/ip', 'link', 'set', 'net0', 'down' ],
    );
    for my $command (@try) {
        like on_machine($cage->command(@$command))->{output}, qr/Operation not permitted/, "inside: @$command: refused";
    }
    isnt on_machine($cage->command('/usr/sbin/nft', 'flush', 'ruleset'))->{status}, 0, 'inside: nft cannot flush the rules';
    isnt on_machine($cage->command('/bin/sh', '-c', 'echo 1 >/proc/sys/net/ipv4/ip_forward'))->{status}, 0, 'inside: no setting can be written';
    my $raw = 'use Socket; print socket(my $s, PF_INET, SOCK_RAW, 1) ? "made" : "$!"';
    is on_machine($cage->command('/usr/bin/perl', '-e', $raw))->{output}, 'Operation not permitted', 'inside: no raw sockets';
};

subtest 'EgressAllow' => sub {
    my $open = cage(EgressAllow => [ '10.99.0.0/24', '10.20.30.40', 'fd00:1::40' ]);
    is_deeply probe($open, qw(tcp:10.99.0.1 tcp:10.20.30.40 tcp:fd00:1::40 tcp:169.254.169.254)),
        { 'tcp:10.99.0.1' => 'internet', 'tcp:10.20.30.40' => 'machine', 'tcp:fd00:1::40' => 'machine',
          'tcp:169.254.169.254' => 'Connection refused' }, 'a range, an address of the machine, IPv6; and no more';
    for my $wrong (qw(10.0.0.1/33 10.0.0 example.com fd00::1/129 10.0.0.0/ 10.0.0.0/8x)) {
        like +(Serverless::Cage->new(EgressAllow => [$wrong])->obstacle), qr/\Q$wrong\E is not an address or a range/, "$wrong: refused";
    }
};

subtest 'an address that the machine gets later' => sub {
    # until it was refused three times; the address is added after the first attempt
    my $program = 'cd /; n=0; while [ $n -lt 3 ]; do got=$(/var/runtime/probe udp:203.0.113.77); echo "$got"; '
        . 'case $got in *"not permitted") n=$((n+1));; esac; sleep 0.1; done';
    my $add = 'read first; echo "$first"; echo "ip addr add 203.0.113.77/32 dev lo" >$MACHINE/commands; cat';
    my $got = on_machine('/bin/sh', '-c', "\"\$\@\" | { $add; }", 'sh', $cage->command('/usr/bin/timeout', '60', '/bin/sh', '-c', $program));
    like $got->{output}, qr/\A(?:udp:203\.0\.113\.77 (?!failed: Operation not permitted).*\n)+(?:udp:203\.0\.113\.77 failed: Operation not permitted\n)+\z/,
        'is refused from then on' or diag explain $got;
};

subtest 'the end' => sub {
    my $got = on_machine('/bin/bash', '-c', <<'END', 'bash', $cage->command('/bin/sleep', '600'));
count() { ps -eo args | grep -cE "^$1"; }
"$@" & runner=$!; disown
for i in {1..2400}; do [ "$(count '/bin/sleep 600')" = 1 ] && break; sleep 0.05; done
echo "program $(count '/bin/sleep 600'), network $(count /usr/bin/pasta)"
kill -9 $runner
for i in {1..2400}; do [ "$(count '(/usr/bin/pasta|/bin/sleep 600)')" = 0 ] && break; sleep 0.05; done
echo "program $(count '/bin/sleep 600'), network $(count /usr/bin/pasta)"
END
    is $got->{output}, "program 1, network 1\nprogram 0, network 0\n", 'SIGKILL of the runner ends program and network';
};

done_testing;
