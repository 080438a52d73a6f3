# What can be told wrong before httpd starts is told by "apachectl configtest",
# in words that say what to do; and what each directive's value is in force for.
use strict;
use warnings FATAL => 'all';

use Apache::Test qw(-withtestmore);
use Serverless::Database;
use Serverless::Server;
use Serverless::Test;
use Test::More;

my $server = 'Serverless::Server';
my $database = $server->database;
my $api = $server->api;

# The message is all that configtest says, to the last character.
sub refused {
    my ($lines, $message, $name, %option) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my ($status, $said) = $server->configtest($lines, %option);
    is_deeply [$said, $status], [$message, 1], $name;
}

sub accepted {
    my ($lines, $name, %option) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my ($status, $said) = $server->configtest($lines, %option);
    is_deeply [$said, $status], ['Syntax OK', 0], $name;
}

# A configuration with the API in it, and this line at the place where the
# directive belongs: the server's, or the <Location>'s.
sub with_line {
    my ($where, $line) = @_;
    return $where eq 'server' ? "$database$line\n$api" : $database . $server->api(undef, $line);
}


# Values ------------------------------------------------------------------------

my $url = 'ServerlessBaseURL takes a URL such as https://serverless.example.com, '
    . 'without a slash at its end';
my $bytes = 'ServerlessFormLimit takes a number of bytes from 1 to 1073741824';
my $time = 'takes a time from 1ms to 24h, such as 2s or 500ms';
my $count = 'ServerlessDBConnections takes a number from 1 to 1000';

for my $case (
    ['Location', 'ServerlessFunctions', 'ServerlessFunctions must be On or Off',
        '', '""', 'Yes', '1', '"On Off"'],

    ['Location', 'ServerlessBaseURL', $url,
        'serverless.example.com', '//serverless.example.com', '/v1', 'https://', 'https:///v1',
        'ftp://serverless.example.com', 'https://serverless.example.com/',
        'https://serverless.example.com/twilio/', 'https://serverless.example.com?a=b',
        'https://serverless.example.com#a', 'https://user@serverless.example.com',
        'https://user:secret@serverless.example.com', 'https://serverless.example.com:port'],
    ['Location', 'ServerlessBaseURL',
        'ServerlessBaseURL takes one argument, '
            . 'scheme and host of the URLs in answers; by default those of the request',
        '', '""', 'https://a.example.com https://b.example.com'],

    ['Location', 'ServerlessFormLimit', $bytes,
        '0', '-1', 'many', '1k', '1.5', '0x10', '1073741825', '99999999999999999999'],
    ['Location', 'ServerlessFormLimit',
        'ServerlessFormLimit takes one argument, the most bytes a form may have', '', '""', '1 2'],

    ['Location', 'ServerlessDeleteTimeout', "ServerlessDeleteTimeout $time",
        '0', '0ms', '-1s', 'long', '5parsecs', '25h', '86401', '9999999999999h'],
    ['Location', 'ServerlessDeleteTimeout',
        'ServerlessDeleteTimeout takes one argument, how long deleting a Service may take',
        '', '""', '5 s'],

    ['server', 'ServerlessDBConnections', $count,
        '0', '-1', 'all', '4x', '2.5', '1001', '99999999999999999999'],
    ['server', 'ServerlessDBConnections',
        'ServerlessDBConnections takes one argument, '
            . "how many of mod_dbd's connections a child uses at once", '', '""', '1 2'],

    ['server', 'ServerlessDBTimeout', "ServerlessDBTimeout $time",
        '0', '-1s', 'soon', '999us', '2parsecs', '86400001ms'],
    ['server', 'ServerlessDBTimeout',
        'ServerlessDBTimeout takes one argument, how long a request waits for a connection',
        '', '""', '2 s'],
) {
    my ($where, $directive, $message, @values) = @$case;
    for my $value (@values) {
        refused with_line($where, "$directive $value"), $message, "refused: $directive $value";
    }
}

for my $case (
    ['Location', 'ServerlessFunctions On', 'ServerlessFunctions Off', 'ServerlessFunctions oN'],
    ['Location', 'ServerlessBaseURL http://serverless.example.com',
        'ServerlessBaseURL https://serverless.example.com:8443',
        'ServerlessBaseURL https://[2001:db8::1]:8443',
        'ServerlessBaseURL https://example.com/twilio'],
    ['server', 'ServerlessBaseURL https://serverless.example.com'],
    ['Location', 'ServerlessFormLimit 1', 'ServerlessFormLimit 1073741824'],
    ['server', 'ServerlessFormLimit 65536'],
    ['Location', map { "ServerlessDeleteTimeout $_" } qw(1ms 500ms 2s 2 5min 24h)],
    ['server', 'ServerlessDeleteTimeout 2min'],
    ['server', 'ServerlessDBConnections 1', 'ServerlessDBConnections 8'],
    ['server', 'ServerlessDBTimeout 1ms', 'ServerlessDBTimeout 10', 'ServerlessDBTimeout 1min'],
) {
    my ($where, @lines) = @$case;
    accepted with_line($where, $_), "accepted in the $where: $_" for @lines;
}


# Places ------------------------------------------------------------------------

# Server configuration and <Location>, as in each directive's documentation;
# none may stand in a .htaccess file.
my $anywhere = 'Allowed in *.conf anywhere';
my $outside = 'Allowed in *.conf only outside <Directory>, <Files>, <Location>, or <If>';
my $inside = 'Allowed in *.conf only inside <Directory>, <Files>, <Location>, or <If>';
my %directives = $server->directives;
my $misplaced = 'ServerlessFunctions belongs into <Location "/v1/Services">';
is_deeply \%directives, {
    ServerlessFunctions     => $inside,
    ServerlessBaseURL       => $anywhere,
    ServerlessFormLimit     => $anywhere,
    ServerlessDeleteTimeout => $anywhere,
    ServerlessDBConnections => $outside,
    ServerlessDBTimeout     => $outside,
}, 'the directives there are, and where httpd lets them stand: never in .htaccess';

refused "${database}ServerlessFunctions On\n", 'ServerlessFunctions not allowed here',
    'ServerlessFunctions is not a server\'s';
refused "$database<VirtualHost *>\nServerlessFunctions On\n</VirtualHost>\n",
    'ServerlessFunctions not allowed in <VirtualHost> context', 'nor a virtual host\'s';
for my $section ('Directory', 'DirectoryMatch', 'Files', 'FilesMatch') {
    refused "$database<$section /v1/Services>\nServerlessFunctions On\n</$section>\n",
        "ServerlessFunctions cannot occur within <$section> section",
        "nor a <$section>'s: its paths are not files";
}
refused "$database<Proxy /v1/Services>\nServerlessFunctions On\n</Proxy>\n",
    $misplaced, 'nor a <Proxy>\'s';
refused "$database<Location /v1/Services>\n<Limit GET>\nServerlessFunctions On\n</Limit>\n</Location>\n",
    'ServerlessFunctions cannot occur within <Limit> or <LimitExcept> section', 'nor a <Limit>\'s';

for my $path ('/', '/v1', '/v1/', '/v1/Services/', '/v1/services', '/v1/Services/ZS1', '/v1/MyServices',
    '/*/Services', '/v[12]/Services') {
    refused $database . $server->api($path), $misplaced, "ServerlessFunctions in <Location \"$path\">";
}
for my $section ('<Location ~ "^/v1/Services">', '<LocationMatch "^/v1/Services">', '<LocationMatch "/v1/Services">') {
    my ($name) = $section =~ /^<(\w+)/;
    refused "$database$section\nServerlessFunctions On\n</$name>\n", $misplaced,
        "ServerlessFunctions in $section";
}
accepted $database . $server->api($_), "ServerlessFunctions in <Location \"$_\">"
    for '/v1/Services', '/Services', '/twilio/v1/Services';
accepted "$database<Location /v1>\nServerlessFunctions Off\n</Location>\n",
    'where it is off it may be anywhere';

for my $directive ('ServerlessDBConnections 2', 'ServerlessDBTimeout 2s') {
    my ($name) = split / /, $directive;
    refused "$database<VirtualHost *>\n$directive\n$api</VirtualHost>\n",
        "$name cannot occur within <VirtualHost> section",
        "$name is the whole process's";
    refused with_line('Location', $directive), "$name not allowed in <Location> context", 'and no <Location>\'s';
}


# The database ------------------------------------------------------------------

refused $api, 'ServerlessFunctions needs mod_dbd: load it (LoadModule dbd_module)',
    'mod_dbd is not loaded', without => ['dbd_module'];
accepted '', 'which does not matter where the API is not enabled', without => ['dbd_module'];
accepted "<Location /v1/Services>\nServerlessFunctions Off\n</Location>\n",
    'or is off', without => ['dbd_module'];

refused $api, 'ServerlessFunctions needs a database: set "DBDriver pgsql" and DBDParams',
    'no database is configured';

# Only mod_dbd's own checks come before ours, and it loads whatever driver it finds.
SKIP: {
    my @others = grep { other_driver_is_there($_) } qw(sqlite3 mysql odbc);
    skip 'no other driver of apr_dbd is installed', 1 if !@others;
    refused "DBDriver $others[0]\n$api",
        qq(ServerlessFunctions needs "DBDriver pgsql", not "$others[0]"), 'another driver';
}

sub other_driver_is_there {
    my ($driver) = @_;
    my ($status) = $server->configtest("DBDriver $driver\n");
    return $status == 0;
}

my $pool = sub { my %value = @_; join '', map { "$_ $value{$_}\n" } sort keys %value };
for my $case (
    [{ DBDMin => 5, DBDKeep => 4, DBDMax => 8 }, '5, 4, 8'],
    [{ DBDMin => 1, DBDKeep => 9, DBDMax => 8 }, '1, 9, 8'],
    [{ DBDMin => 9, DBDKeep => 9, DBDMax => 8 }, '9, 9, 8'],
) {
    my ($values, $are) = @$case;
    refused $database . $pool->(%$values) . $api,
        "mod_dbd needs DBDMin <= DBDKeep <= DBDMax, but they are $are", "a pool of $are";
}
refused "DBDriver pgsql\nDBDMax 1\n$api",
    'mod_dbd needs DBDMin <= DBDKeep <= DBDMax, but they are 1, 2, 1',
    'mod_dbd\'s own defaults count where a value is not given';
refused "DBDriver pgsql\nDBDMin 3\n$api",
    'mod_dbd needs DBDMin <= DBDKeep <= DBDMax, but they are 3, 2, 10', 'each of them';
accepted $database . $pool->(DBDMin => 8, DBDKeep => 8, DBDMax => 8) . $api, 'a pool of 8, 8, 8';
accepted $database . $pool->(DBDMin => 0, DBDKeep => 0, DBDMax => 1) . $api, 'a pool of 0, 0, 1';

refused "${database}DBDPersist Off\n$api",
    'ServerlessFunctions needs "DBDPersist On": its statements are prepared', 'DBDPersist Off';
accepted "${database}DBDPersist on\n$api", 'DBDPersist on';

refused "${database}ServerlessDBConnections 9\n$api",
    'ServerlessDBConnections 9 must not be above DBDMax 8', 'more connections than the pool has';
refused "DBDriver pgsql\nServerlessDBConnections 11\n$api",
    'ServerlessDBConnections 11 must not be above DBDMax 10', 'or than mod_dbd has by default';

# A virtual host may have a database of its own, which is what counts there.
sub virtual_host {
    my ($lines, $location) = @_;
    return "<VirtualHost *>\nServerName tenant.example.com\n$lines" . (defined $location ? $location : $api)
        . "</VirtualHost>\n";
}

for my $case (
    ['', 'ServerlessFunctions needs a database: set "DBDriver pgsql" and DBDParams', 'no database'],
    ["DBDriver pgsql\nDBDPersist Off\n",
        'ServerlessFunctions needs "DBDPersist On": its statements are prepared', 'DBDPersist Off'],
    ["DBDriver pgsql\nDBDMin 4\nDBDKeep 3\n",
        'mod_dbd needs DBDMin <= DBDKeep <= DBDMax, but they are 4, 3, 10', 'a pool of 4, 3, 10'],
) {
    my ($lines, $message, $name) = @$case;
    refused virtual_host($lines), "$message in the virtual host tenant.example.com",
        "$name in a virtual host";
}
refused "ServerlessDBConnections 4\n$database" . virtual_host("DBDKeep 3\nDBDMax 3\n"),
    'ServerlessDBConnections 4 must not be above DBDMax 3 in the virtual host tenant.example.com',
    'a virtual host with fewer connections than the process uses';
refused $database . $api . virtual_host("DBDKeep 1\nDBDMin 2\n"),
    'mod_dbd needs DBDMin <= DBDKeep <= DBDMax, but they are 2, 1, 8 in the virtual host '
        . 'tenant.example.com',
    'what a virtual host does not say it has from the main server';
refused "${database}DBDMin 5\n" . virtual_host(''),
    'mod_dbd needs DBDMin <= DBDKeep <= DBDMax, but they are 5, 4, 8 in the virtual host '
        . 'tenant.example.com',
    'a mistake of the main server\'s, too';
accepted "${database}DBDPersist Off\n" . virtual_host("DBDPersist On\n"),
    'but its own value wins';
accepted "DBDPersist Off\n" . virtual_host($database =~ s/DBDMin +1/DBDPersist On/r),
    'a virtual host with a database of its own';
accepted "DBDPersist Off\n" . virtual_host('', ''), 'a virtual host without the API is left alone';
accepted $database . $api, 'the API in the main server';
accepted $database . virtual_host(''), 'the API in a virtual host';
accepted $database . $api . virtual_host('', "<Location /v1/Services>\nServerlessFunctions Off\n"
    . "</Location>\n"), 'the API everywhere but in one virtual host';


# Documentation ---------------------------------------------------------------------

# Each directive has its section, in the form of httpd's manual.
my $manual = slurp("$ENV{SOURCE}/docs/directives.md");
my $sample = slurp("$ENV{SOURCE}/conf/serverless_functions.conf");
for my $directive (sort keys %directives) {
    my ($section) = $manual =~ /^#+ .*\b$directive\b.*\n((?:(?!^#).*\n)+)/m;
    ok $section, "docs/directives.md has a section on $directive" or next;
    like $section, qr/\b$_\b.*:/, "with its $_" for qw(Syntax Context);
}
like $sample, qr/^\s*ServerlessFunctions\s+On$/m, 'the sample configuration enables the API';
my %sampled = map { $_ => 1 } $sample =~ /^\s*#?(Serverless\w+)/mg;
is_deeply [grep { !$directives{$_} } sort keys %sampled], [], 'and names no directive that is not there';

sub slurp {
    my ($file) = @_;
    open my $in, '<', $file or die "$file: $!\n";
    local $/;
    return scalar <$in>;
}


# Inheritance -----------------------------------------------------------------------

# Every value that may be set for a <Location> is set for the main server, again
# for a virtual host, and again for a <Location>; each place is asked what is in
# force there.
my ($heir, $owner) = map { '127.0.0.1:' . $server->free_port } 1 .. 2;
my $running = $server->start('inheritance', $database . <<"END");
ServerlessBaseURL       https://main.example.com
ServerlessFormLimit     1000
ServerlessDeleteTimeout 100ms
$api
@{[ $server->api('/own/v1/Services', <<'LOCATION') ]}
    ServerlessBaseURL       https://location.example.com
    ServerlessFormLimit     3000
    ServerlessDeleteTimeout 30s
LOCATION
<Location "/v1/Services/closed">
    ServerlessFunctions Off
    Require all granted
</Location>

Listen $heir
<VirtualHost $heir>
</VirtualHost>

Listen $owner
<VirtualHost $owner>
    ServerlessBaseURL       https://virtual.example.com
    ServerlessFormLimit     2000
    ServerlessDeleteTimeout 20s
</VirtualHost>
END

my $client = Serverless::Test->account;
my $slowly = slow_deletion(0.3);

for my $case (
    [$heir, '/v1', 'https://main.example.com', 1000, 503,
        'a virtual host that says nothing has the main server\'s values'],
    [$heir, '/own/v1', 'https://location.example.com', 3000, 204,
        'unless a <Location> has its own'],
    [$owner, '/v1', 'https://virtual.example.com', 2000, 204,
        'a virtual host\'s values go before the main server\'s'],
    [$owner, '/own/v1', 'https://location.example.com', 3000, 204,
        'and a <Location>\'s before both'],
) {
    my ($host, $prefix, $base, $limit, $deleted, $name) = @$case;
    my $there = $client->at($host);
    my $created = $there->post("$prefix/Services", UniqueName => 'heir', FriendlyName => 'Heir');
    my $sid = $created->json->{sid};
    is $created->json->{url}, "$base$prefix/Services/$sid", "$name: ServerlessBaseURL";

    my @sizes = map {
        $there->request(POST => "$prefix/Services/heir", 'a' x $_, 'application/x-www-form-urlencoded')
    } $limit, $limit + 1;
    is_deeply [map { $_->status } @sizes], [200, 413], "$name: ServerlessFormLimit";

    $there->post("$prefix/Services/heir/Functions", FriendlyName => 'slow');
    is $there->delete("$prefix/Services/heir")->status, $deleted, "$name: ServerlessDeleteTimeout";
    db()->do('DELETE FROM serverless.services WHERE unique_name = ?', undef, 'heir');
}
is_deeply [map { $client->at($_)->get('/v1/Services/closed')->status } $heir, $owner], [404, 404],
    'ServerlessFunctions Off closes a part of what is On';
undef $slowly;

done_testing;
