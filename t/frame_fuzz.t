# Frames: runtime/protocol/frame.c by itself, against frames changed at random, with the sanitizers on (t/unit/frame_fuzz.c); and
# httpd with a program in an isolate's place that sends wrong frames (t/wrong_isolate.js). "make test SANITIZE=1" has httpd's sanitizers on.
use strict;
use warnings FATAL => 'all';

use Apache::Test qw(-withtestmore);
use Serverless::Client;
use Serverless::Project;
use Serverless::Runner;
use Serverless::Server;
use Serverless::Test;
use Serverless::Time;
use Test::More;

my $source = $ENV{SOURCE};
my $program = Serverless::Server->logs . '/frame_fuzz';
my $seeds = 20_000;

my $said = `@{[ join ' ', $ENV{CC} || 'gcc', '-std=gnu11 -Wall -Wextra -Werror -g -O1',
    '-fsanitize=address,undefined -fno-sanitize-recover=all', "-I'$source'", "-o '$program'",
    "'$source/t/unit/frame_fuzz.c' '$source/runtime/protocol/frame.c'" ]} 2>&1`;
is $?, 0, 'the frames and the fuzzer compile' or diag $said;
for my $first (0, (1 + int rand 1_000_000) * $seeds) { # the same seeds each time, and as many random ones
    $said = `'$program' $first $seeds 2>&1`;
    is $?, 0, "the seeds from $first" or diag $said;
    my ($frames, $whole) = $said =~ /^(\d+) frames, (\d+) of them whole after the changes$/;
    is $frames, $seeds, 'the fuzzer has tried every seed';
    cmp_ok $whole // 0, '>', $seeds / 20, 'some frames stay whole';
    cmp_ok $whole // 0, '<', $seeds - $seeds / 20, 'and some do not';
}
unlink $program;

# Wrong frames to httpd ----------------------------------------------------------------

my $TAIL = 'functions.example.com';
my $runner = Serverless::Runner->start('frames', isolate => "$source/t/wrong_isolate.js");
my $server = Serverless::Server->start('frames', Serverless::Server->database . $runner->directive
    . "ServerlessDomain $TAIL\nServerlessExecution On\nServerlessExecutionTimeout 120s\nServerlessResponseLimit 100000\n"
    . "<Location /silent>\nServerlessExecutionTimeout 1s\n</Location>\n" . Serverless::Server->api);
my $account = Serverless::Client->account;
my $project = Serverless::Project->new($account);
my $environment = $project->new_environment;
$project->deploy($environment, $project->completed(map { $project->new_deployable(function => $_) } qw(f silent)));
my $host = $environment->{domain_name} =~ s/twil\.io$/$TAIL/r;

sub call {
    my ($kind) = @_;
    my $path = $kind =~ /^(?:silence|nothing)$/ ? '/silent' : '/f';
    return Serverless::Client->client->at($server->address)->undescribed->raw_request("GET $path?$kind HTTP/1.1", host => $host);
}

# The statuses that kinds of frames are answered with.
my @cases = (
    [ 200 => qw(fine pieces together level logs) ],
    [ 500 => qw(type0 type1 type7 type255 ready ready0 call0 earlier later length0 length4 longest longlog longidle emptylog idle noise
        shorthead longhead nojson behind array empty deep noheaders noerror objectheaders) ],
    [ 500 => qw(nostatus textstatus floatstatus status99 status100 status600 hugestatus
        stringpair triple number noname space colon newline return nul nulname) ],
    [ 500 => qw(large close half halfhead longbad) ],
    [ 431 => qw(many huge) ],
    [ 504 => qw(silence nothing) ],
    [ 400 => qw(bad) ],
    [ 200 => qw(twice behindanswer idlejson idletext idlenegative idleempty idlelate idletwice idlenoise closed) ],
);
# These are late: what comes behind IDLE may come while the isolate has its next call, which ends then.
my %late = map { $_ => 1 } qw(idletwice idlenoise);
for my $case (@cases) {
    my ($status, @kinds) = @$case;
    for my $kind (@kinds) {
        is call($kind)->status, $status, "$kind: $status";
        my $next = call('fine');
        $next = call('fine') if $late{$kind} && $next->status == 500;
        is $next->status . ' ' . $next->body, '200 fine', "the call after $kind is answered";
    }
}

my %count;
$count{ call("seed=$_")->status }++ for 1 .. 150, map { int rand 1e9 } 1 .. 50;
is_deeply [ grep { !/^(?:200|400|431|500)$/ } keys %count ], [], '200 answers with bytes changed at random';
cmp_ok $count{200} // 0, '>', 10, 'some of them are answers';
cmp_ok $count{500} // 0, '>', 10, 'some are not';
is call('fine')->status, 200, 'a call after them';
my %logged;
my $path = $project->path_of($environment) . '/Logs?PageSize=1000';
wait_until { my @logs = @{ $account->get($path)->json->{logs} }; $logged{ $_->{message} } = 1 for @logs; @logs > 100 };
for my $text ('The isolate has broken its protocol', 'The isolate has ended', 'The answer has a status that is not from 200 to 599',
    'The answer has too many headers, or too long ones') {
    ok scalar(grep { /^\Q$text\E/ } keys %logged), "the Function's Logs say: $text";
}

done_testing;
