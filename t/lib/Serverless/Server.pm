# An httpd of a suite's own, for tests that need other directives than the shared one has:
# one child, short time limits, another database.
#
#   my $server = Serverless::Server->start('impatient', "ServerlessDBTimeout 300ms\n"
#       . Serverless::Server->database(statement_timeout => 500) . Serverless::Server->api);
#   $api->at($server->address)->get('/v1/Services');
#
# It ends with the object, and with the suite if that is killed.
package Serverless::Server;

use strict;
use warnings FATAL => 'all';

use Apache::Test ();
use IO::Socket::INET ();
use IO::Socket::UNIX ();
use POSIX ();
use Serverless::Time;

# Configuration ----------------------------------------------------------------

# The configuration before a suite's own lines. Modules named in `without` are not loaded; `mpm` is
# the MPM of the test run unless another is named; with `keyless`, there is nothing to encrypt
# Variables with. One account may have as many requests at a time as httpd has workers, because a
# suite has one account; a request waits long for a connection or an isolate, and a Build may take long,
# because the machine may be busy. With `limits`, these limits are the module's defaults.
sub preamble {
    my ($class, $name, %option) = @_;
    open my $in, '<', "$ENV{SOURCE}/modules.conf" or die "modules.conf: $!\n";
    my $modules = join '', <$in>;
    $modules =~ s/^LoadModule \Q$_\E .*\n//m for @{ $option{without} || [] };
    my $keys = $option{keyless} ? '' : qq(ServerlessVariableKeys "$ENV{VARIABLE_KEYS}");
    $modules =~ s/mpm_[a-z]+(?=_module|\.so)/mpm_$option{mpm}/g if $option{mpm};
    my $thread = ($option{mpm} // mpm()) eq 'prefork' ? '' : ':tid %T'; # as messages.md says
    my $pipelining = $ENV{PIPELINING} || 'On';
    $modules .= "ServerlessPipelining Off\n" if $pipelining ne 'On';
    $modules .= "ServerlessMaxRequests Off\nServerlessMaxRequestsPerAccount Off\n"
        . "ServerlessDBTimeout 30s\nServerlessQueueTimeout 60s\nServerlessBuildTimeout 2min\n" if !$option{limits};
    return <<"END";
$modules
$keys
ServerRoot        "$ENV{SOURCE}/t"
DefaultRuntimeDir "@{[ logs() ]}"
PidFile           "@{[ logs() ]}/$name.pid"
ErrorLog          "@{[ logs() ]}/${name}_error_log"
ErrorLogFormat    "[%{cu}t] [%m:%l] [pid %P$thread] [%L] %M"
LogLevel          info
TypesConfig       conf/mime.types
ServerName        127.0.0.1
@{[ $class->workers($class->default_workers, %option) ]}
END
}

# How many workers an httpd has unless a suite's own lines say another number.
sub worker_count { is_prefork() ? 4 : 32 }
sub default_workers { (1, 32, prefork => 4) }

# The MPM of the test run.
sub mpm { $ENV{MPM} || 'event' }

sub is_prefork { mpm() eq 'prefork' }

# Lines for a number of children with a number of threads each, all of which are there from the start to the end. A child of
# prefork has one worker: there are as many children as workers, or as many as `prefork` says. With `restarts`, there may be
# twice as many (half as many again with prefork, where each has a connection to the database), so that a graceful restart need
# not wait for the old children. `mpm` is the MPM of the test run unless another is named.
sub workers {
    my ($class, $children, $threads, %option) = @_;
    my $is_prefork = ($option{mpm} // mpm()) eq 'prefork';
    $children = $option{prefork} // $children * $threads if $is_prefork;
    my $limit = $children + ($option{restarts} ? int(($children + $is_prefork) / (1 + $is_prefork)) : 0);
    my $lines = "StartServers $children\nServerLimit $limit\n";
    return "${lines}MaxRequestWorkers $limit\nMinSpareServers $children\nMaxSpareServers $children\n" if $is_prefork;
    my $workers = $children * $threads;
    return "${lines}ThreadsPerChild $threads\nMaxRequestWorkers $workers\nMinSpareThreads $workers\nMaxSpareThreads $workers\n";
}

# Lines for one child under each MPM, where what a child knows or logs once is tested.
sub one_child { $_[0]->workers(1, 32, prefork => 1) }

# mod_dbd's directives. A PostgreSQL of a suite's own, at `host`, may stand still: httpd gives up after two seconds.
sub database {
    my ($class, %option) = @_;
    my $host = $option{host} || $ENV{DATABASE};
    my $connect_timeout = $option{host} ? 2 : 20;
    my $database = $option{database} || 'serverless';
    my $timeout = $option{statement_timeout} || 30_000;
    return <<"END";
DBDriver  pgsql
DBDParams "host=$host dbname=$database user=serverless_httpd connect_timeout=$connect_timeout options='-c statement_timeout=$timeout'"
DBDMin    1
DBDKeep   4
DBDMax    8
END
}

# The API at a path, with further lines in its <Location>.
sub api {
    my ($class, $path, $lines) = @_;
    $path ||= '/v1/Services';
    $lines = '' if !defined $lines;
    return <<"END";
<Location "$path">
    ServerlessFunctions On
    $lines
    AuthType          Basic
    AuthName          "Twilio API"
    AuthBasicProvider serverless
    Require           valid-user
</Location>
END
}

sub logs { Apache::Test::vars('t_logs') }

sub write_config {
    my ($name, $text) = @_;
    my $file = logs() . "/$name.conf";
    open my $out, '>', $file or die "$file: $!\n";
    print $out $text;
    close $out or die "$file: $!\n";
    return $file;
}

# The result of "httpd -t", which is apachectl configtest, for a configuration:
# its exit status and the message without time, place and file name.
sub configtest {
    my ($class, $lines, %option) = @_;
    my $file = write_config('configtest',
        $class->preamble('configtest', %option) . "Listen 127.0.0.1:1\n$lines");
    open my $pipe, '-|', "'@{[ Apache::Test::vars('httpd') ]}' -t -f '$file' 2>&1" or die "$!\n";
    my $said = do { local $/; <$pipe> };
    close $pipe;
    my $status = $? >> 8;
    $said =~ s/^AH00526: Syntax error on line \d+ of .*:\n//m;
    $said =~ s/^AH00014: Configuration check failed\n//m;
    $said =~ s/\n\z//;
    return ($status, $said);
}

# The module's directives, each with where httpd says that it may stand.
sub directives {
    my ($class) = @_;
    my $file = write_config('directives', $class->preamble('directives'));
    open my $pipe, '-|', Apache::Test::vars('httpd'), '-L', '-f', $file or die "$!\n";
    my $list = do { local $/; <$pipe> };
    return $list =~ /^(\w+) \(mod_serverless_functions\.c\)\n\t.*\n\t(.*)$/mg;
}

# Life -------------------------------------------------------------------------

# `under` is a command that httpd runs under, such as valgrind.
sub start {
    my ($class, $name, $lines, %option) = @_;
    my $port = free_port();
    my $self = bless { name => $name, address => "127.0.0.1:$port", parent => $$ }, $class;
    my $file = write_config($name, $class->preamble($name, %option) . "Listen 127.0.0.1:$port\n$lines");
    unlink $self->error_log_file;

    defined($self->{pid} = fork) or die "fork: $!\n";
    if (!$self->{pid}) {
        setpgrp; # with its children
        exec 'setpriv', '--pdeathsig', 'TERM', @{ $option{under} || [] },
            Apache::Test::vars('httpd'), '-f', $file, '-D', 'FOREGROUND';
        die "setpriv: $!\n";
    }
    # httpd listens before it makes its children
    return $self if wait_until { $self->has_ended || $self->listens && $self->children } && !$self->has_ended;
    die "the httpd '$name' did not start; it said:\n", $self->error_log;
}

sub listens { IO::Socket::INET->new(PeerAddr => $_[0]{address}) }

# Whether the parent process has ended by itself.
sub has_ended {
    my ($self) = @_;
    return $self->{ended} //= waitpid($self->{pid}, POSIX::WNOHANG()) == $self->{pid} ? 1 : undef;
}

sub stop {
    my ($self) = @_;
    my $pid = delete $self->{pid};
    return if !$pid || $self->{parent} != $$;
    local $?;
    # All of it at once: a graceful end takes a second or two, and asked to end
    # otherwise, event's children may crash on connections that were just closed.
    kill KILL => -$pid;
    waitpid $pid, 0;
}

# Restarts httpd gracefully; returns when the old children are gone and new ones serve.
sub restart {
    my ($self) = @_;
    my %before = map { $_ => 1 } $self->children;
    kill USR1 => $self->{pid} or die "kill: $!\n";
    wait_until {
        my @children = $self->children;
        die "the httpd '$self->{name}' ended; it said:\n", $self->error_log if $self->has_ended;
        @children && !grep { $before{$_} } @children;
    } or die "the httpd '$self->{name}' did not restart\n";
}

sub DESTROY { $_[0]->stop }

sub address { $_[0]{address} }

# The children of httpd, as process ids.
sub children {
    my ($self) = @_;
    return grep { (status_of($_)->{PPid} // 0) == $self->{pid} } map { m{^/proc/(\d+)$} } glob '/proc/[0-9]*';
}

# The most memory that any child has had, in bytes.
sub peak_memory {
    my ($self) = @_;
    my @peaks = sort { $a <=> $b } map { (status_of($_)->{VmHWM} // 0) * 1024 } $self->children;
    return $peaks[-1];
}

# The numbers of /proc/PID/status.
sub status_of {
    my ($pid) = @_;
    open my $in, '<', "/proc/$pid/status" or return {};
    local $/;
    my $text = <$in> // '';
    return { $text =~ /^(\w+):\s+(\d+)/mg };
}

sub error_log_file { logs() . "/$_[0]{name}_error_log" }

# The lines of its error log since the last call.
sub error_log {
    my ($self) = @_;
    open my $log, '<', $self->error_log_file or die "error_log: $!\n";
    seek $log, $self->{read} || 0, 0;
    local $/;
    my $text = <$log>;
    $self->{read} = tell $log;
    return defined $text ? $text : '';
}

# A socket for each port that this process has been given: its name is the port's lock.
my @taken;

# A port at which nothing listens, and that no other call has returned, in this suite or one that runs beside it. It is none
# that the kernel gives to connections, since one of them might have it before the server listens.
sub free_port {
    open my $in, '<', '/proc/sys/net/ipv4/ip_local_port_range' or die "ip_local_port_range: $!\n";
    my ($first) = <$in> =~ /^(\d+)/;
    for (1 .. 100) {
        my $port = $first - 1 - int rand 3000;
        my $lock = IO::Socket::UNIX->new(Listen => 1, Local => "\0serverless-test-port-$port") or next;
        if (IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1', LocalPort => $port)) {
            push @taken, $lock;
            return $port;
        }
    }
    die "no port: $@\n";
}

1;
