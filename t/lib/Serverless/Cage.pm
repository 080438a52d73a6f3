# Programs in the cage of isolates, and outside it. The program `serverless-runner --exec` runs them the way that the
# runner runs an isolate.
#
#   my $cage = Serverless::Cage->new;
#   my $inside = $cage->run('/bin/cat', $file);        # { status => 1, output => "cat: ..." }
#   my $outside = Serverless::Cage::outside('/bin/cat', $file);
package Serverless::Cage;

use strict;
use warnings FATAL => 'all';

use Apache::Test ();
use Apache::TestConfig ();
use File::Path qw(make_path);

my $count = 0;

sub runner { "$ENV{SOURCE}/build/serverless-runner" }

# Options are lines of the configuration: Isolation, Egress, EgressAllow (a list).
sub new {
    my ($class, %option) = @_;
    my $folder = Apache::Test::config()->{vars}{t_logs} . '/cage-' . $$ . '-' . ++$count;
    make_path("$folder/cache", "$folder/isolate");
    write_file("$folder/isolate/main.js", "process.exit(0);\n");
    my $self = bless { folder => $folder, file => "$folder/runner.conf" }, $class;
    my $user = getpwuid $>;
    write_file($self->{file}, <<"END" . join '', map { "EgressAllow $_\n" } @{ $option{EgressAllow} // [] });
Control $folder/control
Client $user
Runtime node20 $ENV{NODE}
Isolation @{[ $option{Isolation} // 'bubblewrap' ]}
Egress @{[ $option{Egress} // 'none' ]}
Cache $folder/cache 1G
Isolate $folder/isolate/main.js
END
    return $self;
}

sub write_file {
    my ($path, $text) = @_;
    open my $file, '>', $path or die "$path: $!\n";
    print $file $text;
    close $file or die "$path: $!\n";
}

sub folder { $_[0]{folder} }

# The command that runs a program in the cage.
sub command {
    my ($self, @program) = @_;
    return (runner(), '-c', $self->{file}, '--exec', @program);
}

sub run {
    my ($self, @program) = @_;
    return outside($self->command(@program));
}

# Runs a program as the suite's user. Its status is the exit status, or 128 and the number of the signal that ended it.
sub outside {
    my (@program) = @_;
    my $pid = open(my $output, '-|') // die "fork: $!\n";
    if (!$pid) {
        open STDERR, '>&', \*STDOUT or die;
        exec { $program[0] } @program or print "$program[0]: $!\n";
        CORE::exit(127);
    }
    my $text = do { local $/; <$output> // '' };
    close $output;
    return { status => $? & 127 ? 128 + ($? & 127) : $? >> 8, output => $text };
}

# Why programs cannot be run in this cage, or nothing.
sub obstacle {
    my ($self) = @_;
    my $try = $self->run('/bin/true');
    return $try->{status} == 0 ? undef : $try->{output} =~ s/\n.*//sr;
}

1;
