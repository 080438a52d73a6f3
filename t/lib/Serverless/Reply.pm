# An answer of HTTP: its status, headers, body, and the JSON in it.
package Serverless::Reply;

use strict;
use warnings FATAL => 'all';

use Cpanel::JSON::XS ();

my $json = Cpanel::JSON::XS->new->utf8->allow_nonref;

# From the response of HTTP::Tiny, whose status 599 is an error of its own.
sub new {
    my ($class, $response) = @_;
    die "no answer: $response->{content}" if $response->{status} == 599;
    return bless $response, $class;
}

# From the bytes of an answer; status is '' if they are not an answer of HTTP.
sub parse {
    my ($class, $bytes) = @_;
    my ($head, $body) = split /\r\n\r\n/, $bytes, 2;
    my ($line, @fields) = split /\r\n/, $head // '';
    my ($status) = ($line // '') =~ m{^HTTP/1\.[01] (\d{3})};
    my %headers = map { my ($name, $value) = split /:\s*/, $_, 2; (lc $name => $value) } @fields;
    return bless {
        status => $status // '', headers => \%headers, content => $body // '', bytes => $bytes,
    }, $class;
}

sub status { $_[0]{status} }
sub header { $_[0]{headers}{ lc $_[1] } }
sub body   { $_[0]{content} // '' }
sub bytes  { $_[0]{bytes} }

# The decoded body, or undef if it is not JSON. Each call returns the same reference, so it must not be changed.
sub json {
    my ($self) = @_;
    return $self->{json} //= eval { $json->decode($self->{content}) };
}

1;
