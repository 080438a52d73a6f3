# The logs of calls: what Functions print is found in the Logs resource, once and in order; within two seconds on an idle
# machine, which is a figure of speed and no assertion; whatever happens to the database, to a child of httpd, or to httpd meanwhile.
#
# The httpds here have a database of their own, which other suites do not stop or fill.
use strict;
use warnings FATAL => 'all';

use Apache::Test qw(-withtestmore);
use JSON::PP ();
use Serverless::Database;
use Serverless::Parallel;
use Serverless::Project;
use Serverless::Runner;
use Serverless::Server;
use Serverless::Test;
use Test::More;
use Time::HiRes qw(sleep time);

# Whatever happens here, the suites after this one need the database.
END { local $?; database('start') }

my $TAIL = 'functions.example.com';
my $LIMIT = 16384; # ServerlessCallLog

my $database = own_database('call_logs');
my ($account, $token) = $database->connect('postgres')->selectrow_array(q(SELECT * FROM serverless.create_account('logs')));
my $runner = Serverless::Runner->start('call_logs');
my $folder = Serverless::Server->logs;
my $line_file = "$folder/call_logs_lines";
my $prefork = Serverless::Server->is_prefork;
my $workers = Serverless::Server->workers(2, 8, prefork => 4, restarts => 1);

sub server {
    my ($name, $lines) = @_;
    return Serverless::Server->start($name, $workers . Serverless::Server->database(database => $database->name)
        . $runner->directive . "ServerlessDomain $TAIL\nServerlessExecution On\n" . ($lines // '') . Serverless::Server->api);
}

my $server = server('call_logs', <<"END");
ServerlessLogTo "$line_file"
ServerlessExecutionTimeout 60s
<Location "/never">
    ServerlessExecutionTimeout 2s
</Location>
END
my $spool = "$folder/call_logs.pid.serverless-logs";
my $api = Serverless::Client->client($account, $token)->at($server->address);
my $project = Serverless::Project->new($api);

sub handler { "exports.handler = (context, event, done) => { $_[0] };\n" }

my $environment = $project->new_environment;
my %function = map { $_->[0] => $project->new_deployable(function => $_->[0], handler($_->[1])) } (
    [quiet  => q(done(null, 'quiet'))],
    [levels => q(console.log('one', { two: [3] }); console.info('info'); console.debug('debug'); console.warn('warn');
        console.error('error'); console.log('a\nb'); done(null, 'x'))],
    [count  => q(for (let i = 0; i < Number(event.n); i++) console.log((event.name || '') + i); done(null, 'x'))],
    [bytes  => q(console.log('nul \0, lone \ud800, emoji \u{1f600}'); console.log('x'.repeat(12000)); done(null, 'x'))],
    [throws => q(throw new TypeError('bad'))],
    [fails  => q(done(new Error('declined')))],
    [never  => q(console.log('waiting'))],
    [exits  => q(console.log('leaving'); process.exit(3))],
    [late   => q(done(null, 'answered'); console.log('after the answer'))],
);
my $build = $project->completed(values %function);
my $deployment = $project->deploy($environment, $build);
my $host = $environment->{domain_name} =~ s/twil\.io$/$TAIL/r;

# Calls a Function. Returns the status and the request's id.
sub call {
    my ($path, $query) = @_;
    my $reply = Serverless::Client->client->at($server->address)->undescribed
        ->raw_request("GET /$path" . ($query ? "?$query" : '') . ' HTTP/1.1', host => $host);
    return ($reply->status, $reply->header('Twilio-Request-Id'));
}

# The entries of a call, the first one first.
sub entries {
    my ($request) = @_;
    my @entries;
    my $url = $environment->{links}{logs} . '?PageSize=1000';
    $url =~ s{^https?://[^/]+}{};
    while ($url) {
        my $page = $api->get($url)->json;
        push @entries, grep { !$request || $_->{request_sid} eq $request } @{ $page->{logs} };
        $url = $page->{meta}{next_page_url} && $page->{meta}{next_page_url} =~ s{^https?://[^/]+}{}r;
    }
    @entries = reverse @entries;
    return @entries;
}

# Waits until a call has so many entries. Returns them as "LEVEL message".
sub entries_of {
    my ($request, $count) = @_;
    my @entries;
    wait_until { (@entries = entries($request)) >= $count };
    return map { "$_->{level} $_->{message}" } @entries;
}


# What is found ----------------------------------------------------------------------------------

{
    my ($status, $request) = call('levels');
    my $begin = time;
    is $status, 200, 'a Function that prints';
    wait_until { entries($request) >= 6 };
    note sprintf 'its entries are found after %.1f s', time - $begin;
    my @entries = entries($request);
    is_deeply [ map { "$_->{level} $_->{message}" } @entries ],
        ['INFO one { two: [ 3 ] }', 'INFO info', 'INFO debug', 'WARNING warn', 'ERROR error', "INFO a\nb"],
        'levels and texts, in their order';
    is_reply $api->get($entries[0]{url} =~ s{^https?://[^/]+}{}r), 200, {
        sid             => sid('NO'),
        account_sid     => $account,
        service_sid     => $project->sid,
        environment_sid => $environment->{sid},
        build_sid       => $build->{sid},
        deployment_sid  => $deployment->{sid},
        function_sid    => $function{levels}{sid},
        request_sid     => $request,
        level           => 'INFO',
        message         => 'one { two: [ 3 ] }',
        date_created    => date,
        url             => $entries[0]{url},
    }, 'the entry has the ids of the call';
    my $age = $database->connect('postgres')->selectrow_array(
        q(SELECT extract(epoch FROM clock_timestamp() - date_created) FROM serverless.logs WHERE serverless.sid('NO', id) = ?),
        undef, $entries[0]{sid});
    cmp_ok $age, '>', 0, 'the entry has the time of the call';
    cmp_ok $age, '<', 3600, 'the entry has the time of the call, not an older one';
}

is((call('quiet'))[0], 200, 'a Function that prints nothing');

{
    my (undef, $request) = call('bytes');
    is_deeply [entries_of($request, 2)], ["INFO nul \x{fffd}, lone \x{fffd}, emoji \x{1f600}", 'INFO ' . 'x' x 10000],
        'NUL and lone surrogates are replaced, and a long message is cut';
}

{
    my ($status, $request) = call('throws');
    my @entries = entries_of($request, 1);
    is $status, 500, 'a Function that throws';
    is scalar @entries, 1, 'a Function that throws has one entry';
    like $entries[0], qr/^ERROR TypeError: bad\n/, 'the entry has level ERROR and the stack';
    ($status, $request) = call('fails');
    like((entries_of($request, 1))[0], qr/^ERROR Error: declined\n/, 'callback with an error: level ERROR and the stack');
    ($status, $request) = call('never');
    is_deeply [$status, entries_of($request, 2)], [504, 'INFO waiting', 'ERROR runtime application timed out'],
        'a Function that never answers: its output, and why it ended';
    ($status, $request) = call('exits');
    my ($first, $second) = entries_of($request, 2);
    is $first, 'INFO leaving', 'a Function that exits: its output';
    like $second, qr/^ERROR The isolate has ended: /, 'a Function that exits: an entry says that it ended';
    ($status, $request) = call('late');
    is_deeply [entries_of($request, 1)], ['INFO after the answer'], 'output after the answer is found';
}

{
    my (undef, $request) = call('count', 'n=5000');
    my @entries;
    wait_until { @entries = entries_of($request, 2); $entries[-1] eq 'INFO 4999' };
    my $dropped = $entries[0] =~ /^WARNING (\d+) earlier entries were dropped$/ ? $1 : -1;
    is_deeply [@entries[1 .. $#entries]], [ map { "INFO $_" } $dropped .. 4999 ],
        'a call that prints much: its last entries, in order, after one that counts the ones before';
    my $bytes = 0;
    $bytes += length for @entries;
    cmp_ok $bytes, '<=', $LIMIT, 'a call that prints much: within ServerlessCallLog';
    cmp_ok scalar @entries, '>', 300, 'a call that prints much: not much less than ServerlessCallLog';
}

{
    my @requests = at_once(sub { (call('count', "n=20&name=client$_[0]-"))[1] }, 1 .. 16);
    for my $number (1 .. 16) {
        is_deeply [entries_of($requests[$number - 1], 20)], [ map { "INFO client$number-$_" } 0 .. 19 ],
            "16 calls at a time: all entries of call $number, in order";
    }
}

{
    open my $in, '<', $line_file or die "$line_file: $!\n";
    my @lines = map { JSON::PP::decode_json($_) } <$in>;
    my ($line) = grep { $_->{message} eq 'one { two: [ 3 ] }' } @lines;
    is_deeply [@$line{qw(level service_sid environment_sid build_sid deployment_sid function_sid)}],
        ['INFO', $project->sid, $environment->{sid}, $build->{sid}, $deployment->{sid}, $function{levels}{sid}],
        'ServerlessLogTo: a line of JSON for each entry';
    is scalar(grep { $_->{message} =~ /^client\d+-\d+$/ } @lines), 16 * 20, 'ServerlessLogTo: each entry of 16 calls at a time';
    is_deeply [ sort map { $_->{sid} } grep { $_->{message} =~ /^client/ } @lines ],
        [ sort map { $_->{sid} } grep { $_->{message} =~ /^client/ } entries() ], 'ServerlessLogTo: the SIDs are those of the Logs';
}

# The records in the spool.
sub spooled { return scalar grep { /\{/ } map { open my $in, '<', $_ or die "$_: $!\n"; <$in> } spool_files() }

sub spool_files { return grep { -s } glob "$spool/*" }

ok wait_until { !spool_files() }, 'nothing stays in the spool';
is sprintf('%o', (stat $spool)[2] & 07777), '700', 'the spool is for httpd\'s user alone';


# The database is away ----------------------------------------------------------------------------

# The process id of the background child.
sub background_child {
    $server->{suites_log} .= $server->error_log;
    my @children = $server->{suites_log} =~ /\[pid (\d+)[^\n]* SF0096: /g;
    return $children[-1];
}

sub numbers { my ($name) = @_; return [ map { $_->{message} =~ /^\Q$name\E(\d+)$/ ? $1 : () } entries() ] }

{
    call('count', 'n=1&name=before-'); # the route and the Build are known
    wait_until { @{ numbers('before-') } } or die "no entry\n";
    database('stop');
    # a child that does not know the Build answers 503, and has called no Function
    my @calls = grep { my $number = $_; wait_until { (call('count', "n=10&name=away-$number-"))[0] == 200 } } 1 .. 20;
    is_deeply \@calls, [1 .. 20], 'PostgreSQL is stopped: Functions run on';
    ok wait_until { spooled() >= 200 }, 'PostgreSQL is stopped: the entries are in the spool';
    is sprintf('%o', (stat +(spool_files())[0])[2] & 07777), '600', 'PostgreSQL is stopped: the spool is not readable for others';

    my $child = background_child();
    kill KILL => $child or die "$child: $!\n";
    wait_until { background_child() != $child } or die "no other background child\n";
    ok wait_until { (call('count', 'n=1&name=killed-'))[0] == 200 }, 'PostgreSQL is stopped, and a child was killed: a Function runs';

    $server->restart;
    database('start');
    wait_until { @{ numbers('killed-') } };
    is_deeply [ map { numbers("away-$_-") } 1 .. 20 ], [ map { [0 .. 9] } 1 .. 20 ],
        'PostgreSQL is back, after a child was killed and httpd restarted: each entry is there, once and in order';
    ok wait_until { !spool_files() }, 'PostgreSQL is back: the spool is empty';
}


# httpd ends -----------------------------------------------------------------------------------

{
    call('quiet'); # the route and the Build are known to this generation of children
    database('stop');
    ok wait_until { (call('count', 'n=5&name=stopped-'))[0] == 200 }, 'PostgreSQL is stopped: a Function runs';
    ok wait_until { spool_files() }, 'PostgreSQL is stopped: the entries are in the spool';
    $server->stop;
    # half a record, as a loss of power leaves it; one that the database refuses; then a whole one
    my ($file) = spool_files();
    open my $out, '>>', $file or die "$file: $!\n";
    print $out qq(\n0123456789abcdef {"sid":"NO);
    close $out or die "$file: $!\n";
    database('start');
    $server = server('call_logs');
    $api = $api->at($server->address);
    $project = $project->by($api);
    wait_until { @{ numbers('stopped-') } >= 5 };
    is_deeply numbers('stopped-'), [0 .. 4], 'httpd is started again: it goes on with the spool';
    my $log = '';
    ok wait_until { ($log .= $server->error_log) =~ /SF0093: 1 records/ }, 'half a record is passed over, and logged';
    my (undef, $request) = call('count', 'n=1&name=again-');
    is_deeply [entries_of($request, 1)], ['INFO again-0'], 'calls after half a record are logged';
}


# An Environment is deleted ------------------------------------------------------------------------

{
    my $holder = $database->connect('postgres');
    $holder->begin_work;
    $holder->do('LOCK TABLE serverless.logs IN ACCESS EXCLUSIVE MODE');
    call('count', 'n=3&name=deleted-');
    ok wait_until { spool_files() }, 'entries wait in the spool';
    $holder->do(q(DELETE FROM serverless.environments WHERE serverless.sid('ZE', id) = ?), undef, $environment->{sid});
    $holder->commit;
    $holder->disconnect;
    ok wait_until { !spool_files() }, 'their Environment is deleted: they are erased';
    my $owner = $database->connect('postgres');
    is $owner->selectrow_array('SELECT count(*) FROM serverless.logs'), 0, 'none of them is in the database';
    $owner->disconnect;
}

done_testing;
