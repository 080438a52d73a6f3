# The signing keys of accounts: serverless-admin makes, shows and rotates them, httpd encrypts them again when the
# key of encryption changes.
use strict;
use warnings FATAL => 'all';

use Apache::Test qw(-withtestmore);
use Serverless::Database;
use Serverless::Parallel;
use Serverless::Server;
use Serverless::Test;
use Test::More;

my $database = own_database('signing_keys');
my $owner = $database->connect('serverless_owner');
my $file = Serverless::Server->logs . '/signing_key_file';
my ($old, $new) = map { scalar `$ENV{SOURCE}/bin/serverless-admin variables new-key` } 1 .. 2;
my ($old_id, $new_id) = map { /^(\S+)/ } $old, $new;

sub write_keys {
    my ($mode, @lines) = @_;
    unlink $file;
    open my $out, '>', $file or die "$file: $!\n";
    print $out @lines;
    close $out or die "$file: $!\n";
    chmod $mode, $file;
}

sub slurp {
    my ($path) = @_;
    open my $in, '<', $path or die "$path: $!\n";
    local $/;
    return scalar <$in>;
}

# Runs serverless-admin: its exit status, its output, its error message.
sub admin {
    my (@arguments) = @_;
    my $errors = Serverless::Server->logs . "/signing_key_errors.$$";
    open my $output, '-|', "'$ENV{SOURCE}/bin/serverless-admin' -d 'host=$ENV{DATABASE} dbname=@{[ $database->name ]} "
        . "user=serverless_owner' -k '$file' " . join(' ', map { "'$_'" } @arguments) . " 2>'$errors'" or die "$!\n";
    my $text = do { local $/; <$output> // '' };
    close $output;
    return ($? >> 8, $text, slurp($errors));
}

sub succeeds {
    my ($output, $name, @arguments) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my @result = admin(@arguments);
    is_deeply [@result[0, 2]], [0, ''], "$name: it succeeds";
    like $result[1], qr/\A$output\z/, $name;
    return $result[1];
}

sub fails {
    my ($message, $name, @arguments) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $before = stored();
    is_deeply [admin(@arguments)], [1, '', "$message\n"], $name;
    is_deeply stored(), $before, "$name: nothing changes";
}

# All signing keys, and the tags that decide what httpd's children remember.
sub stored {
    return [ map { $owner->selectall_arrayref($_) } 'SELECT * FROM serverless.signing_keys ORDER BY id',
        'SELECT id, context_tag FROM serverless.environments ORDER BY id' ];
}

sub new_account {
    my ($sid) = $owner->selectrow_array(q(SELECT account_sid FROM serverless.create_account('keys')));
    return $sid;
}

# A new Service of the account, with an Environment.
sub new_service {
    my ($account, $unique_name) = @_;
    return $owner->selectrow_array(<<'SQL', undef, $unique_name, $account);
WITH made AS (
         INSERT INTO serverless.services
         SELECT gen_random_uuid(), a.id, ?, 'Service', true, false, 'label-' || gen_random_uuid(), now(), now()
           FROM serverless.accounts AS a WHERE serverless.sid('AC', a.id) = ?
         RETURNING id),
     environment AS (
         INSERT INTO serverless.environments
         SELECT id, gen_random_uuid(), 'dev', 'dev', NULL, now(), now() FROM made)
SELECT serverless.sid('ZS', id) FROM made
SQL
}

# The tag of the Environment of a Service.
sub tag_of {
    my ($service) = @_;
    return $owner->selectrow_array(q(SELECT context_tag FROM serverless.environments
        WHERE serverless.sid('ZS', service_id) = ?), undef, $service);
}

my $token = qr/SIGNING_TOKEN=[0-9a-f]{32}\n/;
my $expires = qr/OLD_KEY_EXPIRES=\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\n/;
my ($account, $other_account, $keyless_account) = map { new_account() } 1 .. 3;
my ($shop, $blog, $other) = (new_service($account, 'shop'), new_service($account, 'blog'),
    new_service($other_account, 'shop'));
write_keys(0600, $old);


subtest 'create' => sub {
    my @tags = map { tag_of($_) } $shop, $blog, $other;
    succeeds '', 'create makes a signing key and prints nothing', 'signing-key', 'create', $account;
    is_deeply $owner->selectall_arrayref(q(SELECT serverless.sid('AC', account_id), sealed_with, date_expires,
        now() - date_created BETWEEN '0' AND '1 minute' FROM serverless.signing_keys)),
        [ [ $account, $old_id, undef, 1 ] ], 'the key is encrypted with the first key of the file, and is the current one';
    isnt tag_of($shop), $tags[0], 'httpd forgets the tokens of the first Service';
    isnt tag_of($blog), $tags[1], 'httpd forgets the tokens of the second Service';
    is tag_of($other), $tags[2], 'httpd forgets nothing of another account';
    fails "serverless-admin: $account has a signing key: rotate replaces it", 'create does not replace a key',
        'signing-key', 'create', $account;
    succeeds '', 'create for another account', 'signing-key', 'create', $other_account;
};

subtest 'show' => sub {
    my $of_shop = succeeds $token, 'show prints the token of a Service, by its SID', 'signing-key', 'show', $account, $shop;
    is succeeds($token, 'show by its UniqueName', 'signing-key', 'show', $account, 'shop'), $of_shop, 'it is the same token';
    isnt succeeds($token, 'show for a second Service', 'signing-key', 'show', $account, $blog), $of_shop,
        'another Service has another token';
    isnt succeeds($token, 'show for a Service of another account', 'signing-key', 'show', $other_account, 'shop'), $of_shop,
        'another account has other tokens';
    fails "serverless-admin: $account has no Service $_", 'show does not know a Service of another account, or none',
        'signing-key', 'show', $account, $_ for $other, 'ZS' . '0' x 32, 'Shop', '';
    new_service($keyless_account, 'shop');
    fails "serverless-admin: $keyless_account has no signing key: create makes one", 'show without a signing key',
        'signing-key', 'show', $keyless_account, 'shop';
};

subtest 'rotate' => sub {
    my @tags = map { tag_of($_) } $shop, $other;
    my ($before) = (admin('signing-key', 'show', $account, $shop))[1];
    my $said = succeeds $expires, 'rotate prints when the old key ends', 'signing-key', 'rotate', $account;
    isnt((admin('signing-key', 'show', $account, $shop))[1], $before, 'show prints another token');
    isnt tag_of($shop), $tags[0], 'httpd forgets the tokens of the account';
    is tag_of($other), $tags[1], 'httpd forgets nothing of another account';
    is_deeply $owner->selectall_arrayref(q(SELECT date_expires IS NULL,
        date_expires - now() BETWEEN '23 hours 59 minutes' AND '24 hours' FROM serverless.signing_keys
        WHERE serverless.sid('AC', account_id) = ? ORDER BY id), undef, $account), [ [ 0, 1 ], [ 1, undef ] ],
        'the old key is valid for 24 hours';
    my ($until) = $said =~ /=(.*)/;
    like((admin('signing-key', 'list', $account))[1],
        qr/\A *date_created +date_expires +key_id *\n[- ]+\n\S+ \S+ +\S+ \S+ +\Q$old_id\E *\n\S+ \S+ +\Q$old_id\E *\n\n?\z/,
        'list shows both keys');
    fails "serverless-admin: $account has an old signing key that is valid until $until: wait, or rotate with 0 hours",
        'rotate does not end an old key before its time', 'signing-key', 'rotate', $account, 48;
    $owner->do(q(UPDATE serverless.signing_keys SET date_expires = now() - interval '1 second'
        WHERE date_expires IS NOT NULL));
    succeeds $expires, 'rotate when the old key has ended', 'signing-key', 'rotate', $account, 48;
    is $owner->selectrow_array(q(SELECT count(*) FROM serverless.signing_keys WHERE serverless.sid('AC', account_id) = ?),
        undef, $account), 2, 'a key that has ended is deleted';
    is $owner->selectrow_array(q(SELECT date_expires - now() BETWEEN '47 hours 59 minutes' AND '48 hours'
        FROM serverless.signing_keys WHERE date_expires IS NOT NULL)), 1, 'the old key is valid for the hours that were given';
    succeeds $expires, 'rotate with 0 hours', 'signing-key', 'rotate', $account, 0;
    is $owner->selectrow_array(q(SELECT count(*) FROM serverless.signing_keys WHERE serverless.sid('AC', account_id) = ?),
        undef, $account), 1, 'with 0 hours, all old keys end at once';
    fails "serverless-admin: $keyless_account has no signing key: create makes one", 'rotate without a signing key',
        'signing-key', 'rotate', $keyless_account;
    for my $hours ('-1', '1.5', 'a day', '', '100000', '1; SELECT 1') {
        my ($status, $output, $message) = admin('signing-key', 'rotate', $account, $hours);
        is_deeply [ $status, $output, $message =~ /^(.*)$/m ],
            [ 2, '', "serverless-admin: HOURS is a whole number, not '$hours'" ], "rotate does not take '$hours'";
    }
};

subtest 'an account that does not exist' => sub {
    my $nobody = 'AC' . '0' x 32;
    fails "serverless-admin: there is no account $nobody", "$_->[0]: 1, with a message", 'signing-key', $_->[0], $nobody,
        @$_[1 .. $#$_] for [ 'create' ], [ 'show', $shop ], [ 'rotate' ], [ 'rotate', 0 ];
    my ($status) = admin('signing-key', 'create');
    is $status, 2, 'create without an account: 2';
};

subtest 'the file with the keys' => sub {
    my @commands = ([ 'create', $keyless_account ], [ 'show', $account, $shop ], [ 'rotate', $account ]);
    my $refused = sub {
        my ($message, $name) = @_;
        fails "serverless-crypt: $file $message", "$_->[0]: $name", 'signing-key', @$_ for @commands;
    };
    unlink $file;
    $refused->('cannot be opened: No such file or directory', 'no file');
    write_keys($_, $old) or $refused->('must not be open to group or others (chmod 600)', sprintf 'mode %03o', $_)
        for 0644, 0640, 0602;
    write_keys(0600, "nothing\n");
    $refused->('line 1 is not a key id, a space and 64 hex digits', 'not a key');
    write_keys(0600, $new);
    fails 'serverless-crypt: the signing key cannot be decrypted: the key is not known', 'show without the key of encryption',
        'signing-key', 'show', $account, $shop;
    write_keys(0600, $old);
    my ($own) = $owner->selectrow_array(q(SELECT sealed FROM serverless.signing_keys
        WHERE serverless.sid('AC', account_id) = ?), undef, $account);
    $owner->do(q(UPDATE serverless.signing_keys SET sealed = (SELECT sealed FROM serverless.signing_keys
        WHERE serverless.sid('AC', account_id) = ?) WHERE serverless.sid('AC', account_id) = ?), undef, $other_account, $account);
    fails 'serverless-crypt: the signing key cannot be decrypted: it is not what was written there',
        'show with the signing key of another account', 'signing-key', 'show', $account, $shop;
    $owner->do(q(UPDATE serverless.signing_keys SET sealed = decode(?, 'hex') WHERE serverless.sid('AC', account_id) = ?),
        undef, unpack('H*', $own), $account);
};

subtest 'serverless-crypt' => sub {
    my @crypt = "$ENV{SOURCE}/build/serverless-crypt";
    for my $arguments ('', 'new-signing-key', "new-signing-key $file", "new-signing-key $file a b", 'unknown a b c',
        "signing-token $file " . '0' x 32 . ' ' . '0' x 32, "signing-token $file " . join(' ', ('0' x 31) x 3)) {
        my $said = `@crypt $arguments 2>&1 </dev/null`;
        is $? >> 8, 2, "wrong usage: 2 ($arguments)";
        like $said, qr/^Usage: serverless-crypt new-signing-key/, 'the message is the usage';
    }
    my $id = '0' x 32;
    is `@crypt signing-token $file $id $id $id 2>&1 </dev/null`, "serverless-crypt: standard input has no signing key\n",
        'nothing to decrypt: a message';
    is $? >> 8, 1, 'nothing to decrypt: 1';
    is `@crypt new-signing-key $file $id $id 2>&1 >/dev/full`, "serverless-crypt: standard output cannot be written\n",
        'a full disk: a message';
    is $? >> 8, 1, 'a full disk: 1';
};

subtest 'several at once' => sub {
    my $wanted = new_account();
    my $service = new_service($wanted, 'shop');
    my @ended = at_once(sub { (admin('signing-key', 'create', $wanted))[0] }, 1 .. 4);
    is_deeply [ sort @ended ], [ 0, 1, 1, 1 ], 'one of four that create a signing key at the same time succeeds';
    succeeds $token, 'the token can be shown', 'signing-key', 'show', $wanted, $service;
    @ended = at_once(sub { (admin('signing-key', 'rotate', $wanted))[0] }, 1 .. 4);
    is_deeply [ sort @ended ], [ 0, 1, 1, 1 ], 'one of four that rotate it at the same time succeeds';
};

subtest 'the role of httpd' => sub {
    my $httpd = $database->connect('serverless_httpd');
    my $denied = qr/permission denied/;
    for my $sql ('DELETE FROM serverless.signing_keys', 'UPDATE serverless.signing_keys SET date_expires = NULL',
        'INSERT INTO serverless.signing_keys SELECT * FROM serverless.signing_keys',
        "SELECT serverless.create_signing_key('$account', gen_random_uuid(), 'k:00')",
        "SELECT serverless.rotate_signing_key('$account', gen_random_uuid(), 'k:00', '0')",
        "SELECT * FROM serverless.current_signing_key('$account', 'shop')") {
        ok !eval { $httpd->do($sql); 1 }, "httpd may not: $sql";
        like $@, $denied, 'permission is denied';
    }
    $httpd->disconnect;
};

# As docs/operations/variables.md has it for the values of Variables.
subtest 'another key of encryption' => sub {
    my @tokens = map { (admin('signing-key', 'show', @$_))[1] } [ $account, $shop ], [ $other_account, $other ];
    my $tag = tag_of($shop);
    my ($count) = $owner->selectrow_array('SELECT count(*) FROM serverless.signing_keys');
    my $in_use = sub { return { map { $_->[0] => $_->[2] } @{ $owner->selectall_arrayref(
        'SELECT * FROM serverless.list_variable_keys()') } } };
    is_deeply $in_use->(), { $old_id => $count }, 'serverless-admin variables keys counts signing keys';
    my ($damaged) = $owner->selectrow_array(q(UPDATE serverless.signing_keys AS k
        SET sealed = set_byte(sealed, 12, get_byte(sealed, 12) # 1)
        WHERE id = (SELECT id FROM serverless.signing_keys ORDER BY id DESC LIMIT 1) RETURNING id));
    $owner->do(q(UPDATE serverless.maintenance SET period = '1 second', date_begun = '-infinity'));
    write_keys(0600, $new, $old);
    my $server = Serverless::Server->start('signing_keys', "ServerlessVariableKeys $file\n"
        . Serverless::Server->database(database => $database->name) . Serverless::Server->api);
    ok wait_until { ($in_use->()->{$new_id} // 0) == $count - 1 }, 'httpd encrypts all signing keys that it can decrypt again';
    is_deeply $in_use->(), { $new_id => $count - 1, $old_id => 1 }, 'a damaged signing key keeps its key';
    is_deeply [ map { (admin('signing-key', 'show', @$_))[1] } [ $account, $shop ], [ $other_account, $other ] ], \@tokens,
        'the tokens stay';
    is tag_of($shop), $tag, 'httpd goes on to use the tokens that it remembers';
    my $log = '';
    ok wait_until { $log .= $server->error_log; $log =~ /SF0019/ }, 'the error log has a line about the damaged signing key';
    like $log, qr/SF0014: @{[ $count - 1 ]} signing keys encrypted with the first key/, 'the error log says how many were encrypted';
    $damaged =~ s/-//g;
    like $log, qr{SF0019: 1 values keep the key "\Q$old_id\E", because they cannot be decrypted.* one is AC\w+/SG$damaged$}m,
        'the error log names the damaged signing key';
    my ($first, $second) = map { /=(\S+)/ } @tokens;
    unlike $log, qr/$first|$second/, 'the error log has no token';
};

$owner->disconnect;
unlink $file;
done_testing;
