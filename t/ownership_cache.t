# The ownership cache: each child of httpd remembers which credential may use which Service.
# A request that starts after a credential or a Service was revoked, deleted or moved is refused.
use strict;
use warnings FATAL => 'all';

use Apache::Test qw(-withtestmore);
use Serverless::Database;
use Serverless::Parallel;
use Serverless::Server;
use Serverless::Test;
use Test::More;
use Time::HiRes qw(time);

my $base = own_database('standing');
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

my @account = sql(q(SELECT * FROM serverless.create_account('standing')));
my @stranger = sql(q(SELECT * FROM serverless.create_account('stranger')));
my @servers = map {
    Serverless::Server->start("standing_$_", "ServerlessPipelining On\n"
        . Serverless::Server->database(database => $base->name) . Serverless::Server->api)
} 1, 2;
my $token = Serverless::Client->client(@account)->at($servers[0]->address);
my $service = $token->post('/v1/Services', UniqueName => 'known', FriendlyName => 'Known')->json->{sid};
my $functions = "/v1/Services/$service/Functions";
my $path = "$functions/" . $token->post($functions, FriendlyName => 'read')->json->{sid};

# Clients of both httpds with a key of its own, who are known by then.
sub known {
    my @key = sql('SELECT * FROM serverless.create_api_key(?, ?)', $account[0], 'key');
    my @clients = map { Serverless::Client->client(@key)->at($_->address) } @servers;
    for my $client (@clients) {
        $client->get($_) for ($path, $functions) x 2;
    }
    return ($key[0], @clients);
}

sub statuses { my ($where, @clients) = @_; return [map { $_->get($where)->status } @clients] }


# The short way is taken ----------------------------------------------------------------

{
    my (undef, @clients) = known();
    $owner->do('ALTER TABLE serverless.artifacts ENABLE ROW LEVEL SECURITY');
    is $clients[0]->get($path)->status, 200, 'a Function of a Service that is known';
    $owner->do('ALTER TABLE serverless.artifacts DISABLE ROW LEVEL SECURITY');
    my ($queries, $short) = sql(q(SELECT count(*), count(*) FILTER (WHERE query NOT LIKE '%service_scope%') FROM seen));
    is_deeply [$queries, $short], [1, 1], 'is read without a look at credential and Service';
}


# Until something is taken away ---------------------------------------------------------

for my $case (
    ['revoked', sub { sql('SELECT serverless.revoke_api_key(?)', @_) }],
    ['deleted', sub { $owner->do('DELETE FROM serverless.credentials WHERE sid = ?', undef, @_) }],
    ['given another secret', sub { $owner->do(<<'SQL', undef, @_) }],
UPDATE serverless.credentials SET secret_hash = sha256('another'), generation = generation + 1 WHERE sid = ?
SQL
) {
    my ($title, $take) = @$case;
    my ($key, @clients) = known();
    is_deeply statuses($path, @clients), [200, 200], 'a key is good';
    $take->($key);
    is_deeply statuses($path, @clients), [401, 401], "and is $title: the next request has 401, on both nodes";
    is_deeply statuses($functions, @clients), [401, 401], 'a list, too';
    is $token->get($path)->status, 200, 'others go on';
}

{
    my ($key, @clients) = known();
    sql('SELECT serverless.suspend_account(?)', $account[0]);
    is_deeply statuses($path, @clients, $token), [401, 401, 401], 'the account is suspended';
    sql('SELECT serverless.resume_account(?)', $account[0]);
    is_deeply statuses($path, @clients, $token), [200, 200, 200], 'and goes on';

    my ($own, $strange) = map { substr($_, 2) } $account[0], $stranger[0];
    $owner->do('UPDATE serverless.services SET account_id = ? WHERE unique_name = ?', undef, $strange, 'known');
    is_deeply statuses($path, @clients), [404, 404], 'the Service is given to another account';
    is_deeply statuses($functions, @clients), [404, 404], 'with all that is in it';
    my $stranger = Serverless::Client->client(@stranger)->at($servers[1]->address);
    is $stranger->get($path)->status, 200, 'which has it now';
    $owner->do('UPDATE serverless.services SET account_id = ? WHERE unique_name = ?', undef, $own, 'known');
    is_deeply statuses($path, @clients, $stranger), [200, 200, 404], 'and gives it back';
}

# What is not there is not found, however well its Service is known.
{
    my (undef, @clients) = known();
    my $fleeting = $token->post('/v1/Services', UniqueName => 'fleeting', FriendlyName => 'Fleeting')->json->{sid};
    my $list = "/v1/Services/$fleeting/Functions";
    my $function = $token->post($list, FriendlyName => 'one')->json->{sid};
    is_deeply [map { @{ statuses($_, @clients) } } $list, "$list/$function"], [(200) x 4], 'a Service with one Function';
    is $token->delete("$list/$function")->status, 204, 'that is deleted';
    is_deeply statuses("$list/$function", @clients), [404, 404], 'it is not found any more';
    is_deeply [map { $_->get($list)->json->{functions} } @clients], [[], []], 'and the list is empty';
    is $token->delete("/v1/Services/$fleeting")->status, 204, 'the Service goes, too';
    is_deeply [map { @{ statuses($_, @clients) } } $list, "$list/$function"], [(404) x 4], 'then there is no list either';
}

# With many readers at the same time.
{
    my ($key, @clients) = known();
    my $readers = begin_at_once(sub {
        my $mine = $clients[$_[0] % 2]->afresh;
        my $end = time + 2;
        my @seen;
        while (time < $end) {
            my $begun = time;
            push @seen, [$begun, $mine->get($path)->status];
        }
        return \@seen;
    }, 1 .. 10);
    select undef, undef, undef, 0.8;
    sql('SELECT serverless.revoke_api_key(?)', $key);
    my $revoked = time;
    my @seen = map { @$_ } $readers->();
    my @late = grep { $_->[0] > $revoked } @seen;
    cmp_ok scalar(grep { $_->[1] == 200 } @seen), '>', 10, 'ten clients read on two nodes, while their key is revoked';
    cmp_ok scalar(@late), '>', 10, 'before and after';
    is_deeply [grep { $_->[1] != 401 } @late], [], 'no request that began after that is answered';
}

done_testing;
