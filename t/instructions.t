# What a request costs httpd, counted in instructions by valgrind's callgrind: a
# count is the same on a machine that is busy, so that a tenth more is a change
# of ours. From reading a request to the end of its answer; PostgreSQL's own
# work is not in it.
#
# Where a change is meant, put the figures that this suite tells into %committed.
# What they are made of, a failure leaves behind:
#
#   callgrind_annotate --inclusive=yes build/test-logs/callgrind_get_log | less
use strict;
use warnings FATAL => 'all';

use Apache::Test qw(-withtestmore);
use Serverless::Database;
use Serverless::Instructions;
use Serverless::Server;
use Serverless::Test;
use Test::More;

plan skip_all => 'sanitizers and valgrind exclude each other' if $ENV{SANITIZE};

# Debian 12, httpd 2.4, json-c 0.16, OpenSSL 3.0, amd64.
my %committed = %{
    ($ENV{PIPELINING} || 'On') eq 'On'
        ? { get => 69_850, row => 4_020 }
        : { get => 62_390, row => 4_780 }
};

my $api = Serverless::Client->account;
my $service = $api->post('/v1/Services', UniqueName => 'counted', FriendlyName => 'Counted')->json;
my $path = "/v1/Services/$service->{sid}/Functions";
add_functions($service->{sid}, 1000, 'counted');
db()->do('ANALYZE serverless.artifacts');
my $function = $api->get($path, PageSize => 1)->json->{functions}[0];

my $server = Serverless::Instructions->start('instructions', Serverless::Server->database . Serverless::Server->api);
my $counted = $api->at($server->address);

# The instructions of a GET.
sub usual {
    my ($name, $warm_up, $times, @request) = @_;
    return $server->usual($name, $warm_up, $times, sub { $counted->get(@request) });
}

my $short = usual('short_list', 8, 5, $path, PageSize => 50);
my $long = usual('list', 1, 3, $path, PageSize => 1000);
my %now = (
    get => usual('get', 8, 9, "$path/$function->{sid}"),
    row => sprintf('%.0f', ($long - $short) / 950),
);
diag "a GET takes $now{get} instructions, a row of a list $now{row}";

for my $case (['get', 'a GET of a Function'], ['row', 'a row of a list']) {
    my ($what, $name) = @$case;
    my $change = 100 * ($now{$what} / $committed{$what} - 1);
    my $said = sprintf 'it took %d instructions and takes %d, %+.1f %%', $committed{$what}, $now{$what}, $change;
    cmp_ok $change, '<=', 10, "$name costs no more than a tenth more than it did"
        or diag "$said; callgrind_annotate --inclusive=yes build/test-logs/callgrind_"
        . ($what eq 'get' ? 'get' : 'list') . '_log shows where they go';
    cmp_ok $change, '>=', -10, "$name: not fewer than 90 % of the committed instructions; a gain is committed"
        or diag "$said; t/instructions.t is to have the new figure";
}

# What is done as the request is logged is not in the dump: it is counted by a server of its own.
my $metrics = $server->of_functions('get', qw(sf_metrics_observe sf_metrics_add));
undef $server;
$server = Serverless::Instructions->start('instructions_log', Serverless::Server->database . Serverless::Server->api,
    function => 'sf_request_log');
$counted = $api->at($server->address);
my $logging = usual('log', 3, 5, "$path/$function->{sid}");
cmp_ok $logging, '>', 50, 'logging a request was counted';

$metrics += $logging;
cmp_ok $metrics, '<=', $now{get} / 100, 'counting takes 1 % of a GET at most'
    or diag "it takes $metrics instructions";
diag sprintf 'counting takes %d instructions of a GET, %.2f %%', $metrics, 100 * $metrics / $now{get};

done_testing;
