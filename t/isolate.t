# The isolate, which runs Functions: each test of t/isolate/*.test.js is one assertion here, for each version of Node.js
# that is installed as "node" or "node18" to "node24", that the tests bring along, or whose path is in NODES.
use strict;
use warnings FATAL => 'all';

use File::Path qw(make_path);
use Test::More;

chdir $ENV{SOURCE} or die "$ENV{SOURCE}: $!\n" if $ENV{SOURCE};

my $logs = 't/logs';
make_path($logs);

# The names and paths that are executable, each Node.js once.
sub nodes {
    my (@names) = @_;
    my %seen;
    return grep { my $version = `'$_' --version 2>/dev/null`; $? == 0 && !$seen{$version}++ } @names;
}

sub slurp {
    my ($file) = @_;
    open my $in, '<', $file or die "$file: $!\n";
    local $/;
    return scalar <$in>;
}

for my $node (nodes(grep({ defined } $ENV{NODE}), 'node', map({"node$_"} 18, 20, 22, 24), split ' ', $ENV{NODES} // '')) {
    chomp(my $version = `'$node' --version`);
    my $report = "$logs/isolate_${version}_log";
    open my $results, '-|', $node, '--test', '--test-reporter=tap', '--test-reporter-destination=stdout',
        '--test-reporter=spec', "--test-reporter-destination=$report", glob 't/isolate/*.test.js'
        or die "$node: $!\n";
    my $found = 0;
    while (<$results>) {
        next unless /^ *(not )?ok \d+ - (.*?)(?: # (?!SUBTEST).*)?$/;
        ok !$1, "$version: $2";
        $found++;
    }
    close $results;
    is $?, 0, "$version found nothing else" or diag slurp($report);
    cmp_ok $found, '>', 250, "$version has run the tests";
}

done_testing;
