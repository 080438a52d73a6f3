# The directives: "apachectl configtest" reports each error that can be found before httpd
# starts, with the remedy; and each value applies to the contexts that it is set in.
use strict;
use warnings FATAL => 'all';

use Apache::Test qw(-withtestmore);
use POSIX ();
use Serverless::Database;
use Serverless::Server;
use Serverless::Test;
use Serverless::Project;
use Test::More;
use Time::HiRes qw(time);

my $server = 'Serverless::Server';
my $database = $server->database;
my $api = $server->api;
my $workers = $server->worker_count;

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
my $bytes = 'takes a number of bytes from 1 to 64M, such as 4194304 or 4M';
my $domain = 'ServerlessDomain takes a domain name in lower case, such as twil.io';
my $runtimes = q(ServerlessRuntimes takes names of up to 64 letters, digits, '.', '-' and '_');
my $origin = 'ServerlessCORSOrigins takes None, or origins such as https://app.example.com, '
    . q(without a path and without the scheme's own port);
my $any_origin = 'ServerlessCORSOrigins does not take *: any page could then act with the credentials '
    . q(that its visitor's browser keeps; name each origin);
my $node = 'ServerlessNode takes the path of an executable file, such as /usr/bin/node';
my $time = 'takes a time from 1ms to 24h, such as 2s or 500ms';
my $age = 'takes a time from 1h to 3650d, such as 30d, or Off';
my $max_age = 'takes whole seconds up to 365d, such as 0, 5min or 30d';
my $disk_bytes = 'takes a number of bytes from 1M to 1T, such as 4194304 or 4M';
my $count = 'ServerlessDBConnections takes a number from 1 to 1000';

for my $case (
    ['Location', 'ServerlessFunctions', 'ServerlessFunctions must be On or Off',
        '', '""', 'Yes', '1', '"On Off"'],

    ['server', 'ServerlessPipelining', 'ServerlessPipelining must be On or Off', '', '""', 'Yes', '1', '"On Off"'],

    ['Location', 'ServerlessBaseURL', $url,
        'serverless.example.com', '//serverless.example.com', '/v1', 'https://', 'https:///v1',
        'ftp://serverless.example.com', 'https://serverless.example.com/',
        'https://serverless.example.com/twilio/', 'https://serverless.example.com?a=b',
        'https://serverless.example.com#a', 'https://user@serverless.example.com',
        'https://user:secret@serverless.example.com', 'https://serverless.example.com:port',
        '"https://serverless.example.com/a b"', "https://serverless.example.com/caf\xc3\xa9"],
    ['Location', 'ServerlessBaseURL',
        'ServerlessBaseURL takes one argument, '
            . 'scheme and host of the URLs in answers; by default those of the request',
        '', '""', 'https://a.example.com https://b.example.com'],

    ['Location', 'ServerlessFormLimit', "ServerlessFormLimit $bytes",
        '0', '-1', 'many', 'k', '1kb', '65M', '1G', '1.5', '0x10', '1073741825', '99999999999999999999'],
    ['Location', 'ServerlessFormLimit',
        'ServerlessFormLimit takes one argument, the most bytes a form may have', '', '""', '1 2'],

    ['Location', 'ServerlessDeleteTimeout', "ServerlessDeleteTimeout $time",
        '0', '0ms', '-1s', 'long', '5parsecs', '25h', '86401', '9999999999999h'],
    ['Location', 'ServerlessDeleteTimeout',
        'ServerlessDeleteTimeout takes one argument, how long deleting a Service or an Environment may take',
        '', '""', '5 s'],

    ['Location', 'ServerlessDomain', $domain,
        '.', '.twil.io', 'twil.io.', 'twil..io', '-', '-twil.io', 'twil-.io', 'twil.-io', 'twil.io-',
        'Twil.io', '"twil io"', 'twil_io', 'twil.io/', 'https://twil.io', 'twil.io:443',
        '*.twil.io', "tw\xc3\xadl.io", 'a' x 64, 'a.' x 95 . 'b'],
    ['Location', 'ServerlessDomain',
        'ServerlessDomain takes one argument, what the domain names of Environments end with',
        '', '""', 'twil.io example.com'],

    ['Location', 'ServerlessRuntimes', $runtimes,
        '', '""', 'node20 ""', '"" node20', '"node 20"', 'node20,node22', 'node20 node/22', "n\xc3\xb6de", "node\xff",
        'n' x 65, 'node20 ' . 'n' x 65],

    ['Location', 'ServerlessCORSOrigins', $origin,
        'null', 'app.example.com', '//app.example.com', 'https:app.example.com', 'https://', 'https:///',
        'https://app.example.com/', 'https://app.example.com/app', 'https://app.example.com?a=b',
        'https://app.example.com#a', 'https://user@app.example.com', 'https://app.example.com:',
        'https://app.example.com:port', 'https://app.example.com:0', 'https://app.example.com:65536',
        'https://app.example.com:443', 'HTTPS://app.example.com:443', 'http://app.example.com:80',
        'https://app..example.com', 'https://.example.com', 'https://app.example.com.', '"https://app example"',
        "https://\xc3\xa4pp.example.com", 'https://2001:db8::1', 'https://[2001:db8::1', '://app.example.com',
        '1https://app.example.com', 'https://a.example.com,https://b.example.com', 'None,None',
        'https://app.example.com https://app.example.com/', 'None https://app.example.com/'],
    ['Location', 'ServerlessCORSOrigins', $any_origin,
        '*', '"*"', 'https://*', 'https://*.example.com', '*://app.example.com', 'https://app.example.com:*',
        'https://app.example.com *'],
    ['Location', 'ServerlessCORSOrigins',
        'ServerlessCORSOrigins requires at least one argument, '
            . 'the origins whose pages may use the API in a browser, or None', '', '""'],

    ['server', 'ServerlessFunctionLimit', "ServerlessFunctionLimit $bytes",
        '0', '-1', 'many', 'M', '+1', '65M', '1.5M', '0x10', '1073741825', '99999999999999999999'],
    ['server', 'ServerlessFunctionLimit',
        'ServerlessFunctionLimit takes one argument, the most bytes a Function may have', '', '""', '1 2'],

    ['server', 'ServerlessAssetLimit', 'ServerlessAssetLimit takes a number of bytes from 1 to 1G, such as 4194304 or 4M',
        '0', '-1', 'many', '25MB', '2G', '1.5', '0x10', '9223372036854775807T', '1073741825', '99999999999999999999'],
    ['server', 'ServerlessAssetLimit',
        'ServerlessAssetLimit takes one argument, the most bytes an Asset may have', '', '""', '1 2'],

    ['server', 'ServerlessAssetCache', "ServerlessAssetCache $disk_bytes",
        map { "logs/assets $_" } '0', '-1', 'many', '1023K', '2T', '1048575', '1.5e9', '1099511627777', '99999999999999999999'],
    ['server', 'ServerlessAssetCache',
        'ServerlessAssetCache takes the path of a folder, and the most bytes that it may have',
        '/' . 'a' x 1024, '/' . 'a' x 1024 . ' 1048576'],
    ['server', 'ServerlessAssetCache',
        'ServerlessAssetCache takes 1-2 arguments, '
            . 'the folder for Assets on disk, and the most bytes that it may have', '', '""', '"" 1048576', 'a 1048576 b'],

    ['Location', 'ServerlessAssetMaxAge', "ServerlessAssetMaxAge $max_age",
        '-1', '-1s', 'long', '1500ms', '999us', '366d', '31536001', '99999d', '999999d', '1.5d', 'd', '1day', 'Off', '9999999999999h'],
    ['Location', 'ServerlessAssetMaxAge',
        'ServerlessAssetMaxAge takes one argument, how long caches may use a public Asset without asking',
        '', '""', '5 s'],

    ['server', 'ServerlessNode', $node,
        'node', 'bin/node', './node', '/', '/nowhere/node', '/etc', '/etc/passwd', '/dev/null', '/etc/passwd/node',
        '"/bin/sh "'],
    ['server', 'ServerlessNode',
        'ServerlessNode takes one argument, a node that checks whether Functions compile',
        '', '""', '/bin/sh -c'],

    ['server', 'ServerlessBuildTimeout', "ServerlessBuildTimeout $time",
        '0', '0ms', '-1s', 'long', '999us', '2parsecs', '25h', '86401', '9999999999999h'],
    ['server', 'ServerlessBuildTimeout',
        'ServerlessBuildTimeout takes one argument, how long one attempt to finish a Build may take',
        '', '""', '5 s'],

    ['server', 'ServerlessInstallTimeout', 'ServerlessInstallTimeout takes whole seconds from 1s to 900s, such as 10s',
        '0', '999ms', '1500ms', '-1s', 'long', '901s', '16min', '9999999999999h'],
    ['server', 'ServerlessInstallTimeout',
        'ServerlessInstallTimeout takes one argument, how long the runner may take to resolve the Dependencies of a Build',
        '', '""', '5 s'],
    ['server', 'ServerlessDependencyCheck', 'ServerlessDependencyCheck takes a time from 1ms to 24h, such as 5min, or Off',
        '0', '-1s', 'long', 'On', '25h'],
    ['server', 'ServerlessDependencyCheck', 'ServerlessDependencyCheck takes one argument, '
        . "how long creating a Build waits for the registry's word, or Off", '', '""', '5 s'],
    ['server', 'ServerlessBundleLimit', 'ServerlessBundleLimit takes a number of bytes from 1 to 1G, such as 4194304 or 4M',
        '0', '-1', '1.5M', '2G', '1073741825', 'lots'],
    ['server', 'ServerlessBundleLimit',
        'ServerlessBundleLimit takes one argument, the most bytes that the packages of a Build may have', '', '""', '1 2'],

    ['server', 'ServerlessLogRetention', "ServerlessLogRetention $age",
        '0', '30', '3600', '0d', '-1d', 'd', '59min', '3599s', '3651d', '87601h', '99999d', '100000d', '9999999999d',
        '1.5d', '30days', 'On', 'none', '9999999999999h'],
    ['server', 'ServerlessLogRetention',
        'ServerlessLogRetention takes one argument, how long entries of logs are kept, or Off', '', '""', '30 d'],
    ['server', 'ServerlessRunner', 'ServerlessRunner takes the absolute path of a socket, of at most 107 bytes',
        'control', './control', '/' . 'x' x 107],
    ['server', 'ServerlessRunner', 'ServerlessRunner takes one argument, the control socket of the runner, which executes Functions', '', '/a /b'],
    (map { ['server', "Serverless$_", "Serverless$_ takes whole seconds from 1s to 900s, such as 10s",
        '0', '-1s', '500ms', '1500ms', '901s', '16min', 'long', '2parsecs', '9999999999999h'] } qw(ExecutionTimeout IdleTimeout)),
    ['Location', 'ServerlessQueueTimeout', "ServerlessQueueTimeout $time", '0', '0ms', '-1s', 'long', '5parsecs', '25h', '86401'],
    (map { ['server', "Serverless$_", "Serverless$_ takes a number from 1 to 1000", '0', '-1', 'all', '4x', '2.5', '1001', 'Off'] }
        qw(Concurrency Isolates)),
    ['server', 'ServerlessIsolateCalls', 'ServerlessIsolateCalls takes a number from 1 to 1000000', '0', '-1', 'all', '1000001', 'Off'],
    ['server', 'ServerlessMemory', 'ServerlessMemory takes a number of bytes, or one with M or G, from 64M to 16G, such as 256M',
        '0', '-1', 'much', '64', '63M', '67108863', '17G', '1T', '256m', '256MB', '1.5G', 'M', '99999999999999999999', '99999999999999999999G'],
    (map { ['Location', "Serverless$_", "Serverless$_ $bytes", '0', '-1', 'many', '1x', '1.5', '67108865', '99999999999999999999'] }
        qw(RequestLimit ResponseLimit)),
    ['Location', 'ServerlessErrorStack', 'ServerlessErrorStack must be On or Off', '', '""', 'Yes', '1'],
    ['server', 'ServerlessCallLog', 'ServerlessCallLog takes a number of bytes from 1K to 1M, such as 16K',
        '0', '1023', '2M', '-1', 'many', '1.5'],
    ['server', 'ServerlessCallLog', 'ServerlessCallLog takes one argument, the most bytes of the log entries of a call', '', '1 2'],
    ['server', 'ServerlessLogSpool', 'ServerlessLogSpool takes a path', 'a' x 1025],
    ['server', 'ServerlessLogTo', 'ServerlessLogTo takes the path of a file, or "|" and a command', '"|"', 'a' x 1025],
    ['server', 'ServerlessStaleRoutes', 'ServerlessStaleRoutes takes a time from 1ms to 24h, such as 5min, or Off',
        '0', '0ms', '-1s', 'long', 'On', '2parsecs', '25h', '86401', '9999999999999h'],
    ['server', 'ServerlessStaleRoutes',
        'ServerlessStaleRoutes takes one argument, how long known domains are answered while the database is away, or Off',
        '', '""', '5 s'],
    ['server', 'ServerlessSignatureScheme', 'ServerlessSignatureScheme takes https or http',
        'ftp', 'https://', 'http:', 'httpsx', 'On', '443', '"http "'],
    ['server', 'ServerlessSignatureScheme',
        'ServerlessSignatureScheme takes one argument, https or http: the scheme of the URLs that clients sign',
        '', '""', 'https http'],
    ['server', 'ServerlessExecution', 'ServerlessExecution must be On or Off', '', '""', 'Yes', '1', '"On Off"'],
    ['server', 'ServerlessVariableKeys',
        'ServerlessVariableKeys takes one argument, the file with the keys that Variables are encrypted with',
        '', '""', '/etc/keys /etc/keys'],

    (map { (
        ['server', "Serverless$_->[0]", "Serverless$_->[0] takes a number from 1 to 100000, or Off",
            '0', '-1', 'all', '4x', '2.5', '100001', '99999999999999999999', 'None'],
        ['server', "Serverless$_->[0]", "Serverless$_->[0] takes one argument, $_->[1]", '', '""', '1 2'],
        ['server', "Serverless$_->[0]",
            "Serverless$_->[0] $workers must be below $workers, the number of workers (MaxRequestWorkers), or Off", $workers],
    ) } ['MaxRequests', 'how many requests all accounts have at a time, or Off'],
        ['MaxRequestsPerAccount', 'how many requests an account has at a time, or Off']),
    (map { (
        ['server', "ServerlessMax\u$_" . 'Assets', "ServerlessMax\u$_" . 'Assets takes a number from 1 to 100000, or Off',
            '0', '-1', 'all', '4x', '2.5', '100001', '99999999999999999999', 'None'],
        ['server', "ServerlessMax\u$_" . 'Assets',
            "ServerlessMax\u$_" . "Assets takes one argument, how many $_ Assets a Build may have, or Off", '', '""', '1 2'],
    ) } qw(public protected private)),

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
    ['Location', 'ServerlessFormLimit 1', 'ServerlessFormLimit 67108864', 'ServerlessFormLimit 64M'],
    ['server', 'ServerlessFormLimit 65536'],
    ['Location', map { "ServerlessDeleteTimeout $_" } qw(1ms 500ms 2s 2 5min 24h)],
    ['server', 'ServerlessDeleteTimeout 2min'],
    ['Location', 'ServerlessDomain localhost', 'ServerlessDomain functions-1.example.com',
        'ServerlessDomain 4.io',
        'ServerlessDomain ' . 'a' x 63 . '.b--c', 'ServerlessDomain ' . 'a.' x 94 . 'bb'],
    ['server', 'ServerlessDomain functions.example.com'],
    ['Location', 'ServerlessRuntimes node20', 'ServerlessRuntimes node18 node20 node22',
        "ServerlessRuntimes node20\nServerlessRuntimes Node-22.1_a", 'ServerlessRuntimes ' . 'n' x 64,
        'ServerlessRuntimes ' . join(' ', map { "node$_" } 1 .. 200)],
    ['server', 'ServerlessRuntimes node20 node22'],
    ['Location', map { "ServerlessCORSOrigins $_" } qw(None none https://app.example.com
        https://APP.example.com http://localhost:3000 http://localhost:443 https://127.0.0.1:80
        https://app.example.com:65535 http://[2001:db8::1]:8080 http://my_host capacitor://localhost),
        'https://app.example.com http://localhost', 'https://app.example.com None'],
    ['server', 'ServerlessCORSOrigins https://app.example.com', 'ServerlessCORSOrigins None'],
    ['server', 'ServerlessFunctionLimit 1', 'ServerlessFunctionLimit 67108864', 'ServerlessFunctionLimit 512k'],
    ['server', 'ServerlessAssetLimit 1', 'ServerlessAssetLimit 1073741824', 'ServerlessAssetLimit 25M', 'ServerlessAssetLimit 1G'],
    ['server', map { "ServerlessAssetCache $_" } 'logs/assets', '/nowhere/assets', '"/with a space" 1048576',
        '/a 1099511627776', '/a 1T', '/' . 'a' x 1023],
    ['Location', map { "ServerlessAssetMaxAge $_" } qw(0 1 3000ms 5min 24h 0d 30d 365d 31536000)],
    ['server', 'ServerlessAssetMaxAge 1h'],
    ['server', 'ServerlessNode /bin/sh', 'ServerlessNode "/bin/sh"'],
    ['server', map { "ServerlessBuildTimeout $_" } qw(1ms 500ms 2s 2 5min 24h)],
    ['server', map { "ServerlessInstallTimeout $_" } qw(1s 1 120s 15min 900)],
    ['server', map { "ServerlessDependencyCheck $_" } qw(1ms 3s 3 5min Off oFF)],
    ['server', map { "ServerlessBundleLimit $_" } qw(1 512k 250M 1G 1073741824)],
    ['server', map { "ServerlessLogRetention $_" } qw(1h 60min 3600s 1d 30d 030d 3650d 87600h Off oFF)],
    ['server', map { ("ServerlessMaxRequests $_", "ServerlessMaxRequestsPerAccount $_") } 1, $workers - 1, qw(Off oFF)],
    ['server', map { ("ServerlessMaxPublicAssets $_", "ServerlessMaxProtectedAssets $_", "ServerlessMaxPrivateAssets $_") }
        qw(1 1000 100000 Off oFF)],
    ['server', map { "ServerlessRunner $_" } '/run/serverless-runner/control', '/' . 'x' x 106],
    ['Location', map { "ServerlessExecutionTimeout $_" } qw(1s 10 900s 15min)],
    ['server', map { "ServerlessIdleTimeout $_" } qw(1s 60 15min)],
    ['Location', map { "ServerlessQueueTimeout $_" } qw(1ms 2s 24h)],
    ['server', map { ("ServerlessConcurrency $_", "ServerlessIsolates $_") } qw(1 30 1000)],
    ['server', map { "ServerlessIsolateCalls $_" } qw(1 5000 1000000)],
    ['server', map { "ServerlessMemory $_" } qw(64M 67108864 256M 1G 16G)],
    ['Location', map { ("ServerlessRequestLimit $_", "ServerlessResponseLimit $_") } qw(1 67108864)],
    ['Location', 'ServerlessErrorStack On', 'ServerlessErrorStack oFF'],
    ['server', map { "ServerlessCallLog $_" } qw(1024 16K 1M)],
    ['server', 'ServerlessLogSpool logs/spool', 'ServerlessLogTo logs/lines', 'ServerlessLogTo "|cat"'],
    ['server', map { "ServerlessStaleRoutes $_" } qw(1ms 5min 300 24h Off oFF)],
    ['server', 'ServerlessExecution Off', 'ServerlessExecution oFF'],
    ['server', map { "ServerlessSignatureScheme $_" } qw(https http HTTP)],
    ['server', 'ServerlessDBConnections 1', 'ServerlessDBConnections 8'],
    ['server', 'ServerlessPipelining On', 'ServerlessPipelining Off', 'ServerlessPipelining oN'],
    ['server', 'ServerlessDBTimeout 1ms', 'ServerlessDBTimeout 10', 'ServerlessDBTimeout 1min'],
) {
    my ($where, @lines) = @$case;
    accepted with_line($where, $_), "accepted in the $where: $_" for @lines;
}


# Domains -----------------------------------------------------------------------

# A virtual host with these lines.
sub host {
    my (@lines) = @_;
    return "<VirtualHost *:80>\n" . join('', map { "$_\n" } @lines) . "</VirtualHost>\n";
}

my $no_domain = 'ServerlessExecution needs ServerlessDomain, in the same virtual host or the server config';
my $no_name = 'ServerlessExecution needs a ServerName or ServerAlias that matches the domains of Environments, '
    . 'such as "ServerAlias *.f.example.com"';
my $no_sids = 'ServerlessEnvironment takes the SIDs of a Service (ZS...) and of its Environment (ZE...)';
my ($service_sid, $environment_sid) = ('ZS' . '0' x 32, 'ZE' . 'f' x 32);
my @domain = ('ServerlessDomain f.example.com', 'ServerlessExecution On');

refused "${database}ServerlessExecution On\n", $no_domain, 'ServerlessExecution without ServerlessDomain';
refused $database . host('ServerName a.f.example.com', 'ServerlessExecution On'),
    "$no_domain in the virtual host a.f.example.com", 'in a virtual host';
refused "ServerlessDomain f.example.com\nServerlessExecution On\n",
    'ServerlessFunctions needs a database: set "DBDriver pgsql" and DBDParams', 'without a database';
refused $database . host('ServerName www.example.com', @$_, @domain), "$no_name in the virtual host www.example.com",
    "no domain can reach it: @$_"
    for [], ['ServerAlias f.example.com'], ['ServerAlias *.g.example.com'], ['ServerAlias xf.example.com'], ['ServerAlias *.f.example.org'];
accepted $database . host(@$_, @domain), "a domain can reach it: @$_"
    for ['ServerName a.f.example.com'], ['ServerName f.example.com', 'ServerAlias *.f.example.com'],
    ['ServerName x.example.com', 'ServerAlias *.F.example.com'], ['ServerName x.example.com', 'ServerAlias *'],
    ['ServerName x.example.com', 'ServerAlias y.example.com a-0000.f.example.com'];
accepted "${database}ServerlessDomain f.example.com\nServerlessExecution On\n" . host('ServerName www.example.com'),
    'a virtual host that inherits ServerlessExecution and has no such name';

{
    my $hosts = ($database =~ s/host=\S+ /host=a.example.com,b.example.com /r) . "ServerlessDomain f.example.com\nServerlessExecution On\n";
    refused $hosts, 'ServerlessExecution needs "target_session_attrs=read-write" in DBDParams with several hosts: it must read '
        . 'from the primary', 'several hosts, of which one may be a standby';
    accepted $hosts =~ s/host=a/target_session_attrs=$_ host=a/r, "several hosts with target_session_attrs=$_" for 'read-write', 'primary';
}

for my $ids ('', $service_sid, "$service_sid $environment_sid x") {
    refused $database . host("ServerlessEnvironment $ids"), 'ServerlessEnvironment takes two arguments, the Service and the '
        . 'Environment that this virtual host is the domain of', "ServerlessEnvironment $ids";
}
refused $database . host("ServerlessEnvironment $_"), $no_sids, "ServerlessEnvironment $_"
    for "$environment_sid $service_sid", "x $environment_sid", "$service_sid x", "${service_sid}0 $environment_sid";
refused "${database}ServerlessEnvironment $service_sid $environment_sid\n",
    'ServerlessEnvironment belongs into a <VirtualHost>', "the main server's";
my $own = "ServerlessEnvironment $service_sid $environment_sid";
accepted $database . host('ServerName www.example.com', 'ServerlessExecution On', $own), 'a host of its own needs no ServerlessDomain';
is +($server->configtest($database . host('ServerName www.example.com', 'ServerlessExecution On', $own, $api)))[1] =~ s/^\[.*?\] (?:AH\d+: )?//mr,
    "ServerlessExecution and ServerlessFunctions are in one virtual host: Assets have an origin at which the API answers, "
    . "and can act in the name of its users\nSyntax OK", 'with the API in the same virtual host: a warning';


# Keys --------------------------------------------------------------------------

# A key file with this mode; messages about it must not quote its content.
my $keys = Serverless::Server->logs . '/keys';
my $key = '0123456789abcdef' x 4;

sub with_keys {
    my ($text, $mode) = @_;
    unlink $keys;
    open my $out, '>', $keys or die "$keys: $!\n";
    print $out $text;
    close $out or die "$keys: $!\n";
    chmod $mode // 0600, $keys;
    return with_line('server', "ServerlessVariableKeys $keys");
}

my $no_key = 'is not a key id, a space and 64 hex digits';
my $others = 'must not be open to group or others (chmod 600)';
for my $case (
    ['an empty file',               'has no key', ''],
    ['nothing but a comment',       'has no key', "# k1 $key\n\n  \t\n"],
    ['a key without an id',         "line 1 $no_key", "$key\n"],
    ['an id without a key',         "line 2 $no_key", "# keys\nk1\n"],
    ['no space between',            "line 1 $no_key", "k1:$key\n"],
    ['63 digits',                   "line 1 $no_key", 'k1 ' . substr($key, 1) . "\n"],
    ['65 digits',                   "line 1 $no_key", "k1 ${key}0\n"],
    ['66 digits, a byte more',      "line 1 $no_key", "k1 ${key}00\n"],
    ['another digit',               "line 1 $no_key", "k1 g" . substr($key, 1) . "\n"],
    ['0x before the digits',        "line 1 $no_key", "k1 0x$key\n"],
    ['something behind',            "line 1 $no_key", "k1 $key # the first\n"],
    ['a longer id',                 "line 1 $no_key", 'k' x 33 . " $key\n"],
    ['an id with a dot',            "line 1 $no_key", "k.1 $key\n"],
    ['an id that is not ASCII',     "line 1 $no_key", "k\xc3\xa9 $key\n"],
    ['a mistake further down',      "line 5 $no_key", "# keys\nk1 $key\n\nk2 $key\nk3 $key$key\n"],
    ['an id twice',                 'line 3 has a key id that is there already', "k1 $key\nk2 $key\nk1 $key\n"],
    ['17 keys',                     'line 17 is one key too many', join '', map { "k$_ $key\n" } 1 .. 17],
    ['a NUL',                       'is not a text file', "k1 $key\n\0"],
    ['more than 16 KiB',            'is too long', '#' x 16384 . "\n"],
    (map { [sprintf('mode %03o', $_), $others, "k1 $key\n", $_] }
        0644, 0640, 0660, 0604, 0602, 0620, 0610, 0601, 0777),
) {
    my ($what, $message, $text, $mode) = @$case;
    refused with_keys($text, $mode), "ServerlessVariableKeys $keys: $message", "refused: $what";
}
for my $case (
    ['one key',                      "k1 $key\n"],
    ['without an end of line',       "k1 $key"],
    ['in capitals',                  'K-1_a ' . uc($key) . "\n"],
    ['comments, white space, CR LF', "# the keys\r\n\r\n \tk1 \t $key \r\n   # the old one\nk2  $key\n\n"],
    ['an id of 32 characters',       'k' x 32 . " $key\n"],
    ['16 keys',                      join '', map { "k$_ $key\n" } 1 .. 16],
    ['mode 400',                     "k1 $key\n", 0400],
    ['what serverless-admin makes',  scalar `$ENV{SOURCE}/bin/serverless-admin variables new-key`],
) {
    my ($what, @file) = @$case;
    accepted with_keys(@file), "accepted: $what";
}
accepted with_line('server', 'ServerlessVariableKeys logs/keys'), 'a path below ServerRoot';
my $pipe = Serverless::Server->logs . '/pipe';
POSIX::mkfifo($pipe, 0600) or die "$pipe: $!\n";
for my $case (
    ['/nowhere/keys', 'cannot be opened: No such file or directory'],
    ["$ENV{SOURCE}/t", 'is not a file'],
    ['/dev/null', 'is not a file'],
    [$pipe, 'is not a file'],
    ['/etc/passwd', $others],
) {
    my ($file, $message) = @$case;
    refused with_line('server', "ServerlessVariableKeys $file"), "ServerlessVariableKeys $file: $message", "refused: $file";
}
unlink $keys, $pipe;

# Each line of serverless-admin is another one.
{
    my @lines = map { scalar `$ENV{SOURCE}/bin/serverless-admin variables new-key` } 1 .. 5;
    is_deeply [grep { !/^\d{8}-[0-9a-f]{8} [0-9a-f]{64}\n\z/ } @lines], [],
        'serverless-admin variables new-key prints a key id with the date, and a key';
    my %seen = map { $_ => 1 } map { split } @lines;
    is scalar keys %seen, 10, 'neither is ever the same';
}


# Places ------------------------------------------------------------------------

# Server configuration and <Location>, as in each directive's documentation;
# none may stand in a .htaccess file.
my $anywhere = 'Allowed in *.conf anywhere';
my $outside = 'Allowed in *.conf only outside <Directory>, <Files>, <Location>, or <If>';
my $inside = 'Allowed in *.conf only inside <Directory>, <Files>, <Location>, or <If>';
my %directives = $server->directives;
my $misplaced = 'ServerlessFunctions belongs into <Location "/v1/Services">, a path without a slash at its end';
is_deeply \%directives, {
    ServerlessFunctions     => $inside,
    ServerlessBaseURL       => $anywhere,
    ServerlessFormLimit     => $anywhere,
    ServerlessDeleteTimeout => $anywhere,
    ServerlessDomain        => $anywhere,
    ServerlessRuntimes      => $anywhere,
    ServerlessCORSOrigins   => $anywhere,
    ServerlessFunctionLimit => $outside,
    ServerlessAssetLimit    => $outside,
    ServerlessAssetCache    => $outside,
    ServerlessAssetMaxAge   => $anywhere,
    ServerlessNode          => $outside,
    ServerlessBuildTimeout  => $outside,
    ServerlessInstallTimeout => $outside,
    ServerlessDependencyCheck => $outside,
    ServerlessBundleLimit   => $outside,
    ServerlessLogRetention  => $outside,
    ServerlessVariableKeys  => $outside,
    ServerlessMaxPublicAssets    => $outside,
    ServerlessMaxProtectedAssets => $outside,
    ServerlessMaxPrivateAssets   => $outside,
    ServerlessMaxRequests        => $outside,
    ServerlessMaxRequestsPerAccount => $outside,
    ServerlessDBConnections => $outside,
    ServerlessDBTimeout     => $outside,
    ServerlessPipelining    => $outside,
    ServerlessExecution     => $outside,
    ServerlessEnvironment   => $outside,
    ServerlessStaleRoutes   => $outside,
    ServerlessRunner        => $outside,
    ServerlessExecutionTimeout => $anywhere,
    ServerlessQueueTimeout  => $anywhere,
    ServerlessConcurrency   => $outside,
    ServerlessIsolates      => $outside,
    ServerlessMemory        => $outside,
    ServerlessIdleTimeout   => $outside,
    ServerlessIsolateCalls  => $outside,
    ServerlessRequestLimit  => $anywhere,
    ServerlessResponseLimit => $anywhere,
    ServerlessErrorStack    => $anywhere,
    ServerlessCallLog       => $outside,
    ServerlessLogSpool      => $outside,
    ServerlessLogTo         => $outside,
    ServerlessSignatureScheme => $outside,
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
    'ServerlessFunctions Off may stand anywhere';

for my $directive ('ServerlessDBConnections 2', 'ServerlessDBTimeout 2s', 'ServerlessFunctionLimit 100000',
    'ServerlessAssetLimit 100000', 'ServerlessAssetCache logs/assets', 'ServerlessNode /bin/sh', 'ServerlessBuildTimeout 2s',
    'ServerlessInstallTimeout 20s', 'ServerlessDependencyCheck 2s', 'ServerlessBundleLimit 5M',
    'ServerlessLogRetention 30d', 'ServerlessPipelining On', "ServerlessVariableKeys $ENV{VARIABLE_KEYS}") {
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

{
    my $warning = qr/SF0034: DBDParams has no connect_timeout/;
    my ($status, $said) = $server->configtest($database =~ s/connect_timeout=\d+ //r . $api);
    is $status, 0, 'DBDParams without connect_timeout are accepted';
    like $said, $warning, 'configtest warns of DBDParams without connect_timeout';
    unlike +($server->configtest("$database$api"))[1], $warning, 'configtest does not warn of DBDParams with connect_timeout';
    local $ENV{PGCONNECT_TIMEOUT} = 5;
    unlike +($server->configtest($database =~ s/connect_timeout=\d+ //r . $api))[1], $warning,
        'configtest does not warn where the environment has PGCONNECT_TIMEOUT';
}

# mod_dbd's own checks come before the module's, and it loads any driver that it finds.
SKIP: {
    my @others = grep { other_driver_is_there($_) } qw(sqlite3 mysql odbc);
    skip 'no other driver of apr_dbd is installed', 1 if !@others;
    refused "DBDriver $others[0]\n$api",
        qq(ServerlessFunctions needs "DBDriver pgsql", not "$others[0]"), 'DBDriver of another database is refused';
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
    'mod_dbd needs DBDMin <= DBDKeep <= DBDMax, but they are 3, 2, 10',
        'DBDMin, DBDKeep and DBDMax that contradict each other are refused';
accepted $database . $pool->(DBDMin => 8, DBDKeep => 8, DBDMax => 8) . $api, 'a pool of 8, 8, 8';
accepted $database . $pool->(DBDMin => 0, DBDKeep => 0, DBDMax => 1) . $api, 'a pool of 0, 0, 1';

refused "${database}DBDPersist Off\n$api",
    'ServerlessFunctions needs "DBDPersist On": its statements are prepared', 'DBDPersist Off';
accepted "${database}DBDPersist on\n$api", 'DBDPersist on';

refused "${database}ServerlessDBConnections 9\n$api",
    'ServerlessDBConnections 9 must not be above DBDMax 8', 'more connections than the pool has';
refused "DBDriver pgsql\nServerlessDBConnections 11\n$api",
    'ServerlessDBConnections 11 must not be above DBDMax 10',
        'ServerlessDBConnections above the default DBDMax is refused';

# Pipelining takes two of the connections; where it is not asked for, it goes without. With prefork, there is none.
my $too_few = 'ServerlessPipelining takes 2 of the ServerlessDBConnections (3): there must be 4 or more';
if (!$server->is_prefork) {
    refused "${database}ServerlessDBConnections 3\nServerlessPipelining On\n$api", $too_few,
        'pipelining, and three connections';
    refused "${database}DBDMin 0\nDBDKeep 0\nDBDMax 3\nServerlessPipelining On\n$api", $too_few,
        'ServerlessPipelining needs more than the three connections of the pool';
}
accepted "${database}ServerlessDBConnections $_->[0]\nServerlessPipelining $_->[1]\n$api",
    "ServerlessDBConnections $_->[0], ServerlessPipelining $_->[1]" for [1, 'Off'], [3, 'Off'], [4, 'On'], [8, 'On'];
accepted "${database}ServerlessDBConnections 3\n$api", 'three connections, and nothing said of pipelining';
accepted "ServerlessDBConnections 1\nServerlessPipelining On\n",
    'too few connections are accepted where the API is not enabled';

# A virtual host may have a database of its own, whose values apply there.
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
    "a virtual host inherits the main server's value";
refused "${database}DBDMin 5\n" . virtual_host(''),
    'mod_dbd needs DBDMin <= DBDKeep <= DBDMax, but they are 5, 4, 8 in the virtual host '
        . 'tenant.example.com',
    'a mistake of the main server\'s, too';
accepted "${database}DBDPersist Off\n" . virtual_host("DBDPersist On\n"),
    "a virtual host's own value replaces the main server's";
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
my $sample = join '', map { slurp("$ENV{SOURCE}/conf/serverless_$_.conf") } qw(functions api execution);
for my $directive (sort keys %directives) {
    my ($section) = $manual =~ /^#+ .*\b$directive\b.*\n((?:(?!^#).*\n)+)/m;
    ok $section, "docs/directives.md has a section on $directive" or next;
    like $section, qr/\b$_\b.*:/, "docs/directives.md has the $_ of $directive" for qw(Syntax Context);
}
like $sample, qr/^\s*ServerlessFunctions\s+On$/m, 'the samples enable the API';
my %sampled = map { $_ => 1 } $sample =~ /^\s*#?\s*(Serverless\w+)\s/mg;
is_deeply [sort keys %sampled], [sort keys %directives],
    "the samples name exactly the module's directives";

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
ServerlessDomain        main.example.com
ServerlessRuntimes      main other
ServerlessRuntimes      node-main
ServerlessCORSOrigins   https://before-none.example.com
ServerlessCORSOrigins   None
ServerlessCORSOrigins   https://main.example.com
ServerlessCORSOrigins   http://main.example.com:8080
$api
@{[ $server->api('/own/v1/Services', <<'LOCATION') ]}
    ServerlessBaseURL       https://location.example.com
    ServerlessFormLimit     3000
    ServerlessDeleteTimeout 30s
    ServerlessDomain        location.example.com
    ServerlessRuntimes      node-location
    ServerlessCORSOrigins   https://location.example.com
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
    ServerlessDomain        virtual.example.com
    ServerlessRuntimes      other node-virtual
    ServerlessCORSOrigins   https://virtual.example.com
</VirtualHost>
END

my $client = Serverless::Client->account;
my $slowly = slow_deletion(0.3);
my %origins = (
    nobody   => ['https://before-none.example.com'],
    main     => ['https://main.example.com', 'http://main.example.com:8080'],
    virtual  => ['https://virtual.example.com'],
    location => ['https://location.example.com'],
);

for my $case (
    [$heir, '/v1', 'main', [qw(main other node-main)], 1000, 503,
        'a virtual host that says nothing has the main server\'s values'],
    [$heir, '/own/v1', 'location', [qw(node-location)], 3000, 204,
        'unless a <Location> has its own'],
    [$owner, '/v1', 'virtual', [qw(other node-virtual)], 2000, 204,
        'a virtual host\'s values go before the main server\'s'],
    [$owner, '/own/v1', 'location', [qw(node-location)], 3000, 204,
        'and a <Location>\'s before both'],
) {
    my ($host, $prefix, $whose, $runtimes, $limit, $deleted, $name) = @$case;
    my $there = $client->at($host);
    my $created = $there->post("$prefix/Services", UniqueName => 'heir', FriendlyName => 'Heir');
    my $sid = $created->json->{sid};
    is $created->json->{url}, "https://$whose.example.com$prefix/Services/$sid", "$name: ServerlessBaseURL";

    my %allowed = map {
        ($_ => $there->with(Origin => $_)->get("$prefix/Services/$sid")->header('Access-Control-Allow-Origin'))
    } my @origins = map { @$_ } values %origins;
    is_deeply \%allowed, { (map { $_ => undef } @origins), map { $_ => $_ } @{ $origins{$whose} } },
        "$name: ServerlessCORSOrigins";

    my @sizes = map {
        $there->request(POST => "$prefix/Services/heir", 'a' x $_, 'application/x-www-form-urlencoded')
    } $limit, $limit + 1;
    is_deeply [map { $_->status } @sizes], [200, 413], "$name: ServerlessFormLimit";

    my $environment = $there->post("$prefix/Services/heir/Environments", UniqueName => 'heir');
    is $environment->json->{domain_name}, $created->json->{domain_base} . ".$whose.example.com",
        "$name: ServerlessDomain";

    my $function = $there->post("$prefix/Services/heir/Functions", FriendlyName => 'slow')->json;
    my $version = $there->upload("$prefix/Services/heir/Functions/$function->{sid}/Versions",
        [Path => undef, undef, '/slow'], [Visibility => undef, undef, 'public'],
        [Content => 'slow.js', 'application/javascript', "exports.handler = () => {};\n"])->json;
    my %taken = map {
        my $build = $there->post("$prefix/Services/heir/Builds", FunctionVersions => $version->{sid}, Runtime => $_);
        ($_ => $build->status)
    } my @all = qw(main other node-main node-virtual node-location node22);
    is_deeply \%taken, { (map { $_ => 400 } @all), map { $_ => 201 } @$runtimes }, "$name: ServerlessRuntimes";
    is $there->post("$prefix/Services/heir/Builds", FunctionVersions => $version->{sid})->json->{runtime},
        $runtimes->[-1], 'the last one is the default';

    is $there->delete("$prefix/Services/heir")->status, $deleted, "$name: ServerlessDeleteTimeout";
    db()->do('DELETE FROM serverless.services WHERE unique_name = ?', undef, 'heir');
}
is_deeply [map { $client->at($_)->get('/v1/Services/closed')->status } $heir, $owner], [404, 404],
    'ServerlessFunctions Off closes a part of what is On';
undef $slowly;
undef $running;


# Virtual hosts and databases ---------------------------------------------------------

# What child and worker keep, they keep for each database, however many virtual
# hosts lead there: the main server and two virtual hosts have one, whether they say
# so themselves or not, and a fourth that says nothing of ours has another.
{
    my ($first, $second) = map { own_database($_) } 'first', 'second';
    my ($silent, $repeating, $other) = map { '127.0.0.1:' . $server->free_port } 1 .. 3;
    my $of = sub { $server->database(database => $_[0]->name) };
    my %owner;
    for my $own ($first, $second) {
        $owner{$own} = $own->connect('postgres');
        $owner{$own}->do(
            "ALTER ROLE serverless_httpd IN DATABASE @{[ $own->name ]} SET track_functions = 'pl'");
    }

    # One account in both, copied, but with a secret of its own in each.
    my ($sid, $secret) = $owner{$first}->selectrow_array(q(SELECT * FROM serverless.create_account('both')));
    for my $table ('accounts', 'credentials') {
        my ($rows) = $owner{$first}->selectrow_array("SELECT json_agg(t) FROM serverless.$table AS t");
        $owner{$second}->do("INSERT INTO serverless.$table "
            . "SELECT * FROM json_populate_recordset(NULL::serverless.$table, ?)", undef, $rows);
    }
    my ($other_secret) = $owner{$second}->selectrow_array('SELECT serverless.rotate_auth_token(?)', undef, $sid);
    $owner{$second}->do('UPDATE serverless.credentials SET generation = 1'); # as in the other

    my $several = $server->start('several', $of->($first) . <<"END");
$api
Listen $silent
<VirtualHost $silent>
</VirtualHost>

Listen $repeating
<VirtualHost $repeating>
@{[ $of->($first) ]}
$api
</VirtualHost>

Listen $other
<VirtualHost $other>
@{[ $of->($second) ]}
</VirtualHost>
END

    my @one = ($several->address, $silent, $repeating);
    my $at = sub { Serverless::Client->client($sid, $_[1])->at($_[0])->get('/v1/Services')->status };
    for my $time ('first', 'second') {
        is_deeply [map { [$at->($_, $secret), $at->($_, $other_secret)] } @one, $other],
            [([200, 401]) x 3, [401, 200]], "a secret is good where its database is, asked for the $time time";
    }

    my %client = (
        $first  => Serverless::Client->client($sid, $secret)->at($silent),
        $second => Serverless::Client->client($sid, $other_secret)->at($other),
    );
    for my $own ($first, $second) {
        my $project = Serverless::Project->new($client{$own}, 'shop');
        is $project->finished($project->new_build($project->new_deployable(function => 'hello')))->{status}, 'completed',
            "Builds are finished in the @{[ $own == $first ? 'first' : 'second' ]} database";
    }

    # A Build was begun at once; from now on each is looked into once a second.
    my $looks = sub {
        $owner{$_[0]}->selectrow_array(
            q(SELECT calls FROM pg_stat_user_functions WHERE funcname = 'claim_build')) || 0;
    };
    my %before = map { $_ => $looks->($_) } $first, $second;
    my $since = sub { map { $looks->($_) - $before{$_} } $first, $second };
    wait_until { 2 == grep { $_ > 0 } $since->() };
    %before = map { $_ => $looks->($_) } $first, $second;
    my $began = time;
    ok wait_until { 2 == grep { $_ >= 5 } $since->() }, 'the worker looks for Builds in each database';
    cmp_ok $_, '<=', 2 + time - $began,
        'a database that is down is tried once a second, for all virtual hosts' for $since->();

    undef $several;
    $_->disconnect for values %owner;
}

done_testing;
