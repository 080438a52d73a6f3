# serverless-admin check and status, and its completion: a line for each part that httpd needs, which is "ok" or says what to
# do.
use strict;
use warnings FATAL => 'all';

use Apache::Test qw(-withtestmore);
use Serverless::Database;
use Serverless::Runner;
use Serverless::Server;
use Serverless::Test;
use Test::More;

my $admin = "$ENV{SOURCE}/bin/serverless-admin";
my $database = own_database('check');
my $name = $database->name;
my $keys = Serverless::Server->logs . '/check_keys';

# Writes the key file.
sub write_keys {
    my ($text, $mode) = @_;
    unlink $keys;
    open my $out, '>', $keys or die "$keys: $!\n";
    print $out $text;
    close $out or die "$keys: $!\n";
    chmod $mode // 0600, $keys;
}

# The exit status of "check" and its lines by their part.
sub check {
    my (%option) = (dbname => $name, user => 'serverless_httpd', host => $ENV{DATABASE}, node => '', @_);
    my $node = $option{node} ? "-n '$option{node}'" : '';
    my $runner = $option{runner} // '/nowhere/runner.conf';
    my $printed = `'$admin' -d 'host=$option{host} dbname=$option{dbname} user=$option{user}' -k '$keys' $node -r '$runner' check 2>&1`;
    return ($? >> 8, { map { /^(ok|FAIL) +(\w+) +(.*)$/ ? ($2 => "$1 $3") : ($_ => 'unexpected') } split /\n/, $printed });
}

my $key = '0' x 64;
write_keys("k1 $key\n");
my $owner = $database->connect('serverless_owner');
my ($newest) = $owner->selectrow_array('SELECT max(version) FROM serverless.schema_migrations');
my %good = (
    database => "ok $name as serverless_httpd", role => 'ok without other rights', schema => "ok version $newest",
    grants => 'ok the role may do what httpd does', keys => 'ok k1',
    node => 'ok not asked for (-n NODE): Builds do not check that Functions compile',
    runner => 'ok there is no /nowhere/runner.conf: Functions are not executed',
);
is_deeply [check()], [0, \%good], 'all is there';

my $superuser = $database->connect('postgres');

# check says this of one part, and nothing else than "all is there" of those that it looks at.
sub says {
    my ($part, $text, $title, %option) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my ($status, $lines) = check(%{ $option{with} || {} });
    my %expected = (%good, %{ $option{besides} || {} }, $part => $text);
    delete @expected{ @{ $option{without} || [] } };
    is_deeply [$status, $lines], [$text =~ /^ok/ ? 0 : 1, \%expected], $title;
}

says 'database', qq(FAIL connection to server on socket "$ENV{DATABASE}/.s.PGSQL.5432" failed: FATAL:  database "nowhere" does not exist: )
    . 'correct DBDParams or pg_hba.conf, or start PostgreSQL', 'wrong dbname',
    with => { dbname => 'nowhere' }, without => [qw(role schema grants keys)];
like +(check(user => 'nobody_at_all'))[1]{database}, qr/^FAIL .*FATAL:  .*nobody_at_all.*: correct DBDParams/, 'wrong role';
like +(check(host => '/nowhere'))[1]{database}, qr/^FAIL .*No such file or directory.*: correct DBDParams/, 'wrong host';
says 'role', 'FAIL httpd connects as the owner of the schema: name another role in DBDParams', "the owner's role",
    with => { user => 'serverless_owner' }, besides => { database => "ok $name as serverless_owner" };
says 'role', 'FAIL httpd connects as a superuser: name an ordinary role in DBDParams', 'a superuser',
    with => { user => 'postgres' }, besides => { database => "ok $name as postgres" };

$superuser->do('REVOKE USAGE ON SCHEMA serverless FROM serverless_httpd');
says 'schema', 'FAIL it is missing, or not open to the role: serverless-admin schema apply, then serverless-admin grant ROLE, as its owner',
    'no grant', without => ['grants', 'keys'];
$superuser->do('GRANT USAGE ON SCHEMA serverless TO serverless_httpd');

$superuser->do('REVOKE ALL ON serverless.services FROM serverless_httpd');
says 'grants', 'FAIL the role lacks services (INSERT): serverless-admin grant ROLE, as the owner of the schema', 'a right is missing';
$owner->do(q(SELECT serverless.grant_access('serverless_httpd')));

$owner->do('UPDATE serverless.schema_migrations SET version = 999 WHERE version = ?', undef, $newest);
says 'schema', "FAIL version 999, and this is for $newest: install the module that fits", 'a newer schema';
$owner->do('DELETE FROM serverless.schema_migrations WHERE version = 999');
my ($older) = $owner->selectrow_array('SELECT max(version) FROM serverless.schema_migrations');
says 'schema', "FAIL version $older, and this is for $newest: serverless-admin schema apply", 'an older schema';
$owner->do('INSERT INTO serverless.schema_migrations (version, name) VALUES (?, ?)', undef, $newest, 'undo');

unlink $keys;
says 'keys', "FAIL there is no $keys: (umask 077; serverless-admin variables new-key >$keys), or name another one by -k", 'no key file';
write_keys("k1 $key\n", 0644);
says 'keys', "FAIL $keys has mode 644: chmod 600 $keys", 'a key file that others can read';
write_keys("nothing\n");
says 'keys', "FAIL $keys has no key: serverless-admin variables new-key prints a line", 'a key file without a key';
write_keys("k1 $key\n");

says 'node', 'ok ' . (`$ENV{NODE} --version` =~ s/\n//r), 'a node', with => { node => $ENV{NODE} };
like +(check(node => '/nowhere/node'))[1]{node}, qr{^FAIL \S+ cannot run /nowhere/node: .*No such file}, 'no node';

subtest 'runner' => sub {
    my $runner = Serverless::Runner->start('check');
    my %with = (runner => $runner->{config});
    says 'runner', "ok $runner->{socket}, isolation none", 'a runner', with => \%with;
    kill STOP => $runner->pid;
    says 'runner', "FAIL $runner->{socket}: no answer in 5 seconds: systemctl status serverless-runner", 'one that hangs', with => \%with;
    $runner->kill_now;
    says 'runner', "FAIL $runner->{socket}: Connection refused: systemctl status serverless-runner", 'one that is away', with => \%with;
    $runner->configure(client => 'daemon');
    $runner->run;
    says 'runner', "FAIL $runner->{socket}: it closes the connection: name the user in a line Client of its configuration: systemctl status serverless-runner",
        "one that does not know httpd's user", with => \%with;
    says 'runner', "FAIL $keys cannot be read, or has no line Control: run this as root, or correct it", 'another file', with => { runner => $keys };
};

subtest 'status' => sub {
    $owner->selectrow_array(q(SELECT * FROM serverless.create_account('a')));
    my $printed = `'$admin' -d 'host=$ENV{DATABASE} dbname=$name user=serverless_owner' status 2>&1`;
    is $?, 0, 'status';
    my %figures = map { /^(\S.*?)  +(\S.*)$/ ? ($1 => $2) : () } split /\n/, $printed;
    is $figures{$_->[0]}, $_->[1], $_->[0] for ['schema', $newest], ['roles', 'serverless_httpd (httpd)'], ['accounts', '1, suspended 0'],
        ['services', 0], ['environments', '0, with a Build 0'], ['builds waiting', 0], ['maintenance expire_logs', 'never'];
    like $figures{'size of the schema'}, qr/^\d+ kB$/, 'size of the schema';
};

subtest 'status where Functions are executed' => sub {
    my $runner = Serverless::Runner->start('admin');
    my $spool = "$ENV{HOME}/status-spool";
    mkdir $spool or die "$spool: $!\n";
    open my $out, '>', "$spool/a.log" or die "$spool: $!\n";
    print $out 'x' x 2048;
    close $out;
    my $child = $runner->connect_child;
    my $line = $child->obtain(1, [ Serverless::RunnerChild::build(hello => 'exports.handler = (c, e, done) => done(null, 1);') ]);
    $child->lease(2, concurrency => 1, wait => 600_000);
    wait_until { $runner->status->{leases}{waiting} } or die "the lease does not wait\n";
    my $status = sub { `'$admin' -d 'host=$ENV{DATABASE} dbname=$name user=serverless_owner' -r '$runner->{config}' -s '$spool' status 2>&1` };
    my $printed = $status->();
    is $?, 0, 'status';
    my %figures = map { /^(\S.*?)  +(\S.*)$/ ? ($1 => $2) : () } split /\n/, $printed;
    is $figures{$_->[0]}, $_->[1], $_->[0] for ['isolates', '1 leased, 0 idle, 0 starting, 0 ending'], ['leases waiting', 1],
        ['calls', '0, isolates killed 0, died 0'], ['isolates started', '1, of these for a call that waited 1'], ['spool of logs', '2048 bytes'];
    like $figures{'cache of Builds'}, qr/^1, \d+ bytes$/, 'cache of Builds';
    $runner->terminate;
    $printed = $status->();
    is $?, 0, 'the runner is away: status';
    like $printed, qr/^serverless-admin: the runner at \S+: (?:Connection refused|No such file or directory)$/m, 'the reason';
    like $printed, qr/^size of the schema/m, 'the figures of the database';
    my $strange = Serverless::Runner->start('admin', client => 'daemon');
    like $status->(), qr/^serverless-admin: the runner at \S+ has refused this user: it needs a Client line$/m, 'a user that may not connect';
    $strange->terminate;
};

subtest 'completion' => sub {
    my $complete = sub {
        my (@words) = @_;
        my $array = join ' ', map { "'$_'" } $admin, @words;
        return [split ' ', `bash -c '. "$ENV{SOURCE}/bin/serverless-admin.completion"; COMP_WORDS=(${\ ($array =~ s/'/"/gr)}); COMP_CWORD=${\ scalar @words}; _serverless_admin; echo "\${COMPREPLY[\@]}"'`];
    };
    is_deeply $complete->('acc'), ['account'], 'the first word of a command';
    is_deeply $complete->('account', ''), [qw(create delete list resume rotate-token suspend)], 'the second word';
    is_deeply $complete->('key', 're'), ['revoke'], 'a part of it';
    is_deeply $complete->('-d', 'dbname=x', 'schema', ''), [qw(apply version)], 'after an option';
    is_deeply $complete->('--'), [qw(--help --version)], 'options';
    my @commands = `'$admin' --help` =~ /^  ([a-z][a-z-]*)/mg;
    my %all = map { $_ => 1 } @commands;
    is_deeply $complete->(''), [sort keys %all], 'all first words';
};

$_->disconnect for $owner, $superuser;

done_testing;
