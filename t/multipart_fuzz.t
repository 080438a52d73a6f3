# core/http/multipart.c by itself, against bodies made and mutated at random, with
# the sanitizers on: see t/unit/multipart_fuzz.c.
use strict;
use warnings FATAL => 'all';

use Apache::Test qw(-withtestmore);
use Test::More;

my $source = $ENV{SOURCE};
my $program = Apache::Test::vars('t_logs') . '/multipart_fuzz';
my $seeds = 6_000;

sub output_of {
    my ($command) = @_;
    my $said = `$command 2>&1`;
    return ($? >> 8 || $?, $said);
}

my ($status, $said) = output_of(join ' ', $ENV{CC} || 'gcc', '-std=gnu11 -Wall -Wextra -Werror -g -O1',
    '-fsanitize=address,undefined -fno-sanitize-recover=all', "-I'$source'", "-o '$program'",
    "'$source/t/unit/multipart_fuzz.c' '$source/core/http/multipart.c'");
is $status, 0, 'the parser and the fuzzer compile' or diag $said;

# the same seeds each time, and as many random ones
my $any = int(rand 1_000_000) * $seeds + $seeds;
for my $first (0, $any) {
    ($status, $said) = output_of("'$program' $first " . $seeds / 2);
    is $status, 0, "the seeds from $first" or diag $said;
    my ($bodies, $whole) = $said =~ /^(\d+) bodies, (\d+) of them whole after mutation$/;
    is $bodies, $seeds / 2, 'the fuzzer has tried every seed';
    cmp_ok $whole // 0, '>', $seeds / 40, 'mutation leaves some bodies whole';
    cmp_ok $whole // 0, '<', $seeds / 2 - $seeds / 40, "the fuzzer's mutations make enough bodies malformed";
}
unlink $program;

done_testing;
