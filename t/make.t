# make: "make" and "make install" install no packages and say in one line what is missing; the other targets say what
# they install; warnings are errors for developers alone; npm packages come only with suites that need them.
use strict;
use warnings FATAL => 'all';

use File::Temp ();
use Test::More;

# A directory with these programs of the machine, and an apt-get and a sudo that leave a trace.
my $programs = File::Temp->newdir;
my $trace = "$programs/trace";
symlink((grep { -x } map { "$_/bash" } split /:/, $ENV{PATH})[0], "$programs/bash") or die "symlink: $!\n";
for my $name (qw(make sh sed sort paste cat id mkdir dirname grep ls printf env cut tr head awk expand perl uname comm)) {
    my ($path) = grep { -x } map { "$_/$name" } split /:/, $ENV{PATH};
    symlink $path, "$programs/$name" if $path;
}
for my $name (qw(apt-get sudo dpkg-query)) {
    open my $file, '>', "$programs/$name" or die "$name: $!\n";
    print $file "#!$programs/bash\necho $name \"\$@\" >>$trace\nexit 1\n";
    close $file;
    chmod 0755, "$programs/$name" or die "$name: $!\n";
}

# The exit status of make and what it prints; with `path` as the PATH.
sub make {
    my ($arguments, %option) = @_;
    local $ENV{PATH} = $option{path} if $option{path};
    delete local @ENV{qw(MAKEFLAGS MAKELEVEL MFLAGS MAKEOVERRIDES WERROR TESTS)};
    my $printed = `make -C '$ENV{SOURCE}' --no-print-directory $arguments 2>&1`;
    return ($? >> 8, $printed);
}

my $lacking = 'tools/packages: the build lacks apxs (apache2-dev), apr-1-config (libapr1-dev), apu-1-config (libaprutil1-dev), '
    . 'pkg-config (pkg-config), cc (gcc), json-c (libjson-c-dev), libpq (libpq-dev), libcrypto (libssl-dev); on Debian: apt-get install '
    . 'apache2-dev gcc libapr1-dev libaprutil1-dev libjson-c-dev libpq-dev libssl-dev pkg-config';

for my $target ('', 'install DESTDIR=/nonexistent') {
    my ($status, $printed) = make("-k build/core/sid.o $target", path => "$programs");
    my @lines = grep { /packages:/ } split /\n/, $printed;
    is_deeply [$status, @lines], [2, $lacking], "make $target: one line has all that is missing" or diag $printed;
}
ok !-e $trace, 'neither apt-get nor sudo was run';

# The commands that make would run.
sub planned { return (make("-n -B $_[0]"))[1] }

subtest 'which targets install packages' => sub {
    like planned($_), qr{^tools/packages check$}m, "make $_: only looks" for 'all', 'install';
    unlike planned($_), qr{^tools/packages (?!check$)}m, "make $_: installs none" for 'all', 'install';
    like planned('run'), qr{^tools/packages build run$}m, 'make run: what it needs to run';
    like planned('test TESTS=t/smoke.t'), qr{^tools/packages build run test$}m, 'make test: what the tests need';
};

subtest 'warnings' => sub {
    unlike planned($_), qr/-Werror /, "make $_: are warnings" for 'all', 'install', 'run', 'start';
    like planned($_), qr/-Werror .*core\/sid\.c/, "make $_: are errors" for 'all WERROR=1', 'test TESTS=t/smoke.t', 'lint';
};

subtest 'npm packages' => sub {
    unlike planned('test TESTS="t/smoke.t t/services.t"'), qr/npm/, 'are not installed for suites that do not need them';
    like planned("test TESTS=$_"), qr/npm ci/, "are installed for $_" for 't/sdk.t', 't/toolkit.t', 't/signature.t';
    like planned('test'), qr/npm ci/, 'are installed for all suites';
};

done_testing;
