# A child of httpd as the runner sees it: a control connection, and the lines that were passed over it.
# t/python/runner_children.py has the sockets.
package Serverless::RunnerChild;

use strict;
use warnings FATAL => 'all';

use Cpanel::JSON::XS ();
use Digest::SHA qw(sha256_hex);
use IPC::Open2 qw(open2);

my %type = (HELLO => 1, LEASE => 2, CANCEL => 3, LINE => 4, REFUSED => 5, MISSING => 6, FILE => 7, DATA => 8,
    STORE => 9, ABANDON => 10, RETURN => 11, KILL => 12, GIVE => 13, GONE => 14, WARM => 15, STATUS => 16, LEAVE => 17, PING => 18, INSTALL => 19, INSTALLED => 20,
    HELD => 21, DELIVERED => 22, LONG => 23);
my %name = reverse %type;
my $json = Cpanel::JSON::XS->new->canonical;
my $patience = 120; # seconds; isolates start slowly on a busy machine
my $count = 0;
my ($from, $to, $pid);

# Has the Python program do something. Returns its answer.
sub command {
    my (%command) = @_;
    $pid ||= open2($from, $to, '/usr/bin/python3', "$ENV{SOURCE}/t/python/runner_children.py");
    print $to $json->encode(\%command), "\n";
    $to->flush;
    my $answer = <$from> // die "runner_children.py has ended\n";
    return $json->decode($answer);
}

END {
    if ($pid) {
        close $to;
        waitpid $pid, 0;
        $? = 0;
    }
}

# A SID of a kind, made from one character.
sub sid { $_[0] . unpack('H2', $_[1]) x 16 }

# Lets a child answer no PING any more.
sub hang { command(do => 'hang', child => $_[0]{name}) }

# Connects without saying HELLO.
sub open {
    my ($class, $path) = @_;
    my $self = bless { name => 'child ' . ++$count }, $class;
    my $answer = command(do => 'connect', child => $self->{name}, path => $path);
    die "$path: $answer->{failed}\n" if $answer->{failed};
    return $self;
}

sub connect {
    my ($class, $path) = @_;
    my $self = $class->open($path);
    $self->send(HELLO => 0, { version => 1 });
    $self->{hello} = $self->receive->{payload};
    return $self;
}

# Sends a message: its type's name, its number, its payload as data or text.
sub send {
    my ($self, $type, $number, $payload) = @_;
    return command(do => 'send', child => $self->{name}, type => $type{$type} // $type, number => $number,
        payload => ref $payload ? $json->encode($payload) : $payload // '');
}

# Sends a packet of any bytes.
sub raw {
    my ($self, $bytes, $descriptors) = @_;
    return command(do => 'raw', child => $self->{name}, hex => unpack('H*', $bytes), descriptors => $descriptors // 0);
}

# The next message: { type => 'LINE', number => 1, payload => ..., line => ... }; { closed } or, after `timeout`
# seconds, nothing. HELD and DELIVERED, which come beside the others, are kept for deliveries().
sub receive {
    my ($self, $timeout) = @_;
    while (1) {
        my $message = $self->receive_any($timeout);
        return $message if ($message->{type} // '') !~ /^(?:HELD|DELIVERED)$/;
        push @{ $self->{deliveries} }, "$message->{type} $message->{number}";
    }
}

# The messages HELD and DELIVERED so far, as texts.
sub deliveries { @{ $_[0]{deliveries} || [] } }

sub receive_any {
    my ($self, $timeout) = @_;
    my $message = command(do => 'receive', child => $self->{name}, timeout => $timeout // $patience);
    if (defined $message->{type}) {
        $message->{type} = $name{ $message->{type} } // $message->{type};
        $message->{payload} = $json->decode($message->{payload}) if length $message->{payload};
    }
    return $message;
}

# The demand of a lease, with other values where some are given. A SID is given by one character.
sub demand {
    my (%value) = @_;
    my %sid = (environment => 'ZE', account => 'AC', build => 'ZB');
    my %demand = (environment => 'a', account => '1', build => '0', runtime => 'node20', concurrency => 8,
        isolates => 16, memory => 256 * 1024 * 1024, idle => 60, calls => 100, timeout => 5, wait => 60_000, %value);
    $demand{$_} = sid($sid{$_}, $demand{$_}) for grep { length $demand{$_} == 1 } keys %sid;
    return \%demand;
}

# Asks for an isolate.
sub lease {
    my ($self, $number, %value) = @_;
    $self->send(LEASE => $number, demand(%value));
}

# The SID of the Version of a Function.
sub version { 'ZN' . substr sha256_hex($_[0]), 0, 32 }

# The files of a Build with Functions: a list of [name, content], the manifest last.
sub build {
    my (%function) = @_;
    my (@files, %functions);
    for my $name (sort keys %function) {
        my $file = 'handlers/' . version($name) . '.js';
        push @files, [ $file, $function{$name} ];
        $functions{$name} = { file => $file, visibility => 'public' };
    }
    my $manifest = $json->encode({ functions => \%functions, assets => {}, bundle => undef });
    return (@files, [ 'manifest.json', $manifest ]);
}

sub send_file {
    my ($self, $number, $name, $content, %value) = @_;
    $self->send(FILE => $number,
        { name => $name, sha256 => sha256_hex($content), size => length $content, %value });
    $self->send(DATA => $number, substr $content, $_ * 60_000, 60_000) for 0 .. (length($content) - 1) / 60_000;
}

# Sends a Build under the number of the lease that is MISSING it.
sub send_build {
    my ($self, $number, @files) = @_;
    $self->send_file($number, @$_) for @files;
    $self->send(STORE => $number);
}

# Leases an isolate, sending the Build where it is missing. Returns the message LINE, or another one.
sub obtain {
    my ($self, $number, $build, %value) = @_;
    $self->lease($number, %value);
    my $message = $self->receive;
    if (($message->{type} // '') eq 'MISSING') {
        $self->send_build($number, @$build);
        $message = $self->receive;
    }
    return $message;
}

# Calls a Function over a line. Returns { body, idle }; nothing where the line ends before the answer.
sub call {
    my ($self, $line, $function) = @_;
    $self->begin($line, $function);
    return $self->finish($line);
}

sub begin {
    my ($self, $line, $function) = @_;
    command(do => 'begin', line => $line->{line}, head => $json->encode({
        function => version($function), path => "/$function", request => 'RQ1', deadline => 5000, method => 'GET',
        url => "http://host/$function", query => '', type => undef, headers => [], user => undef, domain => 'host',
        service => sid('ZS', '1'), environment => sid('ZE', 'a'), account => undef, token => undef, variables => {},
        stack => Cpanel::JSON::XS::false }));
}

sub finish {
    my ($self, $line, $timeout) = @_;
    return command(do => 'finish', line => $line->{line}, timeout => $timeout // $patience);
}

# Waits until the isolate has written to a line, and leaves the bytes there.
sub wait_for_bytes {
    my ($self, $line) = @_;
    return command(do => 'wait_for_bytes', line => $line->{line}, timeout => $patience)->{ready};
}

# Writes any bytes to a line.
sub write_line {
    my ($self, $line, $bytes) = @_;
    command(do => 'write', line => $line->{line}, hex => unpack 'H*', $bytes);
}

sub drop { command(do => 'drop', line => $_[1]{line}) }

# Returns an isolate. Values as in IDLE.
sub give_back {
    my ($self, $line, %value) = @_;
    $self->drop($line);
    $self->send(RETURN => $line->{payload}{isolate}, { calls => 1, rss => 50_000_000, %value });
}

# Returns an isolate that has had as many calls as it may have: it ends, and no other one takes its place.
sub give_back_worn { $_[0]->give_back($_[1], calls => 1_000_000_000) }

sub kill {
    my ($self, $line, $cause) = @_;
    $self->drop($line);
    $self->send(KILL => $line->{payload}{isolate}, { cause => $cause });
}

# Sends messages at random, made from payloads. Returns how many connections and answers there were.
sub fuzz {
    my ($class, $path, $seed, $count, @payloads) = @_;
    return command(do => 'fuzz', path => $path, seed => $seed, count => $count,
        texts => [ map { ref $_ ? $json->encode($_) : $_ } @payloads ]);
}

sub close { command(do => 'close', child => $_[0]{name}) }

1;
