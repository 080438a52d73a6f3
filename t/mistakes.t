# The mistakes of an administrator: each gives one clear sentence in one place, configtest or the error log of a start.
# t/config.t has every value of each directive; this is the table of what people do.
use strict;
use warnings FATAL => 'all';

use Apache::Test qw(-withtestmore);
use Serverless::Database;
use Serverless::Server;
use Serverless::Test;
use Test::More;

my $class = 'Serverless::Server';
my ($database, $api) = ($class->database, $class->api);
my ($service, $environment) = ('ZS' . '0' x 32, 'ZE' . '0' x 32);
my $key = '0' x 64;

# A key file of the suite's own. Returns its path.
sub key_file {
    my ($name, $text, $mode) = @_;
    my $path = $class->logs . "/mistakes_$name";
    open my $out, '>', $path or die "$path: $!\n";
    print $out $text;
    close $out or die "$path: $!\n";
    chmod $mode, $path or die "$path: $!\n";
    return $path;
}
my $open = key_file('open', "k1 $key\n", 0644);
my $malformed = key_file('malformed', "k1 $key\nk2 secret\n", 0600);

sub server { return "$database$_[0]\n$api" }
sub location { return $database . $class->api(undef, $_[0]) }
sub at { return $database . $class->api($_[0]) }
sub dbd { my ($from, $to) = @_; return ($database =~ s/$from/$to/r) . $api }
sub domains { return "$database<VirtualHost *:80>\n" . join('', map { "$_\n" } @_) . "</VirtualHost>\n" }


# Refused by configtest ----------------------------------------------------------------------------

my $place = 'ServerlessFunctions belongs into <Location "/v1/Services">, a path without a slash at its end';
my $workers = $class->worker_count;
my $limit = "must be below $workers, the number of workers (MaxRequestWorkers), or Off";
my @refused = (
    ['ServerlessFunctions outside of a Location', server('ServerlessFunctions On'), 'ServerlessFunctions not allowed here'],
    ['ServerlessFunctions in a Directory', "$database<Directory /srv>\nServerlessFunctions On\n</Directory>\n",
        'ServerlessFunctions cannot occur within <Directory> section'],
    ['a Location without /Services', at('/v1'), $place],
    ['a Location with a slash at its end', at('/v1/Services/'), $place],
    ['a Location that is a pattern', at('/*/Services'), $place],
    ['ServerlessFunctions maybe', location('ServerlessFunctions maybe'), 'ServerlessFunctions must be On or Off'],
    ['a directive misspelled', server('ServerlessNodes /usr/bin/node'),
        "Invalid command 'ServerlessNodes', perhaps misspelled or defined by a module not included in the server configuration"],
    ['ServerlessBaseURL with a slash at its end', location('ServerlessBaseURL https://a.example.com/'),
        'ServerlessBaseURL takes a URL such as https://serverless.example.com, without a slash at its end'],
    ['ServerlessBaseURL without a scheme', location('ServerlessBaseURL a.example.com'),
        'ServerlessBaseURL takes a URL such as https://serverless.example.com, without a slash at its end'],
    ['ServerlessFormLimit 0', location('ServerlessFormLimit 0'),
        'ServerlessFormLimit takes a number of bytes from 1 to 64M, such as 4194304 or 4M'],
    ['ServerlessFunctionLimit with another unit', server('ServerlessFunctionLimit 1MB'),
        'ServerlessFunctionLimit takes a number of bytes from 1 to 64M, such as 4194304 or 4M'],
    ['ServerlessAssetLimit too large', server('ServerlessAssetLimit 2G'),
        'ServerlessAssetLimit takes a number of bytes from 1 to 1G, such as 4194304 or 4M'],
    ['ServerlessAssetCache too small', server('ServerlessAssetCache logs/assets 4096'),
        'ServerlessAssetCache takes a number of bytes from 1M to 1T, such as 4194304 or 4M'],
    ['ServerlessAssetMaxAge with a fraction', location('ServerlessAssetMaxAge 1.5d'),
        'ServerlessAssetMaxAge takes whole seconds up to 365d, such as 0, 5min or 30d'],
    ['ServerlessDeleteTimeout 0', location('ServerlessDeleteTimeout 0'), 'ServerlessDeleteTimeout takes a time from 1ms to 24h, such as 2s or 500ms'],
    ['ServerlessDBTimeout with another unit', server('ServerlessDBTimeout 2parsecs'),
        'ServerlessDBTimeout takes a time from 1ms to 24h, such as 2s or 500ms'],
    ['ServerlessBuildTimeout too long', server('ServerlessBuildTimeout 2d'), 'ServerlessBuildTimeout takes a time from 1ms to 24h, such as 2s or 500ms'],
    ['ServerlessLogRetention without a unit', server('ServerlessLogRetention 30'),
        'ServerlessLogRetention takes a time from 1h to 3650d, such as 30d, or Off'],
    ['ServerlessStaleRoutes negative', server('ServerlessStaleRoutes -1'), 'ServerlessStaleRoutes takes a time from 1ms to 24h, such as 5min, or Off'],
    ['ServerlessDBConnections 0', server('ServerlessDBConnections 0'), 'ServerlessDBConnections takes a number from 1 to 1000'],
    ['ServerlessDBConnections above DBDMax', server('ServerlessDBConnections 20'), 'ServerlessDBConnections 20 must not be above DBDMax 8'],
    # with prefork, ServerlessPipelining changes nothing
    (['ServerlessPipelining with too few connections', server("ServerlessDBConnections 2\nServerlessPipelining On"),
        'ServerlessPipelining takes 2 of the ServerlessDBConnections (2): there must be 4 or more']) x !$class->is_prefork,
    ['ServerlessMaxRequests above the workers', server('ServerlessMaxRequests 200'), "ServerlessMaxRequests 200 $limit"],
    ['ServerlessMaxRequestsPerAccount above the workers', server("ServerlessMaxRequestsPerAccount $workers"),
        "ServerlessMaxRequestsPerAccount $workers $limit"],
    ['ServerlessMaxRequestsPerAccount 0', server('ServerlessMaxRequestsPerAccount 0'), 'ServerlessMaxRequestsPerAccount takes a number from 1 to 100000, or Off'],
    ['ServerlessDomain as a URL', location('ServerlessDomain https://functions.example.com'),
        'ServerlessDomain takes a domain name in lower case, such as twil.io'],
    ['ServerlessRuntimes with commas', location('ServerlessRuntimes node20,node22'),
        q(ServerlessRuntimes takes names of up to 64 letters, digits, '.', '-' and '_')],
    ['ServerlessCORSOrigins *', location('ServerlessCORSOrigins *'),
        "ServerlessCORSOrigins does not take *: any page could then act with the credentials that its visitor's browser keeps; name each origin"],
    ['ServerlessCORSOrigins with a path', location('ServerlessCORSOrigins https://app.example.com/'),
        "ServerlessCORSOrigins takes None, or origins such as https://app.example.com, without a path and without the scheme's own port"],
    ['ServerlessNode that is not there', server('ServerlessNode /nowhere/node'), 'ServerlessNode takes the path of an executable file, such as /usr/bin/node'],
    ['ServerlessSignatureScheme ftp', server('ServerlessSignatureScheme ftp'), 'ServerlessSignatureScheme takes https or http'],
    ['ServerlessVariableKeys that is not there', server('ServerlessVariableKeys /nowhere/keys'),
        'ServerlessVariableKeys /nowhere/keys: cannot be opened: No such file or directory'],
    ['ServerlessVariableKeys that others can read', server("ServerlessVariableKeys $open"), qr/^ServerlessVariableKeys \Q$open\E: [^\n]+\z/],
    ['ServerlessVariableKeys with a line that is no key', server("ServerlessVariableKeys $malformed"),
        "ServerlessVariableKeys $malformed: line 2 is not a key id, a space and 64 hex digits"],
    ['ServerlessVariableKeys in a virtual host', "$database<VirtualHost *:80>\nServerlessVariableKeys $malformed\n</VirtualHost>\n$api",
        'ServerlessVariableKeys cannot occur within <VirtualHost> section'],
    ['ServerlessExecution without a domain', domains('ServerName a.f.example.com', 'ServerlessExecution On'),
        'ServerlessExecution needs ServerlessDomain, in the same virtual host or the server config in the virtual host a.f.example.com'],
    ['ServerlessExecution without an alias', domains('ServerName www.example.com', 'ServerlessDomain f.example.com', 'ServerlessExecution On'),
        'ServerlessExecution needs a ServerName or ServerAlias that matches the domains of Environments, such as "ServerAlias *.f.example.com" '
        . 'in the virtual host www.example.com'],
    ['ServerlessEnvironment in the wrong order', domains("ServerlessEnvironment $environment $service"),
        'ServerlessEnvironment takes the SIDs of a Service (ZS...) and of its Environment (ZE...)'],
    ['no DBD lines', $api, 'ServerlessFunctions needs a database: set "DBDriver pgsql" and DBDParams'],
    ['another DBDriver', dbd('pgsql', 'mysql'), qr/^(?:ServerlessFunctions needs "DBDriver pgsql", not "mysql"|Can't load driver file apr_dbd_mysql\.so)\z/],
    ['DBDPersist Off', "DBDPersist Off\n$database$api", 'ServerlessFunctions needs "DBDPersist On": its statements are prepared'],
    ['DBDKeep above DBDMax', dbd('DBDKeep +4', 'DBDKeep 40'), 'mod_dbd needs DBDMin <= DBDKeep <= DBDMax, but they are 1, 40, 8'],
    ['mod_dbd is not loaded', $api, 'ServerlessFunctions needs mod_dbd: load it (LoadModule dbd_module)', without => ['dbd_module']],
    ['mod_auth_basic is not loaded', "$database$api",
        "Invalid command 'AuthBasicProvider', perhaps misspelled or defined by a module not included in the server configuration", without => ['auth_basic_module']],
);


# Warned of by configtest ----------------------------------------------------------------------------

my @warned = (
    ['no AuthBasicProvider', "$database$api" =~ s/ *AuthBasicProvider serverless\n//r, 'SF0101: AuthType Basic has no AuthBasicProvider, and asks '
        . "httpd's file of passwords: add AuthBasicProvider serverless to the API's <Location>"],
    ['no authentication', "$database<Location /v1/Services>\nServerlessFunctions On\n</Location>\n", 'SF0102: the API has no authentication, and refuses '
        . 'every request: add AuthType Basic, AuthName, AuthBasicProvider serverless and Require valid-user to its <Location>'],
    ['plain http that other machines reach', "Listen 0.0.0.0:2\n$database$api", 'SF0103: the API is served over plain http at port 2, and its credentials '
        . 'can be read on the way: add SSLEngine on or, behind a proxy that ends TLS, ServerName https://NAME'],
    ['ServerlessBaseURL with the path of the Location', location('ServerlessBaseURL https://a.example.com/v1'),
        'SF0104: ServerlessBaseURL https://a.example.com/v1 ends with the path "/v1", which URLs in answers have twice then: leave it out'],
    ['DBDParams without connect_timeout', dbd('connect_timeout=\d+ ', ''),
        'SF0034: DBDParams has no connect_timeout: connecting to a database that does not answer takes minutes'],
    ['API and domains in one virtual host', $database . "<VirtualHost *:80>\nServerName a.f.example.com\nServerlessDomain f.example.com\nServerlessExecution On\n$api</VirtualHost>\n",
        'ServerlessExecution and ServerlessFunctions are in one virtual host: Assets have an origin at which the API answers, and can act in the name of its users'],
);


# Found at the start -----------------------------------------------------------------------------------

my $empty = own_database('mistakes_empty');
{
    my $superuser = $empty->connect('postgres');
    $superuser->do('SET client_min_messages = error');
    $superuser->do('DROP SCHEMA serverless CASCADE');
    $superuser->disconnect;
}
my $closed = own_database('mistakes_closed');
$closed->connect('serverless_owner')->do(q(SELECT serverless.revoke_access('serverless_httpd')));
my $newer = own_database('mistakes_newer');
$newer->connect('serverless_owner')->do(q(INSERT INTO serverless.schema_migrations (version, name) VALUES (9999, 'later')));
my $apply = 'run "serverless-admin schema apply" and "serverless-admin grant ROLE" with the role in DBDParams';
my @started = (
    ['a wrong dbname', $class->database(database => 'nowhere') . $api, qr/SF0001: no connection to the database: .*FATAL:  database "nowhere" does not exist/],
    ['a wrong role', dbd('user=serverless_httpd', 'user=nobody_at_all'), qr/SF0001: no connection to the database: .*FATAL:  .*"nobody_at_all"/],
    ['a wrong host', $class->database(host => '/nowhere') . $api, qr/SF0001: no connection to the database: .*No such file or directory/],
    ['no schema', $class->database(database => $empty->name) . $api, qr/SF0004: the database schema is not there, or not open to httpd's role, this module needs version \d+: \Q$apply\E/],
    ['no grant', $class->database(database => $closed->name) . $api, qr/SF0004: the database schema is not there, or not open to httpd's role, this module needs version \d+: \Q$apply\E/],
    ['a newer schema', $class->database(database => $newer->name) . $api, qr/SF0004: the database schema is version 9999, this module needs version \d+: install the module that was made for it/],
    ['no ServerlessVariableKeys', "$database$api", qr/SF0017: without ServerlessVariableKeys, what needs the value of a Variable is answered with 503/, keyless => 1],
);

cmp_ok @refused + @warned + @started, '>=', 43, 'the mistakes that were tried';

for my $mistake (@refused) {
    my ($name, $config, $sentence, %option) = @$mistake;
    my ($status, $said) = $class->configtest($config, %option);
    $sentence = qr/^\Q$sentence\E\z/ if !ref $sentence;
    ok $status == 1 && $said =~ $sentence, "$name: refused, and configtest says why" or diag "$status: $said";
}

for my $mistake (@warned) {
    my ($name, $config, $sentence) = @$mistake;
    my ($status, $said) = $class->configtest($config);
    my $shown = $said =~ s/^\[.*?\] (?:AH\d+: )?//mgr =~ s/ in the virtual host \S+$//mr;
    is_deeply [$status, $shown], [0, "$sentence\nSyntax OK"], "$name: configtest warns";
}

for my $mistake (@started) {
    my ($name, $config, $sentence, %option) = @$mistake;
    my $server = $class->start('mistakes', "StartServers 1\n$config", %option);
    my $log = '';
    wait_until { ($log .= $server->error_log) =~ $sentence };
    like $log, $sentence, "$name: the log of the start says why";
    my %numbers = map { $_ => 1 } $log =~ /\b(SF\d{4}): /g;
    delete @numbers{qw(SF0015 SF0105)}; # maintenance is tried later; the notice of a good start
    is_deeply [grep { $sentence !~ /$_/ } sort keys %numbers], [], '- and no other line of the module';
}

done_testing;
