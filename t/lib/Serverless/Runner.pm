# A runner of a suite's own, which executes Functions for the httpds of the suite.
#
#   my $runner = Serverless::Runner->start('calls');
#   my $server = Serverless::Server->start('calls', Serverless::Server->database . $runner->directive . ...);
#
# It ends with the object, and with the suite if that is killed.
package Serverless::Runner;

use strict;
use warnings FATAL => 'all';

use IO::Socket::UNIX ();
use POSIX ();
use Serverless::RunnerChild ();
use Serverless::Server;
use Serverless::Time;
use Socket qw(SOCK_SEQPACKET);

# Starts a runner with a cache of Builds of its own. `isolate` is the program that takes an isolate's place, `under` a
# command that the runner runs under, `isolation` and `egress` its levels, `cache` the size of the cache, `folder` its
# folder, and `client` the user that may connect.
sub start {
    my ($class, $name, %option) = @_;
    my $logs = Serverless::Server->logs;
    my $self = bless { name => $name, parent => $$, folder => "$logs/$name-builds", socket => "$logs/$name.sock",
        log => "$logs/${name}_runner_log", config => "$logs/$name-runner.conf", under => $option{under} || [] }, $class;
    unlink $self->{log}; # of a runner of the same name in another suite
    $self->configure(%option);
    $self->run;
    return $self;
}

# Writes the configuration, with further lines.
sub configure {
    my ($self, %option) = @_;
    my $isolate = $option{isolate} || "$ENV{SOURCE}/runtime/isolate/main.js";
    my $folder = $option{folder} || $self->{folder};
    my $user = $option{client} || getpwuid $<;
    mkdir $self->{folder};
    open my $out, '>', $self->{config} or die "$self->{config}: $!\n";
    print $out map { "$_\n" } "Control $self->{socket}", "Client $user",
        "Isolation @{[ $option{isolation} || 'none' ]}", "Egress @{[ $option{egress} || 'host' ]}",
        "Cache $folder @{[ $option{cache} || '1G' ]}", "Isolate $isolate",
        (map { "Runtime $_ $ENV{NODE}" } qw(node18 node20 node22)), @{ $option{lines} || [] };
    close $out or die "$self->{config}: $!\n";
    return;
}

# The program's report of checking the configuration.
sub check {
    my ($self) = @_;
    my $program = "$ENV{SOURCE}/build/serverless-runner";
    return scalar `$program -t -c $self->{config} 2>&1`;
}

# Starts the program; returns when it accepts connections.
sub run {
    my ($self) = @_;
    defined($self->{pid} = fork) or die "fork: $!\n";
    if (!$self->{pid}) {
        setpgrp;
        open STDERR, '>>', $self->{log} or die "$self->{log}: $!\n";
        if ($ENV{SANITIZE}) {
            $ENV{ASAN_OPTIONS} = "log_path=$ENV{HOME}/sanitizer";
            $ENV{UBSAN_OPTIONS} = "print_stacktrace=1:log_path=$ENV{HOME}/sanitizer";
        }
        exec 'setpriv', '--pdeathsig', 'TERM', @{ $self->{under} }, "$ENV{SOURCE}/build/serverless-runner", '-c',
            $self->{config};
        die "setpriv: $!\n";
    }
    wait_until { $self->accepts || !$self->is_alive };
    $self->accepts or die "the runner '$self->{name}' did not start; it said:\n", $self->said;
    return;
}

# Whether the program runs.
sub is_alive {
    my ($self) = @_;
    return $self->{pid} && (waitpid($self->{pid}, POSIX::WNOHANG()) == 0 || kill 0, $self->{pid});
}

sub accepts {
    my ($self) = @_;
    socket my $socket, Socket::PF_UNIX(), SOCK_SEQPACKET, 0 or die "socket: $!\n";
    return connect $socket, Socket::pack_sockaddr_un($self->{socket});
}

# Ends it at once, as a crash would.
sub kill_now {
    my ($self) = @_;
    my $pid = delete $self->{pid} or return;
    local $?;
    kill KILL => $pid;
    waitpid $pid, 0;
    return;
}

# Has it hand over to a new runner. Returns the process id of the old one.
sub reload {
    my ($self) = @_;
    my $old = $self->{pid};
    kill HUP => $old;
    wait_until { $self->{pid} = $self->status->{pid}; $self->{pid} != $old } or die "no new runner: ", $self->said;
    return $old;
}

# Ends it by SIGTERM, and waits for its end.
sub terminate {
    my ($self) = @_;
    kill TERM => $self->{pid};
    wait_until { !$self->is_alive } or return $self->kill_now;
    delete $self->{pid};
    return;
}

sub stop {
    my ($self) = @_;
    return if $self->{parent} != $$;
    $self->kill_now;
    return;
}

sub DESTROY { $_[0]->stop }

sub pid { $_[0]{pid} }

# The directive of httpd that names it.
sub directive { "ServerlessRunner $_[0]{socket}\n" }

# Its messages.
sub said {
    my ($self) = @_;
    open my $in, '<', $self->{log} or return '';
    local $/;
    return <$in> // '';
}

# A child of httpd that is connected.
sub connect_child { Serverless::RunnerChild->connect($_[0]{socket}) }

# Its status. A runner that hands over may close the connection: the next one answers.
sub status {
    my ($self) = @_;
    my $message;
    wait_until {
        my $child = $self->connect_child;
        $child->send(STATUS => 1);
        $message = $child->receive;
        $child->close;
        ($message->{type} // '') eq 'STATUS';
    };
    return $message->{payload};
}

# The folder of the Builds.
sub builds { "$_[0]{folder}/builds" }

# The isolates, as process ids.
sub isolates {
    my ($self) = @_;
    return grep { (Serverless::Server::status_of($_)->{PPid} // 0) == ($self->{pid} // -1) }
        map { m{^/proc/(\d+)$} } glob '/proc/[0-9]*';
}

1;
