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
$owner->do(q(UPDATE serverless.upkeep SET period = '1 second'));
sub due { $owner->do(q(UPDATE serverless.upkeep SET date_begun = '-infinity')) }

# How many values there are of each key.
sub keys_in_use {
    return { map { @$_ } @{ $owner->selectall_arrayref('SELECT * FROM serverless.list_variable_keys()') } };
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
        1, 'without ServerlessVariableKeys httpd starts, and says once what is missing';
    is_deeply $api->get($variables)->json->{variables}, [], 'an empty list needs no key';
    my $reply = $api->post($variables, Key => 'K', Value => 'value');
    is_error $reply, 503, 20503, $message, 'a Variable cannot be created';
    ok $reply->header('Retry-After'), 'with Retry-After';
    is_error $api->post($variables, Key => 'K'), 400, 20001, 'Missing required parameter Value in the post body',
        'what is wrong with it is told before';
    is $owner->selectrow_array('SELECT count(*) FROM serverless.variables'), 0, 'nothing is stored';
    is $api->post($project->path . '/Functions', FriendlyName => 'f')->status, 201, 'all the rest of the API works';

    write_keys($old);
    my $with = server('with_key');
    my $variable = client($with)->post($variables, Key => 'K', Value => 'value')->json;
    my $path = path_of($variable);
    is_error $api->get($path), 503, 20503, $message, 'one that is there cannot be fetched';
    is_error $api->get($variables), 503, 20503, $message, 'nor listed';
    is_error $api->post($path, @$_), 503, 20503, $message, 'nor updated'
        for [ Value => 'other' ], [ Key => 'OTHER' ], [];
    is_reply client($with)->get($path), 200, $variable, 'it is as it was';
    is $api->delete($path)->status, 204, 'but deleted it can be';
    unlike $server->error_log, qr/SF0018|SF0017/, 'and the log has nothing to add';
}


# A new key -----------------------------------------------------------------------------------

# As docs/operations.md has it.
{
    write_keys($old);
    my $server = server('rotation');
    my $api = client($server);
    for (1 .. 250) {
        $api->post($variables, Key => "KEY_$_", Value => "value $_")->status == 201 or die "no Variable $_\n";
    }
    my $values = sub { $api->get($variables, PageSize => 1000)->body =~ s{http://[^/"]+}{}gr };
    my $before = $values->();
    like $before, qr/"value 250".*"value 1"/, 'values with the old key are read';
    my $path = path_of($api->get($variables)->json->{variables}[0]);
    my $tag = $api->get($path)->header('ETag');

    write_keys($old, $new);
    $server->restart;
    is $values->(), $before, 'and so they are when a new one is there, too';
    my $later = $api->post($variables, Key => 'LATER', Value => 'v')->json;
    is_deeply keys_in_use(), { $old_id => 251 }, 'which nothing is encrypted with: it is not the first';
    is $api->delete(path_of($later))->status, 204, 'yet';

    write_keys($new, $old);
    my $stolen = $owner->selectall_hashref('SELECT id, sealed FROM serverless.variables', 'id');
    $server->restart;
    is $values->(), $before, 'when it is the first, all of them are read';
    $later = $api->post($variables, Key => 'LATER', Value => 'v')->json;
    is of_variable($later, 'SELECT sealed_with FROM serverless.variables'), $new_id, 'and a new value has the new key';
    is $api->delete(path_of($later))->status, 204, 'at once';
    ok wait_until { !keys_in_use()->{$old_id} }, 'the others get it in the background';
    is_deeply keys_in_use(), { $new_id => 250 }, 'all of them';
    is $values->(), $before, 'they are what they were, dates included';
    is $api->get($path)->header('ETag'), $tag, 'and so are their tags';
    my $log = '';
    my $done = sub {
        $log .= $server->error_log;
        my $sum = 0;
        $sum += $_ for $log =~ /SF0014: (\d+) Variables encrypted with the first key/g;
        return $sum;
    };
    ok wait_until { $done->() >= 250 }, 'the log says so';
    is $done->(), 250, 'and how many they were';
    my $stored = $owner->selectall_hashref('SELECT id, sealed FROM serverless.variables', 'id');
    is_deeply [ grep { $stored->{$_}{sealed} eq $stolen->{$_}{sealed} } keys %$stored ], [], 'nothing of before is stored';
    my $admin = "$ENV{SOURCE}/bin/serverless-admin -d 'host=$ENV{DATABASE} dbname=@{[ $database->name ]} user=postgres'";
    is `$admin variables keys` =~ s/ +$//mgr, <<"END", 'serverless-admin says which key has how many';
     key_id       variables
----------------- ---------
$new_id       250

END

    write_keys($new);
    $server = server('rotated');
    $api = client($server);
    is $values->(), $before, 'the old key is not needed any more';
    $log .= $server->error_log;
    unlike $log, qr/SF0018|SF0019|SF0020/, 'nothing failed all the while';
    unlike $log, qr/value \d+|@{[ join '|', map { (split)[1] } $old, $new ]}/i, 'neither values nor keys were logged';

    # The backup of before, with the keys of after.
    write_keys($new, $other);
    $server = server('key_lost');
    $api = client($server);
    my ($one) = @{ $api->get($variables)->json->{variables} };
    my $id = of_variable($one, 'SELECT id FROM serverless.variables');
    change($one, 'sealed_with = ?, sealed = decode(?, $$hex$$)', $old_id, unpack 'H*', $stolen->{$id}{sealed});
    is_error $api->get(path_of($one)), 500, 20500, 'An internal error occurred', 'without the old key its values are lost';
    like $server->error_log, qr/SF0018: \S+ Variable $one->{sid}, key "$old_id": cannot be decrypted: the key is not known$/m,
        'and the log says which key is missing';
    write_keys($new, $old);
    $server = server('key_found');
    $api = client($server);
    is_reply $api->get(path_of($one)), 200, { %$one, url => $api->base . path_of($one) }, 'once it is there again, they are back';
    ok wait_until { !keys_in_use()->{$old_id} }, 'and get the new key';
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
        'a request is recognized by an HMAC of the value, under a key for that alone';
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
    ok wait_until { (keys_in_use()->{$new_id} || 0) == 10 }, 'behind more than a batch of damaged values, the others get the new key';
    my $log = '';
    ok wait_until { $log .= $server->error_log; $log =~ /SF0019/ }, 'the log has a line about those that did not';
    like $log, qr/SF0019: 120 values keep the key "$old_id", because they cannot be decrypted.*ZE[0-9a-f]{32}\/$made[0]{sid}$/m,
        'how many, and one of them';
    is_deeply keys_in_use(), { $new_id => 10, $old_id => 120 }, 'they are as they were';
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
    PERFORM nextval('public.looked_at'), pg_sleep(0.005);
    RETURN v.sealed_with || ':' || encode(v.sealed, 'hex');
END
$$
SQL
    my $looked_at = sub { $owner->selectrow_array('SELECT last_value FROM public.looked_at') };
    undef $server;
    write_keys($new, $old);
    $server = server('in_the_middle');
    ok wait_until { $looked_at->() > 100 }, 'a walk through values copied from one, and so damaged';
    $server->restart;
    cmp_ok $looked_at->(), '<', 1000, 'comes to an end with the child, far from through';
    due();
    ok wait_until { $looked_at->() > 2000 }, 'whose successor begins again';
    ok wait_until { $server->error_log =~ /SF0019: 1999 values keep the key "$old_id"/ }, 'and comes to the end';
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
    ok wait_until { waiting() }, 'a value is set, and httpd, which has read the one of before, waits for that';
    $session->commit;
    $session->disconnect;
    ok wait_until { !waiting() }, 'it goes on';
    is client($server)->get(path_of($variable))->json->{value}, 'of the client', 'and leaves what was set';
    is of_variable($variable, 'SELECT encode(sealed, $$hex$$) FROM serverless.variables'), unpack('H*', $set), 'to the bit';
    $owner->do('DELETE FROM serverless.variables');
}

# Two nodes do the same, while clients write.
{
    write_keys($old);
    my $server = server('one_node');
    my $api = client($server);
    my @made = map { $api->post($variables, Key => "KEY_$_", Value => "value $_")->json } 1 .. 220;
    write_keys($new, $old);
    $owner->do(q(UPDATE serverless.upkeep SET period = '0')); # for both of them at once
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
    is_deeply \@wrong, [ [], [], [], [] ], 'two nodes encrypt anew, and clients set values: nobody is hindered';
    ok wait_until { !keys_in_use()->{$old_id} }, 'all of them get the new key';
    my $listed = $nodes[0]->get($variables, PageSize => 1000)->json->{variables};
    is_deeply { map { ($_->{key} => $_->{value}) } @$listed },
        { map { ("KEY_$_" => $_ <= 80 ? "new KEY_$_" : "value $_") } 1 .. 220 }, 'and each is what was set last';
    unlike $_->error_log, qr/SF00(03|18|19|20)/, 'nothing failed' for $server, $second;
}

$owner->disconnect;
done_testing;
