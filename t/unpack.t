# What tar is kept from, which unpacks the packages of a Build for the runner: a program in its place tries to reach files and
# sockets of the runner's user, and writes to its folder what it got. The same program also runs outside: that is the control.
# t/dependencies.t has the packages themselves.
use strict;
use warnings FATAL => 'all';

use Apache::Test qw(-withtestmore);
use Cpanel::JSON::XS qw(decode_json);
use Serverless::Cage;
use Serverless::Runner;
use Serverless::RunnerChild;
use Serverless::Server;
use Serverless::Test;
use Test::More;

my $folder = Serverless::Server->logs . '/unpack';
mkdir $folder or die "$folder: $!\n";
my ($database) = glob "$ENV{DATABASE}/.s.PGSQL.*";
Serverless::Cage::write_file("$folder/tar", <<"END");
#!/usr/bin/perl
use strict; use warnings;
use JSON::PP (); use Socket;
my (undef, undef, undef, \$bundle) = \@ARGV;
sub read_file { open my \$f, '<', \$_[0] or return "\$!"; read \$f, my \$text, 100; \$text }
socket my \$s, PF_UNIX, SOCK_STREAM, 0;
my \$no_socket = "\$!";
my %result = (
    bundle   => read_file(\$bundle),
    beside   => read_file(\$bundle =~ s{[^/]*\\z}{manifest.json}r) =~ s/\\A\\{.*/read/sr,
    key      => length(read_file('$ENV{VARIABLE_KEYS}')) > 60 ? 'read' : "\$!",
    make     => mkdir('$folder/made') ? 'made' : "\$!",
    socket   => !defined fileno \$s ? \$no_socket : connect(\$s, pack_sockaddr_un('$database')) ? 'connected' : "\$!",
    signal   => kill(0, getppid) ? 'signalled' : "\$!",
);
rmdir '$folder/made';
open my \$out, '>', 'result' or die "result: \$!\\n";
print \$out JSON::PP->new->encode(\\%result);
END
chmod 0755, "$folder/tar";

my @machine = (qw(unshare --user --map-current-user --keep-caps --mount sh -c),
    "mount --bind $folder/tar /usr/bin/tar && exec setpriv --ambient-caps=-all --inh-caps=-all --pdeathsig TERM \"\$@\"", 'sh');
my $try = Serverless::Cage::outside('/usr/bin/env', @machine, 'true');
plan skip_all => "no mount namespaces on this machine: $try->{output}" if $try->{status};

sub result { decode_json(slurp($_[0])) }

sub slurp {
    open my $file, '<', $_[0] or die "$_[0]: $!\n";
    local $/;
    return <$file>;
}

my $runner = Serverless::Runner->start('unpack', under => \@machine);
my $child = $runner->connect_child;
my @files = ([ 'bundle.tar.zst', 'packages' ], Serverless::RunnerChild::build(hello => 'exports.handler = (c, e, done) => done(null, "hello");'));
my $line = $child->obtain(1, \@files);
is $line->{type}, 'LINE', 'an isolate of a Build with packages' or diag explain($line), $runner->said;
my ($build) = glob $runner->builds . '/*';
is_deeply result("$build/node_modules/result"),
    { bundle => 'packages', beside => 'Permission denied', key => 'Permission denied', make => 'Permission denied',
      socket => 'Operation not permitted', signal => 'Operation not permitted' },
    'tar reads the archive, and is refused all else';

mkdir "$folder/outside";
Serverless::Cage::outside('/bin/sh', '-c', 'cd "$0" && exec "$@"', "$folder/outside", "$folder/tar", '--zstd', '--no-same-owner', '-xf', "$build/bundle.tar.zst");
is_deeply result("$folder/outside/result"),
    { bundle => 'packages', beside => 'read', key => 'read', make => 'made', socket => 'connected', signal => 'signalled' },
    'outside, each attempt succeeds';

done_testing;
