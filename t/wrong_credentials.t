# What becomes of wrong credentials: a line in the log for each request, by which the client can be kept
# out as docs/operations/credentials.md says.
use strict;
use warnings FATAL => 'all';

use Apache::Test qw(-withtestmore);
use Digest::SHA qw(sha1_base64);
use Serverless::Server;
use Serverless::Test;
use Test::More;

my $services = '/v1/Services';
my $account = Serverless::Client->account;
my ($sid, $token) = ($account->user, $account->password);
my ($manual, $messages) = map { local (@ARGV, $/) = "$ENV{SOURCE}/docs/operations/$_"; scalar <> } qw(credentials.md messages.md);

sub basic { return (Authorization => 'Basic ' . Serverless::Client::base64("$_[0]:$_[1]")) }


# The lines ------------------------------------------------------------------------

my $line = qr/^.*SF0021: .*$/m;
my $said = qr/\[RQ[0-9a-f]{32}\] SF0021: wrong credentials from 127\.0\.0\.1: (unknown user|wrong secret|suspended account|revoked key)$/;

my $guarded = Serverless::Server->start('guarded', Serverless::Server->database . Serverless::Server->api . <<"END");
LogLevel warn
<Location "/guarded">
    AuthType Basic
    AuthName guarded
    AuthBasicProvider serverless
    Require valid-user
</Location>
<Location "/other">
    AuthType Basic
    AuthName other
    AuthBasicProvider file
    AuthUserFile /dev/null
    Require valid-user
</Location>
END
my $nobody = Serverless::Client->client->at($guarded->address);
my $somebody = $account->at($guarded->address);

for my $case (
    # what, lines, status, the request
    ['a wrong token',              1, 401, sub { $nobody->with(basic($sid, 'f' x 32))->get($services) }],
    ['the same once more',         1, 401, sub { $nobody->with(basic($sid, 'f' x 32))->get($services) }],
    ['an unknown account',         1, 401, sub { $nobody->with(basic('AC' . '0' x 32, $token))->get($services) }],
    ['a name',                     1, 401, sub { $nobody->with(basic('admin', 'admin'))->get($services) }],
    ['a NUL',                      1, 401, sub { $nobody->with(basic($sid, "$token\0x"))->get($services) }],
    ['another scheme',             1, 401, sub { $nobody->with(Authorization => "Bearer $token")->get($services) }],
    ['a path that is not there',   1, 401, sub { $nobody->with(basic($sid, 'f' x 32))->get("$services/a/b/c") }],
    ['a POST',                     1, 401, sub { $nobody->with(basic($sid, 'f' x 32))->post($services) }],
    ['what the provider guards',   1, 401, sub { $nobody->with(basic($sid, 'f' x 32))->undescribed->get('/guarded/a') }],
    ['what another one guards',    0, 401, sub { $nobody->with(basic($sid, 'f' x 32))->undescribed->get('/other/a') }],
    ['no credentials',             0, 401, sub { $nobody->get($services) }],
    ['the right token',            0, 200, sub { $somebody->get($services) }],
    ['the right token, no path',   0, 404, sub { $somebody->get("$services/none") }],
    ['the right one there',        0, 404, sub { $somebody->undescribed->get('/guarded/a') }],
) {
    my ($what, $lines, $status, $ask) = @$case;
    is $ask->()->status, $status, "$what: $status";
    wait_until { $guarded->{log} .= $guarded->error_log; $guarded->{log} =~ $line || !$lines };
    my @found = delete($guarded->{log}) =~ /$line/g;
    is scalar @found, $lines, "- $lines line" . ($lines == 1 ? '' : 's') . ' of it';
    like $_, $said, '- with the address and the reason' for @found;
    is scalar(grep { /\Q$token\E|f{32}|\Q$sid\E|admin/ } @found), 0, '- and not with what was sent';
}

# One that was right a moment ago, and that a statement refuses.
my $fresh = Serverless::Client->account->at($guarded->address);
is $fresh->get($services)->status, 200, 'a token that was right';
db()->do('SELECT serverless.suspend_account(?)', undef, $fresh->user);
$guarded->error_log;
is $fresh->get($services)->status, 401, '- and is not any more';
my $log = '';
ok wait_until { ($log .= $guarded->error_log) =~ /$line/m }, '- is one of them, too';

# The log tells the reasons apart, the client cannot.
{
    my $suspended = Serverless::Client->account;
    my $revoked = Serverless::Client->account;
    my ($key, $secret) = db()->selectrow_array(q(SELECT * FROM serverless.create_api_key(?, 'a key')), undef, $revoked->user);
    my $cached = $nobody->with(basic($key, $secret));
    is $cached->get($services)->status, 200, 'an API key';
    db()->do('SELECT serverless.suspend_account(?)', undef, $suspended->user);
    db()->do('SELECT serverless.revoke_api_key(?)', undef, $key);
    my %answers;
    for my $case (
        ['wrong secret',      $sid, 'f' x 32],
        ['unknown user',      'AC' . '0' x 32, $token],
        ['unknown user',      'admin', 'admin'],
        ['suspended account', $suspended->user, $suspended->password],
        ['suspended account', $suspended->user, 'f' x 32],
        ['revoked key',       $key, $secret],
    ) {
        my ($reason, @credential) = @$case;
        $guarded->error_log;
        my $reply = $nobody->with(basic(@credential))->get($services);
        $answers{ $reply->status . $reply->body } = 1;
        my $log = '';
        wait_until { ($log .= $guarded->error_log) =~ /SF0021/ };
        is_deeply [$log =~ /$said/m], [$reason], "the log has the reason: $reason";
        is scalar(() = $log =~ /^.*SF0021.*RQ.*$/mg), 0, '- and the id of the request once';
    }
    is scalar keys %answers, 1, 'the client gets the same answer each time';
}

# Without %L in ErrorLogFormat, the line itself has the id.
{
    my $plain = Serverless::Server->start('plain_log', "ErrorLogFormat \"[%t] %M\"\n" . Serverless::Server->database . Serverless::Server->api);
    $nobody->at($plain->address)->with(basic($sid, 'f' x 32))->get($services);
    my $log = '';
    ok wait_until { ($log .= $plain->error_log) =~ /\] SF0021: RQ[0-9a-f]{32}: wrong credentials from 127\.0\.0\.1: wrong secret$/m },
        'without %L in ErrorLogFormat, the line has the id' or diag $log;
}

# A NUL also where another of httpd's providers has let it in.
{
    my $password = Serverless::Server::logs() . '/passwords';
    open my $out, '>', $password or die "$password: $!\n";
    print $out "$sid:{SHA}" . sha1_base64('open') . "=\n";
    close $out or die "$password: $!\n";
    my $file = Serverless::Server->start('file_passwords', Serverless::Server->database
        . Serverless::Server->api($services, "AuthUserFile $password") =~ s/AuthBasicProvider serverless/AuthBasicProvider file/r);
    my $client = Serverless::Client->client->at($file->address);
    is $client->with(basic($sid, 'open'))->get($services)->status, 200, 'a password of a file';
    is $client->with(basic($sid, "open\0more"))->get($services)->status, 401, '- with a NUL and more';
}


# fail2ban's filter ------------------------------------------------------------------------

# Its expression as fail2ban makes it, after it has taken the time out of the line's brackets.
my ($failregex) = $manual =~ /^failregex = (.*)$/m;
ok $failregex, 'docs/operations/credentials.md has a filter';
my $pattern = do { (my $text = $failregex) =~ s/<ADDR>/(?<address>[0-9a-f.:]+)/; qr/$text/ };
sub banned { my ($line) = @_; $line =~ s/^\[[^\]]*\]/[]/; return $line =~ $pattern ? $+{address} : undef }

my ($documented) = $messages =~ /^ErrorLogFormat (.*)$/m;
for my $case (
    ['the documented ErrorLogFormat', $documented],
    ['httpd\'s own', '"[%{u}t] [%-m:%l] [pid %P:tid %T] %7F: %E: [client\\ %a] %M% ,\\ referer\\ %{Referer}i"'],
) {
    my ($what, $format) = @$case;
    my $own = "ErrorLogFormat $format\n";
    my $server = Serverless::Server->start('banning', $own . Serverless::Server->database . Serverless::Server->api);
    my $client = Serverless::Client->client->at($server->address);
    my $forged = 'SF0021: RQ' . '0' x 32 . ': wrong credentials from 192.0.2.66: unknown user';
    $client->with(basic($sid, 'f' x 32), Referer => "] $forged", 'User-Agent' => $forged)->get("$services?$forged" =~ tr/ /+/r);
    $client->with(basic("x] $forged", 'y'))->get($services);
    my $log = '';
    wait_until { 2 <= (() = ($log .= $server->error_log) =~ /^.*serverless_functions:warn.*SF0021/mg) };
    is_deeply [grep { defined } map { banned($_) } split /\n/, $log], ['127.0.0.1', '127.0.0.1'],
        "$what: the filter finds the address of each, and none that a client made up";
}


# httpd's own means --------------------------------------------------------------------------

{
    my ($rules) = $manual =~ /^(RewriteEngine On\nRewriteMap .*?)^```/ms;
    my $list = Serverless::Server::logs() . '/blocked';
    my $write = sub { open my $out, '>', $list or die "$list: $!\n"; print $out @_; close $out or die "$list: $!\n" };
    $write->("192.0.2.66 yes\n");
    $rules =~ s{/etc/apache2/serverless_blocked}{$list} or die "docs/operations/credentials.md has no list\n";
    my $server = Serverless::Server->start('blocking', $rules . Serverless::Server->database . Serverless::Server->api);
    my $client = $account->at($server->address);
    is $client->get($services)->status, 200, 'who is not on the list is let in';
    $write->("192.0.2.66 yes\n127.0.0.1 yes\n");
    utime time + 10, time + 10, $list;
    is $client->get($services)->status, 403, 'who is on it, is not';
    is $client->with(basic($sid, 'f' x 32))->get($services)->status, 403, 'whatever the credentials are';
}

{
    my ($require) = $manual =~ m{^(<RequireAll>.*?</RequireAll>)}ms;
    my $api = sub { Serverless::Server->database . Serverless::Server->api =~ s{Require +valid-user}{$_[0]}r };
    my $server = Serverless::Server->start('known_networks', $api->($require));
    is $account->at($server->address)->get($services)->status, 403, 'who is from another network is kept out';
    my $other = Serverless::Server->start('own_network', $api->($require =~ s{192\.0\.2\.0/24}{127.0.0.0/8}r));
    is $account->at($other->address)->get($services)->status, 200, 'who is from this one is let in';
}

done_testing;
