# Records the answers that the suites get, one of each shape, in a file. t/answers.t reads the file.
package Serverless::Answers;

use strict;
use warnings FATAL => 'all';

use Cpanel::JSON::XS ();
use Fcntl qw(O_APPEND O_CREAT O_WRONLY);
use Serverless::OpenAPI ();

# No process records more answers, or a longer body.
my $most_answers = 1000;
my $longest_body = 100_000;

my $json = Cpanel::JSON::XS->new->utf8->canonical;

sub file { "$ENV{SOURCE}/t/logs/answers_log" }

# Adds an answer to the file, if the description has a response for it and this process has not recorded an answer
# with the same response, Content-Type, headers and types in its body. The response is a pointer into the description.
my %recorded;
sub record {
    my ($method, $url, $reply) = @_;
    my $response = Serverless::OpenAPI::response_pointer($method, $url, $reply) // return;
    my $type = ($reply->header('Content-Type') // '') =~ s/;.*//sr;
    my $body = $type eq 'application/json' ? $reply->body : '';
    my $shape = join ' ', $method, $response, $type, sort(keys %{ $reply->{headers} }), shape($reply->json);
    return if keys %recorded >= $most_answers || length $body > $longest_body || $recorded{$shape}++;
    utf8::decode($body);
    append({ request => "$method $url", response => $response, headers => $reply->{headers}, body => $body });
}

# Several processes append at once: one write per line keeps the lines whole.
sub append {
    my ($answer) = @_;
    my $line = $json->encode($answer) . "\n";
    sysopen my $out, file(), O_WRONLY | O_APPEND | O_CREAT or die file() . ": $!\n";
    my $written = syswrite $out, $line;
    close $out;
    $written == length $line or die file() . ": $!\n";
}

# The types in a value as text. The types of the items of an array are named once each.
sub shape {
    my ($value) = @_;
    if (ref $value eq 'HASH') {
        return '{' . join(',', map { "$_:" . shape($value->{$_}) } sort keys %$value) . '}';
    }
    if (ref $value eq 'ARRAY') {
        my %shapes = map { shape($_) => 1 } @$value;
        return '[' . join(',', sort keys %shapes) . ']';
    }
    return Serverless::OpenAPI::type_of($value);
}

# All answers recorded so far by any suite.
sub recorded {
    open my $in, '<', file() or die file() . ": $!\n";
    return map { $json->decode($_) } <$in>;
}

1;
