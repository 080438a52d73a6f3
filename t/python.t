# Twilio's Python library, as Debian has it, against the server. Each test of t/python/test_serverless.py is one
# assertion here.
use strict;
use warnings FATAL => 'all';

use Apache::Test qw(-withtestmore);
use Serverless::Project;
use Serverless::SharedServer;
use Serverless::Test;
use Test::More;

my $api = Serverless::Client->account;
my $project = Serverless::Project->new($api);
my $version = $project->new_version;
my $build = $project->completed($version);
my $environment = $project->new_environment;
my ($log) = db()->selectrow_array('SELECT serverless.add_log(?, ?, ?, ?)', undef, $environment->{sid},
    $version->{function_sid}, 'info', 'said');

local %ENV = (
    PATH => $ENV{PATH}, LC_ALL => 'C.UTF-8', PYTHONDONTWRITEBYTECODE => 1,
    BASE_URL => $api->base, ACCOUNT_SID => $api->user, AUTH_TOKEN => $api->password,
    HTTPS_PROXY => 'http://' . Serverless::SharedServer::address('tunnel'),
    AUTHORITY => "$ENV{TLS}/authority.pem",
    SERVICE_SID => $project->sid, FUNCTION_SID => $version->{function_sid}, VERSION_SID => $version->{sid},
    BUILD_SID => $build->{sid}, ENVIRONMENT_SID => $environment->{sid}, LOG_SID => $log,
);

# Debian's python3 has Debian's library; another python3 on the PATH may not.
open my $report, '-|:encoding(UTF-8)', '/usr/bin/python3 t/python/test_serverless.py 2>&1' or die "python3: $!\n";
my $text = '';
while (<$report>) {
    is $2, 'ok', $1 if /^(.*) \.\.\. (ok|FAIL|ERROR)$/;
    $text .= $_;
}
close $report;
is $?, 0, 'python3 succeeds' or diag $text;

done_testing;
