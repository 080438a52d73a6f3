# Twilio's own Node.js library against the server. Each test of t/sdk/*.test.js is one
# assertion here.
use strict;
use warnings FATAL => 'all';

use Apache::Test qw(-withtestmore);
use Serverless::Test;
use Test::More;

my ($node) = glob 't/sdk/node_modules/node-linux-*/bin/node';
die "tools/run-tests did not install the library\n" unless $node;

$ENV{BASE_URL} = Serverless::Client->client->base; # t/sdk/client.js makes accounts of its own

# What a person wants to read goes into a file, and out only when something failed.
my $report = 't/logs/sdk_log';
open my $results, '-|', $node, '--test', '--test-reporter=tap', '--test-reporter-destination=stdout',
    '--test-reporter=spec', "--test-reporter-destination=$report", glob 't/sdk/*.test.js'
    or die "$node: $!\n";
while (<$results>) {
    ok !$1, $2 if /^(not )?ok \d+ - (.*?)(?: # .*)?$/;
}
close $results;
is $?, 0, 'node found nothing else' or diag slurp($report);

sub slurp {
    my ($file) = @_;
    open my $in, '<', $file or die "$file: $!\n";
    local $/;
    return scalar <$in>;
}

done_testing;
