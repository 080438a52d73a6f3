# The ownership cache: each child of httpd remembers which credential may use which Service.
# A request that starts after a credential or a Service was revoked, deleted or moved is refused.
use strict;
use warnings FATAL => 'all';

use Apache::Test qw(-withtestmore);
use IO::Select ();
use Serverless::Database;
use Serverless::Parallel;
use Serverless::Server;
use Serverless::Test;
use Test::More;
use Time::HiRes qw(time);

my $base = own_database('ownership');
my $owner = $base->connect('postgres');
sub sql { return $owner->selectrow_array(shift, undef, @_) }

$owner->do($_) for <<'SQL', <<'SQL', <<'SQL', <<'SQL';
CREATE TABLE public.seen (query text)
SQL
GRANT INSERT ON public.seen TO serverless_httpd
SQL
CREATE FUNCTION public.note() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.seen VALUES (current_query());
    RETURN true;
END
$$
SQL
CREATE POLICY note ON serverless.artifacts USING (public.note()) WITH CHECK (true)
SQL

my @account = sql(q(SELECT * FROM serverless.create_account('ownership')));
my @stranger = sql(q(SELECT * FROM serverless.create_account('stranger')));
my @servers = map {
    Serverless::Server->start("ownership_$_", "ServerlessPipelining On\n"
        . Serverless::Server->database(database => $base->name) . Serverless::Server->api)
} 1, 2;
my $token = Serverless::Client->client(@account)->at($servers[0]->address);
my $service = $token->post('/v1/Services', UniqueName => 'known', FriendlyName => 'Known')->json->{sid};
my $functions = "/v1/Services/$service/Functions";
my $path = "$functions/" . $token->post($functions, FriendlyName => 'read')->json->{sid};

# Creates an API key and a client of it at each httpd, whose ownership caches then have the key.
sub known {
    my @key = sql('SELECT * FROM serverless.create_api_key(?, ?)', $account[0], 'key');
    my @clients = map { Serverless::Client->client(@key)->at($_->address) } @servers;
    for my $client (@clients) {
        $client->get($_) for ($path, $functions) x 2;
    }
    return ($key[0], @clients);
}

sub statuses { my ($where, @clients) = @_; return [map { $_->get($where)->status } @clients] }


# Cached requests use the shorter statement ----------------------------------------------------------------

SKIP: {
    skip 'the cache needs pipelining, which prefork has not', 2 if Serverless::Server->is_prefork;
    my (undef, @clients) = known();
    $owner->do('ALTER TABLE serverless.artifacts ENABLE ROW LEVEL SECURITY');
    is $clients[0]->get($path)->status, 200, 'a Function of a Service in the ownership cache is fetched';
    $owner->do('ALTER TABLE serverless.artifacts DISABLE ROW LEVEL SECURITY');
    my ($queries, $short) = sql(q(SELECT count(*), count(*) FILTER (WHERE query NOT LIKE '%service_scope%') FROM seen));
    is_deeply [$queries, $short], [1, 1],
        'a Function of a cached Service is fetched by the statement that does not check credential and Service';
}


# Invalidation ---------------------------------------------------------

for my $case (
    ['revoked', sub { sql('SELECT serverless.revoke_api_key(?)', @_) }],
    ['deleted', sub { $owner->do('DELETE FROM serverless.credentials WHERE sid = ?', undef, @_) }],
    ['given another secret', sub { $owner->do(<<'SQL', undef, @_) }],
UPDATE serverless.credentials SET secret_hash = sha256('another'), generation = generation + 1 WHERE sid = ?
SQL
) {
    my ($title, $take) = @$case;
    my ($key, @clients) = known();
    is_deeply statuses($path, @clients), [200, 200], "the key that will be $title is accepted on both nodes";
    $take->($key);
    is_deeply statuses($path, @clients), [401, 401], "a key that is $title: the next fetch is 401 on both nodes";
    is_deeply statuses($functions, @clients), [401, 401], "a key that is $title: the next list is 401 on both nodes";
    is $token->get($path)->status, 200, "a key that is $title: another credential of the account is accepted";
}

{
    my ($key, @clients) = known();
    sql('SELECT serverless.suspend_account(?)', $account[0]);
    is_deeply statuses($path, @clients, $token), [401, 401, 401],
        'a suspended account: key and token are refused on both nodes';
    sql('SELECT serverless.resume_account(?)', $account[0]);
    is_deeply statuses($path, @clients, $token), [200, 200, 200], 'a resumed account: key and token are accepted';

    my ($own, $strange) = map { substr($_, 2) } $account[0], $stranger[0];
    $owner->do('UPDATE serverless.services SET account_id = ? WHERE unique_name = ?', undef, $strange, 'known');
    is_deeply statuses($path, @clients), [404, 404],
        'a Service that another account has now: 404 for a fetch on both nodes';
    is_deeply statuses($functions, @clients), [404, 404],
        'a Service that another account has now: 404 for a list on both nodes';
    my $stranger = Serverless::Client->client(@stranger)->at($servers[1]->address);
    is $stranger->get($path)->status, 200, 'the other account has the Service';
    $owner->do('UPDATE serverless.services SET account_id = ? WHERE unique_name = ?', undef, $own, 'known');
    is_deeply statuses($path, @clients, $stranger), [200, 200, 404],
        'a Service given back: the first account has it, the other has not';
}

# A resource that does not exist is not found, though its Service is in the cache.
{
    my (undef, @clients) = known();
    my $fleeting = $token->post('/v1/Services', UniqueName => 'fleeting', FriendlyName => 'Fleeting')->json->{sid};
    my $list = "/v1/Services/$fleeting/Functions";
    my $function = $token->post($list, FriendlyName => 'one')->json->{sid};
    is_deeply [map { @{ statuses($_, @clients) } } $list, "$list/$function"], [(200) x 4],
        'a Service with one Function: list and fetch are 200 on both nodes';
    is $token->delete("$list/$function")->status, 204, 'the Function is deleted';
    is_deeply statuses("$list/$function", @clients), [404, 404], 'the deleted Function is 404 on both nodes';
    is_deeply [map { $_->get($list)->json->{functions} } @clients], [[], []],
        'the list without the deleted Function is empty on both nodes';
    is $token->delete("/v1/Services/$fleeting")->status, 204, 'the Service is deleted';
    is_deeply [map { @{ statuses($_, @clients) } } $list, "$list/$function"], [(404) x 4],
        'list and fetch in the deleted Service are 404 on both nodes';
}

# Invalidation while ten clients read.
{
    my ($key, @clients) = known();
    pipe my $begun, my $begin or die "pipe: $!\n"; # has a byte of each client after two reads
    pipe my $over, my $end or die "pipe: $!\n";    # is closed after the revocation
    my $readers = begin_at_once(sub {
        close $end;
        my $mine = $clients[$_[0] % 2]->afresh;
        my @seen;
        my $read = sub { my $time = time; push @seen, [$time, $mine->get($path)->status] };
        $read->() for 1, 2;
        syswrite $begin, '.';
        $read->() until IO::Select->new($over)->can_read(0);
        $read->() for 1, 2;
        return \@seen;
    }, 1 .. 10);
    close $begin;
    is do { local $/ = \10; <$begun> }, '.' x 10, 'ten clients read on two nodes';
    sql('SELECT serverless.revoke_api_key(?)', $key);
    my $revoked = time;
    close $end;
    my @seen = map { @$_ } $readers->();
    my @late = grep { $_->[0] > $revoked } @seen;
    cmp_ok scalar(grep { $_->[1] == 200 } @seen), '>=', 20, 'they are answered until their key is revoked';
    cmp_ok scalar(@late), '>=', 20, 'ten clients go on reading after the revocation';
    is_deeply [grep { $_->[1] != 401 } @late], [], 'every request that began after the revocation is 401';
}

done_testing;
