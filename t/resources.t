# The descriptions of resources in handlers/. core/api/resource.h has names for the
# columns of a resource's own SID and of its account's; so every table of properties
# begins with these two.
use strict;
use warnings FATAL => 'all';

use Test::More;

my @files = glob "$ENV{SOURCE}/handlers/*.c";
my $tables = 0;

for my $file (@files) {
    open my $handle, '<', $file or die "$file: $!";
    my $text = do { local $/; <$handle> };
    my ($name) = $file =~ m{([^/]+)$};
    while ($text =~ /sf_property (\w+)\[\] = \{(.*?)\n\};/gs) {
        my ($table, $rows) = ($1, $2);
        my @first = ($rows =~ /\{ "(\w+)", (\w+), "(\w\w)" \}/g)[ 0 .. 5 ];
        is_deeply [ @first[ 0, 1, 3 .. 5 ] ], [qw(sid SF_JSON_SID account_sid SF_JSON_SID AC)],
            "$name: $table begins with sid and account_sid";
        $tables++;
    }
}
cmp_ok $tables, '>=', 11, 'the tables of all resources can be read';

done_testing;
