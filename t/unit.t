# The unit tests in C: t/unit/*_test.c, one file for each subject. They run in httpd, which t/unit/mod_unit_tests.c
# explains. UNIT_TESTS is the file that "make unit" builds and runs.
use strict;
use warnings FATAL => 'all';

use File::Basename qw(dirname);
use File::Spec::Functions qw(rel2abs);
use TAP::Parser ();
use Test::More;

my $unit = rel2abs(dirname(__FILE__)) . '/unit';
chomp(my ($folder, $name, $modules) = map { `apxs -q $_` } qw(SBINDIR PROGNAME LIBEXECDIR));
my @command = ("$folder/$name", '-t', '-C', "Define MODULES $modules", '-C', "Define UNIT_TESTS $ENV{UNIT_TESTS}",
    '-d', $unit, '-f', "$unit/httpd.conf");

# The sanitizers must be there before httpd is.
if ($ENV{SANITIZE}) {
    chomp(my @libraries = map { `gcc -print-file-name=$_.so` } qw(libasan libubsan));
    unshift @command, 'env', "LD_PRELOAD=@libraries", 'ASAN_OPTIONS=detect_leaks=0',
        'UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1';
}

for my $subject (map { m{(\w+)_test\.c$} } sort glob "$unit/*_test.c") {
    local @ENV{qw(UNIT CMOCKA_MESSAGE_OUTPUT)} = ($subject, 'TAP');
    my $parser = TAP::Parser->new({ exec => \@command, merge => 1 });
    my @rest; # messages: cmocka prints them after their test
    while (my $result = $parser->next) {
        if ($result->is_test) {
            diag $_ for splice @rest;
            ok $result->is_actual_ok, "$subject: " . $result->description =~ s/^- //r =~ tr/_/ /r;
        }
        elsif (!$result->is_plan && $result->as_string !~ /^# (?:not )?ok - $subject$/) {
            push @rest, $result->as_string;
        }
    }
    cmp_ok $parser->tests_run // 0, '>', 0, "$subject: some tests ran";
    is_deeply [ $parser->parse_errors ], [], "$subject: all of them ended";
    is $parser->exit, $parser->failed ? 1 : 0, "$subject: httpd's exit status";
    diag $_ for @rest;
}

done_testing;
