# Functions that attack, called through httpd: each call gets its status and leaves its cause in the log, while 20 calls of
# another Function of the same Environment succeed. The same code also runs where it succeeds: that is the control.
#
#   my $attacks = Serverless::Attacks->deploy($server, $account, $tail, Serverless::Attacks::accesses(), exit => '...');
#   $attacks->refuse([], { name => 'the key file', function => 'read', event => { path => $file }, outside => 'read',
#       cause => qr/ENOENT/ }, ...);
package Serverless::Attacks;

use strict;
use warnings FATAL => 'all';

use Cpanel::JSON::XS ();
use Serverless::Cage;
use Serverless::Client;
use Serverless::Parallel;
use Serverless::Project;
use Serverless::Time;
use Test::More;

my $json = Cpanel::JSON::XS->new->canonical;

# The code of accesses to files, sockets, processes and programs. Each throws, or calls back with an error, where it is refused.
sub accesses {
    return (
        read    => 'require("fs").readFileSync(event.path); done(null, "read")',
        connect => 'require("net").connect({ host: event.host, port: +event.port }).on("connect", () => done(null, "connected")).on("error", done)',
        signal  => 'process.kill(+event.pid, 0); done(null, "there")',
        command => 'require("child_process").execFileSync("/bin/sh", ["-c", event.line], { stdio: ["ignore", "ignore", "pipe"] }); done(null, "done")',
    );
}

# The source of a Function, of which only the body of the handler may be given.
sub source { $_[0] =~ /exports\.handler/ ? $_[0] : "exports.handler = (context, event, done) => { $_[0] };\n" }

# Deploys the Functions and `hello` to a new Environment.
sub deploy {
    my ($class, $server, $account, $tail, %code) = @_;
    my $self = bless { server => $server, account => $account, code => \%code, tail => $tail }, $class;
    my $project = $self->{project} = Serverless::Project->new($account);
    my %source = (hello => source('done(null, "Hello")'), map { $_ => source($code{$_}) } keys %code);
    my %function = map { $_ => $project->new_deployable(function => $_, $source{$_}) } sort keys %source;
    $self->{sid} = { map { $_ => $function{$_}{sid} } keys %function };
    $self->{build} = $project->completed(values %function);
    $self->{environment} = $self->add_environment;
    return $self;
}

# Deploys the same Build to a further Environment of the Service, with Variables.
sub add_environment {
    my ($self, %variable) = @_;
    my $project = $self->{project};
    my $environment = $project->new_environment;
    $project->create($project->path_of($environment) . '/Variables', Key => $_, Value => $variable{$_}) for sort keys %variable;
    $project->deploy($environment, $self->{build});
    return $environment;
}

# Calls a Function with an event, in the first Environment unless another one is given. Returns status and body.
sub call {
    my ($self, $function, $event, $environment) = @_;
    my $host = ($environment // $self->{environment})->{domain_name} =~ s/twil\.io$/$self->{tail}/r;
    my $target = Serverless::Client::with_query("/$function", %{ $event // {} });
    my $reply = Serverless::Client->client->at($self->{server}->address)->undescribed
        ->raw_request("GET $target HTTP/1.1", host => $host, timeout => 120);
    return { status => $reply->status, body => $reply->body };
}

# The errors of a Function in the Logs.
sub errors_of {
    my ($self, $function) = @_;
    my $path = $self->{project}->path_of($self->{environment}) . '/Logs';
    my $logs = $self->{account}->get($path, FunctionSid => $self->{sid}{$function}, PageSize => 100)->json->{logs};
    return map { $_->{message} } grep { $_->{level} eq 'ERROR' } @$logs;
}

# Calls attacks, all at the same time, beside 20 calls that do no harm. An attack has a name, a function, an event, and the
# status and the cause that are expected.
sub expect {
    my ($self, @attacks) = @_;
    my @got = at_once(sub { my ($attack) = @_; $attack ? $self->call(@$attack{qw(function event)}) : $self->call('hello') },
        @attacks, (0) x 20);
    for my $attack (@attacks) {
        my $got = shift @got;
        is $got->{status}, $attack->{status}, "$attack->{name}: $attack->{status}" or diag explain $got;
    }
    is_deeply [ grep { $_->{status} != 200 || $_->{body} ne 'Hello' } @got ], [], "$attacks[-1]{name}: 20 calls beside it succeed";
    for my $attack (@attacks) {
        my @errors;
        ok wait_until { grep { /$attack->{cause}/ } @errors = $self->errors_of($attack->{function}) },
            "$attack->{name}: the log has the cause" or diag explain \@errors;
    }
    return;
}

# Runs a list of attacks from standard input, and prints their results.
my $runner = <<'END';
const results = [];
const attacks = JSON.parse(require('fs').readFileSync(0, 'utf8'));
let open = attacks.length;
attacks.forEach(({ code, event }, number) => {
  function done(error, value) {
    results[number] ??= error ? `failed: ${error.message}` : value;
    if (--open === 0) {
      process.stdout.write(JSON.stringify(results), () => process.exit(0));
    }
  }
  try {
    new Function('context', 'event', 'done', 'require', code)({}, event, done, require);
  } catch (error) {
    done(error);
  }
});
END

# Runs the attacks' code outside the cage, by the suite's user, under a command. Each has the result `outside`.
sub succeed_outside {
    my ($self, $command, @attacks) = @_;
    my @list = map { { code => $self->{code}{ $_->{function} }, event => $_->{event} } } @attacks;
    my $file = Serverless::Server->logs . "/attacks-$$.json";
    Serverless::Cage::write_file($file, $json->encode(\@list));
    my ($got, $results);
    wait_until { # Linux refuses a look at another process's memory at moments
        $got = Serverless::Cage::outside(@$command, '/bin/sh', '-c', 'exec "$@" <"$0"', $file, $ENV{NODE}, '-e', $runner);
        $results = eval { $json->decode($got->{output}) } // [];
        !grep { /^failed: EACCES/ } grep { defined } @$results;
    };
    is_deeply { map { $attacks[$_]{name} => $results->[$_] } 0 .. $#attacks }, { map { $_->{name} => $_->{outside} } @attacks },
        'outside, each succeeds' or diag $got->{output};
    return;
}

# Has the cage refuse attacks that succeed outside.
sub refuse {
    my ($self, $command, @attacks) = @_;
    $self->succeed_outside($command, @attacks);
    $self->expect(map { { status => 500, %$_ } } @attacks);
    return;
}

1;
