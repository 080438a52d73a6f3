# Attacks by the network from Functions at the level of egress `filtered`, called through httpd; t/lib/Serverless/Attacks.pm has
# how. The runner is on the machine that t/egress/machine makes, whose Internet and private networks answer. t/egress.t has
# the network itself, and t/cage_functions.t the other attacks.
use strict;
use warnings FATAL => 'all';

use Apache::Test qw(-withtestmore);
use Serverless::Attacks;
use Serverless::Cage;
use Serverless::Client;
use Serverless::Runner;
use Serverless::Server;
use Serverless::Test;
use Test::More;

my @machine = ('setpriv', '--pdeathsig', 'KILL', "$ENV{SOURCE}/t/egress/machine");
my $obstacle = obstacle();
plan skip_all => "no filtered egress on this machine: $obstacle" if defined $obstacle;

sub obstacle {
    my $try = Serverless::Cage::outside(@machine, Serverless::Cage->new(Egress => 'filtered')->command('/bin/true'));
    return $try->{status} == 0 ? undef : $try->{output};
}

my $TAIL = 'functions.example.com';
my $runner = Serverless::Runner->start('egress', isolation => 'bubblewrap', egress => 'filtered', under => \@machine);
my $workers = Serverless::Server->workers(1, 50, prefork => 32);
my $server = Serverless::Server->start('egress', Serverless::Server->database . $runner->directive . <<"END" . Serverless::Server->api);
$workers
ServerlessDomain $TAIL
ServerlessExecution On
ServerlessConcurrency 20
ServerlessExecutionTimeout 60s
ServerlessQueueTimeout 60s
END

# Functions that send something to port 8080 of an address, and answer what comes back; one that resolves a name; and one that
# listens, and answers how many connections there were but its own.
my %code = (
    tcp  => 'require("net").connect({ host: event.host, port: +(event.port ?? 8080) }).on("data", data => done(null, String(data))).on("error", done)',
    udp  => 'const socket = require("dgram").createSocket(event.host.includes(":") ? "udp6" : "udp4");'
        . ' socket.on("message", data => { socket.close(); done(null, String(data)) }).send("hello", 8080, event.host, error => error && done(error))',
    name => 'require("dns").lookup(event.name, { family: 4 }, done)',
    listen => <<'END',
const net = require('net');
let connections = 0;
net.createServer(socket => { connections++; socket.end('another isolate'); }).listen(9000);
exports.handler = (context, event, done) => net.connect(9000, '127.0.0.1').on('data', () => done(null, String(connections)));
END
);
my $attacks = Serverless::Attacks->deploy($server, Serverless::Client->account, $TAIL, %code);

sub ways { my ($result, $function, @hosts) = @_; return map { { name => "$function $_", function => $function, event => { host => $_ }, outside => $result } } @hosts }

# Functions may go to the Internet.
my @permitted = ((map { ways('internet', $_, '198.51.100.7', '2001:db8:2::7') } qw(tcp udp)),
    { name => 'a name', function => 'name', event => { name => 'upstream.example' }, outside => '198.51.100.7' });
$attacks->succeed_outside(\@machine, @permitted);
for my $way (@permitted) {
    is_deeply $attacks->call(@$way{qw(function event)}), { status => 200, body => $way->{outside} }, "inside: $way->{name}";
}

# Every address of the machine, among them the link-local one of clouds, and a private network.
my @machines = qw(127.0.0.1 10.20.30.40 169.254.169.254 203.0.113.10 ::1 fd00:1::40 2001:db8:1::10);
my @tcp = (ways('machine', 'tcp', @machines), ways('internet', 'tcp', '10.99.0.1'));
my @udp = (ways('machine', 'udp', grep { !/^(?:127\.0\.0\.1|::1)$/ } @machines), ways('internet', 'udp', '10.99.0.1'));
$attacks->refuse(\@machine,
    (map { { %$_, cause => qr/connect ECONNREFUSED \Q$_->{event}{host}\E:8080/ } } @tcp),
    (map { { %$_, cause => qr/send EPERM \Q$_->{event}{host}\E:8080/ } } @udp));

# A port of an isolate of another Environment, in which it can be reached.
my $other = $attacks->add_environment;
my %port = (host => '127.0.0.1', port => 9000);
is $attacks->call('listen', {}, $other)->{body}, 1, 'an isolate of another Environment listens';
is $attacks->call('tcp', \%port, $other)->{body}, 'another isolate', 'and is reached in its Environment';
$attacks->expect({ name => "another Environment's port", function => 'tcp', event => \%port, status => 500, cause => qr/connect ECONNREFUSED 127.0.0.1:9000/ });
is $attacks->call('listen', {}, $other)->{body}, 3, 'which had no further connection';

done_testing;
