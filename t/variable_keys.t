# The keys that Variables are encrypted with: no key, new keys, and the re-encryption that
# httpd does in the background.
#
# The httpds here have a database of their own, so that no other does their work.
use strict;
use warnings FATAL => 'all';

use Apache::Test qw(-withtestmore);
use Digest::SHA qw(hmac_sha256 hmac_sha256_hex sha256_hex);
use Serverless::Database;
use Serverless::Parallel;
use Serverless::Project;
use Serverless::Server;
use Serverless::Test;
use Test::More;

my $database = own_database('variables');
my $owner = $database->connect('postgres');
my $file = Serverless::Server->logs . '/variable_keys';
my ($old, $new, $other) = map { scalar `$ENV{SOURCE}/bin/serverless-admin variables new-key` } 1 .. 3;
my ($old_id, $new_id, $other_id) = map { /^(\S+)/ } $old, $new, $other;

sub write_keys {
    my (@lines) = @_;
    open my $out, '>', $file or die "$file: $!\n";
    chmod 0600, $file;
    print $out @lines;
    close $out or die "$file: $!\n";
}

# An httpd with that file, or without any.
sub server {
    my ($name, %option) = @_;
    my $keys = $option{keyless} ? '' : "ServerlessVariableKeys $file\n";
    due();
    return Serverless::Server->start($name, $keys . Serverless::Server->database(database => $database->name)
        . Serverless::Server->api, %option);
}

# A child looks when it starts, and every five seconds: it shall find something due each time.
$owner->do(q(UPDATE serverless.maintenance SET period = '1 second'));
sub due { $owner->do(q(UPDATE serverless.maintenance SET date_begun = '-infinity')) }

# How many values there are of each key.
sub keys_in_use {
    return { map { @$_ } @{ $owner->selectall_arrayref('SELECT key_id, variables FROM serverless.list_variable_keys()') } };
}

sub of_variable {
    my ($variable, $sql, @values) = @_;
    return $owner->selectrow_array("$sql WHERE serverless.sid('ZV', id) = ?", undef, @values, $variable->{sid});
}

sub change {
    my ($variable, $set, @values) = @_;
    $owner->do("UPDATE serverless.variables SET $set WHERE serverless.sid('ZV', id) = ?", undef, @values, $variable->{sid});
}

my ($sid, $token) = $owner->selectrow_array(q(SELECT * FROM serverless.create_account('keys')));
sub client { my ($server) = @_; return Serverless::Client->client($sid, $token)->at($server->address) }

# Paths without the host, because one httpd follows another.
sub path_of { my ($resource) = @_; return $resource->{url} =~ s{^http://[^/]+}{}r }

my $variables;


# Without keys -----------------------------------------------------------------------------

{
    my $server = server('keyless', keyless => 1);
    my $api = client($server);
    my $project = Serverless::Project->new($api);
    my $environment = $project->new_environment;
    $variables = path_of($environment) . '/Variables';
    my $message = 'This server is not set up to keep Variables';
    is scalar(() = $server->error_log =~ /SF0017: without ServerlessVariableKeys, what needs the value of a Variable is answered with 503/g),
        1, 'without ServerlessVariableKeys httpd starts, and logs once that the directive is missing';
    is_deeply $api->get($variables)->json->{variables}, [], 'without a key, an empty list of Variables is answered';
    my $reply = $api->post($variables, Key => 'K', Value => 'value');
    is_error $reply, 503, 20503, $message, 'without a key, a Variable cannot be created: 503';
    ok $reply->header('Retry-After'), 'without a key, the 503 has Retry-After';
    is_error $api->post($variables, Key => 'K'), 400, 20001, 'Missing required parameter Value in the post body',
        'without a key, a create without Value is still 400';
    is $owner->selectrow_array('SELECT count(*) FROM serverless.variables'), 0, 'without a key, no Variable is stored';
    is $api->post($project->path . '/Functions', FriendlyName => 'f')->status, 201,
        'without a key, a Function can be created';

    write_keys($old);
    my $with = server('with_key');
    my $variable = client($with)->post($variables, Key => 'K', Value => 'value')->json;
    my $path = path_of($variable);
    is_error $api->get($path), 503, 20503, $message, 'without a key, a stored Variable cannot be fetched: 503';
    is_error $api->get($variables), 503, 20503, $message, 'without a key, stored Variables cannot be listed: 503';
    is_error $api->post($path, @$_), 503, 20503, $message, 'without a key, a stored Variable cannot be updated: 503'
        for [ Value => 'other' ], [ Key => 'OTHER' ], [];
    is_reply client($with)->get($path), 200, $variable, 'a server with the key still answers the Variable unchanged';
    is $api->delete($path)->status, 204, 'without a key, a stored Variable can be deleted';
    unlike $server->error_log, qr/SF0018|SF0017/, 'without a key, requests add nothing to the error log';
}


# A new key -----------------------------------------------------------------------------------

# As docs/operations/variables.md has it.
{
    write_keys($old);
    my $server = server('rotation');
    my $api = client($server);
    for (1 .. 250) {
        $api->post($variables, Key => "KEY_$_", Value => "value $_")->status == 201 or die "no Variable $_\n";
    }
    my $values = sub { $api->get($variables, PageSize => 1000)->body =~ s{http://[^/"]+}{}gr };
    my $before = $values->();
    like $before, qr/"value 250".*"value 1"/, 'values encrypted with the old key are answered';
    my $path = path_of($api->get($variables)->json->{variables}[0]);
    my $tag = $api->get($path)->header('ETag');

    write_keys($old, $new);
    $server->restart;
    is $values->(), $before, 'with a second key in the file, values encrypted with the first are answered';
    my $later = $api->post($variables, Key => 'LATER', Value => 'v')->json;
    is_deeply keys_in_use(), { $old_id => 251 }, 'the second key of the file encrypts nothing';
    is $api->delete(path_of($later))->status, 204, 'the Variable that was encrypted with the old key is deleted';

    write_keys($new, $old);
    my $stolen = $owner->selectall_hashref('SELECT id, sealed FROM serverless.variables', 'id');
    $server->restart;
    is $values->(), $before, 'with the new key first, values encrypted with the old are answered';
    $later = $api->post($variables, Key => 'LATER', Value => 'v')->json;
    is of_variable($later, 'SELECT sealed_with FROM serverless.variables'), $new_id,
        'with the new key first, a new value is encrypted with it';
    is $api->delete(path_of($later))->status, 204, 'the Variable that was encrypted with the new key is deleted';
    ok wait_until { !keys_in_use()->{$old_id} }, 'values are re-encrypted with the new key in the background';
    is_deeply keys_in_use(), { $new_id => 250 }, 'every value is re-encrypted with the new key';
    is $values->(), $before, 're-encrypted Variables have their values and dates unchanged';
    is $api->get($path)->header('ETag'), $tag, 'a re-encrypted Variable has its ETag unchanged';
    my $log = '';
    my $done = sub {
        $log .= $server->error_log;
        my $sum = 0;
        $sum += $_ for $log =~ /SF0014: (\d+) Variables encrypted with the first key/g;
        return $sum;
    };
    ok wait_until { $done->() >= 250 }, 'the error log reports the re-encryption';
    is $done->(), 250, 'the error log says how many values were re-encrypted';
    my $stored = $owner->selectall_hashref('SELECT id, sealed FROM serverless.variables', 'id');
    is_deeply [ grep { $stored->{$_}{sealed} eq $stolen->{$_}{sealed} } keys %$stored ], [],
        'no value is stored as it was encrypted before';
    my $admin = "$ENV{SOURCE}/bin/serverless-admin -d 'host=$ENV{DATABASE} dbname=@{[ $database->name ]} user=serverless_owner'";
    is `$admin variables keys` =~ s/ +$//mgr, <<"END", 'serverless-admin variables keys says how many values each key has';
     key_id       variables signing_keys
----------------- --------- ------------
$new_id       250            0

END

    write_keys($new);
    $server = server('rotated');
    $api = client($server);
    is $values->(), $before, 'without the old key, re-encrypted values are answered';
    $log .= $server->error_log;
    unlike $log, qr/SF0018|SF0019|SF0020/, 'the error log has no failure during the change of keys';
    unlike $log, qr/value \d+|@{[ join '|', map { (split)[1] } $old, $new ]}/i,
        'the error log has neither values nor keys';

    # The backup of before, with the keys of after.
    write_keys($new, $other);
    $server = server('key_lost');
    $api = client($server);
    my ($one) = @{ $api->get($variables)->json->{variables} };
    my $id = of_variable($one, 'SELECT id FROM serverless.variables');
    change($one, 'sealed_with = ?, sealed = decode(?, $$hex$$)', $old_id, unpack 'H*', $stolen->{$id}{sealed});
    is_error $api->get(path_of($one)), 500, 20500, 'An internal error occurred',
        'without the old key, a value encrypted with it is 500';
    like $server->error_log, qr/SF0018: Variable $one->{sid}, key "$old_id": cannot be decrypted: the key is not known$/m,
        'the error log says which key is missing';
    write_keys($new, $old);
    $server = server('key_found');
    $api = client($server);
    is_reply $api->get(path_of($one)), 200, { %$one, url => $api->base . path_of($one) },
        'with the old key again, a value encrypted with it is answered';
    ok wait_until { !keys_in_use()->{$old_id} }, 'with the old key again, the value is re-encrypted with the new key';
    $owner->do('DELETE FROM serverless.variables');
}

# What an idempotency key remembers of a value is made with a key of its own, which is derived from the
# first: the one that encrypts does nothing else.
{
    write_keys($new, $old);
    my $server = server('fingerprints');
    my $variable = client($server)->with('Idempotency-Key' => 'k')->post($variables, Key => 'K', Value => 'value')->json;
    my $derived = hmac_sha256('fingerprints of values', pack 'H*', (split ' ', $new)[1]);
    my $path = $variables =~ s{^/v1}{}r;
    is $owner->selectrow_array(q(SELECT encode(fingerprint, 'hex') FROM serverless.idempotency_keys)),
        sha256_hex(join '', map { "+$_\0" } $path, 'K', hmac_sha256_hex('value', $derived)),
        'the fingerprint of a request has an HMAC of the value, under a derived key';
    $owner->do('DELETE FROM serverless.variables');
}

# What cannot be decrypted does not keep the others from it.
{
    write_keys($old);
    my $server = server('damaged');
    my $api = client($server);
    my @made = map { $api->post($variables, Key => "KEY_$_", Value => "value $_")->json } 1 .. 130;
    change($_, 'sealed = set_byte(sealed, 12, get_byte(sealed, 12) # 1)') for @made[0 .. 119];
    write_keys($new, $old);
    $server = server('undamaged');
    ok wait_until { (keys_in_use()->{$new_id} || 0) == 10 },
        'after more than a batch of damaged values, the other values are re-encrypted';
    my $log = '';
    ok wait_until { $log .= $server->error_log; $log =~ /SF0019/ }, 'the error log has a line about the damaged values';
    like $log, qr/SF0019: 120 values keep the key "$old_id", because they cannot be decrypted.*ZE[0-9a-f]{32}\/$made[0]{sid}$/m,
        'the error log says how many values are damaged, and names one';
    is_deeply keys_in_use(), { $new_id => 10, $old_id => 120 }, 'damaged values keep their key';
    $owner->do('DELETE FROM serverless.variables');
}

# Nor does it keep httpd from ending, however much of it there is.
{
    write_keys($old);
    my $server = server('much');
    my $made = client($server)->post($variables, Key => 'KEY', Value => 'value')->json;
    $owner->do(<<'SQL');
INSERT INTO serverless.variables
SELECT v.service_id, gen_random_uuid(), v.environment_id, 'KEY_' || n, v.sealed_with, v.sealed, v.date_created, v.date_updated
  FROM serverless.variables AS v, generate_series(1, 1999) AS n
SQL
    my ($definition) = $owner->selectrow_array(q(SELECT pg_get_functiondef('serverless.sealed_text'::regproc)));
    $owner->do($_) for 'CREATE SEQUENCE public.looked_at', 'GRANT USAGE ON public.looked_at TO serverless_httpd', <<'SQL';
CREATE OR REPLACE FUNCTION serverless.sealed_text(v serverless.variables) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM nextval('public.looked_at'), pg_sleep(0.02);
    RETURN v.sealed_with || ':' || encode(v.sealed, 'hex');
END
$$
SQL
    my $looked_at = sub { $owner->selectrow_array('SELECT last_value FROM public.looked_at') };
    undef $server;
    write_keys($new, $old);
    $server = server('in_the_middle');
    ok wait_until { $looked_at->() > 20 }, 're-encryption of 2000 damaged values has begun';
    $server->restart;
    cmp_ok $looked_at->(), '<', 1000, 're-encryption stops when its child of httpd ends: all of it would take 40 s';
    $owner->do($definition);
    due();
    my $log = '';
    ok wait_until { ($log .= $server->error_log) =~ /SF0019: 1999 values keep the key "$old_id"/ },
        'the next child completes re-encryption';
    undef $server;
    $owner->do($_) for $definition, 'DROP SEQUENCE public.looked_at', 'DELETE FROM serverless.variables';
}

# Whoever sets a value meanwhile wins.
{
    write_keys($new, $old);
    my $server = server('after');
    my $variable = client($server)->post($variables, Key => 'K', Value => 'of the client')->json;
    my ($set) = of_variable($variable, 'SELECT sealed FROM serverless.variables');
    write_keys($old);
    $server = server('before');
    client($server)->post(path_of($variable), Value => 'of before');

    my $session = $database->connect('postgres');
    $session->begin_work;
    $session->do('UPDATE serverless.variables SET sealed_with = ?, sealed = decode(?, $$hex$$)', undef, $new_id, unpack 'H*', $set);
    write_keys($new, $old);
    $server = server('overtaken');
    ok wait_until { waiting() }, 're-encryption of a value waits for a transaction that sets the value';
    $session->commit;
    $session->disconnect;
    ok wait_until { !waiting() }, 're-encryption goes on after that transaction';
    is client($server)->get(path_of($variable))->json->{value}, 'of the client', 'the value that was set is kept';
    is of_variable($variable, 'SELECT encode(sealed, $$hex$$) FROM serverless.variables'), unpack('H*', $set),
        'the stored bytes of the value that was set are kept';
    $owner->do('DELETE FROM serverless.variables');
}

# Two nodes do the same, while clients write.
{
    write_keys($old);
    my $server = server('one_node');
    my $api = client($server);
    my @made = map { $api->post($variables, Key => "KEY_$_", Value => "value $_")->json } 1 .. 220;
    write_keys($new, $old);
    $owner->do(q(UPDATE serverless.maintenance SET period = '0')); # for both of them at once
    my $second = server('second_node');
    $server = server('first_node');
    my @nodes = map { client($_) } $server, $second;
    my @wrong = at_once(sub {
        my ($n) = @_;
        my $client = $nodes[$n % 2]->afresh;
        my @wrong;
        for my $variable (@made[map { $_ * 4 + $n } 0 .. 19]) {
            my $reply = $client->post(path_of($variable), Value => "new $variable->{key}");
            push @wrong, $reply->status if $reply->status != 200;
        }
        return \@wrong;
    }, 0 .. 3);
    is_deeply \@wrong, [ [], [], [], [] ], 'two nodes re-encrypt while clients set values: every update is 200';
    ok wait_until { !keys_in_use()->{$old_id} },
        'two nodes re-encrypt while clients set values: every value gets the new key';
    my $listed = $nodes[0]->get($variables, PageSize => 1000)->json->{variables};
    is_deeply { map { ($_->{key} => $_->{value}) } @$listed },
        { map { ("KEY_$_" => $_ <= 80 ? "new KEY_$_" : "value $_") } 1 .. 220 },
            'two nodes re-encrypt while clients set values: each value is the last that was set';
    unlike $_->error_log, qr/SF00(03|18|19|20)/,
        'two nodes re-encrypt while clients set values: the error log has no failure' for $server, $second;
}

$owner->disconnect;
done_testing;
