# runtime/install/install.js: resolves Dependencies to an archive, from a registry of this suite's own.
use strict;
use warnings FATAL => 'all';

use Apache::Test qw(-withtestmore);
use Digest::SHA qw(sha256_hex);
use File::Temp ();
use JSON::PP ();
use Serverless::Registry;
use Test::More;

my $registry = Serverless::Registry->new;
my %limits = (modules => 5, files => 200, bytes => 100_000, seconds => 60);
chomp(my $npm = `sh -c "command -v npm"`);

sub read_json { my ($path) = @_; open my $in, '<', $path or die "$path: $!\n"; local $/; return JSON::PP::decode_json(<$in>) }

# Resolves dependencies. Returns the exit status, the result, and the folder that holds the rest.
sub install {
    my ($dependencies, %changes) = @_;
    my $folder = File::Temp->newdir;
    open my $out, '>', "$folder/request.json" or die "request.json: $!\n";
    print $out JSON::PP::encode_json({
        dependencies => $dependencies, npm => $npm, config => $registry->config, limits => \%limits, %changes });
    close $out;
    my $errors = `node '$ENV{SOURCE}/runtime/install/install.js' '$folder' 2>&1`;
    my $status = $? >> 8;
    return ($status, -e "$folder/result.json" ? read_json("$folder/result.json") : undef, $folder, $errors);
}

# The files of an archive, with their content.
sub unpack_bundle {
    my ($folder) = @_;
    mkdir "$folder/unpacked" or die "unpacked: $!\n";
    system("zstd -qdc '$folder/bundle.tar.zst' | tar -xf - -C '$folder/unpacked'") == 0 or die "no archive\n";
    return "$folder/unpacked";
}


# What is resolved ------------------------------------------------------------------------

subtest 'a range: the newest version within it, and what that depends on' => sub {
    my ($status, $result, $folder) = install({ 'uses-greet' => '^1.0.0', '@scope/data' => '*' });
    is $status, 0, 'exit status';
    like $result->{sha256}, qr/^[0-9a-f]{64}$/, 'hash';
    is $result->{size}, -s "$folder/bundle.tar.zst", 'size of the compressed archive';
    is sha256_hex(`zstd -qdc '$folder/bundle.tar.zst'`), $result->{sha256}, 'the hash is that of the archive';
    my $modules = unpack_bundle($folder);
    is `cd '$modules/..' && NODE_PATH='$modules' node -p 'require("uses-greet") + require("\@scope/data").k'`,
        "hello you 1.1.0v\n", 'node finds the packages';
    is read_json("$folder/package-lock.json")->{packages}{'node_modules/greet'}{version}, '1.1.0', 'the lock file';
};

subtest 'the same request twice: the same archive' => sub {
    my @hashes = map { (install({ 'uses-greet' => '1.0.0', '@scope/data' => '1.0.0' }))[1]{sha256} } 1, 2;
    is $hashes[0], $hashes[1], 'hashes';
};

subtest 'no script of a package runs' => sub {
    my (undef, undef, $folder) = install({ 'runs-script' => '1.0.0' });
    my $modules = unpack_bundle($folder);
    is `node -p 'require("$modules/runs-script")'`, "false\n", 'the script has made no file';
};

subtest 'what node and the runtime have themselves is not asked for' => sub {
    my $before = $registry->requests;
    my ($status, $result) = install({ fs => '*', 'node:util' => '*', '@twilio/runtime-handler' => '1.3.0' });
    is $status, 0, 'exit status';
    is_deeply $result, { sha256 => undef }, 'nothing has to be installed';
    is $registry->requests, $before, 'no request';
};


subtest 'a check' => sub {
    my %check = (check => JSON::PP::true);
    my ($status, $result, $folder) = install({ greet => '^1.0.0', '@scope/data' => 'latest' }, %check);
    is $status, 0, 'exit status';
    is_deeply $result, { sha256 => undef }, 'the registry has the packages';
    ok !-e "$folder/bundle.tar.zst", 'nothing is installed';
    is_deeply((install({ 'broken-dependency' => '1.0.0' }, %check))[1], { sha256 => undef }, 'their own dependencies are not looked for');
    for my $case (
        ['a package that is not there', { 'no-such-package' => '*' }, 'no-such-package@*: there is no such package'],
        ['a version that is not there', { greet => '1.0.0', '@scope/data' => '>1' }, '@scope/data@>1: no version matches'],
        ['a folder of the machine', { greet => 'file:/etc' }, 'greet: file:/etc is not a version or a range of versions'],
    ) {
        is_deeply((install($case->[1], %check))[1], { failure => $case->[2] }, $case->[0]);
    }
    ok $registry->set('down'), 'the registry is down';
    ($status, $result, undef, my $errors) = install({ greet => '1.0.0' }, %check);
    is_deeply [$status, $result], [1, undef], 'that is no failure';
    like $errors, qr/^E[A-Z]+: /, 'the cause, for the administrator';
    ok $registry->set('up'), 'it is up again';
};


# An npmrc of the administrator's ----------------------------------------------------------

# The file with further lines.
sub npmrc {
    my (@lines) = @_;
    my $file = File::Temp->new;
    print $file map { "$_\n" } @lines;
    close $file;
    return $file;
}

my $host = $registry->url =~ s{^http://}{}r;
my $unreachable = { failure => 'greet@1.0.0: the registry cannot be reached' };

subtest 'a mirror that wants a token' => sub {
    ok $registry->set('closed'), 'it does';
    is_deeply((install({ greet => '1.0.0' }))[1], $unreachable, 'without it');
    my $npmrc = npmrc("registry=http://$host/", "//$host/:_authToken=secret");
    like((install({ greet => '1.0.0' }, config => "$npmrc"))[1]{sha256}, qr/^\w{64}$/, 'with it');
    ok $registry->set('up'), 'it does not any more';
};

subtest 'a mirror of a scope' => sub {
    my $npmrc = npmrc('registry=http://127.0.0.1:1/', "\@scope:registry=http://$host/", 'fetch-retries=0');
    like((install({ '@scope/data' => '1' }, config => "$npmrc"))[1]{sha256}, qr/^\w{64}$/, 'its packages come from there');
    is_deeply((install({ greet => '1.0.0' }, config => "$npmrc"))[1], $unreachable, 'others from the registry');
};

subtest 'a proxy' => sub {
    my @lines = ('registry=http://registry.invalid/', 'fetch-retries=0');
    my ($without, $with) = (npmrc(@lines), npmrc(@lines, "proxy=http://$host/"));
    is_deeply((install({ greet => '1.0.0' }, config => "$without"))[1], $unreachable, 'without it');
    like((install({ greet => '1.0.0' }, config => "$with"))[1]{sha256}, qr/^\w{64}$/, 'with it');
};

subtest 'a cache in place of a registry' => sub {
    my $cache = File::Temp->newdir;
    my $fill = npmrc("registry=http://$host/", "cache=$cache");
    is((install({ 'uses-greet' => '1.0.0' }, config => "$fill"))[1]{failure}, undef, 'the cache is filled');
    ok $registry->set('down'), 'the registry is away';
    for my $way ('offline=true', 'prefer-offline=true') {
        my $npmrc = npmrc("registry=http://$host/", "cache=$cache", $way, 'fetch-retries=0');
        like((install({ 'uses-greet' => '1.0.0' }, config => "$npmrc"))[1]{sha256}, qr/^\w{64}$/, "$way: packages of the cache");
        is_deeply((install({ '@scope/data' => '1.0.0' }, config => "$npmrc"))[1],
            { failure => '@scope/data@1.0.0: the registry cannot be reached' }, "$way: a package that it does not have");
    }
    ok $registry->set('up'), 'the registry is back';
};


subtest 'the line NpmCache' => sub {
    my $folder = File::Temp->newdir;
    $registry->fill($folder, 'uses-greet@1.0.0', '@scope/data');
    eval { $registry->fill($folder, 'broken-dependency') };
    like $@, qr/ETARGET/, 'a package that lacks a dependency';
    my $files = sub { return scalar `cd '$folder' && find _cacache -printf '%p %y %m %T@\n' | sort` };
    my %offline = (cache => "$folder");
    my $filled = $files->();
    my $expected = (install({ 'uses-greet' => '1.0.0', '@scope/data' => '1' }))[1]{sha256};
    my $before = $registry->requests;
    is((install({ 'uses-greet' => '1.0.0', '@scope/data' => '1' }, %offline))[1]{sha256}, $expected, 'the same archive as from the registry');
    my $npmrc = npmrc("registry=http://$host/", "cache=$folder", 'offline=false', 'prefer-online=true');
    is((install({ 'uses-greet' => '1.0.0', '@scope/data' => '1' }, %offline, config => "$npmrc"))[1]{sha256}, $expected,
        'it takes precedence over the npmrc');
    is_deeply((install({ 'runs-script' => '*' }, %offline))[1], { failure => 'runs-script@*: the registry cannot be reached' },
        'a package that it does not have');
    is_deeply((install({ greet => '9' }, %offline))[1], { failure => 'greet@9: no version matches' }, 'a version that is not there');
    is_deeply((install({ greet => '2.0.0' }, %offline))[1], { failure => 'greet@2.0.0: the registry cannot be reached' },
        'a version whose archive it does not have');

    my %check = (%offline, check => JSON::PP::true);
    is_deeply((install({ 'uses-greet' => '^1.0.0', '@scope/data' => 'latest' }, %check))[1], { sha256 => undef }, 'a check: it has the packages');
    is_deeply((install({ greet => '1', '@scope/data' => '>1' }, %check))[1], { failure => '@scope/data@>1: no version matches' },
        'a check: a version that is not there');
    is_deeply((install({ 'broken-dependency' => '1' }, %check))[1], { failure => 'greet@^9.0.0: no version matches' },
        'a check: a dependency of a dependency');
    my ($status, $result, undef, $errors) = install({ greet => '1', 'runs-script' => '*' }, %check);
    is_deeply [$status, $result], [1, undef], 'a check: a package that it does not have is no failure';
    like $errors, qr/^ENOTCACHED: .*runs-script/, 'the cause, for the administrator';
    is $registry->requests, $before, 'the registry was not asked';
    is $files->(), $filled, 'the cache is as it was';
};


# Failures for the owner of the Build -------------------------------------------------------

for my $case (
    ['a package that is not there', { 'no-such-package' => '1.0.0' }, 'no-such-package@1.0.0: there is no such package'],
    ['a version that is not there', { greet => '9.9.9' }, 'greet@9.9.9: no version matches'],
    ['a dependency of a dependency', { 'broken-dependency' => '1.0.0' }, 'greet@^9.0.0: no version matches'],
    ['a tag that is not there', { greet => 'beta' }, 'greet@beta: no version matches'],
    ['another system', { 'only-windows' => '1.0.0' }, 'only-windows@1.0.0: it does not run on this system'],
    ['native code', { 'has-native-code' => '1.0.0' },
        'has-native-code/build/addon.node: native code does not run here'],
    ['too many files', { 'many-files' => '1.0.0' }, 'The packages have more than 200 files'],
    ['too many packages', { map { ("greet$_" => '1') } 1 .. 6 }, '6 packages are more than the 5 that are allowed'],
    ['a folder of the machine', { greet => 'file:/etc' }, 'greet: file:/etc is not a version or a range of versions'],
    ['an address', { greet => 'http://127.0.0.1/a.tgz' },
        'greet: http://127.0.0.1/a.tgz is not a version or a range of versions'],
    ['a repository', { greet => 'git+ssh://host/a.git' },
        'greet: git+ssh://host/a.git is not a version or a range of versions'],
    ['an alias', { greet => 'npm:other@1' }, 'greet: npm:other@1 is not a version or a range of versions'],
    ['an option of npm', { '--registry=x' => '1' }, '--registry=x: not the name of a package'],
    ['a path', { '../../etc' => '1' }, '../../etc: not the name of a package'],
) {
    my ($name, $dependencies, $failure) = @$case;
    my ($status, $result) = install($dependencies);
    is $status, 0, "$name: exit status";
    is_deeply $result, { failure => $failure }, "$name: failure";
}

subtest 'too many bytes' => sub {
    my (undef, $result) = install({ greet => '1.0.0' }, limits => { %limits, bytes => 10 });
    is_deeply $result, { failure => 'The packages have more than 10 bytes' }, 'failure';
};

subtest 'a registry that does not answer' => sub {
    ok $registry->set('down'), 'it is down';
    my ($status, $result, undef, $errors) = install({ greet => '1.0.0' });
    is $status, 0, 'exit status';
    is_deeply $result, { failure => 'greet@1.0.0: the registry cannot be reached' }, 'failure: without its address';
    like $errors, qr/^E[A-Z]+: /, 'the cause, for the administrator';
    ok $registry->set('up'), 'it is up again';
    is((install({ greet => '1.0.0' }))[1]{failure}, undef, 'and answers');
};

subtest 'a registry that accepts requests and does not answer them' => sub {
    ok $registry->set('silent'), 'it is silent';
    my $begin = time;
    my (undef, $result) = install({ greet => '1.0.0' }, limits => { %limits, seconds => 14 });
    is_deeply $result, { failure => 'greet@1.0.0: the registry cannot be reached' }, 'failure';
    cmp_ok time - $begin, '<', 100, 'about within the limit of time: by its own settings, npm waits for five minutes';
    ok $registry->set('up'), 'it is up again';
};

subtest 'npm is missing' => sub {
    my ($status, $result, undef, $errors) = install({ greet => '1.0.0' }, npm => '/nonexistent');
    is $status, 1, 'exit status';
    is $result, undef, 'no result';
    like $errors, qr/ENOENT/, 'the cause, for the administrator';
};

done_testing;
