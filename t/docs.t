# The pages: each link leads to a file of the project and to a heading in it, each page for administrators is in the
# index, and each mention of a page in code, configuration or CHANGES is of a page that is there.
use strict;
use warnings FATAL => 'all';

use File::Basename qw(dirname);
use File::Find ();
use File::Spec;
use Test::More;

my $source = $ENV{SOURCE};
my @left_out = map { "$source/$_" } qw(.git .run build t/logs bench/results);

sub slurp {
    my ($name) = @_;
    open my $in, '<:encoding(UTF-8)', "$source/$name" or die "$name: $!\n";
    local $/;
    return scalar <$in>;
}

# The files of the project, relative to its top directory.
my @files;
File::Find::find({
    no_chdir => 1,
    preprocess => sub { grep { my $path = "$File::Find::dir/$_"; $_ ne 'node_modules' && !grep { $path eq $_ } @left_out } @_ },
    wanted => sub { push @files, File::Spec->abs2rel($_, $source) if -f && -T },
}, $source);
my @pages = sort grep { /\.md$/ } @files;

# The text of a page without its blocks of code, and without code in its lines.
sub prose { return $_[0] =~ s/^```.*?^```$//gmsr =~ s/^(?: {4}|\t).*$//gmr }

# The anchors of a page, made of its headings as GitHub makes them.
sub anchors {
    my ($text) = @_;
    my (%anchors, %count);
    for my $heading ($text =~ /^#{1,6} +(.+?) *$/mg) {
        my $slug = lc($heading =~ s/\[([^\]]*)\]\([^)]*\)/$1/gr) =~ s/[^\w\- ]//gr =~ tr/ /-/r;
        my $times = $count{$slug}++;
        $anchors{ $times ? "$slug-$times" : $slug } = 1;
    }
    return \%anchors;
}

# The links of a page that lead nowhere.
sub broken {
    my ($page, $text) = @_;
    my @broken;
    for my $link ($text =~ /\]\(([^)\s]+)\)/g) {
        next if $link =~ /^[a-z]+:/;
        my ($path, $anchor) = split /#/, $link, 2;
        my $target = length $path ? File::Spec->catfile(dirname($page), $path) : $page;
        if (length $path && !-e "$source/$target") { push @broken, "$link: there is no such file"; next }
        next if !defined $anchor;
        my $headings = anchors($target eq $page ? $text : prose(slurp($target)));
        push @broken, "$link: there is no such heading" if !$headings->{$anchor};
    }
    return @broken;
}

cmp_ok scalar @pages, '>', 20, 'there are pages';
is_deeply [broken($_, prose(slurp($_)))], [], "$_: its links" for @pages;

subtest 'what the check finds' => sub {
    my $text = "# A `page` of [one](README.md)\n\n[a](#a-page-of-one) [b](#b) [c](nothing.md) [d](README.md#licence) [e](README.md#none) [f](https://example.com/#g)\n";
    is_deeply [broken('page.md', prose("$text\n```\n[g](#g)\n```\n"))],
        ['#b: there is no such heading', 'nothing.md: there is no such file', 'README.md#none: there is no such heading'],
        'headings and files that are not there';
};

my $index = slurp('docs/operations.md');
like $index, qr{\]\(operations/\Q$_\E\)}, "docs/operations.md leads to $_" for map { m{^docs/operations/(.+)$} } @pages;

my %mentioned;
for my $file (grep { !/^docs\/|^t\/docs\.t$/ } @files) {
    push @{ $mentioned{$_} }, $file for slurp_bytes($file) =~ m{(?<![\w/.-])(docs/[\w/-]+\.(?:md|yaml))\b}g;
}
ok -e "$source/$_", "$_, which @{ $mentioned{$_} }[0] mentions" for sort keys %mentioned;

sub slurp_bytes {
    my ($name) = @_;
    open my $in, '<', "$source/$name" or die "$name: $!\n";
    local $/;
    return scalar <$in>;
}

done_testing;
