# What the compile check of Builds is kept from: a program in node's place tries to reach files, sockets and processes of httpd's
# user, and says in one line what it got. The same program also runs outside, where each attempt succeeds: that is the control.
# t/build_worker.t has its limits and its end.
use strict;
use warnings FATAL => 'all';

use Apache::Test qw(-withtestmore);
use Cpanel::JSON::XS qw(decode_json encode_json);
use IO::Socket::INET ();
use IO::Socket::UNIX ();
use POSIX ();
use Serverless::Cage;
use Serverless::Client;
use Serverless::Database;
use Serverless::Project;
use Serverless::Server;
use Serverless::Test;
use Test::More;

my $folder = Serverless::Server->logs . '/compile-check';
mkdir $folder or die "$folder: $!\n";
my $node = "$folder/node";

# The attempts, as the program reads them; it cannot be told anything else.
my %attempt;
sub write_node {
    Serverless::Cage::write_file($node, <<'END' . encode_json(\%attempt));
#!/usr/bin/perl
use strict; use warnings;
use JSON::PP (); use Socket; use POSIX ();
my %result;
my %try = (
    read    => sub { open my $f, '<', $_[0] or return "$!"; read $f, my $byte, 1; 'read' },
    list    => sub { opendir my $d, $_[0] or return "$!"; 'listed' },
    write   => sub { open my $f, '>>', $_[0] or return "$!"; 'opened' },
    make    => sub { mkdir "$_[0]/made" or return "$!"; rmdir "$_[0]/made"; 'made' },
    unix    => sub { socket my $s, PF_UNIX, SOCK_STREAM, 0 or return "$!"; connect $s, pack_sockaddr_un($_[0]) or return "$!"; 'connected' },
    abstract => sub { socket my $s, PF_UNIX, SOCK_STREAM, 0 or return "$!"; connect $s, pack_sockaddr_un("\0$_[0]") or return "$!"; 'connected' },
    tcp     => sub { socket my $s, PF_INET, SOCK_STREAM, 0 or return "$!"; connect $s, pack_sockaddr_in($_[0], INADDR_LOOPBACK) or return "$!"; 'connected' },
    signal  => sub { kill(0, $_[0]) or return "$!"; 'signalled' },
    session => sub { my $pid = fork // return "$!"; if (!$pid) { POSIX::_exit(POSIX::setsid() < 0 ? 1 : 0) } waitpid $pid, 0; $? ? 'Operation not permitted' : 'left' },
    namespace => sub { my $r = syscall 272, 0x10000000; $r < 0 ? "$!" : 'made' }, # unshare(CLONE_NEWUSER)
    own     => sub { open my $f, '<', "/proc/self/status" or return "$!"; my ($filter) = join('', <$f>) =~ /^Seccomp:\s+(\d)/m; "filter $filter" },
);
my $attempts = JSON::PP::decode_json(join '', <DATA>);
for my $name (keys %$attempts) { my ($how, $what) = @{ $attempts->{$name} }; $result{$name} = $try{$how}->($what) }
print JSON::PP->new->canonical->encode(\%result), "\n";
__DATA__
END
    chmod 0755, $node;
}
write_node();

# A database that no other httpd takes Builds of.
my $own = own_database('compile');
my ($account, $token) = $own->connect('postgres')->selectrow_array(q(SELECT * FROM serverless.create_account('compile')));
sub server {
    my ($name, $program) = @_;
    return Serverless::Server->start($name, Serverless::Server->database(database => $own->name) . "ServerlessNode $program\n" . Serverless::Server->api);
}
sub project { Serverless::Project->new(Serverless::Client->client($account, $token)->at($_[0]->address)) }

my $server = server('compile_check', $node);
my $project = project($server);
my $httpd;
ok wait_until { ($httpd) = $server->error_log =~ /\[pid (\d+)[^\n]*SF0096/ }, 'a child of httpd checks Builds';
my ($database) = glob "$ENV{DATABASE}/.s.PGSQL.*";
my $port = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 1000) or die "port: $!\n";
my $abstract = IO::Socket::UNIX->new(Local => "\0serverless-check-$$", Listen => 1000) or die "abstract socket: $!\n";

# Each attempt: what outside it gives, and what it gives as the compile check.
my $denied = 'Permission denied';
my $refused = 'Operation not permitted';
my %expected = (
    'the key file'                      => [ [ read => $ENV{VARIABLE_KEYS} ], 'read', $denied ],
    'the key of TLS'                    => [ [ read => "$ENV{TLS}/server.key" ], 'read', $denied ],
    'the environment of httpd'          => [ [ read => "/proc/$httpd/environ" ], 'read', $denied ],
    'the addresses of httpd\'s memory'  => [ [ read => "/proc/$httpd/maps" ], 'read', $denied ],
    'the users of the machine'          => [ [ read => '/etc/passwd' ], 'read', $denied ],
    'a list of files'                   => [ [ list => $folder ], 'listed', $denied ],
    'a list of processes'               => [ [ list => '/proc' ], 'listed', $denied ],
    'the log of httpd'                  => [ [ write => $server->error_log_file ], 'opened', $denied ],
    'a new folder'                      => [ [ make => $folder ], 'made', $denied ],
    'the socket of the database'        => [ [ unix => $database ], 'connected', $refused ],
    'an abstract socket'                => [ [ abstract => "serverless-check-$$" ], 'connected', $refused ],
    'a port of loopback'                => [ [ tcp => $port->sockport ], 'connected', $refused ],
    'a signal to httpd'                 => [ [ signal => $httpd ], 'signalled', $refused ],
    'a session of its own'              => [ [ session => '' ], 'left', $refused ],
    'what /proc says about itself'      => [ [ own => '' ], 'filter 0', 'filter 2' ],
    'a library of the system'           => [ [ read => '/usr/bin/perl' ], 'read', 'read' ],
);
$expected{'a user namespace'} = [ [ namespace => '' ], 'made', $refused ] if (POSIX::uname())[4] eq 'x86_64';
%attempt = map { $_ => $expected{$_}[0] } keys %expected;
write_node();

sub results { return { map { $_ => $expected{$_}[ $_[0] ] } keys %expected } }

# Linux refuses a look at another process's memory at moments.
my $outside;
wait_until { ($outside = Serverless::Cage::outside($node)->{output}) !~ /denied/ };
is_deeply scalar eval { decode_json($outside) }, results(1), 'outside, each attempt succeeds' or diag $outside;

# The reason of a failed Build is cut at 1,000 bytes.
my @names = sort keys %expected;
my %got;
while (my @some = splice @names, 0, 6) {
    %attempt = map { $_ => $expected{$_}[0] } @some;
    write_node();
    my $build = $project->finished($project->new_build($project->new_deployable(function => 'check')));
    my $result = eval { decode_json($build->{failure_reason}) } or diag explain $build;
    %got = (%got, %{ $result // {} });
}
is_deeply \%got, results(2), 'as the compile check, each is refused, but for libraries and what /proc says about itself';

subtest 'node itself' => sub {
    undef $server;
    my $other = server('compile_node', $ENV{NODE});
    my $project = project($other);
    is $project->completed($project->new_deployable(function => 'fine'))->{status}, 'completed', 'compiles';
    my $wrong = $project->finished($project->new_build($project->new_deployable(function => 'wrong', "const a = ;\n")));
    is $wrong->{failure_reason}, '/wrong line 1: SyntaxError: Unexpected token \';\'', 'says what is wrong';
    my $large = "const a = '" . 'x' x 900_000 . "';\n";
    is $project->completed(map { $project->new_deployable(function => "large-$_", $large) } 1 .. 3)->{status}, 'completed', 'compiles much';
};

done_testing;
