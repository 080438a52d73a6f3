# A PostgreSQL of a suite's own, with the schema in it, which can be made to stand still: its
# processes are there, its sockets take connections, and nothing is answered.
#
#   my $cluster = Serverless::Cluster->start('silent');
#   Serverless::Server->database(host => $cluster->host);
#   $cluster->freeze;        # SIGSTOP to all of its processes
#   $cluster->thaw;          # SIGCONT
#
# It ends with the object.
package Serverless::Cluster;

use strict;
use warnings FATAL => 'all';

use DBI ();
use Serverless::Server ();
use Serverless::Time;

sub start {
    my ($class, $name, @options) = @_;
    my $directory = "$ENV{SOURCE}/cluster_$name";
    my $self = bless { directory => $directory, process => $$, stopped => [] }, $class;
    $self->tool('start', @options);
    for my $command ('schema apply', 'grant serverless_httpd') {
        system("$ENV{SOURCE}/bin/serverless-admin -d 'host=@{[ $self->host ]} dbname=serverless user=serverless_owner' "
            . "$command >/dev/null") == 0 or die "serverless-admin $command failed\n";
    }
    return $self;
}

sub tool {
    my ($self, $action, @options) = @_;
    system("$ENV{SOURCE}/tools/cluster", $action, $self->{directory}, @options) == 0
        or die "tools/cluster $action failed\n";
}

# The first line of a file in its directory.
sub line_of {
    my ($self, $name) = @_;
    open my $in, '<', "$self->{directory}/$name" or die "$name: $!\n";
    chomp(my $line = <$in>);
    return $line;
}

# The directory of its socket.
sub host { $_[0]->line_of('socket') }

# A new session of the owner of the schema, or of another role.
sub connect {
    my ($self, $role) = @_;
    return DBI->connect("dbi:Pg:host=@{[ $self->host ]};dbname=serverless", $role // 'serverless_owner', undef,
        { RaiseError => 1, PrintError => 0, AutoCommit => 1, AutoInactiveDestroy => 1, pg_server_prepare => 0 });
}

# Its processes: the postmaster, then its children.
sub processes {
    my ($self) = @_;
    my $postmaster = $self->line_of('data/postmaster.pid');
    my @children = grep { (Serverless::Server::status_of($_)->{PPid} // 0) == $postmaster }
        map { m{^/proc/(\d+)$} } glob '/proc/[0-9]*';
    return ($postmaster, @children);
}

# Stops processes, all of them without arguments, until thaw(). The postmaster is first, so that it makes
# no further ones.
sub freeze {
    my ($self, @processes) = @_;
    push @{ $self->{stopped} }, @processes;
    return kill STOP => @processes if @processes;
    push @{ $self->{stopped} }, my $postmaster = ($self->processes)[0];
    kill STOP => $postmaster;
    wait_until { state_of($postmaster) eq 'T' } or die "PostgreSQL is not stopped\n";
    my (undef, @children) = $self->processes;
    push @{ $self->{stopped} }, @children;
    return kill STOP => @children;
}

sub thaw {
    my ($self) = @_;
    kill CONT => $_ for reverse @{ $self->{stopped} };
    $self->{stopped} = [];
}

# "T" for a process that is stopped.
sub state_of {
    my ($pid) = @_;
    open my $in, '<', "/proc/$pid/stat" or return '';
    return (split ' ', <$in> =~ s/^.*\)//r)[0];
}

sub DESTROY {
    my ($self) = @_;
    return if $self->{process} != $$;
    local ($?, $@);
    $self->thaw;
    $self->tool('stop');
}

1;
