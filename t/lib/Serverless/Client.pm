# A client of the API: it talks HTTP to one host as one account.
#
#   my $api = Serverless::Client->account;    # a new account
#   my $reply = $api->post('/v1/Services', UniqueName => 'a', FriendlyName => 'A');
#
# Requests return a Serverless::Reply. Each account is new, so that no suite sees
# another's rows. Each answer is compared with docs/openapi.yaml and recorded for t/answers.t.
package Serverless::Client;

use strict;
use warnings FATAL => 'all';

use HTTP::Tiny ();
use IO::Socket::INET ();
use Serverless::Answers ();
use Serverless::Database ();
use Serverless::OpenAPI ();
use Serverless::Reply ();
use Serverless::SharedServer ();
use Socket qw(IPPROTO_TCP TCP_NODELAY);

# How many seconds a client waits for an answer. No answer takes as long on a busy machine.
my $patience = 120;

# Clients ----------------------------------------------------------------------

# A client of a new account.
sub account {
    my ($class) = @_;
    my ($sid, $token) =
        Serverless::Database::db()->selectrow_array('SELECT * FROM serverless.create_account(?)', undef, 'test');
    return $class->client($sid, $token);
}

# A client with these credentials; without, one that sends none.
sub client {
    my ($class, $user, $password) = @_;
    return bless {
        user => $user, password => $password, headers => {}, host => Serverless::SharedServer::address('api'),
    }, $class;
}

# The same client at another virtual host of t/conf/extra.conf.in.
sub on {
    my ($self, $host) = @_;
    return bless { %$self, host => Serverless::SharedServer::address($host) }, ref $self;
}

# The same client, on a connection of its own, at an address (a Serverless::Server's, say).
sub at {
    my ($self, $address) = @_;
    return bless { %$self, host => $address, http => undef }, ref $self;
}

# The same client on a new connection, which may lead to another child of httpd.
sub afresh { my ($self) = @_; return $self->at($self->{host}) }

# The same client sending these headers as well.
sub with {
    my ($self, %headers) = @_;
    return bless { %$self, headers => { %{ $self->{headers} }, %headers } }, ref $self;
}

# The same client, whose answers are not compared with docs/openapi.yaml: for paths that the API does not serve.
sub undescribed { my ($self) = @_; return bless { %$self, undescribed => 1 }, ref $self }

sub user     { $_[0]{user} }
sub password { $_[0]{password} }

# Where absolute URLs of this client's host begin.
sub base { "http://$_[0]{host}" }

# Requests ---------------------------------------------------------------------

# Parameters are pairs and may repeat; a path may be an absolute URL of an answer.
sub get    { my ($self, $path, @query) = @_; $self->request(GET => with_query($path, @query)) }
sub head   { my ($self, $path, @query) = @_; $self->request(HEAD => with_query($path, @query)) }
sub delete { my ($self, $path) = @_; $self->request(DELETE => $path) }

sub post {
    my ($self, $path, @form) = @_;
    return $self->request(POST => $path, form(@form), 'application/x-www-form-urlencoded');
}

# A POST of multipart/form-data: parts are [name, filename, type, bytes], where
# filename and type may be left undefined.
sub upload {
    my ($self, $path, @parts) = @_;
    my $boundary = '--------------------------0123456789abcdef01234567';
    return $self->request(POST => $path, multipart($boundary, @parts),
        "multipart/form-data; boundary=$boundary");
}

sub multipart {
    my ($boundary, @parts) = @_;
    my $body = '';
    for my $part (@parts) {
        my ($name, $filename, $type, $bytes) = @$part;
        $body .= "--$boundary\r\nContent-Disposition: form-data; name=\"$name\"";
        $body .= "; filename=\"$filename\"" if defined $filename;
        $body .= "\r\nContent-Type: $type" if defined $type;
        $body .= "\r\n\r\n$bytes\r\n";
    }
    return "$body--$boundary--\r\n";
}

sub request {
    my ($self, $method, $path, $body, $type) = @_;
    my %headers = (%{ $self->{headers} });
    $headers{Authorization} //= 'Basic ' . base64("$self->{user}:$self->{password}")
        if defined $self->{user};
    $headers{'Content-Type'} //= $type if defined $type;
    my $url = $path =~ m{^http://} ? $path : $self->base . $path;
    my %options = (headers => \%headers, defined $body ? (content => $body) : ());
    $self->{http} ||= HTTP::Tiny->new(max_redirect => 0, keep_alive => 1, timeout => $patience);
    my $response = $self->{http}->request($method, $url, \%options);
    # head and body are two writes: without this, the second waits for an ACK that is delayed
    my $connection = $self->{http}{handle};
    setsockopt $connection->{fh}, IPPROTO_TCP, TCP_NODELAY, 1 if $connection && $connection->{fh};
    my $reply = Serverless::Reply->new($response);
    if (!$self->{undescribed}) {
        Serverless::Answers::record($method, $path, $reply);
        Serverless::OpenAPI::check($method, $path, $reply);
    }
    return $reply;
}

# Sends bytes as they are and reads until the server closes: for requests that no HTTP
# library would send. The answer is text, or a reply if it is one.
sub raw {
    my ($self, $bytes, %option) = @_;
    my $socket = IO::Socket::INET->new(PeerAddr => $self->{host}, Timeout => $patience) or die "$@\n";
    local $SIG{PIPE} = 'IGNORE';
    local $SIG{ALRM} = sub { die "no end of the answer\n" };
    alarm($option{timeout} || $patience);
    $socket->syswrite($bytes);
    shutdown $socket, 1 if $option{half_close};
    my $answer = '';
    1 while sysread $socket, $answer, 65536, length $answer;
    alarm 0;
    return Serverless::Reply->parse($answer);
}

# The same for a request in parts: its first line, then header lines and a body
# of the suite's making. Host, credentials and Connection: close go with it.
sub raw_request {
    my ($self, $line, %part) = @_;
    my @head = ($line, 'Host: ' . ($part{host} // $self->{host}), 'Connection: close');
    push @head, $self->authorization if defined $self->{user};
    push @head, @{ $part{headers} || [] };
    return $self->raw(join("\r\n", @head, '', '') . ($part{body} // ''), %part);
}

# The header line that authenticates, for raw requests.
sub authorization { 'Authorization: Basic ' . base64("$_[0]{user}:$_[0]{password}") }

sub form {
    my @pairs;
    while (my ($name, $value) = splice @_, 0, 2) {
        push @pairs, escape($name) . '=' . escape($value);
    }
    return join '&', @pairs;
}

sub with_query {
    my ($path, @query) = @_;
    return @query ? "$path?" . form(@query) : $path;
}

# Characters go out as UTF-8; "\xff" alone is meant as that character.
sub escape {
    my ($text) = @_;
    utf8::encode($text);
    $text =~ s/([^A-Za-z0-9_.~-])/sprintf '%%%02X', ord $1/ge;
    return $text;
}

sub base64 {
    require MIME::Base64;
    return MIME::Base64::encode_base64($_[0], '');
}

1;
