# Other modules of httpd beside the API, by the lines of docs/operations/: mod_http2, and client certificates by mod_ssl.
use strict;
use warnings FATAL => 'all';

use Apache::Test qw(-withtestmore);
use Serverless::Client;
use Serverless::Server;
use Serverless::Time;
use Test::More;

my $class = 'Serverless::Server';
my $logs = $class->logs;
my $account = Serverless::Client->account;
my ($modules) = do { local (@ARGV, $/) = "$ENV{SOURCE}/modules.conf"; <> =~ m{^LoadModule \S+ +(/\S+)/mod_alias\.so}m };

# The first block of httpd's lines on a page that matches.
sub lines_of {
    my ($page, $pattern) = @_;
    open my $in, '<', "$ENV{SOURCE}/docs/operations/$page" or die "$page: $!\n";
    local $/;
    my ($lines) = grep { /$pattern/ } <$in> =~ /^```apache\n(.*?)^```$/gms;
    return $lines // die "$page has no lines with $pattern\n";
}

sub tls { return "SSLEngine on\nSSLCertificateFile $ENV{TLS}/server.pem\nSSLCertificateKeyFile $ENV{TLS}/server.key\n" }

# What curl prints.
sub curl {
    my ($server, $arguments, $path) = @_;
    return scalar `curl -sS -k $arguments 'https://@{[ $server->address ]}$path' 2>&1`;
}

subtest 'HTTP/2' => sub {
    plan skip_all => 'mod_http2 does nothing with prefork' if $class->is_prefork;
    my $format = '%H %s %{serverless-operation}n %{serverless-statements}n %{Twilio-Request-Id}o';
    my $server = $class->start('http2', qq(LoadModule http2_module "$modules/mod_http2.so"\n) . lines_of('http2.md', 'Protocols') . tls() . $class->database . $class->api
        . qq(LogFormat "$format" notes\nCustomLog "$logs/http2_access_log" notes\n));
    my $user = '-u ' . $account->user . ':' . $account->password;
    my $url = '/v1/Services';
    my $status = q(-o /dev/null -w '%{http_version} %{http_code}' --http2);
    is curl($server, "$status $user", $url), '2 200', 'a list';
    is curl($server, $status, $url), '2 401', 'no credentials';
    is curl($server, "$status $user -d UniqueName=http2-$$ -d FriendlyName=x", $url), '2 201', 'a create';
    my ($function) = curl($server, "--http2 $user -d FriendlyName=hello", "$url/http2-$$/Functions") =~ /"sid":"(ZH\w+)"/;
    my $source = "$logs/http2.js";
    open my $out, '>', $source or die "$source: $!\n";
    print $out 'x' x 900_000;
    close $out or die "$source: $!\n";
    my $versions = "$url/http2-$$/Functions/$function/Versions";
    my ($version) = curl($server, "--http2 $user -F Path=/hello -F Visibility=public -F Content=\@$source", $versions) =~ /"sid":"(ZN\w+)"/;
    my ($content) = curl($server, "--http2 $user", "$versions/$version/Content") =~ /(x{1000,})/;
    is length $content, -s $source, 'an upload, and its content' or diag $version;
    is curl($server, "$status $user -X DELETE", "$url/http2-$$"), '2 204', 'a deletion';
    my $base = 'https://' . $server->address . $url;
    my @statuses = split /\n/, `curl -sS -k --http2 --parallel --parallel-max 50 $user -w '%{http_version} %{http_code}\n' '$base?PageSize=[1-100]' -o /dev/null 2>&1` =~ s/^\{.*?\}(?=2 )//gmr;
    is scalar(grep { /2 200$/ } @statuses), 100, 'a hundred requests, fifty at a time' or diag "@statuses";
    my @lines;
    wait_until { # httpd logs a request after its answer
        open my $log, '<', "$logs/http2_access_log" or die "access log: $!\n";
        100 <= (@lines = grep { m{^HTTP/2\.0 200 GET /Services [1-9] RQ[0-9a-f]{32}$} } <$log>);
    };
    cmp_ok scalar @lines, '>=', 100, 'the notes of each request';
};

subtest 'client certificates' => sub {
    my $sid = $account->user;
    my $make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 2>/dev/null";
    system("$make -subj /CN=clients -keyout $logs/clients.key -out $logs/clients.pem") == 0 or die "openssl\n";
    for my $name ($sid, 'stranger') {
        system("openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=$name -keyout $logs/$name.key 2>/dev/null"
            . " | openssl x509 -req -CA $logs/clients.pem -CAkey $logs/clients.key -days 1 -out $logs/$name.pem 2>/dev/null") == 0 or die "openssl\n";
    }
    system("$make -subj /CN=$sid -keyout $logs/other.key -out $logs/other.pem") == 0 or die "openssl\n";
    my $lines = lines_of('authentication.md', 'SSLVerifyClient') =~ s{/etc/ssl/certs/clients.pem}{$logs/clients.pem}r;
    my $server = $class->start('certificates', tls() . $class->database . $lines . $class->api);
    my $status = q(-o /dev/null -w '%{http_code}');
    my $with = sub { my ($name) = @_; return "--cert $logs/$name.pem --key $logs/$name.key" };
    is curl($server, "$status " . $with->($sid), '/v1/Services'), 200, 'the SID of an account';
    my $credential = "-u $sid:" . $account->password;
    is curl($server, "$status " . $with->('stranger') . " $credential", '/v1/Services'), 401, 'another name, also with a credential';
    unlike curl($server, "$status $credential", '/v1/Services'), qr/200/, 'no certificate';
    unlike curl($server, "$status " . $with->('other'), '/v1/Services'), qr/200/, 'a certificate by another authority';
};

done_testing;
