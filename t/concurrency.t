# Many clients at the same rows: each answer is true, and the database holds afterwards what
# the answers said.
use strict;
use warnings FATAL => 'all';

use Apache::Test qw(-withtestmore);
use Serverless::Database;
use Serverless::Parallel;
use Serverless::Test;
use Test::More;
use Time::HiRes ();

my $api = Serverless::Client->account;
my $other = Serverless::Client->account;

my $unique = 0;
sub service {
    my $name = sprintf 'concurrent-%d', ++$unique;
    return $api->post('/v1/Services', UniqueName => $name, FriendlyName => $name)->json;
}

sub functions_of { "/v1/Services/$_[0]{sid}/Functions" }

sub function {
    my ($service) = @_;
    return $api->post(functions_of($service), FriendlyName => 'original')->json;
}

# How often each status came.
sub tally {
    my %times;
    $times{ ref $_ ? $_->status : $_ }++ for @_;
    return \%times;
}

# Lets requests loose at the same moment, each from a client of its own.
sub race {
    my (@requests) = @_;
    my $start = Time::HiRes::time() + 0.1;
    return at_once(sub {
        my ($request) = @_;
        my $client = $api->afresh;
        $client->head('/v1/Services'); # have the connection
        Time::HiRes::sleep($start - Time::HiRes::time()) if Time::HiRes::time() < $start;
        return $request->($client);
    }, @requests);
}


# One Function, many updates ------------------------------------------------------

{
    my $service = service();
    my $path = functions_of($service) . '/' . function($service)->{sid};
    my @names = map { "name $_ " . 'x' x 200 } 1 .. 12;
    my @replies = race(map { my $name = $_; sub { $_[0]->post($path, FriendlyName => $name) } } @names);

    is_deeply tally(@replies), { 200 => 12 }, 'twelve updates of one Function at once: each succeeds';
    is_deeply [map { $_->json->{friendly_name} } @replies], \@names,
        'each of twelve concurrent updates is answered with the name it wrote';
    my $left = $api->get($path)->json;
    my ($last) = grep { $_->{friendly_name} eq $left->{friendly_name} } map { $_->json } @replies;
    is_deeply $left, $last, 'after twelve concurrent updates, the Function is as one of the answers';
}

{
    my $service = service();
    my $path = "/v1/Services/$service->{sid}";
    my @replies = race(
        (sub { $_[0]->post($path, FriendlyName => 'renamed') }) x 4,
        (sub { $_[0]->post($path, IncludeCredentials => 'false') }) x 4,
        (sub { $_[0]->post($path, UiEditable => 'true') }) x 4);
    is_deeply tally(@replies), { 200 => 12 },
        'twelve concurrent updates of different properties of one Service succeed';
    my $left = $api->get($path)->json;
    is_deeply $left, { %$service, friendly_name => 'renamed', include_credentials => JSON::PP::false(),
        ui_editable => JSON::PP::true(), date_updated => $left->{date_updated} }, 'none undoes another';
}


# Updates against deletion -----------------------------------------------------------

for my $round (1 .. 3) {
    my $service = service();
    my $path = functions_of($service) . '/' . function($service)->{sid};
    my ($deleted, @updated) = race(
        sub { $_[0]->delete($path) },
        (sub { $_[0]->post($path, FriendlyName => 'updated') }) x 9);

    is $deleted->status, 204, "round $round: a Function is deleted while it is updated";
    is_deeply [grep { $_ != 200 && $_ != 404 } map { $_->status } @updated], [],
        "round $round: each update is 200, or 404 after the deletion";
    my @late = grep { $_->status == 404 } @updated, $api->post($path, FriendlyName => 'too late');
    my $message = 'The requested resource ' . ($path =~ s/^\/v1//r) . ' was not found';
    is_deeply [map { $_->json->{message} } @late], [($message) x @late],
        "round $round: each 404 has the message of a resource that was not found";
    is $api->get($path)->status, 404, "round $round: the Function is not found afterwards";
}

{
    my $service = service();
    my $path = functions_of($service) . '/' . function($service)->{sid};
    my @replies = race((sub { $_[0]->delete($path) }) x 10);
    is_deeply tally(@replies), { 204 => 1, 404 => 9 }, 'ten concurrent deletions of one Function: one is 204';

    @replies = race((sub { $_[0]->delete("/v1/Services/$service->{sid}") }) x 10);
    is_deeply tally(@replies), { 204 => 1, 404 => 9 }, 'ten concurrent deletions of one Service: one is 204';
}


# Creations against deletion of their Service -------------------------------------------

for my $round (1 .. 3) {
    my $service = service();
    my ($deleted, @created) = race(
        sub { Time::HiRes::sleep(0.01 * $round); $_[0]->delete("/v1/Services/$service->{sid}") },
        (sub {
            my ($client) = @_;
            return [map { $client->post(functions_of($service), FriendlyName => $_)->status } 1 .. 10];
        }) x 9);

    my @statuses = map { @$_ } @created;
    is $deleted->status, 204, "round $round: a Service is deleted while Functions are created in it";
    is_deeply [grep { $_ != 201 && $_ != 404 } @statuses], [],
        "round $round: each create is 201, or 404 after the deletion";
    is_deeply [grep { /404 201/ } map { "@$_" } @created], [], "round $round: no create is 201 after a 404";
    is_deeply rows_of($service), [0, 0], "round $round: no row of the deleted Service is left";
    is $api->get(functions_of($service))->status, 404,
        "round $round: the Functions of the deleted Service are not found";
}

# Rows of the Service and of its Functions.
sub rows_of {
    my ($service) = @_;
    return db()->selectrow_arrayref(<<'SQL', undef, $service->{sid}, $service->{sid});
SELECT (SELECT count(*) FROM serverless.services WHERE serverless.sid('ZS', id) = ?),
       (SELECT count(*) FROM serverless.artifacts WHERE serverless.sid('ZS', service_id) = ?)
SQL
}


# One name --------------------------------------------------------------------------------

for my $round (1 .. 3) {
    my @form = (UniqueName => "taken-$round", FriendlyName => 'Taken');
    my @replies = race((sub { $_[0]->post('/v1/Services', @form) }) x 10);
    is_deeply tally(@replies), { 201 => 1, 409 => 9 },
        "round $round: ten concurrent creates of one UniqueName: one is 201";
    my ($winner) = grep { $_->status == 201 } @replies;
    my ($loser) = grep { $_->status == 409 } @replies;
    is_error $loser, 409, 20409, 'Service with this UniqueName already exists.',
        "round $round: the other creates of the UniqueName are 409";
    is_reply $api->get("/v1/Services/taken-$round"), 200, $winner->json,
        "round $round: the UniqueName finds the Service that was created";
}

{
    my $name = 'passed-on';
    my $first = $api->post('/v1/Services', UniqueName => $name, FriendlyName => 'First')->json;
    # each asks until it is another's, or its own
    my ($deleted, @created) = race(
        sub { $_[0]->delete("/v1/Services/$first->{sid}") },
        (sub {
            my ($client) = @_;
            my @got;
            do {
                push @got, $client->post('/v1/Services', UniqueName => $name, FriendlyName => 'Next')->status;
            } until ($client->get("/v1/Services/$name")->json->{sid} // $first->{sid}) ne $first->{sid};
            return \@got;
        }) x 6);
    is $deleted->status, 204, 'a Service is deleted during concurrent creates of its UniqueName';
    my $times = tally(map { @$_ } @created);
    is delete $times->{201}, 1, "one create of the deleted Service's UniqueName is 201";
    is_deeply [keys %$times], [409], "all other creates of the deleted Service's UniqueName are 409";
}

{
    my $theirs = $other->get('/v1/Services')->json->{services};
    my @replies = at_once(sub {
        my ($client) = @_;
        return $client->afresh->post('/v1/Services', UniqueName => 'shared', FriendlyName => 'S');
    }, ($api, $other) x 4);
    is_deeply tally(@replies), { 201 => 2, 409 => 6 },
        'two accounts create a Service of one UniqueName concurrently: each gets it';
    is scalar @{ $other->get('/v1/Services')->json->{services} }, @$theirs + 1,
        'each account lists its own Service of that UniqueName';
}


# What is not committed yet ------------------------------------------------------------------

# Whoever meets a change that another session has not committed waits for it, and
# answers by what became of it.
for my $case (
    ['a Function is created in a Service that is being deleted',
        'DELETE FROM serverless.services WHERE unique_name = ?',
        sub { $_[0]->post("/v1/Services/$_[1]{sid}/Functions", FriendlyName => 'new') }, 404, 201],
    ['a Function is updated whose Service is being deleted',
        'DELETE FROM serverless.services WHERE unique_name = ?',
        sub { $_[0]->post($_[2], FriendlyName => 'new') }, 404, 200],
    ['a Service is deleted that is being deleted',
        'DELETE FROM serverless.services WHERE unique_name = ?',
        sub { $_[0]->delete("/v1/Services/$_[1]{sid}") }, 404, 204],
    ['a Service is created by a name that is being given up',
        'DELETE FROM serverless.services WHERE unique_name = ?',
        sub { $_[0]->post('/v1/Services', UniqueName => $_[1]{unique_name}, FriendlyName => 'new') }, 201, 409],
    ['a Service is created by a name that is being taken',
        q(INSERT INTO serverless.services (id, account_id, unique_name, friendly_name, include_credentials,
                                           ui_editable, domain_base, date_created, date_updated)
          SELECT gen_random_uuid(), account_id, unique_name || '-2', 'theirs', true, true,
                 unique_name || '-2', now(), now()
            FROM serverless.services WHERE unique_name = ?),
        sub { $_[0]->post('/v1/Services', UniqueName => "$_[1]{unique_name}-2", FriendlyName => 'new') }, 409, 201],
) {
    my ($name, $sql, $request, $committed, $rolled_back) = @$case;
    for my $end (['commit', $committed], ['rollback', $rolled_back]) {
        my ($finish, $status) = @$end;
        my $service = service();
        my $path = functions_of($service) . '/' . function($service)->{sid};
        my $session = connect_as('postgres');
        $session->begin_work;
        $session->do($sql, undef, $service->{unique_name});
        my $reply = begin_at_once(sub { $request->($api->afresh, $service, $path) }, 1);
        ok wait_until { waiting() }, "$name: the request waits for the lock";
        $session->$finish;
        is +($reply->())[0]->status, $status, "$name, $finish: $status";
    }
}


# Everything at once ------------------------------------------------------------------------

# Ten clients send random requests about the same few rows: each answer
# is one of the API's, and afterwards the list agrees with the answers.
{
    my $service = service();
    my $functions = functions_of($service);
    my @sids = map { function($service)->{sid} } 1 .. 3;
    my @statuses = at_once(sub {
        my ($seed) = @_;
        srand $seed;
        my $client = $api->afresh;
        my @got;
        for (1 .. 30) {
            my $path = "$functions/$sids[rand @sids]";
            my $reply = (
                sub { $client->get($path) },
                sub { $client->post($path, FriendlyName => "by $seed") },
                sub { $client->get($functions, PageSize => 2) },
                sub { $client->post($functions, FriendlyName => "of $seed") },
                sub { $client->delete($path) },
                sub { $client->post("/v1/Services/$service->{sid}", FriendlyName => "by $seed") },
            )[rand 6]->();
            push @got, $reply->status;
        }
        return \@got;
    }, 1 .. 10);

    my $times = tally(map { @$_ } @statuses);
    is_deeply [grep { !/^(200|201|204|404)$/ } keys %$times], [],
        'ten clients, thirty requests each: every answer is 200, 201, 204 or 404';
    cmp_ok $times->{204}, '<=', 3, 'ten clients, thirty requests each: no Function was deleted twice';
    my $listed = $api->get($functions, PageSize => 1000)->json->{functions};
    is scalar @$listed, 3 + $times->{201} - $times->{204},
        'ten clients, thirty requests each: every Function that was created and not deleted is listed';
    is_deeply rows_of($service), [1, scalar @$listed],
        'ten clients, thirty requests each: the database has the listed Functions and no other row';
}

is db()->selectrow_array(<<'SQL'), 0, 'after this suite, no Function is without its Service';
SELECT count(*) FROM serverless.artifacts AS f
 WHERE NOT EXISTS (SELECT FROM serverless.services AS s WHERE s.id = f.service_id)
SQL
unlike error_log(), qr/SF0003(?!.* SQLSTATE 23503)/,
    'the error log has no failed statement but those whose Service was deleted';

done_testing;
