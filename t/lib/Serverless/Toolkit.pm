# Twilio's toolkit, as it is, against the server under test: a project of Functions
# and Assets in a directory, the programs that deploy it, and the resources that the server
# then has.
#
#   my $project = Serverless::Toolkit->new($api, 'shop');
#   my $run = $project->run('deploy');                  # twilio-run deploy
#   is $run->{status}, 0;
#   is_deeply $project->deployed($build), $project->files;
#
# The programs know the server by Twilio's names only. The tunnel of t/conf leads
# there, and the authority of this test run is one they trust.
package Serverless::Toolkit;

use strict;
use warnings FATAL => 'all';
use utf8;

use Digest::SHA qw(sha256 sha256_hex);
use File::Basename qw(dirname);
use File::Path qw(make_path);
use File::Temp ();
use IPC::Open2 qw(open2);
use JSON::PP ();
use POSIX ();
use Serverless::SharedServer ();

my $json = JSON::PP->new->utf8->canonical;

# The project --------------------------------------------------------------------

# Its files: where each is, the path and visibility that the toolkit makes of that, and
# what is in it, text or (a reference to) bytes.
my @unlike = (
    ['functions', 'hello.js', '/hello', 'public', handler("'Grüße, 🚀 \x{2028}'")],
    ['functions', 'orders/list.protected.js', '/orders/list', 'protected'],
    ['functions', 'orders/archive/by year/close.private.js', '/orders/archive/by-year/close', 'private'],
    ['functions', 'übung/größe.js', '/übung/größe', 'public'],
    ['functions', 'empty.js', '/empty', 'public', ''],
    ['functions', 'windows.js', '/windows', 'public', "\x{feff}'use strict';\r\n\r\nexports.a = 1; // no end"],
    ['functions', 'large.js', '/large', 'public', "// " . 'x' x 76 . "\n" . "// é\n" x 60_000],
    ['functions', 'library.private.js', '/library', 'private', "exports.twice = (a) => 2 * a;\n"],

    ['assets', 'index.html', '/index.html', 'public', "<!doctype html><title>Grüße</title>\n"],
    ['assets', 'every byte.bin', '/every-byte.bin', 'public', \pack 'C*', 0 .. 255],
    ['assets', 'media/large.bin', '/media/large.bin', 'public', \join '', map { sha256($_) } 1 .. 20_000],
    ['assets', 'media/pixel.png', '/media/pixel.png', 'public', \pack 'H*', '89504e470d0a1a0a0000000d4948445200000001'
        . '000000010802000000907753de0000000c49444154789c63f8cfc0000003010100c9fe92ef0000000049454e44ae426082'],
    ['assets', 'css/site/style.css', '/css/site/style.css', 'public', "body { color: red }\r\n"],
    ['assets', 'script.js', '/script.js', 'public', "window.a = 'ü';\n"],
    ['assets', 'data.private.json', '/data.json', 'private', qq({"key": "value"}\n)],
    ['assets', 'internal/report.protected.txt', '/internal/report.txt', 'protected', "secret\n"],
    ['assets', '日本/地図.svg', '/日本/地図.svg', 'public', qq(<svg xmlns="http://www.w3.org/2000/svg"/>\n)],
    ['assets', 'LICENSE', '/LICENSE', 'public', "a file without an extension\n"],
    ['assets', '.gitkeep', '/.gitkeep', 'public', ''],
    ['assets', 'a.b.c.txt', '/a.b.c.txt', 'public', "dots\n"],
);

# More than the 50 that a page of a list has, so that clients must turn pages.
my @alike = map { ['functions', "numbered/$_.js", "/numbered/$_", 'public'] } map { sprintf '%02d', $_ } 1 .. 44;

sub handler { "exports.handler = (context, event, callback) => callback(null, $_[0]);\n" }

# A new directory with all of that, or with these Functions only:
# functions => { name => source, ... }; or with these `files` only, as above, and `dependencies`.
sub new {
    my ($class, $api, $name, %option) = @_;
    my $self = bless {
        api => $api, files => {},
        map { $_ => File::Temp->newdir(DIR => $ENV{HOME}) } qw(directory home),
    }, $class;
    my @files = $option{files} ? @{ $option{files} } : $option{functions}
        ? map { ['functions', "$_.js", "/$_", 'public', $option{functions}{$_}] } sort keys %{ $option{functions} }
        : (@unlike, @alike);
    $self->put(@$_) for @files;
    $self->write('package.json',
        $json->encode({ name => $name, version => '1.0.0', dependencies => $option{dependencies} || dependencies() }));
    $self->write('.env', dotenv(
        ACCOUNT_SID => $api->user, AUTH_TOKEN => $api->password, NOT_SET => '', %{ variables() }));
    return $self;
}

# What package.json and .env name, besides credentials and what is empty.
sub dependencies { { lodash => '4.17.21', '@scope/package' => '^1.2.3' } }
sub variables { { GREETING => 'Grüße 🚀', QUERY => 'a=1&b=c+d%20"#', LONG => 'x' x 450 } }

sub dotenv {
    my $lines = '';
    while (my ($name, $value) = splice @_, 0, 2) {
        $lines .= "$name='$value'\n";
    }
    return bytes($lines);
}

# A file, as above, new or other than it was.
sub put {
    my ($self, $directory, $file, $path, $visibility, $content) = @_;
    my $bytes = ref $content ? $$content : bytes($content // handler("'$path'"));
    $self->write("$directory/$file", $bytes);
    $self->{files}{"$directory $path"} = { visibility => $visibility, content => described($bytes) };
}

sub write {
    my ($self, $file, $bytes) = @_;
    my $path = "$self->{directory}/" . bytes($file);
    make_path(dirname($path));
    open my $out, '>:raw', $path or die "$path: $!\n";
    print $out $bytes;
    close $out or die "$path: $!\n";
}

sub bytes { my ($text) = @_; utf8::encode($text); return $text }

# Bytes as a failed test can show them; equal only if the bytes are.
sub described {
    my ($bytes) = @_;
    return length $bytes < 200 && $bytes !~ /[^\x20-\x7e\s]/ ? $bytes
        : length($bytes) . ' bytes, SHA-256 ' . sha256_hex($bytes);
}

sub directory { "$_[0]{directory}" }

# { "functions /hello" => { visibility => 'public', content => ... }, ... }
sub files { $_[0]{files} }

# "functions" or "assets": their paths.
sub paths {
    my ($self, $kind) = @_;
    return map { /^$kind (.*)/ } sort keys %{ $self->{files} };
}

# What the server has -------------------------------------------------------------

# What a Build has of a project, as files() has it: everything is fetched.
sub deployed {
    my ($self, $build) = @_;
    my %found;
    for my $part (@{ $build->{function_versions} }) {
        my $version = $self->version($build, 'functions', $part);
        my $content = $self->fetched($version->{links}{function_version_content})->{content};
        $found{"functions $version->{path}"} = {
            visibility => $version->{visibility}, content => described(bytes($content)),
        };
    }
    for my $part (@{ $build->{asset_versions} }) {
        my $version = $self->version($build, 'assets', $part);
        my $content = $self->{api}->get("$version->{url}/Content")->body;
        $found{"assets $version->{path}"} = {
            visibility => $version->{visibility}, content => described($content),
        };
    }
    return \%found;
}

# The Version that a Build says it has. Its Function or Asset is called after its path.
sub version {
    my ($self, $build, $kind, $part) = @_;
    my $sid = $part->{ $kind eq 'functions' ? 'function_sid' : 'asset_sid' };
    my $owner = $self->fetched("/v1/Services/$build->{service_sid}/" . ucfirst($kind) . "/$sid");
    my $version = $self->fetched("$owner->{url}/Versions/$part->{sid}");
    $owner->{friendly_name} eq $version->{path} or die "$version->{path} is called $owner->{friendly_name}\n";
    return $version;
}

# The content type of the Asset that a Build has at a path.
sub type_of {
    my ($self, $build, $path) = @_;
    my ($part) = grep { $_->{path} eq $path } @{ $build->{asset_versions} };
    my $version = $self->version($build, 'assets', $part);
    return $self->{api}->head("$version->{url}/Content")->header('Content-Type');
}

sub fetched {
    my ($self, $path) = @_;
    my $reply = $self->{api}->get($path);
    $reply->status == 200 or die "$path: " . $reply->body . "\n";
    return $reply->json;
}

# What the API answered, as it answers the programs: with addresses by Twilio's name.
sub seen {
    my ($self, $value) = @_;
    my $base = $self->{api}->base;
    return $json->decode($json->encode($value) =~ s{\Q$base\E}{https://serverless.twilio.com}gr);
}

# Everything in a list of the API.
sub listed {
    my ($self, $path) = @_;
    my $page = $self->fetched("$path?PageSize=1000");
    return @{ $page->{ $page->{meta}{key} } };
}

# The programs ----------------------------------------------------------------------

# What a user would export, and nothing else of this process's environment.
sub exports {
    my ($self) = @_;
    return (
        PATH => '/usr/bin:/bin', LC_ALL => 'C.UTF-8', HOME => "$self->{home}",
        HTTP_PROXY => 'http://' . Serverless::SharedServer::address('tunnel'),
        NODE_EXTRA_CA_CERTS => "$ENV{TLS}/authority.pem",
        %{ $self->{environment} || {} },
    );
}

# The command for a program of t/sdk, which ends with the suite if not before.
sub node {
    my ($program) = @_;
    return ('setpriv', '--pdeathsig', 'KILL', $ENV{NODE}, "$ENV{SOURCE}/t/sdk/$program");
}

# twilio-run in the project's directory: its exit status, what it printed, and its
# messages, without the borders and line breaks that are for a terminal.
sub run {
    my ($self, @arguments) = @_;
    return $self->begin(@arguments)->end;
}

# The same without waiting: for the end() of what it returns.
sub begin {
    my ($self, @arguments) = @_;
    my @command = (node('node_modules/twilio-run/bin/twilio-run.js'), map { bytes($_) } @arguments);
    my %file = map { $_ => File::Temp->new(DIR => "$self->{home}") } qw(output messages);
    defined(my $pid = fork) or die "fork: $!\n";
    if (!$pid) {
        chdir $self->{directory} or POSIX::_exit(127);
        open STDIN, '<', '/dev/null';
        open STDOUT, '>&', $file{output};
        open STDERR, '>&', $file{messages};
        %ENV = $self->exports;
        exec @command or POSIX::_exit(127);
    }
    return bless { pid => $pid, parent => $$, %file }, 'Serverless::Toolkit::Program';
}

# The local development server for the project, which listens on a port of 127.0.0.1. It ends with the object.
sub start_locally {
    my ($self, $port) = @_;
    symlink "$ENV{SOURCE}/t/sdk/node_modules", "$self->{directory}/node_modules";
    local $self->{environment} = { NODE_OPTIONS => "--require=$ENV{SOURCE}/t/sdk/loopback.js" };
    return $self->begin('start', '--port', $port, '--no-fork-process', '--no-logs');
}

# Within five minutes, or the process is killed.
sub in_time {
    my ($pid, $wait) = @_;
    local $SIG{ALRM} = sub { kill KILL => $pid };
    alarm 300;
    my $result = $wait->();
    alarm 0;
    return $result;
}

# A method of a TwilioServerlessApiClient with these credentials (username, password):
# { result => ..., messages => [...] }, or { error => ..., messages => [...] }.
sub call {
    my ($self, $credentials, $method, $config) = @_;
    my $process = $self->{library} ||= $self->library;
    print { $process->{to} } $json->encode(
        { client => $credentials, method => $method, config => $config }), "\n";
    my $answer = in_time($process->{pid}, sub { readline $process->{from} });
    defined $answer or die "t/sdk/serverless_api.js has ended\n";
    return $json->decode($answer);
}

sub library {
    my ($self) = @_;
    my @command = node('serverless_api.js');
    local %ENV = $self->exports;
    my $pid = open2(my $from, my $to, @command);
    return { pid => $pid, parent => $$, from => $from, to => $to };
}

sub DESTROY {
    my ($self) = @_;
    my $process = $self->{library} or return;
    return if $process->{parent} != $$;
    local $?;
    close $process->{to}; # which is its end
    waitpid $process->{pid}, 0;
}

# A twilio-run that has begun --------------------------------------------------------
package Serverless::Toolkit::Program;

sub output   { slurp($_[0]{output}) }
sub messages { slurp($_[0]{messages}) =~ s/[│\s]+/ /gr }

sub slurp {
    my ($file) = @_;
    open my $in, '<:encoding(UTF-8)', "$file" or die "$file: $!\n";
    local $/;
    return scalar(<$in>) // '';
}

sub end {
    my ($self) = @_;
    my $pid = delete $self->{pid};
    Serverless::Toolkit::in_time($pid, sub { waitpid $pid, 0 });
    return {
        status => $? & 127 ? "signal $?" : $? >> 8, output => $self->output, messages => $self->messages,
    };
}

sub DESTROY {
    my ($self) = @_;
    return if !$self->{pid} || $self->{parent} != $$;
    local $?;
    kill KILL => $self->{pid};
    waitpid $self->{pid}, 0;
}

1;
