# Twilio's own Node.js library against the server: t/sdk/*.test.js, each of its
# tests one assertion here.
use strict;
use warnings FATAL => 'all';

use Apache::Test qw(-withtestmore);
use Serverless::Test;

my ($node) = glob 't/sdk/node_modules/node-linux-*/bin/node';
die "tools/run-tests did not install the library\n" unless $node;

my $api = Serverless::Test->account;
$ENV{BASE_URL}    = $api->base;
$ENV{ACCOUNT_SID} = $api->user;
$ENV{AUTH_TOKEN}  = $api->password;

# Node.js speaks TAP itself; what a person wants to read goes into a file, and
# out only when something failed.
my $report = "t/logs/sdk_log";
my @reporters = ('--test-reporter=tap', '--test-reporter-destination=stdout',
    '--test-reporter=spec', "--test-reporter-destination=$report");
my $failed = system $node, '--test', @reporters, glob 't/sdk/*.test.js';
if ($failed) {
    open my $in, '<', $report or die "$report: $!\n";
    print STDERR <$in>;
}
exit($failed ? 1 : 0);
