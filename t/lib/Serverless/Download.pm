# A GET whose answer is read as slowly as a suite likes:
#
#   my $download = Serverless::Download->begin($api, "$version->{url}/Content");
#   $download->read(1000);       # the head, and so much of the body
#   ...
#   $download->rest;             # to the end
#   $download->body; $download->header('Content-Length');
package Serverless::Download;

use strict;
use warnings FATAL => 'all';

use IO::Select ();
use Serverless::Reply ();
use Socket qw(PF_INET SOCK_STREAM SOL_SOCKET SO_RCVBUF inet_aton pack_sockaddr_in);

# The connection has a small receive buffer until the suite reads.
sub begin {
    my ($class, $client, $url, @headers) = @_;
    my ($host, $port) = $client->base =~ m{^http://([^:/]+):(\d+)};
    my ($path) = $url =~ m{^(?:http://[^/]+)?(/.*)};
    socket my $socket, PF_INET, SOCK_STREAM, 0 or die "socket: $!\n";
    setsockopt $socket, SOL_SOCKET, SO_RCVBUF, 4096 or die "setsockopt: $!\n";
    connect $socket, pack_sockaddr_in($port, inet_aton($host)) or die "connect: $!\n";
    my $request = join "\r\n", "GET $path HTTP/1.1", "Host: $host:$port", $client->authorization, @headers, '', '';
    my $self = bless { socket => $socket, bytes => '' }, $class;
    return $self->send($request);
}

# Sends bytes besides.
sub send {
    my ($self, $bytes) = @_;
    defined syswrite $self->{socket}, $bytes or die "write: $!\n";
    return $self;
}

# Reads until so many bytes of the body are there, or no more come. False at the end.
sub read {
    my ($self, $size) = @_;
    until ($self->size >= $size) {
        IO::Select->new($self->{socket})->can_read(120) or die "nothing comes, and no end\n";
        sysread $self->{socket}, $self->{bytes}, 1 << 18, length $self->{bytes} or return 0;
    }
    return 1;
}

# Reads until the server closes.
sub rest {
    my ($self) = @_;
    setsockopt $self->{socket}, SOL_SOCKET, SO_RCVBUF, 1 << 20 or die "setsockopt: $!\n";
    1 while $self->read($self->size + 1);
    return $self;
}

# The number of bytes of the body so far, these bytes, and the head.
sub size { my ($self) = @_; my $head = $self->head; return defined $head ? length($self->{bytes}) - $head : -1 }
sub body { my ($self) = @_; my $head = $self->head; return defined $head ? substr $self->{bytes}, $head : '' }
sub reply  { Serverless::Reply->parse(substr $_[0]{bytes}, 0, $_[0]->head // 0) }
sub header { $_[0]->reply->header($_[1]) }

# Where the head ends, once it has.
sub head {
    my ($self) = @_;
    return $self->{head} //= do {
        my $end = index $self->{bytes}, "\r\n\r\n";
        $end < 0 ? undef : $end + 4;
    };
}

1;
