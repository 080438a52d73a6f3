# What the suites are written with. A suite is a list of named operations and
# the whole answer expected of each:
#
#   my $api = Serverless::Test->account;
#   my $service = $api->post('/v1/Services', UniqueName => 'a', FriendlyName => 'A');
#   is_reply $service, 201, { sid => sid('ZS'), ... }, 'create a Service';
#
# An object talks HTTP to one host as one account. Each account is new, so that
# suites do not meet one another's rows.
package Serverless::Test;

use strict;
use warnings FATAL => 'all';

use Apache::Test qw(-withtestmore);
use Apache::TestConfig ();
use Cpanel::JSON::XS ();
use DBI ();
use Exporter qw(import);
use HTTP::Tiny ();
use IO::Socket::INET ();
use Serverless::OpenAPI ();
use Socket qw(IPPROTO_TCP TCP_NODELAY);
use Test::More;
use Time::HiRes ();

our @EXPORT = qw(is_reply is_error is_within sid date now quoted db database error_log make_file wait_until);

my $json = Cpanel::JSON::XS->new->utf8->allow_nonref;

# Clients ----------------------------------------------------------------------

# A client of a new account.
sub account {
    my ($class) = @_;
    my ($sid, $token) =
        db()->selectrow_array('SELECT * FROM serverless.create_account(?)', undef, 'test');
    return $class->client($sid, $token);
}

# A client with these credentials; without, one that sends none.
sub client {
    my ($class, $user, $password) = @_;
    return bless {
        user => $user, password => $password, headers => {}, host => address('api'),
    }, $class;
}

# The same client at another virtual host of t/conf/extra.conf.in.
sub on {
    my ($self, $host) = @_;
    return bless { %$self, host => address($host) }, ref $self;
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

# The same client, for answers of others than the API, which is not there or not asked.
sub undescribed { my ($self) = @_; return bless { %$self, undescribed => 1 }, ref $self }

sub user     { $_[0]{user} }
sub password { $_[0]{password} }

# Where absolute URLs of this client's host begin.
sub base { "http://$_[0]{host}" }

sub address {
    my ($host) = @_;
    my $vhost = Apache::Test::config()->{vhosts}{$host} or die "no virtual host '$host' in t/conf\n";
    return $vhost->{hostport};
}

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
    $self->{http} ||= HTTP::Tiny->new(max_redirect => 0, keep_alive => 1, timeout => 30);
    my $response = $self->{http}->request($method, $url, \%options);
    # head and body are two writes: without this, the second waits for an ACK that is delayed
    my $connection = $self->{http}{handle};
    setsockopt $connection->{fh}, IPPROTO_TCP, TCP_NODELAY, 1 if $connection && $connection->{fh};
    my $reply = Serverless::Test::Reply->new($response);
    check_description($method, $path, $reply) if !$self->{undescribed};
    return $reply;
}

# Each answer must be as docs/openapi.yaml has it; a suite notices only where one is not.
my $suite = $$;
sub check_description {
    my ($method, $path, $reply) = @_;
    my @complaints = Serverless::OpenAPI::complaints($method, $path, $reply) or return;
    my $text = join "\n    ", "$method $path is not answered as docs/openapi.yaml says:", @complaints;
    die "$text\n" if $$ != $suite; # a client of Serverless::Parallel
    local $Test::Builder::Level = 1;
    $Test::Builder::Level++ while caller($Test::Builder::Level - 1) eq __PACKAGE__; # the suite's line
    fail "$method $path: as docs/openapi.yaml says";
    diag $text;
}

# Sends bytes as they are and reads until the server closes: for what no HTTP
# library would send. The answer is text, or a reply if it is one.
sub raw {
    my ($self, $bytes, %option) = @_;
    my $socket = IO::Socket::INET->new(PeerAddr => $self->{host}, Timeout => 10) or die "$@\n";
    local $SIG{PIPE} = 'IGNORE';
    local $SIG{ALRM} = sub { die "no end of the answer\n" };
    alarm($option{timeout} || 30);
    $socket->syswrite($bytes);
    shutdown $socket, 1 if $option{half_close};
    my $answer = '';
    1 while sysread $socket, $answer, 65536, length $answer;
    alarm 0;
    return Serverless::Test::Reply->parse($answer);
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

# Expectations -----------------------------------------------------------------

# The status and the whole body. Expected values are compared literally, except
# regular expressions, which must match.
sub is_reply {
    my ($reply, $status, $body, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $expected = { status => $status, body => $body };
    my $got = { status => $reply->status, body => $reply->json // $reply->body };
    is_deeply $got, adapt($expected, $got), $name;
}

# An error of the API with this code, and a message that matches.
sub is_error {
    my ($reply, $status, $code, $message, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is_reply $reply, $status, {
        code => $code, message => $message, more_info => "https://www.twilio.com/docs/errors/$code",
        status => $status,
    }, $name;
}

sub sid  { my ($prefix) = @_; qr/^$prefix[0-9a-f]{32}$/ }
sub now() { int Time::HiRes::time } # time() may be some milliseconds behind what PostgreSQL knows
sub date { qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/ }

# A value as a test's name can show it.
sub quoted {
    my ($text) = @_;
    $text =~ s/([^\x20-\x7e])/sprintf '\\x{%x}', ord $1/ge;
    $text = substr($text, 0, 40) . '...' if length $text > 43;
    return "'$text'";
}

# $expected with each regular expression replaced by the value it matches in
# $got, so that is_deeply's own report names the place that differs.
sub adapt {
    my ($expected, $got) = @_;
    my $kind = ref $expected;
    if ($kind eq 'Regexp') {
        return defined $got && !ref $got && $got =~ $expected ? $got : "matching $expected";
    }
    if ($kind eq 'HASH') {
        my $other = ref $got eq 'HASH' ? $got : {};
        return { map { $_ => adapt($expected->{$_}, $other->{$_}) } keys %$expected };
    }
    if ($kind eq 'ARRAY') {
        my $other = ref $got eq 'ARRAY' ? $got : [];
        return [ map { adapt($expected->[$_], $other->[$_]) } 0 .. $#$expected ];
    }
    return $expected;
}

# The servers ------------------------------------------------------------------

# The test database, as its owner.
my $db;
sub db {
    $db = undef if $db && !$db->ping;
    return $db ||= connect_as('postgres');
}

# A connection of its own, e.g. to hold a lock in.
sub connect_as {
    my ($role, $database) = @_;
    $database = 'serverless' if !defined $database;
    return DBI->connect("dbi:Pg:host=$ENV{DATABASE};dbname=$database", $role, undef,
        { RaiseError => 1, PrintError => 0, AutoCommit => 1, AutoInactiveDestroy => 1,
          pg_server_prepare => 0 });
}

# database('stop'), database('start'), database('restart')
sub database {
    my ($action) = @_;
    if ($db) {
        $db->disconnect;
        $db = undef;
    }
    system("$ENV{SOURCE}/tools/cluster", $action, $ENV{CLUSTER}) == 0
        or die "tools/cluster $action failed\n";
}

# What httpd has logged since the last call in this suite.
my $read_so_far = -s error_log_file() || 0;
sub error_log {
    open my $log, '<', error_log_file() or die "error_log: $!\n";
    seek $log, $read_so_far, 0;
    local $/;
    my $text = <$log> // '';
    $read_so_far = tell $log;
    return $text;
}

sub error_log_file { Apache::Test::config()->{vars}{t_logs} . '/error_log' }

# A file that httpd may serve, below its DocumentRoot.
sub make_file {
    my ($name, $content) = @_;
    my $path = Apache::Test::config()->{vars}{documentroot} . "/$name";
    open my $file, '>', $path or die "$path: $!\n";
    print $file $content;
    close $file or die "$path: $!\n";
}

# Until the condition is true, a minute at most, which is far more than anything
# takes on an idle machine; says whether it became so.
sub wait_until(&) {
    my ($condition) = @_;
    my $latest = Time::HiRes::time() + 60;
    while (1) {
        return 1 if $condition->();
        return 0 if Time::HiRes::time() > $latest;
        Time::HiRes::sleep(0.05);
    }
}

# That this takes less than so many seconds. What is too slow is done again, four
# times at most: a wait that is built in comes each time, one that a busy machine
# adds does not. So the code must be such that it can be done again.
sub is_within(&$$) {
    my ($code, $limit, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $seconds;
    for (1 .. 5) {
        my $begin = Time::HiRes::time();
        $code->();
        $seconds = Time::HiRes::time() - $begin;
        last if $seconds < $limit;
    }
    cmp_ok $seconds, '<', $limit, $name;
}

# What came back ----------------------------------------------------------------
package Serverless::Test::Reply;

sub new {
    my ($class, $response) = @_;
    die "no answer: $response->{content}" if $response->{status} == 599;
    return bless $response, $class;
}

# From the bytes of an answer; status is '' if they are none.
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

# The decoded body, or undef if it is not JSON. It is the same each time: not to be changed.
sub json {
    my ($self) = @_;
    return $self->{json} //= eval { $json->decode($self->{content}) };
}

1;
