# Calls of Functions: what a client gets, and what happens to calls that do not end.
use strict;
use warnings FATAL => 'all';

use Apache::Test qw(-withtestmore);
use Serverless::Client;
use Serverless::Project;
use Serverless::Runner;
use Serverless::Server;
use Serverless::Test;
use Test::More;

my $TAIL = 'functions.example.com';
my $account = Serverless::Client->account;
my $runner = Serverless::Runner->start('execution');

sub server {
    my ($name, $lines) = @_;
    return Serverless::Server->start($name, Serverless::Server->database . $runner->directive
        . "ServerlessDomain $TAIL\nServerlessExecution On\n" . ($lines // '') . Serverless::Server->api);
}

my $server = server('execution');

my $project = Serverless::Project->new($account);
my $env = $project->new_environment;
$project->deploy($env, $project->completed(
    $project->new_deployable(function => 'hello', "exports.handler = (c, e, done) => done(null, 'Hello ' + (e.name || 'World'));\n")));
my $host = $env->{domain_name} =~ s/twil\.io$/$TAIL/r;
my $reply = Serverless::Client->client->at($server->address)->undescribed->raw_request('GET /hello?name=you HTTP/1.1', host => $host);
is $reply->status, 200;
is $reply->body, 'Hello you';
if ($ENV{RECALL_SCRIPT}) { $ENV{HOSTNAME_F} = $host; $ENV{ADDRESS}=$server->address; $ENV{RUNNER_SOCKET}=$runner->directive; system $ENV{RECALL_SCRIPT}; }
diag $server->error_log, $runner->said;
done_testing;
