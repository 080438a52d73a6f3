# A small npm registry on loopback, for the time of an object: t/registry/registry.js.
package Serverless::Registry;
use strict;
use warnings FATAL => 'all';

use Cwd ();
use File::Temp ();
use HTTP::Tiny ();
use IPC::Open2 qw(open2);

sub new {
    my ($class) = @_;
    my $pid = open2(my $out, my $in, 'node', "$ENV{SOURCE}/t/registry/registry.js");
    chomp(my $port = <$out> // '');
    $port =~ /^\d+$/ or die "the registry does not start\n";
    my $config = File::Temp->new;
    print $config "registry=http://127.0.0.1:$port/\n";
    close $config;
    chmod 0644, "$config";
    return bless { pid => $pid, in => $in, out => $out, port => $port, config => $config }, $class;
}

sub url { my ($self) = @_; return "http://127.0.0.1:$self->{port}" }

# The path of an .npmrc that names this registry.
sub config { my ($self) = @_; return "$self->{config}" }

# Has npm fill a cache with packages, and with all that these depend on: the command of docs/operations/runner.md.
sub fill {
    my ($self, $cache, @packages) = @_;
    my $folder = File::Temp->newdir;
    my $before = Cwd::getcwd();
    chdir $folder or die "$folder: $!\n";
    my $output = `npm install --ignore-scripts --userconfig @{[ $self->config ]} --cache '$cache' @packages 2>&1`;
    my $status = $?;
    chdir $before or die "$before: $!\n";
    $status == 0 or die "npm: $output\n";
    return;
}

# The number of requests so far.
sub requests { my ($self) = @_; return HTTP::Tiny->new->get($self->url . '/-/count')->{content} }

# Refuses requests (down), leaves them without an answer (silent), or answers them again (up).
sub set { my ($self, $state) = @_; return HTTP::Tiny->new->post($self->url . "/$state")->{success} }

sub DESTROY {
    my ($self) = @_;
    local ($?, $!);
    close $self->{in};
    waitpid $self->{pid}, 0;
    return;
}

1;
