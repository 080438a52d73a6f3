# tools/check-directions, which "make lint" runs: it passes a tree of sources whose code depends in one
# direction, and names the pair and the names where it does not. Each subtest makes a tree of its own.
use strict;
use warnings FATAL => 'all';

use File::Basename qw(dirname);
use File::Path qw(make_path);
use File::Temp ();
use Test::More;

my $check = "$ENV{SOURCE}/tools/check-directions";

# A page, a caller in top/ and two files in ground/: top may use ground.
my %sound = (
    'docs/architecture.md' => "# Page\n\n## The folders\n\n| Folder | Reason | Uses |\n|---|---|---|\n"
        . "| `top/` | calls `number` | `ground/` |\n| `ground/` | counts | |\n\n"
        . "| Folder | Reason |\n|---|---|\n| `t/` | tests |\n\n## More\n\n| `ground/` | again | `top/` |\n",
    'top/caller.h'   => "int caller(void);\n",
    'top/caller.c'   => "#include \"top/caller.h\"\n#include \"ground/number.h\"\nint caller(void)\n{\n    return number();\n}\n",
    'ground/number.h' => "int number(void);\n",
    'ground/number.c' => "#include \"ground/number.h\"\nint number(void)\n{\n    return 1;\n}\n",
    'ground/other.c' => "int other(void)\n{\n    return 2;\n}\n",
);

# The exit status of the check of a tree with these files, and what it prints.
sub check {
    my (%changes) = @_;
    my %files = (%sound, %changes);
    my $tree = File::Temp->newdir;
    for my $path (sort keys %files) {
        make_path(dirname("$tree/$path"), dirname("$tree/build/$path"));
        open my $file, '>', "$tree/$path" or die "$path: $!\n";
        print $file $files{$path};
        close $file or die "$path: $!\n";
    }
    for my $path (grep { /\.c$/ } sort keys %files) {
        my $object = "$tree/build/" . $path =~ s/c$/o/r;
        system('gcc', "-I$tree", '-c', '-o', $object, "$tree/$path") == 0 or die "$path does not compile\n";
    }
    my $printed = `cd '$tree' && '$check' 2>&1`;
    return ($? >> 8, $printed);
}

sub fails {
    my ($changes, $expected, $name) = @_;
    my ($status, $printed) = check(%$changes);
    is $status, 1, "$name: it fails";
    is $printed, join('', map { "check-directions: $_\n" } @$expected), "$name: what it prints";
}

subtest 'code in one direction passes' => sub {
    my ($status, $printed) = check();
    is $printed, "check-directions: 5 files in 2 folders, 4 pairs, none upward, no circle\n", 'what it prints';
    is $status, 0, 'exit status';
};

subtest 'an include of a folder above fails' => sub {
    fails { 'ground/other.c' => "#include \"top/caller.h\"\n" . $sound{'ground/other.c'} },
        ['ground/other.c depends on top/caller.h, and top is not below ground: #include "top/caller.h"'], 'include';
};

subtest 'a call of a folder above fails, without an include as well' => sub {
    fails { 'ground/other.c' => "int caller(void);\nint other(void)\n{\n    return caller();\n}\n" },
        ['ground/other.c depends on top/caller.c, and top is not below ground: caller'], 'call';
};

subtest 'a name in a table is a use, as a call is' => sub {
    fails { 'ground/other.c' => "int caller(void);\nint (*const table[])(void) = { caller };\n" },
        ['ground/other.c depends on top/caller.c, and top is not below ground: caller'], 'table';
};

subtest 'files of one folder that call each other fail' => sub {
    fails {
        'ground/number.c' => "int other(void);\nint number(void)\n{\n    return other();\n}\n",
        'ground/other.c'  => "int number(void);\nint other(void)\n{\n    return number();\n}\n",
    },
        [
            'ground/number.c and ground/other.c are in a circle: ground/number.c uses other',
            'ground/other.c and ground/number.c are in a circle: ground/other.c uses number',
        ], 'circle';
};

subtest 'the module record may be named everywhere' => sub {
    my ($status, $printed) = check(
        'top/caller.c'   => "int serverless_functions_module;\n$sound{'top/caller.c'}",
        'ground/other.c' => "extern int serverless_functions_module;\nint other(void)\n{\n    return serverless_functions_module;\n}\n"
    );
    is $status, 0, 'exit status' or diag $printed;
};

subtest 'each folder has a row, and each row a folder' => sub {
    fails { 'middle/new.c' => "int new_one(void)\n{\n    return 3;\n}\n" },
        ['docs/architecture.md: middle has no row'], 'no row';
    fails { 'docs/architecture.md' => $sound{'docs/architecture.md'} =~ s{(?<=counts \| \|\n)}{| `gone/` | was here | |\n}r },
        ['docs/architecture.md: gone has a row, but no file'], 'no file';
};

subtest 'a table with a circle is none' => sub {
    my ($status, $printed)
        = check('docs/architecture.md' => $sound{'docs/architecture.md'} =~ s{counts \| \|}{counts | `top/` |}r);
    is $status, 1, 'exit status';
    like $printed, qr{^check-directions: docs/architecture\.md: by its row, ground is below itself$}m, 'what it prints';
};

done_testing;
