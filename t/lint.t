# tools/check-directives, which "make lint" runs: it passes the project, and names the directive and the place where a
# directive is missing in one of the places that have all of them. And a mistake in shell scripts.
use strict;
use warnings FATAL => 'all';

use File::Basename qw(dirname);
use File::Path qw(make_path);
use File::Temp ();
use Test::More;

my @files = ('directives/directives.c', 'core/config.c', 'core/config_fields.h', 'docs/directives.md',
    'conf/serverless_functions.conf', 'conf/serverless_api.conf', 'conf/serverless_execution.conf', 't/config.t');

# Exit status and output of the check of these files alone, one of which is changed by a substitution.
sub check {
    my ($changed, $change) = @_;
    my $tree = File::Temp->newdir;
    for my $path (@files) {
        open my $in, '<', "$ENV{SOURCE}/$path" or die "$path: $!\n";
        my $text = do { local $/; <$in> };
        if ($changed && $path eq $changed) {
            local $_ = $text;
            $change->() or die "nothing to change in $path\n";
            $text = $_;
        }
        make_path(dirname("$tree/$path"));
        open my $out, '>', "$tree/$path" or die "$path: $!\n";
        print $out $text;
        close $out or die "$path: $!\n";
    }
    my $printed = `cd '$tree' && '$ENV{SOURCE}/tools/check-directives' 2>&1`;
    return ($? >> 8, $printed);
}

my ($status, $printed) = check();
is $status, 0, 'the project as it is passes' or diag $printed;
like $printed, qr/^check-directives: \d+ directives, each in configuration, manual, sample and tests\n\z/,
    'the project as it is: what it prints';

for my $case (
    [ 'ServerlessDBTimeout: sf_config_reset() does not have the member db_timeout',
        'core/config.c', sub { s/^ +process\.db_timeout = SF_UNSET;\n//m } ],
    [ 'ServerlessFormLimit: sf_config_create_dir() does not have the member form_limit',
        'core/config.c', sub { s/^ +config->form_limit = SF_UNSET;\n//m } ],
    [ 'ServerlessDomain: sf_config_merge_dir() does not have the member domain',
        'core/config.c', sub { s/^ +MERGE_POINTER\(domain\);\n//m } ],
    [ 'ServerlessNode: no member of core/config_fields.h is its',
        'core/config_fields.h', sub { s/ServerlessNode// } ],
    [ 'ServerlessNode: no section in docs/directives.md',
        'docs/directives.md', sub { s/^## ServerlessNode$//m } ],
    [ 'ServerlessNode: not in the list of docs/directives.md',
        'docs/directives.md', sub { s/^- \[ServerlessNode\].*\n//m } ],
    [ 'ServerlessNode: not in conf/serverless_*.conf',
        'conf/serverless_functions.conf', sub { s/^#?ServerlessNode\b.*\n//m } ],
    [ 'ServerlessNode: in no test',
        't/config.t', sub { s/ServerlessNode\b//g } ],
) {
    my ($message, $path, $change) = @$case;
    ($status, $printed) = check($path, $change);
    is_deeply [ $status, $printed ], [ 1, "check-directives: $message\n" ], $message;
}

# grep -q ends at the first match. Where its pipe's writer writes on, SIGPIPE ends the writer, and with pipefail the pipe fails.
for my $path (sort grep { -f } map { glob "$ENV{SOURCE}/$_/*" } qw(bin tools)) {
    open my $in, '<', $path or die "$path: $!\n";
    my $text = do { local $/; <$in> };
    unlike $text, qr/(?<!\|)\|\s*grep -\w*q/, "$path: no pipe to grep -q" if $text =~ /^#!.*sh$/m && $text =~ /^set .*pipefail/m;
}

done_testing;
