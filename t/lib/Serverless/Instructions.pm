# An httpd under valgrind's callgrind, which counts the instructions of a request: from reading the request to
# the end of its answer. A count is the same on a machine that is busy. PostgreSQL's own work is not in it.
#
#   my $counted = Serverless::Instructions->start('instructions', $lines);
#   my $count = $counted->usual('get', 8, 9, sub { $api->at($counted->address)->get($path) });
package Serverless::Instructions;

use strict;
use warnings FATAL => 'all';

use Serverless::Server ();
use Serverless::Time;

# Options are those of Serverless::Server->start, and `function`: one that is counted in place of the request.
sub start {
    my ($class, $name, $lines, %option) = @_;
    my $function = delete $option{function};
    my $dumps = Serverless::Server::logs() . "/callgrind_$name";
    my @counted = ($function || 'ap_run_process_connection', $function || 'ap_process_async_request');
    my $server = Serverless::Server->start($name, Serverless::Server->workers(1, 2, prefork => 1) . $lines, %option,
        under => ['valgrind', '--quiet', '--vgdb=no', '--tool=callgrind', "--callgrind-out-file=$dumps.%p",
            "--toggle-collect=$counted[0]", "--dump-after=$counted[1]"]);
    return bless { server => $server, dumps => $dumps }, $class;
}

sub address { $_[0]{server}->address }

# Sends a request by the function given, which returns the reply, and returns how many instructions it took; its
# dump becomes NAME's log. `status` is that of the answer, 200 unless given.
sub count {
    my ($self, $name, $send, $status) = @_;
    my $reply = $send->();
    die $reply->status, ': ', $reply->body, "\n" if $reply->status != ($status // 200);
    my $count;
    wait_until {
        my ($dump) = glob "$self->{dumps}.*.*" or return 0;
        open my $in, '<', $dump or die "$dump: $!\n";
        ($count) = do { local $/; <$in> } =~ /^totals: (\d+)/m or return 0; # its last line
        rename $dump, Serverless::Server::logs() . "/callgrind_${name}_log" or die "$dump: $!\n";
    } or die "callgrind did not write down what it counted\n";
    return $count;
}

# The instructions of functions in a dump, with all that they call.
sub of_functions {
    my ($self, $name, @functions) = @_;
    my $dump = Serverless::Server::logs() . "/callgrind_${name}_log";
    my $annotated = `callgrind_annotate --inclusive=yes --threshold=100 '$dump' 2>&1`;
    my $sum = 0;
    for my $function (@functions) {
        my ($count) = $annotated =~ /^ *([\d,]+) \([^)]*\)  \S*:\Q$function\E /m or die "callgrind has no $function\n";
        $sum += $count =~ tr/,//dr;
    }
    return $sum;
}

# The middle one of several; caches are filled and statements planned before.
sub usual {
    my ($self, $name, $warm_up, $times, $send, $status) = @_;
    $self->count($name, $send, $status) for 1 .. $warm_up;
    return (sort { $a <=> $b } map { $self->count($name, $send, $status) } 1 .. $times)[$times / 2];
}

1;
