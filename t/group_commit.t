# Group commit: short writes of several requests share one transaction. Each request has its
# own answer, each acknowledged write is stored, and a refused one leaves no trace.
use strict;
use warnings FATAL => 'all';

use Apache::Test qw(-withtestmore);
use IO::Socket::INET ();
use Serverless::Database;
use Serverless::Parallel;
use Serverless::Server;
use Serverless::Test;
use Test::More;

plan skip_all => 'a child of prefork has one request at a time, and commits it alone' if Serverless::Server->is_prefork;

# What there is to work with -----------------------------------------------------

# A database in which a Function's FriendlyName decides how its INSERT behaves.
my $base = own_database('group_commit');
my $owner = $base->connect('postgres');

sub sql {
    $owner = $base->connect('postgres') if !$owner->ping;
    return $owner->selectrow_array(shift, undef, @_);
}

$owner->do($_) for <<'SQL', <<'SQL', <<'SQL';
CREATE FUNCTION public.behave() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.friendly_name LIKE 'sleep%' THEN
        PERFORM pg_sleep(0.03);
    ELSIF NEW.friendly_name LIKE 'fail%' OR (TG_WHEN = 'AFTER' AND NEW.friendly_name LIKE 'late%') THEN
        RAISE EXCEPTION 'as it was told';
    ELSIF NEW.friendly_name LIKE 'die%' THEN
        PERFORM pg_terminate_backend(pg_backend_pid());
    END IF;
    RETURN NEW;
END
$$
SQL
CREATE TRIGGER behave BEFORE INSERT ON serverless.artifacts FOR EACH ROW EXECUTE FUNCTION public.behave()
SQL
CREATE CONSTRAINT TRIGGER behave_late AFTER INSERT ON serverless.artifacts DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (NEW.friendly_name LIKE 'late%') EXECUTE FUNCTION public.behave()
SQL

my $api = Serverless::Client->client(sql(q(SELECT * FROM serverless.create_account('group commit'))));
my $server = Serverless::Server->start('group_commit', "ServerlessPipelining On\n"
    . Serverless::Server->database(database => $base->name, statement_timeout => 300_000) . Serverless::Server->api);
my $client = $api->at($server->address);
my ($service, $other) = map {
    $client->post('/v1/Services', UniqueName => $_, FriendlyName => $_)->json->{sid}
} qw(first second);

sub functions { return "/v1/Services/" . ($_[0] // $service) . '/Functions' }
sub create { my ($name, $in) = @_; return ['POST', functions($in), "FriendlyName=$name"] }

my $number = 0;
sub named { my ($what) = @_; return $what . '-' . ++$number }

# Sends all requests at the same time, after a create of 30 ms: the requests that arrive
# during that create are committed as one batch. Returns the replies to all but that create.
sub in_a_batch {
    my @requests = (create(named('sleep')), @_);
    my @sockets = map {
        my ($method, $path, $form, @headers) = @$_;
        my $socket = IO::Socket::INET->new(PeerAddr => $server->address) or die "$@\n";
        [$socket, join "\r\n", "$method $path HTTP/1.0", 'Host: ' . $server->address, $api->authorization, @headers,
            'Content-Type: application/x-www-form-urlencoded', 'Content-Length: ' . length $form, '', $form]
    } @requests;
    syswrite $_->[0], $_->[1] for @sockets;
    local $SIG{ALRM} = sub { die "a request is not answered\n" };
    alarm 120;
    my @replies = map {
        my $answer = '';
        1 while sysread $_->[0], $answer, 65536, length $answer;
        Serverless::Reply->parse($answer);
    } @sockets;
    alarm 0;
    shift @replies;
    return @replies;
}

# How many Functions have this name, and how many transactions made those that begin so.
sub rows { return sql('SELECT count(*) FROM serverless.artifacts WHERE friendly_name = ?', @_) }
sub commits {
    return sql('SELECT count(DISTINCT xmin::text) FROM serverless.artifacts WHERE friendly_name = ANY (?)', [@_]);
}


# Batches -----------------------------------------------------------------------------

{
    my (@names, @replies);
    ok wait_until { # a busy machine may need another try
        @names = map { named('plain') } 1 .. 24;
        @replies = in_a_batch(map { create($_) } @names);
        commits(@names) <= 8;
    }, 'two dozen concurrent creates are committed in few transactions';
    is_deeply [map { $_->status } @replies], [(201) x 24], 'each create of a batch is answered 201';
    is_deeply [map { $_->json->{friendly_name} } @replies], \@names,
        'each create of a batch is answered with its own Function';
    is_deeply [map { rows($_) } @names], [(1) x 24], 'each create of a batch has stored one row';
}

# An error in a batch: the transaction is rolled back, and the other writes are done in the next one.
for my $case (
    [fail => 'a create whose statement fails'],
    [late => 'a create that fails at commit'],
) {
    my ($bad, $title) = @$case;
    for my $round (1 .. 6) {
        my @names = map { named(rand() < 0.2 ? $bad : 'good') } 1 .. 23;
        splice @names, rand(@names), 0, named($bad);
        my @replies = in_a_batch(map { create($_) } @names);
        is_deeply [map { $_->status } @replies], [map { /^good/ ? 201 : 500 } @names],
            "$title: it is answered 500, and no other create of the batch is";
        is_deeply [map { rows($_) } @names], [map { /^good/ ? 1 : 0 } @names],
            "$title: each 201 of the batch has stored one row, each 500 none";
    }
}

# Updates and deletions share a batch with creates.
{
    my @made = map { $client->post(functions(), FriendlyName => named('made'))->json->{sid} } 1 .. 20;
    my @renamed = map { named('renamed') } 1 .. 10;
    my @replies = in_a_batch(
        (map { ['POST', functions() . "/$made[$_]", "FriendlyName=$renamed[$_]"] } 0 .. 9),
        (map { ['DELETE', functions() . "/$made[$_]", ''] } 10 .. 19),
        ['DELETE', functions() . '/ZH' . '0' x 32, ''],
        ['POST', functions() . '/ZH' . '0' x 32, 'FriendlyName=nobody'],
        ['POST', functions('ZS' . '0' x 32), 'FriendlyName=nowhere']);
    is_deeply [map { $_->status } @replies], [(200) x 10, (204) x 10, (404) x 3],
        'a batch of updates and deletions: each has its own status';
    is_deeply [map { rows($_) } @renamed], [(1) x 10], 'each update of a batch is stored';
    is_deeply [map { $client->get(functions() . "/$_")->status } @made], [(200) x 10, (404) x 10],
        'each deletion of a batch is stored';
}

# A revision is changed once.
for my $round (1 .. 5) {
    my $path = functions() . '/' . $client->post(functions(), FriendlyName => named('revised'))->json->{sid};
    my $tag = $client->get($path)->header('ETag');
    my @replies = in_a_batch(map { ['POST', $path, 'FriendlyName=' . named('revision'), "If-Match: $tag"] } 1 .. 6);
    is_deeply [sort map { $_->status } @replies], [200, (412) x 5],
        'of six concurrent updates with If-Match of one revision, one succeeds';
}


# Locks --------------------------------------------------------------------------------

# A write that waits for a lock does not delay the others.
{
    my $holder = $base->connect('postgres');
    $holder->begin_work;
    $holder->do('SELECT FROM serverless.services WHERE unique_name = ? FOR UPDATE', undef, 'second');
    my @locked = map { named('locked') } 1 .. 2;
    my $waiting = begin_at_once(sub { $client->afresh->post(functions($other), FriendlyName => $_[0])->status }, @locked);
    ok wait_until { waiting() }, 'creates in a locked Service wait';
    my @names = map { named('free') } 1 .. 12;
    my @replies = in_a_batch(map { create($_) } @names);
    is_deeply [map { $_->status } @replies], [(201) x 12],
        'while a Service is locked, creates in another Service succeed';
    is_deeply [map { rows($_) } @names, @locked], [(1) x 12, 0, 0],
        'creates in the locked Service are not stored yet, the others are';
    $holder->rollback;
    is_deeply [$waiting->()], [201, 201], 'creates in the locked Service succeed after the lock is released';
    is_deeply [map { rows($_) } @locked], [1, 1], 'creates in the locked Service are stored once';
}


# The connection is lost ---------------------------------------------------------------

for my $round (1 .. 5) {
    my @names = map { named('alive') } 1 .. 16;
    splice @names, 5, 0, named('die');
    my %status = map { $_ => 1 } 201, 503;
    my @replies = in_a_batch(map { create($_) } @names);
    is_deeply [grep { !$status{ $_->status } } @replies], [],
        "round $round: the session ends within a batch: each create is 201 or 503";
    is $replies[5]->status, 503, "round $round: the create that ends the session is 503";
    is_deeply [grep { rows($names[$_]) != 1 } grep { $replies[$_]->status == 201 } 0 .. $#names], [],
        "round $round: each acknowledged create has stored one row";
    is_deeply [grep { rows($_) > 1 } @names], [], "round $round: no create has stored two rows";
    is_deeply [map { $_->status } in_a_batch(map { create(named('after')) } 1 .. 8)], [(201) x 8],
        "round $round: creates after the lost session succeed";
}

kill_backends(backends());
is $client->post(functions(), FriendlyName => named('anew'))->status, 201,
    'a create after every session was killed succeeds';

done_testing;
